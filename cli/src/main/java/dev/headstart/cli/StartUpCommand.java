package dev.headstart.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.LoadOptions;
import dev.headstart.io.Safetensors;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import picocli.CommandLine.Command;

/**
 * Loads the classes that most commands load, by running a few of them on a tiny model with random weights and throwing away what they print. The
 * launcher runs it once, in the background, to make its class-data-sharing archive.
 */
@Command(name = "start-up", hidden = true)
final class StartUpCommand implements Callable<Integer> {
    private static final List<String> VOCABULARY =
            List.of("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "word", "##s", ".");

    @Override
    public Integer call() throws IOException {
        Path folder = Files.createTempDirectory("headstart-start-up");
        PrintStream out = System.out;
        try (PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8)) {
            System.setOut(nowhere);
            Path model = makeModel(folder);
            for (List<String> arguments : List.of(
                    List.of("--help"),
                    List.of("doctor", "--json"),
                    List.of(
                            "forward",
                            "--model",
                            model.toString(),
                            "--inputs",
                            folder.resolve("inputs.safetensors").toString(),
                            "--outputs",
                            folder.resolve("outputs.safetensors").toString(),
                            "--output-hidden-states"),
                    List.of(
                            "tokenize",
                            "--model",
                            model.toString(),
                            "--json",
                            "--file",
                            folder.resolve("texts.jsonl").toString()),
                    List.of("run", "fill-mask", "--model", model.toString(), "--json", "a [MASK]."))) {
                HeadstartCommand.execute(nowhere, nowhere, arguments.toArray(String[]::new));
            }
        } finally {
            System.setOut(out);
            try (Stream<Path> files = Files.walk(folder)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) Files.delete(file);
            }
        }
        return 0;
    }

    private static Path makeModel(Path folder) throws IOException {
        ObjectNode config = new ObjectMapper().createObjectNode();
        config.put("model_type", "bert")
                .put("vocab_size", VOCABULARY.size())
                .put("hidden_size", 8)
                .put("num_hidden_layers", 1)
                .put("num_attention_heads", 2)
                .put("intermediate_size", 8)
                .put("max_position_embeddings", 16);
        Path model = Files.createDirectory(folder.resolve("model"));
        try (PreTrainedModel<?> random =
                Models.fromConfig(new ConfigJson(config, "config.json"), "BertForMaskedLM", LoadOptions.defaults())) {
            random.savePretrained(model);
        }
        Files.write(model.resolve("vocab.txt"), VOCABULARY);
        Files.writeString(folder.resolve("texts.jsonl"), "{\"text\": \"a word.\", \"text_pair\": \"words\"}\n");
        try (PointerScope scope = new PointerScope()) {
            Safetensors.write(
                    folder.resolve("inputs.safetensors"),
                    Map.of("input_ids", Tensor.create(new long[] {2, 5, 4, 3}).view(1, 4)));
        }
        return model;
    }
}
