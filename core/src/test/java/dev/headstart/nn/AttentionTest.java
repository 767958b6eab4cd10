package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What training in bfloat16 computes beside what it computes in fp32. */
class AttentionTest {
    private static final int B = 2, H = 3, D = 16;
    private final Dropout none = new ModelState().dropout(0);

    private static Tensor[] leaves(int length) {
        torch.manual_seed(3);
        Tensor[] qkv = new Tensor[3];
        for (int i = 0; i < 3; i++) {
            qkv[i] = torch.randn(B, H, length, D);
            qkv[i].set_requires_grad(true);
        }
        return qkv;
    }

    /** The result and the gradients of query, key and value. */
    private List<Tensor> attend(int length, @Nullable Tensor mask, boolean bf16) {
        Tensor[] qkv = leaves(length);
        List<Tensor> found = new ArrayList<>();
        try (@Nullable Autocast cast = bf16 ? new Autocast(DeviceType.CPU) : null) {
            Tensor[] in = new Tensor[3];
            for (int i = 0; i < 3; i++) {
                in[i] = bf16 ? qkv[i].to(ScalarType.BFloat16) : qkv[i];
            }
            Tensor y = Attention.attend(in[0], in[1], in[2], mask, 0.25, none, new Trace(!bf16, !bf16));
            found.add(y.detach().to(ScalarType.Float));
            y.to(ScalarType.Float).square().sum().backward();
        }
        for (Tensor t : qkv) {
            found.add(t.grad());
        }
        return found;
    }

    private static double difference(Tensor a, Tensor b) {
        return a.sub(b).norm().item_double() / b.norm().item_double();
    }

    @ParameterizedTest
    @ValueSource(ints = {24, 80}) // fewer keys than from which the softmax is in bfloat16, and more
    void inBfloat16ItIsTheSameToWithinRounding(int length) {
        try (PointerScope scope = new PointerScope()) {
            long[] counts = new long[B * length];
            java.util.Arrays.fill(counts, 0, length + length / 2, 1); // the second text is half as long
            Tensor mask = Attention.additiveMask(Tensor.create(counts).view(B, length), ScalarType.Float);
            assertThat(mask).isNotNull();
            List<Tensor> exact = attend(length, mask, false);
            List<Tensor> rounded = attend(length, mask, true);
            for (int i = 0; i < exact.size(); i++) {
                assertThat(difference(rounded.get(i), exact.get(i))).isLessThan(0.02);
            }
            Tensor padding = rounded.get(2).select(0, 1).narrow(1, length / 2, length - length / 2);
            assertThat(padding.abs().max().item_double()).isZero(); // no gradient into keys that may not be seen
        }
    }

    @Test
    void aTextWithoutTokensGivesNumbers() {
        try (PointerScope scope = new PointerScope()) {
            long[] counts = new long[B * 80];
            java.util.Arrays.fill(counts, 0, 80, 1);
            Tensor mask = Attention.additiveMask(Tensor.create(counts).view(B, 80), ScalarType.Float);
            for (Tensor t : attend(80, mask, true)) {
                assertThat(t.isfinite().all().item_bool()).isTrue();
            }
        }
    }

    @Test
    void queryKeyAndValueRoundTheirInputOnce() {
        try (PointerScope scope = new PointerScope()) {
            torch.manual_seed(4);
            Linear[] layers = new Linear[3];
            for (int i = 0; i < 3; i++) {
                Parameter weight = new Parameter("w" + i, torch.randn(8, 8), false, false, false);
                weight.tensor().set_requires_grad(true);
                layers[i] = new Linear("l" + i, weight, null, false);
            }
            Tensor x = torch.randn(2, 5, 8);
            x.set_requires_grad(true);
            Tensor[] together;
            Tensor[] apart = new Tensor[3];
            try (Autocast cast = new Autocast(DeviceType.CPU)) {
                together = Linear.forAttention(x, false, layers);
                for (int i = 0; i < 3; i++) {
                    apart[i] = layers[i].forward(x);
                }
            }
            for (int i = 0; i < 3; i++) {
                assertThat(Ops.type(together[i])).isEqualTo(ScalarType.BFloat16);
                assertThat(together[i].equal(apart[i])).isTrue();
            }
            together[0].add(together[1]).add(together[2]).sum().backward();
            Tensor first = x.grad().clone();
            x.mutable_grad().reset();
            apart[0].add(apart[1]).add(apart[2]).sum().backward();
            assertThat(difference(first, x.grad())).isLessThan(0.01);
            Tensor plain = Linear.forAttention(x, false, layers)[0]; // elsewhere nothing is rounded
            assertThat(Ops.type(plain)).isEqualTo(ScalarType.Float);
        }
    }
}
