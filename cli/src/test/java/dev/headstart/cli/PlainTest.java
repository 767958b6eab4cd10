package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Results for people. */
class PlainTest {
    @Test
    void anEmptyTextIsAnEmptyLine() {
        assertThat(Plain.text(Map.of("generated_text", ""))).isEmpty();
        assertThat(Plain.text(List.of(Map.of("generated_text", "so it was")))).isEqualTo("so it was");
        assertThat(Plain.text(Map.of("odd", 1))).isEqualTo("{\"odd\":1}");
    }

    @Test
    void aScoreThatIsNotThereIsNotShown() {
        Map<String, @Nullable Object> segment = new HashMap<>(Map.of("label", "sky"));
        segment.put("score", null);
        assertThat(Plain.text(segment)).isEqualTo("sky");
        segment.put("score", 0.25);
        assertThat(Plain.text(segment)).isEqualTo("sky                  0.2500");
    }
}
