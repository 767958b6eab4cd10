package dev.headstart.data;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** JSON lines, a JSON array of objects, or SQuAD (articles, paragraphs and questions flattened, one question a row). */
final class JsonRowReader extends RowReader {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final TextInput in;
    private final @Nullable JsonParser parser;
    private final ArrayDeque<Map<String, @Nullable Object>> flattened = new ArrayDeque<>();
    private final ArrayDeque<String> pushed = new ArrayDeque<>();
    private long line;

    JsonRowReader(TextInput in, ReadOptions options, boolean lines) {
        super(in.name, options);
        this.in = in;
        this.parser = lines ? null : array(in);
    }

    /** A parser that stands inside the array of rows. */
    private JsonParser array(TextInput input) {
        try {
            JsonParser p = MAPPER.createParser(input.reader());
            JsonToken t = p.nextToken();
            if (t == JsonToken.START_OBJECT) {
                while (p.nextToken() == JsonToken.FIELD_NAME) {
                    String name = p.currentName();
                    t = p.nextToken();
                    if (t == JsonToken.START_ARRAY && (name.equals("data") || name.equals("rows"))) {
                        return p;
                    }
                    p.skipChildren();
                }
            } else if (t == JsonToken.START_ARRAY) {
                return p;
            }
        } catch (JsonProcessingException e) {
            throw broken(e);
        } catch (IOException e) {
            throw TextInput.failure(source(), e);
        }
        throw new HeadstartException(source()
                + ": expected a JSON array of objects, or an object with such an array under \"data\" or \"rows\", found neither"
                + " (one object a line is --input-format jsonl)");
    }

    private HeadstartException broken(JsonProcessingException e) {
        String where = e.getLocation() == null
                ? ""
                : " line " + e.getLocation().getLineNr() + " column "
                        + e.getLocation().getColumnNr();
        return new HeadstartException(source() + where + ": not valid JSON: " + e.getOriginalMessage(), e);
    }

    @Override
    @Nullable
    Row read() {
        return parser == null ? readLine() : readElement(parser);
    }

    private @Nullable Row readLine() {
        while (true) {
            String text = pushed.isEmpty() ? in.readLine() : pushed.poll();
            if (text == null) {
                return null;
            }
            line++;
            nextNumber();
            if (text.isBlank()) {
                return row(line, new LinkedHashMap<>());
            }
            if (text.indexOf(TextInput.NOT_UTF8) >= 0) {
                problems().report("not UTF-8", at(line) + ": not UTF-8: '" + LineReader.visible(text) + "'");
                continue;
            }
            try {
                Map<String, @Nullable Object> values = values(MAPPER.readTree(text));
                if (values != null) {
                    return row(line, values);
                }
                problems()
                        .report("no object", at(line) + ": expected a JSON object, found '" + Row.shorten(text) + "'");
            } catch (JsonProcessingException e) {
                problems()
                        .report(
                                "broken JSON",
                                at(line) + ": not valid JSON: "
                                        + e.getOriginalMessage().replace('\n', ' ') + " in '" + Row.shorten(text)
                                        + "'");
            }
        }
    }

    private @Nullable Row readElement(JsonParser p) {
        while (true) {
            Map<String, @Nullable Object> ready = flattened.poll();
            if (ready != null) {
                nextNumber();
                return row(line, ready);
            }
            try {
                JsonToken t = p.nextToken();
                if (t == null || t == JsonToken.END_ARRAY) {
                    return null;
                }
                line = p.currentLocation().getLineNr();
                JsonNode node = MAPPER.readTree(p);
                if (node.has("paragraphs")) {
                    squad(node);
                    continue;
                }
                nextNumber();
                Map<String, @Nullable Object> values = values(node);
                if (values == null) {
                    problems()
                            .report(
                                    "no object",
                                    at(line) + ": expected an object, found '" + Row.shorten(node.toString()) + "'");
                } else if (node.toString().indexOf(TextInput.NOT_UTF8) >= 0) {
                    problems()
                            .report(
                                    "not UTF-8",
                                    at(line) + ": not UTF-8: '" + LineReader.visible(node.toString()) + "'");
                } else {
                    return row(line, values);
                }
            } catch (JsonProcessingException e) {
                throw broken(e);
            } catch (IOException e) {
                throw TextInput.failure(source(), e);
            }
        }
    }

    private void squad(JsonNode article) {
        for (JsonNode paragraph : article.path("paragraphs")) {
            for (JsonNode qa : paragraph.path("qas")) {
                Map<String, @Nullable Object> row = new LinkedHashMap<>();
                row.put("id", qa.path("id").asText());
                row.put("title", article.path("title").asText(""));
                row.put("context", paragraph.path("context").asText());
                row.put("question", qa.path("question").asText());
                List<Object> texts = new ArrayList<>();
                List<Object> starts = new ArrayList<>();
                for (JsonNode a : qa.path("answers")) {
                    texts.add(a.path("text").asText());
                    starts.add(a.path("answer_start").asLong());
                }
                Map<String, Object> answers = new LinkedHashMap<>();
                answers.put("text", texts);
                answers.put("answer_start", starts);
                row.put("answers", answers);
                if (qa.has("is_impossible")) {
                    row.put("is_impossible", qa.path("is_impossible").asBoolean());
                }
                flattened.add(row);
            }
        }
    }

    private static @Nullable Map<String, @Nullable Object> values(JsonNode node) {
        Map<String, @Nullable Object> values = new LinkedHashMap<>();
        if (node.isTextual()) {
            values.put("text", node.textValue());
            return values;
        }
        if (!node.isObject()) {
            return null;
        }
        node.properties().forEach(e -> values.put(e.getKey(), plain(e.getValue())));
        return values;
    }

    private static @Nullable Object plain(JsonNode node) {
        if (node.isTextual()) {
            return node.textValue();
        }
        if (node.isIntegralNumber()) {
            return node.longValue();
        }
        if (node.isNumber()) {
            return node.doubleValue();
        }
        if (node.isBoolean()) {
            return node.booleanValue();
        }
        if (node.isArray()) {
            List<@Nullable Object> list = new ArrayList<>();
            node.forEach(n -> list.add(plain(n)));
            return list;
        }
        if (node.isObject()) {
            Map<String, @Nullable Object> map = new LinkedHashMap<>();
            node.properties().forEach(e -> map.put(e.getKey(), plain(e.getValue())));
            return map;
        }
        return null;
    }

    @Override
    boolean atEnd() {
        if (parser != null) {
            return false;
        }
        while (pushed.isEmpty() || pushed.peekLast().isBlank()) {
            String text = in.readLine();
            if (text == null) {
                return true;
            }
            pushed.add(text);
        }
        return false;
    }

    @Override
    public double fraction() {
        return in.fraction();
    }

    @Override
    public void close() {
        in.close();
    }
}
