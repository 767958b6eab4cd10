package dev.headstart.cli;

import dev.headstart.HeadstartException;
import dev.headstart.train.compare.Cell;
import dev.headstart.train.compare.Comparison;
import dev.headstart.train.finetune.FineTune;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;
import picocli.CommandLine.Unmatched;

/** Runs {@code finetune} over a grid of models, modes and sizes, each training in a process of its own, and shows the results side by side. */
@Command(
        name = "compare",
        description = {
            "Trains the same task from scratch, on frozen features, with LoRA and in full, at several sizes of the training data, and shows what"
                    + " each reached and what it took: compare.html, compare.json, compare.csv.",
            "At a given size every mode has the same budget: the same examples, steps and batches. Every other option of finetune is passed on to"
                    + " all trainings (headstart finetune --help)."
        })
final class CompareCommand implements Runnable {
    private static final String AT_THE_END = "1000000000";

    @Spec
    private @Nullable CommandSpec spec;

    @Option(
            names = "--task",
            required = true,
            completionCandidates = Names.TrainedTasks.class,
            description = "As finetune's: ${COMPLETION-CANDIDATES}.")
    private String task = "";

    @Option(
            names = "--model",
            required = true,
            split = ",",
            paramLabel = "ID",
            description = "Folders or ids, all on one page.")
    private List<String> models = List.of();

    @Option(names = "--train", required = true, paramLabel = "FILE", description = "As finetune's.")
    private String train = "";

    @Option(
            names = "--validation",
            paramLabel = "FILE",
            description = "Data to measure on; default: a part of --train is set aside, the same for all.")
    private @Nullable String validation;

    @Option(
            names = "--test",
            paramLabel = "FILE",
            description = "Data to measure on once, after training; the page then shows these figures.")
    private @Nullable String test;

    @Option(
            names = "--sizes",
            split = ",",
            paramLabel = "N",
            description =
                    "Training examples, drawn with a fixed seed, smaller draws being part of larger ones; all for all there are (${DEFAULT-VALUE}).")
    private List<String> sizes = List.of("100", "1000", "all");

    @Option(
            names = "--modes",
            split = ",",
            paramLabel = "MODE",
            description = "${COMPLETION-CANDIDATES}; default: all.")
    private List<Cell.Mode> modes = List.of(Cell.Mode.values());

    @Option(
            names = "--scratch-of",
            split = ",",
            paramLabel = "ID",
            description = "Which of the models' shapes are trained from scratch; default: all of them.")
    private List<String> scratchOf = List.of();

    @Option(
            names = "--learning-rates",
            split = ",",
            paramLabel = "[MODEL:]MODE=RATE",
            description =
                    "Highest learning rate by mode, or of one model by its last name; default: scratch=1e-4,head=1e-3,lora=2e-4,full=5e-5.")
    private Map<String, Double> rates = Map.of();

    @Option(
            names = {"--epochs", "--num-train-epochs"},
            description = "Passes over the training examples, at every size (${DEFAULT-VALUE}).")
    private double epochs = 3;

    @Option(
            names = "--min-steps",
            description = "At least so many steps: few examples are passed over more often (${DEFAULT-VALUE}).")
    private long minSteps = 100;

    @Option(
            names = {"--batch-size", "--per-device-train-batch-size"},
            description = "Examples in a batch (${DEFAULT-VALUE}).")
    private int batchSize = 16;

    @Option(
            names = "--seeds",
            split = ",",
            paramLabel = "SEED",
            description = "Each training is done with each seed; the page shows means (${DEFAULT-VALUE}).")
    private List<Long> seeds = List.of(42L);

    @Mixin
    private OutputOptions output = new OutputOptions();

    @Option(names = "--keep-models", description = "Keep the weights of every training, not its figures alone.")
    private boolean keepModels;

    @Option(names = "--json", description = "Print compare.json instead of the folder.")
    private boolean json;

    @Unmatched
    private List<String> rest = new ArrayList<>();

    private volatile @Nullable Process running;

    /** How one training is run. */
    interface Runner {
        /** @param arguments of the command line, the command's name first; @param log receives what goes to stderr; @return exit code */
        int run(List<String> arguments, Path log) throws IOException, InterruptedException;
    }

    /** In a process of its own; tests replace it. */
    private Runner runner = this::inProcessOfItsOwn;

    /** For tests. */
    void runner(Runner value) {
        runner = value;
    }

    @Override
    public void run() {
        check();
        Map<String, Path> data = new LinkedHashMap<>();
        data.put("train", Path.of(train));
        if (validation != null) {
            data.put("validation", Path.of(validation));
        }
        if (test != null) {
            data.put("test", Path.of(test));
        }
        if (!task.equals(Names.IMAGES)) {
            HeadstartCommand.named(spec, () -> FineTune.knownTask(task));
        }
        Comparison comparison = new Comparison(task, output.folder, data, cells(), new Comparison.Runner() {
                    @Override
                    public String identity(Cell cell) {
                        return String.join(" ", arguments(cell));
                    }

                    @Override
                    public void run(Cell cell, Path folder) {
                        train(cell, folder);
                    }
                })
                .budget(budget())
                .command(TrainingOptions.commandLine(Objects.requireNonNull(spec)))
                .keepModels(keepModels);
        TrainingOptions.interruptibly(this::stop, () -> comparison.run(output.resume, output.overwrite));
        print();
    }

    private void print() {
        try {
            System.out.println(
                    json
                            ? Files.readString(output.folder.resolve("compare.json"))
                                    .strip()
                            : output.folder);
        } catch (IOException e) {
            throw new HeadstartException(output.folder + ": compare.json cannot be read: " + e.getMessage(), e);
        }
    }

    /** Says what is wrong before the first training begins. */
    private void check() {
        for (String size : sizes) {
            if (!size.equals("all") && !size.matches("[1-9]\\d{0,8}")) {
                throw wrong("--sizes: expected numbers of examples or \"all\", found '" + size + "'");
            }
        }
        for (String option : rest) {
            String name = option.replaceAll("=.*", "");
            if (Set.of("--learning-rate", "--lr").contains(name)) {
                throw wrong("each mode has a learning rate of its own: give --learning-rates full=5e-5,lora=2e-4");
            }
            if (Set.of("--seed", "--mode", "--init", "--max-train-samples", "--config")
                    .contains(name)) {
                throw wrong(name + " is what is compared here: use --seeds, --modes, --sizes, --scratch-of");
            }
        }
        Set<String> keys = new LinkedHashSet<>();
        for (Cell.Mode mode : Cell.Mode.values()) {
            keys.add(mode.id());
            models.forEach(m -> keys.add(new Cell(m, mode, 0, 0).shortModel() + ":" + mode.id()));
        }
        for (String key : rates.keySet()) {
            if (!keys.contains(key)) {
                throw wrong("--learning-rates: there is no '" + key + "'; expected " + String.join(", ", keys));
            }
        }
        for (String id : scratchOf) {
            if (!models.contains(id)) {
                throw wrong("--scratch-of " + id + " is none of --model " + String.join(",", models));
            }
        }
        List<String> first = arguments(cells().get(0));
        List<String> example = new ArrayList<>(first.subList(1, first.size()));
        example.addAll(List.of("--output", "x"));
        try {
            new CommandLine(new FinetuneCommand())
                    .setCaseInsensitiveEnumValuesAllowed(true)
                    .parseArgs(example.toArray(String[]::new));
        } catch (ParameterException e) { // of options that are passed on
            throw wrong(String.valueOf(e.getMessage()));
        }
    }

    private ParameterException wrong(String message) {
        return new ParameterException(Objects.requireNonNull(spec).commandLine(), message);
    }

    private List<Cell> cells() {
        Set<Cell> cells = new LinkedHashSet<>();
        for (String size : sizes) {
            for (String model : models) {
                for (Cell.Mode mode : modes) {
                    if (mode == Cell.Mode.SCRATCH && !scratchOf.isEmpty() && !scratchOf.contains(model)) {
                        continue;
                    }
                    int n = size.equals("all") ? 0 : Integer.parseInt(size);
                    seeds.forEach(seed -> cells.add(new Cell(model, mode, n, seed)));
                }
            }
        }
        if (cells.isEmpty()) {
            throw wrong("nothing to compare: give at least one model, one mode and one size");
        }
        return List.copyOf(cells);
    }

    private double rate(Cell.Mode mode) {
        Double given = rates.get(mode.id());
        return given != null
                ? given
                : switch (mode) {
                    case SCRATCH -> 1e-4;
                    case HEAD -> 1e-3;
                    case LORA -> 2e-4;
                    case FULL -> 5e-5;
                };
    }

    private double rate(Cell cell) {
        Double own = rates.get(cell.shortModel() + ":" + cell.mode().id());
        return own == null ? rate(cell.mode()) : own;
    }

    private static String plain(double v) {
        return BigDecimal.valueOf(v).stripTrailingZeros().toPlainString();
    }

    private String budget() {
        List<String> each = new ArrayList<>();
        modes.forEach(m -> each.add(m.title() + " " + plain(rate(m))));
        rates.forEach((key, rate) -> {
            if (key.contains(":")) {
                each.add(key.replace(":", " ") + " " + plain(rate));
            }
        });
        return String.format(
                Locale.ROOT,
                "At a given size all trainings see the same examples in the same number of steps: %s passes, at least %d steps, batches of %d."
                        + " Learning rate: %s. The last weights are measured; no checkpoint is chosen. From scratch means new weights and the"
                        + " model's own %s.%s",
                epochs == Math.rint(epochs) ? String.valueOf((long) epochs) : String.valueOf(epochs),
                minSteps,
                batchSize,
                String.join(", ", each),
                task.equals("image-classification") ? "image processor" : "tokenizer",
                rest.isEmpty() ? "" : " Further options: " + String.join(" ", rest) + ".");
    }

    /** One training as a command line, without its output. */
    private List<String> arguments(Cell cell) {
        List<String> a = new ArrayList<>(List.of("finetune", "--task", task, "--model", cell.model()));
        a.addAll(List.of("--train", train));
        if (validation != null) {
            a.addAll(List.of("--validation", validation));
        }
        if (test != null) {
            a.addAll(List.of("--test", test));
        }
        a.addAll(List.of(
                "--mode",
                cell.mode() == Cell.Mode.SCRATCH ? "full" : cell.mode().id()));
        if (cell.mode() == Cell.Mode.SCRATCH) {
            a.addAll(List.of("--init", "random"));
        }
        if (cell.size() > 0) {
            a.addAll(List.of("--max-train-samples", String.valueOf(cell.size())));
        }
        a.addAll(List.of("--learning-rate", String.valueOf(rate(cell))));
        a.addAll(List.of("--epochs", String.valueOf(epochs), "--min-steps", String.valueOf(minSteps)));
        a.addAll(List.of("--batch-size", String.valueOf(batchSize), "--seed", String.valueOf(cell.seed())));
        a.add("--no-checkpoints");
        if (rest.stream().noneMatch(o -> o.startsWith("--eval-steps"))) {
            a.addAll(List.of("--eval-steps", AT_THE_END));
        }
        if (Boolean.getBoolean("headstart.offline") && !rest.contains("--offline")) {
            a.add("--offline");
        }
        a.addAll(rest);
        return a;
    }

    private void train(Cell cell, Path folder) {
        List<String> arguments = new ArrayList<>(arguments(cell));
        arguments.addAll(List.of("--output", folder.toString(), "--overwrite"));
        Path log = folder.resolve("log.txt");
        try {
            int code = runner.run(arguments, log);
            if (code != 0) {
                throw new HeadstartException(folder.getFileName() + ": " + lastLine(log) + " (the training's log is "
                        + log + "); what is finished is kept, go on with --resume");
            }
        } catch (IOException e) {
            throw new HeadstartException(log + ": the training cannot be started: " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HeadstartException("interrupted; what is finished is kept, go on with --resume", e);
        }
    }

    private static String lastLine(Path log) throws IOException {
        return Files.readAllLines(log).stream()
                .filter(l -> !l.isBlank())
                .reduce((a, b) -> b)
                .map(String::strip)
                .orElse("the training failed without a word");
    }

    private void stop() {
        Process p = running;
        if (p != null) {
            p.destroy();
        }
    }

    /** The same JVM with the same options, so that peak memory is the training's alone. */
    private int inProcessOfItsOwn(List<String> arguments, Path log) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(o -> !o.matches(
                        "-(javaagent|agentlib|agentpath|Xrun).*|-XX:(DumpLoadedClassList|ArchiveClassesAtExit).*"))
                .forEach(command::add);
        System.getProperties().stringPropertyNames().stream()
                .filter(n -> n.equals(MachineMemory.LIMIT))
                .forEach(n -> command.add("-D" + n + "=" + System.getProperty(n)));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), HeadstartCommand.class.getName()));
        command.addAll(arguments);
        Process process = new ProcessBuilder(command)
                .redirectError(log.toFile())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        running = process;
        try {
            process.getOutputStream().close();
            return process.waitFor();
        } finally {
            running = null;
        }
    }
}
