package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.cli.HeadstartCommandTest.Result;
import dev.headstart.io.Safetensors;
import dev.headstart.testing.Shared;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What users get wrong, through the command line: one line on stderr that says where, what was expected, what was found and what to do. */
class BadInputTest {
    private static final Path MODEL =
            Shared.repositoryRoot().resolve("core/src/test/resources/encoders/bert-classification/model");
    private static final Path ANSWERS =
            Shared.repositoryRoot().resolve("core/src/test/resources/encoders/bert-question-answering/model");
    private static final String LAYER = "bert.encoder.layer.0.output.dense.weight";

    @TempDir
    Path dir;

    /** Runs a command that must fail: exit code 1, nothing on stdout, one line on stderr with all the parts. */
    private static void fails(List<String> command, String... parts) {
        check(HeadstartCommandTest.runPrinting(command), parts);
    }

    private static void check(Result result, String... parts) {
        assertThat(result.code()).as(result.err()).isEqualTo(1);
        assertThat(result.out()).isEmpty();
        assertThat(result.err().lines()).as(result.err()).hasSize(1);
        assertThat(result.err())
                .startsWith("headstart ")
                .contains(parts)
                .doesNotContain("\tat ")
                .doesNotContain("unexpected java");
    }

    private static List<String> classify(Path model, String... inputs) {
        List<String> command = new ArrayList<>(List.of("run", "text-classification", "--model", model.toString()));
        command.addAll(List.of(inputs));
        return command;
    }

    /** A copy of the model with other weights. */
    private Path model(String name, Consumer<Map<String, Tensor>> change) throws IOException {
        Path folder = Files.createDirectory(dir.resolve(name));
        try (Stream<Path> files = Files.list(MODEL)) {
            for (Path file : files.toList()) {
                Files.copy(file, folder.resolve(file.getFileName()));
            }
        }
        try (PointerScope scope = new PointerScope()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>(Safetensors.readMap(MODEL.resolve("model.safetensors")));
            change.accept(tensors);
            Safetensors.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
        }
        return folder;
    }

    // === Files ===

    @Test
    void missingFiles() throws IOException {
        fails(classify(dir.resolve("nowhere"), "x"), "there is no folder " + dir.resolve("nowhere"), "give a model's");
        Path empty = Files.createDirectory(dir.resolve("empty"));
        fails(classify(empty, "x"), empty.resolve("config.json").toString());
        Path bare = model("bare", m -> {});
        Files.delete(bare.resolve("model.safetensors"));
        fails(classify(bare, "x"), bare.toString(), "model.safetensors");
        fails(
                List.of("forward", "--model", MODEL.toString(), "--inputs", "no.safetensors", "--outputs", "o"),
                "no.safetensors",
                "no such file");
        fails(List.of("tokenize", "--model", MODEL.toString(), "--json", "--file", "no.jsonl"), "no.jsonl");
        Path noTokenizer = model("no-tokenizer", m -> {});
        Files.delete(noTokenizer.resolve("tokenizer.json"));
        fails(classify(noTokenizer, "x"), noTokenizer.toString(), "tokenizer.json");
    }

    @Test
    void wrongConfig() throws IOException {
        Path model = model("config", m -> {});
        Path config = model.resolve("config.json");
        ObjectMapper json = new ObjectMapper();
        ObjectNode good = (ObjectNode) json.readTree(Files.readAllBytes(config));

        Files.writeString(config, "{\"model_type\": ");
        fails(classify(model, "x"), "config.json", "not valid JSON");
        Files.writeString(config, "[]");
        fails(classify(model, "x"), "config.json", "object");
        Files.write(config, json.writeValueAsBytes(good.deepCopy().put("hidden_size", "many")));
        fails(classify(model, "x"), "config.json", "hidden_size", "whole number", "many");
        Files.write(
                config,
                json.writeValueAsBytes(
                        good.deepCopy().put("model_type", "nonesuch").putNull("architectures")));
        fails(classify(model, "x"), "config.json", "model_type \"nonesuch\" is not known; known: ", "bert");
        Files.write(config, json.writeValueAsBytes(good.deepCopy().put("hidden_act", "sine")));
        fails(classify(model, "x"), "sine", "gelu");
        Files.write(config, json.writeValueAsBytes(good.deepCopy().put("num_attention_heads", 5)));
        fails(classify(model, "x"), "num_attention_heads", "5");
        for (int layers : new int[] {3, 2_000_000_000}) { // without a loop over all of them
            Files.write(config, json.writeValueAsBytes(good.deepCopy().put("num_hidden_layers", layers)));
            fails(classify(model, "x"), "model.safetensors", "bert.encoder.layer.2.attention", "are missing");
        }
    }

    @Test
    void missingTensorsAndWrongShapesAndNaN() throws IOException {
        fails(classify(model("missing", m -> m.remove(LAYER)), "x"), "model.safetensors", LAYER, "missing");
        fails(
                classify(model("shape", m -> m.put(LAYER, torch.ones(3, 4))), "x"),
                "model.safetensors",
                LAYER,
                "[3, 4]",
                "do not belong together");
        Path nan = model(
                "nan", m -> m.put(LAYER, Objects.requireNonNull(m.get(LAYER)).mul(new Scalar(Double.NaN))));
        fails(classify(nan, "x"), "model.safetensors", LAYER, "NaN", "fetch it again");
    }

    @Test
    void corruptArchives() throws IOException {
        Path cut = model("cut", m -> {});
        Path weights = cut.resolve("model.safetensors");
        byte[] whole = Files.readAllBytes(weights);
        Files.write(weights, Arrays.copyOf(whole, whole.length / 2));
        fails(classify(cut, "x"), "model.safetensors", "truncated");
        Files.write(weights, new byte[100]);
        fails(classify(cut, "x"), "model.safetensors");
        Files.writeString(weights, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
        fails(classify(cut, "x"), "model.safetensors");

        Files.delete(weights);
        Path pickle = cut.resolve("pytorch_model.bin");
        byte[] archive = Files.readAllBytes(
                Shared.repositoryRoot().resolve("core/src/test/resources/weight-formats/flat-zip.pt"));
        Files.write(pickle, Arrays.copyOf(archive, archive.length - 40));
        fails(classify(cut, "x"), "pytorch_model.bin");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(pickle))) {
            zip.putNextEntry(new ZipEntry("archive/data.pkl"));
            zip.write("cos\nsystem\n(S'touch pwned'\ntR.".getBytes(StandardCharsets.US_ASCII));
        }
        fails(classify(cut, "x"), "pytorch_model.bin", "system");
        fails(
                List.of(
                        "convert",
                        "--model",
                        cut.toString(),
                        "--output",
                        dir.resolve("out").toString()),
                "pytorch_model.bin");
        assertThat(dir.resolve("out")).doesNotExist();
    }

    // === Texts ===

    @Test
    void emptyText() {
        fails(classify(MODEL, "fine", " "), "input 2 is empty", "give a text");
        fails(
                List.of(
                        "run",
                        "question-answering",
                        "--model",
                        ANSWERS.toString(),
                        "{\"question\":\"\",\"context\":\"a\"}"),
                "question");
    }

    @Test
    void longTextsAreCutWithAWarningOrRefused() throws Exception {
        String text = "word ".repeat(600);
        fails(classify(MODEL, "--no-truncation", "short", text), "text 2 has", "takes at most", "shorten it");
        Result cut = child(Files.createDirectory(dir.resolve("home")), classify(MODEL, "short", text));
        assertThat(cut.code()).as(cut.err()).isZero();
        assertThat(cut.out().lines()).hasSize(2);
        assertThat(cut.err()).isEqualTo("WARN 1 of 2 texts were cut to the model's 64 tokens\n");
    }

    @Test
    void jsonThatIsNone() {
        fails(classify(MODEL, "--kwargs", "{\"top_k\":", "x"), "--kwargs: not valid JSON");
        fails(classify(MODEL, "--kwargs", "[]", "x"), "--kwargs: expected a JSON object, found []");
        fails(
                List.of("run", "question-answering", "--model", ANSWERS.toString(), "who?"),
                "the input must be a JSON object like",
                "who?");
    }

    @Test
    void namesThatAreNoTaskAreWrongUsage() throws IOException {
        String data = Files.writeString(dir.resolve("d.tsv"), "text\tlabel\na\tx\nb\ty\n")
                .toString();
        String out = dir.resolve("out").toString();
        String model = MODEL.toString();
        for (List<String> wrong : List.of(
                List.of("run", "text-clasification", "x"),
                List.of("finetune", "--task", "nonesuch", "--model", model, "--train", data, "--output", out),
                List.of("compare", "--task", "nonesuch", "--model", model, "--train", data, "--output", out),
                List.of("evaluate", "--task", "nonesuch", "--model", model, "--data", data),
                List.of("evaluate", "--task", "nonesuch", "--predictions", data),
                List.of("evaluate", "--task", "fill-mask", "--model", model, "--data", data),
                List.of("evaluate", "--task", "regression", "--predictions", data, "--on-error", "skip"),
                List.of("run", "fill-mask", "--masks", out, "x"))) {
            Result result = HeadstartCommandTest.runPrinting(wrong);
            assertThat(result.code()).as(result.err()).isEqualTo(2);
            assertThat(result.out()).isEmpty();
            assertThat(result.err().lines()).as(result.err()).hasSize(1);
            assertThat(result.err()).contains("; see headstart " + wrong.get(0) + " --help");
        }
        assertThat(dir.resolve("out")).doesNotExist();
        assertThat(HeadstartCommandTest.runPrinting(List.of("run", "text-clasification", "x"))
                        .err())
                .contains("unknown task \"text-clasification\"; known: fill-mask, text-classification, ");
    }

    @Test
    void aTokenizerIsNotWrittenOverWhatIsThere() throws IOException {
        Path text = Files.writeString(dir.resolve("text.txt"), "the sea and the shore and the sea\n".repeat(20));
        Path out = Files.createDirectory(dir.resolve("tokenizer"));
        Path theirs = Files.writeString(out.resolve("tokenizer.json"), "mine");
        List<String> train =
                List.of("tokenizer", "train", "--vocab-size", "40", "--output", out.toString(), text.toString());
        fails(train, out.toString(), "not empty", "choose another, or --overwrite");
        assertThat(theirs).hasContent("mine");
        List<String> again = new ArrayList<>(train);
        again.add("--overwrite");
        assertThat(HeadstartCommandTest.runPrinting(again).code()).isZero();
        assertThat(theirs).content().contains("WordPiece");
    }

    @Test
    void badRowsOfAnEvaluationCanBeLeftOut() throws IOException {
        List<String> labels = List.copyOf(new ObjectMapper()
                .readTree(MODEL.resolve("config.json").toFile())
                .path("id2label")
                .valueStream()
                .map(com.fasterxml.jackson.databind.JsonNode::asText)
                .toList());
        String ragged = "text,label\nthe sea," + labels.get(0) + "\na,b,c,d\nthe shore," + labels.get(1) + "\n";
        Path data = Files.writeString(dir.resolve("ragged.csv"), ragged);
        List<String> evaluate = List.of(
                "evaluate",
                "--json",
                "--task",
                "text-classification",
                "--model",
                MODEL.toString(),
                "--data",
                data.toString());
        fails(evaluate, "ragged.csv", "line 3", "--on-error skip");
        List<String> skipping = new ArrayList<>(evaluate);
        skipping.addAll(List.of("--on-error", "skip"));
        Result rest = HeadstartCommandTest.runPrinting(skipping);
        assertThat(rest.code()).as(rest.err()).isZero();
        assertThat(new ObjectMapper().readTree(rest.out()).path("examples").asInt())
                .isEqualTo(2);
    }

    @Test
    void whatATaskTakesIsSaid() {
        for (List<String> wrong : List.of(
                List.of("run", "question-answering"),
                List.of("run", "question-answering", "who?", "--context", "Anna"),
                List.of("run", "text-classification", "x", "--top-k", "3"))) {
            Result result = HeadstartCommandTest.runPrinting(wrong);
            assertThat(result.code()).isEqualTo(2);
            assertThat(result.err().lines()).hasSize(1);
            assertThat(result.err()).contains("see headstart run --help");
        }
        assertThat(HeadstartCommandTest.runPrinting(List.of("run", "question-answering"))
                        .err())
                .contains("Missing required parameter: 'INPUT'", "{\"question\": \"...\", \"context\": \"...\"}");
        assertThat(HeadstartCommandTest.runPrinting(List.of("run", "text-classification", "x", "--top-k", "3"))
                        .err())
                .contains("Unknown option: '--top-k'", "go into --kwargs");
    }

    @Test
    void modelsThatCannotDoATaskSayWhatTheyCan() throws Exception {
        fails(
                List.of("run", "text-generation", "--model", MODEL.toString(), "x"),
                "has no class ...ForCausalLM",
                "BertForSequenceClassification, which can do: text-classification");
        Result other = child(
                Files.createDirectory(dir.resolve("home")),
                List.of("run", "token-classification", "--model", MODEL.toString(), "the sea"));
        assertThat(other.code()).as(other.err()).isZero();
        assertThat(other.err())
                .startsWith("WARN the head is read as that of BertForTokenClassification; config.json says"
                        + " BertForSequenceClassification, which can do: text-classification");
    }

    @Test
    void filesWhereNoneOrFoldersAreExpected() throws IOException {
        Path none = dir.resolve("none.txt"), file = Files.writeString(dir.resolve("file"), "x");
        fails(
                List.of("evaluate", "--task", "perplexity", "--model", MODEL.toString(), "--input", none.toString()),
                "none.txt: no such file");
        fails(
                List.of("quantize", "--model", MODEL.toString(), "--precision", "int8", "--output", file.toString()),
                "expected a folder to write to, found a file");
        assertThat(file).hasContent("x");
    }

    @Test
    void argumentsThatDoNothingAreTold() throws Exception {
        Result typo = child(
                Files.createDirectory(dir.resolve("home")),
                classify(MODEL, "--kwargs", "{\"topk\": 1, \"function_to_apply\": \"none\"}", "x"));
        assertThat(typo.code()).as(typo.err()).isZero();
        assertThat(typo.err()).isEqualTo("WARN --kwargs: topk had no effect on text-classification\n");
    }

    @Test
    void standardInputHoldsAnInputALine() {
        InputStream before = System.in;
        try {
            System.setIn(new ByteArrayInputStream("the sea\n\nthe end\n".getBytes(StandardCharsets.UTF_8)));
            Result two = HeadstartCommandTest.runPrinting(classify(MODEL, "--json", "-"));
            assertThat(two.out())
                    .isEqualTo(HeadstartCommandTest.runPrinting(classify(MODEL, "--json", "the sea", "the end"))
                            .out())
                    .contains("label");
            System.setIn(new ByteArrayInputStream(new byte[] {'\n'}));
            fails(classify(MODEL, "-"), "standard input is empty");
            System.setIn(new ByteArrayInputStream(new byte[] {'a', (byte) 0xe9, '\n'}));
            fails(classify(MODEL, "-"), "standard input line 1", "not UTF-8");
        } finally {
            System.setIn(before);
        }
    }

    // === Disk ===

    /** /dev/full is a disk without room that every Linux has. */
    @Test
    void aFullDisk() throws Exception {
        Path full = Path.of("/dev/full");
        Assumptions.assumeTrue(Files.isWritable(full), "skipped: there is no /dev/full here");
        Path inputs = dir.resolve("in.safetensors");
        try (Tensor ids = Tensor.create(new long[] {2, 5, 3}, 1, 3)) {
            Safetensors.write(inputs, Map.of("input_ids", ids));
        }
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx256m",
                        "-cp",
                        System.getProperty("java.class.path"),
                        HeadstartCommand.class.getName(),
                        "--help")
                .redirectOutput(full.toFile())
                .start();
        String said = new String(child.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(child.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(child.exitValue()).isEqualTo(1);
        assertThat(said.lines()).hasSize(1);
        assertThat(said).contains("stdout could not be written: the disk is full");
    }

    /** A file system of 64 kB: the output does not fit, and nothing half is left behind. */
    @Test
    void aFullFileSystem() throws Exception {
        Path small = Files.createDirectory(dir.resolve("small"));
        Assumptions.assumeTrue(
                run("mount", "-t", "tmpfs", "-o", "size=64k", "none", small.toString()) == 0,
                "skipped: only root may mount a small file system");
        try {
            Path inputs = dir.resolve("in.safetensors");
            try (Tensor ids = torch.ones(new long[] {8, 30}).to(torch.ScalarType.Long)) {
                Safetensors.write(inputs, Map.of("input_ids", ids));
            }
            String out = small.resolve("out.safetensors").toString();
            List<String> forward =
                    List.of("forward", "--model", MODEL.toString(), "--inputs", inputs.toString(), "--outputs", out);
            List<String> all = new ArrayList<>(forward);
            all.addAll(List.of("--output-hidden-states", "--output-attentions"));
            fails(all, out, "No space left");
            assertThat(small).isEmptyDirectory();
            assertThat(HeadstartCommandTest.runPrinting(forward).code())
                    .as("what fits is written")
                    .isZero();
            Files.delete(small.resolve("out.safetensors"));
            fails(
                    List.of(
                            "convert",
                            "--model",
                            MODEL.toString(),
                            "--output",
                            small.resolve("m").toString()),
                    "No space left");
            assertThat(small.resolve("m/model.safetensors")).doesNotExist();
        } finally {
            assertThat(run("umount", small.toString())).isZero();
        }
    }

    private static int run(String... command) {
        try {
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            process.getInputStream().readAllBytes();
            return process.waitFor();
        } catch (IOException e) {
            return 127;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return 127;
        }
    }

    // === Network ===

    /** A JVM with an empty home, whose hub and whose Maven repositories are ports where nobody listens. */
    @Test
    void noNetwork() throws Exception {
        Path home = Files.createDirectories(dir.resolve("home"));
        Files.createDirectories(home.resolve(".m2"));
        Files.writeString(home.resolve(".m2/settings.xml"), """
                <settings><mirrors><mirror><id>company</id><mirrorOf>*</mirrorOf><url>http://127.0.0.1:1/maven2</url></mirror></mirrors></settings>""");
        check(
                child(home, List.of("run", "fill-mask", "The capital of France is [MASK].")),
                "model 'bert-base-uncased' is not on this machine",
                "127.0.0.1 cannot be reached",
                "company (http://127.0.0.1:1/maven2)",
                "settings.xml");
        check(
                child(home, List.of("models", "fetch", "org/model")),
                "'org/model' is not on this machine",
                "HTTPS_PROXY");
        check(
                child(home, List.of("models", "fetch", "org/model", "--offline")),
                "nothing may be fetched (HF_HUB_OFFLINE, --offline");
        try (Stream<Path> all = Files.walk(home.resolve(".cache"))) {
            assertThat(all.filter(p -> p.endsWith("config.json"))).isEmpty();
        }
    }

    private static Result child(Path home, List<String> args) throws Exception {
        Result result = new HeadstartProcess(home, "http://127.0.0.1:1").run("", args);
        // What is tried is told as it happens; the error is the last line.
        return result.code() == 0 ? result : new Result(result.code(), result.out(), result.lastLine() + "\n");
    }
}
