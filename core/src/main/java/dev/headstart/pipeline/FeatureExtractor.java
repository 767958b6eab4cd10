package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModelForTextEncoding;
import dev.headstart.models.ModelOutput;
import dev.headstart.models.Tensors;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import dev.headstart.text.Truncation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
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
    private final EmbedOptions how;
    private final String prompt;
    private final int promptLength;

    /**
     * Loads model and tokenizer.
     *
     * @param layer hidden state to take: 0 the embeddings, 1 the first layer, -1 the last; null for the model's output
     */
    public FeatureExtractor(String id, PipelineOptions options, Pooling pooling, @Nullable Integer layer) {
        this(id, options, pooling, layer, EmbedOptions.DEFAULT);
    }

    /**
     * Loads model and tokenizer.
     *
     * @param layer hidden state to take: 0 the embeddings, 1 the first layer, -1 the last; null for the model's output
     * @param how prompt and dimensions; the model's own default prompt holds with its own pooling alone
     * @throws HeadstartException when vectors of tokens are to be cut or normalised
     */
    public FeatureExtractor(
            String id, PipelineOptions options, Pooling pooling, @Nullable Integer layer, EmbedOptions how) {
        this(id, options, options.withLoad(SentenceTransformer.encoder(id, options.load())), pooling, layer, how);
    }

    private FeatureExtractor(
            String id,
            PipelineOptions options,
            PipelineOptions encoder,
            Pooling pooling,
            @Nullable Integer layer,
            EmbedOptions how) {
        super(id, () -> AutoModelForTextEncoding.fromPretrained(id, encoder.load()), encoder);
        this.layer = layer;
        this.how = how;
        try {
            Path folder = Hub.standard().resolve(id, options.load()).path();
            this.head = switch (pooling) {
                case MODEL -> new SentenceTransformer(folder);
                case MEAN, CLS, MAX ->
                    new SentenceTransformer(folder, pooling.name().toLowerCase(Locale.ROOT));
                case NONE -> null;
            };
            if (head == null) {
                if (!how.equals(EmbedOptions.DEFAULT.withPrompt(how.prompt()))) {
                    throw new HeadstartException(
                            "vectors of tokens (pooling none) take no prompt_name, truncate_dim or normalize_embeddings");
                }
                prompt = how.prompt() == null ? "" : how.prompt();
                promptLength = 0;
            } else {
                prompt = head.settings().prompt(how.prompt(), how.promptName());
                promptLength = head.promptLength(prompt, tokenizer, limit());
            }
        } catch (RuntimeException e) {
            super.close();
            throw e;
        }
    }

    @Override
    int limit() {
        return head == null ? super.limit() : head.limit(Math.min(super.limit(), model.maxLength()), readable());
    }

    /** Most tokens a text may have before it is cut. */
    public int maxTokens() {
        return limit();
    }

    /** The text's tokens. Thread-safe. */
    public Tokens tokenize(String text) {
        String prepared = head == null ? prompt + text : head.prepare(prompt, text);
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
            int[] lengths = IntStream.of(some).map(i -> texts.get(i).length()).toArray();
            List<float[]> vectors = head.vectors(x, lengths, promptLength, how);
            for (int r = 0; r < some.length; r++) {
                results.set(some[r], vectors.get(r));
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
