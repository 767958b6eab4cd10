package dev.headstart.text;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One text, or one pair of texts, as tokens. Immutable. All lists and arrays have one entry a token; {@code -1} stands for "none" in word and
 * sequence ids (special tokens and padding).
 */
public final class Encoding implements Encoded {
    private final Columns c;
    private final boolean withTypeIds;
    private final List<Encoding> overflow;

    Encoding(Columns columns, boolean withTypeIds, List<Encoding> overflow) {
        this.c = columns;
        this.withTypeIds = withTypeIds;
        this.overflow = List.copyOf(overflow);
    }

    Columns columns() {
        return c;
    }

    boolean withTypeIds() {
        return withTypeIds;
    }

    /** Number of tokens, padding counted. */
    public int length() {
        return c.ids.length;
    }

    /** Token ids. */
    public long[] ids() {
        return c.ids.clone();
    }

    /** Segment ids: 0 for the first text, 1 for the second where the model tells them apart. */
    public long[] typeIds() {
        return c.typeIds.clone();
    }

    /** 1 for real tokens, 0 for padding. */
    public long[] attentionMask() {
        return c.attention.clone();
    }

    /** The tokens as the vocabulary spells them. */
    public List<String> tokens() {
        return List.of(c.tokens);
    }

    /** Index of the word that each token belongs to, counted in its own text; -1 for special tokens. */
    public int[] wordIds() {
        return c.wordIds.clone();
    }

    /** 0 for tokens of the first text, 1 for the second, -1 for special tokens and padding. */
    public int[] sequenceIds() {
        return c.sequenceIds.clone();
    }

    /** 1 for tokens that the tokenizer added (template and padding), else 0. */
    public int[] specialTokensMask() {
        return c.special.clone();
    }

    /** Where each token stands in its text (or word, when the text came as words), as indexes for {@link String#substring(int, int)}. */
    public List<Span> offsets() {
        return spans(c.start, c.end);
    }

    /** Where each token stands in its text in Unicode code points, as Python counts. */
    public List<Span> codePointOffsets() {
        return spans(c.pointStart, c.pointEnd);
    }

    /** The pieces that truncation cut off, each with the template around it; empty unless asked for. */
    public List<Encoding> overflow() {
        return overflow;
    }

    @Override
    public Map<String, long[][]> modelInputs() {
        return inputs(List.of(this));
    }

    @Override
    public String toString() {
        return "Encoding" + Arrays.toString(c.tokens);
    }

    static Map<String, long[][]> inputs(List<Encoding> rows) {
        Map<String, long[][]> inputs = new LinkedHashMap<>();
        inputs.put("input_ids", rows.stream().map(Encoding::ids).toArray(long[][]::new)); // [B, S]
        if (!rows.isEmpty() && rows.get(0).withTypeIds) {
            inputs.put("token_type_ids", rows.stream().map(Encoding::typeIds).toArray(long[][]::new)); // [B, S]
        }
        inputs.put("attention_mask", rows.stream().map(Encoding::attentionMask).toArray(long[][]::new)); // [B, S]
        return inputs;
    }

    private static List<Span> spans(int[] start, int[] end) {
        List<Span> spans = new ArrayList<>(start.length);
        for (int i = 0; i < start.length; i++) spans.add(new Span(start[i], end[i]));
        return List.copyOf(spans);
    }
}
