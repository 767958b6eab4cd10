package dev.headstart.train.finetune;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.OnError;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.generation.GenerationConfig;
import dev.headstart.models.AutoModelForSeq2SeqLM;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Parameter;
import dev.headstart.testing.Shared;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Objective;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.metrics.Bleu;
import dev.headstart.train.metrics.Evaluation;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Texts that go on and texts made of texts: what is learnt, what is not, and that it is learnt. */
class GenerationTasksTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path dir;

    private static Path model(String golden) {
        return Shared.require("golden/" + golden + "/model");
    }

    private FineTuneOptions options(String task, Path model, Path train) {
        return new FineTuneOptions(task, model.toString(), train, dir.resolve("out")).offline(true);
    }

    private Path lines(String name, String... lines) throws IOException {
        return Files.write(dir.resolve(name), List.of(lines));
    }

    /** The tokens that a causal task learns of each row of a file. */
    private List<List<String>> learnt(Path file, Path folder, int maxLength) {
        CausalLmTask task = new CausalLmTask(options("text-generation", folder, file));
        try (Tokenizer tokenizer = Tokenizer.fromFolder(folder);
                RowReader reader = RowReader.open(file, ReadOptions.defaults());
                PointerScope scope = new PointerScope()) {
            Columns columns = Columns.infer(reader, Map.of(), task.required(), task.optional());
            List<Row> rows = reader.readAll();
            task.read(rows, rows, List.of(), columns);
            TextData data = task.examples(rows, tokenizer, maxLength);
            List<List<String>> all = new ArrayList<>();
            for (int i = 0; i < data.size(); i++) {
                Map<String, Tensor> batch = data.batch(new int[] {i}, new SplittableRandom(0));
                long[] labels = Tensors.longs(java.util.Objects.requireNonNull(batch.get("labels")));
                all.add(Arrays.stream(labels)
                        .filter(l -> l >= 0)
                        .mapToObj(l -> String.valueOf(tokenizer.idToToken((int) l)))
                        .toList());
            }
            return all;
        }
    }

    /** Running text has blank lines; a table with empty rows has a mistake, which may be left out. */
    @Test
    void blankLinesOfTextAreNoMistakes() throws IOException {
        Path text = lines("text.txt", "", "the sea", "", "", "the end", "  ", "over", "");
        FineTuneOptions split =
                options("text-generation", Path.of("none"), text).validationSplit(0.3);
        for (FineTuneTask task : List.of(new CausalLmTask(split), new MaskedLmTask(split))) {
            FineTuneTask.Splits rows = task.readSplits();
            assertThat(rows.train().size() + rows.validation().size()).isEqualTo(3);
        }
        Path table = lines("table.csv", "text,label", "the sea,a", ",", "the end,b", "over,a", "was,b");
        FineTuneOptions labelled =
                options("text-classification", Path.of("none"), table).validation(table);
        assertThatThrownBy(() -> FineTuneTask.of(labelled).readSplits())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("table.csv line 3")
                .hasMessageEndingWith("the row is empty; correct it");
        assertThat(FineTuneTask.of(labelled.onError(OnError.SKIP)).readSplits().train())
                .hasSize(4);
    }

    /** Against transformers' LabelSmoother: conformance/label_smoothing.py. */
    @Test
    void smoothedLabelsHaveTheLossAndGradientOfTransformers() throws IOException {
        JsonNode golden;
        try (InputStream in = GenerationTasksTest.class.getResourceAsStream("/label-smoothing.json")) {
            golden = JSON.readTree(in);
        }
        assertThat(golden).hasSize(6);
        for (JsonNode g : golden) {
            Path folder = Shared.repositoryRoot()
                    .resolve("core/src/test/resources/seq2seq")
                    .resolve(g.get("model").asText())
                    .resolve("model");
            Objective smoothed = new Seq2SeqTask(options("text2text-generation", folder, dir)
                            .labelSmoothing(g.get("epsilon").asDouble()))
                    .objective();
            try (PreTrainedModel<?> model = AutoModelForSeq2SeqLM.fromPretrained(folder.toString());
                    PointerScope scope = new PointerScope()) {
                model.train();
                Map<String, Tensor> batch = new HashMap<>();
                g.get("batch").properties().forEach(e -> batch.put(e.getKey(), ids(e.getValue())));
                batch.put("labels", ids(g.get("labels")));
                Tensor loss = smoothed.loss(model, batch);
                loss.backward();
                double squares = 0;
                for (Parameter p : model.namedParameters().values()) {
                    Tensor gradient = p.tensor().grad();
                    squares += gradient.defined() ? gradient.square().sum().item_double() : 0;
                }
                assertThat(loss.item_double()).isCloseTo(g.get("loss").asDouble(), within(1e-5));
                assertThat(Math.sqrt(squares))
                        .isCloseTo(
                                g.get("gradient_norm").asDouble(),
                                within(1e-4 * g.get("gradient_norm").asDouble()));
            }
        }
    }

    private static Tensor ids(JsonNode rows) {
        return Tensors.int64(JSON.convertValue(rows, long[][].class));
    }

    private static String joined(List<String> tokens) {
        return String.join("", tokens).replace("\u0120", " ");
    }

    @Test
    void ofPromptAndCompletionTheCompletionAloneIsLearnt() throws IOException {
        Path file = lines("pairs.jsonl", "{\"prompt\": \"the ship\", \"completion\": \" of the king\"}");
        List<List<String>> learnt = learnt(file, model("gpt2/train-lm"), 64);
        assertThat(learnt).hasSize(1);
        String text = joined(learnt.get(0));
        assertThat(text).startsWith(" of the king").doesNotContain("ship");
        assertThat(text.length()).isGreaterThan(" of the king".length()); // the end-of-text token
    }

    @Test
    void longTextsBecomeSeveralExamples() throws IOException {
        Path file = lines("texts.jsonl", "{\"text\": \"" + "the letter was over the end and ".repeat(4) + "\"}");
        List<List<String>> learnt = learnt(file, model("gpt2/train-lm"), 8);
        assertThat(learnt.size()).isGreaterThan(2);
        assertThat(learnt).allSatisfy(l -> assertThat(l.size()).isBetween(2, 8));
    }

    @Test
    void ofConversationsTheAnswersAloneAreLearnt() throws IOException {
        Path folder = Files.createDirectories(dir.resolve("chat"));
        for (String name : List.of("tokenizer.json", "config.json")) {
            Files.copy(model("gpt2/train-lm").resolve(name), folder.resolve(name));
        }
        Files.writeString(
                folder.resolve("tokenizer_config.json"),
                "{\"eos_token\": \"<|endoftext|>\", \"chat_template\": \"{% for m in messages %}{{ m.role }}={{ m.content }};"
                        + "{% endfor %}{% if add_generation_prompt %}assistant={% endif %}\"}");
        Path file = lines(
                "chat.jsonl",
                "{\"messages\": [{\"role\": \"user\", \"content\": \"the ship\"}, {\"role\": \"assistant\", \"content\": \"the king\"},"
                        + "{\"role\": \"user\", \"content\": \"and\"}, {\"role\": \"assistant\", \"content\": \"the end\"}]}");
        assertThat(joined(learnt(file, folder, 200).get(0))).isEqualTo("the king;the end;");
        Path none = lines("none.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"the ship\"}]}");
        assertThatThrownBy(() -> learnt(none, folder, 200))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("none.jsonl")
                .hasMessageContaining("assistant");
    }

    @Test
    void aPromptThatLeavesNoRoomIsNamed() throws IOException {
        Path gpt2 = model("gpt2/train-lm");
        Path file = lines(
                "long.jsonl", "{\"prompt\": \"" + "the ship and ".repeat(20) + "\", \"completion\": \" of the king\"}");
        assertThatThrownBy(() -> learnt(file, gpt2, 16))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("16 tokens")
                .hasMessageContaining("--max-length");
    }

    @Test
    void missingColumnsAreNamed() throws IOException {
        Path file = lines("other.csv", "name,age", "a,1", "b,2", "c,3", "d,4", "e,5");
        FineTune run = new FineTune(options("text-generation", model("gpt2/train-lm"), file));
        assertThatThrownBy(run::run).isInstanceOf(HeadstartException.class).hasMessageContaining("--column text=NAME");
        assertThat(dir.resolve("out")).doesNotExist();
    }

    @ParameterizedTest
    @EnumSource(
            value = FineTuneOptions.Mode.class,
            names = {"FULL", "LORA"})
    void gptLearnsToAnswer(FineTuneOptions.Mode mode) throws IOException {
        List<String> rows = new ArrayList<>();
        for (int i = 0; i < 96; i++) {
            rows.add(
                    i % 2 == 0
                            ? "{\"prompt\": \"the ship\", \"completion\": \" of the king\"}"
                            : "{\"prompt\": \"and the letter\", \"completion\": \" was over\"}");
        }
        Path train = Files.write(dir.resolve("train.jsonl"), rows);
        FineTune.Report report = new FineTune(options("text-generation", model("gpt2/train-lm"), train)
                        .validation(train)
                        .mode(mode)
                        .arguments(TrainingArguments.defaults()
                                .learningRate(1e-2)
                                .epochs(5)
                                .batchSize(16)))
                .run();
        assertThat(report.result().metrics().get("perplexity"))
                .isLessThan(mode == FineTuneOptions.Mode.FULL ? 1.3 : 30);
        assertThat(dir.resolve(
                        mode == FineTuneOptions.Mode.FULL ? "out/model.safetensors" : "out/adapter_model.safetensors"))
                .exists();
    }

    @Test
    void t5LearnsTwoTasksAtOnce() throws IOException {
        List<String> rows = new ArrayList<>(List.of("task,source,target"));
        for (int i = 0; i < 120; i++) {
            rows.add(
                    switch (i % 3) {
                        case 0 -> "first,the king and the ship,king";
                        case 1 -> "first,the ship and the king,ship";
                        default -> "last,the king and the ship,ship";
                    });
        }
        Path train = Files.write(dir.resolve("train.csv"), rows);
        FineTune.Report report = new FineTune(options("text2text-generation", model("t5/train"), train)
                        .validation(train)
                        .maxTargetLength(8)
                        .mixing(2, 1 << 21)
                        .arguments(TrainingArguments.defaults()
                                .learningRate(1e-2)
                                .epochs(30)
                                .batchSize(16)))
                .run();
        assertThat(report.result().metrics())
                .containsKeys("loss", "bleu", "chrf", "rougeL", "exact_match", "first_exact_match", "last_exact_match");
        assertThat(report.result().metrics().get("exact_match")).isGreaterThan(0.9);
        assertThat(report.trainExamples()).isEqualTo(120); // the rows there are, however often each was drawn
        assertThat(report.result().steps()).isEqualTo(30 * 8); // and passes of as many draws
        assertThat(dir.resolve("out/README.md"))
                .content()
                .contains("min(e, 2097152)^(1/2.0)", "first 70 times (examples: 80), last 50 times (examples: 40)");
    }

    @Test
    void beginsFromNothingWithATokenizerAndIsEvaluated() throws IOException {
        List<String> rows = new ArrayList<>(List.of("task,source,target"));
        for (int i = 0; i < 60; i++) {
            rows.add(i % 2 == 0 ? "score,the king,1.0" : "score,the ship,2.0");
        }
        Path train = Files.write(dir.resolve("train.csv"), rows);
        Path config = lines(
                "config.json",
                "{\"model_type\": \"t5\", \"d_model\": 32, \"d_kv\": 8, \"d_ff\": 64, \"num_layers\": 1, \"num_heads\": 4,"
                        + " \"dropout_rate\": 0.0, \"is_encoder_decoder\": true}");
        FineTuneOptions begun = new FineTuneOptions("text2text-generation", "", train, dir.resolve("out"))
                .offline(true)
                .fromNothing(config)
                .validation(train)
                .maxTargetLength(8)
                .arguments(TrainingArguments.defaults()
                        .learningRate(1e-2)
                        .epochs(30)
                        .batchSize(20));
        assertThatThrownBy(() -> new FineTune(begun).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("--tokenizer is missing");
        begun.tokenizer(model("t5/train").toString()).ema(0.9);
        FineTune.Report report = new FineTune(begun).run();
        assertThat(report.result().metrics().get("exact_match")).isGreaterThan(0.9); // of the averages
        JsonNode saved = JSON.readTree(dir.resolve("out/config.json").toFile());
        assertThat(saved.path("decoder_start_token_id").asInt(-1)).isZero();
        assertThat(saved.path("task_specific_params").path("score").path("prefix"))
                .hasToString("\"score: \"");
        assertThat(Files.readString(dir.resolve("out/README.md"))).contains("new weights (config.json) trained for");
        Evaluation found = ModelEvaluation.run(
                new FineTuneOptions("text2text-generation", dir.resolve("out").toString(), train, Path.of(""))
                        .offline(true)
                        .generation(
                                GenerationConfig.fromJson("{\"num_beams\": 2, \"max_new_tokens\": 8}"),
                                Bleu.Settings.DEFAULT,
                                false),
                Evaluation.Options.VALUES_ALONE);
        assertThat(found.value("exact_match")).isGreaterThan(0.9);
        assertThat(found.value("pearson")).isGreaterThan(0.9);
    }

    /** A prefix of the user's own is one that the model knows from then on. */
    @Test
    void aNewPrefixIsSaved() {
        for (String name : List.of("text2text-generation", "translation")) {
            ObjectNode config = JSON.createObjectNode();
            new Seq2SeqTask(options(name, dir, dir).sourcePrefix("translate English to German: ")).configure(config);
            String key = name.equals("translation") ? name : "translate English to German";
            assertThat(config.path("task_specific_params")
                            .path(key)
                            .path("prefix")
                            .asText())
                    .isEqualTo("translate English to German: ");
        }
    }

    @Test
    void refusesWhatMakesNoSense() throws IOException {
        Path train = lines("pairs.csv", "source,target", "a,b");
        assertThatThrownBy(
                        () -> new Seq2SeqTask(options("translation", dir, train).mixing(0.5, 10)))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("--mixing-temperature");
        assertThatThrownBy(
                        () -> new Seq2SeqTask(options("translation", dir, train).mixing(1, 0)))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("--mixing-limit must be at least 1, found 0");
        assertThatThrownBy(
                        () -> new Seq2SeqTask(options("translation", dir, train).maxTargetLength(0)))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("--max-target-length");
    }

    @Test
    void whatTheModelCannotWriteOrBeginIsNamed() throws IOException {
        Path train = lines("pairs.csv", "source,target", "the king,the ship", "the ship,the king");
        FineTuneOptions far = options("summarization", model("bart/generation"), train)
                .validation(train)
                .maxTargetLength(5000);
        assertThatThrownBy(() -> new FineTune(far).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("--max-target-length 5000 is more than this model can write");
        Path folder = Files.createDirectories(dir.resolve("unbegun"));
        for (String name : List.of("tokenizer.json", "tokenizer_config.json", "model.safetensors")) {
            Files.copy(model("t5/train").resolve(name), folder.resolve(name));
        }
        ObjectNode config = (ObjectNode)
                JSON.readTree(model("t5/train").resolve("config.json").toFile());
        config.remove("decoder_start_token_id");
        Files.writeString(folder.resolve("config.json"), config.toString());
        FineTuneOptions unbegun = options("text2text-generation", folder, train).validation(train);
        assertThatThrownBy(() -> new FineTune(unbegun).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("decoder_start_token_id is missing", "config.json", "add it there");
    }
}
