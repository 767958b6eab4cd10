package dev.headstart.train.finetune;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.Row;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.generation.GenerationOutput;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Seq2Seq;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Precision;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Objective;
import dev.headstart.train.metrics.Evaluation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Every problem as text to text (Raffel et al. 2020): two columns, teacher forcing, one loss. With a column {@code task} several tasks are mixed: each
 * source gets its task's name as prefix ({@link TaskMixture}).
 */
final class Seq2SeqTask extends FineTuneTask {
    private static final long IGNORED = -100;
    private @Nullable Columns columns;
    private @Nullable Tokenizer tokenizer;
    private Set<String> taskNames = Set.of();
    private @Nullable TaskMixture mixture;

    Seq2SeqTask(FineTuneOptions options) {
        super(options);
        if (!(options.mixingTemperature >= 1)) {
            throw new HeadstartException("--mixing-temperature must be at least 1, found " + options.mixingTemperature);
        }
        if (!(options.labelSmoothing >= 0 && options.labelSmoothing < 1)) {
            throw new HeadstartException("--label-smoothing must be in [0, 1), found " + options.labelSmoothing);
        }
        if (options.mixingLimit < 1) {
            throw new HeadstartException("--mixing-limit must be at least 1, found " + options.mixingLimit);
        }
        if (options.maxTargetLength < 1) {
            throw new HeadstartException("--max-target-length must be at least 1, found " + options.maxTargetLength);
        }
    }

    @Override
    String head() {
        return "ForSeq2SeqLM";
    }

    @Override
    String peftTask() {
        return "SEQ_2_SEQ_LM";
    }

    @Override
    List<Role> required() {
        return List.of(Role.SOURCE, Role.TARGET);
    }

    @Override
    List<Role> optional() {
        return List.of(Role.TASK);
    }

    @Override
    void read(List<Row> train, List<Row> validation, List<Row> test, Columns found) {
        columns = found;
        if (found.has(Role.TASK)) {
            taskNames = Set.copyOf(map(train, r -> r.text(found.get(Role.TASK))));
        }
    }

    private Columns known() {
        if (columns == null) {
            throw new IllegalStateException("nothing read yet");
        }
        return columns;
    }

    @Override
    String key(Row row, Columns c) {
        return source(row, c) + "\t" + row.text(c.get(Role.TARGET));
    }

    private String source(Row row, Columns c) {
        String task = c.has(Role.TASK) ? row.text(c.get(Role.TASK)) + ": " : "";
        return options.sourcePrefix + task + row.text(c.get(Role.SOURCE));
    }

    @Override
    String mainMetric() {
        return "loss";
    }

    @Override
    boolean greaterIsBetter() {
        return false;
    }

    /** The prefixes that config.json names, by task. */
    private static Map<String, String> prefixes(PreTrainedModel<?> model) {
        Map<String, String> found = new TreeMap<>();
        model.config().node().path("task_specific_params").properties().forEach(e -> {
            String prefix = e.getValue().path("prefix").asText("");
            if (!prefix.isBlank()) {
                found.put(e.getKey(), prefix);
            }
        });
        return found;
    }

    @Override
    void check(PreTrainedModel<?> model, TextData train) {
        int context = model instanceof GenerativeModel g && g.contextIsHard() ? g.contextLength() : 0;
        if (context > 0 && options.maxTargetLength > context) {
            throw new HeadstartException("--max-target-length " + options.maxTargetLength
                    + " is more than this model can write (" + context + ")");
        }
        Examples examples = (Examples) train;
        mixture = examples.mixture;
        if (mixture != null) {
            LOG.info("a pass over the data draws {}", mixture.describe());
        }
        Map<String, String> known = prefixes(model);
        List<String> sources = examples.firstSources;
        if (!known.isEmpty()
                && options.sourcePrefix.isBlank() // else a new prefix is what was asked for
                && sources.stream().noneMatch(s -> known.values().stream().anyMatch(s::startsWith))) {
            LOG.warn(
                    "the sources begin with none of the prefixes that this model was trained with ({}); --source-prefix puts one before each",
                    known);
        }
    }

    @Override
    List<String> remarks() {
        List<String> all = new ArrayList<>(super.remarks());
        if (mixture != null) {
            all.add("Tasks of e examples are drawn in proportion to min(e, " + options.mixingLimit + ")^(1/"
                    + options.mixingTemperature + "); a pass over the data draws " + mixture.describe());
        }
        return all;
    }

    /** How each task's sources begin, so that the pipelines of that name put it there by themselves. */
    @Override
    void configure(ObjectNode config) {
        super.configure(config);
        Map<String, String> own = new TreeMap<>();
        taskNames.forEach(task -> own.put(task, options.sourcePrefix + task + ": "));
        if (taskNames.isEmpty() && !options.sourcePrefix.isBlank()) {
            boolean named = !options.task.equals("text2text-generation"); // else by the prefix itself
            own.put(named ? options.task : options.sourcePrefix.strip().replaceFirst(":$", ""), options.sourcePrefix);
        }
        own.forEach((task, prefix) -> config.withObject("task_specific_params")
                .withObject("/" + task.replace("~", "~0").replace("/", "~1"))
                .put("prefix", prefix));
    }

    /** Sources and targets as token ids, and the targets' texts for the metrics. */
    static final class Examples extends TextData {
        private final List<long[]> targets = new ArrayList<>();
        private final List<String> references = new ArrayList<>();
        private final List<String> tasks = new ArrayList<>();
        private List<String> firstSources = List.of();
        private @Nullable TaskMixture mixture;

        Examples(Tokenizer tokenizer) {
            super(tokenizer);
        }

        @Override
        public int[] pass(long pass, long seed) {
            return mixture == null ? super.pass(pass, seed) : mixture.pass(pass, seed);
        }

        @Override
        void labels(Map<String, Tensor> batch, long[][] rows, int[] indexes, SplittableRandom random) {
            int width =
                    Arrays.stream(indexes).map(i -> targets.get(i).length).max().orElse(0);
            long[][] labels = new long[rows.length][];
            for (int r = 0; r < rows.length; r++) {
                labels[r] = new long[width];
                Arrays.fill(labels[r], IGNORED);
                long[] own = targets.get(indexes[r]);
                System.arraycopy(own, 0, labels[r], 0, own.length);
            }
            batch.put("labels", Tensors.int64(labels)); // [B, T]
        }
    }

    @Override
    TextData examples(List<Row> rows, Tokenizer source, int maxLength) {
        tokenizer = source;
        Tokenizer target = source.asTarget();
        Columns c = known();
        Examples examples = new Examples(source);
        EncodeOptions cut = EncodeOptions.DEFAULT.withTruncation(Truncation.LONGEST_FIRST);
        int chunk = 200;
        int longTargets = 0;
        examples.firstSources = map(rows.subList(0, Math.min(rows.size(), chunk)), r -> source(r, c));
        for (int from = 0; from < rows.size(); from += chunk) {
            List<Row> some = rows.subList(from, Math.min(rows.size(), from + chunk));
            source.encode(map(some, r -> source(r, c)), cut.withMaxLength(maxLength))
                    .encodings()
                    .forEach(examples::add);
            List<String> texts = map(some, r -> r.text(c.get(Role.TARGET)));
            for (var e : target.encode(texts, EncodeOptions.DEFAULT).encodings()) {
                longTargets += e.length() > options.maxTargetLength ? 1 : 0;
            }
            target.encode(texts, cut.withMaxLength(options.maxTargetLength))
                    .encodings()
                    .forEach(e -> examples.targets.add(e.ids()));
            examples.references.addAll(texts);
            examples.tasks.addAll(map(some, r -> c.has(Role.TASK) ? r.text(c.get(Role.TASK)) : ""));
        }
        if (c.has(Role.TASK)) {
            examples.mixture = new TaskMixture(examples.tasks, options.mixingTemperature, options.mixingLimit);
        }
        if (longTargets > 0) {
            LOG.warn(
                    "{} targets were longer than --max-target-length {} and have been cut",
                    longTargets,
                    options.maxTargetLength);
        }
        return examples;
    }

    @Override
    Objective objective() {
        double smoothing = options.labelSmoothing;
        if (smoothing == 0) {
            return Objective.ofModel();
        }
        return (model, batch) -> {
            Tensor labels = batch.get("labels");
            if (labels == null) {
                throw new IllegalStateException("no labels");
            }
            Map<String, Tensor> inputs = new LinkedHashMap<>(batch);
            if (model instanceof Seq2Seq.Seq2SeqLM writer) { // the model's own loss need not be computed
                inputs.remove("labels");
                inputs.put("decoder_input_ids", writer.prepareDecoderInputIdsFromLabels(labels)); // [B, T]
            }
            return Losses.crossEntropy(
                    SequenceClassificationTask.logits(Objective.forward(model, inputs)), labels, IGNORED, smoothing);
        };
    }

    /** Loss of the targets' tokens; BLEU, chrF, ROUGE-L and exact matches of what the model generates greedily, of each task too. */
    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        Examples examples = (Examples) data;
        double loss = loss(model, examples);
        if (!options.generationMetrics || !(model instanceof GenerativeModel generative)) {
            return Map.of("loss", loss);
        }
        List<String> found = List.of(generate(generative, examples, greedy()));
        return Evaluation.textToText(examples.references, found, examples.tasks, Evaluation.Options.VALUES_ALONE)
                .values(loss);
    }

    private double loss(PreTrainedModel<?> model, Examples examples) {
        double loss = 0;
        long all = 0;
        for (int[] indexes : examples.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = examples.batch(indexes, new SplittableRandom(0));
                Tensor l = Objective.forward(model, batch).get("loss");
                if (l == null) {
                    throw new IllegalStateException("no loss");
                }
                long n = Arrays.stream(indexes)
                        .mapToLong(i -> examples.targets.get(i).length)
                        .sum();
                loss += l.item_double() * n;
                all += n;
            }
        }
        return all == 0 ? Double.NaN : loss / all;
    }

    private String[] generate(GenerativeModel model, Examples examples, GenerationConfig how) {
        Tokenizer written = java.util.Objects.requireNonNull(tokenizer).asTarget();
        String[] found = new String[examples.size()];
        for (int[] indexes : examples.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = new LinkedHashMap<>(examples.batch(indexes, new SplittableRandom(0)));
                batch.remove("labels");
                GenerationOutput out =
                        Generation.of(model).inputs(batch).config(how).generate();
                for (int i = 0; i < indexes.length; i++) {
                    found[indexes[i]] = written.decode(out.generated(i), true);
                }
            }
        }
        return found;
    }

    /** Greedily, up to --max-target-length tokens. */
    private GenerationConfig greedy() {
        return GenerationConfig.empty()
                .with("max_length", null)
                .with("max_new_tokens", options.maxTargetLength)
                .with("num_beams", 1)
                .with("do_sample", false);
    }

    @Override
    Evaluation evaluation(PreTrainedModel<?> model, TextData data, Evaluation.Options how) {
        Examples examples = (Examples) data;
        GenerativeModel generative = (GenerativeModel) model;
        if (options.precision == null) {
            model.optimize(Precision.FP32);
        }
        GenerationConfig asked = options.generation;
        GenerationConfig own = generative.generationConfig();
        boolean limited = asked.has("max_length") || own.has("max_length") || own.has("max_new_tokens");
        GenerationConfig config =
                asked.has("max_new_tokens") || limited ? asked : asked.with("max_new_tokens", options.maxTargetLength);
        List<String> found = List.of(generate(generative, examples, config));
        List<List<String>> references =
                examples.references.stream().map(List::of).toList();
        return switch (options.task) {
            case "translation" -> Evaluation.translation(references, found, options.bleu, how);
            case "summarization" -> Evaluation.summarization(references, found, options.stem, how);
            default -> Evaluation.textToText(examples.references, found, examples.tasks, how);
        };
    }
}
