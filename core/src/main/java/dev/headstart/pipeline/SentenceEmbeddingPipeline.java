package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.Encoding;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/** One vector a text, as sentence-transformers computes it: encoder, pooling, normalization, as the folder's modules.json says. */
public final class SentenceEmbeddingPipeline extends TextPipeline {
    private final SentenceTransformer head;

    SentenceEmbeddingPipeline(String id, PipelineOptions options) {
        super(id, AutoModel.fromPretrained(id, options.load()), options);
        head = new SentenceTransformer(
                Hub.standard().resolve(id, options.load()).path());
    }

    @Override
    int limit() {
        return Math.min(super.limit(), head.maxSeqLength());
    }

    /** @return [D] */
    public float[] apply(String text) {
        return apply(List.of(text)).get(0);
    }

    /** @return one [D] a text */
    public List<float[]> apply(List<String> texts) {
        List<Encoding> rows = encode(texts.stream().map(head::prepare).toList(), null);
        List<float[]> results = new ArrayList<>(Collections.nCopies(rows.size(), new float[0]));
        infer(rows, (some, out) -> {
            Tensor x = field(out, "last_hidden_state"); // [B, S, H]
            long[][] mask = new long[some.length][(int) x.size(1)];
            for (int r = 0; r < some.length; r++) {
                Arrays.fill(mask[r], 0, rows.get(some[r]).length(), 1L);
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

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        return apply(inputs);
    }

    @Override
    public void close() {
        super.close();
        head.close();
    }
}
