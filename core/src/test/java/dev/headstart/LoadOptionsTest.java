package dev.headstart;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

class LoadOptionsTest {
    @Test
    void shortNamesOfTypesBecomeTransformersNames() {
        assertThat(LoadOptions.defaults().withDtype("bf16").dtype()).isEqualTo("bfloat16");
        assertThat(LoadOptions.defaults().withDtype("torch.float16").dtype()).isEqualTo("float16");
        assertThat(LoadOptions.defaults().dtype()).isNull();
    }

    @Test
    void wrongValuesAreNamedWithWhatIsAllowed() {
        assertThatThrownBy(() -> LoadOptions.defaults().withAttention("flash"))
                .isInstanceOf(HeadstartException.class)
                .hasMessage("attention must be one of auto, eager, sdpa, but is 'flash'");
        assertThatThrownBy(() -> LoadOptions.defaults().withDevice("tpu")).hasMessageContaining("'tpu'");
        assertThatThrownBy(() -> LoadOptions.defaults().withNumLabels(0)).hasMessageContaining("at least 1");
        assertThatThrownBy(() -> LoadOptions.defaults().withSubfolder("a/../../b"))
                .hasMessageContaining("relative path");
        assertThatThrownBy(() -> LoadOptions.defaults().withNumLabels(3).withId2label(Map.of(0, "a", 1, "b")))
                .hasMessageContaining("id2label names 2");
    }

    @Test
    void laterChangesOfTheCallersMapDoNotReachTheOptions() {
        Map<Integer, String> labels = new HashMap<>(Map.of(1, "b", 0, "a"));
        LoadOptions options = LoadOptions.defaults().withId2label(labels);
        labels.put(2, "c");
        assertThat(options.id2label()).isEqualTo(Map.of(0, "a", 1, "b"));
    }
}
