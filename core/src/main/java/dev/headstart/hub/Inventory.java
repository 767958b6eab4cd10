package dev.headstart.hub;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** What the caches hold, and taking it out of them. */
final class Inventory {
    private final HfCache shared;
    private final OwnCache own;
    private final String endpoint;

    Inventory(HfCache shared, OwnCache own, String endpoint) {
        this.shared = shared;
        this.own = own;
        this.endpoint = endpoint;
    }

    /** All versions of all models, by cache and name. */
    List<CachedModel> list() {
        try {
            List<CachedModel> models = new ArrayList<>();
            for (Path model : folders(own.models())) {
                for (Path version : OwnCache.versions(model)) {
                    models.add(own(version));
                }
            }
            for (Path repository : folders(shared.root())) {
                String name = repository.getFileName().toString();
                if (name.startsWith("models--")) {
                    String id = name.substring("models--".length()).replace("--", "/");
                    for (Path snapshot : folders(repository.resolve("snapshots"))) {
                        models.add(shared(id, repository, snapshot));
                    }
                }
            }
            return models;
        } catch (IOException e) {
            throw new HeadstartException(
                    "the caches cannot be read (" + e.getMessage() + "); check their permissions", e);
        }
    }

    private static CachedModel own(Path version) throws IOException {
        JsonNode origin = OwnCache.origin(version);
        String from = origin.path("source").asText("unknown");
        if (origin.has("artifact")) {
            from += " " + origin.path("artifact").asText() + " from "
                    + origin.path("repository").asText("?");
        }
        String folder = OwnCache.parent(version).getFileName().toString();
        return model(
                origin.path("id").asText(folder.replace("--", "/")),
                version.getFileName().toString(),
                List.of(),
                CachedModel.Place.OWN,
                version,
                from);
    }

    private CachedModel shared(String id, Path repository, Path snapshot) throws IOException {
        String commit = snapshot.getFileName().toString();
        List<String> names = new ArrayList<>();
        for (Path ref : refs(repository)) {
            if (Files.readString(ref).trim().equals(commit)) {
                names.add(repository.resolve("refs").relativize(ref).toString().replace('\\', '/'));
            }
        }
        return model(id, commit, names, CachedModel.Place.SHARED, snapshot, "hub " + endpoint + "/" + id);
    }

    private static CachedModel model(
            String id, String revision, List<String> names, CachedModel.Place place, Path path, String origin)
            throws IOException {
        long bytes = 0;
        Instant modified = Instant.EPOCH;
        Set<String> files = HfCache.files(path);
        for (String file : files) {
            bytes += Files.size(path.resolve(file));
            Instant changed = Files.getLastModifiedTime(path.resolve(file)).toInstant();
            modified = changed.isAfter(modified) ? changed : modified;
        }
        return new CachedModel(id, revision, names, place, path, bytes, files.size(), origin, modified);
    }

    /**
     * Takes a model out of its cache. Of the shared cache, content that another version still uses stays.
     *
     * @return bytes that were freed
     */
    long remove(CachedModel model) {
        try {
            return model.place() == CachedModel.Place.OWN ? removeOwn(model) : removeShared(model);
        } catch (IOException e) {
            throw new HeadstartException(
                    model.path() + " cannot be removed (" + e.getMessage()
                            + "); check its permissions, or whether a program uses it",
                    e);
        }
    }

    private static long removeOwn(CachedModel model) throws IOException {
        Files.deleteIfExists(model.path().resolve(OwnCache.ORIGIN)); // from here on it is no whole model
        JarModel.delete(model.path());
        Path folder = OwnCache.parent(model.path());
        if (folders(folder).isEmpty()) {
            JarModel.delete(folder);
        }
        return model.bytes();
    }

    private static long removeShared(CachedModel model) throws IOException {
        Path snapshots = OwnCache.parent(model.path());
        Path repository = OwnCache.parent(snapshots);
        Set<Path> mine = blobs(model.path());
        long bytes = 0;
        for (String file : HfCache.files(model.path())) {
            if (!Files.isSymbolicLink(model.path().resolve(file))) {
                bytes += Files.size(model.path().resolve(file));
            }
        }
        for (Path ref : refs(repository)) {
            if (Files.readString(ref).trim().equals(model.revision())) {
                Files.delete(ref);
            }
        }
        JarModel.delete(model.path());
        JarModel.delete(repository.resolve(".no_exist").resolve(model.revision()));
        Files.deleteIfExists(repository.resolve("trees").resolve(model.revision() + ".json"));
        Set<Path> used = new HashSet<>();
        for (Path other : folders(snapshots)) {
            used.addAll(blobs(other));
        }
        for (Path blob : mine) {
            if (!used.contains(blob) && Files.exists(blob)) {
                bytes += Files.size(blob);
                Files.delete(blob);
            }
        }
        if (folders(snapshots).isEmpty()) {
            JarModel.delete(repository);
        }
        return bytes;
    }

    /** The blobs that a snapshot links to, of its own repository alone. */
    private static Set<Path> blobs(Path snapshot) throws IOException {
        Path home = OwnCache.parent(OwnCache.parent(snapshot)).resolve("blobs");
        Set<Path> blobs = new HashSet<>();
        try (Stream<Path> walk = Files.walk(snapshot)) {
            for (Path link : walk.filter(Files::isSymbolicLink).toList()) {
                Path blob = OwnCache.parent(link)
                        .resolve(Files.readSymbolicLink(link))
                        .normalize();
                if (blob.startsWith(home.normalize())) {
                    blobs.add(blob);
                }
            }
        }
        return blobs;
    }

    private static List<Path> refs(Path repository) throws IOException {
        Path refs = repository.resolve("refs");
        if (!Files.isDirectory(refs)) {
            return List.of();
        }
        try (Stream<Path> walk = Files.walk(refs)) {
            return walk.filter(Files::isRegularFile).sorted().toList();
        }
    }

    private static List<Path> folders(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> list = Files.list(folder)) {
            return list.filter(Files::isDirectory).sorted().toList();
        }
    }
}
