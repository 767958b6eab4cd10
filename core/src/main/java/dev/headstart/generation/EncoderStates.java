package dev.headstart.generation;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/**
 * Keys and values of cross attention, computed once a call and layer from the encoder's result, [P, H, T, D] for P prompts. Beams of one prompt read
 * the same memory: their queries are laid side by side ({@link #group}), the keys are not repeated. Belongs to one call.
 */
public final class EncoderStates implements AutoCloseable {
    private final @Nullable Tensor[] keys;
    private final @Nullable Tensor[] values;
    private final Map<String, Tensor> constants = new HashMap<>();
    private @Nullable Tensor mask;
    private int prompts;
    private int[] promptOf;

    /**
     * @param layers number of decoder layers
     * @param prompts number of prompts, which is also the number of rows to begin with
     * @param mask additive mask over the encoder's positions, [P, 1, 1, T], or null; kept until {@link #close}
     */
    public EncoderStates(int layers, int prompts, @Nullable Tensor mask) {
        this.keys = new Tensor[layers];
        this.values = new Tensor[layers];
        this.prompts = prompts;
        this.mask = mask == null ? null : kept(mask);
        this.promptOf = new int[prompts];
        Arrays.setAll(promptOf, i -> i);
    }

    private EncoderStates(EncoderStates like) {
        keys = new Tensor[0];
        values = new Tensor[0];
        mask = like.mask;
        prompts = like.prompts;
        promptOf = like.promptOf.clone();
    }

    /** The same rows and mask for layers that are computed twice: keys and values are made at every call, nothing is kept or to be closed. */
    public EncoderStates forgetful() {
        return new EncoderStates(this);
    }

    /** A layer's keys and values, made by {@code make} at the first call; [P, H, T, D]. */
    public KvCache.KeysValues of(int layer, Supplier<KvCache.KeysValues> make) {
        if (keys.length == 0) {
            return make.get();
        }
        Tensor k = keys[layer];
        Tensor v = values[layer];
        if (k == null || v == null) {
            KvCache.KeysValues made = make.get();
            k = kept(made.keys());
            v = kept(made.values());
            keys[layer] = k;
            values[layer] = v;
        }
        return new KvCache.KeysValues(k, v);
    }

    /** What is the same in every step of the call, made by {@code make} at the first; kept until {@link #close}. */
    public Tensor once(String name, Supplier<Tensor> make) {
        return constants.computeIfAbsent(name, n -> kept(make.get()));
    }

    /** The mask over the encoder's positions, [P, 1, 1, T], or null; it spreads over grouped queries. */
    public @Nullable Tensor mask() {
        return mask;
    }

    /** Lays the queries of a prompt's rows side by side: [R, H, S, D] to [P, H, R/P * S, D]. */
    public Tensor group(Tensor query) {
        long beams = query.size(0) / prompts;
        if (beams == 1) {
            return query;
        }
        long h = query.size(1);
        long s = query.size(2);
        long d = query.size(3);
        return query.reshape(prompts, beams, h, s, d).transpose(1, 2).reshape(prompts, h, beams * s, d);
    }

    /** The inverse of {@link #group}: [P, H, R/P * S, D] to [R, H, S, D]. */
    public Tensor ungroup(Tensor result, long rows) {
        long beams = rows / prompts;
        if (beams == 1) {
            return result;
        }
        long h = result.size(1);
        long s = result.size(2) / beams;
        long d = result.size(3);
        return result.reshape(prompts, h, beams, s, d).transpose(1, 2).reshape(rows, h, s, d);
    }

    /** Chooses the rows that go on, as {@link KvCache#select}. Nothing is copied while every prompt keeps the same number of neighbouring rows. */
    public void select(int[] sources) {
        int[] of = Arrays.stream(sources).map(s -> promptOf[s]).toArray();
        promptOf = of;
        int beams = of.length / prompts;
        boolean even = beams > 0 && of.length % prompts == 0;
        for (int i = 0; even && i < of.length; i++) {
            even = of[i] == i / beams;
        }
        if (!even) { // prompts left: from now on every row has its own
            try (PointerScope scope = new PointerScope()) {
                long[] at = Arrays.stream(of).asLongStream().toArray();
                mask = mask == null ? null : chosen(mask, at);
                for (@Nullable Tensor[] states : List.of(keys, values)) {
                    for (int i = 0; i < states.length; i++) {
                        states[i] = states[i] == null ? null : chosen(states[i], at);
                    }
                }
            }
            prompts = of.length;
            Arrays.setAll(promptOf, i -> i);
        }
    }

    private static Tensor chosen(Tensor t, long[] at) {
        if (t.size(0) == 1) {
            return t;
        }
        Tensor picked = kept(t.index_select(0, Tensor.create(at).to(t.device(), torch.ScalarType.Long)));
        t.close();
        return picked;
    }

    private static Tensor kept(Tensor t) {
        t.retainReference();
        return t;
    }

    @Override
    public void close() {
        constants.values().forEach(Tensor::close);
        constants.clear();
        if (mask != null) {
            mask.close();
            mask = null;
        }
        for (@Nullable Tensor[] states : List.of(keys, values)) {
            for (int i = 0; i < states.length; i++) {
                if (states[i] != null) {
                    states[i].close();
                    states[i] = null;
                }
            }
        }
    }
}
