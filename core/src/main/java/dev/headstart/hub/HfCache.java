package dev.headstart.hub;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The cache that this machine's Python shares with us, in huggingface_hub's layout: {@code models--org--name/} with {@code refs} (branch ->
 * commit), {@code snapshots/COMMIT} (links into {@code blobs}), {@code trees/COMMIT.json} (what the commit holds) and {@code .no_exist}.
 * Nothing in it is ever rewritten in place.
 */
final class HfCache {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Files that Python asks for whether they exist or not. */
    private static final List<String> OPTIONAL = List.of(
            "added_tokens.json",
            "adapter_config.json",
            "chat_template.jinja",
            "chat_template.json",
            "generation_config.json",
            "preprocessor_config.json",
            "processor_config.json",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer_config.json",
            "model.safetensors",
            "model.safetensors.index.json");

    private final Path root;
    private final boolean symlinks;

    HfCache(Path root, boolean symlinks) {
        this.root = root;
        this.symlinks = symlinks;
    }

    Path root() {
        return root;
    }

    Path repository(String name) {
        return root.resolve("models--" + name.replace("/", "--"));
    }

    Path snapshot(String name, String commit) {
        return repository(name).resolve("snapshots").resolve(commit);
    }

    /** The commit that a revision was when it was last fetched; null when it never was. */
    @Nullable
    String commit(ModelId id) throws IOException {
        String revision = id.revisionOrMain();
        if (ModelId.isCommit(revision)) {
            return revision;
        }
        Path ref = repository(id.name()).resolve("refs").resolve(revision);
        if (Files.isRegularFile(ref)) {
            String commit = Files.readString(ref).trim();
            return ModelId.isCommit(commit) ? commit : null;
        }
        // A commit's first digits, as people copy them: taken when one snapshot alone begins so.
        if (revision.matches("[0-9a-f]{7,39}")) {
            Path snapshots = repository(id.name()).resolve("snapshots");
            if (Files.isDirectory(snapshots)) {
                try (Stream<Path> list = Files.list(snapshots)) {
                    var matches = list.map(p -> p.getFileName().toString())
                            .filter(n -> n.startsWith(revision) && ModelId.isCommit(n))
                            .toList();
                    return matches.size() == 1 ? matches.get(0) : null;
                }
            }
        }
        return null;
    }

    /**
     * The folder of a model whose wanted files are all here; null otherwise.
     *
     * @param strict whether to be sure that no tokenizer is missing: without the list of what the commit holds, a folder with weights alone
     *     may be a whole model, or one of which Python fetched the weights alone
     */
    @Nullable
    Path find(ModelId id, FileSelection wanted, boolean strict) {
        try {
            String commit = commit(id);
            if (commit == null) {
                return null;
            }
            Path snapshot = snapshot(id.name(), commit);
            if (!Files.isDirectory(snapshot)) {
                return null;
            }
            Map<String, HubFile> tree = readTree(id.name(), commit);
            Set<String> here = files(snapshot);
            FileSelection.Choice choice = wanted.choose(
                    tree == null ? here : tree.keySet(), name -> Files.readAllBytes(snapshot.resolve(name)));
            boolean whole = choice.complete() && here.containsAll(choice.files());
            return whole && (choice.feeds() || tree != null || !strict) ? snapshot : null;
        } catch (java.nio.file.NoSuchFileException e) {
            return null; // modules.json or an index is not here yet
        } catch (IOException e) {
            throw new HeadstartException(
                    repository(id.name()) + ": cannot be read (" + e.getMessage() + "); check its permissions", e);
        }
    }

    /** Relative names of the files below a folder, links followed; a link whose blob is gone does not count. */
    static Set<String> files(Path folder) throws IOException {
        Set<String> names = new TreeSet<>();
        try (Stream<Path> walk = Files.walk(folder, 4, FileVisitOption.FOLLOW_LINKS)) {
            walk.filter(Files::isRegularFile)
                    .forEach(f -> names.add(folder.relativize(f).toString().replace('\\', '/')));
        } catch (java.io.UncheckedIOException e) {
            throw new IOException(e.getMessage(), e);
        }
        return names;
    }

    /** What a commit holds, as an earlier listing (ours or Python's) said; null when there is none. */
    @Nullable
    Map<String, HubFile> readTree(String name, String commit) {
        Path file = repository(name).resolve("trees").resolve(commit + ".json");
        try {
            if (!Files.isRegularFile(file) || Files.size(file) > 100_000_000) {
                return null;
            }
            JsonNode tree = JSON.readTree(file.toFile());
            if (tree.path("format_version").asInt() != 1 || !tree.path("files").isObject()) {
                return null;
            }
            Map<String, HubFile> files = new LinkedHashMap<>();
            tree.path("files").fields().forEachRemaining(f -> {
                JsonNode sha256 = f.getValue().path("lfs_sha256");
                files.put(
                        f.getKey(),
                        new HubFile(
                                f.getKey(),
                                f.getValue().path("size").asLong(-1),
                                f.getValue().path("blob_id").asText(null),
                                sha256.isTextual() ? sha256.asText() : null));
            });
            return files.isEmpty() ? null : files;
        } catch (IOException e) {
            return null; // a listing is a help, never a condition
        }
    }

    // === Writing ===

    Path blob(String name, String etag) {
        return repository(name).resolve("blobs").resolve(etag);
    }

    Path lock(String name, String etag) {
        return root.resolve(".locks").resolve(repository(name).getFileName()).resolve(etag + ".lock");
    }

    /** Marks the cache as one, so that backups leave it out (bford.info/cachedir). */
    void tag() throws IOException {
        Path tag = root.resolve("CACHEDIR.TAG");
        if (!Files.exists(tag)) {
            replace(tag, "Signature: 8a477f597d28d172789f06886806bc55\n# Cache of models from the Hugging Face hub.\n");
        }
    }

    /**
     * Puts a blob into a snapshot: a relative link, or where the file system has none, the file itself.
     *
     * @param fresh whether nobody else can use the blob yet, so that it may be moved instead of copied
     */
    void link(String name, String etag, Path pointer, boolean fresh) throws IOException {
        Path blob = blob(name, etag);
        Path folder = Files.createDirectories(pointer.resolveSibling("."));
        if (Files.isSymbolicLink(pointer) && !Files.exists(pointer)) {
            Files.deleteIfExists(pointer); // its blob was removed
        }
        try {
            if (!symlinks) {
                throw new UnsupportedOperationException("links are switched off");
            }
            Path target = folder.normalize()
                    .toAbsolutePath()
                    .relativize(blob.toAbsolutePath().normalize());
            Files.createSymbolicLink(pointer, target);
        } catch (FileAlreadyExistsException e) {
            // another process was faster, with the same content
        } catch (IOException | UnsupportedOperationException | SecurityException e) {
            if (fresh) {
                rename(blob, pointer);
            } else {
                Path copy = temporary(pointer);
                try {
                    Files.copy(blob, copy);
                    rename(copy, pointer);
                } finally {
                    Files.deleteIfExists(copy);
                }
            }
        }
    }

    /** Remembers which commit a branch or tag is now; written when all files are here, so that it never points to half a model. */
    void writeRef(ModelId id, String commit) throws IOException {
        String revision = id.revisionOrMain();
        if (revision.equals(commit)) {
            return;
        }
        Path ref = SafePaths.resolve(repository(id.name()).resolve("refs"), revision, id.toString());
        if (!Files.isRegularFile(ref) || !Files.readString(ref).equals(commit)) {
            replace(ref, commit);
        }
    }

    /** Keeps the list of what a commit holds, in the form that huggingface_hub keeps it; and which usual files it does not hold. */
    void writeTree(String name, String commit, Map<String, HubFile> files) throws IOException {
        if (files.values().stream().allMatch(f -> f.size() >= 0 && f.blobId() != null)) {
            ObjectNode tree = JSON.createObjectNode().put("format_version", 1);
            ObjectNode list = tree.putObject("files");
            new java.util.TreeMap<>(files).forEach((path, file) -> {
                ObjectNode entry = list.putObject(path).put("size", file.size()).put("blob_id", file.blobId());
                if (file.sha256() != null) {
                    entry.put("lfs_sha256", file.sha256()).put("lfs_size", file.size());
                }
            });
            replace(repository(name).resolve("trees").resolve(commit + ".json"), tree.toPrettyString());
        }
        for (String usual : OPTIONAL) {
            if (!files.containsKey(usual)) {
                noteMissing(name, commit, usual);
            }
        }
    }

    /** An empty file says that a commit has no such file, so that Python does not ask again. */
    void noteMissing(String name, @Nullable String commit, String file) throws IOException {
        if (commit != null && ModelId.isCommit(commit)) {
            Path mark = SafePaths.resolve(repository(name).resolve(".no_exist").resolve(commit), file, name);
            Files.createDirectories(mark.resolveSibling("."));
            if (!Files.exists(mark)) {
                Files.write(mark, new byte[0]);
            }
        }
    }

    private static Path temporary(Path file) {
        return file.resolveSibling(file.getFileName() + "."
                + HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextInt()) + ".tmp");
    }

    /** Writes a small file so that readers see the old or the new one, never half of it. */
    static void replace(Path file, String content) throws IOException {
        Files.createDirectories(file.resolveSibling(".").normalize());
        Path temporary = temporary(file);
        try {
            Files.writeString(temporary, content);
            rename(temporary, file);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    /** Renames in one step where the file system can. */
    static void rename(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (AtomicMoveNotSupportedException e) {
            Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
        }
    }
}
