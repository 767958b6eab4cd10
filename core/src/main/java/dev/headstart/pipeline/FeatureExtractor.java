package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModel;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.Tensors;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Truncation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Features of texts for use elsewhere: of any layer, pooled or per token. Tokenizing and computing are apart, so that a caller with many texts can do
 * the one while the other runs.
 */
public final class FeatureExtractor extends TextPipeline {
    /** How the vectors of a text's tokens become one. */
    public enum Pooling {
        /** As the folder's modules.json says (sentence-transformers, with normalization); without one, the mean. */
        MODEL,
        /** Mean over the tokens, special ones among them. */
        MEAN,
        /** The first token. */
        CLS,
        /** Largest value of each dimension. */
        MAX,
        /** Not at all: one vector a token, special ones among them. */
        NONE
    }

    /**
     * A text as tokens.
     *
     * @param encoding at most as long as the model allows
     * @param whole number of tokens before it was cut
     */
    public record Tokens(Encoding encoding, int whole) {
        /** Whether the text was longer than the model allows. */
        public boolean cut() {
            return whole > encoding.length();
        }
    }

    private final @Nullable SentenceTransformer head;
    private final @Nullable Integer layer;

    /**
     * Loads model and tokenizer.
     *
     * @param layer hidden state to take: 0 the embeddings, 1 the first layer, -1 the last; null for the model's output
     */
    public FeatureExtractor(String id, PipelineOptions options, Pooling pooling, @Nullable Integer layer) {
        super(id, AutoModel.fromPretrained(id, options.load()), options);
        this.layer = layer;
        this.head = switch (pooling) {
            case MODEL ->
                new SentenceTransformer(
                        Hub.standard().resolve(id, options.load()).path());
            case MEAN -> new SentenceTransformer("mean");
            case CLS -> new SentenceTransformer("cls");
            case MAX -> new SentenceTransformer("max");
            case NONE -> null;
        };
    }

    @Override
    int limit() {
        return head == null ? super.limit() : Math.min(super.limit(), head.maxSeqLength());
    }

    /** Most tokens a text may have before it is cut. */
    public int maxTokens() {
        return limit();
    }

    /** The text's tokens. Thread-safe. */
    public Tokens tokenize(String text) {
        String prepared = head == null ? text : head.prepare(text);
        Encoding e = tokenizer.encode(prepared, null, EncodeOptions.DEFAULT);
        if (e.length() <= limit()) {
            return new Tokens(e, e.length());
        }
        EncodeOptions cut =
                EncodeOptions.DEFAULT.withTruncation(Truncation.LONGEST_FIRST).withMaxLength(limit());
        return new Tokens(tokenizer.encode(prepared, null, cut), e.length());
    }

    /**
     * Computes features, sorted by length in batches of the options' token budget.
     *
     * @return in the order of the texts: pooled [D]; per token [S x D], one token after the other
     */
    public List<float[]> features(List<Encoding> texts) {
        List<float[]> results = new ArrayList<>(Collections.nCopies(texts.size(), new float[0]));
        infer(texts, layer != null, (some, out) -> {
            Tensor x = states(out); // [B, S, H]
            if (head == null) {
                for (int r = 0; r < some.length; r++) {
                    int length = texts.get(some[r]).length();
                    results.set(some[r], Tensors.floats(x.select(0, r).narrow(0, 0, length)));
                }
                return;
            }
            long[][] mask = new long[some.length][(int) x.size(1)];
            for (int r = 0; r < some.length; r++) {
                Arrays.fill(mask[r], 0, texts.get(some[r]).length(), 1L);
            }
            Tensor pooled = head.apply(x, Tensors.int64(mask)); // [B, D]
            int d = (int) pooled.size(1);
            float[] flat = Tensors.floats(pooled);
            for (int r = 0; r < some.length; r++) {
                results.set(some[r], Arrays.copyOfRange(flat, r * d, (r + 1) * d));
            }
        });
        return results;
    }

    private Tensor states(ModelOutput out) {
        if (layer == null) {
            return field(out, "last_hidden_state");
        }
        int count = (int) out.tensors().keySet().stream()
                .filter(name -> name.startsWith("hidden_states."))
                .count();
        int wanted = layer < 0 ? count + layer : layer;
        if (wanted < 0 || wanted >= count) {
            throw new HeadstartException(
                    "layer " + layer + " is not there: the model has hidden states 0 (embeddings) to " + (count - 1)
                            + ", or -1 (the last) to -" + count);
        }
        return field(out, "hidden_states." + wanted);
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        return features(inputs.stream().map(t -> tokenize(t).encoding()).toList());
    }

    @Override
    public void close() {
        super.close();
        if (head != null) {
            head.close();
        }
    }
}
