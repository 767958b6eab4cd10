package dev.headstart.train.metrics;

import dev.headstart.HeadstartException;
import dev.headstart.train.metrics.Classification.Average;
import dev.headstart.train.metrics.Classification.Prf;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Entity-level scores of tagged sentences, equal to the Python package seqeval: an entity counts when its type and both its ends are right.
 * The default mode reads tags leniently, as the CoNLL-2000 script conlleval does; the strict mode takes only entities that are whole in the
 * named scheme.
 */
public final class SeqEval {
    /** Tagging schemes of the strict mode. */
    public enum Scheme {
        /** B- only where an entity follows another of its type. */
        IOB1("IOB"),
        /** B- at the start of each entity. */
        IOB2("IOB"),
        /** E- only where an entity of the same type follows. */
        IOE1("IOE"),
        /** E- at the end of each entity. */
        IOE2("IOE"),
        /** Begin, inside, end, single. */
        IOBES("IOBES"),
        /** Begin, inside, last, unit. */
        BILOU("BILOU");

        private final String prefixes;

        Scheme(String prefixes) {
            this.prefixes = prefixes;
        }

        /** Whether the tag starts an entity, coming after {@code p}. */
        private boolean starts(Tag p, Tag t) {
            boolean same = p.type.equals(t.type);
            return switch (this) {
                case IOB1 ->
                    switch (t.prefix) {
                        case 'I' -> p.prefix == 'O' || p.prefix == 'B' || (p.prefix == 'I' && !same);
                        case 'B' -> same && (p.prefix == 'I' || p.prefix == 'B');
                        default -> false;
                    };
                case IOB2 -> t.prefix == 'B';
                case IOE1 ->
                    (t.prefix == 'I' && (p.prefix == 'O' || p.prefix == 'E' || (p.prefix == 'I' && !same)))
                            || (t.prefix == 'E' && p.prefix == 'E' && same);
                case IOE2 ->
                    (t.prefix == 'I' || t.prefix == 'E')
                            && (p.prefix == 'O' || p.prefix == 'E' || (p.prefix == 'I' && !same));
                case IOBES -> t.prefix == 'B' || t.prefix == 'S';
                case BILOU -> t.prefix == 'B' || t.prefix == 'U';
            };
        }

        private boolean inside(Tag p, Tag t) {
            if (!p.type.equals(t.type)) {
                return false;
            }
            return switch (this) {
                case IOB1, IOB2 -> t.prefix == 'I' && (p.prefix == 'B' || p.prefix == 'I');
                case IOE1, IOE2 -> p.prefix == 'I' && (t.prefix == 'I' || t.prefix == 'E');
                case IOBES -> (p.prefix == 'B' || p.prefix == 'I') && (t.prefix == 'I' || t.prefix == 'E');
                case BILOU -> (p.prefix == 'B' || p.prefix == 'I') && (t.prefix == 'I' || t.prefix == 'L');
            };
        }

        /** Whether the entity that {@code p} belongs to ends before {@code t}. */
        private boolean ends(Tag p, Tag t) {
            boolean same = p.type.equals(t.type);
            return switch (this) {
                case IOB1 ->
                    (p.prefix == 'I' && (t.prefix == 'O' || t.prefix == 'B' || (t.prefix == 'I' && !same)))
                            || (p.prefix == 'B'
                                    && (t.prefix == 'O' || (t.prefix == 'I' && !same) || (t.prefix == 'B' && same)));
                case IOB2 ->
                    (p.prefix == 'I' || p.prefix == 'B')
                            && (t.prefix == 'O' || t.prefix == 'B' || (t.prefix == 'I' && !same));
                case IOE1 ->
                    (p.prefix == 'I' && (t.prefix == 'O' || ((t.prefix == 'I' || t.prefix == 'E') && !same)))
                            || (p.prefix == 'E' && same && (t.prefix == 'I' || t.prefix == 'E'));
                case IOE2 -> p.prefix == 'E';
                case IOBES -> p.prefix == 'S' || p.prefix == 'E';
                case BILOU -> p.prefix == 'U' || p.prefix == 'L';
            };
        }
    }

    private record Tag(char prefix, String type) {
        static final Tag OUTSIDE = new Tag('O', "_");

        /** As the default mode reads it. */
        static Tag lenient(String tag) {
            if (tag.isEmpty()) {
                throw new HeadstartException("a tag is empty: expected O, B-TYPE, I-TYPE ...");
            }
            String rest = tag.substring(1);
            int dash = rest.indexOf('-');
            String type = dash < 0 ? rest : rest.substring(dash + 1);
            return new Tag(tag.charAt(0), type.isEmpty() ? "_" : type);
        }

        static Tag strict(String tag, Scheme scheme) {
            char prefix = tag.isEmpty() ? ' ' : tag.charAt(0);
            if (scheme.prefixes.indexOf(prefix) < 0) {
                throw new HeadstartException("tag '" + tag + "' is not of the scheme " + scheme
                        + ": expected a prefix out of " + String.join(", ", scheme.prefixes.split("")));
            }
            String type = tag.substring(1).replaceAll("^-+|-+$", "");
            return new Tag(prefix, type.isEmpty() ? "_" : type);
        }
    }

    /**
     * An entity of a sentence.
     *
     * @param type what it is: PER, LOC ...
     * @param start first token
     * @param end token after the last
     */
    public record Entity(String type, int start, int end) {}

    private SeqEval() {}

    /** The entities of one sentence in default mode (get_entities). */
    public static List<Entity> entities(List<String> tags) {
        List<Entity> found = new ArrayList<>();
        Tag prev = new Tag('O', "");
        int start = 0;
        for (int i = 0; i <= tags.size(); i++) {
            Tag tag = i < tags.size() ? Tag.lenient(tags.get(i)) : Tag.OUTSIDE;
            boolean changed = !prev.type.equals(tag.type);
            if (prev.prefix == 'E'
                    || prev.prefix == 'S'
                    || ((prev.prefix == 'B' || prev.prefix == 'I')
                            && (tag.prefix == 'B' || tag.prefix == 'S' || tag.prefix == 'O'))
                    || (prev.prefix != 'O' && prev.prefix != '.' && changed)) {
                found.add(new Entity(prev.type, start, i));
            }
            boolean afterGap = prev.prefix == 'E' || prev.prefix == 'S' || prev.prefix == 'O';
            if (tag.prefix == 'B'
                    || tag.prefix == 'S'
                    || (afterGap && (tag.prefix == 'E' || tag.prefix == 'I'))
                    || (tag.prefix != 'O' && tag.prefix != '.' && changed)) {
                start = i;
            }
            prev = tag;
        }
        return found;
    }

    /**
     * The entities of one sentence in strict mode.
     *
     * @throws HeadstartException when a tag is not of the scheme
     */
    public static List<Entity> entities(List<String> tags, Scheme scheme) {
        List<Tag> all = new ArrayList<>();
        tags.forEach(t -> all.add(Tag.strict(t, scheme)));
        all.add(Tag.OUTSIDE);
        List<Entity> found = new ArrayList<>();
        Tag prev = Tag.OUTSIDE;
        int i = 0;
        while (i < all.size()) {
            if (scheme.starts(prev, all.get(i))) {
                int end = i + 1;
                while (end < all.size() && scheme.inside(all.get(end - 1), all.get(end))) {
                    end++;
                }
                end = Math.min(end, all.size() - 1);
                if (scheme.ends(all.get(end - 1), all.get(end))) {
                    found.add(new Entity(all.get(i).type, i, end));
                }
                i = Math.max(end, i + 1);
            } else {
                i++;
            }
            prev = all.get(i - 1);
        }
        return found;
    }

    /** Counts of one sentence by type: right, predicted, actual. Sums of these give all scores. */
    static Map<String, long[]> count(List<Entity> references, List<Entity> predictions) {
        Map<String, long[]> counts = new HashMap<>();
        Set<Entity> actual = new HashSet<>(references);
        for (Entity e : actual) {
            counts.computeIfAbsent(e.type, t -> new long[3])[2]++;
        }
        for (Entity e : new HashSet<>(predictions)) {
            long[] c = counts.computeIfAbsent(e.type, t -> new long[3]);
            c[1]++;
            c[0] += actual.contains(e) ? 1 : 0;
        }
        return counts;
    }

    /**
     * Scores by type, in the order of the types' names, from sentences of tags.
     *
     * @param scheme null for the default mode
     * @throws HeadstartException when sentences differ in length
     */
    public static Map<String, Prf> byType(
            List<List<String>> references, List<List<String>> predictions, @Nullable Scheme scheme) {
        Map<String, long[]> sum = new TreeMap<>();
        counts(references, predictions, scheme)
                .forEach(c -> c.forEach((type, n) -> add(sum.computeIfAbsent(type, t -> new long[3]), n)));
        Map<String, Prf> scores = new TreeMap<>();
        sum.forEach((type, n) -> scores.put(type, Prf.of(n[0], n[1], n[2])));
        return scores;
    }

    static List<Map<String, long[]>> counts(
            List<List<String>> references, List<List<String>> predictions, @Nullable Scheme scheme) {
        Metrics.sameLength(references.size(), predictions.size());
        List<Map<String, long[]>> counts = new ArrayList<>();
        for (int i = 0; i < references.size(); i++) {
            List<String> r = references.get(i);
            List<String> p = predictions.get(i);
            if (r.size() != p.size()) {
                throw new HeadstartException(
                        "sentence " + (i + 1) + ": expected " + r.size() + " predicted tags, found " + p.size());
            }
            counts.add(
                    scheme == null ? count(entities(r), entities(p)) : count(entities(r, scheme), entities(p, scheme)));
        }
        return counts;
    }

    private static void add(long[] to, long[] n) {
        for (int i = 0; i < to.length; i++) {
            to[i] += n[i];
        }
    }

    /** Scores over all types. */
    public static Prf score(
            List<List<String>> references, List<List<String>> predictions, @Nullable Scheme scheme, Average how) {
        List<Map<String, long[]>> counts = counts(references, predictions, scheme);
        int[] all = java.util.stream.IntStream.range(0, counts.size()).toArray();
        return score(counts, all, how);
    }

    static Prf score(List<Map<String, long[]>> counts, int[] sentences, Average how) {
        Map<String, long[]> sum = new HashMap<>();
        for (int i : sentences) {
            counts.get(i).forEach((type, n) -> add(sum.computeIfAbsent(type, t -> new long[3]), n));
        }
        if (how == Average.MICRO) {
            long[] total = new long[3];
            sum.values().forEach(n -> add(total, n));
            return Prf.of(total[0], total[1], total[2]);
        }
        List<Prf> each = new ArrayList<>();
        for (String type : new TreeSet<>(sum.keySet())) {
            long[] n = sum.get(type);
            if (n != null) {
                each.add(Prf.of(n[0], n[1], n[2]));
            }
        }
        return Prf.average(each, how == Average.WEIGHTED);
    }

    /** The scheme of this name in any case; null for {@code default}. */
    public static @Nullable Scheme scheme(String name) {
        if (name.equals("default")) {
            return null;
        }
        try {
            return Scheme.valueOf(name.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            throw new HeadstartException(
                    "tagging scheme '" + name
                            + "' is not known: expected default, IOB1, IOB2, IOE1, IOE2, IOBES or BILOU",
                    e);
        }
    }
}
