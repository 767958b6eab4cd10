package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Reads Python's pickle format as far as torch.load(weights_only=True) does (torch/_weights_only_unpickler.py): the same operations, the same
 * names, and numpy's scalars besides. A pickle is a program that names functions to call; here every name is looked up in a fixed table, its
 * result is computed by this class, and every other name or operation ends the reading. Nothing of the file is executed.
 */
final class PickleMachine {
    private static final int MOST_OPERATIONS = 5_000_000;
    private static final int MOST_TEXT = 64 << 20;
    private static final int DEEPEST = 10_000;

    /** Storage classes by the element type that they hold. */
    private static final Map<String, ElementType> STORAGES = Map.ofEntries(
            Map.entry("DoubleStorage", ElementType.F64),
            Map.entry("FloatStorage", ElementType.F32),
            Map.entry("HalfStorage", ElementType.F16),
            Map.entry("BFloat16Storage", ElementType.BF16),
            Map.entry("LongStorage", ElementType.I64),
            Map.entry("IntStorage", ElementType.I32),
            Map.entry("ShortStorage", ElementType.I16),
            Map.entry("CharStorage", ElementType.I8),
            Map.entry("ByteStorage", ElementType.U8),
            Map.entry("BoolStorage", ElementType.BOOL),
            Map.entry("ComplexFloatStorage", ElementType.C64),
            Map.entry("UntypedStorage", ElementType.U8));

    private static final Map<String, ElementType> TYPES = Map.ofEntries(
            Map.entry("torch.float64", ElementType.F64),
            Map.entry("torch.float32", ElementType.F32),
            Map.entry("torch.float16", ElementType.F16),
            Map.entry("torch.bfloat16", ElementType.BF16),
            Map.entry("torch.float8_e4m3fn", ElementType.F8_E4M3),
            Map.entry("torch.float8_e5m2", ElementType.F8_E5M2),
            Map.entry("torch.complex64", ElementType.C64),
            Map.entry("torch.int64", ElementType.I64),
            Map.entry("torch.int32", ElementType.I32),
            Map.entry("torch.int16", ElementType.I16),
            Map.entry("torch.int8", ElementType.I8),
            Map.entry("torch.uint8", ElementType.U8),
            Map.entry("torch.uint16", ElementType.U16),
            Map.entry("torch.uint32", ElementType.U32),
            Map.entry("torch.uint64", ElementType.U64),
            Map.entry("torch.bool", ElementType.BOOL));

    /** What Python 2 and numpy 1 called it, by today's name. */
    private static final Map<String, String> RENAMED = Map.of(
            "__builtin__.set", "builtins.set",
            "__builtin__.complex", "builtins.complex",
            "__builtin__.bytearray", "builtins.bytearray",
            "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar");

    /** The names that may be called. */
    private static final List<String> CALLABLE = List.of(
            "collections.OrderedDict",
            "collections.Counter",
            "torch.Size",
            "torch.device",
            "torch._utils._rebuild_tensor",
            "torch._utils._rebuild_tensor_v2",
            "torch._utils._rebuild_tensor_v3",
            "torch._utils._rebuild_parameter",
            "torch._utils._rebuild_parameter_with_state",
            "torch._tensor._rebuild_from_type_v2",
            "torch.serialization._get_layout",
            "_codecs.encode",
            "builtins.set",
            "builtins.complex",
            "builtins.bytearray",
            "numpy.dtype",
            "numpy._core.multiarray.scalar");

    /** Names that only stand for themselves. */
    private static final List<String> NAMES =
            List.of("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer");

    private final Path file;
    private final ProtoReader.Bytes bytes;
    private final long end;
    private long position;
    private long text;

    private final Map<Long, Object> memo = new HashMap<>();
    private final Deque<List<Object>> marks = new ArrayDeque<>();
    private List<Object> stack = new ArrayList<>();
    private Consumer<Storage> storages = storage -> {};

    /** Stands for Python's None, so that collections need no null. */
    static final Object NONE = new Object();

    /** A function or class. */
    record Global(String name) {}

    /** A tuple. */
    record Tuple(List<Object> items) {}

    /** A value that is no number, text or collection, kept only so that it can be passed by. */
    record Opaque(String what) {}

    /** A dictionary; keys that are no numbers or texts can be stored, not found. */
    static final class Dict {
        private final Map<Object, Object> map = new LinkedHashMap<>();

        void put(Object key, Object value) {
            boolean plain = key instanceof String || key instanceof Number || key instanceof Boolean;
            map.put(plain ? key : new Opaque("key"), value);
        }

        /** The entries, in order; keys that are no text or number are {@link Opaque}. */
        Map<Object, Object> entries() {
            return Collections.unmodifiableMap(map);
        }
    }

    /** numpy's name of a scalar type, {@code f8}, and its byte order. */
    private static final class NumpyType {
        private final String name;
        private boolean bigEndian;

        NumpyType(String name) {
            this.name = name;
        }
    }

    /**
     * A block of numbers.
     *
     * @param key its name in the file
     * @param type its element type; bytes when it is untyped
     * @param elements its length in elements of that type
     * @param first where a view of it begins, in elements; 0 but in the oldest files
     */
    record Storage(String key, ElementType type, long elements, long first) {}

    /** A tensor over a storage, all sizes checked; {@code offset} and strides count elements of {@code type}. */
    record Strided(
            Storage storage,
            ElementType type,
            long offset,
            List<Long> size,
            List<Long> stride,
            long elements,
            long span)
            implements NamedSource.Described {
        @Override
        public TensorInfo info() {
            return new TensorInfo(type.name(), size);
        }
    }

    /** Reads a pickle that begins at {@code position}. */
    PickleMachine(Path file, ProtoReader.Bytes bytes, long position, long end) {
        this.file = file;
        this.bytes = bytes;
        this.position = position;
        this.end = end;
    }

    /** Tells {@code storages} each storage that is named from now on. */
    void onStorage(Consumer<Storage> consumer) {
        storages = consumer;
    }

    /** Where the next byte is. */
    long position() {
        return position;
    }

    /** Runs to the end of the next pickle; what it is: text, numbers, Boolean, List, or a type of this class. */
    Object load() throws IOException {
        memo.clear();
        marks.clear();
        stack = new ArrayList<>();
        for (int i = 0; i < MOST_OPERATIONS; i++) {
            int op = u1();
            if (op == '.') {
                return pop();
            }
            step(op);
        }
        throw broken("more than " + MOST_OPERATIONS + " operations");
    }

    private void step(int op) throws IOException {
        switch (op) {
            case 0x80 -> u1(); // PROTO
            case 'c' -> push(global(line(), line()));
            case 0x81 -> { // NEWOBJ
                Tuple args = pop(Tuple.class);
                push(call(pop(Global.class), args.items()));
            }
            case 'R' -> {
                Tuple args = pop(Tuple.class);
                push(call(pop(Global.class), args.items()));
            }
            case 'b' -> build(pop());
            case 'a' -> {
                Object item = pop();
                list().add(item);
            }
            case 'e' -> {
                List<Object> items = popMark();
                list().addAll(items);
            }
            case 's' -> {
                Object value = pop();
                Object key = pop();
                dict().put(key, value);
            }
            case 'u' -> {
                List<Object> items = popMark();
                if (items.size() % 2 != 0) {
                    throw broken("a key without a value");
                }
                Dict dict = dict();
                for (int i = 0; i < items.size(); i += 2) {
                    dict.put(items.get(i), items.get(i + 1));
                }
            }
            case '(' -> {
                if (marks.size() >= DEEPEST) {
                    throw broken("more than " + DEEPEST + " nested values");
                }
                marks.push(stack);
                stack = new ArrayList<>();
            }
            case 't' -> push(new Tuple(popMark()));
            case ')' -> push(new Tuple(List.of()));
            case 0x85 -> pushTuple(1);
            case 0x86 -> pushTuple(2);
            case 0x87 -> pushTuple(3);
            case 'N' -> push(NONE);
            case 0x88 -> push(Boolean.TRUE);
            case 0x89 -> push(Boolean.FALSE);
            case ']' -> push(new ArrayList<>());
            case '}' -> push(new Dict());
            case 0x8f -> push(new Opaque("set"));
            case 'J' -> push((long) (int) number(4));
            case 'K' -> push((long) u1());
            case 'M' -> push(number(2));
            case 0x8a -> push(integer(take(u1())));
            case 'G' -> push(Double.longBitsToDouble(Long.reverseBytes(number(8))));
            case 'X' -> push(new String(take(number(4)), StandardCharsets.UTF_8));
            case 'U' -> push(new String(take(u1()), StandardCharsets.UTF_8));
            case 'Q' -> push(storage(pop(Tuple.class).items()));
            case 'h' -> push(recall(u1()));
            case 'j' -> push(recall(number(4)));
            case 'q' -> memo.put((long) u1(), top());
            case 'r' -> memo.put(number(4), top());
            default -> throw refused("operation 0x" + Integer.toHexString(op) + " before byte " + position);
        }
    }

    /** GLOBAL: a name must be in one of the tables. */
    private Object global(String module, String attribute) {
        String given = module + "." + attribute;
        String name = RENAMED.getOrDefault(given, given);
        if (TYPES.containsKey(name) || CALLABLE.contains(name) || NAMES.contains(name) || storageType(name) != null) {
            return new Global(name);
        }
        throw refused("the name " + quote(given));
    }

    private static @Nullable ElementType storageType(String name) {
        for (String module : List.of("torch.", "torch.cuda.", "torch.storage.")) {
            if (name.startsWith(module) && STORAGES.containsKey(name.substring(module.length()))) {
                return STORAGES.get(name.substring(module.length()));
            }
        }
        return null;
    }

    /** REDUCE and NEWOBJ: the few functions that build data. */
    private Object call(Global function, List<Object> args) {
        return switch (function.name()) {
            case "collections.OrderedDict", "collections.Counter" -> orderedDict(args);
            case "torch.Size" -> new ArrayList<>(items(arg(args, 0)));
            case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2" -> tensor(args, null);
            case "torch._utils._rebuild_tensor_v3" -> tensor(args, type(arg(args, 6)));
            case "torch._utils._rebuild_parameter",
                    "torch._utils._rebuild_parameter_with_state",
                    "torch.nn.parameter.Parameter",
                    "torch.nn.parameter.Buffer" -> cast(arg(args, 0), Strided.class);
            case "torch._tensor._rebuild_from_type_v2" -> rebuildFromType(args);
            case "_codecs.encode" -> encode(args);
            case "numpy.dtype" -> new NumpyType(cast(arg(args, 0), String.class));
            case "numpy._core.multiarray.scalar" ->
                numpyScalar(cast(arg(args, 0), NumpyType.class), cast(arg(args, 1), byte[].class));
            case "torch.device",
                    "torch.serialization._get_layout",
                    "builtins.set",
                    "builtins.complex",
                    "builtins.bytearray" -> new Opaque(function.name());
            default -> throw refused("a call of " + quote(function.name()));
        };
    }

    /** A tensor subclass: what torch.Tensor and Parameter are made from, their attributes ignored. */
    private Object rebuildFromType(List<Object> args) {
        Global function = cast(arg(args, 0), Global.class);
        Global type = cast(arg(args, 1), Global.class);
        if (!NAMES.contains(type.name()) || !function.name().startsWith("torch._utils._rebuild_")) {
            throw refused("a tensor of class " + quote(type.name()));
        }
        return call(function, items(arg(args, 2)));
    }

    private Object orderedDict(List<Object> args) {
        var dict = new Dict();
        if (args.isEmpty()) {
            return dict;
        }
        if (args.get(0) instanceof Dict other) {
            other.entries().forEach(dict::put);
            return dict;
        }
        for (Object pair : items(args.get(0))) {
            List<Object> items = items(pair);
            dict.put(arg(items, 0), arg(items, 1));
        }
        return dict;
    }

    /** BUILD: attributes of an OrderedDict (a state dict's {@code _metadata}) are dropped; numpy types say their byte order. */
    private void build(Object state) {
        Object target = top();
        if (target instanceof NumpyType type) {
            type.bigEndian = ">".equals(arg(items(state), 1));
        } else if (!(target instanceof Dict)) {
            throw refused("attributes for " + kind(target));
        }
    }

    /** Python 2's way of writing bytes: text of characters up to 255. */
    private Object encode(List<Object> args) {
        String characters = cast(arg(args, 0), String.class);
        if (args.size() > 1 && !"latin1".equals(args.get(1))
                || characters.chars().anyMatch(c -> c > 255)) {
            throw refused("an encoding other than latin1");
        }
        return characters.getBytes(StandardCharsets.ISO_8859_1);
    }

    private Object numpyScalar(NumpyType type, byte[] data) {
        var in = ByteBuffer.wrap(data).order(type.bigEndian ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN);
        if (!type.name.matches("[fiub][1248]") || data.length != type.name.charAt(1) - '0') {
            throw refused("a numpy scalar of type " + quote(type.name) + " with " + data.length + " bytes");
        }
        return switch (type.name) {
            case "f4" -> (double) in.getFloat();
            case "f8" -> in.getDouble();
            case "b1" -> in.get() != 0;
            case "i1" -> (long) in.get();
            case "u1" -> in.get() & 0xffL;
            case "i2" -> (long) in.getShort();
            case "u2" -> in.getShort() & 0xffffL;
            case "i4" -> (long) in.getInt();
            case "u4" -> in.getInt() & 0xffffffffL;
            case "i8", "u8" -> in.getLong();
            default -> throw refused("a numpy scalar of type " + quote(type.name));
        };
    }

    /** BINPERSID: ("storage", class, key, device, length[, view]). */
    private Object storage(List<Object> id) {
        if (!"storage".equals(arg(id, 0))) {
            throw refused("a reference to something that is no storage");
        }
        Global storageClass = cast(arg(id, 1), Global.class);
        ElementType type = storageType(storageClass.name());
        if (type == null) {
            throw broken("a storage of class " + quote(storageClass.name()));
        }
        Object key = arg(id, 2);
        if (!(key instanceof String || key instanceof Long)) {
            throw broken("a storage named by " + kind(key));
        }
        long elements = natural(arg(id, 4));
        long first = 0;
        if (id.size() > 5 && id.get(5) != NONE) { // the oldest files: (key, offset, length) of a view
            List<Object> view = items(id.get(5));
            first = natural(arg(view, 1));
            long length = natural(arg(view, 2));
            if (first > elements || length > elements - first) {
                throw broken("a view of " + length + " elements at " + first + " of a storage of " + elements);
            }
        }
        if (elements > Long.MAX_VALUE / 16) {
            throw broken("a storage of " + elements + " elements");
        }
        var storage = new Storage(key.toString(), type, elements, first);
        storages.accept(storage);
        return storage;
    }

    /** (storage, offset, size, stride, ...). */
    private Strided tensor(List<Object> args, @Nullable ElementType given) {
        Storage storage = cast(arg(args, 0), Storage.class);
        ElementType type = given == null ? storage.type() : given;
        long offset = natural(arg(args, 1));
        List<Long> size = naturals(arg(args, 2));
        List<Long> stride = naturals(arg(args, 3));
        if (size.size() != stride.size() || size.size() > 64) {
            throw broken("a tensor of " + size.size() + " sizes and " + stride.size() + " strides");
        }
        long elements = TensorMemory.elements(file, "of storage " + storage.key(), type, size);
        long room = (storage.elements() - storage.first()) * storage.type().bytes() / type.bytes();
        try {
            long span = elements == 0 ? 0 : 1;
            for (int i = 0; i < size.size() && elements > 0; i++) {
                span = Math.addExact(span, Math.multiplyExact(size.get(i) - 1, stride.get(i)));
            }
            if (Math.addExact(offset, span) > room) {
                throw new ArithmeticException("outside");
            }
            if (elements > room && elements > 1 << 20) {
                throw broken("a tensor of shape " + size + " over a storage of " + room + " elements");
            }
            return new Strided(storage, type, offset, size, stride, elements, span);
        } catch (ArithmeticException e) {
            throw broken("a tensor of shape " + size + ", strides " + stride + " at element " + offset
                    + " of a storage of " + room + " elements");
        }
    }

    private ElementType type(Object value) {
        ElementType type = TYPES.get(cast(value, Global.class).name());
        if (type == null) {
            throw broken("a tensor whose type is " + kind(value));
        }
        return type;
    }

    private List<Long> naturals(Object value) {
        return items(value).stream().map(this::natural).toList();
    }

    private long natural(Object value) {
        if (value instanceof Long number && number >= 0) {
            return number;
        }
        throw broken("a size or offset that is " + (value instanceof Number ? value : kind(value)));
    }

    private List<Object> items(Object value) {
        if (value instanceof Tuple tuple) {
            return tuple.items();
        }
        return listOf(value);
    }

    @SuppressWarnings("unchecked") // every List that is pushed is a List<Object>
    private List<Object> listOf(Object value) {
        return (List<Object>) cast(value, List.class);
    }

    private Object arg(List<Object> args, int index) {
        if (index >= args.size()) {
            throw broken("a call with " + args.size() + " arguments");
        }
        return args.get(index);
    }

    private <T> T cast(Object value, Class<T> type) {
        if (!type.isInstance(value)) {
            throw broken(kind(value) + " where " + type.getSimpleName() + " is needed");
        }
        return type.cast(value);
    }

    /** What a value is, in a word; never its content, which may be endless. */
    private static String kind(Object value) {
        return value instanceof Global global
                ? quote(global.name())
                : value == NONE ? "None" : value.getClass().getSimpleName();
    }

    private void push(Object value) {
        stack.add(value);
    }

    private void pushTuple(int size) {
        Object[] items = new Object[size];
        for (int i = size - 1; i >= 0; i--) {
            items[i] = pop();
        }
        push(new Tuple(List.of(items)));
    }

    private Object pop() {
        if (stack.isEmpty()) {
            throw broken("an operation without its operands");
        }
        return stack.remove(stack.size() - 1);
    }

    private <T> T pop(Class<T> type) {
        return cast(pop(), type);
    }

    private Object top() {
        Object value = pop();
        push(value);
        return value;
    }

    private List<Object> list() {
        return listOf(top());
    }

    private Dict dict() {
        return cast(top(), Dict.class);
    }

    private List<Object> popMark() {
        if (marks.isEmpty()) {
            throw broken("an operation without its operands");
        }
        List<Object> items = stack;
        stack = marks.pop();
        return items;
    }

    private Object recall(long index) {
        Object value = memo.get(index);
        if (value == null) {
            throw broken("a value that was never stored, " + index);
        }
        return value;
    }

    /** LONG1: little-endian two's complement. */
    private static Object integer(byte[] data) {
        byte[] reversed = new byte[data.length];
        for (int i = 0; i < data.length; i++) {
            reversed[i] = data[data.length - 1 - i];
        }
        BigInteger value = data.length == 0 ? BigInteger.ZERO : new BigInteger(reversed);
        return value.bitLength() < 64 ? (Object) value.longValue() : value;
    }

    private int u1() throws IOException {
        if (position >= end) {
            throw broken("its end");
        }
        return bytes.at(position++);
    }

    private long number(int size) throws IOException {
        long number = 0;
        for (int i = 0; i < size; i++) {
            number |= (long) u1() << (8 * i);
        }
        return number;
    }

    private byte[] take(long length) throws IOException {
        text += length;
        if (length > end - position || text > MOST_TEXT) {
            throw broken("a text of " + length + " bytes");
        }
        byte[] taken = new byte[(int) length];
        for (int i = 0; i < taken.length; i++) {
            taken[i] = (byte) bytes.at(position++);
        }
        return taken;
    }

    private String line() throws IOException {
        var line = new StringBuilder();
        for (int c = u1(); c != '\n'; c = u1()) {
            if (line.length() > 1000) {
                throw broken("a name of more than 1000 bytes");
            }
            line.append((char) c);
        }
        return line.toString();
    }

    private WeightFormatException refused(String what) {
        return new WeightFormatException(
                file,
                "holds " + what
                        + "; only tensors and plain values are read from PyTorch files, nothing in them is executed. If you trust it, "
                        + "load it in Python and save its state_dict as safetensors");
    }

    private WeightFormatException broken(String found) {
        return new WeightFormatException(
                file,
                "expected a PyTorch pickle, found " + found + " before byte " + position
                        + "; the file is damaged, fetch it again");
    }
}
