package dev.headstart.train.finetune;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.Tasks;
import dev.headstart.pipeline.TextRankingPipeline;
import dev.headstart.pipeline.TextRankingPipeline.TextPair;
import dev.headstart.testing.Shared;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.metrics.Evaluation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A tiny BERT learns that a document fits when it names the sea. */
class CrossEncoderTest {
    private static final String[] FILLER = {"the", "and", "letter", "was", "over", "end"};

    @TempDir
    Path dir;

    private String model = "";

    @BeforeEach
    void findModel() {
        model = Shared.require("golden/bert/train-classification/model").toString();
    }

    private Path data(String kind, String name, int queries, long seed) throws IOException {
        SplittableRandom random = new SplittableRandom(seed);
        List<String> lines = new ArrayList<>();
        for (int i = 0; i < queries; i++) {
            String query = "was " + FILLER[random.nextInt(6)] + " " + i;
            String good = "the sea " + FILLER[random.nextInt(6)];
            String bad = "the capital " + FILLER[random.nextInt(6)];
            switch (kind) {
                case "labels", "scores", "mse" -> {
                    double high = kind.equals("labels") ? 1 : 4.5;
                    lines.add(quoted("query", query, "document", good).formatted(",\"label\":" + high));
                    lines.add(quoted("query", query, "document", bad)
                            .formatted(",\"label\":" + (kind.equals("labels") ? 0 : 0.5 + 0.1 * (i % 3))));
                }
                case "negatives" ->
                    lines.add(quoted("query", query, "positive", good)
                            .formatted(",\"negatives\":[\"" + bad + "\",\"" + bad + " end\"]"));
                default ->
                    lines.add(quoted("query", query, "answer", i % 2 == 0 ? good : bad)
                            .formatted(""));
            }
        }
        return Files.write(dir.resolve(name), lines);
    }

    private static String quoted(String a, String first, String b, String second) {
        return "{\"" + a + "\":\"" + first + "\",\"" + b + "\":\"" + second + "\"%s}";
    }

    private FineTuneOptions options(Path train, Path validation) {
        return new FineTuneOptions("text-ranking", model, train, dir.resolve("out"))
                .validation(validation)
                .maxLength(24)
                .offline(true)
                .arguments(TrainingArguments.defaults()
                        .learningRate(5e-3)
                        .epochs(4)
                        .batchSize(8));
    }

    @ParameterizedTest
    @CsvSource({"labels,ndcg@10", "scores,ndcg@10", "mse,spearman", "negatives,ndcg@10", "pairs,ndcg@10"})
    void learnsFromEveryKindOfData(String kind, String metric) throws IOException {
        FineTuneOptions options = options(data(kind, "train.jsonl", 40, 1), data(kind, "val.jsonl", 12, 2));
        if (kind.equals("mse")) {
            options.sentenceLoss("mse", List.of()).mode(FineTuneOptions.Mode.LORA);
        }
        FineTune.Report report = new FineTune(options).run();
        assertThat(report.result().metrics()).containsKey("loss").containsKey(kind.equals("mse") ? "map" : metric);
        if (!kind.equals("pairs") && !kind.equals("mse")) { // there answers tell nothing of their queries
            assertThat(report.result().metrics().get("ndcg@10")).isGreaterThan(0.95);
        }
        Path out = dir.resolve("out");
        assertThat(out.resolve("config.json"))
                .content()
                .contains(
                        kind.equals("mse")
                                ? "torch.nn.modules.linear.Identity"
                                : "torch.nn.modules.activation.Sigmoid");
        assertThat(out.resolve("README.md")).content().contains("pipeline_tag: text-ranking");
        assertThat(out.resolve("model.safetensors")).exists(); // adapters are added in
        Evaluation again = ModelEvaluation.run(
                new FineTuneOptions("text-ranking", out.toString(), dir.resolve("val.jsonl"), dir)
                        .maxLength(24)
                        .offline(true)
                        .sentenceLoss(kind.equals("mse") ? "mse" : null, List.of()),
                new Evaluation.Options(50, 0.95, 0));
        if (!kind.equals("scores")) { // whose scale is that of the training data
            report.result().metrics().forEach((name, v) -> {
                if (!name.equals("loss")) {
                    assertThat(again.value(name)).as(name).isCloseTo(v, within(1e-4));
                }
            });
        }
        try (TextRankingPipeline ranking = (TextRankingPipeline) Tasks.find("text-ranking")
                .open(
                        out.toString(),
                        PipelineOptions.DEFAULT.withLoad(LoadOptions.defaults().withOffline(true)))) {
            double good = ranking.predict(List.of(new TextPair("was the", "the sea end")))
                    .get(0)[0];
            double bad = ranking.predict(List.of(new TextPair("was the", "the capital end")))
                    .get(0)[0];
            if (!kind.equals("pairs")) {
                assertThat(good).isGreaterThan(bad);
            }
        }
    }

    @Test
    void badDataIsRefused() throws IOException {
        Path good = data("labels", "train.jsonl", 8, 1);
        Map<String, String> bad = Map.of(
                "{\"query\":\"a\",\"document\":\"b\",\"label\":1}\n{\"query\":\"c\",\"document\":\"d\",\"label\":1}\n",
                "only one value (1)",
                "{\"query\":\"a\",\"document\":\"b\",\"label\":-1}\n{\"query\":\"c\",\"document\":\"d\",\"label\":1}\n",
                "below 0",
                "{\"query\":\"a\",\"document\":\"b\",\"label\":\"\"}\n{\"query\":\"c\",\"document\":\"d\",\"label\":1}\n",
                "is empty; every pair needs one");
        for (Map.Entry<String, String> e : bad.entrySet()) {
            Path file = Files.writeString(dir.resolve("bad.jsonl"), e.getKey());
            assertThatThrownBy(() -> new FineTune(options(file, good)).run())
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining(e.getValue());
        }
        assertThatThrownBy(() -> new FineTune(options(good, good).sentenceLoss("cosent", List.of())).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("--loss cosent is not known for text-ranking");
        assertThat(dir.resolve("out")).doesNotExist();
    }
}
