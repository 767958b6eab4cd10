package dev.headstart.train.pretrain;

import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * Pairs of texts as BERT's {@code create_pretraining_data.py} makes them: neighbouring sentences of a document are packed up to the length of an example and
 * cut in two at random; half of the time the second part is replaced by text of another document. Drawn anew each time.
 */
final class SentencePairs {
    private final TokenShard tokens;
    private final TokenShard starts;
    private final long[] documents;
    private final int most;
    private final double shortProbability;
    private int[] first = new int[1024];
    private int size;

    /** @param follows whether the second text is what comes after the first */
    record Pair(long[] first, long[] second, boolean follows) {}

    /**
     * @param starts where sentences begin, and the end
     * @param documents sentences with which documents begin, and their number
     * @param most tokens of a pair
     * @param shortProbability how often a pair is made shorter at random
     */
    SentencePairs(TokenShard tokens, TokenShard starts, long[] documents, int most, double shortProbability) {
        this.tokens = tokens;
        this.starts = starts;
        this.documents = documents;
        this.most = most;
        this.shortProbability = shortProbability;
        pack();
    }

    /** Groups of sentences; group i is the sentences from first[i] to the next group's or its document's end. */
    private void pack() {
        long[] window = new long[4096];
        for (int d = 0; d + 1 < documents.length; d++) {
            long end = documents[d + 1];
            long begin = -1;
            for (long s = documents[d]; s < end; s += window.length) {
                int n = (int) Math.min(window.length, end - s);
                starts.read(s, n, window, 0);
                for (int i = 0; i < n; i++) {
                    if (begin < 0 || window[i] - begin >= most) {
                        add((int) (s + i));
                        begin = window[i];
                    }
                }
            }
        }
    }

    private void add(int sentence) {
        if (size == first.length) {
            first = Arrays.copyOf(first, size * 2);
        }
        first[size++] = sentence;
    }

    /** Number of groups, each of which gives a pair. */
    int size() {
        return size;
    }

    /** A pair of a group. */
    Pair draw(int index, SplittableRandom random) {
        int document = document(first[index]);
        long last = index + 1 < size && first[index + 1] < documents[document + 1]
                ? first[index + 1]
                : documents[document + 1];
        int n = (int) (last - first[index]);
        long[] at = starts.read(first[index], n + 1);
        int target = most;
        if (random.nextDouble() < shortProbability) {
            target = 2 + random.nextInt(most - 1);
        }
        int cut = n == 1 ? 1 : 1 + random.nextInt(n - 1);
        boolean follows = n > 1 && random.nextBoolean();
        Range a = new Range(at[0], at[cut]);
        Range b = follows
                ? new Range(at[cut], at[n])
                : elsewhere(document, first[index], n, Math.max(1, target - (int) a.length()), random);
        while (a.length() + b.length() > target) {
            Range longer = a.length() > b.length() ? a : b;
            if (random.nextBoolean()) {
                longer.from++;
            } else {
                longer.to--;
            }
        }
        return new Pair(tokens.read(a.from, (int) a.length()), tokens.read(b.from, (int) b.length()), follows);
    }

    /** Text that begins with a sentence of another document; where there is one document alone, outside the group. */
    private Range elsewhere(int document, int group, int n, int length, SplittableRandom random) {
        long all = documents[documents.length - 1];
        long sentence = 0;
        for (int i = 0; i < 10; i++) {
            sentence = random.nextLong(all);
            boolean other =
                    documents.length > 2 ? document(sentence) != document : sentence < group || sentence >= group + n;
            if (other) {
                break;
            }
        }
        long from = starts.read(sentence, 1)[0];
        long end = starts.read(documents[document(sentence) + 1], 1)[0];
        return new Range(from, Math.min(end, from + length));
    }

    private int document(long sentence) {
        int at = Arrays.binarySearch(documents, sentence);
        return at >= 0 ? at : -at - 2;
    }

    private static final class Range {
        private long from;
        private long to;

        Range(long from, long to) {
            this.from = from;
            this.to = to;
        }

        long length() {
            return to - from;
        }
    }
}
