package dev.headstart.nn;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** What came into Linear layers while a model ran: how large each input is, and which come together. Layers with 4 bits are fitted to it ({@link QuantizedWeight}). */
public final class InputProducts implements AutoCloseable {
    private final Map<Linear, Sum> sums = new LinkedHashMap<>(); // one for layers that are joined

    private InputProducts() {}

    /**
     * Measures.
     *
     * @param layers with plain kernels
     * @param body runs the model on examples, without gradients; not at all where there are no layers
     */
    public static InputProducts of(List<Linear> layers, Runnable body) {
        InputProducts products = new InputProducts();
        if (layers.isEmpty()) {
            return products;
        }
        layers.forEach(l -> products.sums.computeIfAbsent(first(l), any -> new Sum()));
        Natives.blasThreads(true);
        boolean done = false;
        try {
            products.sums.forEach((layer, sum) -> layer.observe(sum::add));
            body.run();
            done = true;
        } finally {
            products.sums.keySet().forEach(l -> l.observe(null));
            if (!done) {
                products.close();
            }
        }
        return products;
    }

    /** Elements that the products of a layer's inputs take. */
    public static long size(Linear layer) {
        return first(layer) == layer ? layer.in() * layer.in() : 0;
    }

    private static Linear first(Linear layer) {
        return layer.joined().isEmpty() ? layer : layer.joined().get(0);
    }

    /** The sum of x^T x over all rows that came, fp32 [in, in]; null for a layer that was not used. It belongs to this. */
    public @Nullable Tensor of(Linear layer) {
        Sum sum = sums.get(first(layer));
        return sum == null ? null : sum.value;
    }

    @Override
    public void close() {
        sums.values().forEach(s -> Memory.close(s.value));
        sums.clear();
    }

    private static final class Sum {
        private @Nullable Tensor value;

        /** @param x [..., in] */
        void add(Tensor x) {
            Memory.scoped(() -> {
                Tensor rows = x.detach().reshape(-1, x.size(-1)).to(ScalarType.Float); // [n, in]
                Tensor before = value;
                if (before == null) {
                    value = Memory.keep(rows.t().mm(rows));
                } else {
                    before.addmm_(rows.t(), rows);
                }
            });
        }
    }
}
