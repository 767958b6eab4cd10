package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.cli.HeadstartCommandTest.Result;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PretrainCommandTest {
    @TempDir
    Path dir;

    private Path text(String name, String sentence) throws IOException {
        return Files.writeString(dir.resolve(name), (sentence + "\n").repeat(80));
    }

    /** The card names every file of the data by its last name, and no folder of this machine. */
    @Test
    void theCardHoldsTheCommandAsTyped() throws IOException {
        Path one = text("one.txt", "Anna walked to the sea and went home.");
        Path two = text("two.txt", "Bruno walked to the mill and stayed there.");
        Path out = dir.resolve("out");
        Result result = HeadstartCommandTest.run(
                "pretrain",
                "--objective",
                "mlm",
                "--init",
                "local",
                "--data",
                one + "," + two,
                "--output",
                out.toString(),
                "--config-overrides",
                "hidden_size=32,num_hidden_layers=1,num_attention_heads=2,intermediate_size=64",
                "--vocab-size",
                "120",
                "--block-size",
                "16",
                "--max-steps",
                "2",
                "--validation-split",
                "0.2");
        assertThat(result.err()).doesNotContain("\tat ");
        assertThat(result.code()).isZero();
        assertThat(out.resolve("README.md"))
                .content()
                .contains("headstart pretrain --objective mlm --init local --data one.txt,two.txt --output out")
                .doesNotContain(dir.toString());
    }
}
