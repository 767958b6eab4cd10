package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.models.AutoModelForSeq2SeqLM;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Memory;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.TokenBytes;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Texts made of texts by a model with an encoder and a decoder (transformers 4.57 Text2TextGenerationPipeline). Call arguments: the generation
 * parameters at top level; {@code return_tensors}, {@code clean_up_tokenization_spaces}, {@code truncation}, {@code stop_sequence} (its first token
 * ends the text). An empty text has an empty result.
 *
 * <p>What the call leaves open is taken from config.json's {@code task_specific_params} for the task, which may name a {@code prefix} for each text;
 * then from the model's own generation parameters; then up to 256 new tokens and 4 beams. Other than in transformers, a call's {@code max_length} wins
 * over that 256.
 */
public class Text2TextGenerationPipeline extends TextPipeline {
    private static final Logger LOG = LoggerFactory.getLogger(Text2TextGenerationPipeline.class);
    private static final Map<String, Object> DEFAULTS = Map.of("max_new_tokens", 256, "num_beams", 4);
    private static final int GLOBAL_MAX_LENGTH = 20; // a max_length that says nothing
    private static final Set<String> OWN = Set.of(
            "return_tensors",
            "return_text",
            "return_type",
            "clean_up_tokenization_spaces",
            "truncation",
            "stop_sequence",
            "padding",
            "batch_size",
            "src_lang",
            "tgt_lang",
            "chunk_length",
            "generate_kwargs");

    private final GenerativeModel generative;
    private final Tokenizer written;
    private final TokenBytes bytes;
    private final String name;
    private final String prefix;
    private final GenerationConfig base;
    private final Map<String, String> prefixes = new LinkedHashMap<>(); // of all tasks that config.json names

    Text2TextGenerationPipeline(String id, PipelineOptions options) {
        this(id, options, "text2text-generation", "generated");
    }

    /**
     * @param task under which {@code task_specific_params} are looked up
     * @param name what the results' fields begin with
     */
    Text2TextGenerationPipeline(String id, PipelineOptions options, String task, String name) {
        super(id, () -> AutoModelForSeq2SeqLM.fromPretrained(id, options.load().packed()), options);
        this.generative = TextGenerationPipeline.generative(id, model);
        try {
            this.written = tokenizer.asTarget();
            this.bytes = new TokenBytes(written);
            this.name = name;
            JsonNode special = special(task);
            this.prefix = special.path("prefix").asText(model.config().text("prefix", ""));
            this.base = base(special);
            model.config().node().path("task_specific_params").properties().forEach(e -> {
                String p = e.getValue().path("prefix").asText("");
                if (!p.isBlank()) {
                    prefixes.put(e.getKey(), p);
                }
            });
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** What config.json says of the task; plain "translation" takes the first translation there is. */
    private JsonNode special(String task) {
        JsonNode all = model.config().node().path("task_specific_params");
        String found = task;
        if (task.equals("translation")) {
            for (Map.Entry<String, JsonNode> entry : all.properties()) {
                if (entry.getKey().startsWith(task)) {
                    found = entry.getKey();
                    break;
                }
            }
            if (!found.equals(task)) {
                LOG.warn(
                        "translation: this model has several directions; {} was chosen, name another as the task",
                        found);
            }
        }
        return all.path(found);
    }

    /** The model's parameters and those of the task, over the pipeline's defaults. */
    private GenerationConfig base(JsonNode special) {
        GenerationConfig own = generative.generationConfig();
        Map<String, Object> defaults = new LinkedHashMap<>(DEFAULTS);
        if (own.integer("max_length", GLOBAL_MAX_LENGTH) != GLOBAL_MAX_LENGTH) {
            defaults.remove("max_new_tokens");
        }
        Map<String, @Nullable Object> task = new LinkedHashMap<>();
        special.properties().forEach(e -> {
            if (GenerationConfig.names().contains(e.getKey())) {
                task.put(e.getKey(), JsonHolder.JSON.convertValue(e.getValue(), Object.class));
            }
        });
        GenerationConfig all = GenerationConfig.empty()
                .with(task)
                .over(own)
                .over(GenerationConfig.empty().with(defaults));
        return all.has("pad_token_id") || tokenizer.padId().isEmpty()
                ? all
                : all.with("pad_token_id", tokenizer.padId().getAsInt());
    }

    /** What the encoder reads, and the language that the text must begin with. */
    record Source(
            Tokenizer tokenizer, String prefix, @Nullable Integer forcedBos) {}

    /** How a call's texts are read. */
    Source source(JsonNode kwargs) {
        return new Source(tokenizer, prefix, null);
    }

    /** The text made of {@code text}, with the model's own parameters. */
    public String apply(String text) {
        return apply(text, Map.of());
    }

    /** The best text made of {@code text}. @param parameters call arguments by transformers' names */
    public String apply(String text, Map<String, ?> parameters) {
        ObjectNode kwargs = JsonHolder.JSON.valueToTree(parameters);
        return generate(List.of(text), kwargs).get(0).get(0).text();
    }

    /**
     * A text that was generated.
     *
     * @param text without special tokens
     * @param ids what the decoder was given and wrote, as token ids
     * @param chunks of how many parts of the source, each read by itself; 0 for an empty one
     */
    public record Generated(String text, long[] ids, int chunks) {}

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        boolean tensors = kwargs.path("return_tensors").asBoolean(false);
        List<List<Map<String, Object>>> results = new ArrayList<>();
        for (List<Generated> many : generate(inputs, kwargs)) {
            List<Map<String, Object>> named = new ArrayList<>();
            for (Generated g : many) {
                Map<String, Object> one = new LinkedHashMap<>();
                one.put(name + (tensors ? "_token_ids" : "_text"), tensors ? g.ids : g.text);
                if (g.chunks > 1) {
                    one.put("chunks", g.chunks);
                }
                named.add(one);
            }
            results.add(named);
        }
        return results.stream().allMatch(r -> r.size() == 1)
                ? results.stream().map(r -> r.get(0)).toList()
                : results;
    }

    private List<List<Generated>> generate(List<String> texts, JsonNode kwargs) {
        Source from = source(kwargs);
        GenerationConfig config = config(kwargs, from);
        boolean cleanUp = kwargs.path("clean_up_tokenization_spaces").asBoolean(false);
        Generator shared = config.flag("do_sample") ? Generation.newGenerator(config.seed()) : null;
        try {
            warnOfMissingPrefix(texts, from);
            List<List<Generated>> all = new ArrayList<>();
            for (int i = 0; i < texts.size(); i++) {
                if (texts.get(i).isBlank()) {
                    all.add(Collections.nCopies(
                            config.integer("num_return_sequences", 1), new Generated("", new long[0], 0)));
                    continue;
                }
                List<Generated> some = null;
                for (String part : parts(texts.get(i), from, kwargs)) {
                    List<Generated> next = new ArrayList<>();
                    for (long[] row : write(read(part, i, from, kwargs), config, shared)) {
                        long[] made = Arrays.stream(row).filter(t -> t >= 0).toArray();
                        next.add(new Generated(written.decode(made, true, cleanUp), row, 1));
                    }
                    some = some == null ? next : joined(some, next);
                }
                all.add(some == null ? List.of() : some);
            }
            return all;
        } finally {
            Memory.close(shared);
        }
    }

    /** What is read one after the other of a text: all of it at once, unless a task divides it. */
    List<String> parts(String text, Source from, JsonNode kwargs) {
        return List.of(text);
    }

    private static List<Generated> joined(List<Generated> before, List<Generated> next) {
        List<Generated> both = new ArrayList<>();
        for (int i = 0; i < before.size(); i++) {
            Generated a = before.get(i);
            Generated b = next.get(i);
            String text = a.text.isBlank() || b.text.isBlank() ? a.text + b.text : a.text + " " + b.text;
            long[] ids = LongStream.concat(Arrays.stream(a.ids), Arrays.stream(b.ids))
                    .toArray();
            both.add(new Generated(text, ids, a.chunks + b.chunks));
        }
        return both;
    }

    /** A model that was trained on several tasks by their prefixes does something arbitrary without one. */
    private void warnOfMissingPrefix(List<String> texts, Source from) {
        if (prefixes.isEmpty() || !from.prefix.isEmpty()) {
            return;
        }
        for (int i = 0; i < texts.size(); i++) {
            String text = texts.get(i);
            if (!text.isBlank() && prefixes.values().stream().noneMatch(text::startsWith)) {
                LOG.warn(
                        "text {} begins with none of the prefixes by which this model knows its tasks, put one before"
                                + " it: {}",
                        i + 1,
                        prefixes.values().stream()
                                .distinct()
                                .map(p -> '"' + p + '"')
                                .collect(Collectors.joining(", ")));
                return;
            }
        }
    }

    /** A text's ids, cut where the call asks for it, or where the model has no positions beyond. */
    private long[] read(String text, int index, Source from, JsonNode kwargs) {
        String whole = from.prefix + text;
        String cut = kwargs.path("truncation").asText("false");
        boolean asked = !Set.of("false", "null", "do_not_truncate").contains(cut);
        int limit = asked ? limit() : readable();
        long[] ids = from.tokenizer.encode(whole).ids();
        if (ids.length <= limit) {
            return ids;
        }
        if (!asked && !options.truncation()) {
            throw new HeadstartException("text " + (index + 1) + " has " + ids.length
                    + " tokens, the model takes at most " + limit + "; shorten it, or allow truncation");
        }
        LOG.warn("text {} of {} tokens was cut to {}", index + 1, ids.length, limit);
        EncodeOptions shorter =
                EncodeOptions.DEFAULT.withTruncation(Truncation.LONGEST_FIRST).withMaxLength(limit);
        return from.tokenizer.encode(whole, null, shorter).ids();
    }

    private long[][] write(long[] ids, GenerationConfig config, @Nullable Generator shared) {
        long[] mask = new long[ids.length];
        Arrays.fill(mask, 1);
        try (PointerScope scope = new PointerScope()) {
            Map<String, Tensor> inputs = new LinkedHashMap<>();
            inputs.put("input_ids", Tensors.int64(new long[][] {ids}));
            inputs.put("attention_mask", Tensors.int64(new long[][] {mask}));
            Generation request =
                    Generation.of(generative).inputs(inputs).config(config).tokenBytes(bytes);
            return (shared == null ? request : request.generator(shared))
                    .generate()
                    .sequences();
        }
    }

    private GenerationConfig config(JsonNode kwargs, Source from) {
        Map<String, @Nullable Object> given = TextGenerationPipeline.parameters(kwargs, OWN);
        if (kwargs.has("stop_sequence")) {
            String stop = kwargs.get("stop_sequence").asText();
            long[] ids = tokenizer
                    .encode(stop, null, EncodeOptions.DEFAULT.withSpecialTokens(false))
                    .ids();
            if (ids.length == 0) {
                throw new HeadstartException("stop_sequence \"" + stop + "\" has no tokens; give a text that has one");
            }
            if (ids.length > 1) {
                LOG.warn("stop_sequence \"{}\" has {} tokens; the first one ends the text", stop, ids.length);
            }
            given.put("eos_token_id", ids[0]);
        }
        if (from.forcedBos != null) {
            given.put("forced_bos_token_id", from.forcedBos);
        }
        if (given.get("max_length") != null && !given.containsKey("max_new_tokens")) {
            given.put("max_new_tokens", null);
        }
        return GenerationConfig.empty().with(given).over(base);
    }

    /** A call argument that is a text, or null. */
    static @Nullable String text(JsonNode kwargs, String name) {
        JsonNode value = kwargs.get(name);
        return value == null || value.isNull() ? null : value.asText();
    }
}
