package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;

/** Cosine similarity of a text to others, by sentence embeddings. */
public final class SentenceSimilarityPipeline implements Pipeline {
    private static final String EXAMPLE = "{\"source_sentence\": \"...\", \"sentences\": [\"...\"]}";
    private final SentenceEmbeddingPipeline embedding;

    SentenceSimilarityPipeline(String id, PipelineOptions options) {
        embedding = new SentenceEmbeddingPipeline(id, options);
    }

    /** @return one value in [-1, 1] for each of {@code sentences} */
    public double[] apply(String source, List<String> sentences) {
        List<String> all = new ArrayList<>(List.of(source));
        all.addAll(sentences);
        List<float[]> vectors = embedding.apply(all);
        return vectors.subList(1, vectors.size()).stream()
                .mapToDouble(v -> cosine(vectors.get(0), v))
                .toArray();
    }

    private static double cosine(float[] a, float[] b) {
        double ab = 0;
        double aa = 0;
        double bb = 0;
        for (int i = 0; i < a.length; i++) {
            ab += (double) a[i] * b[i];
            aa += (double) a[i] * a[i];
            bb += (double) b[i] * b[i];
        }
        return ab / Math.max(1e-12, Math.sqrt(aa) * Math.sqrt(bb));
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        return inputs.stream()
                .map(input -> {
                    JsonNode fields = Pipeline.required(input, "source_sentence", EXAMPLE);
                    return apply(
                            Pipeline.text(fields, "source_sentence", EXAMPLE),
                            Pipeline.texts(fields, "sentences", EXAMPLE));
                })
                .toList();
    }

    @Override
    public void close() {
        embedding.close();
    }
}
