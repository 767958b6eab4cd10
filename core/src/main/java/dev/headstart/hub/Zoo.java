package dev.headstart.hub;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Models that lie in jars on the class path, as resources {@code META-INF/headstart/zoo/ID/FILE}. Each such jar lists its own in
 * {@code META-INF/headstart/zoo/index.json}:
 *
 * <pre>{@code
 * {"models": [{"id": "bert-mini", "version": "1", "license": "apache-2.0", "files": {"config.json": "SHA256", "model.safetensors": "SHA256"}}]}
 * }</pre>
 *
 * <p>A model is unpacked into our own cache when it is first asked for; its folder's name holds a part of the hash of its list, so that
 * a jar with other content never meets the folder of an older one.
 */
final class Zoo {
    static final String PLACE = "META-INF/headstart/zoo/";

    private static final ObjectMapper JSON = new ObjectMapper();

    private final ClassLoader loader;
    private final OwnCache own;
    private final HubOptions options;
    private @Nullable List<Entry> entries;

    Zoo(HubOptions options, OwnCache own) {
        this.options = options;
        this.own = own;
        loader = options.zoo();
    }

    /** A model in a jar: the address of its index tells which jar. */
    private record Entry(
            URL index, String id, String version, @Nullable String license, Map<String, String> files) {
        String folderName() {
            return version + "-"
                    + hash(files.toString().getBytes(StandardCharsets.UTF_8)).substring(0, 12);
        }
    }

    /** The folder of a model, unpacked now if need be; null when no jar holds it. */
    @Nullable
    Path find(ModelId id) {
        if (id.revision() != null && !id.revision().equals("main")) {
            return null;
        }
        for (Entry entry : entries()) {
            if (entry.id().equals(id.name())) {
                return unpack(entry);
            }
        }
        return null;
    }

    /** What the jars on the class path offer. */
    List<String> ids() {
        return entries().stream().map(Entry::id).toList();
    }

    private synchronized List<Entry> entries() {
        List<Entry> found = entries;
        if (found == null) {
            found = new ArrayList<>();
            try {
                for (URL index : Collections.list(loader.getResources(PLACE + "index.json"))) {
                    read(index, found);
                }
            } catch (IOException e) {
                throw new HeadstartException(
                        "the zoo's index on the class path cannot be read (" + e.getMessage()
                                + "); check the zoo's jar",
                        e);
            }
            entries = found;
        }
        return found;
    }

    private static void read(URL index, List<Entry> found) throws IOException {
        try (InputStream in = index.openStream()) {
            for (JsonNode model : JSON.readTree(in).path("models")) {
                Map<String, String> files = new TreeMap<>();
                model.path("files")
                        .fields()
                        .forEachRemaining(f -> files.put(
                                SafePaths.check(f.getKey(), index.toString()),
                                f.getValue().asText()));
                String id = model.path("id").asText("");
                String version = model.path("version").asText("1");
                if (!ModelId.isName(id) || files.isEmpty() || !version.matches("[\\w.-]+")) {
                    throw new HeadstartException(
                            index + ": expected id, version and files of each model, found " + model);
                }
                found.add(new Entry(index, id, version, model.path("license").asText(null), files));
            }
        }
    }

    private Path unpack(Entry entry) {
        Path target = own.folder(entry.id(), entry.folderName());
        if (OwnCache.complete(target)) {
            return target;
        }
        try {
            return own.install(target, entry.id(), options.progress(), staging -> {
                for (var file : entry.files().entrySet()) {
                    String address = entry.index().toString();
                    URL from = new URL(address.substring(0, address.length() - "index.json".length()) + entry.id() + "/"
                            + file.getKey());
                    byte[] content;
                    try (InputStream in = from.openStream()) {
                        content = in.readAllBytes();
                    }
                    if (!hash(content).equals(file.getValue())) {
                        throw new HeadstartException(from + " is not what the zoo's index says (sha256 " + hash(content)
                                + ", expected " + file.getValue() + "); the jar is damaged, fetch it again");
                    }
                    DiskSpace.require(options.usableSpace(), staging, content.length, entry.id());
                    Path to = SafePaths.resolve(staging, file.getKey(), address);
                    Files.createDirectories(OwnCache.parent(to));
                    Files.write(to, content);
                }
                ObjectNode origin = JSON.createObjectNode()
                        .put("id", entry.id())
                        .put("source", "zoo")
                        .put("version", entry.version());
                if (entry.license() != null) {
                    origin.put("license", entry.license());
                }
                return origin;
            });
        } catch (IOException e) {
            throw new HeadstartException(
                    "zoo model " + entry.id() + " cannot be unpacked into " + target + " (" + e.getMessage()
                            + "); check room and permissions, or move the cache (XDG_CACHE_HOME)",
                    e);
        }
    }

    private static String hash(byte[] content) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
