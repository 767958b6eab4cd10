package dev.headstart.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.hub.Hub;
import dev.headstart.pipeline.Tasks;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Objects;
import org.junit.jupiter.api.Test;

/** What the zoo's jar holds: files as its index says, cards that name data and licence, and the defaults of run. */
class ZooContentTest {
    private static final String PLACE = "/META-INF/headstart/zoo/";

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = ZooContentTest.class.getResourceAsStream(PLACE + name)) {
            return Objects.requireNonNull(in, name).readAllBytes();
        }
    }

    @Test
    void filesAndCardsAreComplete() throws IOException, NoSuchAlgorithmException {
        JsonNode models = new ObjectMapper().readTree(resource("index.json")).path("models");
        assertThat(models).isNotEmpty();
        long bytes = 0;
        for (JsonNode model : models) {
            String id = model.path("id").asText();
            assertThat(model.path("license").asText()).as(id).isNotEmpty();
            for (var file : model.path("files").properties()) {
                byte[] content = resource(id + "/" + file.getKey());
                bytes += content.length;
                String hash = HexFormat.of()
                        .formatHex(MessageDigest.getInstance("SHA-256").digest(content));
                assertThat(hash)
                        .as(id + "/" + file.getKey() + ": run zoo/recipes/index")
                        .isEqualTo(file.getValue().asText());
            }
            String card = new String(resource(id + "/README.md"), StandardCharsets.UTF_8);
            assertThat(card).as(id).contains("## Licence", "## Data", "headstart ");
        }
        assertThat(bytes).isLessThan(40_000_000);
    }

    @Test
    void defaultsOfRunThatAreOursAreThere() {
        assertThat(Tasks.all())
                .filteredOn(t -> t.defaultModel() != null && t.defaultModel().startsWith("headstart/"))
                .isNotEmpty()
                .allSatisfy(t -> assertThat(Hub.standard().zoo()).contains(t.defaultModel()));
    }
}
