package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.generation.GenerationOutput;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.generation.Token;
import dev.headstart.generation.TokenStream;
import dev.headstart.models.AutoModelForCausalLM;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Precision;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.TokenBytes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Generator;

/**
 * Texts that go on where a prompt ends (transformers TextGenerationPipeline). Call arguments: the generation parameters at top level;
 * {@code return_full_text} (default true), {@code return_tensors}, {@code stop_sequence}, {@code prefix}, {@code add_special_tokens},
 * {@code skip_special_tokens}, {@code handle_long_generation} ("hole" cuts the prompt's beginning).
 *
 * <p>Where neither the call nor the model says: up to 256 new tokens, sampled at temperature 0.7.
 */
public final class TextGenerationPipeline extends TextPipeline {
    private static final Map<String, Object> DEFAULTS =
            Map.of("max_new_tokens", 256, "do_sample", true, "temperature", 0.7);
    private static final Set<String> OWN = Set.of(
            "return_full_text",
            "return_tensors",
            "return_text",
            "return_type",
            "stop_sequence",
            "prefix",
            "add_special_tokens",
            "skip_special_tokens",
            "handle_long_generation",
            "clean_up_tokenization_spaces",
            "padding",
            "truncation",
            "batch_size",
            "generate_kwargs");
    private static final int PACK_FROM = 16; // new tokens from which packing the weights pays

    private final GenerativeModel generative;
    private final TokenBytes bytes;
    private boolean packed;

    TextGenerationPipeline(String id, PipelineOptions options) {
        super(id, AutoModelForCausalLM.fromPretrained(id, options.load()), options);
        this.generative = generative(id, model);
        this.bytes = new TokenBytes(tokenizer);
        this.packed = options.load().precision() != null;
    }

    private static GenerativeModel generative(String id, PreTrainedModel<?> model) {
        if (model instanceof GenerativeModel g) {
            return g;
        }
        model.close();
        throw new HeadstartException(id + ": " + model.getClass().getSimpleName() + " does not generate text");
    }

    /**
     * A text that was generated.
     *
     * @param text prompt and what follows it, or what follows alone
     * @param ids prompt and result as token ids
     */
    public record Generated(String text, long[] ids) {}

    /** How a call is answered, read from its arguments. */
    private record Call(
            GenerationConfig config,
            boolean fullText,
            boolean tensors,
            boolean skipSpecial,
            boolean addSpecial,
            boolean hole,
            String prefix) {}

    /** Goes on with a prompt, with the model's own parameters. */
    public String apply(String prompt) {
        return apply(prompt, Map.of());
    }

    /** Goes on with a prompt. @param parameters generation parameters by transformers' names; @return prompt and result */
    public String apply(String prompt, Map<String, ?> parameters) {
        ObjectNode kwargs = JsonHolder.JSON.valueToTree(parameters);
        return generate(List.of(prompt), call(kwargs)).get(0).get(0).text();
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        Call call = call(kwargs);
        return generate(inputs, call).stream()
                .map(texts -> texts.stream()
                        .map(g ->
                                call.tensors ? Map.of("generated_token_ids", g.ids) : Map.of("generated_text", g.text))
                        .toList())
                .toList();
    }

    /**
     * Goes on with a prompt, piece by piece as it is made.
     *
     * @param piece receives whole characters only; first the prompt, unless {@code return_full_text} is false
     */
    public void stream(String prompt, JsonNode kwargs, Consumer<String> piece) {
        Call call = call(kwargs);
        if (call.fullText) {
            piece.accept(prompt);
        }
        long[] ids = prompt(prompt, call);
        TextStreamer streamer = new TextStreamer(tokenizer, call.skipSpecial);
        try (TokenStream tokens = request(ids, call.config).stream()) {
            while (tokens.hasNext()) {
                Token token = tokens.next();
                if (token.row() != 0) {
                    throw new HeadstartException("streaming contradicts num_return_sequences > 1; set it to 1");
                }
                give(streamer.push(token.id()), piece);
            }
        }
        give(streamer.finish(), piece);
    }

    private static void give(String text, Consumer<String> piece) {
        if (!text.isEmpty()) {
            piece.accept(text);
        }
    }

    private List<List<Generated>> generate(List<String> prompts, Call call) {
        List<List<Generated>> all = new ArrayList<>();
        Generator shared = call.config.flag("do_sample") ? Generation.newGenerator(call.config.seed()) : null;
        try { // one input after the other, as the reference does without a batch size; they draw from one generator
            for (String prompt : prompts) {
                long[] ids = prompt(prompt, call);
                Generation request = request(ids, call.config);
                GenerationOutput out = (shared == null ? request : request.generator(shared)).generate();
                List<Generated> texts = new ArrayList<>();
                for (long[] row : out.sequences()) {
                    long[] made = Arrays.stream(row, out.promptLength(), row.length)
                            .filter(t -> t >= 0)
                            .toArray();
                    String text = tokenizer.decode(made, call.skipSpecial);
                    texts.add(new Generated(call.fullText ? prompt + text : text, row));
                }
                all.add(texts);
            }
            return all;
        } finally {
            if (shared != null) {
                shared.close();
            }
        }
    }

    private Generation request(long[] ids, GenerationConfig config) {
        pack(config.integer("max_new_tokens", config.integer("max_length", 20)));
        Generation request = Generation.of(generative).config(config).tokenBytes(bytes);
        return ids.length == 0 ? request : request.prompt(ids);
    }

    private synchronized void pack(int tokens) {
        if (!packed && tokens >= PACK_FROM) {
            packed = true;
            model.optimize(Precision.FP32);
        }
    }

    private long[] prompt(String text, Call call) {
        EncodeOptions plain = EncodeOptions.DEFAULT.withSpecialTokens(call.addSpecial);
        long[] ids = tokenizer.encode(call.prefix + text, null, plain).ids();
        int made = call.config.integer("max_new_tokens", 0);
        int limit = limit();
        if (call.hole && ids.length + made > limit) {
            if (limit - made <= 0) {
                throw new HeadstartException("handle_long_generation = hole: max_new_tokens = " + made
                        + " leaves no room for a prompt in the model's " + limit + " tokens");
            }
            return Arrays.copyOfRange(ids, ids.length - (limit - made), ids.length);
        }
        return ids;
    }

    private Call call(JsonNode kwargs) {
        Map<String, Object> parameters = new LinkedHashMap<>();
        kwargs.properties().forEach(e -> {
            if (!OWN.contains(e.getKey())) {
                parameters.put(e.getKey(), JsonHolder.JSON.convertValue(e.getValue(), Object.class));
            }
        });
        kwargs.path("generate_kwargs")
                .properties()
                .forEach(e -> parameters.put(e.getKey(), JsonHolder.JSON.convertValue(e.getValue(), Object.class)));
        if (kwargs.has("stop_sequence")) {
            parameters.put("stop_strings", JsonHolder.JSON.convertValue(kwargs.get("stop_sequence"), Object.class));
        }
        GenerationConfig config = withDefaults(GenerationConfig.empty().with(parameters));
        String handling = kwargs.path("handle_long_generation").asText("");
        if (!handling.isEmpty() && !handling.equals("hole") && !handling.equals("null")) {
            throw new HeadstartException("handle_long_generation must be \"hole\" or null, found \"" + handling + "\"");
        }
        boolean tensors = kwargs.path("return_tensors").asBoolean(false);
        if (tensors && kwargs.has("return_full_text")) {
            throw new HeadstartException("return_tensors contradicts return_full_text; give one of them");
        }
        return new Call(
                config,
                kwargs.path("return_full_text").asBoolean(true),
                tensors,
                kwargs.path("skip_special_tokens").asBoolean(true),
                kwargs.path("add_special_tokens").asBoolean(true),
                handling.equals("hole"),
                kwargs.path("prefix").asText(""));
    }

    /** The pipeline's defaults below what the call and the model say; those of sampling only when it samples. */
    private GenerationConfig withDefaults(GenerationConfig given) {
        GenerationConfig set = given.over(generative.generationConfig());
        Map<String, Object> added = new LinkedHashMap<>();
        DEFAULTS.forEach((name, value) -> {
            if (!set.has(name) && !given.mentions(name) && !(name.equals("max_new_tokens") && set.has("max_length"))) {
                added.put(name, value);
            }
        });
        if (!set.has("pad_token_id")
                && !given.mentions("pad_token_id")
                && tokenizer.padId().isPresent()) {
            added.put("pad_token_id", tokenizer.padId().getAsInt());
        }
        boolean samples = set.has("do_sample") ? set.flag("do_sample") : added.containsKey("do_sample");
        if (!samples) {
            added.remove("temperature");
        }
        return given.over(GenerationConfig.empty().with(added)).over(generative.generationConfig());
    }
}
