package dev.headstart.train;

import dev.headstart.HeadstartException;
import dev.headstart.text.Tokenizer;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * Masks tokens for masked language modelling (Devlin et al. 2019, section 3.1; transformers DataCollatorForLanguageModeling): a part of the tokens that
 * are not special is predicted, of these 80 % are replaced by the mask, 10 % by a random token, 10 % left.
 */
public final class Masking {
    /** Label of a token that is not predicted. */
    public static final long IGNORED = -100;

    private final double probability;
    private final long mask;
    private final int vocabSize;
    private final boolean[] special;

    /**
     * @param probability part of the tokens that is predicted, in (0, 1)
     * @throws HeadstartException when the tokenizer has no mask token
     */
    public Masking(Tokenizer tokenizer, double probability) {
        this.probability = probability;
        this.mask = tokenizer
                .maskId()
                .orElseThrow(
                        () -> new HeadstartException(
                                "this tokenizer has no mask token: masked language modelling needs one (BERT and its like have it)"));
        this.vocabSize = tokenizer.vocabSize();
        this.special = new boolean[vocabSize];
        for (int i = 0; i < vocabSize; i++) {
            special[i] = tokenizer.isSpecial(i);
        }
    }

    /** Masks a row in place. @return the labels: the token where it is predicted, else {@link #IGNORED} */
    public long[] mask(long[] row, SplittableRandom random) {
        long[] labels = new long[row.length];
        Arrays.fill(labels, IGNORED);
        for (int i = 0; i < row.length; i++) {
            int id = (int) row[i];
            if (id < vocabSize && special[id] || random.nextDouble() >= probability) {
                continue;
            }
            labels[i] = id;
            double how = random.nextDouble();
            if (how < 0.8) {
                row[i] = mask;
            } else if (how < 0.9) {
                row[i] = random.nextInt(vocabSize);
            }
        }
        return labels;
    }
}
