package dev.headstart.text;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Tokens and ids, both ways, with the added tokens. Not changed once made. */
final class Vocabulary {
    private final Map<String, Integer> base;
    private final Map<String, Integer> added = new HashMap<>();
    private final Map<Integer, String> tokens = new HashMap<>();
    private final Map<Integer, String> spellings = new HashMap<>();
    private final Set<String> special = new HashSet<>();
    private int unkId = -1;

    /** @param base token to id, without added tokens; kept, not copied */
    Vocabulary(Map<String, Integer> base) {
        this.base = base;
        base.forEach((token, id) -> tokens.put(id, token));
    }

    static Vocabulary of(TokenizerJson json) {
        Vocabulary v = new Vocabulary(json.vocab());
        for (JsonNode t : json.addedTokens()) {
            v.add(
                    t.path("content").asText(),
                    t.path("id").asInt(),
                    t.path("special").asBoolean());
        }
        return v;
    }

    Vocabulary add(String token, int id, boolean isSpecial) {
        added.put(token, id);
        tokens.put(id, token);
        if (isSpecial) special.add(token);
        return this;
    }

    /** Ids whose tokens are shown in another spelling than that by which they are found. */
    Vocabulary spelled(Map<Integer, String> others) {
        spellings.putAll(others);
        return this;
    }

    /** Names the token that stands for what the vocabulary lacks. */
    Vocabulary unknown(@Nullable String token) {
        Integer id = token == null ? null : id(token);
        if (id != null) unkId = id;
        return this;
    }

    /** Id of the unknown token; -1 when there is none. */
    int unkId() {
        return unkId;
    }

    @Nullable
    Integer id(String token) {
        Integer id = added.get(token);
        return id == null ? base.get(token) : id;
    }

    @Nullable
    String token(int id) {
        return tokens.get(id);
    }

    /** The token of an id as it is shown. */
    @Nullable
    String spelling(int id) {
        String other = spellings.get(id);
        return other == null ? tokens.get(id) : other;
    }

    boolean isSpecial(String token) {
        return special.contains(token);
    }

    /** Ids from 0 to the largest may have gaps: this counts tokens. */
    int size() {
        return base.size()
                + (int) added.keySet().stream()
                        .filter(t -> !base.containsKey(t))
                        .count();
    }

    int nextId() {
        return tokens.keySet().stream().mapToInt(Integer::intValue).max().orElse(-1) + 1;
    }

    Set<String> allTokens() {
        Set<String> all = new HashSet<>(base.keySet());
        all.addAll(added.keySet());
        return all;
    }
}
