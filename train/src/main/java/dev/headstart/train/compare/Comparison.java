package dev.headstart.train.compare;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.StagedFile;
import dev.headstart.train.OutputFolder;
import dev.headstart.train.finetune.DataHash;
import dev.headstart.train.finetune.RunResults;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Trains the same task from new weights, on frozen features, with adapters and in full, at several sizes of the training data, and shows side by side
 * what each reached and what it took. How one training is done is the {@link Runner}'s matter, so any task can be compared whose training leaves
 * {@link RunResults} behind. Finished trainings are kept: a comparison that was broken off goes on where it was.
 */
public final class Comparison {
    private static final Logger LOG = LoggerFactory.getLogger(Comparison.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String MARK = "cell.json";
    private final Path output;
    private final String task;
    private final List<Cell> cells;
    private final Map<String, Path> data;
    private final Runner runner;
    private String budget = "";
    private @Nullable String command;
    private boolean keepModels;
    private final Map<Cell, JsonNode> done = new LinkedHashMap<>();

    /** Does one training. */
    public interface Runner {
        /** Everything that decides what comes out, but the data: a finished training with another identity is done again. */
        String identity(Cell cell);

        /**
         * Trains and leaves {@value RunResults#FILE} in the folder.
         *
         * @param folder to make; empty
         * @throws HeadstartException when it fails; the comparison ends then
         */
        void run(Cell cell, Path folder);
    }

    /**
     * @param output folder to make
     * @param data files by split: train, validation, test
     * @param cells in the order in which they are trained
     */
    public Comparison(String task, Path output, Map<String, Path> data, List<Cell> cells, Runner runner) {
        this.task = task;
        this.output = output;
        this.data = new LinkedHashMap<>(data);
        this.cells = List.copyOf(cells);
        this.runner = runner;
        if (cells.isEmpty()) {
            throw new HeadstartException("nothing to compare: give at least one model, one mode and one size");
        }
    }

    /** What all trainings have in common, in a sentence for the page. */
    public Comparison budget(String sentence) {
        budget = sentence;
        return this;
    }

    /** The command line, for the page. */
    public Comparison command(@Nullable String value) {
        command = value;
        return this;
    }

    /** Whether the trained weights stay; they are deleted when their figures are written down unless set. */
    public Comparison keepModels(boolean value) {
        keepModels = value;
        return this;
    }

    /**
     * Trains what is not there yet and writes compare.html, compare.json and compare.csv after each training.
     *
     * @param resume whether finished trainings in the folder are kept
     * @param overwrite whether a folder that holds something is emptied of its trainings
     * @throws HeadstartException when a training fails; what is finished is kept
     */
    public Path run(boolean resume, boolean overwrite) {
        OutputFolder.check(
                output,
                resume || overwrite,
                "use --resume to keep its finished trainings and go on, --overwrite to begin anew, or another --output");
        Map<String, String> hashes = new LinkedHashMap<>();
        data.forEach((split, file) -> hashes.put(split, DataHash.of(file)));
        List<Cell> missing = new ArrayList<>();
        for (Cell cell : cells) {
            JsonNode finished = overwrite ? null : finished(cell, identity(cell, hashes));
            if (finished != null) {
                done.put(cell, finished);
            } else {
                missing.add(cell);
            }
        }
        if (!done.isEmpty()) {
            LOG.info("{} of {} trainings are finished already", done.size(), cells.size());
        }
        for (int i = 0; i < missing.size(); i++) {
            Cell cell = missing.get(i);
            LOG.info("training {} of {}: {}", done.size() + 1, cells.size(), cell.title());
            JsonNode results = train(cell, identity(cell, hashes));
            done.put(cell, results);
            LOG.info("{}", new Outcome(cell, results).line());
            write(hashes);
        }
        if (missing.isEmpty()) {
            write(hashes);
        }
        return output;
    }

    private String identity(Cell cell, Map<String, String> hashes) {
        return runner.identity(cell) + " " + hashes;
    }

    private Path folder(Cell cell) {
        return output.resolve("cells").resolve(cell.folder());
    }

    /** What a finished training left, or null when there is none like it. */
    private @Nullable JsonNode finished(Cell cell, String identity) {
        Path mark = folder(cell).resolve(MARK);
        if (!Files.isRegularFile(mark)) {
            return null;
        }
        try {
            JsonNode node = JSON.readTree(mark.toFile());
            if (!node.path("identity").asText().equals(identity)) {
                LOG.warn("{} was trained on other data or with other options; it is trained again", cell.title());
                return null;
            }
            return node.path("results");
        } catch (IOException e) {
            LOG.warn("{}: cannot be read ({}); trained again", mark, e.getMessage());
            return null;
        }
    }

    private JsonNode train(Cell cell, String identity) {
        Path folder = folder(cell);
        try {
            delete(folder);
            Files.createDirectories(folder);
            runner.run(cell, folder);
            JsonNode results = JSON.readTree(folder.resolve(RunResults.FILE).toFile());
            if (results == null || !results.isObject()) {
                throw new HeadstartException(folder + ": the training left no " + RunResults.FILE);
            }
            if (!keepModels) {
                deleteWeights(folder);
            }
            ObjectNode mark = JSON.createObjectNode();
            mark.put("identity", identity).set("results", results);
            write(folder.resolve(MARK), mark.toPrettyString() + "\n");
            return results;
        } catch (IOException e) {
            throw new HeadstartException(
                    folder + ": " + cell.title() + ": " + e.getMessage()
                            + "; what is finished is kept, go on with --resume",
                    e);
        }
    }

    private static void deleteWeights(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path p :
                    files.filter(f -> f.toString().endsWith(".safetensors")).toList()) {
                Files.delete(p);
            }
        }
    }

    private static void delete(Path root) throws IOException {
        if (!Files.exists(root)) {
            return;
        }
        try (Stream<Path> files = Files.walk(root)) {
            for (Path p : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(p);
            }
        }
    }

    // === Results ===

    private List<Outcome> outcomes() {
        return cells.stream()
                .filter(done::containsKey)
                .map(c -> new Outcome(c, java.util.Objects.requireNonNull(done.get(c))))
                .toList();
    }

    private void write(Map<String, String> hashes) {
        List<Outcome> outcomes = outcomes();
        Outcome first = outcomes.get(0);
        ObjectNode root = JSON.createObjectNode();
        root.put("task", task).put("metric", first.metric()).put("split", first.split());
        root.put("greater_is_better", first.greaterIsBetter()).put("budget", budget);
        if (command != null) {
            root.put("command", command);
        }
        ObjectNode files = root.putObject("data");
        data.forEach((split, file) ->
                files.putObject(split).put("file", name(file)).put("sha256", hashes.getOrDefault(split, "")));
        ArrayNode all = root.putArray("cells");
        StringBuilder csv = new StringBuilder(
                "model,mode,size,seed,train_samples,metric,split,value,steps,tokens,minutes,peak_memory_mb,energy_wh,trained_parameters,parameters\n");
        for (Outcome o : outcomes) {
            ObjectNode node = all.addObject();
            node.put("model", o.cell().model()).put("mode", o.cell().mode().id());
            node.put("size", o.cell().size()).put("seed", o.cell().seed());
            node.set("results", o.results());
            csv.append(o.csv()).append('\n');
        }
        write(output.resolve("compare.json"), root.toPrettyString() + "\n");
        write(output.resolve("compare.csv"), csv.toString());
        new ComparePage(task, outcomes, cells.size(), budget, command)
                .data(data, hashes)
                .write(output.resolve("compare.html"));
    }

    static String name(Path file) {
        return String.valueOf(file.getFileName());
    }

    private static void write(Path file, String text) {
        StagedFile.write(file, out -> out.write(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8))));
    }

    /**
     * What came out of one training.
     *
     * @param results what {@link RunResults} holds
     */
    record Outcome(Cell cell, JsonNode results) {
        /** The metric that the task is judged by. */
        String metric() {
            return results.path("metric_for_best_model").asText("loss");
        }

        boolean greaterIsBetter() {
            return results.path("greater_is_better").asBoolean(true);
        }

        /** Where it was measured: on test data where there are any. */
        String split() {
            return results.has("test_" + metric()) ? "test" : "validation";
        }

        double value() {
            return number((split().equals("test") ? "test_" : "eval_") + metric());
        }

        double number(String name) {
            return results.path(name).asDouble(Double.NaN);
        }

        /** Of the whole process: loading, features, training, evaluation. */
        double minutes() {
            return number("total_runtime") / 60;
        }

        String line() {
            return String.format(
                    Locale.ROOT,
                    "%s: %s %s %.4f, %.1f min, peak memory %.0f MB, %.2f Wh",
                    cell.title(),
                    split(),
                    metric(),
                    value(),
                    minutes(),
                    number("peak_memory_mb"),
                    number("energy_wh"));
        }

        String csv() {
            return String.join(
                    ",",
                    quoted(cell.model()),
                    cell.mode().id(),
                    cell.size() == 0 ? "all" : String.valueOf(cell.size()),
                    String.valueOf(cell.seed()),
                    results.path("train_samples").asText(),
                    metric(),
                    split(),
                    String.valueOf(value()),
                    results.path("steps").asText(),
                    results.path("tokens").asText(),
                    String.format(Locale.ROOT, "%.3f", minutes()),
                    results.path("peak_memory_mb").asText(),
                    results.path("energy_wh").asText(),
                    results.path("trained_parameters").asText(),
                    results.path("parameters").asText());
        }

        private static String quoted(String text) {
            return text.matches("[^\",\\r\\n]*") ? text : "\"" + text.replace("\"", "\"\"") + "\"";
        }
    }
}
