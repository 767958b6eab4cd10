package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.hub.Hub;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Tensors;
import dev.headstart.text.Encoding;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How well documents answer a query: a cross-encoder reads both together (sentence-transformers CrossEncoder). Inputs are {@code {"query",
 * "documents"}}. Call arguments: {@code top_k}, {@code return_documents}, {@code activation_fn} (sigmoid, identity, ...; default: the model's own),
 * {@code prompt} and {@code prompt_name}.
 */
public final class TextRankingPipeline extends TextPipeline {
    private static final Logger LOG = LoggerFactory.getLogger(TextRankingPipeline.class);
    private static final String EXAMPLE = "{\"query\": \"...\", \"documents\": [\"...\"]}";

    /**
     * A document's place in the ranking.
     *
     * @param index of the document in the input
     * @param score what the model gives it; more is better
     */
    public record Ranked(int index, double score) {}

    /**
     * Two texts that a cross-encoder reads together.
     *
     * @param first the query
     * @param second the document
     */
    public record TextPair(String first, String second) {}

    private final SentenceSettings settings;
    private final String activation;
    private final int maxSeqLength;

    TextRankingPipeline(String id, PipelineOptions options) {
        super(id, () -> AutoModelForSequenceClassification.fromPretrained(id, options.load()), options);
        try {
            Path folder = Hub.standard().resolve(id, options.load()).path();
            settings = SentenceSettings.of(folder, false);
            activation = activation();
            maxSeqLength = SentenceSettings.limits(folder).integer("max_seq_length", Integer.MAX_VALUE);
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** As CrossEncoder finds it: config_sentence_transformers.json, config.json in today's and in the older spelling, else by the number of labels. */
    private String activation() {
        ConfigJson config = model.config();
        String named = settings.activationFn();
        if (named == null) {
            named = config.sub("sentence_transformers")
                    .text("activation_fn", config.text("sbert_ce_default_activation_function", ""));
        }
        String last = named.substring(named.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
        if (!named.isEmpty() && !named.startsWith("torch.")) {
            LOG.warn("{}: activation_fn {} is not one of torch's and is left out", config.origin(), named);
            last = "";
        }
        return last.isEmpty() ? (config.numLabels() == 1 ? "sigmoid" : "identity") : last;
    }

    @Override
    int limit() {
        return maxSeqLength < Integer.MAX_VALUE
                ? Math.min(maxSeqLength, readable())
                : Math.min(super.limit(), model.maxLength());
    }

    /** Documents by how well they answer the query, best first. */
    public List<Ranked> apply(String query, List<String> documents) {
        return apply(query, documents, null, null, settings.prompt(null, null));
    }

    /** The best {@code topK} documents, best first. */
    public List<Ranked> apply(String query, List<String> documents, int topK) {
        return apply(query, documents, topK, null, settings.prompt(null, null));
    }

    private List<Ranked> apply(
            String query, List<String> documents, @Nullable Integer topK, @Nullable String function, String prompt) {
        if (model.config().numLabels() != 1) {
            throw new HeadstartException(model.config().origin() + ": a model that ranks has one label, this one has "
                    + model.config().numLabels() + "; text-classification shows what it says of a pair");
        }
        List<TextPair> pairs =
                documents.stream().map(d -> new TextPair(query, d)).toList();
        List<double[]> scores = predict(pairs, function, prompt);
        return IntStream.range(0, scores.size())
                .mapToObj(i -> new Ranked(i, scores.get(i)[0]))
                .sorted(Comparator.comparingDouble(Ranked::score).reversed())
                .limit(topK == null ? Integer.MAX_VALUE : topK)
                .toList();
    }

    /** The scores of each pair, one number a label, after the model's activation. */
    public List<double[]> predict(List<TextPair> pairs) {
        return predict(pairs, null, settings.prompt(null, null));
    }

    private List<double[]> predict(List<TextPair> pairs, @Nullable String function, String prompt) {
        String act = function == null ? activation : function;
        List<@Nullable String> seconds = new ArrayList<>();
        pairs.forEach(p -> seconds.add(p.second()));
        List<Encoding> rows = encode(pairs.stream().map(p -> prompt + p.first()).toList(), seconds);
        double[][] results = new double[rows.size()][];
        infer(rows, (some, out) -> {
            Tensor logits = field(out, "logits"); // [B, C]
            int classes = (int) logits.size(1);
            float[] all = Tensors.floats(logits);
            for (int r = 0; r < some.length; r++) {
                results[some[r]] = activate(act, Arrays.copyOfRange(all, r * classes, (r + 1) * classes));
            }
        });
        return List.of(results);
    }

    private static double[] activate(String function, float[] logits) {
        return switch (function) {
            case "softmax" -> Scores.softmax(logits);
            case "sigmoid" -> each(logits, v -> 1 / (1 + Math.exp(-v)));
            case "identity", "none" -> each(logits, v -> v);
            default -> {
                Tensor row = Tensors.float32(logits, 1, logits.length);
                float[] after = Tensors.floats(
                        TorchActivations.of(function, "activation_fn").apply(row));
                yield each(after, v -> v);
            }
        };
    }

    private static double[] each(float[] logits, java.util.function.DoubleUnaryOperator f) {
        return IntStream.range(0, logits.length)
                .mapToDouble(i -> f.applyAsDouble(logits[i]))
                .toArray();
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        Integer topK = Scores.topK(kwargs, null);
        String named = SentenceSettings.text(kwargs, "activation_fn");
        String function = named == null
                ? null
                : named.substring(named.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
        String prompt = settings.prompt(kwargs);
        boolean shown = kwargs.path("return_documents").asBoolean(false);
        return inputs.stream()
                .map(input -> {
                    JsonNode fields = Pipeline.required(input, "query", EXAMPLE);
                    List<String> documents = Pipeline.texts(fields, "documents", EXAMPLE);
                    List<Ranked> ranked =
                            apply(Pipeline.text(fields, "query", EXAMPLE), documents, topK, function, prompt);
                    return shown
                            ? ranked.stream().map(r -> withText(r, documents)).toList()
                            : ranked;
                })
                .toList();
    }

    private static Map<String, Object> withText(Ranked ranked, List<String> documents) {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("index", ranked.index());
        all.put("score", ranked.score());
        all.put("text", documents.get(ranked.index()));
        return all;
    }
}
