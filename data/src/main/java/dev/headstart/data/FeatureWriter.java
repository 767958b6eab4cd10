package dev.headstart.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.ElementType;
import dev.headstart.io.Npy;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NoSuchElementException;
import org.jspecify.annotations.Nullable;

/**
 * Writes features of many rows in constant memory, so that a run which is killed at any moment can go on without a lost or doubled row.
 *
 * <p>Everything goes to the folder {@code TARGET.partial}. {@link #commit} syncs the data first and then, by an atomic rename, the note of how
 * much of it counts; a resumed run cuts the data back to that note. {@link #finish} completes the file and renames it into place, so the
 * target is whole or not there. Not thread-safe.
 */
public final class FeatureWriter implements AutoCloseable {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    /** Room for the header, which can be written only when the number of rows is known; also what numpy and safetensors align to. */
    private static final int NPY_HEADER = 128;

    private static final int SAFETENSORS_HEADER = 1024;
    private static final String PROGRESS = "progress.json";

    private final Path target;
    private final FeatureFormat format;
    private final boolean perToken;
    private final String settings;
    private final Path folder;
    private final FileChannel lock;
    private Output body;
    private Output rows;
    private int dimension;
    private long written;
    private long tokens;
    private boolean ids;
    private long consumed;
    private Map<String, Long> skips = Map.of();
    private boolean committed;
    private boolean finished;

    /** A file that grows, buffered, with a known length. */
    private static final class Output {
        final Path path;
        final FileChannel channel;
        final ByteBuffer buffer = ByteBuffer.allocate(1 << 16).order(ByteOrder.LITTLE_ENDIAN);

        Output(Path path, long length) throws IOException {
            this.path = path;
            channel = FileChannel.open(
                    path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
            if (channel.size() < length) {
                throw new IOException(
                        path.getFileName() + " holds " + channel.size() + " bytes, its progress note says " + length);
            }
            channel.truncate(length);
            channel.position(length);
        }

        void bytes(byte[] b) throws IOException {
            int at = 0;
            while (at < b.length) {
                if (!buffer.hasRemaining()) {
                    flush();
                }
                int n = Math.min(buffer.remaining(), b.length - at);
                buffer.put(b, at, n);
                at += n;
            }
        }

        void floats(float[] values) throws IOException {
            for (float v : values) {
                if (buffer.remaining() < 4) {
                    flush();
                }
                buffer.putFloat(v);
            }
        }

        void number(long v) throws IOException {
            if (buffer.remaining() < 8) {
                flush();
            }
            buffer.putLong(v);
        }

        void flush() throws IOException {
            buffer.flip();
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
            buffer.clear();
        }

        long sync() throws IOException {
            flush();
            channel.force(false);
            return channel.position();
        }

        void patch(byte[] head) throws IOException {
            flush();
            ByteBuffer b = ByteBuffer.wrap(head);
            long at = 0;
            while (b.hasRemaining()) {
                at += channel.write(b, at);
            }
        }
    }

    private FeatureWriter(Path target, FeatureFormat format, boolean perToken, String settings, boolean resume)
            throws IOException {
        this.target = target;
        this.format = format;
        this.perToken = perToken;
        this.settings = settings;
        Path whole = target.toAbsolutePath();
        Path parent = whole.getParent();
        if (parent == null || !Files.isDirectory(parent)) {
            throw new HeadstartException(target + ": its folder does not exist; make it first");
        }
        folder = whole.resolveSibling(whole.getFileName() + ".partial");
        if (format == FeatureFormat.PARQUET) {
            Parquet.check(target);
        }
        Path note = folder.resolve(PROGRESS);
        boolean earlier = Files.exists(note);
        JsonNode progress = earlier ? MAPPER.readTree(Files.readAllBytes(note)) : MAPPER.createObjectNode();
        if (earlier && !resume) {
            throw new HeadstartException(
                    folder + " holds " + progress.path("rows").asLong()
                            + " rows of an interrupted run: go on with --resume, or remove the folder to start again");
        }
        if (earlier && !progress.path("settings").asText().equals(settings)) {
            throw new HeadstartException(folder + " belongs to a run with other settings ("
                    + progress.path("settings").asText() + "), this one has (" + settings
                    + "): use the same, or remove the folder to start again");
        }
        Files.createDirectories(folder);
        lock = FileChannel.open(folder.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        if (!tryLock(lock)) {
            lock.close();
            throw new HeadstartException(target + ": another process is writing it now (" + folder + " is locked)");
        }
        boolean ok = false;
        try {
            written = progress.path("rows").asLong();
            tokens = progress.path("tokens").asLong();
            dimension = progress.path("dimension").asInt();
            consumed = progress.path("consumed").asLong();
            ids = progress.path("ids").asBoolean();
            Map<String, Long> s = new LinkedHashMap<>();
            progress.path("skips")
                    .properties()
                    .forEach(e -> s.put(e.getKey(), e.getValue().asLong()));
            skips = s;
            committed = earlier;
            finished = progress.path("done").asBoolean() && !Files.exists(folder.resolve("body"));
            int head = format == FeatureFormat.NPY
                    ? NPY_HEADER
                    : format == FeatureFormat.SAFETENSORS ? SAFETENSORS_HEADER : 0;
            body = new Output(
                    folder.resolve(finished ? "unused" : "body"),
                    finished ? 0 : progress.path("body").asLong());
            rows = new Output(
                    folder.resolve(finished ? "unused" : "rows.jsonl"),
                    finished ? 0 : progress.path("rowsBytes").asLong());
            if (!earlier) {
                body.bytes(new byte[head]);
            }
            ok = true;
        } finally {
            if (!ok) {
                lock.close();
            }
        }
    }

    private static boolean tryLock(FileChannel channel) throws IOException {
        try {
            FileLock l = channel.tryLock();
            return l != null;
        } catch (OverlappingFileLockException e) {
            return false; // another thread of this JVM
        }
    }

    /**
     * Opens a writer.
     *
     * @param target the file that {@link #finish} makes
     * @param perToken whether rows have one vector a token
     * @param settings everything that decides what the rows look like (model, input, options): a resumed run must have the same
     * @param resume whether to go on with what an interrupted run left; without one, the run starts at the beginning
     * @throws HeadstartException when the target cannot be written, or an interrupted run is there and {@code resume} is false
     */
    public static FeatureWriter open(
            Path target, FeatureFormat format, boolean perToken, String settings, boolean resume) {
        try {
            return new FeatureWriter(target, format, perToken, settings, resume);
        } catch (IOException e) {
            throw writeFailure(target, e);
        }
    }

    /** One line for a failed write; a full disk is named as such. */
    static HeadstartException writeFailure(Path target, IOException e) {
        String why = String.valueOf(e.getMessage());
        boolean full = why.contains("No space left") || why.contains("not enough space") || why.contains("Disk quota");
        return new HeadstartException(
                target + ": cannot be written: "
                        + (full ? "the disk is full (" + why + "); free space and go on with --resume" : why),
                e);
    }

    /** How many input rows the interrupted run had dealt with (written or skipped); skip as many. */
    public long consumed() {
        return consumed;
    }

    /** Bad rows that the interrupted run had left out, by kind. */
    public Map<String, Long> skips() {
        return skips;
    }

    /** Rows in the output so far. */
    public long written() {
        return written;
    }

    /** Whether the interrupted run was interrupted after its last step, so that nothing is left to do but {@link #finish}. */
    public boolean complete() {
        return finished;
    }

    /**
     * Adds one row.
     *
     * @throws HeadstartException when the disk is full
     */
    public void write(Features f) {
        int dim = f.tokens() == 0 ? dimension : f.values().length / f.tokens();
        if (dimension == 0) {
            dimension = dim;
        }
        if (dim != dimension || (!perToken && f.tokens() != 1)) {
            throw new IllegalArgumentException("row " + f.row() + ": expected features of dimension " + dimension
                    + ", found " + dim + " for " + f.tokens() + " tokens");
        }
        try {
            switch (format) {
                case CSV -> csv(f);
                case JSONL -> jsonl(f);
                case NPY, SAFETENSORS, PARQUET -> {
                    body.floats(f.values());
                    ObjectNode note = MAPPER.createObjectNode().put("row", f.row());
                    if (f.id() != null) {
                        note.put("id", f.id());
                        ids = true;
                    }
                    if (perToken) {
                        note.put("tokens", f.tokens());
                    }
                    rows.bytes((note + "\n").getBytes(StandardCharsets.UTF_8));
                }
            }
        } catch (IOException e) {
            throw writeFailure(target, e);
        }
        written++;
        tokens += f.tokens();
    }

    private void csv(Features f) throws IOException {
        if (written == 0) {
            ids = f.id() != null;
            StringBuilder head = new StringBuilder(ids ? "row,id" : "row").append(perToken ? ",token" : "");
            for (int i = 0; i < dimension; i++) {
                head.append(",f").append(i);
            }
            body.bytes(head.append('\n').toString().getBytes(StandardCharsets.UTF_8));
        }
        StringBuilder b = new StringBuilder();
        for (int t = 0; t < f.tokens(); t++) {
            b.append(f.row());
            if (ids) {
                b.append(',').append(quoted(f.id() == null ? "" : f.id()));
            }
            if (perToken) {
                b.append(',').append(t);
            }
            for (int i = 0; i < dimension; i++) {
                b.append(',').append(f.values()[t * dimension + i]);
            }
            b.append('\n');
        }
        body.bytes(b.toString().getBytes(StandardCharsets.UTF_8));
    }

    private static String quoted(String s) {
        boolean plain = s.chars().noneMatch(c -> c == ',' || c == '"' || c == '\n' || c == '\r') && !s.isEmpty();
        return plain ? s : '"' + s.replace("\"", "\"\"") + '"';
    }

    private void jsonl(Features f) throws IOException {
        StringBuilder b = new StringBuilder("{\"row\":").append(f.row());
        if (f.id() != null) {
            b.append(",\"id\":").append(MAPPER.writeValueAsString(f.id()));
        }
        b.append(",\"features\":").append(perToken ? "[" : "");
        for (int t = 0; t < f.tokens(); t++) {
            b.append(t > 0 ? ",[" : "[");
            for (int i = 0; i < dimension; i++) {
                float v = f.values()[t * dimension + i];
                b.append(i > 0 ? "," : "").append(Float.isFinite(v) ? Float.toString(v) : "null");
            }
            b.append(']');
        }
        body.bytes(b.append(perToken ? "]}\n" : "}\n").toString().getBytes(StandardCharsets.UTF_8));
    }

    /**
     * Makes everything written so far count.
     *
     * @param inputRows how many input rows have been dealt with from the beginning, written or skipped
     * @param skipped bad rows left out so far, by kind
     */
    public void commit(long inputRows, Map<String, Long> skipped) {
        consumed = inputRows;
        skips = Map.copyOf(skipped);
        try {
            note(false);
        } catch (IOException e) {
            throw writeFailure(target, e);
        }
    }

    private void note(boolean done) throws IOException {
        ObjectNode p = MAPPER.createObjectNode();
        p.put("settings", settings);
        p.put("rows", written)
                .put("tokens", tokens)
                .put("dimension", dimension)
                .put("consumed", consumed)
                .put("ids", ids);
        p.set("skips", MAPPER.valueToTree(skips));
        p.put("body", body.sync()).put("rowsBytes", rows.sync());
        p.put("done", done);
        Path fresh = folder.resolve(PROGRESS + ".new");
        try (FileChannel c = FileChannel.open(
                fresh, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            c.write(ByteBuffer.wrap(MAPPER.writeValueAsBytes(p)));
            c.force(true);
        }
        move(fresh, folder.resolve(PROGRESS));
        syncFolder(folder);
        committed = true;
    }

    /** Completes the output and puts it in its place; the partial folder is gone afterwards. */
    public void finish() {
        try {
            if (!finished) {
                note(false);
                if (!Files.exists(folder.resolve("rows.jsonl"))) {
                    throw new IOException("rows.jsonl is gone from " + folder);
                }
                switch (format) {
                    case NPY -> body.patch(Npy.header(ElementType.F32, shape()));
                    case SAFETENSORS -> safetensors();
                    case PARQUET -> parquet();
                    case CSV, JSONL -> body.flush();
                }
                body.channel.force(true);
                body.channel.close();
                rows.channel.close();
                boolean side = format == FeatureFormat.NPY || (format == FeatureFormat.SAFETENSORS && ids);
                Path whole = target.toAbsolutePath();
                if (side) {
                    Path beside = whole.resolveSibling(whole.getFileName() + ".rows.jsonl");
                    Files.copy(rows.path, folder.resolve("side"), StandardCopyOption.REPLACE_EXISTING);
                    move(folder.resolve("side"), beside);
                }
                ObjectNode p = (ObjectNode) MAPPER.readTree(Files.readAllBytes(folder.resolve(PROGRESS)));
                p.put("done", true);
                Path fresh = folder.resolve(PROGRESS + ".new");
                Files.write(fresh, MAPPER.writeValueAsBytes(p));
                move(fresh, folder.resolve(PROGRESS));
                move(folder.resolve(format == FeatureFormat.PARQUET ? "whole" : "body"), whole);
                Path parent = whole.getParent();
                if (parent != null) {
                    syncFolder(parent);
                }
                finished = true;
            }
            clear();
        } catch (IOException e) {
            throw writeFailure(target, e);
        }
    }

    private long[] shape() {
        return new long[] {perToken ? tokens : written, dimension};
    }

    private void safetensors() throws IOException {
        long featureBytes = shape()[0] * shape()[1] * 4;
        long n = perToken ? written + 1 : written;
        long at = 0;
        if (perToken) {
            body.number(0);
        }
        try (BufferedReader lines = Files.newBufferedReader(rows.path, StandardCharsets.UTF_8)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                JsonNode note = MAPPER.readTree(line);
                at += note.path("tokens").asLong();
                body.number(perToken ? at : note.path("row").asLong());
            }
        }
        if (perToken) {
            try (BufferedReader lines = Files.newBufferedReader(rows.path, StandardCharsets.UTF_8)) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    body.number(MAPPER.readTree(line).path("row").asLong());
                }
            }
        }
        body.flush();
        ObjectNode header = MAPPER.createObjectNode();
        header.putObject("__metadata__").put("format", "pt").put("producer", "headstart extract");
        tensor(header, "features", "F32", shape(), 0, featureBytes);
        long end = featureBytes + n * 8;
        tensor(header, perToken ? "offsets" : "row", "I64", new long[] {n}, featureBytes, end);
        if (perToken) {
            tensor(header, "row", "I64", new long[] {written}, end, end + written * 8);
        }
        byte[] json = MAPPER.writeValueAsBytes(header);
        ByteBuffer b = ByteBuffer.allocate(SAFETENSORS_HEADER).order(ByteOrder.LITTLE_ENDIAN);
        b.putLong(SAFETENSORS_HEADER - 8).put(json);
        while (b.hasRemaining()) {
            b.put((byte) ' ');
        }
        body.patch(b.array());
    }

    private static void tensor(ObjectNode header, String name, String dtype, long[] shape, long from, long to) {
        ObjectNode t = header.putObject(name).put("dtype", dtype);
        for (long s : shape) {
            t.withArray("shape").add(s);
        }
        t.withArray("data_offsets").add(from).add(to);
    }

    private void parquet() throws IOException {
        Path whole = folder.resolve("whole");
        Files.deleteIfExists(whole);
        try (BufferedReader lines = Files.newBufferedReader(rows.path, StandardCharsets.UTF_8);
                DataInputStream data = new DataInputStream(
                        new java.io.BufferedInputStream(Files.newInputStream(body.path), 1 << 16))) {
            Parquet.write(whole, perToken, new Iterator<>() {
                private @Nullable String line = lines.readLine();

                @Override
                public boolean hasNext() {
                    return line != null;
                }

                @Override
                public Features next() {
                    if (line == null) {
                        throw new NoSuchElementException();
                    }
                    try {
                        JsonNode note = MAPPER.readTree(line);
                        int n = perToken ? note.path("tokens").asInt() : 1;
                        ByteBuffer raw = ByteBuffer.wrap(data.readNBytes(n * dimension * 4))
                                .order(ByteOrder.LITTLE_ENDIAN);
                        float[] values = new float[n * dimension];
                        raw.asFloatBuffer().get(values);
                        line = lines.readLine();
                        return new Features(
                                note.path("row").asLong(),
                                note.hasNonNull("id") ? note.path("id").asText() : null,
                                values,
                                n);
                    } catch (JsonProcessingException e) {
                        throw new HeadstartException(rows.path + ": broken: " + e.getOriginalMessage(), e);
                    } catch (IOException e) {
                        throw writeFailure(target, e);
                    }
                }
            });
        }
        try (FileChannel c = FileChannel.open(whole, StandardOpenOption.WRITE)) {
            c.force(true);
        }
    }

    private static void move(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (AtomicMoveNotSupportedException e) {
            Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
        }
    }

    private static void syncFolder(Path folder) {
        try (FileChannel c = FileChannel.open(folder, StandardOpenOption.READ)) {
            c.force(true);
        } catch (IOException e) {
            return; // file systems that cannot open a folder do without
        }
    }

    private void clear() throws IOException {
        lock.close();
        for (String name :
                new String[] {"body", "unused", "rows.jsonl", "whole", "side", PROGRESS + ".new", "lock", PROGRESS}) {
            Files.deleteIfExists(folder.resolve(name));
        }
        Files.deleteIfExists(folder);
    }

    /** Without {@link #finish}, leaves what was committed for a resumed run; nothing when nothing was. */
    @Override
    public void close() {
        try {
            body.channel.close();
            rows.channel.close();
            if (lock.isOpen()) {
                if (committed) {
                    lock.close();
                } else {
                    clear();
                }
            }
        } catch (IOException e) {
            throw writeFailure(target, e);
        }
    }
}
