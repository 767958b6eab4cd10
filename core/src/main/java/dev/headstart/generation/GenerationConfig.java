package dev.headstart.generation;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * What to generate and how, under the names and with the defaults of transformers' {@code GenerationConfig} (5.23).
 *
 * <p>A parameter is set, set to null (which turns off what would otherwise apply), or left open; open ones are filled from the model's own
 * configuration and then from the global defaults. Immutable.
 *
 * <pre>{@code
 * model.generationConfig().with(Map.of("max_new_tokens", 40, "do_sample", true, "top_p", 0.9, "seed", 7))
 * }</pre>
 */
public final class GenerationConfig {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Kinds of value, as a person would name them. */
    private enum Kind {
        INT("a whole number"),
        FLOAT("a number"),
        BOOL("true or false"),
        STOPPING("true, false or \"never\""),
        ID("a token id"),
        IDS("a token id or a list of token ids"),
        ID_LIST("a list of token ids"),
        ID_LISTS("a list of lists of token ids"),
        BIASES("a list of [[token ids], bias] pairs"),
        DECAY("a pair [start, factor]"),
        STRINGS("a string or a list of strings");

        private final String words;

        Kind(String words) {
            this.words = words;
        }
    }

    private static final Map<String, Kind> KINDS = Map.ofEntries(
            Map.entry("max_length", Kind.INT),
            Map.entry("max_new_tokens", Kind.INT),
            Map.entry("min_length", Kind.INT),
            Map.entry("min_new_tokens", Kind.INT),
            Map.entry("early_stopping", Kind.STOPPING),
            Map.entry("max_time", Kind.FLOAT),
            Map.entry("stop_strings", Kind.STRINGS),
            Map.entry("do_sample", Kind.BOOL),
            Map.entry("num_beams", Kind.INT),
            Map.entry("temperature", Kind.FLOAT),
            Map.entry("top_k", Kind.INT),
            Map.entry("top_p", Kind.FLOAT),
            Map.entry("min_p", Kind.FLOAT),
            Map.entry("top_h", Kind.FLOAT),
            Map.entry("typical_p", Kind.FLOAT),
            Map.entry("epsilon_cutoff", Kind.FLOAT),
            Map.entry("eta_cutoff", Kind.FLOAT),
            Map.entry("repetition_penalty", Kind.FLOAT),
            Map.entry("encoder_repetition_penalty", Kind.FLOAT),
            Map.entry("length_penalty", Kind.FLOAT),
            Map.entry("no_repeat_ngram_size", Kind.INT),
            Map.entry("encoder_no_repeat_ngram_size", Kind.INT),
            Map.entry("bad_words_ids", Kind.ID_LISTS),
            Map.entry("sequence_bias", Kind.BIASES),
            Map.entry("renormalize_logits", Kind.BOOL),
            Map.entry("remove_invalid_values", Kind.BOOL),
            Map.entry("forced_bos_token_id", Kind.ID),
            Map.entry("forced_eos_token_id", Kind.IDS),
            Map.entry("suppress_tokens", Kind.ID_LIST),
            Map.entry("begin_suppress_tokens", Kind.ID_LIST),
            Map.entry("exponential_decay_length_penalty", Kind.DECAY),
            Map.entry("num_return_sequences", Kind.INT),
            Map.entry("pad_token_id", Kind.ID),
            Map.entry("bos_token_id", Kind.IDS),
            Map.entry("eos_token_id", Kind.IDS),
            Map.entry("decoder_start_token_id", Kind.IDS),
            Map.entry("output_scores", Kind.BOOL),
            Map.entry("return_dict_in_generate", Kind.BOOL),
            Map.entry("seed", Kind.INT));

    /** Names of transformers that change how it computes but not what comes out; taken and left aside. */
    private static final Set<String> WITHOUT_EFFECT = Set.of(
            "use_cache",
            "cache_implementation",
            "cache_config",
            "max_cache_len",
            "compile_config",
            "disable_compile",
            "prefill_chunk_size",
            "output_attentions",
            "output_hidden_states",
            "output_logits",
            "low_memory",
            "is_assistant",
            "num_assistant_tokens",
            "num_assistant_tokens_schedule",
            "assistant_confidence_threshold",
            "assistant_lookbehind",
            "target_lookbehind",
            "assistant_ensemble_weight",
            "max_matching_ngram_size",
            "continuous_batching_config",
            "speculation_type",
            "transformers_version");

    /** Names that transformers 5 has, or had, and that ask for another algorithm: an error unless the value is the inactive one. */
    private static final Map<String, Object> INACTIVE = Map.ofEntries(
            Map.entry("num_beam_groups", 1),
            Map.entry("diversity_penalty", 0.0),
            Map.entry("guidance_scale", 1.0),
            Map.entry("penalty_alpha", 0.0),
            Map.entry("token_healing", false),
            Map.entry("use_mtp", false),
            Map.entry("watermarking_config", "none"),
            Map.entry("dola_layers", "none"),
            Map.entry("constraints", "none"),
            Map.entry("force_words_ids", "none"),
            Map.entry("assistant_early_exit", "none"),
            Map.entry("prompt_lookup_num_tokens", "none"));

    private static final Map<String, Object> GLOBAL = Map.ofEntries(
            Map.entry("max_length", 20),
            Map.entry("min_length", 0),
            Map.entry("do_sample", false),
            Map.entry("early_stopping", false),
            Map.entry("num_beams", 1),
            Map.entry("temperature", 1.0),
            Map.entry("top_k", 50),
            Map.entry("top_p", 1.0),
            Map.entry("typical_p", 1.0),
            Map.entry("repetition_penalty", 1.0),
            Map.entry("length_penalty", 1.0),
            Map.entry("no_repeat_ngram_size", 0),
            Map.entry("encoder_no_repeat_ngram_size", 0),
            Map.entry("num_return_sequences", 1),
            Map.entry("remove_invalid_values", false),
            Map.entry("epsilon_cutoff", 0.0),
            Map.entry("eta_cutoff", 0.0),
            Map.entry("encoder_repetition_penalty", 1.0));

    private static final GenerationConfig EMPTY = new GenerationConfig(Map.of());

    private final Map<String, @Nullable Object> values;

    private GenerationConfig(Map<String, ? extends @Nullable Object> values) {
        this.values = new LinkedHashMap<>(values);
    }

    /** Nothing set. */
    public static GenerationConfig empty() {
        return EMPTY;
    }

    /**
     * A model folder's own parameters: its generation_config.json, else the generation fields of its config.json (those of the decoder or text
     * part, where the outer file leaves them open); as {@code GenerationConfig.from_pretrained} reads them.
     *
     * @throws HeadstartException when a file is not JSON or a value is of the wrong kind
     */
    public static GenerationConfig fromFolder(Path folder) {
        Path own = folder.resolve("generation_config.json");
        if (Files.exists(own)) {
            return fromModel(readObject(own), own.getFileName().toString(), false);
        }
        Path model = folder.resolve("config.json");
        return Files.exists(model)
                ? fromModel(readObject(model), model.getFileName().toString(), true)
                : EMPTY;
    }

    /** As {@link #fromFolder}, with a config.json that is already read, whose fields may have been changed. @param file config.json's path, which need not exist */
    public static GenerationConfig of(Path file, ObjectNode config) {
        Path folder = file.getParent();
        if (folder != null && Files.exists(folder.resolve("generation_config.json"))) {
            return fromFolder(folder);
        }
        Map<String, @Nullable Object> fields =
                JSON.convertValue(config, new TypeReference<LinkedHashMap<String, @Nullable Object>>() {});
        return fromModel(fields, "config.json", true);
    }

    private static Map<String, @Nullable Object> readObject(Path file) {
        try {
            return JSON.readValue(file.toFile(), new TypeReference<LinkedHashMap<String, @Nullable Object>>() {});
        } catch (JacksonException e) {
            throw new HeadstartException(
                    file + " is not a JSON object: " + e.getOriginalMessage() + "; repair or remove it", e);
        } catch (IOException e) {
            throw new HeadstartException(file + " cannot be read: " + e.getMessage(), e);
        }
    }

    private static GenerationConfig fromModel(Map<String, @Nullable Object> json, String file, boolean isModelConfig) {
        Map<String, @Nullable Object> taken = new LinkedHashMap<>();
        take(json, file, taken);
        if (isModelConfig) {
            for (String part : List.of("decoder", "generator", "text_config")) {
                if (json.get(part) instanceof Map<?, ?> inner) {
                    Map<String, @Nullable Object> named = new LinkedHashMap<>();
                    inner.forEach((k, v) -> named.put(String.valueOf(k), v));
                    take(named, file, taken);
                    break;
                }
            }
            if (Boolean.TRUE.equals(json.get("force_bos_token_to_be_generated")) && taken.get("bos_token_id") != null) {
                taken.put("forced_bos_token_id", taken.get("bos_token_id"));
            }
        }
        return new GenerationConfig(taken);
    }

    private static void take(Map<String, @Nullable Object> json, String file, Map<String, @Nullable Object> into) {
        json.forEach((name, value) -> {
            if (value != null && !into.containsKey(name) && !name.equals("seed")) {
                Kind kind = KINDS.get(name);
                if (kind != null) {
                    into.put(name, checked(file, name, kind, value));
                } else if (INACTIVE.containsKey(name) && !inactive(name, value)) {
                    into.put(name, value); // an error when it is used, unless the caller turns it off
                }
            }
        });
    }

    /**
     * Parameters from a JSON object, as {@code --generate} takes them.
     *
     * @throws HeadstartException when it is not a JSON object, or as {@link #with}
     */
    public static GenerationConfig fromJson(String json) {
        try {
            return EMPTY.with(JSON.readValue(json, new TypeReference<LinkedHashMap<String, @Nullable Object>>() {}));
        } catch (JacksonException e) {
            throw new HeadstartException("generation parameters are not a JSON object: " + e.getOriginalMessage(), e);
        }
    }

    /**
     * This with {@code parameters} on top: they win, null included (a null turns a parameter off).
     *
     * @param parameters transformers' names; our own {@code seed} seeds the generator of this call
     * @throws HeadstartException that names an unknown parameter, or one whose value is of the wrong kind
     */
    public GenerationConfig with(Map<String, ? extends @Nullable Object> parameters) {
        Map<String, @Nullable Object> merged = new LinkedHashMap<>(values);
        parameters.forEach((name, value) -> {
            Kind kind = KINDS.get(name);
            if (kind != null) {
                merged.put(name, value == null ? null : checked("generation parameter", name, kind, value));
            } else if (INACTIVE.containsKey(name)) {
                merged.put(name, value);
            } else if (!WITHOUT_EFFECT.contains(name)) {
                throw new HeadstartException("generation parameter " + name + " is unknown" + nearest(name));
            }
        });
        return new GenerationConfig(merged);
    }

    /** This with one more parameter on top; see {@link #with(Map)}. */
    public GenerationConfig with(String name, @Nullable Object value) {
        Map<String, @Nullable Object> one = new LinkedHashMap<>();
        one.put(name, value);
        return with(one);
    }

    /** This over {@code below}: what is set here wins, null included; what is open here is taken from there. */
    public GenerationConfig over(GenerationConfig below) {
        Map<String, @Nullable Object> merged = new LinkedHashMap<>(below.values);
        merged.putAll(values);
        return new GenerationConfig(merged);
    }

    /** Whether {@code name} is set here to a value; a global default does not count. */
    public boolean has(String name) {
        return values.get(name) != null;
    }

    /** What is set, as generation_config.json holds it. */
    public String toJson() {
        Map<String, @Nullable Object> set = new LinkedHashMap<>(values);
        set.remove("seed"); // of a call, not of a model
        try {
            return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(set) + "\n";
        } catch (JacksonException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Whether {@code name} is set or turned off here. */
    public boolean mentions(String name) {
        return values.containsKey(name);
    }

    /** Names of everything that {@link #with} takes. */
    public static Set<String> names() {
        Set<String> names = new TreeSet<>(KINDS.keySet());
        names.addAll(WITHOUT_EFFECT);
        names.addAll(INACTIVE.keySet());
        return names;
    }

    // --- values
    // -------------------------------------------------------------------------------------------------------------------------------

    private @Nullable Object value(String name) {
        return values.containsKey(name) ? values.get(name) : GLOBAL.get(name);
    }

    /** A whole number, or {@code otherwise} when it is open or turned off. */
    public int integer(String name, int otherwise) {
        Object v = value(name);
        return v == null ? otherwise : ((Number) v).intValue();
    }

    /** A number, or {@code otherwise} when it is open or turned off. */
    public double number(String name, double otherwise) {
        Object v = value(name);
        return v == null ? otherwise : ((Number) v).doubleValue();
    }

    /** A switch; open means off. */
    public boolean flag(String name) {
        return Boolean.TRUE.equals(value(name));
    }

    /** A token id or several, empty when open. */
    public List<Integer> ids(String name) {
        Object v = value(name);
        if (v == null) {
            return List.of();
        }
        return v instanceof Collection<?> many
                ? many.stream().map(x -> ((Number) x).intValue()).toList()
                : List.of(((Number) v).intValue());
    }

    /** Lists of token ids, empty when open. */
    public List<List<Integer>> idLists(String name) {
        Object v = value(name);
        if (v == null) {
            return List.of();
        }
        List<List<Integer>> lists = new ArrayList<>();
        for (Object inner : (Collection<?>) v) {
            lists.add(((Collection<?>) inner)
                    .stream().map(x -> ((Number) x).intValue()).toList());
        }
        return lists;
    }

    /** The bias of each sequence of tokens ({@code sequence_bias}), in order. */
    public Map<List<Integer>, Double> sequenceBias() {
        Object v = value("sequence_bias");
        Map<List<Integer>, Double> biases = new LinkedHashMap<>();
        if (v != null) {
            for (Object pair : (Collection<?>) v) {
                List<?> both = (List<?>) pair;
                biases.put(
                        ((Collection<?>) both.get(0))
                                .stream().map(x -> ((Number) x).intValue()).toList(),
                        ((Number) both.get(1)).doubleValue());
            }
        }
        return biases;
    }

    /** The strings that stop generation, empty when open. */
    public List<String> stopStrings() {
        Object v = value("stop_strings");
        if (v == null) {
            return List.of();
        }
        return v instanceof Collection<?> many
                ? many.stream().map(String::valueOf).toList()
                : List.of((String) v);
    }

    /** When beam search stops (transformers' {@code early_stopping}). */
    public enum EarlyStopping {
        /** As soon as there are {@code num_beams} finished candidates. */
        TRUE,
        /** When it is unlikely that a better candidate is found. */
        FALSE,
        /** Only when no better candidate can be found. */
        NEVER
    }

    /** When beam search stops. */
    public EarlyStopping earlyStopping() {
        Object v = value("early_stopping");
        return "never".equals(v)
                ? EarlyStopping.NEVER
                : Boolean.TRUE.equals(v) ? EarlyStopping.TRUE : EarlyStopping.FALSE;
    }

    /** The seed of this call's generator, or null for a random one. */
    public @Nullable Long seed() {
        Object v = values.get("seed");
        return v == null ? null : ((Number) v).longValue();
    }

    /** Start, counted from the prompt's end, and factor of {@code exponential_decay_length_penalty}, or null. */
    public double @Nullable [] lengthDecay() {
        List<?> pair = (List<?>) value("exponential_decay_length_penalty");
        return pair == null
                ? null
                : new double[] {((Number) pair.get(0)).doubleValue(), ((Number) pair.get(1)).doubleValue()};
    }

    /**
     * Checks what can be said from the parameters alone; called before anything is generated.
     *
     * @throws HeadstartException that names the parameter, or the two that contradict each other
     */
    public void validate() {
        INACTIVE.forEach((name, neutral) -> {
            Object v = values.get(name);
            if (v != null && !inactive(name, v)) {
                throw new HeadstartException(
                        "generation parameter " + name + " = " + v
                                + " asks for an algorithm that is not supported; remove it (supported: greedy, sampling, beam search, beam sampling)");
            }
        });
        atLeast("max_new_tokens", 1);
        atLeast("num_beams", 1);
        atLeast("num_return_sequences", 1);
        atLeast("no_repeat_ngram_size", 0);
        atLeast("encoder_no_repeat_ngram_size", 0);
        atLeast("min_length", 0);
        atLeast("min_new_tokens", 0);
        atLeast("top_k", 0);
        positive("temperature");
        positive("repetition_penalty");
        positive("encoder_repetition_penalty");
        share("top_p", 0, 1);
        share("min_p", 0, 1);
        share("typical_p", 0, 1);
        share("top_h", 0, 1);
        if (flag("do_sample") && has("typical_p") && number("typical_p", 1) == 0) {
            throw new HeadstartException(
                    "generation parameter typical_p = 0 leaves no token; give a number above 0 and at most 1");
        }
        int beams = integer("num_beams", 1);
        int sequences = integer("num_return_sequences", 1);
        if (sequences > 1 && beams == 1 && !flag("do_sample")) {
            throw new HeadstartException(
                    "num_return_sequences = " + sequences
                            + " contradicts do_sample = false with num_beams = 1: greedy search has one result; set do_sample or num_beams");
        }
        if (beams > 1 && sequences > beams) {
            throw new HeadstartException("num_return_sequences = " + sequences + " contradicts num_beams = " + beams
                    + ": a beam search returns at most num_beams sequences");
        }
        List<Integer> suppressed = ids("suppress_tokens");
        for (String forced : List.of("forced_bos_token_id", "forced_eos_token_id")) {
            if (!ids(forced).isEmpty() && suppressed.containsAll(ids(forced))) {
                throw new HeadstartException(forced + " = " + ids(forced)
                        + " contradicts suppress_tokens, which forbids it; remove it from one of them");
            }
        }
        if (has("bad_words_ids") && idLists("bad_words_ids").isEmpty()) {
            throw new HeadstartException(
                    "generation parameter bad_words_ids is an empty list; give lists of token ids, or null");
        }
        if (has("sequence_bias") && sequenceBias().isEmpty()) {
            throw new HeadstartException(
                    "generation parameter sequence_bias is an empty list; give [[token ids], bias] pairs, or null");
        }
    }

    private void atLeast(String name, int least) {
        if (has(name) && integer(name, least) < least) {
            throw new HeadstartException(
                    "generation parameter " + name + " = " + values.get(name) + " must be at least " + least);
        }
    }

    private void positive(String name) {
        if (has(name) && !(number(name, 1) > 0)) {
            String remedy = name.equals("temperature") ? "; for the most likely token set do_sample to false" : "";
            throw new HeadstartException(
                    "generation parameter " + name + " = " + values.get(name) + " must be above 0" + remedy);
        }
    }

    private void share(String name, double from, double to) {
        double v = number(name, from);
        if (has(name) && !(v >= from && v <= to)) {
            throw new HeadstartException(
                    "generation parameter " + name + " = " + values.get(name) + " must be between 0 and 1");
        }
    }

    private static boolean inactive(String name, Object value) {
        Object neutral = INACTIVE.get(name);
        if (neutral instanceof Number a && value instanceof Number b) {
            return a.doubleValue() == b.doubleValue();
        }
        return value.equals(neutral);
    }

    // --- kinds
    // --------------------------------------------------------------------------------------------------------------------------------

    private static Object checked(String where, String name, Kind kind, Object value) {
        boolean fits = switch (kind) {
            case INT -> whole(value);
            case FLOAT -> value instanceof Number;
            case BOOL -> value instanceof Boolean;
            case STOPPING -> value instanceof Boolean || value.equals("never");
            case ID -> whole(value);
            case IDS -> whole(value) || idList(value);
            case ID_LIST -> idList(value);
            case ID_LISTS -> value instanceof List<?> many && many.stream().allMatch(GenerationConfig::nonEmptyIds);
            case BIASES -> value instanceof List<?> many && many.stream().allMatch(GenerationConfig::bias);
            case DECAY ->
                value instanceof List<?> pair
                        && pair.size() == 2
                        && pair.stream().allMatch(Number.class::isInstance);
            case STRINGS ->
                text(value)
                        || value instanceof List<?> many
                                && !many.isEmpty()
                                && many.stream().allMatch(GenerationConfig::text);
        };
        if (!fits) {
            throw new HeadstartException(
                    where + (where.endsWith(".json") ? ": " : " ") + name + " = " + value + " must be " + kind.words);
        }
        return value;
    }

    private static boolean whole(Object v) {
        return v instanceof Integer
                || v instanceof Long
                || v instanceof Number n && n.doubleValue() == Math.rint(n.doubleValue());
    }

    private static boolean idList(Object v) {
        return v instanceof List<?> many && many.stream().allMatch(x -> x != null && whole(x));
    }

    private static boolean nonEmptyIds(@Nullable Object v) {
        return v instanceof List<?> many
                && !many.isEmpty()
                && many.stream().allMatch(x -> x != null && whole(x) && ((Number) x).longValue() >= 0);
    }

    private static boolean bias(@Nullable Object v) {
        return v instanceof List<?> pair
                && pair.size() == 2
                && nonEmptyIds(pair.get(0))
                && pair.get(1) instanceof Number;
    }

    private static boolean text(@Nullable Object v) {
        return v instanceof String s && !s.isEmpty();
    }

    private static String nearest(String name) {
        String best = "";
        int least = 4;
        for (String known : names()) {
            int d = distance(name, known);
            if (d < least) {
                least = d;
                best = known;
            }
        }
        return best.isEmpty()
                ? "; the names are those of transformers' GenerationConfig"
                : "; did you mean " + best + "?";
    }

    private static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int next = Math.min(
                        Math.min(row[j], row[j - 1]) + 1, diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1));
                diagonal = row[j];
                row[j] = next;
            }
        }
        return row[b.length()];
    }

    @Override
    public String toString() {
        return "GenerationConfig" + values;
    }
}
