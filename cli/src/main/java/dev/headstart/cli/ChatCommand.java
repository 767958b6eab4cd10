package dev.headstart.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.TextGenerationPipeline;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** A conversation on the terminal: reads a line, shows the answer as it is made, remembers both. */
@Command(
        name = "chat",
        description = "Talks with a model. Reads lines from stdin; the answers alone go to stdout.",
        footer = {
            "",
            "In the conversation: /reset forgets it, /exit or the end of input leaves. A line that ends in \\ goes on in the next."
        })
final class ChatCommand implements Runnable {
    @Option(
            names = "--model",
            required = true,
            paramLabel = "ID",
            description = "Folder or id of a model with a chat template.")
    private String model = "";

    @Option(names = "--system", paramLabel = "TEXT", description = "What the model is told before the conversation.")
    private @Nullable String system;

    @Option(
            names = "--kwargs",
            paramLabel = "JSON",
            description = "Generation parameters: max_new_tokens, temperature, seed, ...")
    private String kwargs = "{}";

    @Option(names = "--precision", paramLabel = "P", description = "auto, fp32 (default), bf16.")
    private @Nullable String precision;

    @Option(names = "--device", paramLabel = "D", description = "auto (default), cpu, cuda.")
    private String device = "auto";

    @Override
    public void run() {
        ObjectNode arguments = (ObjectNode) ForwardCommand.object("--kwargs", kwargs);
        LoadOptions load = LoadOptions.defaults().withPrecision(precision).withDevice(device);
        try (Pipeline pipeline = Pipeline.of("text-generation", model, PipelineOptions.DEFAULT.withLoad(load))) {
            PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
            boolean terminal = System.console() != null;
            converse((TextGenerationPipeline) pipeline, arguments, out, terminal);
        } catch (IOException e) {
            throw new HeadstartException("stdin: " + e.getMessage(), e);
        }
    }

    private void converse(TextGenerationPipeline pipeline, ObjectNode arguments, PrintStream out, boolean terminal)
            throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<Map<String, String>> messages = begin();
        for (String line = ask(in, terminal); line != null; line = ask(in, terminal)) {
            if (line.equals("/exit")) {
                return;
            }
            if (line.equals("/reset")) {
                messages = begin();
            } else if (!line.isBlank()) {
                messages.add(Map.of("role", "user", "content", line));
                String answer = pipeline.chat(messages, arguments, piece -> {
                    out.print(piece);
                    out.flush();
                });
                out.println();
                messages.add(Map.of("role", "assistant", "content", answer));
            }
        }
    }

    private List<Map<String, String>> begin() {
        List<Map<String, String>> messages = new ArrayList<>();
        if (system != null) {
            messages.add(Map.of("role", "system", "content", system));
        }
        return messages;
    }

    private static @Nullable String ask(BufferedReader in, boolean terminal) throws IOException {
        StringBuilder whole = new StringBuilder();
        while (true) {
            if (terminal) {
                System.err.print(whole.isEmpty() ? "> " : ". ");
                System.err.flush();
            }
            String line = in.readLine();
            if (line == null) {
                return whole.isEmpty() ? null : whole.toString();
            }
            if (!line.endsWith("\\")) {
                return whole.append(line).toString();
            }
            whole.append(line, 0, line.length() - 1).append('\n');
        }
    }
}
