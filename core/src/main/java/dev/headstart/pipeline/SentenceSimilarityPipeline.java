package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;

/**
 * Nearness of a text to others, by sentence embeddings and the function that the model's folder names (else the cosine). Call arguments: {@code
 * similarity_fn_name} (cosine, dot, euclidean, manhattan) and those of sentence-embedding.
 */
public final class SentenceSimilarityPipeline implements Pipeline {
    private static final String EXAMPLE = "{\"source_sentence\": \"...\", \"sentences\": [\"...\"]}";
    private final SentenceEmbeddingPipeline embedding;

    SentenceSimilarityPipeline(String id, PipelineOptions options) {
        embedding = new SentenceEmbeddingPipeline(id, options);
    }

    /** @return one value for each of {@code sentences}; more is nearer */
    public double[] apply(String source, List<String> sentences) {
        return apply(source, sentences, embedding.similarity(), EmbedOptions.DEFAULT);
    }

    /** @return one value for each of {@code sentences}; more is nearer */
    public double[] apply(String source, List<String> sentences, SimilarityFunction function, EmbedOptions how) {
        List<String> all = new ArrayList<>(List.of(source));
        all.addAll(sentences);
        List<float[]> vectors = embedding.apply(all, how);
        return vectors.subList(1, vectors.size()).stream()
                .mapToDouble(v -> function.of(vectors.get(0), v))
                .toArray();
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        String named = SentenceSettings.text(kwargs, "similarity_fn_name");
        SimilarityFunction function = named == null ? embedding.similarity() : SimilarityFunction.named(named);
        EmbedOptions how = EmbedOptions.of(kwargs);
        return inputs.stream()
                .map(input -> {
                    JsonNode fields = Pipeline.required(input, "source_sentence", EXAMPLE);
                    return apply(
                            Pipeline.text(fields, "source_sentence", EXAMPLE),
                            Pipeline.texts(fields, "sentences", EXAMPLE),
                            function,
                            how);
                })
                .toList();
    }

    @Override
    public void close() {
        embedding.close();
    }
}
