package dev.headstart.hub;

import org.jspecify.annotations.Nullable;

/**
 * One file of a commit, as the hub lists it.
 *
 * @param name path inside the model
 * @param size bytes; -1 when not said
 * @param blobId git's id of the content; null when not said
 * @param sha256 of the content, for files kept outside git (weights); null for others
 */
record HubFile(
        String name,
        long size,
        @Nullable String blobId,
        @Nullable String sha256) {}
