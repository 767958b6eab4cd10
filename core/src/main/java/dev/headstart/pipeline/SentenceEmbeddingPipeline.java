package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModelForTextEncoding;
import dev.headstart.text.Encoding;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;

/**
 * One vector a text, as sentence-transformers computes it: prompt, encoder, pooling, normalization, as the folder says. Call arguments: {@code
 * prompt_name}, {@code prompt}, {@code truncate_dim}, {@code normalize_embeddings}.
 */
public final class SentenceEmbeddingPipeline extends TextPipeline {
    private final SentenceTransformer head;

    SentenceEmbeddingPipeline(String id, PipelineOptions options) {
        this(id, options, options.withLoad(SentenceTransformer.encoder(id, options.load())));
    }

    private SentenceEmbeddingPipeline(String id, PipelineOptions options, PipelineOptions encoder) {
        super(id, () -> AutoModelForTextEncoding.fromPretrained(id, encoder.load()), encoder);
        try {
            head = new SentenceTransformer(
                    Hub.standard().resolve(id, options.load()).path());
        } catch (RuntimeException e) {
            super.close();
            throw e;
        }
    }

    @Override
    int limit() {
        return head.limit(Math.min(super.limit(), model.maxLength()), readable());
    }

    /** @return [D] */
    public float[] apply(String text) {
        return apply(List.of(text)).get(0);
    }

    /** @return one [D] a text */
    public List<float[]> apply(List<String> texts) {
        return apply(texts, EmbedOptions.DEFAULT);
    }

    /** @return one [D] a text, D the model's dimensions or as many as the options keep */
    public List<float[]> apply(List<String> texts, EmbedOptions how) {
        String prompt = head.settings().prompt(how.prompt(), how.promptName());
        int promptLength = head.promptLength(prompt, tokenizer, limit());
        List<Encoding> rows =
                encode(texts.stream().map(t -> head.prepare(prompt, t)).toList(), null);
        List<float[]> results = new ArrayList<>(Collections.nCopies(rows.size(), new float[0]));
        infer(rows, (some, out) -> {
            int[] lengths = IntStream.of(some).map(i -> rows.get(i).length()).toArray();
            List<float[]> vectors = head.vectors(field(out, "last_hidden_state"), lengths, promptLength, how);
            for (int r = 0; r < some.length; r++) {
                results.set(some[r], vectors.get(r));
            }
        });
        return results;
    }

    /** Vectors of questions, with the model's prompt {@code query}, to be compared with those of {@link #applyToDocuments}. */
    public List<float[]> applyToQueries(List<String> texts) {
        return apply(texts, EmbedOptions.DEFAULT.withPromptName("query"));
    }

    /** Vectors of texts to be found, with the model's prompt {@code document}. */
    public List<float[]> applyToDocuments(List<String> texts) {
        return apply(texts, EmbedOptions.DEFAULT.withPromptName("document"));
    }

    /** How the model's vectors are to be compared: what its folder says, else the cosine. */
    public SimilarityFunction similarity() {
        String named = head.settings().similarityFnName();
        return named == null ? SimilarityFunction.COSINE : SimilarityFunction.named(named);
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        return apply(inputs, EmbedOptions.of(kwargs));
    }

    @Override
    public void close() {
        super.close();
        head.close();
    }
}
