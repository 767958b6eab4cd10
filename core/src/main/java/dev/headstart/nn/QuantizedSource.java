package dev.headstart.nn;

import dev.headstart.HeadstartException;
import dev.headstart.io.TensorInfo;
import dev.headstart.io.TensorSource;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A checkpoint with quantized weights, seen as a plain one: what is stored as {@code x.weight_int8} and {@code x.weight_scale}, or {@code x.weight_int4},
 * {@code x.weight_scale} and {@code x.weight_zero} ({@link QuantizedWeight}), is {@code x.weight} in fp32. Weights that the model keeps as [in, out]
 * (GPT-2) have {@code _t} at the end of the name of their values.
 */
public final class QuantizedSource implements TensorSource {
    private static final List<String> KINDS = List.of("_int8", "_int8_t", "_int4", "_int4_t");

    private final TensorSource stored;
    private final Map<String, String> values = new LinkedHashMap<>(); // x.weight -> x.weight_int4
    private final Set<String> names = new LinkedHashSet<>();

    /** @param stored the file's own tensors; closed with this */
    public QuantizedSource(TensorSource stored) {
        this.stored = stored;
        for (String name : stored.names()) {
            for (String kind : KINDS) {
                if (name.endsWith(kind)) {
                    values.put(name.substring(0, name.length() - kind.length()), name);
                }
            }
        }
        for (String name : stored.names()) {
            if (values.containsValue(name)) {
                String plain = name.replaceFirst("_int[48](_t)?$", "");
                require(plain + "_scale");
                if (bits(name) == 4) {
                    require(plain + "_zero");
                }
                names.add(plain);
            } else if (!values.containsKey(name.replaceFirst("_(scale|zero)$", ""))) {
                names.add(name);
            }
        }
    }

    private void require(String name) {
        if (!stored.names().contains(name)) {
            throw new HeadstartException(stored.fileOf(stored.names().iterator().next()) + ": tensor " + name
                    + " is missing beside the quantized values; quantize the model again");
        }
    }

    private static int bits(String name) {
        return name.contains("_int4") ? 4 : 8;
    }

    /** The names under which a weight is stored, and its tensors. @param transposed whether the model keeps it as [in, out] */
    public static Map<String, Tensor> tensors(String name, QuantizedWeight w, boolean transposed) {
        Map<String, Tensor> all = new LinkedHashMap<>();
        all.put(name + "_int" + w.bits() + (transposed ? "_t" : ""), w.values());
        all.put(name + "_scale", w.scales());
        Tensor zeros = w.zeros();
        if (zeros != null) {
            all.put(name + "_zero", zeros);
        }
        return all;
    }

    /** The bits of one weight, [out, in] whichever way the model keeps it; null where it is plain. Made in the caller's scope. */
    public @Nullable QuantizedWeight quantized(String name) {
        String in = values.get(name);
        if (in == null) {
            return null;
        }
        QuantizedWeight w = new QuantizedWeight(
                Memory.handOver(stored.tensor(in)),
                Memory.handOver(stored.tensor(name + "_scale")),
                bits(in) == 4 ? Memory.handOver(stored.tensor(name + "_zero")) : null);
        Tensor zeros = w.zeros();
        boolean fits =
                w.values().dim() == (zeros == null && stored.info(in).shape().size() == 4 ? 4 : 2)
                        && Ops.type(w.values()) == (zeros == null ? ScalarType.Char : ScalarType.Byte)
                        && w.scales().size(0) == w.out()
                        && (zeros == null
                                ? w.scales().dim() == 1
                                : w.scales().dim() == 2
                                        && zeros.dim() == 2
                                        && zeros.size(0) == w.out()
                                        && zeros.size(1) == w.scales().size(1)
                                        && w.scales().size(1) > 0
                                        && w.in() % w.scales().size(1) == 0
                                        && List.of(32L, 64L, 128L, 256L).contains(w.group()));
        if (!fits) {
            throw new HeadstartException(stored.fileOf(in) + ": tensor " + in
                    + " and its scales do not fit together; quantize the model again");
        }
        return w;
    }

    @Override
    public Set<String> names() {
        return names;
    }

    @Override
    public TensorInfo info(String name) {
        String in = values.get(name);
        if (in == null) {
            return stored.info(name);
        }
        List<Long> shape = stored.info(in).shape();
        if (shape.size() != 2) { // convolutions: [out, in, kernel, kernel]
            return new TensorInfo("F32", shape);
        }
        long rows = shape.get(0);
        long columns = shape.get(1) * (bits(in) == 4 ? 2 : 1);
        return new TensorInfo("F32", in.endsWith("_t") ? List.of(columns, rows) : List.of(rows, columns));
    }

    @Override
    public Tensor tensor(String name) {
        String in = values.get(name);
        if (in == null) {
            return stored.tensor(name);
        }
        return Memory.scoped(() -> {
            QuantizedWeight w = Objects.requireNonNull(quantized(name));
            Tensor plain = w.dequantized(ScalarType.Float);
            return in.endsWith("_t") ? plain.t().contiguous() : plain;
        });
    }

    @Override
    public String fileOf(String name) {
        return stored.fileOf(values.getOrDefault(name, name));
    }

    @Override
    public void close() {
        stored.close();
    }
}
