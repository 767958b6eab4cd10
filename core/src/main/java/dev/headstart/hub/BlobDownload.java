package dev.headstart.hub;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * One file on its way into the shared cache. It is written to a file of its own beside the blobs, checked, and renamed; what an attempt
 * brought is kept for the next one, and what a process left behind when it died is taken over by the next process that wants the same
 * content. A partial file is locked as long as its writer lives, so nobody takes over what is still being written.
 */
final class BlobDownload implements AutoCloseable {
    private static final String PARTIAL = ".headstart.incomplete";
    private static final Pattern RANGE = Pattern.compile("bytes (\\d+)-(\\d+)/(\\d+|\\*)");
    private static final int BUFFER = 1 << 18;

    private final HubOptions options;
    private final HfCache cache;
    private final ModelId id;
    private final HubFile file;
    private final Path pointer;

    private @Nullable Path partial;
    private @Nullable FileChannel channel;
    private long have;
    private @Nullable MessageDigest digest;
    /** The validator of what {@link #partial} holds, as its server gave it; null for one taken over from a dead process. */
    private @Nullable String validator;

    private boolean mismatched;

    BlobDownload(HubOptions options, HfCache cache, ModelId id, HubFile file, Path pointer) {
        this.options = options;
        this.cache = cache;
        this.id = id;
        this.file = file;
        this.pointer = pointer;
    }

    /** Says no to an answer that is not the file. */
    interface Check {
        void accept(HubHttp.Answer answer) throws IOException;
    }

    /**
     * Asks for what is still missing, and completes the file with it.
     *
     * @return the file in the snapshot
     * @throws HubClient.BrokeOff when the connection ended too early; the next attempt goes on where this one stopped
     */
    Path attempt(HubHttp http, URI address, Check check) throws IOException {
        FileChannel out = open();
        Map<String, String> headers = new LinkedHashMap<>();
        if (have > 0) {
            headers.put("Range", "bytes=" + have + "-");
            if (validator != null) {
                headers.put("If-Range", validator);
            }
        }
        if (have > 0 && have == file.size()) {
            return finish(out, expected()); // a process died between the last byte and the rename
        }
        try (HubHttp.Answer answer = http.get(address, headers)) {
            if (answer.status() == 416) {
                startAgain(out);
                throw new HubClient.BrokeOff("the part that is here does not fit the file there", false, null);
            }
            check.accept(answer);
            String etag = etag(answer);
            String sent = answer.header("ETag");
            if (answer.status() == 206) {
                Matcher range = RANGE.matcher(String.valueOf(answer.header("Content-Range")));
                boolean fits = range.matches()
                        && Long.parseLong(range.group(1)) == have
                        && (file.size() < 0
                                || range.group(3).equals("*")
                                || Long.parseLong(range.group(3)) == file.size())
                        && (validator == null || sent == null || sent.equals(validator));
                if (!fits) {
                    startAgain(out);
                    throw new HubClient.BrokeOff("the server sends another part than was asked for", false, null);
                }
            } else if (have > 0) {
                startAgain(out); // the file changed, or the server knows no ranges: all of it comes again
            }
            validator = sent != null && !sent.startsWith("W/") ? sent : null;
            String sha256 = file.sha256();
            if (sha256 != null && etag != null && etag.matches("[0-9a-f]{64}") && !etag.equals(sha256)) {
                throw new HeadstartException(file.name() + " of " + id + " changed on "
                        + options.endpoint().getHost()
                        + " while it was fetched (its sha256 is now " + etag + ", the commit's list says " + sha256
                        + "); try again");
            }
            Progress.Transfer transfer = receive(answer, out);
            Path here = finish(out, etag != null ? etag : expected());
            options.progress().end(transfer);
            return here;
        }
    }

    private @Nullable String expected() {
        return file.sha256() != null ? file.sha256() : file.blobId();
    }

    /** The hub's name for the content; of a file that lies elsewhere, the hub says it in the redirect. */
    private static @Nullable String etag(HubHttp.Answer answer) {
        String etag = answer.hubHeader("x-linked-etag");
        if (etag == null) {
            etag = answer.hubHeader("etag");
        }
        if (etag == null) {
            etag = answer.header("ETag");
        }
        if (etag == null) {
            return null;
        }
        etag = etag.replaceFirst("^W/", "").replace("\"", "");
        return etag.matches("[\\w][\\w.-]{0,127}") && !etag.contains("..") ? etag : null;
    }

    private Progress.Transfer receive(HubHttp.Answer answer, FileChannel out) throws IOException {
        long length = answer.length();
        long total = file.size() >= 0 ? file.size() : length >= 0 ? have + length : -1;
        if (file.size() < 0 && length > 0) {
            DiskSpace.require(options.usableSpace(), cache.root(), length, id.toString());
        }
        Progress.Transfer transfer =
                new Progress.Transfer(file.name(), options.endpoint().getHost(), total, cache.repository(id.name()));
        options.progress().begin(transfer, have);
        long before = have;
        byte[] buffer = new byte[BUFFER];
        try (InputStream in = answer.body()) {
            while (true) {
                int n = in.read(buffer);
                if (n < 0) {
                    break;
                }
                if (total >= 0 && have + n > total) {
                    startAgain(out);
                    throw new HubClient.BrokeOff("it is longer than announced", false, null);
                }
                write(out, ByteBuffer.wrap(buffer, 0, n));
                digest().update(buffer, 0, n);
                have += n;
                options.progress().advance(transfer, have);
            }
        } catch (HubClient.BrokeOff e) {
            throw e;
        } catch (IOException e) {
            options.progress().failed(transfer, HubHttp.reason(e));
            throw new HubClient.BrokeOff(HubHttp.reason(e), have > before, e);
        }
        if (total >= 0 && have < total) {
            options.progress().failed(transfer, "the connection ended early");
            throw new HubClient.BrokeOff(
                    "the connection ended after " + have + " of " + total + " bytes", have > before, null);
        }
        return transfer;
    }

    /** A failure to write is no failure of the network: it is not tried again. */
    private void write(FileChannel out, ByteBuffer bytes) {
        try {
            while (bytes.hasRemaining()) {
                out.write(bytes);
            }
        } catch (IOException e) {
            drop();
            throw new HeadstartException(
                    file.name() + " of " + id + " cannot be written into " + cache.root() + " (" + e.getMessage()
                            + "); make room, or move the cache (HF_HOME)",
                    e);
        }
    }

    /** Checks the content, gives it its name, and puts it into the snapshot. */
    private Path finish(FileChannel out, @Nullable String name) throws IOException {
        if (name == null) {
            throw new HubRefused(
                    options.endpoint().getHost() + " sends " + file.name() + " of " + id
                            + " without an ETag, so it cannot be kept safely; check HF_ENDPOINT",
                    false,
                    null);
        }
        String wanted = file.sha256() != null ? file.sha256() : name.matches("[0-9a-f]{64}") ? name : gitId();
        MessageDigest whole = digest;
        if (wanted != null && whole != null) {
            String found = HexFormat.of().formatHex(whole.digest());
            digest = null;
            if (!found.equals(wanted)) {
                startAgain(out);
                validator = null;
                String text = file.name() + " of " + id + " arrived damaged: its "
                        + (wanted.length() == 64 ? "sha256" : "git id") + " is " + found + ", expected " + wanted;
                if (mismatched) {
                    throw new HeadstartException(
                            text
                                    + "; nothing was kept; try again, and if it stays so, whatever lies between (proxy, mirror) changes files");
                }
                mismatched = true;
                throw new HubClient.BrokeOff(text, false, null);
            }
        }
        Path from = partial;
        if (from == null) {
            throw new IllegalStateException("no partial file");
        }
        out.force(true);
        Path blob = cache.blob(id.name(), name);
        try {
            HfCache.rename(from, blob);
        } catch (IOException e) {
            out.close(); // Windows renames no open file
            HfCache.rename(from, blob);
        }
        partial = null;
        out.close();
        channel = null;
        cache.link(id.name(), name, pointer, true);
        return pointer;
    }

    /** The id that git gives the content, where the hub listed it and its size. */
    private @Nullable String gitId() {
        return file.size() >= 0 && file.blobId() != null && file.blobId().matches("[0-9a-f]{40}")
                ? file.blobId()
                : null;
    }

    private MessageDigest digest() {
        MessageDigest current = digest;
        if (current == null) {
            try {
                if (file.sha256() == null && gitId() != null) {
                    current = MessageDigest.getInstance("SHA-1");
                    current.update(("blob " + file.size() + "\0").getBytes(StandardCharsets.US_ASCII));
                } else {
                    current = MessageDigest.getInstance("SHA-256");
                }
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e); // every Java runtime has both
            }
            digest = current;
        }
        return current;
    }

    private void startAgain(FileChannel out) throws IOException {
        out.truncate(0);
        out.position(0);
        have = 0;
        digest = null;
    }

    // === The partial file ===

    private FileChannel open() throws IOException {
        FileChannel open = channel;
        if (open != null) {
            return open;
        }
        Path blobs = Files.createDirectories(cache.repository(id.name()).resolve("blobs"));
        cache.tag();
        open = takeOver(blobs);
        if (open == null) {
            String name = expected() != null ? expected() : "unnamed";
            Path path = blobs.resolve(name + "."
                    + HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextInt()) + PARTIAL);
            open = FileChannel.open(
                    path, StandardOpenOption.CREATE_NEW, StandardOpenOption.READ, StandardOpenOption.WRITE);
            lock(open);
            partial = path;
        }
        channel = open;
        return open;
    }

    /** What a process that died left of the same content: only where a sha256 will tell whether it was good. */
    private @Nullable FileChannel takeOver(Path blobs) throws IOException {
        String sha256 = file.sha256();
        if (sha256 == null) {
            return null;
        }
        List<Path> left;
        try (Stream<Path> list = Files.list(blobs)) {
            left = list.filter(p -> p.getFileName().toString().startsWith(sha256 + ".")
                            && p.getFileName().toString().endsWith(PARTIAL))
                    .toList();
        }
        for (Path path : left) {
            FileChannel found = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
            if (!lock(found) || !Files.exists(path) || found.size() > file.size() && file.size() >= 0) {
                found.close();
                continue;
            }
            partial = path;
            ByteBuffer buffer = ByteBuffer.allocate(BUFFER);
            while (found.read(buffer) >= 0) {
                digest().update(buffer.flip());
                have = found.position();
                buffer.clear();
            }
            return found;
        }
        return null;
    }

    private static boolean lock(FileChannel channel) {
        try {
            FileLock lock = channel.tryLock();
            return lock != null;
        } catch (OverlappingFileLockException | IOException e) {
            return false;
        }
    }

    private void drop() {
        have = 0;
    }

    /** Keeps a part that the next process can go on with; removes any other. */
    @Override
    public void close() throws IOException {
        FileChannel open = channel;
        if (open != null) {
            open.close();
            channel = null;
        }
        Path left = partial;
        if (left != null && (have == 0 || file.sha256() == null)) {
            Files.deleteIfExists(left);
        }
    }
}
