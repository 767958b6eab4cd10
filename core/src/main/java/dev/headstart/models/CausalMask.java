package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.constant_pad_nd;

import dev.headstart.generation.KvCache;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Ops;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.function.IntPredicate;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** Which tokens a decoder's tokens may see, for each sliding window that the layers use. */
interface CausalMask {
    /** @param window tokens that may be seen, the token itself included; 0 for all. @return additive, [B or 1, 1, Sq, Sk], or null for no limit */
    @Nullable
    Tensor of(int window);

    /** Whether that mask hides what comes after each token and nothing else, on a GPU, whose kernels know that by themselves. */
    default boolean causal(int window) {
        return false;
    }

    /** Inside a generation: what the cache's rows hold. */
    static CausalMask of(KvCache cache, ScalarType type) {
        return known(window -> cache.mask(window, type), cache::causal);
    }

    private static CausalMask known(IntFunction<@Nullable Tensor> mask, IntPredicate causal) {
        return new CausalMask() {
            @Override
            public @Nullable Tensor of(int window) {
                return mask.apply(window);
            }

            @Override
            public boolean causal(int window) {
                return causal.test(window);
            }
        };
    }

    /** {@link #of(Tensor, Tensor, boolean, Tensor)} of one text a row. */
    static CausalMask of(Tensor x, @Nullable Tensor padding, boolean both) {
        return of(x, padding, both, null);
    }

    /**
     * For a whole text, as transformers' eager masks: the lowest finite number where a token may not be seen (so that a row that sees nothing spreads
     * over all).
     *
     * @param x the embedded tokens, [B, S, E]
     * @param padding 1 for tokens that count, [B, S], or the whole additive mask, [B, 1, S, S], which is taken as it is; null when all count
     * @param both whether tokens see what follows them too (Gemma's embedding models)
     * @param packed positions, [B or 1, S], whose jumps separate texts that do not see each other; null for one text a row. Without padding only
     */
    static CausalMask of(Tensor x, @Nullable Tensor padding, boolean both, @Nullable Tensor packed) {
        if (padding != null && padding.dim() == 4) {
            return window -> padding;
        }
        Tensor at = Places.upTo(x.size(1), x);
        Tensor query = at.view(-1, 1); // [S, 1]
        Tensor key = at.view(1, -1); // [1, S]
        Tensor seen = padding == null || padding.min().item_long() != 0
                ? null
                : padding.ne(new Scalar(0)).view(padding.size(0), 1, 1, -1);
        Tensor apart = padding != null || packed == null ? null : apart(packed);
        Map<Integer, Tensor> made = new HashMap<>();
        long s = x.size(1);
        boolean triangle = x.is_cuda() && !both && seen == null && apart == null;
        IntPredicate causal = window -> triangle && (window == 0 || s <= window);
        IntFunction<@Nullable Tensor> mask = window -> made.computeIfAbsent(window, w -> {
            Tensor hidden = both ? torch.zeros_like(query.sub(key)).ne(new Scalar(0)) : key.gt(query); // [S, S]
            if (w > 0) {
                Tensor distance = both ? query.sub(key).abs() : query.sub(key);
                hidden = hidden.logical_or(distance.ge(new Scalar(w)));
            }
            if (seen != null) {
                hidden = hidden.logical_or(seen.logical_not()); // [B, 1, S, S]
            }
            if (apart != null) {
                hidden = hidden.logical_or(apart); // [B or 1, 1, S, S]
            }
            ScalarType type = Ops.type(x);
            return torch.zeros(hidden.shape(), Ops.options(type, x.device()))
                    .masked_fill_(hidden, new Scalar(Attention.lowest(type)))
                    .view(-1, 1, s, s);
        });
        return known(mask, causal);
    }

    /** True where two tokens belong to different texts (transformers find_packed_sequence_indices), [B or 1, 1, S, S]; null when there is one a row. */
    private static @Nullable Tensor apart(Tensor positions) {
        long s = positions.size(1);
        if (s < 2) {
            return null;
        }
        Tensor jump =
                positions.narrow(1, 1, s - 1).sub(positions.narrow(1, 0, s - 1)).ne(new Scalar(1)); // [B, S - 1]
        Tensor text = constant_pad_nd(jump.to(ScalarType.Long).cumsum(1), new long[] {1, 0}, new Scalar(0)); // [B, S]
        return text.max().item_long() == 0
                ? null
                : text.unsqueeze(2).ne(text.unsqueeze(1)).unsqueeze(1);
    }
}
