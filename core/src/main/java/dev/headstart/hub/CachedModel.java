package dev.headstart.hub;

import java.nio.file.Path;
import java.time.Instant;
import java.util.List;

/**
 * One version of a model in a cache of this machine.
 *
 * @param id its name
 * @param revision commit or version
 * @param names branches and tags that mean this version; empty in our own cache
 * @param place which cache
 * @param path its folder
 * @param bytes what its files take
 * @param files how many there are
 * @param origin where it came from, in words
 * @param modified when it was put there
 */
public record CachedModel(
        String id,
        String revision,
        List<String> names,
        Place place,
        Path path,
        long bytes,
        int files,
        String origin,
        Instant modified) {
    /** A cache. */
    public enum Place {
        /** The cache that this machine's Python shares. */
        SHARED,
        /** Our own, of converted and unpacked models. */
        OWN
    }
}
