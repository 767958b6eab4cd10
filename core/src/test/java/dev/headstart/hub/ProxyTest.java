package dev.headstart.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A company's network: the hub behind a proxy, with a certificate that only the company's own file vouches for. */
class ProxyTest {
    private static final String DEAD = "http://127.0.0.1:1";

    @TempDir
    static Path keys;

    @TempDir
    Path temp;

    private final List<String> tunnels = new CopyOnWriteArrayList<>();
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private FakeHub fake;
    private ServerSocket proxy;
    private volatile @Nullable String login;

    @BeforeEach
    void start() throws IOException {
        fake = new FakeHub();
        fake.file("config.json", "{}").file("tokenizer.json", "{}").file("model.safetensors", "weights");
        proxy = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        threads.execute(() -> {
            while (!proxy.isClosed()) {
                try {
                    Socket client = proxy.accept();
                    threads.execute(() -> tunnel(client));
                } catch (SocketException e) {
                    return; // closed
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        });
    }

    @AfterEach
    void stop() throws IOException {
        fake.close();
        proxy.close();
        threads.shutdownNow();
    }

    /** What a proxy does with CONNECT: asks for its login, then passes bytes both ways. Whatever host is named, it is on this machine. */
    private void tunnel(Socket client) {
        try (client) {
            InputStream in = client.getInputStream();
            BufferedReader head = new BufferedReader(new InputStreamReader(in, StandardCharsets.ISO_8859_1), 1);
            String request = head.readLine();
            String authorization = null;
            for (String line = head.readLine(); line != null && !line.isEmpty(); line = head.readLine()) {
                if (line.toLowerCase(java.util.Locale.ROOT).startsWith("proxy-authorization:")) {
                    authorization = line.substring(line.indexOf(':') + 1).strip();
                }
            }
            if (request == null) {
                return;
            }
            tunnels.add(request + (authorization == null ? "" : " " + authorization));
            OutputStream out = client.getOutputStream();
            if (login != null && !("Basic " + login).equals(authorization)) {
                out.write(
                        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 0\r\n\r\n"
                                .getBytes(StandardCharsets.ISO_8859_1));
                return;
            }
            int port = Integer.parseInt(request.replaceFirst("CONNECT [^:]+:(\\d+) .*", "$1"));
            try (Socket server = new Socket(InetAddress.getLoopbackAddress(), port)) {
                out.write("HTTP/1.1 200 OK\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1));
                threads.execute(() -> {
                    try {
                        in.transferTo(server.getOutputStream());
                    } catch (IOException e) {
                        return; // one of the two has gone
                    }
                });
                server.getInputStream().transferTo(out);
            }
        } catch (IOException e) {
            return; // one of the two has gone
        }
    }

    private HubOptions.Builder options(String endpoint) {
        return new HubOptions.Builder(temp.resolve("hub"), temp.resolve("own"))
                .endpoint(endpoint)
                .token("hf_secret")
                .maven(temp.resolve("no-settings.xml"), temp.resolve("repository"))
                .retryDelay(Duration.ofMillis(1))
                .timeouts(Duration.ofSeconds(3), Duration.ofSeconds(5));
    }

    private static Path fetch(HubOptions.Builder options) {
        return Hub.of(options.build()).resolve("org/model").path();
    }

    // === http ===

    @Test
    void plainHttpGoesThroughItsProxy() throws IOException {
        // The fake stands in for the proxy: it answers requests for any host. The name of the hub is known nowhere.
        Path folder = fetch(options("http://hub.invalid").proxies(fake.endpoint(), DEAD, null));
        assertThat(folder.resolve("model.safetensors")).hasContent("weights");
        assertThat(fake.requests).anyMatch(r -> r.host().equals("hub.invalid"));
        assertThat(fake.requests.stream().filter(r -> r.authorization() != null))
                .isNotEmpty()
                .allMatch(r -> r.host().equals("hub.invalid"));
    }

    @Test
    void noProxyIsObeyed() {
        assertThat(fetch(options(fake.endpoint()).proxies(DEAD, DEAD, "localhost,127.0.0.1")))
                .exists();
        assertThatThrownBy(() -> Hub.of(options(fake.endpoint())
                                .hubCache(temp.resolve("other"))
                                .proxies(DEAD, DEAD, "example.com")
                                .build())
                        .resolve("org/model"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("through the proxy")
                .hasMessageContaining("127.0.0.1:1")
                .hasMessageNotContaining("\n");
    }

    @Test
    void theEnvironmentNamesProxiesAndCertificates() {
        HubOptions options = HubOptions.fromEnvironment(
                Map.of(
                        "https_proxy", "http://p:1",
                        "ALL_PROXY", "http://all:2",
                        "NO_PROXY", ".corp",
                        "SSL_CERT_FILE", "~/ca.pem"),
                temp);
        assertThat(options.httpsProxy()).isEqualTo("http://p:1");
        assertThat(options.httpProxy()).isEqualTo("http://all:2");
        assertThat(options.noProxy()).isEqualTo(".corp");
        assertThat(options.caFile()).isEqualTo(temp.resolve("ca.pem"));
    }

    @Test
    void aProxyThatIsNoAddressIsNamedWithoutItsPassword() {
        assertThatThrownBy(() -> fetch(options(fake.endpoint()).proxies("http://u:secret@:x", null, null)))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("HTTPS_PROXY or HTTP_PROXY is not an address")
                .hasMessageNotContaining("secret");
    }

    // === https ===

    /** A certificate for hub.test and localhost, made by the JDK's own tool. */
    private static Path certificate() throws Exception {
        Path pem = keys.resolve("ca.pem");
        if (!Files.exists(pem)) {
            keytool(
                    "-genkeypair",
                    "-keyalg",
                    "EC",
                    "-dname",
                    "CN=hub.test",
                    "-ext",
                    "san=dns:hub.test,dns:localhost,ip:127.0.0.1");
            keytool("-exportcert", "-rfc", "-file", pem.toString());
        }
        return pem;
    }

    private static void keytool(String... args) throws Exception {
        List<String> command = new java.util.ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "keytool").toString()));
        command.addAll(List.of(args));
        command.addAll(List.of("-alias", "k", "-keystore", keys.resolve("k.p12").toString(), "-storepass", "123456"));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as(said).isZero();
    }

    private static SSLContext tls() throws Exception {
        certificate();
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(keys.resolve("k.p12"))) {
            store.load(in, "123456".toCharArray());
        }
        KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        managers.init(store, "123456".toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(managers.getKeyManagers(), null, null);
        return context;
    }

    private void secure() throws Exception {
        fake.close();
        FakeHub secure = new FakeHub(tls());
        secure.files.putAll(fake.files);
        fake = secure;
    }

    @Test
    void theCertificateFileIsTrustedBesidesTheJdksOwn() throws Exception {
        secure();
        Path folder = fetch(options(fake.endpoint()).caFile(certificate()));
        assertThat(folder.resolve("model.safetensors")).hasContent("weights");
        assertThat(fake.requests).anyMatch(r -> r.host().startsWith("localhost") && r.authorization() == null);
    }

    @Test
    void aCertificateThatNobodyVouchesForIsRefusedAndTheRemedyNamed() throws Exception {
        secure();
        assertThatThrownBy(() -> fetch(options(fake.endpoint())))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("signed by nobody this machine trusts")
                .hasMessageContaining("SSL_CERT_FILE")
                .hasMessageNotContaining("\n");
        Path text = Files.writeString(temp.resolve("no.pem"), "hello");
        assertThatThrownBy(() -> fetch(options(fake.endpoint().replace("127.0.0.1", "localhost"))
                        .caFile(text)))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("no.pem")
                .hasMessageContaining("SSL_CERT_FILE");
        assertThat(fake.requests).isEmpty();
    }

    @Test
    void httpsGoesThroughATunnel() throws Exception {
        secure();
        String endpoint = fake.endpoint().replace("127.0.0.1", "hub.test"); // a name that the proxy alone knows
        Path folder = fetch(options(endpoint)
                .caFile(certificate())
                .proxies(null, "http://127.0.0.1:" + proxy.getLocalPort(), null));
        assertThat(folder.resolve("model.safetensors")).hasContent("weights");
        assertThat(tunnels)
                .isNotEmpty()
                .allMatch(t -> t.startsWith("CONNECT "))
                .anyMatch(t -> t.startsWith("CONNECT hub.test:"))
                .noneMatch(t -> t.contains("hf_secret"));
    }

    /** In a JVM of its own: the JDK decides when its client first loads whether a proxy for https may be sent a password. */
    @Test
    void theProxysLoginComesFromTheEnvironment() throws Exception {
        secure();
        login = Base64.getEncoder().encodeToString("jane:p@ss".getBytes(StandardCharsets.UTF_8));
        String endpoint = fake.endpoint().replace("127.0.0.1", "hub.test");
        Process process = FetchProcess.of(
                        endpoint,
                        temp,
                        Map.of(
                                "HTTPS_PROXY",
                                "http://jane:p%40ss@127.0.0.1:" + proxy.getLocalPort(),
                                "NO_PROXY",
                                "localhost",
                                "SSL_CERT_FILE",
                                certificate().toString()))
                .redirectErrorStream(true)
                .start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as(said).isZero();
        assertThat(said).contains("models--org--model").doesNotContain("p@ss", "p%40ss");
        assertThat(tunnels).contains("CONNECT " + endpoint.substring("https://".length()) + " HTTP/1.1 Basic " + login);
        assertThat(tunnels).noneMatch(t -> t.contains("localhost"));
    }

    @Test
    void aWrongLoginIsNamed() throws Exception {
        secure();
        login = "another";
        assertThatThrownBy(() -> fetch(options(fake.endpoint().replace("127.0.0.1", "hub.test"))
                        .caFile(certificate())
                        .proxies(null, "http://127.0.0.1:" + proxy.getLocalPort(), null)))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("the proxy wants a login; write it into HTTPS_PROXY as")
                .hasMessageNotContaining("\n");
    }
}
