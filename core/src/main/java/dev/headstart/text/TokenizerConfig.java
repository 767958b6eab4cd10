package dev.headstart.text;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** tokenizer_config.json with special_tokens_map.json, added_tokens.json, the model's type, and transformers' defaults behind it. */
final class TokenizerConfig {
    /** Names of the special tokens that transformers gives attributes of their own. */
    static final List<String> NAMED =
            List.of("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token");

    final ObjectNode raw;
    /** Not final: a folder without any configuration is judged by its vocabulary. */
    TokenizerFamily family;

    /** config.json's model_type; empty when there is none. */
    String modelType = "";

    private final boolean classStated;
    /** Named special token -> its spelling, with its flags where the files state them. */
    final Map<String, ObjectNode> special = new LinkedHashMap<>();
    /** additional_special_tokens and extra_special_tokens. */
    final List<ObjectNode> extra = new ArrayList<>();
    /** Added tokens by id. */
    final Map<Integer, ObjectNode> added = new TreeMap<>();

    private TokenizerConfig(ObjectNode raw, TokenizerFamily family, boolean classStated) {
        this.raw = raw;
        this.family = family;
        this.classStated = classStated;
    }

    /** Reads what there is in a folder; every file may be missing. */
    static TokenizerConfig read(Path folder) {
        ObjectNode raw = object(folder.resolve("tokenizer_config.json"));
        ObjectNode model = object(folder.resolve("config.json"));
        String tokenizerClass = text(raw, "tokenizer_class");
        if (tokenizerClass == null) tokenizerClass = text(model, "tokenizer_class");
        TokenizerConfig c = new TokenizerConfig(
                raw, TokenizerFamily.of(tokenizerClass, text(model, "model_type")), tokenizerClass != null);
        c.modelType = model.path("model_type").asText("");
        if (c.flag("split_special_tokens", false)) {
            throw new HeadstartException(
                    folder.resolve("tokenizer_config.json")
                            + ": split_special_tokens true is not supported: special tokens in a text are always read as such; set it to false");
        }
        boolean legacy = !raw.path("added_tokens_decoder").isObject();
        ObjectNode map =
                legacy ? object(folder.resolve("special_tokens_map.json")) : TokenizerJson.MAPPER.createObjectNode();
        boolean whole = Files.exists(folder.resolve("tokenizer.json")); // whose tokens have their own flags
        for (String name : NAMED) {
            JsonNode value = map.hasNonNull(name) ? map.get(name) : raw.get(name);
            ObjectNode token = value == null ? null : token(value);
            String builtIn = c.family.special().get(name);
            if (token == null && value == null && builtIn != null) token = token(builtIn);
            if (token == null) continue;
            c.special.put(name, token);
            boolean spelled = value == null || value.isTextual();
            if (spelled && name.equals("mask_token") && c.family.masksTakeBlanks() && !whole) token.put("lstrip", true);
        }
        for (String name : List.of("additional_special_tokens", "extra_special_tokens")) {
            JsonNode values = map.hasNonNull(name) ? map.get(name) : raw.path(name);
            for (JsonNode value : values) { // a list, or a map from names
                ObjectNode token = token(value);
                if (token != null) c.extra.add(token);
            }
        }
        for (var e : raw.path("added_tokens_decoder").properties()) {
            ObjectNode token = token(e.getValue());
            if (token != null)
                c.added.put(
                        id(e.getKey(), folder),
                        token.put("special", e.getValue().path("special").asBoolean()));
        }
        if (legacy) {
            for (var e : object(folder.resolve("added_tokens.json")).properties()) {
                ObjectNode token = token(e.getKey()).put("special", false).put("normalized", true);
                boolean named =
                        c.special.values().stream().anyMatch(t -> content(t).equals(e.getKey()))
                                || c.extra.stream().anyMatch(t -> content(t).equals(e.getKey()));
                if (named) token.put("special", true).put("normalized", false);
                c.added.put(e.getValue().asInt(), token);
            }
        }
        return c;
    }

    /** Where no file says what kind of tokenizer this is: what its vocabulary looks like. */
    void inferFamily(String modelType, Predicate<String> hasToken) {
        if (family != TokenizerFamily.GENERIC || classStated) return;
        family = TokenizerFamily.infer(modelType, hasToken);
        family.special().forEach((name, token) -> {
            if (!raw.has(name) && hasToken.test(token)) special.putIfAbsent(name, token(token));
        });
    }

    private static int id(String text, Path folder) {
        try {
            return Integer.parseInt(text);
        } catch (NumberFormatException e) {
            throw new HeadstartException(
                    folder.resolve("tokenizer_config.json") + ": added_tokens_decoder has the key \"" + text
                            + "\", expected a token id",
                    e);
        }
    }

    /** A special token as a node with its flags, from a string or an object; null for anything else. */
    private static @Nullable ObjectNode token(JsonNode value) {
        if (value.isTextual()) return token(value.asText());
        if (!value.path("content").isTextual()) return null;
        ObjectNode token = token(value.get("content").asText());
        for (String flag : List.of("lstrip", "rstrip", "single_word", "normalized")) {
            if (value.path(flag).isBoolean()) token.set(flag, value.get(flag));
        }
        return token;
    }

    static ObjectNode token(String content) {
        return TokenizerJson.MAPPER
                .createObjectNode()
                .put("content", content)
                .put("single_word", false)
                .put("lstrip", false)
                .put("rstrip", false)
                .put("normalized", false)
                .put("special", true);
    }

    static String content(ObjectNode token) {
        return token.path("content").asText();
    }

    /** The spelling of a named special token, {@code "pad_token"}. */
    @Nullable
    String special(String name) {
        ObjectNode token = special.get(name);
        return token == null ? null : content(token);
    }

    /** The same with another named special token. */
    TokenizerConfig withSpecial(String name, String content) {
        TokenizerConfig c = copy();
        c.special.put(name, token(content));
        return c;
    }

    /** The same making other inputs. */
    TokenizerConfig withInputNames(List<String> names) {
        TokenizerConfig c = copy();
        names.forEach(c.raw.putArray("model_input_names")::add);
        return c;
    }

    /** Whether tokenizer_config.json says which inputs the tokenizer makes. */
    boolean statesInputNames() {
        return raw.path("model_input_names").isArray();
    }

    private TokenizerConfig copy() {
        TokenizerConfig c = new TokenizerConfig(raw.deepCopy(), family, classStated);
        c.modelType = modelType;
        c.special.putAll(special);
        c.extra.addAll(extra);
        c.added.putAll(added);
        return c;
    }

    boolean flag(String name, boolean otherwise) {
        JsonNode value = raw.get(name);
        return value != null && value.isBoolean() ? value.asBoolean() : otherwise;
    }

    /** The model's limit in tokens; 0 when it has none. */
    int modelMaxLength() {
        JsonNode value = raw.hasNonNull("model_max_length") ? raw.get("model_max_length") : raw.path("max_len");
        if (!value.isNumber()) return 0;
        double n = value.asDouble();
        return n >= 1 && n < Integer.MAX_VALUE ? (int) n : 0;
    }

    List<String> inputNames() {
        JsonNode names = raw.path("model_input_names");
        if (!statesInputNames()) return family.inputNames();
        List<String> list = new ArrayList<>();
        names.forEach(n -> list.add(n.asText()));
        return List.copyOf(list);
    }

    /** tokenizer_config.json with all special tokens in it, so that it needs no companion. */
    String toJson() {
        ObjectNode out = raw.deepCopy();
        out.remove("chat_template"); // in files of its own
        special.forEach((name, token) -> out.put(name, content(token)));
        return out.toPrettyString() + "\n";
    }

    static @Nullable String text(ObjectNode node, String field) {
        JsonNode value = node.get(field);
        return value != null && value.isTextual() ? value.asText() : null;
    }

    /** A JSON object from a file; empty when there is no such file. */
    static ObjectNode object(Path file) {
        if (!Files.isRegularFile(file)) return TokenizerJson.MAPPER.createObjectNode();
        try {
            if (TokenizerJson.MAPPER.readTree(file.toFile()) instanceof ObjectNode object) return object;
            throw new HeadstartException(file + ": expected a JSON object");
        } catch (JsonProcessingException e) {
            throw new HeadstartException(
                    file + ": is no valid JSON at line " + e.getLocation().getLineNr() + " ("
                            + TokenizerJson.oneLine(e.getOriginalMessage()) + ")",
                    e);
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read (" + e.getMessage() + ")", e);
        }
    }
}
