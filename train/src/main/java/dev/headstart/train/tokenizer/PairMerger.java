package dev.headstart.train.tokenizer;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.function.BooleanSupplier;

/**
 * Byte-pair encoding's training (Sennrich et al. 2016): the pair of neighbours that occurs most often becomes one token, again and again.
 * Of pairs that occur equally often the one with the smaller ids comes first, so that the result depends on the counts alone.
 */
final class PairMerger {
    /** Two tokens that become one. */
    record Merge(int left, int right) {}

    private record Candidate(long pair, long count) {}

    private final List<String> tokens;
    private final Map<String, Integer> ids = new HashMap<>();
    private final List<Merge> merges = new ArrayList<>();
    private final List<int[]> words;
    private final long[] counts;
    private final String continuation;
    private final Map<Long, Long> pairCounts = new HashMap<>();
    private final Map<Long, Set<Integer>> pairWords = new HashMap<>();

    /**
     * @param tokens the first tokens in the order of their ids; grows
     * @param words texts' words as token ids
     * @param counts how often each word occurs
     * @param continuation prefix of tokens that do not start a word, dropped inside a merged token
     */
    PairMerger(List<String> tokens, List<int[]> words, long[] counts, String continuation) {
        this.tokens = tokens;
        this.words = words;
        this.counts = counts;
        this.continuation = continuation;
        for (int i = 0; i < tokens.size(); i++) ids.putIfAbsent(tokens.get(i), i);
    }

    private static long pair(int left, int right) {
        return (long) left << 32 | right;
    }

    /** Merges until there are {@code size} tokens, or no pair occurs {@code minCount} times. */
    List<Merge> run(int size, long minCount, BooleanSupplier goOn) {
        for (int w = 0; w < words.size(); w++) addPairs(w);
        PriorityQueue<Candidate> queue = new PriorityQueue<>(
                Comparator.comparingLong(Candidate::count).reversed().thenComparingLong(Candidate::pair));
        pairCounts.forEach((pair, count) -> queue.add(new Candidate(pair, count)));
        while (tokens.size() < size && goOn.getAsBoolean()) {
            Candidate best = queue.poll();
            if (best == null) break;
            long now = pairCounts.getOrDefault(best.pair(), 0L);
            if (now != best.count()) { // it was counted before other merges took some of it
                if (now > 0) queue.add(new Candidate(best.pair(), now));
                continue;
            }
            if (now < Math.max(1, minCount)) break;
            merge((int) (best.pair() >>> 32), (int) best.pair(), queue);
        }
        return merges;
    }

    private void addPairs(int w) {
        int[] word = words.get(w);
        for (int i = 0; i + 1 < word.length; i++) {
            long pair = pair(word[i], word[i + 1]);
            pairCounts.merge(pair, counts[w], Long::sum);
            pairWords.computeIfAbsent(pair, p -> new HashSet<>()).add(w);
        }
    }

    private void merge(int left, int right, PriorityQueue<Candidate> queue) {
        String tail = tokens.get(right);
        if (!continuation.isEmpty() && tail.startsWith(continuation)) tail = tail.substring(continuation.length());
        String token = tokens.get(left) + tail;
        Integer known = ids.get(token);
        int merged = known == null ? tokens.size() : known;
        if (known == null) {
            tokens.add(token);
            ids.put(token, merged);
        }
        merges.add(new Merge(left, right));
        Set<Integer> where = pairWords.getOrDefault(pair(left, right), Set.of());
        Set<Long> changed = new HashSet<>();
        for (int w : List.copyOf(where)) {
            int[] word = words.get(w);
            for (int i = 0; i + 1 < word.length; i++) {
                long pair = pair(word[i], word[i + 1]);
                pairCounts.merge(pair, -counts[w], Long::sum);
            }
            int[] shorter = new int[word.length];
            int n = 0;
            for (int i = 0; i < word.length; i++) {
                boolean both = i + 1 < word.length && word[i] == left && word[i + 1] == right;
                shorter[n++] = both ? merged : word[i];
                if (both) i++;
            }
            int[] after = java.util.Arrays.copyOf(shorter, n);
            words.set(w, after);
            addPairs(w);
            for (int i = 0; i + 1 < n; i++) {
                if (after[i] == merged || after[i + 1] == merged) changed.add(pair(after[i], after[i + 1]));
            }
        }
        pairCounts.remove(pair(left, right));
        pairWords.remove(pair(left, right));
        for (long pair : changed) {
            long count = pairCounts.getOrDefault(pair, 0L);
            if (count > 0) queue.add(new Candidate(pair, count));
        }
    }
}
