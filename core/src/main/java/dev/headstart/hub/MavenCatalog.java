package dev.headstart.hub;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Well-known models whose weights a Maven artifact carries; {@code catalog/catalog.json} lists them. */
final class MavenCatalog {
    private static final String PLACE = "catalog/";

    private MavenCatalog() {}

    /**
     * One model.
     *
     * @param id its name on the hub
     * @param aliases other names that people use for it
     * @param artifact Maven coordinates
     * @param sha256 of the artifact
     * @param bytes size of the artifact
     * @param unpackedBytes size of its weights
     * @param kind {@code tensorflow-bert} or {@code onnx-bert}
     * @param license SPDX identifier in small letters, as model cards have it
     * @param folder where its small files are, beside the catalog
     * @param files the small files: configuration, tokenizer settings, card
     * @param weights entry of the jar that holds the weights
     * @param tokenizer entry of the jar that is the tokenizer.json; null when the weights bring a vocab.txt
     */
    record Entry(
            String id,
            List<String> aliases,
            String artifact,
            String sha256,
            long bytes,
            long unpackedBytes,
            String kind,
            String license,
            String folder,
            List<String> files,
            String weights,
            @Nullable String tokenizer) {
        String version() {
            return artifact.substring(artifact.lastIndexOf(':') + 1);
        }

        boolean names(String name) {
            return id.equals(name) || aliases.contains(name);
        }

        /** One of the small files. */
        byte[] file(String name) throws IOException {
            return read(folder + "/" + name);
        }
    }

    private static final List<Entry> ENTRIES = load();

    static List<Entry> entries() {
        return ENTRIES;
    }

    /** The entry of a model under any of its names; null when there is none. */
    static @Nullable Entry find(String name) {
        return ENTRIES.stream().filter(e -> e.names(name)).findFirst().orElse(null);
    }

    /** The entry that comes from an artifact; null when there is none. */
    static @Nullable Entry ofArtifact(String coordinates) {
        return ENTRIES.stream()
                .filter(e -> e.artifact().equals(coordinates))
                .findFirst()
                .orElse(null);
    }

    /** As {@link #find(String)}, unless a revision is asked for that the artifact is not. */
    static @Nullable Entry find(ModelId id) {
        Entry entry = find(id.name());
        String revision = id.revision();
        return entry == null || revision == null || revision.equals("main") || revision.equals(entry.version())
                ? entry
                : null;
    }

    private static byte[] read(String name) throws IOException {
        try (InputStream in = MavenCatalog.class.getResourceAsStream(PLACE + name)) {
            if (in == null) {
                throw new IOException("resource " + PLACE + name + " is missing in headstart's jar");
            }
            return in.readAllBytes();
        }
    }

    private static List<Entry> load() {
        try {
            List<Entry> entries = new ArrayList<>();
            for (JsonNode e : new ObjectMapper().readTree(read("catalog.json"))) {
                entries.add(new Entry(
                        e.get("id").asText(),
                        texts(e.get("aliases")),
                        e.get("artifact").asText(),
                        e.get("sha256").asText(),
                        e.get("bytes").asLong(),
                        e.get("unpacked_bytes").asLong(),
                        e.get("kind").asText(),
                        e.get("license").asText(),
                        e.get("folder").asText(),
                        texts(e.get("files")),
                        e.get("weights").asText(),
                        e.path("tokenizer").asText(null)));
            }
            return List.copyOf(entries);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static List<String> texts(JsonNode list) {
        List<String> texts = new ArrayList<>();
        list.forEach(t -> texts.add(t.asText()));
        return texts;
    }
}
