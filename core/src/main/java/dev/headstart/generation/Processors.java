package dev.headstart.generation;

import static org.bytedeco.pytorch.global.torch.where;

import dev.headstart.HeadstartException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * The processors that apply to every strategy, each with the arithmetic of the class of transformers (5.23, generation/logits_process.py) that its
 * comment names. {@link #of} puts them in transformers' order ({@code GenerationMixin._get_logits_processor}).
 */
final class Processors {
    private static final double NEVER = Double.NEGATIVE_INFINITY;

    private Processors() {}

    /**
     * What {@link #of} needs to know beside the parameters.
     *
     * @param promptLength tokens of the prompt (of the decoder's, with an encoder)
     * @param maxLength most tokens of prompt and result together
     * @param eos tokens that end a text
     * @param padding tokens of padding on the left of each prompt, or null when there is no mask
     * @param encoderIds token ids that an encoder or, without one, the prompt has; null when the input is not tokens
     * @param encoderDecoder whether there is an encoder
     */
    record Context(
            int promptLength,
            int maxLength,
            List<Integer> eos,
            int @Nullable [] padding,
            long @Nullable [][] encoderIds,
            boolean encoderDecoder) {}

    /** The processors and warpers that {@code config} asks for, in transformers' order; {@code custom} ones come before the warpers. */
    static List<LogitsProcessor> of(GenerationConfig config, Context c, List<LogitsProcessor> custom) {
        List<LogitsProcessor> all = new ArrayList<>();
        if (config.has("sequence_bias")) {
            all.add(sequenceBias(config.sequenceBias(), "sequence_bias"));
        }
        double encoderPenalty = config.number("encoder_repetition_penalty", 1);
        if (encoderPenalty != 1 && c.encoderIds != null) {
            all.add(encoderRepetitionPenalty(encoderPenalty, c.encoderIds));
        }
        double penalty = config.number("repetition_penalty", 1);
        if (penalty != 1) {
            all.add(repetitionPenalty(penalty, c.padding));
        }
        int ngram = config.integer("no_repeat_ngram_size", 0);
        if (ngram > 0) {
            all.add((rows, scores) -> banned(
                    scores, row -> repeats(rows.ids()[row], rows.length(), rows.ids()[row], rows.length(), ngram)));
        }
        int encoderNgram = config.integer("encoder_no_repeat_ngram_size", 0);
        if (encoderNgram > 0 && c.encoderIds != null) {
            long[][] encoderIds = c.encoderIds;
            all.add((rows, scores) -> banned(scores, row -> {
                long[] source = encoderIds[rows.prompts()[row]];
                return repeats(source, source.length, rows.ids()[row], rows.length(), encoderNgram);
            }));
        }
        if (config.has("bad_words_ids")) {
            all.add(sequenceBias(badWords(config.idLists("bad_words_ids"), c.eos), "bad_words_ids"));
        }
        int minNewTokens = config.integer("min_new_tokens", 0);
        int minLength = minNewTokens > 0
                ? c.promptLength + minNewTokens
                : config.integer("min_length", 0); // min_new_tokens takes precedence
        if (minLength > 0 && !c.eos.isEmpty()) {
            all.add((rows, scores) -> rows.length() < minLength ? suppress(scores, c.eos) : scores);
        }
        if (config.has("forced_bos_token_id")) {
            List<Integer> bos = config.ids("forced_bos_token_id");
            all.add((rows, scores) -> rows.length() == 1 ? force(scores, bos, "forced_bos_token_id") : scores);
        }
        if (config.has("forced_eos_token_id")) {
            List<Integer> eos = config.ids("forced_eos_token_id");
            all.add((rows, scores) ->
                    rows.length() == c.maxLength - 1 ? force(scores, eos, "forced_eos_token_id") : scores);
        }
        if (config.flag("remove_invalid_values")) {
            all.add((rows, scores) -> finite(scores));
        }
        double[] decay = config.lengthDecay();
        if (decay != null && !c.eos.isEmpty()) {
            all.add(lengthDecay(decay[0] + c.promptLength, decay[1], c.eos));
        }
        if (config.has("suppress_tokens")) {
            List<Integer> tokens = config.ids("suppress_tokens");
            all.add((rows, scores) -> suppress(scores, tokens));
        }
        if (config.has("begin_suppress_tokens")) {
            List<Integer> tokens = config.ids("begin_suppress_tokens");
            int begin = c.promptLength > 1 || !config.has("forced_bos_token_id") ? c.promptLength : c.promptLength + 1;
            all.add((rows, scores) -> rows.length() == begin ? suppress(scores, tokens) : scores);
        }
        all.addAll(custom);
        if (config.flag("do_sample")) {
            all.addAll(Warpers.of(config, c.eos.size()));
        }
        if (config.flag("renormalize_logits")) {
            all.add((rows, scores) -> scores.log_softmax(-1)); // LogitNormalization
        }
        return all;
    }

    /** RepetitionPenaltyLogitsProcessor (Keskar et al. 2019): a score once used is divided by the penalty, a negative one multiplied. */
    static LogitsProcessor repetitionPenalty(double penalty, int @Nullable [] padding) {
        return (rows, scores) -> penalised(scores, penalty, row -> {
            int from = padding == null ? 0 : padding[rows.prompts()[row]];
            return Arrays.copyOfRange(rows.ids()[row], from, rows.length());
        });
    }

    /** EncoderRepetitionPenaltyLogitsProcessor: the inverse penalty on the tokens of the source. */
    static LogitsProcessor encoderRepetitionPenalty(double penalty, long[][] encoderIds) {
        return (rows, scores) -> penalised(scores, 1 / penalty, row -> encoderIds[rows.prompts()[row]]);
    }

    private static Tensor penalised(Tensor scores, double penalty, RowTokens tokens) {
        Tensor used = mask(scores, tokens); // [R, V]
        Tensor changed =
                where(scores.lt(new Scalar(0)), scores.mul(new Scalar(penalty)), scores.div(new Scalar(penalty)));
        return where(used, changed, scores);
    }

    /** SequenceBiasLogitsProcessor: adds to the score of the token that would complete a sequence. */
    static LogitsProcessor sequenceBias(Map<List<Integer>, Double> biases, String parameter) {
        return (rows, scores) -> {
            int vocab = (int) scores.size(1);
            float[] bias = new float[rows.count() * vocab];
            biases.forEach((tokens, amount) -> {
                for (int token : tokens) {
                    if (token >= vocab) {
                        throw new HeadstartException("generation parameter " + parameter + " names token " + token
                                + ", but the vocabulary ends at " + (vocab - 1));
                    }
                }
                for (int r = 0; r < rows.count(); r++) {
                    if (endsWith(rows.ids()[r], rows.length(), tokens)) {
                        bias[r * vocab + tokens.get(tokens.size() - 1)] += amount.floatValue();
                    }
                }
            });
            return scores.add(like(Tensor.create(bias, rows.count(), vocab), scores));
        };
    }

    /** Whether the row ends with all but the last of {@code tokens}. */
    private static boolean endsWith(long[] row, int length, List<Integer> tokens) {
        int prefix = tokens.size() - 1;
        if (prefix > length) {
            return false;
        }
        for (int i = 0; i < prefix; i++) {
            if (row[length - prefix + i] != tokens.get(i)) {
                return false;
            }
        }
        return true;
    }

    /** NoBadWordsLogitsProcessor: a bias of minus infinity; an end token alone is never a bad word. */
    private static Map<List<Integer>, Double> badWords(List<List<Integer>> words, List<Integer> eos) {
        Map<List<Integer>, Double> biases = new LinkedHashMap<>();
        for (List<Integer> word : words) {
            if (word.size() != 1 || !eos.contains(word.get(0))) {
                biases.put(word, NEVER);
            }
        }
        return biases;
    }

    /** NoRepeatNGramLogitsProcessor, EncoderNoRepeatNGramLogitsProcessor: tokens that followed, in {@code source}, the last n - 1 tokens of the row. */
    private static long[] repeats(long[] source, int sourceLength, long[] row, int length, int n) {
        if (length + 1 < n) {
            return new long[0];
        }
        TreeSet<Long> banned = new TreeSet<>();
        for (int start = 0; start + n <= sourceLength; start++) {
            if (Arrays.equals(source, start, start + n - 1, row, length - n + 1, length)) {
                banned.add(source[start + n - 1]);
            }
        }
        return banned.stream().mapToLong(Long::longValue).toArray();
    }

    /** ExponentialDecayLengthPenalty: the end tokens gain with every token beyond {@code start}. */
    private static LogitsProcessor lengthDecay(double start, double factor, List<Integer> eos) {
        return (rows, scores) -> {
            if (rows.length() <= start) {
                return scores;
            }
            Tensor gain = scores.abs().mul(new Scalar(Math.pow(factor, rows.length() - start) - 1));
            gain = where(scores.isfinite(), gain, new Scalar(0f));
            return where(columns(scores, eos), scores.add(gain), scores);
        };
    }

    /** InfNanRemoveLogitsProcessor: not a number becomes 0, infinities the largest finite numbers. */
    private static Tensor finite(Tensor scores) {
        Tensor clean = where(scores.isnan(), new Scalar(0f), scores);
        clean = clean.masked_fill(
                scores.eq(new Scalar(Double.POSITIVE_INFINITY)), new Scalar((double) Float.MAX_VALUE));
        return clean.masked_fill(scores.eq(new Scalar(NEVER)), new Scalar((double) -Float.MAX_VALUE));
    }

    /** SuppressTokensLogitsProcessor, MinLengthLogitsProcessor: these tokens cannot be chosen. */
    static Tensor suppress(Tensor scores, List<Integer> tokens) {
        long[] known = tokens.stream()
                .mapToLong(Integer::longValue)
                .filter(t -> t >= 0 && t < scores.size(1))
                .toArray();
        if (known.length == 0) {
            return scores;
        }
        Tensor at = Tensor.create(known).to(scores.device(), torch.ScalarType.Long);
        return scores.index_fill(1, at, new Scalar(NEVER));
    }

    /** ForcedBOSTokenLogitsProcessor, ForcedEOSTokenLogitsProcessor: only these tokens can be chosen. */
    private static Tensor force(Tensor scores, List<Integer> tokens, String parameter) {
        for (int token : tokens) {
            if (token < 0 || token >= scores.size(1)) {
                throw new HeadstartException("generation parameter " + parameter + " = " + token
                        + " is outside the vocabulary of " + scores.size(1) + " tokens");
            }
        }
        return torch.full_like(scores, new Scalar(NEVER)).masked_fill(columns(scores, tokens), new Scalar(0f));
    }

    // --- masks
    // --------------------------------------------------------------------------------------------------------------------------------

    @FunctionalInterface
    private interface RowTokens {
        long[] of(int row);
    }

    private static Tensor banned(Tensor scores, RowTokens tokens) {
        return scores.masked_fill(mask(scores, tokens), new Scalar(NEVER));
    }

    /** True at the tokens of each row, [R, V]; tokens beyond the vocabulary are left out. */
    private static Tensor mask(Tensor scores, RowTokens tokens) {
        int rows = (int) scores.size(0);
        int vocab = (int) scores.size(1);
        boolean[] set = new boolean[rows * vocab];
        for (int r = 0; r < rows; r++) {
            for (long token : tokens.of(r)) {
                if (token >= 0 && token < vocab) {
                    set[r * vocab + (int) token] = true;
                }
            }
        }
        return Tensor.create(set, rows, vocab).to(scores.device(), torch.ScalarType.Bool);
    }

    /** True at {@code tokens}, [V]. */
    private static Tensor columns(Tensor scores, List<Integer> tokens) {
        int vocab = (int) scores.size(1);
        boolean[] set = new boolean[vocab];
        for (int token : tokens) {
            if (token >= 0 && token < vocab) {
                set[token] = true;
            }
        }
        return Tensor.create(set, vocab).to(scores.device(), torch.ScalarType.Bool);
    }

    private static Tensor like(Tensor made, Tensor other) {
        return made.to(other.device(), other.scalar_type());
    }
}
