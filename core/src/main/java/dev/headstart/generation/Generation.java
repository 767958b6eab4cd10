package dev.headstart.generation;

import dev.headstart.HeadstartException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.LongFunction;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.InferenceMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One request for text: a model, its inputs, and how to generate. {@link #generate} returns when all is done, {@link #stream} gives the tokens as they
 * come. Equal to transformers' {@code model.generate} (5.23) in what it computes.
 *
 * <pre>{@code
 * try (var tokens = Generation.of(model).prompt(ids).with("max_new_tokens", 40).stream()) {
 *   tokens.forEach(t -> System.out.println(t.id()));
 * }
 * }</pre>
 */
public final class Generation {
    private static final Logger LOG = LoggerFactory.getLogger(Generation.class);

    private final GenerativeModel model;
    private final Map<String, Tensor> inputs = new LinkedHashMap<>();
    private final List<LogitsProcessor> processors = new ArrayList<>();
    private long @Nullable [][] prompt;
    private long @Nullable [][] mask;
    private GenerationConfig config = GenerationConfig.empty();
    private @Nullable LongFunction<byte[]> tokenBytes;
    private @Nullable Generator generator;
    private BooleanSupplier cancelled = () -> false;

    private Generation(GenerativeModel model) {
        this.model = model;
    }

    /** A request to {@code model}. */
    public static Generation of(GenerativeModel model) {
        return new Generation(model);
    }

    /**
     * The model's inputs by their Hugging Face names: {@code input_ids} and {@code attention_mask}, [B, S], padded on the left for a decoder alone;
     * what the encoder takes, and {@code decoder_input_ids} where the text is begun, for one with an encoder.
     */
    public Generation inputs(Map<String, Tensor> tensors) {
        inputs.putAll(tensors);
        return this;
    }

    /** Prompts of a decoder alone, as token ids without padding; their lengths may differ. */
    public Generation prompt(long[]... ids) {
        int width = Arrays.stream(ids).mapToInt(row -> row.length).max().orElse(0);
        long[][] padded = new long[ids.length][width];
        long[][] real = new long[ids.length][width];
        for (int r = 0; r < ids.length; r++) {
            System.arraycopy(ids[r], 0, padded[r], width - ids[r].length, ids[r].length);
            Arrays.fill(real[r], width - ids[r].length, width, 1);
        }
        prompt = padded;
        mask = real;
        return this;
    }

    /** Parameters that win over the model's own. */
    public Generation config(GenerationConfig over) {
        config = over.over(config);
        return this;
    }

    /** One parameter that wins over the model's own, by transformers' name. */
    public Generation with(String name, @Nullable Object value) {
        config = config.with(name, value);
        return this;
    }

    /** A further processor, which runs after those of the parameters and before what only sampling uses. */
    public Generation processor(LogitsProcessor processor) {
        processors.add(processor);
        return this;
    }

    /** The bytes that each token stands for, which {@code stop_strings} needs. */
    public Generation tokenBytes(LongFunction<byte[]> bytes) {
        tokenBytes = bytes;
        return this;
    }

    /** A generator as {@code torch.manual_seed(seed)} would leave torch's CPU generator; random without a seed. The caller closes it. */
    public static Generator newGenerator(@Nullable Long seed) {
        return Decoding.newGenerator(seed);
    }

    /**
     * A generator that several calls share, so that they draw one after the other as torch's global generator would; the seed among the parameters is
     * then left aside. It stays the caller's.
     */
    public Generation generator(Generator shared) {
        generator = shared;
        return this;
    }

    /** Asked before each token: true ends the call with what there is. */
    public Generation cancelWhen(BooleanSupplier cancel) {
        cancelled = cancel;
        return this;
    }

    /**
     * Generates to the end.
     *
     * @throws HeadstartException when parameters contradict each other, or do not fit the prompt or the model
     */
    public GenerationOutput generate() {
        try (Decoding decoding = start(config.over(model.generationConfig()).flag("output_scores"))) {
            while (!decoding.done) {
                decoding.step();
            }
            return decoding.output();
        }
    }

    /**
     * Generates as the stream is read; closing it ends the call and frees its memory.
     *
     * @throws HeadstartException as {@link #generate}, and for beam search, whose tokens are known only at the end
     */
    public TokenStream stream() {
        if (config.over(model.generationConfig()).integer("num_beams", 1) > 1) {
            throw new HeadstartException(
                    "streaming contradicts num_beams > 1: the tokens of a beam search are known only at its end; set num_beams to 1");
        }
        return new TokenStream(start(true));
    }

    // --- preparation
    // --------------------------------------------------------------------------------------------------------------------------

    private Decoding start(boolean wantProbabilities) {
        GenerationConfig own = model.generationConfig();
        GenerationConfig c = config.over(own);
        c.validate();
        try (PointerScope scope = new PointerScope();
                InferenceMode guard = new InferenceMode(true)) {
            Prompts prompts = model.isEncoderDecoder() ? decoderPrompts(c) : prompts(c);
            int promptLength = prompts.padded[0].length;
            int maxLength = maxLength(c, promptLength);
            List<Integer> eos = c.ids("eos_token_id");
            List<Integer> pads = c.ids("pad_token_id");
            int pad = !pads.isEmpty() ? pads.get(0) : !eos.isEmpty() ? eos.get(0) : -1;
            StopStrings strings = stopStrings(c);
            Stopping stopping = new Stopping(
                    new HashSet<>(eos), strings, maxLength, c.has("max_time") ? c.number("max_time", -1) : -1);
            Processors.Context context = new Processors.Context(
                    promptLength, maxLength, eos, prompts.padding, prompts.source, model.isEncoderDecoder());
            List<LogitsProcessor> all = Processors.of(c, context, processors);
            int rows = prompts.padded.length;
            DecodingSession session = model.startDecoding(inputs, rows, maxLength);
            try {
                if (prompts.padding != null) {
                    session.padding(prompts.padding);
                }
                Decoding.Plan plan = new Decoding.Plan(
                        session, prompts.real, prompts.padded, c, all, stopping, eos, pad, cancelled, generator);
                return c.integer("num_beams", 1) > 1
                        ? new BeamDecoding(plan)
                        : new SamplingDecoding(plan, wantProbabilities);
            } catch (RuntimeException e) {
                session.close();
                throw e;
            }
        }
    }

    /**
     * @param padded [B, S] as given
     * @param real the same without what the mask hides
     * @param padding leading tokens of each row that the mask hides, or null without a mask
     * @param source the prompt's tokens, or the encoder's; null when they are none
     */
    private record Prompts(long[][] padded, long[][] real, int @Nullable [] padding, long @Nullable [][] source) {}

    private Prompts prompts(GenerationConfig c) {
        long[][] ids = prompt != null ? prompt : rows("input_ids");
        if (ids == null || ids.length == 0 || ids[0].length == 0) {
            List<Integer> bos = c.ids("bos_token_id");
            if (bos.isEmpty()) {
                throw new HeadstartException(
                        "the prompt is empty and the model names no bos_token_id to begin with; give at least one token");
            }
            int rows = ids == null || ids.length == 0 ? 1 : ids.length;
            ids = new long[rows][];
            Arrays.setAll(ids, r -> new long[] {bos.get(0)});
            mask = null;
            inputs.remove("attention_mask");
        }
        long[][] real = mask != null ? mask : rows("attention_mask");
        if (real != null && (real.length != ids.length || real[0].length != ids[0].length)) {
            throw new HeadstartException("attention_mask has shape [" + real.length + ", " + real[0].length
                    + "], input_ids [" + ids.length + ", " + ids[0].length + "]; they must be the same");
        }
        if (real == null) {
            real = inferredMask(ids, c);
        }
        long[][] without = new long[ids.length][];
        int[] padding = new int[ids.length];
        boolean any = false;
        for (int r = 0; r < ids.length; r++) {
            long[] row = ids[r];
            long[] keep = real[r];
            without[r] = IntStream.range(0, row.length)
                    .filter(i -> keep[i] != 0)
                    .mapToLong(i -> row[i])
                    .toArray();
            if (without[r].length == 0) {
                throw new HeadstartException("attention_mask hides every token of row " + r
                        + "; leave the row out, or give it at least one token");
            }
            while (keep[padding[r]] == 0) {
                padding[r]++;
            }
            any |= without[r].length < row.length;
            if (keep[row.length - 1] == 0) {
                LOG.warn("row {} of the prompt is padded on the right; a decoder continues the last real token", r);
            }
        }
        return new Prompts(ids, without, any ? padding : null, ids);
    }

    /** Padding is what equals a pad token that is no end token ({@code _prepare_attention_mask_for_generation}). */
    private static long[][] inferredMask(long[][] ids, GenerationConfig c) {
        List<Integer> eos = c.ids("eos_token_id");
        List<Integer> pad = c.ids("pad_token_id");
        long[][] mask = new long[ids.length][];
        for (int r = 0; r < ids.length; r++) {
            boolean can = !pad.isEmpty() && !eos.contains(pad.get(0));
            mask[r] = Arrays.stream(ids[r])
                    .map(t -> can && t == pad.get(0) ? 0 : 1)
                    .toArray();
        }
        return mask;
    }

    private Prompts decoderPrompts(GenerationConfig c) {
        Tensor main = inputs.values().stream()
                .findFirst()
                .orElseThrow(() -> new HeadstartException("a model with an encoder needs inputs; none were given"));
        int batch = (int) main.size(0);
        List<Integer> start = c.has("decoder_start_token_id") ? c.ids("decoder_start_token_id") : c.ids("bos_token_id");
        if (start.isEmpty()) {
            throw new HeadstartException(
                    "decoder_start_token_id is not set in generation_config.json or config.json, nor is bos_token_id; set one of them"
                            + " there, or give it with the call ({\"decoder_start_token_id\": N})");
        }
        if (start.size() != 1 && start.size() != batch) {
            throw new HeadstartException("decoder_start_token_id has " + start.size() + " tokens for " + batch
                    + " inputs; give one, or one an input");
        }
        long[][] begun = prompt != null ? prompt : rows("decoder_input_ids");
        long[][] ids = new long[batch][];
        boolean prepend = begun != null;
        for (int r = 0; begun != null && r < batch; r++) {
            prepend &= begun[r][0] != start.get(start.size() == 1 ? 0 : r);
        }
        for (int r = 0; r < batch; r++) {
            long first = start.get(start.size() == 1 ? 0 : r);
            if (begun == null) {
                ids[r] = new long[] {first};
            } else if (prepend) {
                ids[r] = new long[begun[r].length + 1];
                ids[r][0] = first;
                System.arraycopy(begun[r], 0, ids[r], 1, begun[r].length);
            } else {
                ids[r] = begun[r];
            }
        }
        long[][] source = rows("input_ids");
        boolean tokens = source != null
                && Arrays.stream(source).flatMapToLong(Arrays::stream).allMatch(t -> t >= 0);
        return new Prompts(ids, ids, null, tokens ? source : null);
    }

    private long @Nullable [][] rows(String name) {
        Tensor t = inputs.get(name);
        if (t == null || t.dim() != 2) {
            return null;
        }
        long[] flat = Decoding.longs(t.cpu().to(torch.ScalarType.Long));
        long[][] rows = new long[(int) t.size(0)][];
        int width = (int) t.size(1);
        Arrays.setAll(rows, r -> Arrays.copyOfRange(flat, r * width, (r + 1) * width));
        return rows;
    }

    /** Most tokens of prompt and result ({@code _prepare_generated_length}, {@code _validate_generated_length}). */
    private int maxLength(GenerationConfig c, int promptLength) {
        int context = model.contextLength();
        boolean hard = model.contextIsHard() && context > 0;
        if (hard && promptLength > context) {
            throw new HeadstartException("the prompt has " + promptLength + " tokens, but the model reads at most "
                    + context + "; shorten the prompt");
        }
        int length;
        if (c.has("max_new_tokens")) {
            length = promptLength + c.integer("max_new_tokens", 0);
        } else if (c.has("max_length")) {
            length = c.integer("max_length", 20);
        } else {
            length = promptLength + c.integer("max_length", 20);
            length = context > 0 ? Math.min(length, Math.max(context, hard ? promptLength + 1 : 0)) : length;
        }
        if (promptLength >= length) {
            throw new HeadstartException("the prompt has " + promptLength + " tokens, but max_length is " + length
                    + " (prompt and result together); shorten the prompt, or set max_new_tokens");
        }
        int least = c.integer("min_new_tokens", 0) > 0
                ? promptLength + c.integer("min_new_tokens", 0)
                : c.integer("min_length", 0);
        if (least > length) {
            LOG.warn(
                    "{} contradicts {}: at least {} tokens of prompt and result, at most {}; the result ends there",
                    c.integer("min_new_tokens", 0) > 0 ? "min_new_tokens" : "min_length",
                    c.has("max_new_tokens") ? "max_new_tokens" : "max_length",
                    least,
                    length);
        }
        if (hard && length > context + 1) { // the last token is not read any more
            LOG.warn("generation ends after {} tokens, as far as the model reads, not after {}", context + 1, length);
            length = context + 1;
        }
        return length;
    }

    private @Nullable StopStrings stopStrings(GenerationConfig c) {
        if (c.stopStrings().isEmpty()) {
            return null;
        }
        if (tokenBytes == null) {
            throw new HeadstartException(
                    "stop_strings needs the model's tokenizer, and there is none; add tokenizer.json, or stop by eos_token_id");
        }
        return new StopStrings(c.stopStrings(), tokenBytes);
    }
}
