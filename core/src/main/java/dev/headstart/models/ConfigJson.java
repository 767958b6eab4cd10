package dev.headstart.models;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * A config.json with typed access: every getter names the field as transformers does and gives its default; a value of the wrong kind is an error
 * that names file, field, expected and found. A field that is there but null counts as absent.
 */
public final class ConfigJson {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Families that call common fields otherwise (transformers' attribute_map): model_type, then common name to the family's. */
    private static final Map<String, Map<String, String>> ATTRIBUTE_MAP = Map.of(
            "distilbert",
            Map.of("hidden_size", "dim", "num_attention_heads", "n_heads", "num_hidden_layers", "n_layers"));

    private final ObjectNode node;
    private final String origin;

    /** @param node the object; @param origin what to call it in messages: {@code model/config.json} */
    public ConfigJson(ObjectNode node, String origin) {
        this.node = node;
        this.origin = origin;
    }

    /** Reads a JSON object. @throws HeadstartException when it is missing or no object */
    public static ConfigJson read(Path file) {
        if (!Files.isRegularFile(file)) {
            throw new HeadstartException(file + " not found: a model folder needs a config.json (Hugging Face layout)");
        }
        try {
            if (JSON.readTree(Files.readAllBytes(file)) instanceof ObjectNode object) {
                return new ConfigJson(object, file.toString());
            }
            throw new HeadstartException(file + ": expected a JSON object; fetch the file again");
        } catch (JacksonException e) {
            throw new HeadstartException(
                    file + ": not valid JSON at line " + e.getLocation().getLineNr() + ": " + e.getOriginalMessage()
                            + "; fetch the file again",
                    e);
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read: " + e.getMessage(), e);
        }
    }

    /** The JSON itself; changes show in the getters. */
    public ObjectNode node() {
        return node;
    }

    /** Name of the file, for messages. */
    public String origin() {
        return origin;
    }

    /** Whether the field is there and not null. */
    public boolean has(String field) {
        return node.hasNonNull(field);
    }

    private <T> T get(String field, T absent, String expected, Predicate<JsonNode> fits, Function<JsonNode, T> value) {
        JsonNode v = node.get(field);
        if (v == null || v.isNull()) {
            String own = ATTRIBUTE_MAP
                    .getOrDefault(node.path("model_type").asText(), Map.of())
                    .get(field);
            return own == null ? absent : get(own, absent, expected, fits, value);
        }
        if (!fits.test(v)) {
            throw new HeadstartException(origin + ": " + field + " must be " + expected + ", found " + v);
        }
        return value.apply(v);
    }

    private <T> List<T> list(
            String field, List<T> absent, String expected, Predicate<JsonNode> fits, Function<JsonNode, T> value) {
        return get(field, absent, "a list of " + expected, v -> v instanceof ArrayNode || fits.test(v), v -> {
            List<T> all = new ArrayList<>();
            for (JsonNode e : v instanceof ArrayNode ? v : List.of(v)) {
                if (!fits.test(e)) {
                    throw new HeadstartException(
                            origin + ": " + field + " must be a list of " + expected + ", found " + v);
                }
                all.add(value.apply(e));
            }
            return List.copyOf(all);
        });
    }

    private static boolean whole(JsonNode v) {
        return v.isNumber() && v.asDouble() == Math.rint(v.asDouble());
    }

    /** A whole number. */
    public int integer(String field, int absent) {
        return get(field, absent, "a whole number", ConfigJson::whole, JsonNode::asInt);
    }

    /** A size: a whole number above 0. */
    public int size(String field, int absent) {
        return get(field, absent, "a whole number above 0", v -> whole(v) && v.asInt() > 0, JsonNode::asInt);
    }

    /** A whole number, or null when absent. */
    public @Nullable Integer integerOrNull(String field) {
        return has(field) ? Integer.valueOf(integer(field, 0)) : null;
    }

    /** A number. */
    public double number(String field, double absent) {
        return get(field, absent, "a number", JsonNode::isNumber, JsonNode::asDouble);
    }

    /** true or false. */
    public boolean flag(String field, boolean absent) {
        return get(field, absent, "true or false", JsonNode::isBoolean, JsonNode::asBoolean);
    }

    /** A text. */
    public String text(String field, String absent) {
        return get(field, absent, "a text", JsonNode::isTextual, JsonNode::asText);
    }

    /** A list of whole numbers; a single number is a list of one. */
    public List<Integer> integers(String field, List<Integer> absent) {
        return list(field, absent, "whole numbers", ConfigJson::whole, JsonNode::asInt);
    }

    /** A list of numbers. */
    public List<Double> numbers(String field, List<Double> absent) {
        return list(field, absent, "numbers", JsonNode::isNumber, JsonNode::asDouble);
    }

    /** A list of texts. */
    public List<String> texts(String field, List<String> absent) {
        return list(field, absent, "texts", JsonNode::isTextual, JsonNode::asText);
    }

    /** An object inside ({@code text_config}); empty when absent. */
    public ConfigJson sub(String field) {
        ObjectNode empty = JSON.createObjectNode();
        ObjectNode inner = get(field, empty, "an object", JsonNode::isObject, v -> (ObjectNode) v);
        return new ConfigJson(inner, origin + ": " + field);
    }

    // === Fields that every configuration has (transformers PreTrainedConfig) ===

    /** Which family: {@code bert}. */
    public String modelType() {
        return text("model_type", "");
    }

    /** Class names the checkpoint was saved from. */
    public List<String> architectures() {
        return texts("architectures", List.of());
    }

    /** Number of classes: the size of id2label, else num_labels, else 2. */
    public int numLabels() {
        return has("id2label") ? sub("id2label").node().size() : size("num_labels", 2);
    }

    /** Names of the classes by index; LABEL_i where config.json gives none. */
    public Map<Integer, String> id2label() {
        Map<Integer, String> names = new TreeMap<>();
        for (int i = 0; i < numLabels(); i++) {
            names.put(i, "LABEL_" + i);
        }
        sub("id2label").node().properties().forEach(e -> {
            if (!e.getKey().matches("\\d{1,9}")) {
                throw new HeadstartException(origin + ": id2label: key \"" + e.getKey() + "\" must be a whole number");
            }
            names.put(Integer.valueOf(e.getKey()), e.getValue().asText());
        });
        return names;
    }

    /** {@code regression}, {@code single_label_classification}, {@code multi_label_classification}, or empty. */
    public String problemType() {
        return text("problem_type", "");
    }

    /** Puts label names in. */
    public void labels(Map<Integer, String> id2label) {
        ObjectNode forward = node.putObject("id2label");
        ObjectNode back = node.putObject("label2id");
        id2label.forEach((i, name) -> {
            forward.put(String.valueOf(i), name);
            back.put(name, i);
        });
        node.remove("num_labels");
    }

    /** The given fields and their values, for messages about wrong shapes: {@code (hidden_size 768, vocab_size 30522) }. */
    public String hint() {
        List<String> facts = new ArrayList<>();
        for (String f : List.of("hidden_size", "intermediate_size", "vocab_size", "d_model", "n_embd", "num_labels")) {
            if (has(f)) {
                facts.add(f + " " + node.get(f).asText());
            }
        }
        return facts.isEmpty() ? "" : "(" + String.join(", ", facts) + ") ";
    }
}
