package dev.headstart.hub;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The cache that this machine's Python shares with us, in huggingface_hub's layout: {@code models--org--name/} with {@code refs} (branch ->
 * commit), {@code snapshots/COMMIT} (links into {@code blobs}), {@code trees/COMMIT.json} (what the commit holds) and {@code .no_exist}.
 * Nothing in it is ever rewritten in place.
 */
final class HfCache {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path root;

    HfCache(Path root) {
        this.root = root;
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
}
