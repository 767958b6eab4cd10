package dev.headstart.cli;

import dev.headstart.HeadstartException;
import dev.headstart.hub.Hub;
import dev.headstart.nn.Natives;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.ExecutionException;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.UsageMessageSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/**
 * The {@code headstart} program. stdout holds the result alone; everything else goes to stderr, whose last line is the error. Exit codes:
 * 0 done, 1 failure, 2 usage. Only the class of the subcommand that was asked for is loaded.
 */
@Command(
        name = "headstart",
        description = "Pre-trained models for the JVM: load, run, explain, fine-tune, pre-train.",
        customSynopsis = "headstart COMMAND [ARGUMENTS]",
        versionProvider = HeadstartCommand.Version.class,
        mixinStandardHelpOptions = true)
public final class HeadstartCommand implements Runnable {
    static final int FAILURE = 1;
    static final int USAGE = 2;

    /** What the user may set to give the JVM more memory; the launcher reads it. */
    private static final String JAVA_OPTS = "HEADSTART_JAVA_OPTS";

    /** The launcher's entry point: runs one command and ends the process with its exit code. */
    public static void main(String[] args) {
        // Whatever the locale says, results are UTF-8. Each println reaches a pipe at once.
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        PrintStream err = new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8);
        System.setOut(out);
        System.setErr(err);
        MachineMemory.limitNative();
        int code = execute(out, err, args);
        if (out.checkError() && code == 0) {
            err.println("headstart: stdout could not be written: the disk is full, or the reader has gone");
            code = FAILURE;
        }
        System.exit(code);
    }

    /** Runs one command in this process. {@code System.out} must already be {@code out}. */
    static int execute(PrintStream out, PrintStream err, String... args) {
        List<String> list = Arrays.asList(args);
        int end = list.indexOf("--");
        List<String> options = end < 0 ? list : list.subList(0, end);
        boolean debug = options.contains("--debug");
        if (debug) System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "debug");
        if (options.contains("--offline")) System.setProperty("headstart.offline", "true"); // HubOptions reads it
        try {
            return commandLine(new PrintWriter(out, true), new PrintWriter(err, true), debug, args)
                    .execute(args);
        } catch (ParameterException e) { // outside picocli's own handling: the table of commands
            err.println("headstart: " + oneLine(e.getMessage()));
            return USAGE;
        } catch (RuntimeException | Error e) {
            return report(e, "headstart", debug, new PrintWriter(err, true));
        }
    }

    private static CommandLine commandLine(PrintWriter out, PrintWriter err, boolean debug, String... args) {
        CommandLine root = new CommandLine(new HeadstartCommand());
        addCommon(root.getCommandSpec());
        Optional<String> name =
                Arrays.stream(args).filter(arg -> !arg.startsWith("-")).findFirst();
        if (name.isPresent()) {
            Commands.Entry entry = Commands.find(name.get())
                    .orElseThrow(() -> new ParameterException(
                            root,
                            "there is no command '" + name.get() + "'" + similar(name.get())
                                    + "; see headstart --help"));
            CommandLine sub = new CommandLine(entry.load());
            CommandSpec spec = sub.getCommandSpec();
            if (spec.findOption("--help") == null) spec.mixinStandardHelpOptions(true);
            for (CommandLine nested : sub.getSubcommands().values()) {
                if (nested.getCommandSpec().findOption("--help") == null)
                    nested.getCommandSpec().mixinStandardHelpOptions(true);
                addCommon(nested.getCommandSpec());
            }
            addCommon(spec);
            if (spec.userObject() instanceof More command) {
                sub.getHelpSectionMap().put(UsageMessageSpec.SECTION_KEY_FOOTER, help -> command.more());
            }
            if (spec.userObject() instanceof Headed command) {
                sub.getHelpSectionMap()
                        .put(UsageMessageSpec.SECTION_KEY_OPTION_LIST, help -> underHeadings(help, spec, command));
            }
            if (spec.version().length == 0) spec.versionProvider(new Version());
            root.addSubcommand(entry.name(), sub);
        }
        root.getHelpSectionMap()
                .put(UsageMessageSpec.SECTION_KEY_COMMAND_LIST_HEADING, help -> "%nCommands:%n".formatted());
        root.getHelpSectionMap().put(UsageMessageSpec.SECTION_KEY_COMMAND_LIST, help -> overview());
        root.getHelpSectionMap()
                .put(
                        UsageMessageSpec.SECTION_KEY_FOOTER,
                        help -> "%nheadstart COMMAND --help says more. %s passes options to the JVM, e.g. -Xmx8g.%n"
                                .formatted(JAVA_OPTS));
        root.setExecutionStrategy(parsed -> {
            Hub.reportTo(new TransferProgress(err, TransferProgress.onTerminal()));
            return new CommandLine.RunLast().execute(parsed);
        });
        root.setOut(out)
                .setErr(err)
                .setExpandAtFiles(false) // an input may start with @
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setUsageHelpWidth(110)
                .setParameterExceptionHandler((e, given) -> {
                    PrintWriter writer = e.getCommandLine().getErr();
                    if (debug) e.printStackTrace(writer);
                    writer.println(usage(e));
                    return USAGE;
                })
                .setExecutionExceptionHandler((e, command, parsed) ->
                        report(e, command.getCommandSpec().qualifiedName(), debug, command.getErr()));
        return root;
    }

    /** A command whose help ends with what is known only when it is printed. */
    interface More {
        /** Lines, each with its end. */
        String more();
    }

    /** A command with so many options that its help shows them in groups. */
    interface Headed {
        /** Above which group an option stands; the empty heading comes first. */
        String heading(OptionSpec option);
    }

    private static String underHeadings(CommandLine.Help help, CommandSpec spec, Headed command) {
        Map<String, List<OptionSpec>> groups = new TreeMap<>();
        for (OptionSpec option : spec.options()) {
            groups.computeIfAbsent(command.heading(option), h -> new ArrayList<>())
                    .add(option);
        }
        StringBuilder text = new StringBuilder();
        groups.forEach((heading, options) -> {
            text.append(heading.isEmpty() ? "" : "%n%s%n".formatted(heading));
            text.append(help.optionListExcludingGroups(options));
        });
        return text.toString();
    }

    /** Looks up a name that an option was given. @throws ParameterException when there is none of it, which is wrong usage and no failure */
    static <T> T named(@Nullable CommandSpec spec, Supplier<T> lookup) {
        try {
            return lookup.get();
        } catch (HeadstartException e) {
            throw new ParameterException(Objects.requireNonNull(spec).commandLine(), String.valueOf(e.getMessage()), e);
        }
    }

    /** What every command has; {@link #execute} acts on them before picocli does. */
    private static void addCommon(CommandSpec spec) {
        add(spec, "--debug", "Log more, and print the stack trace of an error.");
        add(spec, "--offline", "Fetch nothing; the variable HF_HUB_OFFLINE=1 does the same.");
    }

    private static void add(CommandSpec spec, String option, String description) {
        if (spec.findOption(option) == null) {
            spec.addOption(OptionSpec.builder(option).description(description).build());
        }
    }

    private static String usage(ParameterException e) {
        String name = e.getCommandLine().getCommandSpec().qualifiedName();
        String hint = e instanceof UnmatchedArgumentException u
                        && !u.getUnmatched().isEmpty()
                        && u.getUnmatched().get(0).startsWith("-")
                ? hint(e.getCommandLine().getCommandSpec(), u.getUnmatched().get(0))
                : "";
        return name + ": " + oneLine(e.getMessage()) + hint + "; see " + name + " --help";
    }

    /** One line on stderr for what went wrong; the whole trace before it with {@code --debug}. */
    static int report(Throwable thrown, String where, boolean debug, PrintWriter err) {
        Throwable e = thrown;
        while (e instanceof ExecutionException && e.getCause() != null) e = e.getCause();
        if (debug) e.printStackTrace(err);
        if (e instanceof LinkageError) {
            try {
                Natives.load();
            } catch (HeadstartException missing) { // says which artifact to add
                e = missing;
            }
        }
        if (e instanceof HeadstartException) {
            err.println(where + ": " + oneLine(e.getMessage()));
        } else if (e instanceof OutOfMemoryError) {
            err.println(where + ": " + outOfMemory(e.getMessage()));
        } else {
            String message = e.getMessage() == null ? "" : ": " + firstLine(e.getMessage());
            err.println(where + ": unexpected " + e.getClass().getName() + message
                    + (debug ? "" : " (--debug prints the stack trace)"));
        }
        return FAILURE;
    }

    /** JavaCPP's limit on native memory and the JVM's heap have different knobs. */
    static String outOfMemory(@Nullable String message) {
        String text = message == null ? "" : firstLine(message);
        if (text.contains("hysical")) {
            return "out of native memory: the limit is " + MachineMemory.describeLimit()
                    + "; use smaller batches or inputs, or raise it with " + JAVA_OPTS + "=-D" + MachineMemory.LIMIT
                    + "=<bytes, e.g. 24g>";
        }
        return "out of Java heap (" + text + "; the limit is "
                + (Runtime.getRuntime().maxMemory() >> 20) + " MB): use smaller inputs, or raise it with " + JAVA_OPTS
                + "=-Xmx<size, e.g. 8g>";
    }

    private static String firstLine(String message) {
        return message.lines()
                .map(String::strip)
                .filter(line -> !line.isEmpty())
                .findFirst()
                .orElse("");
    }

    private static String oneLine(@Nullable String message) {
        return message == null ? "failed" : message.strip().replaceAll("\\s*\\R\\s*", " ");
    }

    private static String overview() {
        StringBuilder text = new StringBuilder();
        int width = Commands.all().stream()
                .mapToInt(entry -> entry.name().length())
                .max()
                .orElse(0);
        for (Commands.Entry entry : Commands.all()) {
            text.append("  ")
                    .append(entry.name())
                    .append(" ".repeat(width - entry.name().length() + 3))
                    .append(entry.description())
                    .append(System.lineSeparator());
        }
        return text.toString();
    }

    private static String similar(String typed) {
        return Commands.all().stream()
                .map(Commands.Entry::name)
                .filter(name -> distance(name, typed) <= 2 || (typed.length() > 2 && name.startsWith(typed)))
                .findFirst()
                .map(name -> " (did you mean '" + name + "'?)")
                .orElse("");
    }

    /** What to do about an option that there is not, in brackets; nothing where no input can be meant. */
    private static String hint(CommandSpec spec, String typed) {
        Optional<String> known = similarOption(spec, typed);
        if (known.isPresent()) {
            return " (did you mean " + known.get() + "?)";
        }
        String run = spec.userObject() instanceof RunCommand
                ? "the task's arguments go into --kwargs, the fields of an input into a JSON object; "
                : "";
        return spec.positionalParameters().isEmpty() ? "" : " (" + run + "an input that starts with - goes after --)";
    }

    /** What was meant by an option that there is not: one typed wrong, or with the underscores that it has elsewhere. */
    private static Optional<String> similarOption(CommandSpec spec, String typed) {
        String name = typed.replaceFirst("=.*", "").replace('_', '-');
        return spec.options().stream()
                .flatMap(option -> Arrays.stream(option.names()))
                .filter(known -> known.startsWith("--") && distance(known, name) <= 2)
                .min(Comparator.comparingInt(known -> distance(known, name)));
    }

    /** Levenshtein distance. */
    private static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) row[j] = j;
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int change = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(change, Math.min(row[j], row[j - 1]) + 1);
            }
        }
        return row[b.length()];
    }

    @CommandLine.Spec
    private @Nullable CommandSpec spec;

    @Override
    public void run() {
        CommandLine commandLine = Objects.requireNonNull(spec).commandLine();
        throw new ParameterException(commandLine, "which command?");
    }

    /** Headstart's version and the JVM's. */
    static final class Version implements CommandLine.IVersionProvider {
        @Override
        public String[] getVersion() {
            return new String[] {
                "headstart " + headstart() + " (Java " + System.getProperty("java.version") + ", "
                        + System.getProperty("os.name") + " " + System.getProperty("os.arch") + ")"
            };
        }

        static String headstart() {
            String version = HeadstartCommand.class.getPackage().getImplementationVersion();
            return version == null ? "(not from a jar)" : version;
        }
    }
}
