package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.Tensors;
import dev.headstart.text.Encoding;
import dev.headstart.text.Truncation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Classes of texts that are named in the call (Yin et al. 2019; transformers ZeroShotClassificationPipeline): a model trained on natural language
 * inference says how much the text entails "This example is LABEL." Call arguments: {@code candidate_labels} (a list, or a text with commas), {@code
 * hypothesis_template} with {@code {}} where the label goes, {@code multi_label} (each label by itself).
 */
public final class ZeroShotClassificationPipeline extends TextPipeline {
    /** What stands around a label when the call does not say. */
    public static final String TEMPLATE = "This example is {}.";

    private static final TokenizerArguments ONLY_FIRST =
            new TokenizerArguments(Truncation.ONLY_FIRST, Integer.MAX_VALUE, true);

    private static final Logger LOG = LoggerFactory.getLogger(ZeroShotClassificationPipeline.class);

    /**
     * The labels of a text, best first.
     *
     * @param sequence the text
     * @param labels the labels
     * @param scores theirs, in the same order: they sum to 1, or with multi_label each lies in [0, 1]
     */
    public record ZeroShot(String sequence, List<String> labels, List<Double> scores) {}

    private final int entailment;

    ZeroShotClassificationPipeline(String id, PipelineOptions options) {
        super(id, () -> AutoModelForSequenceClassification.fromPretrained(id, options.load()), options);
        entailment = entailment();
    }

    /** The class whose name starts with "entail", else -1: the last one. */
    private int entailment() {
        for (Map.Entry<String, JsonNode> e :
                model.config().sub("label2id").node().properties()) {
            if (entails(e.getKey()) && e.getValue().isInt()) {
                return e.getValue().asInt();
            }
        }
        if (!model.config().has("label2id")) {
            for (Map.Entry<Integer, String> e : model.config().id2label().entrySet()) {
                if (entails(e.getValue())) {
                    return e.getKey();
                }
            }
        }
        LOG.warn(
                "{}: no label starts with \"entail\", the last class is taken for it; is this a model of natural language inference?",
                model.config().origin());
        return -1;
    }

    private static boolean entails(String label) {
        return label.toLowerCase(Locale.ROOT).startsWith("entail");
    }

    /** The labels of a text, best first; their scores sum to 1. */
    public ZeroShot apply(String text, List<String> labels) {
        return apply(List.of(text), labels, TEMPLATE, false).get(0);
    }

    /**
     * The labels of each text, best first.
     *
     * @param template with {} where the label goes
     * @param multiLabel whether several labels may hold: each is weighed against its contradiction instead of against the others
     */
    public List<ZeroShot> apply(List<String> texts, List<String> labels, String template, boolean multiLabel) {
        if (labels.isEmpty()) {
            throw new HeadstartException("candidate_labels: at least one label is needed");
        }
        List<String> hypotheses = labels.stream().map(l -> fill(template, l)).toList();
        List<String> first = new ArrayList<>();
        List<@Nullable String> second = new ArrayList<>();
        for (String text : texts) {
            for (String hypothesis : hypotheses) {
                first.add(text);
                second.add(hypothesis);
            }
        }
        float[][] logits = logits(encode(first, second, ONLY_FIRST)); // [texts * labels, C]
        int n = labels.size();
        List<ZeroShot> results = new ArrayList<>();
        for (int i = 0; i < texts.size(); i++) {
            results.add(best(texts.get(i), labels, Arrays.copyOfRange(logits, i * n, (i + 1) * n), multiLabel));
        }
        return results;
    }

    private float[][] logits(List<Encoding> rows) {
        float[][] all = new float[rows.size()][];
        infer(rows, (some, out) -> {
            Tensor logits = field(out, "logits"); // [B, C]
            int classes = (int) logits.size(1);
            float[] flat = Tensors.floats(logits);
            for (int r = 0; r < some.length; r++) {
                all[some[r]] = Arrays.copyOfRange(flat, r * classes, (r + 1) * classes);
            }
        });
        return all;
    }

    private ZeroShot best(String text, List<String> labels, float[][] logits, boolean multiLabel) {
        double[] scores;
        if (multiLabel || labels.size() == 1) {
            int against = entailment == 0 ? -1 : 0;
            scores = Arrays.stream(logits)
                    .mapToDouble(row -> Scores.softmax(new float[] {at(row, against), at(row, entailment)})[1])
                    .toArray();
        } else {
            float[] entailed = new float[logits.length];
            for (int i = 0; i < entailed.length; i++) {
                entailed[i] = at(logits[i], entailment);
            }
            scores = Scores.softmax(entailed);
        }
        List<Integer> order = new ArrayList<>(IntStream.range(0, scores.length)
                .boxed()
                .sorted(Comparator.comparingDouble(i -> scores[i]))
                .toList());
        Collections.reverse(order);
        return new ZeroShot(
                text,
                order.stream().map(labels::get).toList(),
                order.stream().map(i -> scores[i]).toList());
    }

    private static float at(float[] row, int index) {
        return row[index < 0 ? row.length + index : index];
    }

    /** The template with the label put in, by the rules of Python's str.format for one argument. */
    static String fill(String template, String label) {
        StringBuilder out = new StringBuilder();
        boolean filled = false;
        for (int i = 0; i < template.length(); i++) {
            String rest = template.substring(i);
            if (rest.startsWith("{{") || rest.startsWith("}}")) {
                out.append(template.charAt(i++));
            } else if (rest.startsWith("{0}") || (rest.startsWith("{}") && !filled)) {
                out.append(label);
                filled = true;
                i += rest.startsWith("{0}") ? 2 : 1;
            } else if (rest.startsWith("{") || rest.startsWith("}")) {
                throw badTemplate(template);
            } else {
                out.append(template.charAt(i));
            }
        }
        if (!filled) {
            throw badTemplate(template);
        }
        return out.toString();
    }

    private static HeadstartException badTemplate(String template) {
        return new HeadstartException("hypothesis_template \"" + template
                + "\" must have {} once, where the label goes, like \"" + TEMPLATE + "\"");
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        JsonNode given = kwargs.path("candidate_labels");
        if (!given.isTextual() && !given.isArray()) {
            throw new HeadstartException(
                    "zero-shot-classification needs the labels: --kwargs '{\"candidate_labels\": [\"politics\", \"sport\"]}'");
        }
        List<String> labels = given.isTextual()
                ? Arrays.stream(given.asText().split(","))
                        .map(String::strip)
                        .filter(l -> !l.isEmpty())
                        .toList()
                : Pipeline.texts(kwargs, "candidate_labels", "[\"politics\", \"sport\"]");
        String template = SentenceSettings.text(kwargs, "hypothesis_template");
        return apply(
                inputs,
                labels,
                template == null ? TEMPLATE : template,
                kwargs.path("multi_label").asBoolean(false));
    }
}
