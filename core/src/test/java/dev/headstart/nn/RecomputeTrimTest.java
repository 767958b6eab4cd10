package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** What lies free between the results that layers keep for their gradients goes back to the system while a large batch goes through them. */
@EnabledOnOs(OS.LINUX)
class RecomputeTrimTest {
    private static final long MEGABYTE = 1 << 20;

    @BeforeAll
    static void load() {
        Natives.load();
    }

    @Test
    void largeLayersOfTrainingGiveHolesBack() {
        try (PointerScope scope = new PointerScope()) {
            Tensor large = Ops.empty(ScalarType.Float, 1 << 23); // not touched
            Tensor small = Ops.empty(ScalarType.Float, 1 << 10);
            Tensor[] pieces = new Tensor[1000]; // of 100 kB, which the heap holds
            for (int i = 0; i < pieces.length; i++) {
                pieces[i] =
                        Memory.scoped(() -> Ops.empty(ScalarType.Float, 25_000).fill_(new Scalar(1.0)));
            }
            for (int i = 0; i < pieces.length; i += 2) {
                pieces[i].close();
            }
            long before = Pointer.physicalBytes();
            try (NoGradGuard guard = new NoGradGuard()) { // keeps nothing
                Recompute.layer(large, x -> x);
            }
            Recompute.layer(small, x -> x); // and this little
            assertThat(before - Pointer.physicalBytes()).isLessThan(10 * MEGABYTE);
            Recompute.layer(large, x -> x);
            assertThat(before - Pointer.physicalBytes()).isGreaterThan(30 * MEGABYTE);
            for (int i = 1; i < pieces.length; i += 2) {
                pieces[i].close();
            }
        }
    }
}
