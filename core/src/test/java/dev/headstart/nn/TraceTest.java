package dev.headstart.nn;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

class TraceTest {
    /** Layers share a call's masks, and each call has a trace of its own. */
    @Test
    void aMaskIsLookedThroughOnceInACall() {
        Natives.load();
        try (PointerScope scope = new PointerScope()) {
            Tensor a = torch.zeros(1, 1, 2, 2), b = torch.ones(1, 1, 2, 2);
            List<Tensor> looked = new ArrayList<>();
            Trace call = Trace.none();
            for (int layer = 0; layer < 3; layer++) {
                for (Tensor mask : List.of(a, b)) { // as where layers see different windows
                    assertThat(call.once(mask, m -> {
                                looked.add(m);
                                return m.sum().item_double() > 0;
                            }))
                            .isEqualTo(mask == b);
                }
            }
            assertThat(looked).hasSize(2);
            Trace.none().once(a, m -> looked.add(m));
            assertThat(looked).hasSize(3);
        }
    }
}
