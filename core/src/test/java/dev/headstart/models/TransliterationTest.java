package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.offset;

import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.generation.GenerationOutput;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.io.Safetensors;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A real encoder-decoder, trained by others with other software (Arabic letters to Latin ones), writes the strings that its authors' tests expect. */
class TransliterationTest {
    private static final int LAYERS = 6;

    @TempDir
    private static Path folder;

    private static List<String> source = List.of();
    private static List<String> target = List.of();
    private static float[] bias = new float[0];

    /** The weights of CTranslate2's file, version 2, under M2M-100's names: one table of both vocabularies, the target's behind the source's. */
    @BeforeAll
    static void convert() throws IOException {
        Path original =
                Shared.root().resolve("data/weights-ctranslate2-transliteration/models/v2/aren-transliteration");
        Assumptions.assumeTrue(Files.isDirectory(original), "shared data sets are not there");
        source = vocabulary(original.resolve("source_vocabulary.txt"));
        target = vocabulary(original.resolve("target_vocabulary.txt"));
        try (PointerScope scope = new PointerScope()) {
            Map<String, Tensor> in = read(original.resolve("model.bin"));
            Map<String, Tensor> out = new LinkedHashMap<>();
            Tensor table = torch.zeros(new long[] {source.size() + target.size(), 32});
            table.narrow(0, 0, source.size()).copy_(get(in, "encoder/embeddings/weight"));
            table.narrow(0, source.size(), target.size()).copy_(get(in, "decoder/embeddings/weight"));
            Tensor head = torch.zeros(table.shape());
            head.narrow(0, source.size(), target.size()).copy_(get(in, "decoder/projection/weight"));
            out.put("model.shared.weight", table);
            out.put("lm_head.weight", head);
            bias = Tensors.floats(get(in, "decoder/projection/bias"));
            for (String side : List.of("encoder", "decoder")) {
                norm(in, out, side + "/layer_norm", "model." + side + ".layer_norm");
                for (int i = 0; i < LAYERS; i++) {
                    String from = side + "/layer_" + i + "/";
                    String to = "model." + side + ".layers." + i + ".";
                    norm(in, out, from + "self_attention/layer_norm", to + "self_attn_layer_norm");
                    linear(in, out, from + "self_attention/linear_0", to + "self_attn.", "q_proj", "k_proj", "v_proj");
                    linear(in, out, from + "self_attention/linear_1", to + "self_attn.", "out_proj");
                    if (side.equals("decoder")) {
                        norm(in, out, from + "attention/layer_norm", to + "encoder_attn_layer_norm");
                        linear(in, out, from + "attention/linear_0", to + "encoder_attn.", "q_proj");
                        linear(in, out, from + "attention/linear_1", to + "encoder_attn.", "k_proj", "v_proj");
                        linear(in, out, from + "attention/linear_2", to + "encoder_attn.", "out_proj");
                    }
                    norm(in, out, from + "ffn/layer_norm", to + "final_layer_norm");
                    linear(in, out, from + "ffn/linear_0", to, "fc1");
                    linear(in, out, from + "ffn/linear_1", to, "fc2");
                }
            }
            Safetensors.write(folder.resolve("model.safetensors"), out);
        }
        Files.writeString(folder.resolve("config.json"), """
                {"model_type": "m2m_100", "architectures": ["M2M100ForConditionalGeneration"], "vocab_size": %d, "d_model": 32,
                 "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8, "decoder_attention_heads": 8,
                 "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "activation_function": "relu", "scale_embedding": true,
                 "max_position_embeddings": 64, "tie_word_embeddings": false,
                 "pad_token_id": 0, "bos_token_id": %d, "eos_token_id": %d, "decoder_start_token_id": %d}
                """.formatted(
                        source.size() + target.size(), source.size() + 1, source.size() + 2, source.size() + 1));
    }

    /** The file's words, and behind them the one for unknown words, which has a row in the tables only. */
    private static List<String> vocabulary(Path file) throws IOException {
        List<String> words = new ArrayList<>(Files.readAllLines(file));
        words.add("<unk>");
        return words;
    }

    private static Map<String, Tensor> read(Path file) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        assertThat(in.getInt()).isEqualTo(2);
        text(in);
        in.getInt(); // revision
        int count = in.getInt();
        Map<String, Tensor> all = new LinkedHashMap<>();
        for (int i = 0; i < count; i++) {
            String name = text(in);
            long[] shape = new long[in.get()];
            for (int d = 0; d < shape.length; d++) {
                shape[d] = in.getInt();
            }
            int size = in.get();
            int items = in.getInt();
            if (size == 4) {
                float[] values = new float[items];
                in.slice().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
                all.put(name, Tensor.create(values, shape));
            }
            in.position(in.position() + size * items);
        }
        return all;
    }

    private static String text(ByteBuffer in) {
        byte[] bytes = new byte[in.getShort()];
        in.get(bytes);
        return new String(bytes, 0, bytes.length - 1, StandardCharsets.UTF_8);
    }

    private static Tensor get(Map<String, Tensor> in, String name) {
        return Objects.requireNonNull(in.get(name), name);
    }

    private static void norm(Map<String, Tensor> in, Map<String, Tensor> out, String from, String to) {
        out.put(to + ".weight", get(in, from + "/gamma"));
        out.put(to + ".bias", get(in, from + "/beta"));
    }

    /** One layer, or several that lie one below the other. */
    private static void linear(
            Map<String, Tensor> in, Map<String, Tensor> out, String from, String to, String... names) {
        for (String kind : List.of("weight", "bias")) {
            Tensor all = get(in, from + "/" + kind);
            long rows = all.size(0) / names.length;
            for (int i = 0; i < names.length; i++) {
                out.put(
                        to + names[i] + "." + kind,
                        all.narrow(0, i * rows, rows).clone());
            }
        }
    }

    private record Written(String text, double logProbability) {}

    private static Written write(String word, int beams) {
        try (PreTrainedModel<?> model = Models.fromPretrained(
                        folder.toString(), LoadOptions.defaults().withDevice("cpu"));
                PointerScope scope = new PointerScope()) {
            long[] ids = word.codePoints()
                    .mapToLong(c -> source.indexOf(Character.toString(c)))
                    .toArray();
            float[] added = new float[source.size() + target.size()];
            Arrays.fill(added, 0, source.size(), Float.NEGATIVE_INFINITY);
            System.arraycopy(bias, 0, added, source.size(), bias.length);
            Tensor add = Tensor.create(added, 1, added.length);
            GenerationOutput out = Generation.of((GenerativeModel) model)
                    .inputs(Map.of("input_ids", Tensor.create(ids, 1, ids.length)))
                    .with("num_beams", beams)
                    .with("max_new_tokens", 20)
                    .with("output_scores", true)
                    .processor((rows, scores) -> scores.add(add).log_softmax(-1))
                    .generate();
            StringBuilder text = new StringBuilder();
            long[] row = out.sequences()[0];
            for (int i = out.promptLength(); i < row.length && row[i] != source.size() + 2; i++) {
                text.append(target.get((int) row[i] - source.size()));
            }
            double sum = 0;
            float[][] steps = out.tokenLogProbabilities();
            if (steps != null) {
                for (float p : steps[0]) {
                    sum += p;
                }
            }
            return new Written(text.toString(), sum);
        }
    }

    @Test
    void writesWhatItsAuthorsExpect() {
        Written atzmon = write("آتزمون", 1);
        assertThat(atzmon.text()).isEqualTo("atzmon");
        assertThat(atzmon.logProbability()).isCloseTo(-1.0617, offset(1e-3));
        Written azza = write("آزا", 1);
        assertThat(azza.text()).isEqualTo("azza");
        assertThat(azza.logProbability()).isCloseTo(-0.7546, offset(1e-3));
    }
}
