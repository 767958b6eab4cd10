package dev.headstart.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.pipeline.Pipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.Tasks;
import dev.headstart.pipeline.TextGenerationPipeline;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** A conversation on the terminal: reads a line, shows the answer as it is made, remembers both. */
@Command(
        name = "chat",
        description = "Talks with a model. Reads lines from stdin; the answers alone go to stdout.",
        footer = {
            "",
            "In the conversation: /reset forgets it, /exit or the end of input leaves. A line that ends in \\ goes on in the next.",
            "On a terminal the arrows edit a line and bring earlier ones back, Ctrl-C ends an answer that is being made.",
            "A model without a chat template goes on with the text of the conversation instead of answering."
        })
final class ChatCommand implements Runnable {
    @Option(
            names = "--model",
            paramLabel = "ID",
            description = "Folder or id, best of a model with a chat template; default: that of run text-generation.")
    private @Nullable String model;

    @Option(names = "--system", paramLabel = "TEXT", description = "What the model is told before the conversation.")
    private @Nullable String system;

    @Option(
            names = "--kwargs",
            paramLabel = "JSON",
            description = "Generation parameters: max_new_tokens, temperature, seed, ...")
    private String kwargs = "{}";

    @Option(names = "--precision", paramLabel = "P", description = "auto, fp32 (default), bf16.")
    private @Nullable String precision;

    @Mixin
    private DeviceOption device = new DeviceOption();

    @Override
    public void run() {
        ObjectNode arguments = (ObjectNode) ForwardCommand.object("--kwargs", kwargs);
        Tasks.Task task = Tasks.find("text-generation");
        String id = model != null ? model : task.defaultModel();
        if (id == null) {
            throw new HeadstartException(
                    "chat has no default model; name one with --model, a folder or an id such as " + task.example());
        }
        LoadOptions load = LoadOptions.defaults().withPrecision(precision).withDevice(device.checked());
        try (Pipeline pipeline = task.open(id, PipelineOptions.DEFAULT.withLoad(load))) {
            PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
            TextGenerationPipeline generator = (TextGenerationPipeline) pipeline;
            if (!generator.chats()) {
                System.err.println("headstart chat: " + id
                        + " has no chat template: it does not answer, it goes on with the text of the conversation");
            }
            boolean terminal = TransferProgress.onTerminal();
            try (Lines lines = terminal ? Lines.typed() : Lines.piped()) {
                converse(generator, arguments, out, lines, terminal);
            }
        } catch (IOException e) {
            throw new HeadstartException("stdin: " + e.getMessage(), e);
        }
    }

    private static Map<String, String> assistant(CharSequence answer) {
        return Map.of("role", "assistant", "content", answer.toString());
    }

    /** Thrown out of a stream that shall end here. */
    private static final class Stopped extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    private void converse(
            TextGenerationPipeline pipeline, ObjectNode arguments, PrintStream out, Lines lines, boolean terminal)
            throws IOException {
        List<Map<String, String>> messages = begin();
        for (String line = ask(lines); line != null; line = ask(lines)) {
            if (line.equals("/exit")) {
                return;
            }
            if (line.equals("/reset")) {
                messages = begin();
            } else if (!line.isBlank()) {
                messages.add(Map.of("role", "user", "content", line));
                StringBuilder answer = new StringBuilder();
                Consumer<String> show = piece -> {
                    answer.append(piece);
                    out.print(piece);
                    out.flush();
                    if (lines.interrupted()) {
                        throw new Stopped();
                    }
                };
                try {
                    if (pipeline.chats()) {
                        pipeline.chat(fitting(pipeline, messages, arguments), arguments, show);
                    } else {
                        goOn(pipeline, messages, arguments, show);
                    }
                    messages.add(assistant(answer));
                } catch (Stopped e) { // what was said so far stays
                    messages.add(assistant(answer));
                } catch (HeadstartException e) {
                    if (!terminal) {
                        throw e;
                    }
                    System.err.println(
                            "headstart chat: " + e.getMessage()); // the conversation goes on without this line
                    messages.remove(messages.size() - 1);
                }
                out.println();
            }
        }
    }

    /** Forgets the oldest exchanges, not what the model is told before them, until the answer has room. */
    private List<Map<String, String>> fitting(
            TextGenerationPipeline pipeline, List<Map<String, String>> messages, ObjectNode arguments) {
        int first = system == null ? 0 : 1;
        boolean forgot = false;
        while (messages.size() > first + 2 && !pipeline.hasRoom(messages, arguments)) {
            messages.subList(first, first + 2).clear();
            forgot = true;
        }
        if (forgot) {
            System.err.println(
                    "headstart chat: the conversation is longer than the model reads; its beginning is forgotten");
        }
        return messages;
    }

    /** What a model without a chat template makes of the conversation: more of the same text, cut at its beginning where it is too long. */
    private static void goOn(
            TextGenerationPipeline pipeline,
            List<Map<String, String>> messages,
            ObjectNode arguments,
            Consumer<String> show) {
        StringBuilder text = new StringBuilder();
        for (Map<String, String> message : messages) {
            boolean answer = "assistant".equals(message.get("role"));
            text.append(text.isEmpty() || answer ? "" : "\n").append(message.get("content"));
        }
        ObjectNode call = arguments.deepCopy().put("return_full_text", false);
        if (!call.has("handle_long_generation")) {
            call.put("handle_long_generation", "hole");
        }
        if (!call.has("max_new_tokens") && !call.has("max_length")) {
            call.put("max_new_tokens", Math.min(256, pipeline.contextLength() / 2));
        }
        pipeline.stream(text.toString(), call, show);
    }

    private List<Map<String, String>> begin() {
        List<Map<String, String>> messages = new ArrayList<>();
        if (system != null) {
            messages.add(Map.of("role", "system", "content", system));
        }
        return messages;
    }

    private static @Nullable String ask(Lines lines) throws IOException {
        StringBuilder whole = new StringBuilder();
        while (true) {
            String line = lines.read(whole.isEmpty() ? "> " : ". ");
            if (lines.interrupted()) {
                return ""; // what was typed before is thrown away too
            }
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
