package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * numpy's arrays in files ({@code .npy}, numpy.lib.format versions 1 to 3) and archives of them ({@code .npz}): numbers and booleans in
 * little-endian order. Arrays of Python objects, which numpy unpickles, are refused.
 */
public final class Npy {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final int LARGEST_HEADER = 1 << 16;
    private static final Pattern DESCR = Pattern.compile("'descr'\\s*:\\s*'([^']{1,10})'");
    private static final Pattern FORTRAN = Pattern.compile("'fortran_order'\\s*:\\s*(True|False)");
    private static final Pattern SHAPE = Pattern.compile("'shape'\\s*:\\s*\\(([0-9,\\s]*)\\)");

    /** numpy's names of the types that files hold. */
    private static final Map<String, ElementType> TYPES = Map.ofEntries(
            Map.entry("<f8", ElementType.F64),
            Map.entry("<f4", ElementType.F32),
            Map.entry("<f2", ElementType.F16),
            Map.entry("<c8", ElementType.C64),
            Map.entry("<i8", ElementType.I64),
            Map.entry("<i4", ElementType.I32),
            Map.entry("<i2", ElementType.I16),
            Map.entry("|i1", ElementType.I8),
            Map.entry("<u8", ElementType.U64),
            Map.entry("<u4", ElementType.U32),
            Map.entry("<u2", ElementType.U16),
            Map.entry("|u1", ElementType.U8),
            Map.entry("|b1", ElementType.BOOL));

    private Npy() {}

    private record Header(ElementType type, List<Long> shape, boolean fortran, long elements) {}

    /**
     * Reads one array.
     *
     * @param file a {@code .npy} file
     * @return contiguous, on the CPU; the caller owns it
     * @throws WeightFormatException when it is damaged or holds something other than numbers
     */
    public static Tensor read(Path file) {
        try (InputStream in = Files.newInputStream(file)) {
            return read(file, in, Files.size(file));
        } catch (IOException e) {
            throw new WeightFormatException(
                    file, "expected a readable .npy file, found an error: " + StagedFile.reason(e), e);
        }
    }

    /**
     * Reads all arrays of an archive.
     *
     * @param file a {@code .npz} file
     * @return by name, without {@code .npy}, in the archive's order; the caller owns them
     * @throws WeightFormatException when it is damaged or holds something other than numbers
     */
    public static Map<String, Tensor> readArchive(Path file) {
        var arrays = new LinkedHashMap<String, Tensor>();
        boolean done = false;
        try (var open = WeightFile.open(file, false)) {
            var zip = new ZipDirectory(open);
            for (var entry : zip.entries().values()) {
                if (entry.name().endsWith(".npy")) {
                    try (InputStream in = zip.open(entry)) {
                        String name = entry.name().substring(0, entry.name().length() - ".npy".length());
                        arrays.put(name, read(file, in, entry.size()));
                    }
                }
            }
            done = true;
            return arrays;
        } catch (IOException e) {
            throw new WeightFormatException(
                    file, "expected a readable .npz archive, found an error: " + StagedFile.reason(e), e);
        } finally {
            if (!done) {
                arrays.values().forEach(Tensor::close);
            }
        }
    }

    /**
     * Writes one array in C order, through a staging file.
     *
     * @param array of any shape, on any device
     * @throws dev.headstart.HeadstartException when it cannot be written, or numpy has no such type (bfloat16)
     */
    public static void write(Path file, Tensor array) {
        ElementType type = ElementType.of(array);
        if (!TYPES.containsValue(type)) {
            throw new WeightFormatException(
                    file, "numpy has no type for " + type + "; convert the tensor to F32 before it is written");
        }
        ByteBuffer start = ByteBuffer.wrap(header(type, array.shape()));
        StagedFile.write(file, channel -> {
            while (start.hasRemaining()) {
                channel.write(start);
            }
            try (var scope = new PointerScope()) {
                TensorMemory.write(array.detach().cpu().contiguous(), channel);
            }
        });
    }

    /**
     * What a {@code .npy} file of an array in C order begins with, for writers that do not hold the whole array: version 1.0, a multiple of 64
     * bytes, 128 for arrays of one or two dimensions.
     *
     * @param type a type that numpy has
     * @param shape sizes of the array
     */
    public static byte[] header(ElementType type, long... shape) {
        String descr = TYPES.entrySet().stream()
                .filter(entry -> entry.getValue() == type)
                .map(Map.Entry::getKey)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("numpy has no type for " + type));
        String sizes = Arrays.stream(shape).mapToObj(Long::toString).collect(Collectors.joining(", "));
        String text = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': ("
                + (shape.length == 1 ? sizes + "," : sizes) + "), }";
        int start = MAGIC.length + 4;
        String padded = text + " ".repeat(Math.floorMod(-(start + text.length() + 1), 64)) + "\n";
        ByteBuffer header = ByteBuffer.allocate(start + padded.length());
        header.put(MAGIC)
                .put((byte) 1)
                .put((byte) 0)
                .put((byte) padded.length())
                .put((byte) (padded.length() >> 8));
        return header.put(padded.getBytes(StandardCharsets.US_ASCII)).array();
    }

    private static Tensor read(Path file, InputStream in, long size) throws IOException {
        byte[] start = in.readNBytes(8);
        if (start.length < 8 || !Arrays.equals(start, 0, 6, MAGIC, 0, 6) || start[6] < 1 || start[6] > 3) {
            throw new WeightFormatException(file, "expected a numpy array (version 1 to 3), found something else");
        }
        byte[] number = in.readNBytes(start[6] == 1 ? 2 : 4);
        long length = 0;
        for (int i = number.length - 1; i >= 0; i--) {
            length = length << 8 | number[i] & 0xff;
        }
        if (length > LARGEST_HEADER) {
            throw new WeightFormatException(
                    file, "expected a header of at most " + LARGEST_HEADER + " bytes, found one of " + length);
        }
        Header header = header(file, new String(in.readNBytes((int) length), StandardCharsets.UTF_8));
        long data = size - 8 - number.length - length;
        if (data != header.elements() * header.type().bytes()) {
            throw new WeightFormatException(
                    file,
                    "an array of type " + header.type() + " and shape " + header.shape() + " needs "
                            + header.elements() * header.type().bytes() + " bytes, the file has " + data
                            + "; fetch it again");
        }
        return TensorMemory.owned(() -> {
            Tensor numbers = TensorMemory.empty(header.type(), header.elements());
            TensorMemory.read(in, numbers);
            if (!header.fortran() || header.shape().size() < 2) {
                return TensorMemory.shaped(numbers, header.shape());
            }
            List<Long> reversed = new ArrayList<>(header.shape());
            Collections.reverse(reversed);
            long[] dims = new long[reversed.size()];
            Arrays.setAll(dims, i -> dims.length - 1 - i);
            return TensorMemory.shaped(numbers, reversed).permute(dims).contiguous();
        });
    }

    /** A Python dictionary with three entries. */
    private static Header header(Path file, String text) {
        Matcher descr = DESCR.matcher(text);
        Matcher fortran = FORTRAN.matcher(text);
        Matcher shape = SHAPE.matcher(text);
        if (!descr.find() || !fortran.find() || !shape.find()) {
            throw new WeightFormatException(
                    file,
                    "expected descr, fortran_order and shape of an array of numbers, found " + quote(text.strip()));
        }
        @Nullable ElementType type = TYPES.get(descr.group(1));
        if (type == null) {
            throw new WeightFormatException(
                    file,
                    "holds numpy type " + quote(descr.group(1)) + ", expected one of "
                            + TYPES.keySet().stream().sorted().toList() + "; save it in Python with astype");
        }
        var sizes = new ArrayList<Long>();
        for (String size : shape.group(1).split(",", -1)) {
            if (!size.isBlank()) {
                if (size.strip().length() > 18
                        || sizes.size() >= 64
                        || !size.strip().matches("\\d+")) {
                    throw new WeightFormatException(file, "expected a shape, found " + quote(shape.group(1)));
                }
                sizes.add(Long.parseLong(size.strip()));
            }
        }
        long elements = TensorMemory.elements(file, NamedSource.fileName(file), type, sizes);
        return new Header(type, List.copyOf(sizes), fortran.group(1).equals("True"), elements);
    }
}
