package dev.headstart.pipeline;

import dev.headstart.HeadstartException;
import dev.headstart.models.AutoModelForCausalLM;
import dev.headstart.models.Inputs;
import dev.headstart.models.Outputs.CausalLMOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;

/**
 * How well a language model expects a text: exp of the mean negative log-likelihood a token, with a sliding window over texts that are longer than the
 * context (the procedure of transformers' "Perplexity of fixed-length models"): each window scores only the tokens that no window before it scored, with
 * as much context as fits.
 *
 * @param perplexity exp(nll / tokens)
 * @param nll summed negative log-likelihood, in nats
 * @param tokens tokens that were predicted
 */
public record Perplexity(double perplexity, double nll, long tokens) {
    private static final int IGNORED = -100;

    /**
     * Measures one text.
     *
     * @param maxLength tokens a window; 0 for the model's context
     * @param stride tokens from one window's start to the next; 0 for a half window
     */
    public static Perplexity of(String text, String id, PipelineOptions options, int maxLength, int stride) {
        try (Tokenizer tokenizer = Tokenizer.fromPretrained(id, options.load());
                PreTrainedModel<?> model =
                        AutoModelForCausalLM.fromPretrained(id, options.load().packed())) {
            return of(tokenizer.encode(text).ids(), model, maxLength, stride);
        }
    }

    /** A file's text in UTF-8, its lines ended by one newline, as pre-training and Python read it. */
    public static String read(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new HeadstartException(file + ": no such file; give a text in UTF-8");
        }
        return Files.readString(file).replace("\r\n", "\n").replace('\r', '\n');
    }

    /**
     * Measures a sequence of tokens; see {@link #of(String, String, PipelineOptions, int, int)}.
     *
     * @throws HeadstartException when there are fewer than two tokens, or the window does not fit the model
     */
    public static Perplexity of(long[] ids, PreTrainedModel<?> model, int maxLength, int stride) {
        int window = maxLength > 0 ? maxLength : Math.min(model.maxLength(), ids.length);
        int step = stride > 0 ? stride : Math.max(1, window / 2);
        if (ids.length < 2 || window < 2) {
            throw new HeadstartException(
                    "perplexity needs at least two tokens and a window of two; the text has " + ids.length);
        }
        if (window > model.maxLength() || step > window) {
            throw new HeadstartException("perplexity: window " + window + " and stride " + step
                    + " must satisfy stride <= window <= the model's " + model.maxLength() + " tokens");
        }
        double nll = 0;
        long tokens = 0;
        int scored = 0; // tokens before this one need no score any more
        for (int begin = 0; scored < ids.length; begin += step) {
            int end = Math.min(begin + window, ids.length);
            long[] input = Arrays.copyOfRange(ids, begin, end);
            long[] labels = input.clone();
            Arrays.fill(labels, 0, Math.max(0, scored - begin), IGNORED);
            long counted = Arrays.stream(labels).filter(t -> t != IGNORED).count()
                    - (labels[0] == IGNORED ? 0 : 1); // the first has nothing before it
            if (counted > 0) {
                nll += loss(model, input, labels) * counted;
                tokens += counted;
            }
            scored = end;
        }
        return new Perplexity(Math.exp(nll / tokens), nll, tokens);
    }

    private static double loss(PreTrainedModel<?> model, long[] input, long[] labels) {
        try (PointerScope scope = new PointerScope()) {
            Inputs in = Inputs.of(Map.of(
                    "input_ids", Tensors.int64(new long[][] {input}), "labels", Tensors.int64(new long[][] {labels})));
            try (var out = model.forward(in)) {
                if (out instanceof CausalLMOutput lm && lm.loss() != null) {
                    return lm.loss().item_double();
                }
                throw new HeadstartException(
                        model.getClass().getSimpleName() + " predicts no next token: it has no perplexity");
            }
        }
    }
}
