package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.models.AutoModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.Encoding;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/** Hidden states of every token, special tokens among them (transformers FeatureExtractionPipeline). */
public final class FeatureExtractionPipeline extends TextPipeline {
    FeatureExtractionPipeline(String id, PipelineOptions options) {
        super(id, () -> AutoModel.fromPretrained(id, options.load()), options);
    }

    /** @return [S][H], one row a token */
    public float[][] apply(String text) {
        return apply(List.of(text)).get(0);
    }

    /** @return one [S][H] a text, S its own length */
    public List<float[][]> apply(List<String> texts) {
        return apply(texts, TokenizerArguments.NONE);
    }

    private List<float[][]> apply(List<String> texts, TokenizerArguments arguments) {
        List<Encoding> rows = encode(texts, null, arguments);
        List<float[][]> results = new ArrayList<>(Collections.nCopies(rows.size(), new float[0][]));
        infer(rows, (some, out) -> {
            Tensor x = field(out, "last_hidden_state"); // [B, S, H]
            int h = (int) x.size(2);
            for (int r = 0; r < some.length; r++) {
                int length = rows.get(some[r]).length();
                float[] flat = Tensors.floats(x.select(0, r).narrow(0, 0, length));
                float[][] tokens = new float[length][];
                for (int t = 0; t < length; t++) {
                    tokens[t] = Arrays.copyOfRange(flat, t * h, (t + 1) * h);
                }
                results.set(some[r], tokens);
            }
        });
        return results;
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        JsonNode beside = kwargs.path("tokenize_kwargs");
        ObjectNode arguments = beside.isObject() ? beside.deepCopy() : JsonHolder.JSON.createObjectNode();
        if (kwargs.has("truncation")) {
            arguments.set("truncation", kwargs.get("truncation"));
        }
        return apply(inputs, TokenizerArguments.of(arguments)).stream()
                .map(tokens -> List.of((Object) tokens))
                .toList();
    }
}
