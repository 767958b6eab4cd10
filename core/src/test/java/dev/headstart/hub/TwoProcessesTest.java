package dev.headstart.hub;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Several JVMs that want the same model at the same time, from a slow hub. */
@Timeout(300)
class TwoProcessesTest {
    private static final int BYTES = 2_000_000;

    @TempDir
    Path temp;

    private FakeHub fake;
    private byte[] weights;

    @BeforeEach
    void start() throws IOException {
        fake = new FakeHub();
        weights = new byte[BYTES];
        new Random(3).nextBytes(weights);
        fake.files.put("model.safetensors", weights);
        fake.file("config.json", "{}").file("tokenizer.json", "{}");
        fake.pauseMillis = 15; // 20 kB at a time: a second and a half for all
    }

    @AfterEach
    void stop() {
        fake.close();
    }

    private Process child(int number) throws IOException {
        return FetchProcess.of(fake.endpoint(), temp.resolve("cache"), Map.of())
                .redirectOutput(temp.resolve("out" + number).toFile())
                .redirectError(temp.resolve("err" + number).toFile())
                .start();
    }

    private Path folder(Process child, int number) throws Exception {
        assertThat(child.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(child.exitValue())
                .as(Files.readString(temp.resolve("err" + number)))
                .isZero();
        Path folder = Path.of(Files.readString(temp.resolve("out" + number)).strip());
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors"))).isEqualTo(weights);
        return folder;
    }

    private List<Path> leftovers() throws IOException {
        try (Stream<Path> all = Files.walk(temp.resolve("cache"))) {
            return all.filter(p -> p.toString().endsWith(".incomplete")).toList();
        }
    }

    private long sent() {
        return fake.count("/cdn/model.safetensors");
    }

    @Test
    void theModelComesOnceAndAllHaveIt() throws Exception {
        List<Process> children = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            children.add(child(i));
        }
        Path first = folder(children.get(0), 0);
        assertThat(folder(children.get(1), 1)).isEqualTo(first);
        assertThat(folder(children.get(2), 2)).isEqualTo(first);
        assertThat(sent()).isEqualTo(1);
        assertThat(leftovers()).isEmpty();
    }

    @Test
    void whatAKilledProcessFetchedTheOtherGoesOnWith() throws Exception {
        Process first = child(0);
        while (partial() < 200_000 && first.isAlive()) {
            Thread.sleep(5);
        }
        Process second = child(1);
        Thread.sleep(100);
        first.destroyForcibly().waitFor();
        assertThat(first.exitValue()).as(Files.readString(temp.resolve("err0"))).isNotZero();
        folder(second, 1);
        assertThat(fake.requests.stream()
                        .filter(r -> r.path().startsWith("/cdn/"))
                        .map(FakeHub.Request::range)
                        .filter(range -> range != null))
                .singleElement()
                .satisfies(
                        range -> assertThat(Long.parseLong(String.valueOf(range).replaceAll("\\D", "")))
                                .isBetween(200_000L, (long) BYTES));
        assertThat(leftovers()).isEmpty();
    }

    private long partial() throws IOException {
        Path blobs = temp.resolve("cache/hub/models--org--model/blobs");
        if (!Files.isDirectory(blobs)) {
            return 0;
        }
        long most = 0;
        try (Stream<Path> list = Files.list(blobs)) {
            for (Path p : list.filter(p -> p.toString().endsWith(".incomplete")).toList()) {
                most = Math.max(most, Files.exists(p) ? Files.size(p) : 0);
            }
        } catch (java.nio.file.NoSuchFileException e) {
            return most; // renamed just now
        }
        return most;
    }
}
