package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.LoadOptions;
import dev.headstart.nn.Autocast;
import dev.headstart.nn.Processor;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Training of a ResNet under autocast in oneDNN's own order of activations, beside that in the ordinary one, which hidden states ask for. */
class BlockedTrainingTest {
    /** Channels that fill no block, too. */
    private static PreTrainedModel<?> model(String more) {
        String json =
                "{\"model_type\": \"resnet\", \"embedding_size\": 16, \"hidden_sizes\": [40, 64], \"depths\": [2, 2], \"num_labels\": 5, "
                        + more + "}";
        try {
            return Models.fromConfig(
                    new ConfigJson((ObjectNode) new ObjectMapper().readTree(json), "test"),
                    "ResNetForImageClassification",
                    LoadOptions.defaults().withDevice("cpu").withSeed(3));
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** Loss, gradients and running statistics after one step's forward and backward. @param type bfloat16: fp32 under autocast */
    private static Map<String, float[]> pass(String more, boolean plain, String type, String... frozen) {
        boolean bf16 = type.equals("bfloat16");
        try (PointerScope scope = new PointerScope();
                PreTrainedModel<?> model = model(more)) {
            for (String prefix : frozen) {
                model.freeze(prefix, true);
            }
            model.layOutForTraining(bf16);
            model.train();
            torch.manual_seed(9);
            Inputs in = Inputs.of(Map.of("pixel_values", torch.randn(6, 3, 40, 40), "labels", Tensors.int64(new long[] {
                        0, 1, 2, 3, 4, 0
                    })))
                    .withHiddenStates(plain);
            Tensor loss;
            try (@Nullable Autocast cast = bf16 ? new Autocast(DeviceType.CPU) : null) {
                loss = Objects.requireNonNull(model.forward(in).tensors().get("loss"));
                assertThat(torch.is_autocast_enabled(DeviceType.CPU)).isEqualTo(bf16);
            }
            loss.backward();
            Map<String, float[]> all = new LinkedHashMap<>();
            all.put("loss", new float[] {loss.item_float()});
            model.namedParameters().forEach((name, p) -> {
                Tensor t = p.isBuffer() ? p.tensor() : p.tensor().grad();
                if (t.defined()) {
                    all.put(name, Tensors.floats(t.to(torch.ScalarType.Float).contiguous()));
                }
            });
            return all;
        }
    }

    private static double error(Map<String, float[]> expected, Map<String, float[]> found, String name) {
        float[] a = Objects.requireNonNull(expected.get(name), name), b = Objects.requireNonNull(found.get(name), name);
        assertThat(b).as(name).hasSameSizeAs(a);
        double difference = 0, size = 0;
        for (int i = 0; i < a.length; i++) {
            difference += (double) (a[i] - b[i]) * (a[i] - b[i]);
            size += (double) a[i] * a[i];
        }
        return Math.sqrt(difference / size);
    }

    /** Every kind of block and stem that oneDNN's order takes. */
    static final String BASIC = "\"layer_type\": \"basic\"", BOTTLENECK = "\"layer_type\": \"bottleneck\"";

    /** In bf16 the gradients of either order are as far from those of fp32 as those of the other, and running statistics as near. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                BASIC,
                BOTTLENECK,
                BOTTLENECK + ", \"bottleneck_sizes\": [32, 32], \"groups\": 8",
                BASIC + ", \"stem\": \"cifar\"",
                BASIC + ", \"stem\": \"deep\", \"stem_sizes\": [8, 24]"
            })
    void bf16IsAsGoodAsInThePlainOrder(String more) {
        assumeTrue(Processor.current().fastBf16());
        Map<String, float[]> exact = pass(more, true, "float32");
        Map<String, float[]> plain = pass(more, true, "bfloat16"), blocked = pass(more, false, "bfloat16");
        assertThat(blocked.keySet()).isEqualTo(plain.keySet()).isEqualTo(exact.keySet());
        assertThat(plain.keySet()).anyMatch(name -> name.endsWith("running_var"));
        double sum = 0, sumBlocked = 0;
        for (String name : exact.keySet()) {
            double usual = error(exact, plain, name), error = error(exact, blocked, name);
            assertThat(error).as(name).isLessThan(Math.max(0.02, 1.2 * usual));
            sum += usual;
            sumBlocked += error;
        }
        assertThat(sumBlocked).isLessThan(sum * 1.1).isNotEqualTo(sum);
    }

    /** fp32 is bit for bit what it is where hidden states ask for the plain order; and so are frozen normalizations, shortcuts that oneDNN's order has not, and evaluation. */
    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                BASIC + ";float32;",
                BOTTLENECK + ";float32;",
                BASIC + ";bfloat16;resnet.encoder.stages.0.",
                BASIC + ", \"shortcut\": \"A\";bfloat16;"
            })
    void elsewhereThePlainOrderStays(String more, String type, @Nullable String frozen) {
        String[] prefixes = frozen == null ? new String[0] : new String[] {frozen};
        Map<String, float[]> plain = pass(more, true, type, prefixes), again = pass(more, false, type, prefixes);
        assertThat(again.keySet()).isEqualTo(plain.keySet());
        plain.forEach((name, values) -> assertThat(again.get(name)).as(name).containsExactly(values));
    }
}
