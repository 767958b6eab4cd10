package dev.headstart.train.finetune;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.AutoModelForSequenceClassification;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.pipeline.ClassScore;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.SentenceTransformer;
import dev.headstart.pipeline.TextClassificationPipeline;
import dev.headstart.testing.Shared;
import dev.headstart.train.Objective;
import dev.headstart.train.Trainer;
import dev.headstart.train.TrainerCallback;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.TrainingData;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A tiny BERT learns labels that one word decides. */
class FineTuneTest {
    private static final String[] FILLER = {"the", "and", "letter", "was", "over", "end"};
    private static final LoadOptions OFFLINE = LoadOptions.defaults().withOffline(true);

    @TempDir
    Path dir;

    private Path model = Path.of("");
    private boolean checkpointing;

    @BeforeEach
    void findModel() {
        model = Shared.require("golden/bert/train-classification/model");
    }

    private Path data(String name, int rows, long seed, String positive) throws IOException {
        SplittableRandom random = new SplittableRandom(seed);
        List<String> lines = new ArrayList<>(List.of("text,label"));
        for (int i = 0; i < rows; i++) {
            StringBuilder text = new StringBuilder();
            int at = random.nextInt(5);
            for (int j = 0; j < 5; j++) {
                text.append(j == at ? i % 2 == 0 ? "capital" : "sea" : FILLER[random.nextInt(FILLER.length)])
                        .append(' ');
            }
            lines.add(text.toString().trim() + "," + (i % 2 == 0 ? positive : "water"));
        }
        return Files.write(dir.resolve(name), lines);
    }

    private FineTune tuning(Path train, Path validation, FineTuneOptions.Mode mode) {
        return new FineTune(new FineTuneOptions("text-classification", model.toString(), train, dir.resolve("out"))
                .validation(validation)
                .mode(mode)
                .offline(true)
                .arguments(TrainingArguments.defaults()
                        .learningRate(5e-3)
                        .epochs(6)
                        .batchSize(16)));
    }

    @ParameterizedTest
    @EnumSource
    void learns(FineTuneOptions.Mode mode) throws IOException {
        Path train = data("train.csv", 192, 1, "city");
        FineTune.Report report =
                tuning(train, data("val.csv", 64, 2, "city"), mode).run();
        List<Double> losses = Files.readAllLines(dir.resolve("out/training_log.jsonl")).stream()
                .filter(l -> l.contains("\"loss\":"))
                .map(l -> Double.parseDouble(l.replaceAll(".*\"loss\":([-0-9.E]+).*", "$1")))
                .toList();
        assertThat(losses).hasSize(72);
        double first =
                losses.subList(0, 8).stream().mapToDouble(d -> d).average().orElseThrow();
        double last =
                losses.subList(64, 72).stream().mapToDouble(d -> d).average().orElseThrow();
        assertThat(last).isLessThan(mode == FineTuneOptions.Mode.HEAD ? first : 0.7 * first);
        if (mode == FineTuneOptions.Mode.FULL) {
            assertThat(report.result().metrics().get("accuracy")).isGreaterThan(0.9);
        }
        assertThat(dir.resolve("out/config.json")).content().contains("\"city\"", "\"water\"");
        if (mode == FineTuneOptions.Mode.LORA) {
            assertThat(dir.resolve("out/adapter_model.safetensors")).exists();
        } else {
            try (PreTrainedModel<?> again = AutoModelForSequenceClassification.fromPretrained(
                    dir.resolve("out").toString(), OFFLINE)) {
                assertThat(again.numParameters()).isEqualTo(report.parameters());
            }
        }
    }

    @Test
    void resumedRunHasTheLossesOfAnUnbrokenOne() {
        List<Double> whole = new ArrayList<>();
        run("whole", false, -1, Objective.ofModel(), whole);
        List<Double> broken = new ArrayList<>();
        run("broken", false, 4, Objective.ofModel(), broken);
        assertThat(broken).hasSize(4);
        run("broken", true, -1, Objective.ofModel(), broken);
        assertThat(broken).isEqualTo(whole).hasSize(10);
    }

    @Test
    void notANumberStopsNamingTheStep() {
        int[] calls = {0};
        Objective bad = (m, batch) -> {
            Tensor loss = Objective.ofModel().loss(m, batch);
            return ++calls[0] == 3 ? loss.mul(new Scalar(Double.NaN)) : loss;
        };
        assertThatThrownBy(() -> run("nan", false, -1, bad, new ArrayList<>()))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("step 3: the loss is NaN");
    }

    /** The second of two evaluations that are no better than the best ends the run, with the best weights. */
    @Test
    void stopsWhereItGetsNoBetter() {
        double[] losses = {3, 2, 2.5, 2.1, 1};
        int[] evaluations = {0};
        try (PreTrainedModel<?> m = AutoModelForSequenceClassification.fromPretrained(model.toString(), OFFLINE)) {
            TrainingArguments arguments = TrainingArguments.defaults()
                    .maxSteps(10)
                    .batchSize(4)
                    .evalSteps(1)
                    .earlyStopping(2, 0);
            Trainer.Result result = new Trainer(m, arguments, words())
                    .checkpoints(dir.resolve("early"))
                    .evaluation(x -> Map.of("loss", losses[evaluations[0]++]))
                    .train();
            assertThat(result.reason()).isEqualTo("early stopping");
            assertThat(result.steps()).isEqualTo(4);
            assertThat(result.bestStep()).isEqualTo(2);
            assertThat(result.metrics()).isEqualTo(Map.of("loss", 2.0));
        }
    }

    private List<Double> lossesWith(@Nullable String classWeights, double labelSmoothing) throws IOException {
        Path out = dir.resolve("weighted-" + classWeights + labelSmoothing);
        new FineTune(new FineTuneOptions("text-classification", model.toString(), data("train.csv", 96, 1, "city"), out)
                        .validation(data("val.csv", 32, 2, "city"))
                        .classWeights(classWeights)
                        .labelSmoothing(labelSmoothing)
                        .offline(true)
                        .arguments(TrainingArguments.defaults()
                                .learningRate(5e-3)
                                .epochs(4)
                                .batchSize(16)))
                .run();
        return Files.readAllLines(out.resolve("training_log.jsonl")).stream()
                .filter(l -> l.contains("\"loss\":"))
                .map(l -> Double.parseDouble(l.replaceAll(".*\"loss\":([-0-9.E]+).*", "$1")))
                .toList();
    }

    @Test
    void classesCountAsTheyAreWeighed() throws IOException {
        List<Double> plain = lossesWith(null, 0);
        List<Double> balanced = lossesWith("balanced", 0); // as many examples of each class: weights of 1
        for (int i = 0; i < plain.size(); i++) {
            assertThat(balanced.get(i)).isCloseTo(plain.get(i), within(1e-3 * Math.max(1, plain.get(i))));
        }
        List<Double> one = lossesWith("0,1", 0); // the other class has no say: always the same answer, and soon no loss
        assertThat(one.get(one.size() - 1)).isLessThan(0.05);
        try (TextClassificationPipeline pipeline = (TextClassificationPipeline) Pipeline.of(
                "text-classification",
                dir.resolve("weighted-0,10.0").toString(),
                PipelineOptions.DEFAULT.withLoad(OFFLINE))) {
            pipeline.apply(List.of("the capital", "sea", "the end"), null, 1, null)
                    .forEach(scores -> assertThat(scores.get(0).label()).isEqualTo("water"));
        }
        assertThatThrownBy(() -> lossesWith("1", 0))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("--class-weights has 1 weights, there are 2 classes (city, water)");
        assertThatThrownBy(() -> lossesWith("1,much", 0))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("expected numbers or \"balanced\", found 'much'");
    }

    /** With labels of 0.9 and 0.1 no loss is below their entropy. */
    @Test
    void smoothedLabelsKeepTheirEntropy() throws IOException {
        List<Double> smoothed = lossesWith(null, 0.2);
        double entropy = -0.9 * Math.log(0.9) - 0.1 * Math.log(0.1);
        assertThat(smoothed).allMatch(l -> l > entropy - 1e-4);
        assertThat(smoothed.get(smoothed.size() - 1)).isLessThan(0.69);
    }

    /** Stopped in its last step, a run lacks its evaluation, which it makes up for when it goes on. */
    @Test
    void stoppedBeforeTheLastEvaluation() {
        int[] evaluations = {0};
        for (boolean resume : new boolean[] {false, true, true}) {
            try (PreTrainedModel<?> m = AutoModelForSequenceClassification.fromPretrained(model.toString(), OFFLINE)) {
                Trainer trainer = new Trainer(
                                m, TrainingArguments.defaults().maxSteps(2).batchSize(4), words())
                        .checkpoints(dir.resolve("last"))
                        .resume(resume)
                        .evaluation(x -> Map.of("loss", 1.0 / ++evaluations[0]));
                trainer.callback(new TrainerCallback() {
                    @Override
                    public void onStep(Step s) {
                        if (s.step() == 2) {
                            trainer.requestStop();
                        }
                    }
                });
                Trainer.Result result = trainer.train();
                assertThat(result.steps()).isEqualTo(2);
                assertThat(result.reason()).isEqualTo(resume ? "finished" : "interrupted");
                assertThat(result.metrics()).isEqualTo(resume ? Map.of("loss", 1.0 / evaluations[0]) : Map.of());
            }
        }
        assertThat(evaluations[0]).isPositive();
    }

    private void run(String folder, boolean resume, int stopAfter, Objective objective, List<Double> losses) {
        try (PreTrainedModel<?> m = AutoModelForSequenceClassification.fromPretrained(model.toString(), OFFLINE)) {
            Trainer trainer = new Trainer(
                            m,
                            TrainingArguments.defaults()
                                    .learningRate(1e-3)
                                    .maxSteps(10)
                                    .gradientCheckpointing(checkpointing)
                                    .batchSize(4),
                            words())
                    .objective(objective)
                    .checkpoints(dir.resolve(folder))
                    .resume(resume);
            trainer.callback(new TrainerCallback() {
                        @Override
                        public void onStep(Step s) {
                            losses.add(s.loss());
                            if (s.step() == stopAfter) {
                                trainer.requestStop();
                            }
                        }
                    })
                    .train();
        }
    }

    private static TrainingData words() {
        return new TrainingData() {
            @Override
            public int size() {
                return 20;
            }

            @Override
            public Map<String, Tensor> batch(int[] indexes, SplittableRandom random) {
                long[] ids = new long[indexes.length * 3];
                long[] labels = new long[indexes.length];
                for (int i = 0; i < indexes.length; i++) {
                    ids[3 * i] = 2;
                    ids[3 * i + 1] = 10 + indexes[i];
                    ids[3 * i + 2] = 3;
                    labels[i] = indexes[i] % 3;
                }
                return Map.of("input_ids", Tensors.int64(ids).view(indexes.length, 3), "labels", Tensors.int64(labels));
            }
        };
    }

    @Test
    void badDataIsRefused() throws IOException {
        Path good = data("train.csv", 16, 1, "city");
        Path unknown = data("unknown.csv", 8, 2, "village");
        assertThatThrownBy(
                        () -> tuning(good, unknown, FineTuneOptions.Mode.FULL).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("label 'village' does not occur in the training data");
        Path one = data("one.csv", 8, 2, "water");
        assertThatThrownBy(() -> tuning(one, one, FineTuneOptions.Mode.FULL).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("only one class (water)");
        Path none = Files.writeString(dir.resolve("none.csv"), "text\nthe sea\nthe end\n");
        assertThatThrownBy(() -> tuning(none, none, FineTuneOptions.Mode.FULL).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("label");
        assertThat(dir.resolve("out")).doesNotExist();
    }

    /** Every family of encoders and GPT-2 take an adapter at peft's default layers, and its folder loads again. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "roberta/classification",
                "distilbert/classification",
                "electra/base",
                "albert/base",
                "mpnet/base",
                "modernbert/base",
                "xlm-roberta/base",
                "gpt2/classification"
            })
    void everyFamilyTakesAnAdapter(String name) throws IOException {
        model = Shared.require("golden/" + name + "/model");
        Path train = data("train.csv", 24, 1, "city");
        FineTune.Report report = new FineTune(new FineTuneOptions(
                                "text-classification", model.toString(), train, dir.resolve("out"))
                        .validation(data("val.csv", 8, 2, "city"))
                        .mode(FineTuneOptions.Mode.LORA)
                        .maxLength(16)
                        .offline(true)
                        .arguments(TrainingArguments.defaults().maxSteps(2).batchSize(8)))
                .run();
        assertThat(report.result().steps()).isEqualTo(2);
        assertThat(report.trainedParameters()).isPositive().isLessThan(report.parameters());
        assertThat(dir.resolve("out/report.html")).content().contains("<svg");
        assertThat(dir.resolve("out/runs")).isNotEmptyDirectory();
        try (PreTrainedModel<?> again = AutoModelForSequenceClassification.fromPretrained(
                dir.resolve("out").toString(), OFFLINE)) {
            assertThat(again.config().id2label()).containsValues("city", "water");
        }
    }

    /** As OpenAI's GPT-2: config.json names no padding token. The tokenizer's becomes it, or its end token, and the result says so. */
    @ParameterizedTest
    @CsvSource({"FULL, true", "FULL, false", "LORA, false"})
    void aDecoderWithoutPaddingTokenLearnsToClassify(FineTuneOptions.Mode mode, boolean tokenizerPads)
            throws IOException {
        model = Files.createDirectory(dir.resolve("gpt2"));
        try (Stream<Path> files = Files.list(Shared.require("golden/gpt2/train-lm/model"))) {
            for (Path file : files.toList()) {
                Files.copy(file, model.resolve(file.getFileName().toString()));
            }
        }
        Path settings = model.resolve("tokenizer_config.json");
        String all = Files.readString(settings);
        assertThat(all).contains("\"pad_token\": \"<|endoftext|>\",");
        if (!tokenizerPads) {
            Files.writeString(settings, all.replace("\"pad_token\": \"<|endoftext|>\",", ""));
        }
        PrintStream stderr = System.err;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setErr(new PrintStream(said, true, StandardCharsets.UTF_8));
        try {
            tuning(data("train.csv", 48, 1, "city"), data("val.csv", 16, 2, "city"), mode)
                    .run();
        } finally {
            System.setErr(stderr);
        }
        assertThat(said.toString(StandardCharsets.UTF_8).lines().filter(l -> l.contains("pad_token_id")))
                .singleElement()
                .asString()
                .endsWith("config.json names no pad_token_id: 290 (<|endoftext|>) becomes it");
        Path out = dir.resolve("out");
        assertThat(out.resolve("config.json")).content().contains("\"pad_token_id\" : 290");
        assertThat(out.resolve("tokenizer_config.json")).content().contains("\"pad_token\" : \"<|endoftext|>\"");
        List<String> texts = List.of("the capital", "the letter was over the sea and the end", "sea");
        try (TextClassificationPipeline pipeline = (TextClassificationPipeline)
                Pipeline.of("text-classification", out.toString(), PipelineOptions.DEFAULT.withLoad(OFFLINE))) {
            List<List<ClassScore>> together = pipeline.apply(texts, null, 2, null);
            for (int i = 0; i < texts.size(); i++) {
                List<ClassScore> alone =
                        pipeline.apply(List.of(texts.get(i)), null, 2, null).get(0);
                for (int c = 0; c < 2; c++) {
                    assertThat(together.get(i).get(c).label())
                            .isEqualTo(alone.get(c).label());
                    assertThat(together.get(i).get(c).score())
                            .isCloseTo(alone.get(c).score(), within(1e-5));
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"scores", "triplets"})
    void sentenceVectorsAreTrainedAndSavedForSentenceTransformers(String kind) throws IOException {
        model = Shared.require("golden/sentence-transformers/mean-normalize/model");
        boolean scores = kind.equals("scores");
        SplittableRandom random = new SplittableRandom(1);
        List<String> lines = new ArrayList<>();
        if (!scores) {
            lines.add("anchor,positive,negative");
        }
        for (int i = 0; i < 64; i++) { // pairs about the same thing have a word in common
            String word = i % 2 == 0 ? "capital" : "sea";
            String other = i % 2 == 0 ? "sea" : "capital";
            String filler = FILLER[random.nextInt(FILLER.length)];
            if (scores) {
                boolean same = random.nextBoolean();
                lines.add("the " + word + " " + filler + " " + i + "," + (same ? word : other) + " " + filler + ","
                        + (same ? "5.0" : "0.5"));
            } else {
                lines.add("the " + word + " " + i + "," + word + " " + filler + "," + other + " " + filler);
            }
        }
        Path file = Files.write(dir.resolve("pairs.csv"), lines);
        FineTune.Report report = new FineTune(
                        new FineTuneOptions("sentence-embedding", model.toString(), file, dir.resolve("out"))
                                .validationSplit(0.25)
                                .sentenceLoss(null, List.of(16, 8))
                                .offline(true)
                                .arguments(TrainingArguments.defaults()
                                        .learningRate(5e-3)
                                        .epochs(4)
                                        .batchSize(8)))
                .run();
        assertThat(report.result().metrics().get("loss"))
                .isLessThan(Objects.requireNonNull(report.before().get("loss")));
        assertThat(report.before()).containsKey(scores ? "spearman" : "accuracy");
        for (String name : List.of("modules.json", "1_Pooling/config.json", "model.safetensors", "tokenizer.json")) {
            assertThat(dir.resolve("out").resolve(name)).exists();
        }
        try (SentenceTransformer head = new SentenceTransformer(dir.resolve("out"))) {
            assertThat(head.limit(512, 512)).isPositive();
        }
    }

    @Test
    void aLossThatIsNotANumberKeepsTheLastGoodCheckpoint() {
        int[] calls = {0};
        Objective bad = (m, batch) -> {
            Tensor loss = Objective.ofModel().loss(m, batch);
            return ++calls[0] == 7 ? loss.mul(new Scalar(Double.NaN)) : loss;
        };
        assertThatThrownBy(() ->
                        run("kept", false, -1, bad, new ArrayList<>())) // a checkpoint after every epoch of 5 steps
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("step 7: the loss is NaN")
                .hasMessageContaining("the last good checkpoint is")
                .hasMessageContaining("checkpoint-5");
        assertThat(dir.resolve("kept/checkpoint-5/complete.json")).exists();
        List<Double> after = new ArrayList<>();
        run("kept", true, -1, Objective.ofModel(), after);
        assertThat(after).hasSize(5);
    }

    @Test
    void outOfMemoryNamesTheKnobsAndTheLastGoodCheckpoint() {
        for (Throwable what : new Throwable[] {
            new OutOfMemoryError("Physical memory usage is too high: physicalBytes (12G) > maxPhysicalBytes (11G)"),
            new RuntimeException("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
        }) {
            int[] calls = {0};
            Objective hungry = (m, batch) -> {
                if (++calls[0] == 7) {
                    if (what instanceof Error e) {
                        throw e;
                    }
                    throw (RuntimeException) what;
                }
                return Objective.ofModel().loss(m, batch);
            };
            String folder = "hungry" + (what instanceof Error);
            assertThatThrownBy(() -> run(folder, false, -1, hungry, new ArrayList<>()))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("step 7: out of memory with batches of 4 examples")
                    .hasMessageContaining("halve the batch size")
                    .hasMessageContaining("gradient checkpointing")
                    .hasMessageContaining("checkpoint-5");
        }
    }

    @Test
    void gradientCheckpointingChangesNoLoss() {
        List<Double> plain = new ArrayList<>();
        run("plain", false, -1, Objective.ofModel(), plain);
        checkpointing = true;
        List<Double> again = new ArrayList<>();
        run("again", false, 4, Objective.ofModel(), again);
        checkpointing = false; // and a run may go on without it
        run("again", true, -1, Objective.ofModel(), again);
        assertThat(again).hasSize(10);
        for (int i = 0; i < 10; i++) {
            assertThat(again.get(i)).isCloseTo(plain.get(i), org.assertj.core.api.Assertions.within(1e-5));
        }
    }

    @Test
    void overlapIsCountedInTheCard() throws IOException {
        Path train = data("train.csv", 32, 1, "city");
        List<String> rows = new ArrayList<>(Files.readAllLines(data("val.csv", 8, 2, "city")));
        List<String> known = Files.readAllLines(train);
        rows.addAll(known.subList(1, 4));
        Path validation = Files.write(dir.resolve("val.csv"), rows);
        long both =
                rows.subList(1, rows.size()).stream().filter(known::contains).count();
        assertThat(both).isGreaterThanOrEqualTo(3);
        tuning(train, validation, FineTuneOptions.Mode.HEAD).run();
        assertThat(dir.resolve("out/README.md"))
                .content()
                .contains(both + " of 11 validation examples are in the training data too")
                .contains("libtorch 2.", "Wh (");
        assertThat(dir.resolve("out/all_results.json")).content().contains("\"eval_accuracy\"", "\"energy_wh\"");
    }

    @Test
    void newWeightsAreNew() throws IOException {
        Path train = data("train.csv", 32, 1, "city");
        FineTuneOptions options = new FineTuneOptions(
                        "text-classification", model.toString(), train, dir.resolve("fresh"))
                .validation(train)
                .fresh(true)
                .offline(true)
                .arguments(TrainingArguments.defaults().maxSteps(1).batchSize(8).learningRate(0));
        new FineTune(options).run();
        try (PreTrainedModel<?> old = AutoModelForSequenceClassification.fromPretrained(model.toString(), OFFLINE);
                PreTrainedModel<?> fresh = AutoModelForSequenceClassification.fromPretrained(
                        dir.resolve("fresh").toString(), OFFLINE)) {
            String name = "bert.encoder.layer.0.attention.self.query.weight";
            float[] before = Tensors.floats(
                    Objects.requireNonNull(old.namedParameters().get(name)).tensor());
            float[] after = Tensors.floats(
                    Objects.requireNonNull(fresh.namedParameters().get(name)).tensor());
            assertThat(after).hasSameSizeAs(before).isNotEqualTo(before);
        }
    }

    @Test
    void aHalfWrittenCheckpointIsNotResumedFrom() throws IOException {
        List<Double> whole = new ArrayList<>();
        run("half", false, 5, Objective.ofModel(), whole);
        Path broken = Files.createDirectories(dir.resolve("half/checkpoint-9"));
        Files.writeString(broken.resolve("model.safetensors"), "cut");
        Path staging = Files.createDirectories(dir.resolve("half/.checkpoint-8.tmp"));
        Files.writeString(staging.resolve("model.safetensors"), "cut");
        run("half", true, -1, Objective.ofModel(), whole);
        assertThat(whole).hasSize(10); // steps 6 to 10 followed 5
        assertThat(staging).doesNotExist();
    }

    @Test
    void emptySplitsMissingLabelsAndModelsWithoutTokenizerAreRefused() throws IOException {
        Path good = data("train.csv", 16, 1, "city");
        Path empty = Files.writeString(dir.resolve("empty.csv"), "text,label\n");
        assertThatThrownBy(() -> tuning(good, empty, FineTuneOptions.Mode.FULL).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("empty.csv")
                .hasMessageContaining("no examples");
        assertThatThrownBy(() -> tuning(empty, good, FineTuneOptions.Mode.FULL).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("no examples");
        Path missing = Files.writeString(dir.resolve("missing.csv"), "text,label\nthe sea,water\nthe end,\n");
        assertThatThrownBy(
                        () -> tuning(good, missing, FineTuneOptions.Mode.FULL).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("the label (column 'label') is empty");
        Path bare = Files.createDirectories(dir.resolve("bare"));
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(model.resolve(name), bare.resolve(name));
        }
        model = bare;
        assertThatThrownBy(() -> tuning(good, good, FineTuneOptions.Mode.FULL).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("tokenizer");
        assertThat(dir.resolve("out")).doesNotExist();
    }

    @Test
    void questionsOnOneTextStayOnOneSide() throws IOException {
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            lines.add("{\"question\": \"q" + i + "\", \"context\": \"text " + i / 4
                    + "\", \"answers\": {\"text\": [\"text\"], \"answer_start\": [0]}}");
        }
        Path file = Files.write(dir.resolve("qa.jsonl"), lines);
        FineTuneTask.Splits splits = FineTuneTask.of(
                        new FineTuneOptions("question-answering", model.toString(), file, dir.resolve("out"))
                                .validationSplit(0.3))
                .readSplits();
        assertThat(splits.train()).hasSize(28);
        assertThat(splits.validation()).hasSize(12);
        assertThat(splits.validation().stream().map(r -> r.text("context")))
                .doesNotContainAnyElementsOf(
                        splits.train().stream().map(r -> r.text("context")).toList());
    }
}
