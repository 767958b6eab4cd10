package dev.headstart.text;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A tokenizer.json in memory: small parts as trees that may be changed, the vocabulary as a map, and the vocabulary's and merges' own text,
 * which may be tens of megabytes, untouched.
 */
final class TokenizerJson {
    static final ObjectMapper MAPPER = new ObjectMapper(JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(200)
                    .maxStringLength(64 << 20)
                    .build())
            .build());

    /** Everything but the model: version, added_tokens, normalizer, pre_tokenizer, post_processor, decoder, truncation, padding. */
    final ObjectNode top;
    /** The model without its vocabulary and merges. */
    final ObjectNode model;

    private final String vocabText;
    private final @Nullable String mergesText;
    private final Map<String, Integer> vocab;

    private TokenizerJson(
            ObjectNode top,
            ObjectNode model,
            String vocabText,
            @Nullable String mergesText,
            Map<String, Integer> vocab) {
        this.top = top;
        this.model = model;
        this.vocabText = vocabText;
        this.mergesText = mergesText;
        this.vocab = vocab;
    }

    /** A new one, for the converters of other formats. {@code vocab} is an object token -> id, or an array of [token, score]. */
    static TokenizerJson of(String modelType, JsonNode vocab, @Nullable ArrayNode merges) {
        ObjectNode top = MAPPER.createObjectNode();
        top.put("version", "1.0");
        top.putArray("added_tokens");
        for (String part : new String[] {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) top.putNull(part);
        ObjectNode model = MAPPER.createObjectNode();
        model.put("type", modelType);
        Map<String, Integer> map = new LinkedHashMap<>();
        if (vocab.isArray()) {
            for (JsonNode entry : vocab) map.putIfAbsent(entry.get(0).asText(), map.size());
            if (map.size() != vocab.size()) { // a piece twice: keep positions as ids
                map.clear();
                for (int i = 0; i < vocab.size(); i++)
                    map.putIfAbsent(vocab.get(i).get(0).asText(), i);
            }
        } else {
            vocab.properties().forEach(e -> map.put(e.getKey(), e.getValue().asInt()));
        }
        return new TokenizerJson(top, model, vocab.toString(), merges == null ? null : merges.toString(), map);
    }

    /**
     * Reads the text of a tokenizer.json.
     *
     * @param where the file, for errors
     * @throws HeadstartException when it is no JSON, or has no model with a vocabulary
     */
    static TokenizerJson parse(String text, String where) {
        ObjectNode top = MAPPER.createObjectNode();
        ObjectNode model = MAPPER.createObjectNode();
        Map<String, Integer> vocab = new HashMap<>();
        String vocabText = null;
        String mergesText = null;
        try (JsonParser p = MAPPER.createParser(text)) {
            if (p.nextToken() != JsonToken.START_OBJECT) throw bad(where, "expected a JSON object", null);
            while (p.nextToken() == JsonToken.FIELD_NAME) {
                String name = p.currentName();
                p.nextToken();
                if (!name.equals("model") || p.currentToken() != JsonToken.START_OBJECT) {
                    top.set(name, MAPPER.readTree(p));
                    continue;
                }
                while (p.nextToken() == JsonToken.FIELD_NAME) {
                    String field = p.currentName();
                    p.nextToken();
                    if (!field.equals("vocab") && !field.equals("merges")) {
                        model.set(field, MAPPER.readTree(p));
                        continue;
                    }
                    int from = (int) p.currentTokenLocation().getCharOffset();
                    if (field.equals("vocab")) readVocab(p, vocab, where);
                    else p.skipChildren();
                    String slice =
                            text.substring(from, (int) p.currentLocation().getCharOffset());
                    if (field.equals("vocab")) vocabText = slice;
                    else mergesText = slice;
                }
            }
        } catch (JsonProcessingException e) {
            throw bad(
                    where,
                    "is no valid JSON at line " + e.getLocation().getLineNr() + ", column "
                            + e.getLocation().getColumnNr() + " (" + oneLine(e.getOriginalMessage()) + ")",
                    e);
        } catch (IOException e) {
            throw bad(where, "cannot be read (" + e.getMessage() + ")", e);
        }
        if (vocabText == null) throw bad(where, "has no model.vocab", null);
        return new TokenizerJson(top, model, vocabText, mergesText, vocab);
    }

    private static void readVocab(JsonParser p, Map<String, Integer> vocab, String where) throws IOException {
        if (p.currentToken() == JsonToken.START_OBJECT) {
            while (p.nextToken() == JsonToken.FIELD_NAME) {
                String token = p.currentName();
                if (p.nextToken() != JsonToken.VALUE_NUMBER_INT)
                    throw bad(where, "model.vocab: the id of " + token + " is no whole number", null);
                vocab.put(token, p.getIntValue());
            }
        } else if (p.currentToken() == JsonToken.START_ARRAY) {
            int id = 0;
            while (p.nextToken() == JsonToken.START_ARRAY) {
                if (p.nextToken() != JsonToken.VALUE_STRING)
                    throw bad(where, "model.vocab: entry " + id + " does not start with a token", null);
                vocab.putIfAbsent(p.getText(), id++);
                while (p.nextToken() != JsonToken.END_ARRAY) p.skipChildren();
            }
        } else {
            throw bad(where, "model.vocab is neither an object nor a list", null);
        }
    }

    private static HeadstartException bad(String where, String what, @Nullable Throwable cause) {
        return new HeadstartException(
                where + ": " + what + "; the file is damaged or not a tokenizer.json, fetch it again", cause);
    }

    static String oneLine(@Nullable String text) {
        return text == null ? "" : text.strip().replaceAll("\\s+", " ");
    }

    /** Whether the vocabulary or the added tokens have it. */
    boolean hasToken(String content) {
        if (vocab.containsKey(content)) return true;
        for (JsonNode t : addedTokens()) if (t.path("content").asText().equals(content)) return true;
        return false;
    }

    TokenizerJson ignoreMerges(boolean value) {
        model.put("ignore_merges", value);
        return this;
    }

    /** Token to id, without added tokens. */
    Map<String, Integer> vocab() {
        return vocab;
    }

    /** The model's kind: WordPiece, BPE, Unigram, WordLevel. */
    String modelType() {
        if (model.hasNonNull("type")) return model.get("type").asText();
        return mergesText != null ? "BPE" : vocabText.startsWith("[") ? "Unigram" : "WordPiece";
    }

    /**
     * Whether the first token of a piece keeps the blank before its word, which offsets leave out elsewhere (ByteLevel and RobertaProcessing with
     * trim_offsets and add_prefix_space).
     */
    boolean firstKeepsBlank() {
        return keepsBlank(top.path("post_processor"));
    }

    private static boolean keepsBlank(JsonNode processor) {
        return switch (processor.path("type").asText()) {
            case "ByteLevel", "RobertaProcessing" ->
                processor.path("trim_offsets").asBoolean(true)
                        && processor.path("add_prefix_space").asBoolean(true);
            case "Sequence" -> keepsBlank(processor.path("processors").path(0)); // later ones see special tokens first
            default -> false;
        };
    }

    /** The added tokens, each with content, id and flags. */
    ArrayNode addedTokens() {
        if (top.get("added_tokens") instanceof ArrayNode tokens) return tokens;
        return top.putArray("added_tokens");
    }

    /** Appends an added token unless there is one of that content; returns its id. */
    int addToken(
            String content, boolean special, boolean normalized, boolean lstrip, boolean rstrip, boolean singleWord) {
        int next = vocab.size();
        for (JsonNode t : addedTokens()) {
            if (t.path("content").asText().equals(content)) return t.path("id").asInt();
            next = Math.max(next, t.path("id").asInt() + 1);
        }
        int id = vocab.getOrDefault(content, next);
        ObjectNode t = addedTokens().addObject();
        t.put("id", id).put("content", content).put("single_word", singleWord).put("lstrip", lstrip);
        t.put("rstrip", rstrip).put("normalized", normalized).put("special", special);
        return id;
    }

    int addSpecial(String content) {
        return addToken(content, true, false, false, false, false);
    }

    /** The whole as text. */
    @Override
    public String toString() {
        StringBuilder b =
                new StringBuilder(vocabText.length() + (mergesText == null ? 0 : mergesText.length()) + 10_000);
        b.append('{');
        top.properties()
                .forEach(e -> b.append(quote(e.getKey()))
                        .append(':')
                        .append(e.getValue())
                        .append(','));
        b.append("\"model\":{");
        model.properties()
                .forEach(e -> b.append(quote(e.getKey()))
                        .append(':')
                        .append(e.getValue())
                        .append(','));
        b.append("\"vocab\":").append(vocabText);
        if (mergesText != null) b.append(",\"merges\":").append(mergesText);
        return b.append("}}").toString();
    }

    private static String quote(String s) {
        return MAPPER.getNodeFactory().textNode(s).toString();
    }
}
