package dev.headstart.pipeline;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.AutoModelForTokenClassification;
import dev.headstart.models.Tensors;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Span;
import dev.headstart.text.Truncation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Classes of the words of a text: names, places, parts of speech (transformers TokenClassificationPipeline). Call arguments: {@code
 * aggregation_strategy} (none, simple, first, average, max), {@code ignore_labels} (default O), {@code stride} (long texts in overlapping pieces).
 */
public final class TokenClassificationPipeline extends TextPipeline {
    /** How tokens become words and words become entities; meanings as in transformers. */
    public enum Aggregation {
        /** Every token for itself. */
        NONE,
        /** Neighbouring tokens of one class together. */
        SIMPLE,
        /** A word has the class of its first token. */
        FIRST,
        /** A word has the class whose mean score is best. */
        AVERAGE,
        /** A word has the class of its best token. */
        MAX;

        static Aggregation of(String name) {
            try {
                return valueOf(name.toUpperCase(Locale.ROOT));
            } catch (IllegalArgumentException e) {
                throw new HeadstartException(
                        "aggregation_strategy must be none, simple, first, average or max, found " + name, e);
            }
        }
    }

    /**
     * A token or a group of tokens with its class.
     *
     * @param entity class of a token (strategy none); null for groups
     * @param entityGroup class of a group, without B- and I-; null for tokens
     * @param score probability; mean over a group
     * @param index position of the token (strategy none); null for groups
     * @param word the tokens' text
     * @param start first character; UTF-16 index from {@link #apply}, code point from {@link #run}
     * @param end one after the last character
     */
    @JsonInclude(JsonInclude.Include.NON_NULL)
    public record Entity(
            @Nullable String entity,
            @Nullable String entityGroup,
            double score,
            @Nullable Integer index,
            String word,
            int start,
            int end) {
        Entity at(int from, int to) {
            return new Entity(entity, entityGroup, score, index, word, from, to);
        }
    }

    private record Piece(String token, float[] scores, int start, int end, int index, boolean subword) {}

    private record Labelled(String label, double score, int index, String word, int start, int end) {}

    /** An encoded piece of a text, and which text it came from. */
    private record Part(int text, Encoding encoding) {}

    private final Map<Integer, String> names;
    private final boolean wordAware;

    TokenClassificationPipeline(String id, PipelineOptions options) {
        super(id, () -> AutoModelForTokenClassification.fromPretrained(id, options.load()), options);
        names = model.config().id2label();
        wordAware = tokenizer.hasSubwordPrefix();
    }

    /** Entities of a text, neighbouring tokens of one class together. */
    public List<Entity> apply(String text) {
        return apply(List.of(text), Aggregation.SIMPLE, Set.of("O"), -1).get(0);
    }

    /**
     * Entities of each text; offsets are UTF-16 indexes.
     *
     * @param ignored classes to leave out
     * @param stride tokens that successive pieces of a long text share; -1 cuts long texts instead
     */
    public List<List<Entity>> apply(List<String> texts, Aggregation aggregation, Set<String> ignored, int stride) {
        if (stride >= 0 && aggregation == Aggregation.NONE) {
            throw new HeadstartException("stride needs an aggregation_strategy other than none");
        }
        List<Part> parts = new ArrayList<>();
        if (stride < 0) {
            List<Encoding> rows = encode(texts, null);
            for (int i = 0; i < rows.size(); i++) {
                parts.add(new Part(i, rows.get(i)));
            }
        } else {
            EncodeOptions pieces = EncodeOptions.DEFAULT
                    .withTruncation(Truncation.LONGEST_FIRST)
                    .withMaxLength(limit())
                    .withOverflow(stride);
            for (int i = 0; i < texts.size(); i++) {
                Encoding first = tokenizer.encode(texts.get(i), null, pieces);
                parts.add(new Part(i, first));
                for (Encoding more : first.overflow()) {
                    parts.add(new Part(i, more));
                }
            }
        }
        List<List<Entity>> found = new ArrayList<>();
        for (int i = 0; i < parts.size(); i++) {
            found.add(List.of());
        }
        infer(parts.stream().map(Part::encoding).toList(), (some, out) -> {
            Tensor logits = field(out, "logits"); // [B, S, C]
            for (int r = 0; r < some.length; r++) {
                Part part = parts.get(some[r]);
                int length = part.encoding().length();
                float[] flat =
                        Tensors.floats(logits.select(0, r).narrow(0, 0, length).softmax(-1)); // [S, C]
                found.set(some[r], entities(texts.get(part.text()), part.encoding(), flat, aggregation, ignored));
            }
        });
        List<List<Entity>> results = new ArrayList<>();
        for (int i = 0; i < texts.size(); i++) {
            List<Entity> own = new ArrayList<>();
            int count = 0;
            for (int p = 0; p < parts.size(); p++) {
                if (parts.get(p).text() == i) {
                    own.addAll(found.get(p));
                    count++;
                }
            }
            results.add(count > 1 ? withoutOverlaps(texts.get(i), own) : own);
        }
        return results;
    }

    private List<Entity> entities(String text, Encoding e, float[] flat, Aggregation aggregation, Set<String> ignored) {
        List<Labelled> labelled = new ArrayList<>();
        List<Piece> pieces = pieces(text, e, flat);
        if (aggregation == Aggregation.NONE || aggregation == Aggregation.SIMPLE) {
            for (Piece p : pieces) {
                int best = argmax(p.scores());
                labelled.add(new Labelled(name(best), p.scores()[best], p.index(), p.token(), p.start(), p.end()));
            }
        } else {
            List<Piece> word = new ArrayList<>();
            for (Piece p : pieces) {
                if (!word.isEmpty() && !p.subword()) {
                    labelled.add(word(word, aggregation));
                    word.clear();
                }
                word.add(p);
            }
            if (!word.isEmpty()) {
                labelled.add(word(word, aggregation));
            }
        }
        if (aggregation == Aggregation.NONE) {
            return labelled.stream()
                    .filter(l -> !ignored.contains(l.label()))
                    .map(l -> new Entity(l.label(), null, l.score(), l.index(), l.word(), l.start(), l.end()))
                    .toList();
        }
        return groups(labelled).stream()
                .filter(g -> !ignored.contains(g.entityGroup()))
                .toList();
    }

    private List<Piece> pieces(String text, Encoding e, float[] flat) {
        List<Piece> pieces = new ArrayList<>();
        int classes = flat.length / e.length();
        int[] special = e.specialTokensMask();
        long[] ids = e.ids();
        List<Span> spans = e.offsets();
        for (int t = 0; t < e.length(); t++) {
            if (special[t] == 1) {
                continue;
            }
            Span s = spans.get(t);
            String token = e.tokens().get(t);
            String surface = text.substring(s.start(), s.end());
            boolean subword = wordAware
                    ? token.codePointCount(0, token.length()) != surface.codePointCount(0, surface.length())
                    : s.start() > 0
                            && !text.substring(s.start() - 1, Math.min(text.length(), s.start() + 1))
                                    .contains(" ");
            if (ids[t] == tokenizer.unkId().orElse(-1)) {
                token = surface;
                subword = false;
            }
            pieces.add(new Piece(
                    token, Arrays.copyOfRange(flat, t * classes, (t + 1) * classes), s.start(), s.end(), t, subword));
        }
        return pieces;
    }

    private Labelled word(List<Piece> tokens, Aggregation aggregation) {
        String text = tokenizer.tokensToString(tokens.stream().map(Piece::token).toList());
        int start = tokens.get(0).start();
        int end = tokens.get(tokens.size() - 1).end();
        float[] scores = switch (aggregation) {
            case FIRST -> tokens.get(0).scores();
            case MAX -> {
                Piece best = tokens.get(0);
                for (Piece p : tokens) {
                    best = p.scores()[argmax(p.scores())] > best.scores()[argmax(best.scores())] ? p : best;
                }
                yield best.scores();
            }
            default -> {
                float[] mean = new float[tokens.get(0).scores().length];
                for (Piece p : tokens) {
                    for (int c = 0; c < mean.length; c++) {
                        mean[c] += p.scores()[c] / tokens.size();
                    }
                }
                yield mean;
            }
        };
        int best = argmax(scores);
        return new Labelled(name(best), scores[best], tokens.get(0).index(), text, start, end);
    }

    private List<Entity> groups(List<Labelled> labelled) {
        List<Entity> groups = new ArrayList<>();
        List<Labelled> open = new ArrayList<>();
        for (Labelled l : labelled) {
            if (!open.isEmpty() && (l.label().startsWith("B-") || !tag(l).equals(tag(open.get(open.size() - 1))))) {
                groups.add(group(open));
                open.clear();
            }
            open.add(l);
        }
        if (!open.isEmpty()) {
            groups.add(group(open));
        }
        return groups;
    }

    private static String tag(Labelled l) {
        return l.label().startsWith("B-") || l.label().startsWith("I-")
                ? l.label().substring(2)
                : l.label();
    }

    private Entity group(List<Labelled> tokens) {
        String label = tokens.get(0).label();
        int dash = label.indexOf('-');
        return new Entity(
                null,
                dash < 0 ? label : label.substring(dash + 1),
                tokens.stream().mapToDouble(Labelled::score).average().orElse(0),
                null,
                tokenizer.tokensToString(tokens.stream().map(Labelled::word).toList()),
                tokens.get(0).start(),
                tokens.get(tokens.size() - 1).end());
    }

    /** Of entities that overlap, found in two pieces of a long text, the one of more characters (code points) or the better one stays. */
    private static List<Entity> withoutOverlaps(String text, List<Entity> all) {
        List<Entity> sorted =
                all.stream().sorted(Comparator.comparingInt(Entity::start)).toList();
        if (sorted.isEmpty()) {
            return sorted;
        }
        List<Entity> kept = new ArrayList<>();
        Entity last = sorted.get(0);
        for (Entity e : sorted) { // the reference begins with the first again, which doubles one without characters
            if (last.start() <= e.start() && e.start() < last.end()) {
                int now = text.codePointCount(e.start(), e.end());
                int before = text.codePointCount(last.start(), last.end());
                if (now > before || (now == before && e.score() > last.score())) {
                    last = e;
                }
            } else {
                kept.add(last);
                last = e;
            }
        }
        kept.add(last);
        return kept;
    }

    private String name(int c) {
        return names.getOrDefault(c, "LABEL_" + c);
    }

    private static int argmax(float[] v) {
        int best = 0;
        for (int i = 1; i < v.length; i++) {
            best = v[i] > v[best] ? i : best;
        }
        return best;
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        Aggregation aggregation =
                Aggregation.of(kwargs.path("aggregation_strategy").asText("none"));
        Set<String> ignored = new TreeSet<>(
                kwargs.has("ignore_labels") ? Pipeline.texts(kwargs, "ignore_labels", "[\"O\"]") : List.of("O"));
        List<List<Entity>> found =
                apply(inputs, aggregation, ignored, kwargs.path("stride").asInt(-1));
        List<List<Entity>> results = new ArrayList<>();
        for (int i = 0; i < inputs.size(); i++) {
            String text = inputs.get(i);
            results.add(found.get(i).stream()
                    .map(e -> e.at(text.codePointCount(0, e.start()), text.codePointCount(0, e.end())))
                    .toList());
        }
        return results;
    }
}
