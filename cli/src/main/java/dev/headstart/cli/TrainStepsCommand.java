package dev.headstart.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.train.TrainSteps;
import java.nio.file.Path;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Training steps on given batches: the entry point for conformance with other implementations. Always fp32. */
@Command(
        name = "train-steps",
        description =
                "Trains on the batches of a conformance case, prints the losses and writes the weights after (raw; for comparisons with other implementations).")
final class TrainStepsCommand implements Runnable {

    @Option(names = "--model", required = true, paramLabel = "ID", description = "Folder or id.")
    private String model = "";

    @Option(
            names = "--case",
            required = true,
            paramLabel = "FILE",
            description = "case.json whose object \"train\" says what to do.")
    private Path file = Path.of("");

    @Option(
            names = "--outputs",
            required = true,
            paramLabel = "FILE",
            description = "safetensors to write: parameters and buffers after the steps.")
    private Path outputs = Path.of("");

    @Override
    public void run() {
        ObjectNode result = new ObjectMapper().createObjectNode();
        TrainSteps.run(model, file, outputs).forEach(result.putArray("losses")::add);
        System.out.println(result);
    }
}
