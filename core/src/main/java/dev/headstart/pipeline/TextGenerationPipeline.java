package dev.headstart.pipeline;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
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
import dev.headstart.nn.Memory;
import dev.headstart.text.ChatTemplate;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.TokenBytes;
import dev.headstart.text.Truncation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;
import org.bytedeco.pytorch.Generator;
import org.jspecify.annotations.Nullable;

/**
 * Texts that go on where a prompt ends (transformers TextGenerationPipeline). Call arguments: the generation parameters at top level;
 * {@code return_full_text} (default true), {@code return_tensors}, {@code stop_sequence}, {@code prefix}, {@code add_special_tokens}, {@code truncation},
 * {@code tokenizer_encode_kwargs}, {@code skip_special_tokens}, {@code handle_long_generation} ("hole" cuts the prompt's beginning).
 *
 * <p>An input that is a JSON list of messages ({"role", "content"}) is a conversation: it goes through the model's chat template, with {@code tools},
 * {@code documents} and {@code chat_template_kwargs} from the call, and comes back with the assistant's message.
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
            "tools",
            "documents",
            "continue_final_message",
            "chat_template_kwargs",
            "tokenizer_encode_kwargs",
            "generate_kwargs");

    private final GenerativeModel generative;
    private final TokenBytes bytes;

    TextGenerationPipeline(String id, PipelineOptions options) {
        super(id, () -> AutoModelForCausalLM.fromPretrained(id, options.load().packed()), options);
        this.generative = generative(id, model);
        this.bytes = new TokenBytes(tokenizer);
    }

    /** The model as one that generates. @throws HeadstartException when it does not; the model is then closed */
    static GenerativeModel generative(String id, PreTrainedModel<?> model) {
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
            EncodeOptions encoding,
            boolean hole,
            String prefix) {}

    /** Goes on with a prompt, with the model's own parameters. */
    public String apply(String prompt) {
        return apply(prompt, Map.of());
    }

    /** Goes on with a prompt. @param parameters generation parameters by transformers' names; @return prompt and result */
    public String apply(String prompt, Map<String, ?> parameters) {
        ObjectNode kwargs = JsonHolder.JSON.valueToTree(parameters);
        Call call = call(kwargs);
        Generator shared = call.config.flag("do_sample") ? Generation.newGenerator(call.config.seed()) : null;
        try {
            return generate(prompt(prompt, call), call.fullText ? prompt : "", call, shared)
                    .get(0)
                    .text();
        } finally {
            Memory.close(shared);
        }
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        Call call = call(kwargs);
        List<Object> results = new ArrayList<>();
        Generator shared = call.config.flag("do_sample") ? Generation.newGenerator(call.config.seed()) : null;
        try {
            for (String input : inputs) {
                List<Map<String, Object>> messages = messages(input);
                long[] ids = messages == null ? prompt(input, call) : cut(prompt(messages, kwargs), call);
                String before = messages == null && call.fullText ? input : "";
                List<Object> texts = new ArrayList<>();
                for (Generated g : generate(ids, before, call, shared)) {
                    if (call.tensors) {
                        texts.add(Map.of("generated_token_ids", g.ids));
                    } else if (messages != null && call.fullText) {
                        texts.add(
                                Map.of("generated_text", conversation(messages, g.text, continues(messages, kwargs))));
                    } else {
                        texts.add(Map.of("generated_text", g.text));
                    }
                }
                results.add(texts);
            }
            return results;
        } finally {
            Memory.close(shared);
        }
    }

    /** The messages with the answer, in a message of its own or at the end of the last one. */
    private static List<Map<String, Object>> conversation(
            List<Map<String, Object>> messages, String answer, boolean goesOn) {
        List<Map<String, Object>> all = new ArrayList<>(messages);
        if (goesOn) {
            Map<String, Object> last = new LinkedHashMap<>(all.remove(all.size() - 1));
            last.put("content", last.get("content") + answer);
            all.add(last);
        } else {
            Map<String, Object> message = new LinkedHashMap<>();
            message.put("role", "assistant");
            message.put("content", answer);
            all.add(message);
        }
        return all;
    }

    /**
     * Goes on with a prompt, piece by piece as it is made.
     *
     * @param piece receives whole characters only; first the prompt, unless {@code return_full_text} is false
     */
    public void stream(String prompt, JsonNode kwargs, Consumer<String> piece) {
        Call call = call(kwargs);
        long[] ids = prompt(prompt, call);
        TextStreamer streamer = new TextStreamer(tokenizer, call.skipSpecial);
        try (TokenStream tokens = request(ids, call.config).stream()) {
            boolean more = tokens.hasNext(); // what is wrong shows before anything is given out
            if (call.fullText) {
                piece.accept(prompt);
            }
            while (more) {
                Token token = tokens.next();
                if (token.row() != 0) {
                    throw new HeadstartException("streaming contradicts num_return_sequences > 1; set it to 1");
                }
                give(streamer.push(token.id()), piece);
                more = tokens.hasNext();
            }
        }
        give(streamer.finish(), piece);
    }

    /**
     * Answers a conversation, piece by piece as the answer is made.
     *
     * @param messages maps of role and content, the last one the user's, or the assistant's to go on with
     * @param kwargs call arguments, and {@code chat_template_kwargs} for the template's own variables
     * @param piece receives whole characters only
     * @return the whole answer
     */
    public String chat(List<? extends Map<String, ?>> messages, JsonNode kwargs, Consumer<String> piece) {
        Call call = call(kwargs);
        StringBuilder answer = new StringBuilder();
        TextStreamer streamer = new TextStreamer(tokenizer, call.skipSpecial);
        try (TokenStream tokens = request(cut(prompt(messages, kwargs), call), call.config).stream()) {
            while (tokens.hasNext()) {
                give(streamer.push(tokens.next().id()), answer::append, piece);
            }
        }
        give(streamer.finish(), answer::append, piece);
        return answer.toString();
    }

    /** Whether the model has a chat template, which {@link #chat} needs. */
    public boolean chats() {
        return tokenizer.chatTemplate("default") != null;
    }

    /** Most tokens of prompt and result together. */
    public int contextLength() {
        int context = generative.contextLength();
        return context > 0 ? Math.min(limit(), context) : limit();
    }

    /** Whether a conversation leaves room for an answer: for the new tokens of the call, or a quarter of what the model reads. */
    public boolean hasRoom(List<? extends Map<String, ?>> messages, JsonNode kwargs) {
        int wanted = Math.min(call(kwargs).config.integer("max_new_tokens", 0), contextLength() / 4);
        return prompt(messages, kwargs).length + wanted <= contextLength();
    }

    private static void give(String text, Consumer<String> first, Consumer<String> second) {
        give(text, first);
        give(text, second);
    }

    private long[] prompt(List<? extends Map<String, ?>> messages, JsonNode kwargs) {
        boolean goesOn = continues(messages, kwargs);
        Map<String, Object> variables = new LinkedHashMap<>();
        kwargs.path("chat_template_kwargs").properties().forEach(e -> variables.put(e.getKey(), plain(e.getValue())));
        ChatTemplate.Options how = new ChatTemplate.Options(
                !goesOn,
                goesOn,
                maps(kwargs.get("tools")),
                maps(kwargs.get("documents")),
                variables,
                kwargs.path("continue_final_message").isTextual()
                        ? kwargs.path("continue_final_message").asText()
                        : "content");
        return tokenizer.encodeChat(messages, how).ids();
    }

    /** Whether the answer goes on with the last message: what the call says, else when that is the assistant's. */
    private static boolean continues(List<? extends Map<String, ?>> messages, JsonNode kwargs) {
        boolean assistant = !messages.isEmpty()
                && "assistant".equals(messages.get(messages.size() - 1).get("role"));
        JsonNode said = kwargs.path("continue_final_message");
        return said.isTextual() || said.asBoolean(assistant);
    }

    /** The messages of an input that is a JSON list of them, else null. */
    private static @Nullable List<Map<String, Object>> messages(String input) {
        if (!input.stripLeading().startsWith("[")) {
            return null;
        }
        try {
            JsonNode list = JsonHolder.JSON.readTree(input);
            boolean chat = list.isArray() && !list.isEmpty();
            for (JsonNode message : list) {
                chat &= message.isObject() && message.has("role") && message.has("content");
            }
            return chat ? maps(list) : null;
        } catch (JsonProcessingException e) {
            return null;
        }
    }

    private static @Nullable List<Map<String, Object>> maps(@Nullable JsonNode list) {
        return list == null || list.isNull()
                ? null
                : JsonHolder.JSON.convertValue(list, new TypeReference<List<Map<String, Object>>>() {});
    }

    private static Object plain(JsonNode value) {
        return JsonHolder.JSON.convertValue(value, Object.class);
    }

    private static void give(String text, Consumer<String> piece) {
        if (!text.isEmpty()) {
            piece.accept(text);
        }
    }

    private List<Generated> generate(long[] ids, String before, Call call, @Nullable Generator shared) {
        Generation request = request(ids, call.config);
        GenerationOutput out = (shared == null ? request : request.generator(shared)).generate();
        List<Generated> texts = new ArrayList<>();
        for (long[] row : out.sequences()) {
            long[] made = Arrays.stream(row, out.promptLength(), row.length)
                    .filter(t -> t >= 0)
                    .toArray();
            texts.add(new Generated(before + tokenizer.decode(made, call.skipSpecial), row));
        }
        return texts;
    }

    private Generation request(long[] ids, GenerationConfig config) {
        Generation request = Generation.of(generative).config(config).tokenBytes(bytes);
        return ids.length == 0 ? request : request.prompt(ids);
    }

    private long[] prompt(String text, Call call) {
        return cut(tokenizer.encode(call.prefix + text, null, call.encoding).ids(), call);
    }

    /** Leaves out the beginning of a prompt that leaves no room for what is to follow, where the call asks for that. */
    private long[] cut(long[] ids, Call call) {
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

    /** A call's generation parameters, at top level or in {@code generate_kwargs}. @param others arguments that are none */
    static Map<String, @Nullable Object> parameters(JsonNode kwargs, Set<String> others) {
        Map<String, @Nullable Object> parameters = new LinkedHashMap<>();
        kwargs.properties().forEach(e -> {
            if (!others.contains(e.getKey())) {
                parameters.put(e.getKey(), plain(e.getValue()));
            }
        });
        kwargs.path("generate_kwargs").properties().forEach(e -> parameters.put(e.getKey(), plain(e.getValue())));
        return parameters;
    }

    private Call call(JsonNode kwargs) {
        Map<String, @Nullable Object> parameters = parameters(kwargs, OWN);
        if (kwargs.has("stop_sequence")) {
            parameters.put("stop_strings", JsonHolder.JSON.convertValue(kwargs.get("stop_sequence"), Object.class));
        }
        GenerationConfig config = withDefaults(GenerationConfig.empty().with(parameters));
        String prefix = kwargs.path("prefix").asText("");
        if (!prefix.isEmpty()) {
            config = afterPrefix(
                    config, prefix, kwargs.path("add_special_tokens").asBoolean(false));
        }
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
                encoding(kwargs),
                handling.equals("hole"),
                prefix);
    }

    /** How prompts are encoded: what the call says, {@code tokenizer_encode_kwargs} first; a {@code max_length} cuts prompts too. */
    private static EncodeOptions encoding(JsonNode kwargs) {
        ObjectNode said = JsonHolder.JSON.createObjectNode();
        for (String name : List.of("add_special_tokens", "truncation", "max_length")) {
            if (kwargs.hasNonNull(name)) {
                said.set(name, kwargs.get(name));
            }
        }
        kwargs.path("tokenizer_encode_kwargs").properties().forEach(e -> said.set(e.getKey(), e.getValue()));
        JsonNode truncation = said.path("truncation");
        boolean cuts = truncation.isMissingNode() || truncation.isNull()
                ? said.hasNonNull("max_length") && !kwargs.path("padding").asBoolean(false)
                : !truncation.asText().equals("false") && !truncation.asText().equals("do_not_truncate");
        return EncodeOptions.DEFAULT
                .withSpecialTokens(said.path("add_special_tokens").asBoolean(true))
                .withTruncation(cuts ? Truncation.LONGEST_FIRST : Truncation.NONE)
                .withMaxLength(said.path("max_length").asInt(0));
    }

    /** Lengths of prompt and result together count what follows a prefix. */
    private GenerationConfig afterPrefix(GenerationConfig config, String prefix, boolean special) {
        int tokens = tokenizer
                .encode(prefix, null, EncodeOptions.DEFAULT.withSpecialTokens(special))
                .length();
        GenerationConfig longer = config;
        for (String bound : List.of("max", "min")) {
            if (config.has(bound + "_length") && !config.has(bound + "_new_tokens")) {
                longer = longer.with(bound + "_length", config.integer(bound + "_length", 0) + tokens);
            }
        }
        return longer;
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
