package dev.headstart.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Added tokens that are looked for in the normalised text ({@code "normalized": true}): tokenizers 0.23 spells them, wherever it gives a token of an id, as the
 * normalizer leaves their own spelling ({@code New York} is {@code new york} where letters become small). The library here is older and does not.
 */
final class NormalizedTokens {
    private final TokenizerJson json;
    private final Map<Integer, String> spellings = new LinkedHashMap<>();
    private final Map<Integer, Integer> decodedAs = new HashMap<>();
    private final List<Spelled> shown = new ArrayList<>();

    /** An added token under its own spelling, and the one that the library is told. */
    private record Spelled(ObjectNode token, String own, String other) {}

    /** @param where the tokenizer's file, for errors */
    NormalizedTokens(TokenizerJson json, String where) {
        this.json = json;
        JsonNode normalizer = json.top.path("normalizer");
        List<ObjectNode> tokens = new ArrayList<>();
        for (JsonNode t : json.addedTokens()) {
            if (normalizer.isObject() && t.path("normalized").asBoolean() && t instanceof ObjectNode token) {
                tokens.add(token);
            }
        }
        if (tokens.isEmpty()) return;
        List<String> own = tokens.stream().map(t -> t.path("content").asText()).toList();
        List<String> once = Engine.normalized(normalizer, own, where);
        List<String> twice = Engine.normalized(normalizer, once, where);
        Map<String, Integer> known = new HashMap<>();
        json.addedTokens()
                .forEach(t -> known.put(t.path("content").asText(), t.path("id").asInt()));
        for (int i = 0; i < own.size(); i++) {
            String spelling = once.get(i);
            if (spelling.equals(own.get(i))) continue;
            ObjectNode token = tokens.get(i);
            int id = token.path("id").asInt();
            spellings.put(id, spelling);
            if (token.path("special").asBoolean()) continue; // by its own spelling decoding leaves it out
            Integer same = json.vocab().getOrDefault(spelling, known.get(spelling));
            if (same != null) {
                decodedAs.put(id, same);
            } else if (spelling.equals(twice.get(i))) { // and so is found in the same places under this spelling
                shown.add(new Spelled(token, own.get(i), spelling));
                known.put(spelling, id);
            }
        }
    }

    /** Tokens whose normalised spelling is another token's, by which they are decoded; by id. */
    Map<Integer, Integer> decodedAs() {
        return decodedAs;
    }

    /** The normalised spellings by id, where they are others. */
    Map<Integer, String> spellings() {
        return spellings;
    }

    /** The tokenizer.json for the library, which decodes a token as it is spelled there. */
    String forLibrary() {
        shown.forEach(s -> s.token.put("content", s.other));
        String text = json.toString();
        shown.forEach(s -> s.token.put("content", s.own));
        return text;
    }
}
