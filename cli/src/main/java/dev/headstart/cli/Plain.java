package dev.headstart.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.pipeline.ImageSegmentationPipeline.Segment;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Results for people: the name and the score in columns, one line a candidate. */
final class Plain {
    private static final JsonMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .build();
    private static final List<String> NAMES = List.of(
            "token_str",
            "label",
            "entity_group",
            "entity",
            "answer",
            "generated_text",
            "translation_text",
            "summary_text",
            "text",
            "index");

    private Plain() {}

    /** One result as lines of text. */
    static String text(Object result) {
        return text(JSON.<JsonNode>valueToTree(result));
    }

    /** A segment of an image: its class, its part of the pixels, and the score if it has one. */
    static String segment(Segment s) {
        return String.format(Locale.ROOT, "%-20s %5.1f %%", s.label(), 100 * s.share())
                + (s.score() == null ? "" : String.format(Locale.ROOT, "  score %.4f", s.score()));
    }

    private static String text(JsonNode node) {
        if (node instanceof ArrayNode array) {
            if (array.isEmpty()) {
                return "(none)";
            }
            if (array.get(0).isNumber()) {
                return array.toString();
            }
            List<String> lines = new ArrayList<>();
            array.forEach(e -> lines.add(text(e)));
            return String.join(System.lineSeparator(), lines);
        }
        return node instanceof ObjectNode object ? line(object) : node.asText();
    }

    private static String line(ObjectNode object) {
        if (object.path("labels").isArray() && object.path("scores").isArray()) { // zero-shot-classification
            List<String> lines = new ArrayList<>(List.of(object.path("sequence").asText()));
            for (int i = 0; i < object.get("labels").size(); i++) {
                lines.add(String.format(
                        Locale.ROOT,
                        "  %-20s %.4f",
                        object.get("labels").get(i).asText(),
                        object.get("scores").get(i).asDouble()));
            }
            return String.join(System.lineSeparator(), lines);
        }
        StringBuilder line = new StringBuilder();
        boolean named = false;
        for (String name : NAMES) {
            if (object.hasNonNull(name)) {
                String pattern = object.hasNonNull("score") ? "%-20s" : "%s";
                line.append(pattern.formatted(object.get(name).asText().strip()));
                named = true; // a text that was generated may be empty
                break;
            }
        }
        if (!named) {
            return object.toString();
        }
        if (object.hasNonNull("score")) {
            line.append(String.format(Locale.ROOT, " %.4f", object.get("score").asDouble()));
        }
        if (object.path("box").isObject()) { // object-detection
            JsonNode box = object.get("box");
            line.append(String.format(
                    Locale.ROOT,
                    "  x %d..%d, y %d..%d",
                    box.path("xmin").asLong(),
                    box.path("xmax").asLong(),
                    box.path("ymin").asLong(),
                    box.path("ymax").asLong()));
        }
        for (String more : List.of("word", "sequence")) {
            if (object.hasNonNull(more)) {
                line.append("  ").append(object.get(more).asText());
            }
        }
        return line.toString();
    }
}
