package dev.headstart.hub;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.SSLContext;
import org.jspecify.annotations.Nullable;

/**
 * A hub on this machine that behaves as the real one does: the hub itself answers as 127.0.0.1 and sends large files (.safetensors, .bin) away
 * to "localhost", another host for the client. It can be told to misbehave.
 */
public final class FakeHub implements AutoCloseable {
    /** One request as it arrived. */
    record Request(
            String method,
            String host,
            String path,
            @Nullable String authorization,
            @Nullable String range,
            @Nullable String ifRange) {}

    final List<Request> requests = new CopyOnWriteArrayList<>();
    final Map<String, byte[]> files = new TreeMap<>();
    String model = "org/model";
    String commit = "0123456789abcdef0123456789abcdef01234567";

    /** File name -> how many bytes of the next answer are sent before the connection is cut; one entry an answer. */
    final Map<String, List<Integer>> cuts = new ConcurrentHashMap<>();
    /** Path prefix -> statuses of the next answers. */
    final Map<String, List<Integer>> statuses = new ConcurrentHashMap<>();

    final Map<String, String> errorHeaders = new ConcurrentHashMap<>();
    final AtomicInteger version = new AtomicInteger();
    volatile boolean ranges = true;
    volatile boolean lists = true;
    volatile long pauseMillis;
    volatile @Nullable Runnable afterCut;

    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();

    /** A hub that speaks http. */
    public FakeHub() throws IOException {
        this(null);
    }

    /** @param tls what a hub that speaks https has for its certificate; null for http */
    FakeHub(@Nullable SSLContext tls) throws IOException {
        InetSocketAddress address = new InetSocketAddress("127.0.0.1", 0);
        if (tls == null) {
            server = HttpServer.create(address, 0);
        } else {
            HttpsServer secure = HttpsServer.create(address, 0);
            secure.setHttpsConfigurator(new HttpsConfigurator(tls));
            server = secure;
        }
        server.setExecutor(threads);
        server.createContext("/", this::handle);
        server.start();
    }

    /** What HF_ENDPOINT is to be. */
    public String endpoint() {
        return (server instanceof HttpsServer ? "https" : "http") + "://127.0.0.1:"
                + server.getAddress().getPort();
    }

    /** Adds a text file to the model {@code org/model}. */
    public FakeHub file(String name, String content) {
        files.put(name, content.getBytes(StandardCharsets.UTF_8));
        return this;
    }

    long count(String part) {
        return requests.stream().filter(r -> r.path().contains(part)).count();
    }

    private void handle(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        var in = exchange.getRequestHeaders();
        requests.add(new Request(
                exchange.getRequestMethod(),
                in.getFirst("Host"),
                path,
                in.getFirst("Authorization"),
                in.getFirst("Range"),
                in.getFirst("If-Range")));
        try (exchange) {
            for (var entry : statuses.entrySet()) {
                if (path.startsWith(entry.getKey()) && !entry.getValue().isEmpty()) {
                    int status = entry.getValue().remove(0);
                    errorHeaders.forEach(exchange.getResponseHeaders()::set);
                    exchange.sendResponseHeaders(status, -1);
                    return;
                }
            }
            String resolve = "/" + model + "/resolve/" + commit + "/";
            if (path.startsWith("/api/models/" + model + "/revision/")) {
                send(exchange, 200, listing());
            } else if (path.startsWith(resolve) && files.containsKey(path.substring(resolve.length()))) {
                String name = path.substring(resolve.length());
                byte[] content = content(name);
                var out = exchange.getResponseHeaders();
                out.set("X-Repo-Commit", commit);
                if (large(name)) {
                    out.set("X-Linked-Etag", "\"" + sha256(content) + "\"");
                    out.set(
                            "Location",
                            endpoint().replace("127.0.0.1", "localhost") + "/cdn/" + name + "?signature=a%2Fb");
                    exchange.sendResponseHeaders(302, -1);
                } else {
                    out.set("ETag", "\"" + gitId(content) + "\"");
                    range(exchange, name, content);
                }
            } else if (path.startsWith("/cdn/")) {
                String name = path.substring("/cdn/".length());
                exchange.getResponseHeaders().set("ETag", "\"cdn-" + version.get() + "\"");
                range(exchange, name, content(name));
            } else {
                exchange.getResponseHeaders().set("X-Error-Code", "RepoNotFound");
                exchange.sendResponseHeaders(404, -1);
            }
        }
    }

    private byte[] content(String name) {
        byte[] content = files.getOrDefault(name, new byte[0]);
        return content;
    }

    private static boolean large(String name) {
        return name.endsWith(".safetensors") || name.endsWith(".bin");
    }

    private byte[] listing() throws IOException {
        ObjectMapper json = new ObjectMapper();
        ObjectNode root = json.createObjectNode().put("id", model).put("sha", commit);
        ArrayNode siblings = root.putArray("siblings");
        for (var file : files.entrySet()) {
            ObjectNode entry = siblings.addObject().put("rfilename", file.getKey());
            if (lists) {
                entry.put("size", file.getValue().length).put("blobId", gitId(file.getValue()));
                if (large(file.getKey())) {
                    entry.putObject("lfs")
                            .put("sha256", sha256(file.getValue()))
                            .put("size", file.getValue().length);
                }
            }
        }
        return json.writeValueAsBytes(root);
    }

    private void range(HttpExchange exchange, String name, byte[] content) throws IOException {
        String range = exchange.getRequestHeaders().getFirst("Range");
        String ifRange = exchange.getRequestHeaders().getFirst("If-Range");
        String etag = exchange.getResponseHeaders().getFirst("ETag");
        int from = 0;
        int status = 200;
        if (ranges && range != null && (ifRange == null || ifRange.equals(etag))) {
            from = Integer.parseInt(range.replaceAll("bytes=(\\d+)-", "$1"));
            if (from >= content.length) {
                exchange.sendResponseHeaders(416, -1);
                return;
            }
            status = 206;
            exchange.getResponseHeaders()
                    .set("Content-Range", "bytes " + from + "-" + (content.length - 1) + "/" + content.length);
        }
        exchange.sendResponseHeaders(status, content.length - from == 0 ? -1 : content.length - from);
        List<Integer> cut = cuts.getOrDefault(name, List.of());
        int until = content.length;
        boolean cutting = !cut.isEmpty();
        if (cutting) {
            until = Math.min(content.length, from + cut.remove(0));
        }
        OutputStream out = exchange.getResponseBody();
        for (int at = from; at < until; ) {
            int n = Math.min(pauseMillis > 0 ? 20_000 : 1 << 16, until - at);
            out.write(content, at, n);
            out.flush();
            at += n;
            pause();
        }
        Runnable after = afterCut;
        if (cutting && after != null) {
            afterCut = null;
            after.run();
        }
    }

    private void pause() {
        try {
            Thread.sleep(pauseMillis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void send(HttpExchange exchange, int status, byte[] body) throws IOException {
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
    }

    /** In hexadecimal digits. */
    public static String sha256(byte[] content) {
        return hash("SHA-256", new byte[0], content);
    }

    static String gitId(byte[] content) {
        return hash("SHA-1", ("blob " + content.length + "\0").getBytes(StandardCharsets.US_ASCII), content);
    }

    static String hash(String algorithm, byte[] head, byte[] content) {
        try {
            MessageDigest digest = MessageDigest.getInstance(algorithm);
            digest.update(head);
            return HexFormat.of().formatHex(digest.digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
