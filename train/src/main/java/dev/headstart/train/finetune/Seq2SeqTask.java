package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.Row;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationOutput;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Losses;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Tokenizer;
import dev.headstart.text.Truncation;
import dev.headstart.train.Objective;
import dev.headstart.train.metrics.Bleu;
import dev.headstart.train.metrics.Chrf;
import dev.headstart.train.metrics.Rouge;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Every problem as text to text (Raffel et al. 2020): two columns, teacher forcing, one loss. With a column {@code task} several tasks are mixed: each
 * source gets its task's name as prefix, and tasks are drawn in proportion to their size to the power 1/T.
 */
final class Seq2SeqTask extends FineTuneTask {
    private static final long IGNORED = -100;
    private @Nullable Columns columns;
    private @Nullable Tokenizer tokenizer;

    Seq2SeqTask(FineTuneOptions options) {
        super(options);
        if (!(options.mixingTemperature >= 1)) {
            throw new HeadstartException("--mixing-temperature must be at least 1, found " + options.mixingTemperature);
        }
        if (!(options.labelSmoothing >= 0 && options.labelSmoothing < 1)) {
            throw new HeadstartException("--label-smoothing must be in [0, 1), found " + options.labelSmoothing);
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
            Map<String, Integer> sizes = new TreeMap<>();
            train.forEach(r -> sizes.merge(r.text(found.get(Role.TASK)), 1, Integer::sum));
            LOG.info("tasks and their rows: {}; drawn with temperature {}", sizes, options.mixingTemperature);
            List<Row> mixed = mix(train, found);
            train.clear();
            train.addAll(mixed);
        }
    }

    /** As many rows as before, tasks in proportion to n^(1/T); a task's rows are all used once before one is used again. */
    private List<Row> mix(List<Row> rows, Columns found) {
        Map<String, List<Row>> byTask = new TreeMap<>();
        rows.forEach(r -> byTask.computeIfAbsent(r.text(found.get(Role.TASK)), k -> new ArrayList<>())
                .add(r));
        Map<String, Integer> wanted = shares(byTask, options.mixingTemperature);
        SplittableRandom random = new SplittableRandom(options.arguments.seed());
        List<Row> mixed = new ArrayList<>();
        byTask.forEach((task, own) -> {
            for (int i = own.size() - 1; i > 0; i--) {
                java.util.Collections.swap(own, i, random.nextInt(i + 1));
            }
            for (int i = 0; i < wanted.getOrDefault(task, 0); i++) {
                mixed.add(own.get(i % own.size()));
            }
        });
        return mixed;
    }

    /** Rows of each task in a mixture of the same total size. */
    static <T> Map<String, Integer> shares(Map<String, List<T>> byTask, double temperature) {
        double sum = byTask.values().stream()
                .mapToDouble(l -> Math.pow(l.size(), 1 / temperature))
                .sum();
        int total = byTask.values().stream().mapToInt(List::size).sum();
        Map<String, Integer> shares = new TreeMap<>();
        byTask.forEach((task, own) ->
                shares.put(task, (int) Math.max(1, Math.round(total * Math.pow(own.size(), 1 / temperature) / sum))));
        return shares;
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

    /** Sources and targets as token ids, and the targets' texts for the metrics. */
    static final class Examples extends TextData {
        private final List<long[]> targets = new ArrayList<>();
        private final List<String> references = new ArrayList<>();
        private final List<String> tasks = new ArrayList<>();

        Examples(Tokenizer tokenizer) {
            super(tokenizer);
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
            return Losses.crossEntropy(
                    SequenceClassificationTask.logits(Objective.forward(model, batch)), labels, IGNORED, smoothing);
        };
    }

    /** Loss of the targets' tokens; BLEU, chrF, ROUGE-L and exact matches of what the model generates greedily, of each task too. */
    @Override
    Map<String, Double> evaluate(PreTrainedModel<?> model, TextData data) {
        Examples examples = (Examples) data;
        Map<String, Double> metrics = new LinkedHashMap<>();
        metrics.put("loss", loss(model, examples));
        if (options.generationMetrics && model instanceof GenerativeModel generative) {
            String[] found = generate(generative, examples);
            measure(metrics, "", examples, found, null);
            List<String> tasks = examples.tasks.stream().distinct().sorted().toList();
            if (tasks.size() > 1) {
                tasks.forEach(task -> measure(metrics, task + "_", examples, found, task));
            }
        }
        return metrics;
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

    private String[] generate(GenerativeModel model, Examples examples) {
        Tokenizer written = java.util.Objects.requireNonNull(tokenizer).asTarget();
        String[] found = new String[examples.size()];
        for (int[] indexes : examples.inOrderOfLength(options.evalBatchSize)) {
            try (PointerScope scope = new PointerScope()) {
                Map<String, Tensor> batch = new LinkedHashMap<>(examples.batch(indexes, new SplittableRandom(0)));
                batch.remove("labels");
                GenerationOutput out = Generation.of(model)
                        .inputs(batch)
                        .with("max_length", null)
                        .with("max_new_tokens", options.maxTargetLength)
                        .with("num_beams", 1)
                        .with("do_sample", false)
                        .generate();
                for (int i = 0; i < indexes.length; i++) {
                    found[indexes[i]] = written.decode(out.generated(i), true);
                }
            }
        }
        return found;
    }

    private static void measure(
            Map<String, Double> metrics, String name, Examples examples, String[] found, @Nullable String task) {
        List<String> hypotheses = new ArrayList<>();
        List<List<String>> references = new ArrayList<>();
        double rouge = 0;
        int exact = 0;
        for (int i = 0; i < found.length; i++) {
            if (task == null || examples.tasks.get(i).equals(task)) {
                String wanted = examples.references.get(i);
                hypotheses.add(found[i]);
                references.add(List.of(wanted));
                rouge += Rouge.longest(wanted, found[i], false).f1();
                exact += wanted.strip().equals(found[i].strip()) ? 1 : 0;
            }
        }
        int n = Math.max(1, hypotheses.size());
        metrics.put(name + "bleu", Bleu.corpus(hypotheses, references));
        metrics.put(name + "chrf", Chrf.corpus(hypotheses, references));
        metrics.put(name + "rougeL", rouge / n);
        metrics.put(name + "exact_match", (double) exact / n);
    }
}
