package dev.headstart.pipeline;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.bytedeco.javacpp.PointerScope;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Example text on which the inputs of a model's layers are measured before it gets weights of 4 bits. */
public final class TextCalibration {
    private static final Logger LOG = LoggerFactory.getLogger(TextCalibration.class);
    private static final int TOKENS = 1 << 14;
    private static final int WINDOW = 512;
    private static final int AT_ONCE = 1 << 10; // tokens

    private TextCalibration() {}

    /**
     * Text that the model writes itself, from a first token drawn at random: what it expects is what its layers were made for (Liu et al. 2023, LLM-QAT,
     * arXiv 2305.17888).
     *
     * @param folder the model's
     * @param seed of what is drawn
     * @return runs a model on it; null for a model that does not continue a text
     */
    public static @Nullable Consumer<PreTrainedModel<?>> ownText(Path folder, long seed) {
        LoadOptions options = LoadOptions.defaults().withDevice("cpu").packed();
        try (PreTrainedModel<?> model = Models.fromPretrained(folder.toString(), options)) {
            int words = model.config().integer("vocab_size", 0);
            if (!(model instanceof GenerativeModel writer)
                    || writer.isEncoderDecoder()
                    || words == 0
                    || model.quantized()) { // which the writing of the folder refuses
                return null;
            }
            int window = Math.min(WINDOW, model.maxLength());
            int rows = TOKENS / window;
            LOG.info("calibrating on {} texts of {} tokens that the model writes", rows, window);
            List<Integer> begin = writer.generationConfig().ids("bos_token_id");
            SplittableRandom random = new SplittableRandom(seed);
            long[][] prompts = new long[rows][];
            Arrays.setAll(prompts, r -> {
                long first = random.nextInt(words);
                return begin.isEmpty() ? new long[] {first} : new long[] {begin.get(0), first};
            });
            long[][] texts = Generation.of(writer)
                    .prompt(prompts)
                    .with("do_sample", true)
                    .with("num_beams", 1)
                    .with("temperature", 1.0)
                    .with("top_k", 0)
                    .with("top_p", 1.0)
                    .with("eos_token_id", null) // what follows the end is the next text's beginning
                    .with("seed", seed)
                    .with("max_new_tokens", window - prompts[0].length)
                    .generate()
                    .sequences();
            return running(texts);
        }
    }

    /**
     * A text: in parts as long as the model reads, spread evenly, for one that continues texts; else each line by itself.
     *
     * @param folder the model's, for its tokenizer
     */
    public static Consumer<PreTrainedModel<?>> of(Path folder, String text) {
        return model -> {
            if (model instanceof GenerativeModel g && g.isEncoderDecoder()) {
                throw new HeadstartException(
                        model.getClass().getSimpleName()
                                + " reads one text and writes another: a text alone cannot calibrate it; leave --calibrate out");
            }
            try (Tokenizer tokenizer = Tokenizer.fromFolder(folder)) {
                if (model instanceof GenerativeModel) {
                    running(parts(tokenizer.encode(text).ids(), Math.min(WINDOW, model.maxLength())))
                            .accept(model);
                } else {
                    lines(model, tokenizer, text);
                }
            }
        };
    }

    private static long[][] parts(long[] ids, int window) {
        if (ids.length < window) {
            throw new HeadstartException("the text to calibrate on has " + ids.length + " tokens, at least " + window
                    + " are needed; give a longer one, or leave --calibrate out");
        }
        int all = ids.length / window;
        long[][] rows = new long[Math.min(all, TOKENS / window)][];
        Arrays.setAll(rows, r -> {
            int from = (int) ((long) r * all / rows.length) * window;
            return Arrays.copyOfRange(ids, from, from + window);
        });
        return rows;
    }

    private static void lines(PreTrainedModel<?> model, Tokenizer tokenizer, String text) {
        EncodeOptions options = EncodeOptions.DEFAULT.withTruncation(Truncation.LONGEST_FIRST);
        int read = 0;
        for (String line : text.lines().filter(l -> !l.isBlank()).toList()) {
            Encoding encoding = tokenizer.encode(line, null, options);
            try (PointerScope scope = new PointerScope();
                    ModelOutput out = model.forward(Inputs.of(encoding))) {
                read += encoding.length();
            }
            if (read >= TOKENS) {
                return;
            }
        }
    }

    private static Consumer<PreTrainedModel<?>> running(long[][] texts) {
        return model -> {
            int step = Math.max(1, AT_ONCE / texts[0].length);
            for (int from = 0; from < texts.length; from += step) {
                long[][] some = Arrays.copyOfRange(texts, from, Math.min(texts.length, from + step));
                try (PointerScope scope = new PointerScope();
                        ModelOutput out = model.forward(Inputs.of(Map.of("input_ids", Tensors.int64(some))))) {
                    // only what comes into the layers counts
                }
            }
        };
    }
}
