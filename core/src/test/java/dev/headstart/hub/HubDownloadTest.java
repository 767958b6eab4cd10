package dev.headstart.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Fetching from a hub that sends large files to another host, and misbehaves in the ways hubs and networks do. */
class HubDownloadTest {
    private static final String TOKEN = "hf_secret";

    @TempDir
    Path temp;

    private FakeHub fake;
    private byte[] weights;
    private final List<String> notes = new CopyOnWriteArrayList<>();
    private final List<String> transfers = new CopyOnWriteArrayList<>();

    @BeforeEach
    void start() throws IOException {
        fake = new FakeHub();
        weights = new byte[300_000];
        new Random(7).nextBytes(weights);
        fake.files.put("model.safetensors", weights);
        fake.file("config.json", "{\"model_type\":\"bert\"}")
                .file("tokenizer.json", "{}")
                .file("README.md", "# card")
                .file("tf_model.h5", "never")
                .file("onnx/model.onnx", "never")
                .file("flax_model.msgpack", "never");
        fake.files.put("pytorch_model.bin", new byte[400_000]);
    }

    @AfterEach
    void stop() {
        fake.close();
    }

    private HubOptions.Builder options() {
        return new HubOptions.Builder(temp.resolve("hf/hub"), temp.resolve("own"))
                .endpoint(fake.endpoint())
                .token(TOKEN)
                .retryDelay(Duration.ofMillis(1))
                .timeouts(Duration.ofSeconds(3), Duration.ofSeconds(5))
                .progress(new Progress() {
                    @Override
                    public void note(String line) {
                        notes.add(line);
                    }

                    @Override
                    public void begin(Transfer transfer, long done) {
                        transfers.add(transfer.what() + " " + transfer.from() + " " + transfer.bytes() + " " + done);
                    }
                });
    }

    private Path fetch() {
        return Hub.of(options().build()).resolve("org/model").path();
    }

    @Test
    void aModelComesWholeOnceAndThenWithoutTheHub() throws IOException {
        Path folder = fetch();
        assertThat(folder).isEqualTo(temp.resolve("hf/hub/models--org--model/snapshots/" + fake.commit));
        assertThat(HfCache.files(folder))
                .containsExactly("README.md", "config.json", "model.safetensors", "tokenizer.json");
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors"))).isEqualTo(weights);
        Path link = Files.readSymbolicLink(folder.resolve("model.safetensors"));
        assertThat(link.toString()).isEqualTo("../../blobs/" + FakeHub.sha256(weights));
        assertThat(Files.readString(temp.resolve("hf/hub/models--org--model/refs/main")))
                .isEqualTo(fake.commit);
        assertThat(temp.resolve("hf/hub/models--org--model/.no_exist/" + fake.commit + "/added_tokens.json"))
                .exists();
        assertThat(temp.resolve("hf/hub/CACHEDIR.TAG")).exists();
        assertThat(transfers).contains("model.safetensors 127.0.0.1 300000 0");
        assertThat(fake.count("pytorch_model.bin")).isZero();
        assertThat(fake.count("onnx")).isZero();
        int before = fake.requests.size();
        assertThat(fetch()).isEqualTo(folder);
        assertThat(Hub.of(options().offline(true).build())
                        .resolve("org/model@main")
                        .path())
                .isEqualTo(folder);
        assertThat(fake.requests).hasSize(before);
        assertThat(partials()).isEmpty();
    }

    @Test
    void theTokenNeverReachesAnotherHost() {
        fetch();
        List<FakeHub.Request> elsewhere = fake.requests.stream()
                .filter(r -> r.host().startsWith("localhost"))
                .toList();
        assertThat(elsewhere).isNotEmpty().allMatch(r -> r.authorization() == null);
        assertThat(fake.requests.stream().filter(r -> r.host().startsWith("127.0.0.1")))
                .isNotEmpty()
                .allMatch(r -> ("Bearer " + TOKEN).equals(r.authorization()));
        assertThat(options().build().toString()).doesNotContain(TOKEN);
        assertThat(notes.toString() + transfers).doesNotContain(TOKEN);
    }

    @Test
    void abrokenConnectionGoesOnWhereItStopped() throws IOException {
        fake.cuts.put("model.safetensors", new ArrayList<>(List.of(100_000, 50_000)));
        Path folder = fetch();
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors"))).isEqualTo(weights);
        assertThat(fake.requests.stream()
                        .filter(r -> r.path().startsWith("/cdn"))
                        .map(FakeHub.Request::range))
                .containsExactly(null, "bytes=100000-", "bytes=150000-");
        assertThat(fake.requests.stream()
                        .filter(r -> r.path().startsWith("/cdn"))
                        .map(FakeHub.Request::ifRange))
                .containsExactly(null, "\"cdn-0\"", "\"cdn-0\"");
        assertThat(notes).hasSize(2).allMatch(n -> n.contains("model.safetensors"));
    }

    @Test
    void afileThatChangesInBetweenIsFetchedFromItsBeginning() throws IOException {
        fake.lists = false; // as a mirror that lists names alone: nothing but the ETag tells
        byte[] other = Arrays.copyOf(weights, 280_000);
        other[0] ^= 1;
        fake.cuts.put("model.safetensors", new ArrayList<>(List.of(100_000)));
        fake.afterCut = () -> {
            fake.version.incrementAndGet();
            fake.files.put("model.safetensors", other);
        };
        Path folder = fetch();
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors"))).isEqualTo(other);
        assertThat(Files.readSymbolicLink(folder.resolve("model.safetensors")).toString())
                .endsWith(FakeHub.sha256(other));
    }

    @Test
    void afileThatIsNotWhatTheCommitListsIsRefused() throws IOException {
        fake.cuts.put("model.safetensors", new ArrayList<>(List.of(100_000)));
        fake.afterCut = () -> {
            fake.version.incrementAndGet();
            fake.files.put("model.safetensors", Arrays.copyOf(weights, 300_000 - 1));
        };
        assertThatThrownBy(this::fetch)
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("model.safetensors of org/model changed");
        assertThat(temp.resolve("hf/hub/models--org--model/refs/main")).doesNotExist();
    }

    @Test
    void damagedFilesAreNotKept() throws IOException {
        byte[] damaged = weights.clone();
        damaged[1234] ^= 8;
        // The list and the redirect name the good content, the other host sends the damaged one.
        FakeHub cdn = new FakeHub();
        try (cdn) {
            cdn.files.put("model.safetensors", damaged);
            fake.statuses.put(
                    "/org/model/resolve/" + fake.commit + "/model.safetensors",
                    new ArrayList<>(List.of(302, 302, 302)));
            fake.errorHeaders.put("Location", cdn.endpoint() + "/cdn/model.safetensors");
            fake.errorHeaders.put("X-Linked-Etag", "\"" + FakeHub.sha256(weights) + "\"");
            assertThatThrownBy(this::fetch)
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("arrived damaged")
                    .hasMessageContaining(FakeHub.sha256(damaged))
                    .hasMessageContaining(FakeHub.sha256(weights));
        }
        assertThat(temp.resolve("hf/hub/models--org--model/blobs/" + FakeHub.sha256(weights)))
                .doesNotExist();
        assertThat(partials()).isEmpty();
    }

    @Test
    void damagedSmallFilesAreNoticedByTheirGitId() throws IOException {
        fake.files.put("config.json", "{}".getBytes(StandardCharsets.UTF_8));
        fake.statuses.put("/org/model/resolve/" + fake.commit + "/config.json", new ArrayList<>(List.of(307, 307)));
        fake.errorHeaders.put("Location", "/cdn/other.json");
        fake.file("other.json", "[]");
        assertThatThrownBy(this::fetch).hasMessageContaining("config.json of org/model arrived damaged: its git id");
    }

    @Test
    void whatADeadProcessLeftIsTakenOver() throws IOException {
        Path blobs = Files.createDirectories(temp.resolve("hf/hub/models--org--model/blobs"));
        Path left = blobs.resolve(FakeHub.sha256(weights) + ".00c0ffee.headstart.incomplete");
        Files.write(left, Arrays.copyOf(weights, 200_000));
        Path folder = fetch();
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors"))).isEqualTo(weights);
        assertThat(fake.requests.stream()
                        .filter(r -> r.path().startsWith("/cdn"))
                        .map(FakeHub.Request::range))
                .containsExactly("bytes=200000-");
        assertThat(left).doesNotExist();
    }

    @Test
    void aDamagedLeftoverCostsOneMoreFetch() throws IOException {
        Path blobs = Files.createDirectories(temp.resolve("hf/hub/models--org--model/blobs"));
        Files.write(
                blobs.resolve(FakeHub.sha256(weights) + ".00c0ffee.headstart.incomplete"), new byte[weights.length]);
        Path folder = fetch();
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors"))).isEqualTo(weights);
    }

    @Test
    void aHubWithoutRangesSendsAllAgain() throws IOException {
        fake.ranges = false;
        fake.cuts.put("model.safetensors", new ArrayList<>(List.of(100_000)));
        assertThat(Files.readAllBytes(fetch().resolve("model.safetensors"))).isEqualTo(weights);
    }

    @Test
    void tooManyRequestsAreWaitedFor() {
        fake.statuses.put("/api/", new ArrayList<>(List.of(429, 503)));
        fake.errorHeaders.put("Retry-After", "0");
        assertThat(fetch()).exists();
        assertThat(notes.get(0)).contains("429");
        fake.model = "org/other";
        fake.statuses.put("/api/", new ArrayList<>(List.of(429)));
        fake.errorHeaders.put("Retry-After", "3600");
        assertThatThrownBy(() -> Hub.of(options().build()).resolve("org/other"))
                .hasMessageContaining("asks to wait 60 minutes");
    }

    @Test
    void refusalsSayWhatToDo() {
        fake.statuses.put("/api/", new ArrayList<>(List.of(401, 401, 403, 403, 404, 404)));
        Hub without = Hub.of(options().token(null).build());
        Hub with = Hub.of(options().build());
        assertThatThrownBy(() -> without.resolve("org/model"))
                .hasMessageContaining("no public model org/model (401)")
                .hasMessageContaining("set HF_TOKEN");
        assertThatThrownBy(() -> with.resolve("org/model")).hasMessageContaining("does not accept the token (401)");
        fake.errorHeaders.put("X-Error-Code", "GatedRepo");
        assertThatThrownBy(() -> with.resolve("org/model"))
                .hasMessageContaining("accept its terms at " + fake.endpoint() + "/org/model");
        fake.errorHeaders.clear();
        assertThatThrownBy(() -> with.resolve("org/model")).hasMessageContaining("(403)");
        fake.errorHeaders.put("X-Error-Code", "RevisionNotFound");
        assertThatThrownBy(() -> with.resolve("org/model@v9")).hasMessageContaining("no revision v9");
        fake.errorHeaders.put("X-Error-Code", "RepoNotFound");
        assertThatThrownBy(() -> with.resolve("org/model"))
                .hasMessageContaining("no model org/model (404)")
                .hasMessageNotContaining("\n");
    }

    @Test
    void offlineAsksNobody() {
        assertThatThrownBy(() -> Hub.of(options().offline(true).build()).resolve("org/model"))
                .hasMessageContaining("nothing may be fetched");
        assertThat(fake.requests).isEmpty();
    }

    @Test
    void aHubThatIsNotThereIsAskedOnceAProcess() {
        String gone = fake.endpoint();
        fake.close();
        Hub hub = Hub.of(options().build());
        assertThatThrownBy(() -> hub.resolve("org/model"))
                .hasMessageContaining("127.0.0.1 cannot be reached")
                .hasMessageContaining("HTTPS_PROXY")
                .hasMessageNotContaining("\n");
        long start = System.nanoTime();
        assertThatThrownBy(() -> Hub.of(options().endpoint(gone).build()).resolve("org/other"))
                .hasMessageContaining("cannot be reached");
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(1));
    }

    @Test
    void aFullDiskIsNoticedBeforeAnythingLargeIsFetched() {
        HubOptions full = options().usableSpace(folder -> 100_000).build();
        assertThatThrownBy(() -> Hub.of(full).resolve("org/model"))
                .hasMessageContaining("needs 300 kB")
                .hasMessageContaining("100 kB left")
                .hasMessageContaining("make room");
        assertThat(fake.count("model.safetensors")).isZero();
    }

    @Test
    void namesThatClimbOutAreRefused() {
        fake.file("../../evil.json", "{}");
        assertThatThrownBy(this::fetch).hasMessageContaining("refuses the file name '../../evil.json'");
        assertThat(fake.count("evil")).isZero();
    }

    @Test
    void withoutLinksTheSnapshotHoldsTheFiles() throws IOException {
        Path folder =
                Hub.of(options().symlinks(false).build()).resolve("org/model").path();
        assertThat(Files.isSymbolicLink(folder.resolve("model.safetensors"))).isFalse();
        assertThat(Files.readAllBytes(folder.resolve("model.safetensors"))).isEqualTo(weights);
    }

    @Test
    void shardsComeAsTheIndexSays() throws IOException {
        fake.files.remove("model.safetensors");
        fake.file(
                        "model.safetensors.index.json",
                        "{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\",\"b\":\"model-00002-of-00002.safetensors\"}}")
                .file("model-00001-of-00002.safetensors", "one")
                .file("model-00002-of-00002.safetensors", "two")
                .file("model-00003-of-00002.safetensors", "not named");
        assertThat(HfCache.files(fetch()))
                .contains("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
                .doesNotContain("model-00003-of-00002.safetensors", "pytorch_model.bin");
    }

    @Test
    void picklesComeOnlyWhenThereIsNothingBetter() throws IOException {
        fake.files.remove("model.safetensors");
        assertThat(HfCache.files(fetch())).contains("pytorch_model.bin");
        fake.model = "org/tf";
        fake.files.remove("pytorch_model.bin");
        assertThatThrownBy(() -> Hub.of(options().build()).resolve("org/tf"))
                .hasMessageContaining("without model.safetensors (or pytorch_model.bin)")
                .hasMessageContaining("tf_model.h5");
    }

    @Test
    void aTokenizerAloneComesWithoutWeightsAndTheModelLater() throws IOException {
        Hub hub = Hub.of(options().build());
        Path folder = hub.resolve("org/model", null, FileSelection.NO_WEIGHTS).path();
        assertThat(HfCache.files(folder)).doesNotContain("model.safetensors").contains("tokenizer.json");
        assertThat(hub.resolve("org/model").path()).isEqualTo(folder);
        assertThat(HfCache.files(folder)).contains("model.safetensors");
        assertThat(fake.count("tokenizer.json")).isEqualTo(1);
    }

    @Test
    void aRedirectToPlainHttpOrElsewhereThanTheWebIsRefused() {
        fake.statuses.put("/api/", new ArrayList<>(List.of(302)));
        fake.errorHeaders.put("Location", "file:///etc/passwd");
        assertThatThrownBy(this::fetch).hasMessageContaining("neither http nor https");
    }

    @Test
    void noProxyCoversHostsDomainsAndPorts() {
        assertThat(HubHttp.bypassed("hub.corp.example", 443, "localhost,.corp.example"))
                .isTrue();
        assertThat(HubHttp.bypassed("corp.example", 443, "corp.example")).isTrue();
        assertThat(HubHttp.bypassed("notcorp.example", 443, "corp.example")).isFalse();
        assertThat(HubHttp.bypassed("a.b", 443, "*")).isTrue();
        assertThat(HubHttp.bypassed("a.b", 443, "a.b:80")).isFalse();
        assertThat(HubHttp.bypassed("a.b", 80, "x, a.b:80")).isTrue();
        assertThat(HubHttp.bypassed("a.b", 80, null)).isFalse();
    }

    private List<Path> partials() throws IOException {
        try (Stream<Path> all = Files.walk(temp)) {
            return all.filter(p ->
                            p.toString().endsWith(".incomplete") || p.toString().endsWith(".tmp"))
                    .toList();
        }
    }
}
