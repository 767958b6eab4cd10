package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.cli.HeadstartCommandTest.Result;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EvaluateCommandTest {
    @TempDir
    Path dir;

    private String file(String name, String content) throws IOException {
        return Files.writeString(dir.resolve(name), content).toString();
    }

    private static JsonNode metrics(String... args) throws IOException {
        String[] all = new String[args.length + 2];
        all[0] = "evaluate";
        all[1] = "--json";
        System.arraycopy(args, 0, all, 2, args.length);
        Result r = HeadstartCommandTest.run(all);
        assertThat(r.code()).as(r.err()).isZero();
        return new ObjectMapper().readTree(r.out()).get("metrics");
    }

    @Test
    void classificationByIdWithScores() throws IOException {
        String p = file("p.jsonl", """
                {"id":"c","label":"pos","score":0.6}
                {"id":"a","label":"pos","score":0.9}
                {"id":"b","label":"neg","score":0.8}
                {"id":"d","label":"neg","score":0.7}
                """);
        String r = file("r.csv", "id,text,label\na,x,pos\nb,x,neg\nc,x,neg\nd,x,neg\n");
        JsonNode m = metrics("--task", "text-classification", "--predictions", p, "--references", r);
        assertThat(m.at("/accuracy/value").asDouble()).isEqualTo(0.75);
        assertThat(m.at("/f1/value").asDouble()).isEqualTo(2.0 / 3, within(1e-9)); // of 'pos', the second label
        assertThat(m.at("/auc/value").asDouble()).isEqualTo(1.0);
        assertThat(m.at("/ece/value").asDouble()).isEqualTo((0.1 + 0.2 + 0.3 + 0.6) / 4, within(1e-9));
        assertThat(m.at("/accuracy/low").asDouble()).isLessThan(0.75);
        assertThat(metrics("--task", "text-classification", "--predictions", p, "--references", r))
                .isEqualTo(m); // seeded
        Result text = HeadstartCommandTest.run(
                "evaluate", "--task", "text-classification", "--predictions", p, "--references", r);
        assertThat(text.out()).contains("4 examples").containsPattern("accuracy +0\\.7500   \\[");
    }

    @Test
    void everyKindOfTask() throws IOException {
        assertThat(metrics(
                                "--task",
                                "translation",
                                "--predictions",
                                file("t1.txt", "a cat sat on the mat\n\n"),
                                "--references",
                                file("t2.txt", "a cat sat on the mat\n\n"))
                        .at("/bleu/value")
                        .asDouble())
                .isEqualTo(100, within(1e-9));
        assertThat(metrics(
                                "--task",
                                "summarization",
                                "--stem",
                                "--predictions",
                                file("s1.jsonl", "{\"summary_text\":\"running dogs\"}\n"),
                                "--references",
                                file("s2.jsonl", "{\"summary\":\"dog runs\"}\n"))
                        .at("/rouge1/value")
                        .asDouble())
                .isEqualTo(1); // run and dog on both sides
        assertThat(metrics(
                                "--task",
                                "question-answering",
                                "--predictions",
                                file("q1.json", "{\"7\":\"the cat\",\"8\":\"dog\"}"),
                                "--references",
                                file(
                                        "q2.json",
                                        "{\"data\":[{\"paragraphs\":[{\"context\":\"\",\"qas\":["
                                                + "{\"id\":\"8\",\"question\":\"\",\"answers\":[{\"text\":\"a big dog\",\"answer_start\":0}]},"
                                                + "{\"id\":\"7\",\"question\":\"\",\"answers\":[{\"text\":\"Cat\",\"answer_start\":0}]}]}]}]}"))
                        .at("/f1/value")
                        .asDouble())
                .isEqualTo((100 + 200.0 / 3) / 2, within(1e-9));
        assertThat(metrics(
                                "--task",
                                "token-classification",
                                "--predictions",
                                file("n1.jsonl", "{\"tags\":[\"B-PER\",\"I-PER\",\"O\"]}\n"),
                                "--references",
                                file("n2.conll", "John\tB-PER\nDoe\tI-PER\nran\tO\n\n"))
                        .at("/f1_PER/value")
                        .asDouble())
                .isEqualTo(1);
        assertThat(metrics(
                                "--task",
                                "regression",
                                "--predictions",
                                file("g1.txt", "1\n2\n4\n"),
                                "--references",
                                file("g2.csv", "text,score\na,1\nb,2\nc,3\n"))
                        .at("/spearman/value")
                        .asDouble())
                .isEqualTo(1, within(1e-12));
        assertThat(metrics(
                                "--task",
                                "multi-label-classification",
                                "--predictions",
                                file("m1.jsonl", "{\"labels\":[\"a\",\"b\"]}\n{\"labels\":[]}\n"),
                                "--references",
                                file("m2.csv", "labels\na|b\nc\n"))
                        .at("/subset_accuracy/value")
                        .asDouble())
                .isEqualTo(0.5);
        assertThat(metrics("--task", "text-generation", "--predictions", file("l.csv", "nll,tokens\n2,1\n4,2\n"))
                        .at("/perplexity/value")
                        .asDouble())
                .isEqualTo(Math.exp(2), within(1e-9));
    }

    @Test
    void mistakesAreOneLine() throws IOException {
        String two = file("two.txt", "a\nb\n");
        String three = file("three.txt", "a\nb\nc\n");
        Result r = HeadstartCommandTest.run(
                "evaluate", "--task", "text-classification", "--predictions", two, "--references", three);
        assertThat(r.code()).isEqualTo(1);
        assertThat(r.lastLine()).contains("two.txt has 2 rows").contains("three.txt has 3");
        r = HeadstartCommandTest.run("evaluate", "--task", "cooking", "--predictions", two, "--references", three);
        assertThat(r.lastLine()).contains("'cooking' cannot be evaluated").contains("token-classification");
        r = HeadstartCommandTest.run("evaluate", "--task", "regression", "--predictions", two, "--references", two);
        assertThat(r.lastLine()).contains("two.txt line 1 (row 1): column 'text' holds 'a', expected a number");
        r = HeadstartCommandTest.run("evaluate", "--task", "regression", "--predictions", two);
        assertThat(r.lastLine()).contains("--references is missing");
    }
}
