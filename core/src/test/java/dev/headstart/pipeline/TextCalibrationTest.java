package dev.headstart.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.ModelFolder;
import dev.headstart.models.FreshModel;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Quantization;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TextCalibrationTest {
    @TempDir
    private Path folder;

    private Path model(String architecture, String config) throws IOException {
        return FreshModel.write(folder.resolve(architecture), architecture, config);
    }

    private Path gpt2() throws IOException {
        return model(
                "GPT2LMHeadModel",
                "{\"model_type\": \"gpt2\", \"initializer_range\": 0.1, \"vocab_size\": 100, \"n_embd\": 64, \"n_layer\": 1,"
                        + " \"n_head\": 2, \"n_positions\": 32, \"bos_token_id\": 0, \"eos_token_id\": 0}");
    }

    private byte[] written(Path plain, String name, @Nullable Consumer<PreTrainedModel<?>> examples)
            throws IOException {
        Path out = folder.resolve(name);
        Quantization.write(new ModelFolder(name, plain, false), 4, 32, out, examples);
        return Files.readAllBytes(out.resolve("model.safetensors"));
    }

    @Test
    void theModelsOwnTextIsAlwaysTheSame() throws IOException {
        Path plain = gpt2();
        byte[] first = written(plain, "first", TextCalibration.ownText(plain, 1));
        assertThat(written(plain, "again", TextCalibration.ownText(plain, 1))).isEqualTo(first);
        assertThat(written(plain, "other", TextCalibration.ownText(plain, 2))).isNotEqualTo(first);
        assertThat(written(plain, "alone", null)).isNotEqualTo(first);
    }

    @Test
    void aModelThatDoesNotContinueTextsWritesNone() throws IOException {
        String sizes = "\"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 1, \"num_attention_heads\": 2,"
                + " \"intermediate_size\": 128}";
        Path bert = model("BertForMaskedLM", "{\"model_type\": \"bert\", " + sizes);
        assertThat(TextCalibration.ownText(bert, 1)).isNull();
        Path quantized = folder.resolve("quantized");
        Path plain = gpt2();
        Quantization.write(new ModelFolder("x", plain, false), 8, 32, quantized, null);
        assertThat(TextCalibration.ownText(quantized, 1)).isNull();
    }

    @Test
    void aTextMustBeLongEnough() throws IOException {
        Path folder = Shared.repositoryRoot().resolve("core/src/test/resources/tokenizers/llama-json");
        try (PreTrainedModel<?> model =
                Models.fromPretrained(gpt2().toString(), LoadOptions.defaults().withDevice("cpu"))) {
            assertThatThrownBy(() -> TextCalibration.of(folder, "a").accept(model))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("at least 32");
        }
    }
}
