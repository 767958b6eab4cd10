package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.hub.Hub;
import dev.headstart.pipeline.Tasks;
import dev.headstart.testing.Shared;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code chat} and {@code run text-generation} as users meet them: conversations, defaults, and one line for what they get wrong. */
class TextGenerationCommandsTest {
    private static final String GREEDY = "{\"max_new_tokens\": 5, \"do_sample\": false}";

    @TempDir
    Path dir;

    private static Result run(String typed, String... command) {
        PrintStream stdout = System.out;
        PrintStream stderr = System.err;
        InputStream stdin = System.in;
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        System.setIn(new ByteArrayInputStream(typed.getBytes(StandardCharsets.UTF_8)));
        try {
            Result result = HeadstartCommandTest.run(command);
            return new Result(
                    result.code(),
                    result.out() + out.toString(StandardCharsets.UTF_8),
                    err.toString(StandardCharsets.UTF_8) + result.err());
        } finally {
            System.setOut(stdout);
            System.setErr(stderr);
            System.setIn(stdin);
        }
    }

    /** A copy of a small GPT-2 that reads 64 tokens. @param template chat_template.jinja, empty for none */
    private Path model(String name, String template) throws IOException {
        Path folder = Files.createDirectory(dir.resolve(name));
        try (Stream<Path> files = Files.list(Shared.require("golden/gpt2/text-generation/model"))) {
            for (Path file : files.toList()) {
                Files.copy(file, folder.resolve(file.getFileName()));
            }
        }
        if (!template.isEmpty()) {
            Files.writeString(folder.resolve("chat_template.jinja"), template);
        }
        return folder;
    }

    private static void fails(Result result, String... parts) {
        assertThat(result.code()).as(result.err()).isEqualTo(1);
        assertThat(result.out()).isEmpty();
        assertThat(result.err().lines()).as(result.err()).hasSize(1);
        assertThat(result.err()).contains(parts).doesNotContain("\tat ").doesNotContain("unexpected");
    }

    // === chat ===

    @Test
    void chatRemembersWhatWasSaid() throws IOException {
        String template = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}a:";
        String id = model("chat", template).toString();
        Result both = run("One\nTwo\n", "chat", "--model", id, "--kwargs", GREEDY);
        assertThat(both.code()).as(both.err()).isZero();
        List<String> answers = both.out().lines().toList();
        assertThat(answers).hasSize(2);
        String prompt = "u:One\na:" + answers.get(0) + "\nu:Two\na:";
        Result alone = run("", "run", "text-generation", "--model", id, "--kwargs", GREEDY, prompt);
        assertThat(alone.out().substring(prompt.length()).strip())
                .startsWith(answers.get(1).strip());
        Result forgot = run("One\n/reset\nOne\n\n/exit\nnever read\n", "chat", "--model", id, "--kwargs", GREEDY);
        assertThat(forgot.out().lines()).containsExactly(answers.get(0), answers.get(0));
    }

    @Test
    void chatForgetsItsBeginningWhereTheModelReadsNoMore() throws IOException {
        String template = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}a:";
        String id = model("long", template).toString();
        String typed = "What is the sea?\n".repeat(12);
        Result result = run(typed, "chat", "--model", id, "--kwargs", GREEDY);
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.out().lines()).hasSize(12);
        assertThat(result.err()).contains("its beginning is forgotten");
        fails(
                run("sea ".repeat(80) + "\n", "chat", "--model", id, "--kwargs", GREEDY),
                "the prompt has",
                "reads at most 64");
    }

    @Test
    void withoutAChatTemplateTheTextGoesOn() throws IOException {
        String id = model("plain", "").toString();
        Result result = run("the movie was\nand then\n", "chat", "--model", id, "--kwargs", GREEDY);
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.err()).contains("has no chat template", "goes on with the text");
        List<String> answers = result.out().lines().toList();
        String prompt = "the movie was" + answers.get(0) + "\nand then";
        Result alone = run("", "run", "text-generation", "--model", id, "--kwargs", GREEDY, prompt);
        assertThat(alone.out()).startsWith(prompt + answers.get(1));
    }

    @Test
    void variablesThatTheTemplateDoesNotKnowAreNamed() throws IOException, InterruptedException {
        String id = model("variables", "{{ messages[0].content }}{% if loud %}!{% endif %}")
                .toString();
        String kwargs = "{\"max_new_tokens\": 2, \"do_sample\": false, \"chat_template_kwargs\": {\"louder\": true}}";
        Result result = new HeadstartProcess(dir, "http://localhost:1")
                .run("hi\n", List.of("chat", "--model", id, "--kwargs", kwargs));
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.err()).contains("the chat template knows no variable louder");
        String undefined =
                model("undefined", "{{ messages[0].content }}{{ style.name }}").toString();
        fails(run("hi\n", "chat", "--model", undefined), "chat template, line 1", "style");
    }

    @Test
    void anEmptyPromptIsRefusedInOneLine() throws IOException {
        String id = model("empty", "").toString();
        for (String nothing : List.of("", " \n")) {
            fails(run("", "run", "text-generation", "--model", id, nothing), "input 1 is empty", "give a text");
        }
    }

    @Test
    void anEmptySourceHasAnEmptyResult() {
        Assumptions.assumeTrue(Hub.standard().zoo().contains("headstart/t5-mini"), "t5-mini is not in the zoo");
        Result result = run("", "run", "text2text-generation", "--json", "");
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.out().strip()).endsWith("\"\"}]");
    }

    // === Defaults ===

    @Test
    void ourOwnModelIsTheDefaultWhereTheZooHasIt() {
        String own = "headstart/gpt-mini";
        boolean there = Hub.standard().zoo().contains(own);
        assertThat(Tasks.find("text-generation").defaultModel()).isEqualTo(there ? own : null);
        if (!there) {
            fails(run("", "run", "text-generation", "x"), "text-generation has no default model", "--model");
            fails(run("hello\n", "chat"), "chat has no default model", "--model");
        }
        Assumptions.assumeTrue(there, own + " is not in the zoo");
        String prompt = "It was a dark night, and";
        Result result = run("", "run", "text-generation", "--kwargs", "{\"max_new_tokens\": 8, \"seed\": 1}", prompt);
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.out()).startsWith(prompt).hasSizeGreaterThan(prompt.length() + 8);
        Result talk = run(prompt + "\n", "chat", "--kwargs", "{\"max_new_tokens\": 8, \"seed\": 1}");
        assertThat(talk.out().strip())
                .isEqualTo(result.out().substring(prompt.length()).strip());
    }

    // === Bad input ===

    @Test
    void promptsThatCannotBe() throws IOException {
        String id = model("prompts", "").toString();
        fails(run("", "run", "text-generation", "--model", id, ""), "input 1 is empty", "give a text");
        fails(
                run("", "run", "text-generation", "--model", id, "--kwargs", GREEDY, "sea ".repeat(80)),
                "the prompt has",
                "reads at most 64",
                "shorten");
        fails(run("hi\n", "chat", "--model", dir.resolve("none").toString()), "there is no folder");
    }

    @Test
    void parametersThatContradictEachOther() throws IOException {
        String id = model("parameters", "").toString();
        record Wrong(String kwargs, String... says) {}
        for (Wrong w : List.of(
                new Wrong("{\"num_return_sequences\": 3, \"do_sample\": false}", "num_return_sequences", "do_sample"),
                new Wrong("{\"num_beams\": 2, \"num_return_sequences\": 3}", "num_return_sequences", "num_beams"),
                new Wrong(
                        "{\"return_tensors\": true, \"return_full_text\": false}",
                        "return_tensors",
                        "return_full_text"),
                new Wrong("{\"temperature\": 0, \"do_sample\": true}", "temperature", "do_sample"),
                new Wrong("{\"top_p\": 3}", "top_p", "between 0 and 1"),
                new Wrong("{\"max_new_token\": 3}", "max_new_token", "did you mean max_new_tokens"))) {
            fails(
                    run("", "run", "text-generation", "--json", "--model", id, "--kwargs", w.kwargs, "the movie"),
                    w.says);
        }
    }

    @Test
    void lengthsThatContradictEachOtherAreNamedAndTheLimitCounts() throws IOException, InterruptedException {
        String id = model("lengths", "").toString();
        String kwargs =
                "{\"min_new_tokens\": 9, \"max_new_tokens\": 3, \"do_sample\": false, \"return_tensors\": true}";
        Result result = new HeadstartProcess(dir, "http://localhost:1")
                .run("", List.of("run", "text-generation", "--json", "--model", id, "--kwargs", kwargs, "a"));
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.out().split(",")).hasSize(4); // as in the reference
        assertThat(result.err()).contains("min_new_tokens contradicts max_new_tokens");
    }

    @Test
    void aVocabularyThatDoesNotFitTheWeights() throws IOException {
        Path wide = model("wide", "");
        Path tokens = wide.resolve("tokenizer.json");
        String more = "{\"id\": 900, \"content\": \"<far>\", \"special\": true, \"lstrip\": false, \"rstrip\": false,"
                + " \"single_word\": false, \"normalized\": false}";
        String json = Files.readString(tokens);
        String changed = json.replaceFirst("\"added_tokens\"\\s*:\\s*\\[", "\"added_tokens\": [" + more + ",");
        assertThat(changed).isNotEqualTo(json);
        Files.writeString(tokens, changed);
        fails(
                run("", "run", "text-generation", "--model", wide.toString(), "--kwargs", GREEDY, "a <far> b"),
                "is outside 0..290",
                "belong together");
        Path narrow = model("narrow", "");
        Path config = narrow.resolve("config.json");
        Files.writeString(config, Files.readString(config).replaceAll("\"vocab_size\": \\d+", "\"vocab_size\": 100"));
        fails(run("", "run", "text-generation", "--model", narrow.toString(), "a"), "wte.weight", "vocab_size 100");
    }
}
