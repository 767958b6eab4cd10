package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.Tensors;
import dev.headstart.text.Encoding;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Classes of texts or pairs of texts (transformers TextClassificationPipeline). Call arguments: {@code top_k} (null for all), {@code
 * function_to_apply} (softmax, sigmoid, none), {@code max_length} and {@code truncation} of the tokenizer.
 */
public final class TextClassificationPipeline extends TextPipeline {
    private static final String EXAMPLE = "{\"text\": \"...\", \"text_pair\": \"...\"}";

    TextClassificationPipeline(String id, PipelineOptions options) {
        super(id, () -> AutoModelForSequenceClassification.fromPretrained(id, options.load()), options);
    }

    /** The best class of a text. */
    public ClassScore apply(String text) {
        return apply(List.of(text)).get(0);
    }

    /** The best class of each text. */
    public List<ClassScore> apply(List<String> texts) {
        return apply(texts, null, 1, null).stream().map(r -> r.get(0)).toList();
    }

    /**
     * The best classes of each text, best first.
     *
     * @param pairs second texts; null, or null for one, where there is none
     * @param topK how many; null for all
     * @param function softmax, sigmoid, none; null to choose by the model
     */
    public List<List<ClassScore>> apply(
            List<String> texts,
            @Nullable List<@Nullable String> pairs,
            @Nullable Integer topK,
            @Nullable String function) {
        return apply(texts, pairs, topK, function, TokenizerArguments.NONE);
    }

    private List<List<ClassScore>> apply(
            List<String> texts,
            @Nullable List<@Nullable String> pairs,
            @Nullable Integer topK,
            @Nullable String function,
            TokenizerArguments arguments) {
        Map<Integer, String> names = model.config().id2label();
        List<Encoding> rows = encode(texts, pairs, arguments);
        List<List<ClassScore>> results = new ArrayList<>(java.util.Collections.nCopies(rows.size(), List.of()));
        infer(rows, (some, out) -> {
            Tensor logits = field(out, "logits"); // [B, C]
            int classes = (int) logits.size(1);
            float[] all = Tensors.floats(logits);
            for (int r = 0; r < some.length; r++) {
                float[] own = Arrays.copyOfRange(all, r * classes, (r + 1) * classes);
                results.set(some[r], Scores.best(Scores.apply(function, model.config(), own), names, topK));
            }
        });
        return results;
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        List<String> texts = new ArrayList<>();
        List<@Nullable String> pairs = new ArrayList<>();
        for (String input : inputs) {
            JsonNode both = Pipeline.object(input, "text");
            texts.add(both == null ? input : Pipeline.text(both, "text", EXAMPLE));
            pairs.add(both == null || !both.hasNonNull("text_pair") ? null : Pipeline.text(both, "text_pair", EXAMPLE));
        }
        String function = kwargs.hasNonNull("function_to_apply")
                ? kwargs.get("function_to_apply").asText()
                : null;
        boolean lists = kwargs.has("top_k");
        List<List<ClassScore>> results =
                apply(texts, pairs, Scores.topK(kwargs, 1), function, TokenizerArguments.of(kwargs));
        return lists ? results : results.stream().map(r -> r.get(0)).toList();
    }
}
