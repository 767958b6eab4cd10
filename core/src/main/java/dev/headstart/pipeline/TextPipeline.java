package dev.headstart.pipeline;

import dev.headstart.HeadstartException;
import dev.headstart.models.Inputs;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Precision;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A tokenizer and a model together: texts are encoded, sorted by length, batched by a token budget, and results come back in order. */
abstract class TextPipeline implements Pipeline {
    private static final Logger LOG = LoggerFactory.getLogger(TextPipeline.class);

    /** Work after which packing the weights for speed pays. */
    private static final long PACK_AFTER_TOKENS = 512;

    protected final Tokenizer tokenizer;
    protected final PreTrainedModel<?> model;
    protected final PipelineOptions options;
    private final AtomicLong tokensSeen = new AtomicLong();
    private volatile boolean packed;

    /** @param model loads it; the tokenizer of a folder is read meanwhile, one that may have to be fetched afterwards */
    TextPipeline(String id, Supplier<? extends PreTrainedModel<?>> model, PipelineOptions options) {
        this.options = options;
        Supplier<Tokenizer> read = () -> Tokenizer.fromPretrained(id, options.load());
        CompletableFuture<Tokenizer> meanwhile = new File(id).isDirectory() ? inBackground(read) : null;
        try {
            this.model = model.get();
        } catch (RuntimeException e) {
            if (meanwhile != null) {
                meanwhile.thenAccept(Tokenizer::close);
            }
            throw e;
        }
        try {
            this.tokenizer = meanwhile == null ? read.get() : joined(meanwhile);
        } catch (RuntimeException e) {
            this.model.close();
            throw e;
        }
        this.packed = options.load().precision() != null;
    }

    private static <T> CompletableFuture<T> inBackground(Supplier<T> work) {
        return CompletableFuture.supplyAsync(work, task -> {
            Thread thread = new Thread(task, "tokenizer");
            thread.setDaemon(true);
            thread.start();
        });
    }

    private static <T> T joined(CompletableFuture<T> future) {
        try {
            return future.join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof RuntimeException cause ? cause : e;
        }
    }

    /** Receives one batch: which texts it holds, and what the model said of them. Called inside a scope. */
    interface Batch {
        void accept(int[] rows, ModelOutput out);
    }

    /** Most tokens a text may have: what the tokenizer says, and no more than the model can read. */
    int limit() {
        int own = tokenizer.modelMaxLength() > 0 ? tokenizer.modelMaxLength() : Integer.MAX_VALUE;
        return Math.min(own, readable());
    }

    /** Most tokens that the model can read, or {@link Integer#MAX_VALUE} where no table of positions ends. */
    final int readable() {
        return model.maxLengthIsHard() ? model.maxLength() : Integer.MAX_VALUE;
    }

    /** Encodes texts or pairs; those over the limit are cut with a warning, or are an error without truncation. */
    List<Encoding> encode(List<String> texts, @Nullable List<@Nullable String> pairs) {
        return encode(texts, pairs, TokenizerArguments.CUT);
    }

    /** The same, cut as the call says; what it asks to cut is cut without a warning. */
    List<Encoding> encode(List<String> texts, @Nullable List<@Nullable String> pairs, TokenizerArguments arguments) {
        boolean cuts = arguments.truncation() != Truncation.NONE;
        int own = cuts ? limit() : readable();
        int limit = Math.min(own, arguments.maxLength());
        Truncation truncation = cuts ? arguments.truncation() : Truncation.LONGEST_FIRST;
        EncodeOptions whole = arguments.options();
        List<Encoding> all = new ArrayList<>(whole(texts, pairs, whole));
        int cut = 0;
        for (int i = 0; i < texts.size(); i++) {
            String pair = pairs == null ? null : pairs.get(i);
            Encoding e = all.get(i);
            if (e.length() > limit) {
                if (!options.truncation() && e.length() > own) {
                    throw new HeadstartException("text " + (i + 1) + " has " + e.length()
                            + " tokens, the model takes at most " + limit + "; shorten it, or allow truncation");
                }
                cut += limit == own ? 1 : 0;
                e = tokenizer.encode(
                        texts.get(i), pair, whole.withTruncation(truncation).withMaxLength(limit));
                all.set(i, e);
            }
        }
        if (cut > 0) {
            LOG.warn("{} of {} texts were cut to the model's {} tokens", cut, texts.size(), limit);
        }
        return all;
    }

    /** Texts on all processors, where all or none have a second one. */
    private List<Encoding> whole(List<String> texts, @Nullable List<@Nullable String> pairs, EncodeOptions how) {
        if (pairs == null) {
            return tokenizer.encode(texts, how).encodings();
        }
        List<String> seconds = pairs.stream().filter(Objects::nonNull).toList();
        return seconds.size() == texts.size()
                ? tokenizer.encode(texts, seconds, how).encodings()
                : IntStream.range(0, texts.size())
                        .mapToObj(i -> tokenizer.encode(texts.get(i), pairs.get(i), how))
                        .toList();
    }

    /** Runs the model over all encodings, in batches of similar length. */
    void infer(List<Encoding> rows, Batch batch) {
        infer(rows, false, batch);
    }

    /** The same, with the hidden states of every layer when they are asked for. */
    void infer(List<Encoding> rows, boolean hiddenStates, Batch batch) {
        long tokens =
                tokensSeen.addAndGet(rows.stream().mapToLong(Encoding::length).sum());
        if (!packed && tokens >= PACK_AFTER_TOKENS) {
            pack();
        }
        int[] order = IntStream.range(0, rows.size())
                .boxed()
                .sorted(Comparator.comparingInt(i -> -rows.get(i).length()))
                .mapToInt(Integer::intValue)
                .toArray();
        int at = 0;
        while (at < order.length) {
            int longest = rows.get(order[at]).length();
            int end = end(rows, order, at, hiddenStates);
            int[] some = Arrays.copyOfRange(order, at, end);
            try (PointerScope scope = new PointerScope();
                    ModelOutput out = model.forward(inputs(rows, some, longest).withHiddenStates(hiddenStates))) {
                batch.accept(some, out);
            }
            at = end;
        }
    }

    /**
     * Where the batch ends that begins at {@code at}: its padded texts have at most the tokens of a batch. A model that leaves out padding has as many tokens as
     * the texts themselves, and less than half of what is embedded is padding: products are fastest for as many rows as the batch may have.
     */
    private int end(List<Encoding> rows, int[] order, int at, boolean hiddenStates) {
        boolean packs = model.leavesOutPadding() && !model.onGpu() && !hiddenStates;
        boolean canPad = tokenizer.padId().isPresent();
        int longest = rows.get(order[at]).length();
        int most = Math.max(options.batchTokens(model.onGpu()), longest);
        long tokens = 0;
        int end = at;
        while (end < order.length) {
            int length = rows.get(order[end]).length();
            long padded = (long) (end - at + 1) * longest;
            tokens += length;
            if ((packs ? tokens > most || padded > 2L * most : padded > most) || (!canPad && length != longest)) {
                break;
            }
            end++;
        }
        return end;
    }

    private synchronized void pack() {
        if (!packed) {
            model.optimize(Precision.FP32);
            packed = true;
        }
    }

    private Inputs inputs(List<Encoding> rows, int[] some, int longest) {
        int pad = tokenizer.padId().orElse(0);
        Map<String, long[][]> all = new LinkedHashMap<>();
        for (int r = 0; r < some.length; r++) {
            int row = r;
            rows.get(some[r]).modelInputs().forEach((name, values) -> {
                long[] padded = Arrays.copyOf(values[0], longest);
                if (name.equals("input_ids")) {
                    Arrays.fill(padded, values[0].length, longest, pad);
                }
                all.computeIfAbsent(name, n -> new long[some.length][])[row] = padded;
            });
        }
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        all.forEach((name, values) -> tensors.put(name, Tensors.int64(values)));
        return Inputs.of(tensors)
                .withLengths(Arrays.stream(some).map(i -> rows.get(i).length()).toArray());
    }

    /** The output tensor of the given name. */
    static Tensor field(ModelOutput out, String name) {
        Tensor t = out.tensors().get(name);
        if (t == null) {
            throw new HeadstartException("the model gives no " + name + "; it gives "
                    + String.join(", ", out.tensors().keySet()));
        }
        return t;
    }

    @Override
    public void close() {
        model.close();
        tokenizer.close();
    }
}
