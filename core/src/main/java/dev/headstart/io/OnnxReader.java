package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The weights (initializers) of an ONNX file, as the exporter of PyTorch writes it (onnx/onnx.proto). Most carry the names that they had in
 * PyTorch. The weights of Linear layers do not: they are anonymous and transposed, and are named here after the layer that uses them.
 */
public final class OnnxReader {
    private static final int MOST_ENTRIES = 1_000_000;

    private OnnxReader() {}

    /**
     * Opens an ONNX file under the PyTorch names, with linear weights as PyTorch has them, [out, in].
     *
     * @param file an ONNX model
     * @param map whether files may be mapped; see {@link Safetensors#open}
     * @throws WeightFormatException when it is damaged or its weights lie outside its folder
     */
    public static TensorSource open(Path file, boolean map) {
        Source source = openStored(file, map);
        try {
            return new RenamedSource(file, source, torchNames(source));
        } catch (RuntimeException e) {
            source.close();
            throw e;
        }
    }

    /** Opens an ONNX file under the names and in the orientation in which it stores its initializers. */
    static Source openStored(Path path, boolean map) {
        @Nullable WeightFile file = null;
        @Nullable Source source = null;
        try {
            file = WeightFile.open(path, map);
            var parser = new Parser(file);
            parser.model(new ProtoReader(path, file.window(), 0, file.size()));
            source = new Source(file, map, parser.entries, parser.nodes);
            return source;
        } catch (IOException e) {
            throw new WeightFormatException(
                    path, "expected a readable ONNX file, found an error: " + StagedFile.reason(e), e);
        } finally {
            if (source == null && file != null) {
                file.close();
            }
        }
    }

    /** A MatMul, Gemm or Add. */
    private record Node(String op, String name, List<String> inputs, List<String> outputs, boolean transB) {}

    /** Where a tensor's numbers are: raw bytes, or the whole TensorProto with typed numbers, or another file. */
    private enum Kind {
        RAW,
        TYPED,
        EXTERNAL
    }

    private record Entry(
            TensorInfo info,
            ElementType type,
            long elements,
            Kind kind,
            long begin,
            long end,
            @Nullable String external)
            implements NamedSource.Described {}

    /** The initializers as stored. */
    static final class Source extends NamedSource<Entry> {
        private final WeightFile file;
        private final boolean map;
        private final List<Node> nodes;

        private Source(WeightFile file, boolean map, Map<String, Entry> entries, List<Node> nodes) {
            super(file.path(), entries);
            this.file = file;
            this.map = map;
            this.nodes = nodes;
        }

        @Override
        Tensor read(String name, Entry entry) throws IOException {
            Tensor tensor = switch (entry.kind()) {
                case RAW -> file.elements(entry.type(), entry.begin(), entry.elements());
                case TYPED -> typed(name, entry);
                case EXTERNAL -> external(name, entry);
            };
            return TensorMemory.shaped(tensor, entry.info().shape());
        }

        private Tensor external(String name, Entry entry) throws IOException {
            Path other = file.path().resolveSibling(String.valueOf(entry.external()));
            if (!Files.isRegularFile(other)) {
                throw new WeightFormatException(
                        path(),
                        "expected the numbers of tensor " + quote(name) + " in " + other
                                + ", found no such file; fetch it too");
            }
            try (var data = WeightFile.open(other, map)) {
                if (entry.begin() > data.size() || entry.end() > data.size()) {
                    throw new WeightFormatException(
                            other,
                            "tensor " + quote(name) + " should lie at bytes " + entry.begin() + " to " + entry.end()
                                    + ", the file has " + data.size() + "; it is truncated, fetch it again");
                }
                return data.elements(entry.type(), entry.begin(), entry.elements());
            }
        }

        /** Numbers in float_data, int32_data, int64_data, double_data or uint64_data, packed or one by one. */
        private Tensor typed(String name, Entry entry) throws IOException {
            Tensor tensor = TensorMemory.empty(entry.type(), entry.elements());
            var proto = new ProtoReader(path(), file.window(), entry.begin(), entry.end());
            int[] left = {(int) entry.elements()};
            TensorMemory.forEachChunk(tensor, (chunk, offset) -> {
                ByteBuffer out = chunk.order(ByteOrder.LITTLE_ENDIAN);
                if (offset > 0) {
                    throw new WeightFormatException(
                            path(), "tensor " + quote(name) + " is too large for typed numbers; export it again");
                }
                while (proto.next()) {
                    if (isNumbers(proto.field()) && proto.isNumber()) {
                        put(out, name, proto.number(), entry.type(), left);
                    } else if (isNumbers(proto.field()) && proto.isFixed()) {
                        put(out, name, proto.fixedValue(), entry.type(), left);
                    } else if (isNumbers(proto.field())) {
                        int fixed = proto.field() == 4 ? 4 : proto.field() == 10 ? 8 : 0;
                        var packed = proto.message();
                        while (packed.hasMore()) {
                            put(out, name, fixed > 0 ? packed.fixed(fixed) : packed.varint(), entry.type(), left);
                        }
                    }
                }
            });
            if (left[0] != 0) {
                throw new WeightFormatException(
                        path(),
                        "tensor " + quote(name) + " lacks " + left[0] + " of its " + entry.elements()
                                + " numbers; the file is damaged");
            }
            return tensor;
        }

        private void put(ByteBuffer out, String name, long number, ElementType type, int[] left) {
            if (left[0]-- == 0) {
                throw new WeightFormatException(
                        path(), "tensor " + quote(name) + " has more numbers than its shape; the file is damaged");
            }
            switch (type.bytes()) {
                case 1 -> out.put((byte) number);
                case 2 -> out.putShort((short) number);
                case 4 -> out.putInt((int) number);
                default -> out.putLong(number);
            }
        }

        @Override
        public void close() {
            file.close();
        }
    }

    private static boolean isNumbers(int field) {
        return field == 4 || field == 5 || field == 7 || field == 10 || field == 11;
    }

    /**
     * The names of the weights in PyTorch. An anonymous weight of a MatMul gets the name of the bias that is added to the product, or, without
     * one, of the node's scope: {@code /encoder/layer.0/attention/self/query/MatMul}.
     */
    private static Map<String, RenamedSource.Stored> torchNames(Source source) {
        var biasOf = new HashMap<String, String>();
        for (Node node : source.nodes) {
            if (node.op().equals("Add") && node.inputs().size() == 2) {
                for (int i = 0; i < 2; i++) {
                    String bias = node.inputs().get(i);
                    if (bias.endsWith(".bias") && source.names().contains(bias)) {
                        biasOf.put(node.inputs().get(1 - i), bias);
                    }
                }
            }
        }
        var names = new HashMap<String, RenamedSource.Stored>();
        for (Node node : source.nodes) {
            boolean linear = !node.op().equals("Add")
                    && node.inputs().size() >= 2
                    && !node.outputs().isEmpty();
            String weight = linear ? node.inputs().get(1) : "";
            if (linear
                    && !node.transB()
                    && source.names().contains(weight)
                    && source.info(weight).shape().size() == 2) {
                String torchName =
                        torchName(node, weight, biasOf.get(node.outputs().get(0)));
                if (torchName != null) {
                    names.putIfAbsent(weight, new RenamedSource.Stored(torchName, true));
                }
            }
        }
        var stored = new LinkedHashMap<String, RenamedSource.Stored>();
        for (String name : source.names()) {
            var named = names.getOrDefault(name, new RenamedSource.Stored(name, false));
            if (stored.put(named.name(), new RenamedSource.Stored(name, named.transposed())) != null) {
                throw new WeightFormatException(
                        source.path(),
                        "two weights would be named " + quote(named.name()) + "; export the model again");
            }
        }
        return stored;
    }

    private static @Nullable String torchName(Node node, String weight, @Nullable String bias) {
        if (!weight.startsWith("onnx::") && !weight.chars().allMatch(Character::isDigit)) {
            return null; // it has a name of its own, and the orientation that this name stands for
        }
        if (node.inputs().size() > 2 && node.inputs().get(2).endsWith(".bias")) {
            bias = node.inputs().get(2); // Gemm
        }
        if (bias != null) {
            return bias.substring(0, bias.length() - "bias".length()) + "weight";
        }
        int last = node.name().lastIndexOf('/');
        if (!node.name().startsWith("/") || last <= 0) {
            return null;
        }
        return node.name().substring(1, last).replace('/', '.') + ".weight";
    }

    /** Walks ModelProto, GraphProto, NodeProto, TensorProto. */
    private static final class Parser {
        private final WeightFile file;
        private final Map<String, Entry> entries = new LinkedHashMap<>();
        private final List<Node> nodes = new ArrayList<>();
        private boolean hasGraph;

        Parser(WeightFile file) {
            this.file = file;
        }

        void model(ProtoReader model) throws IOException {
            while (model.next()) {
                if (model.field() == 7) {
                    hasGraph = true;
                    graph(model.message());
                }
            }
            if (!hasGraph) {
                throw broken("expected an ONNX model, found no graph in it");
            }
        }

        private void graph(ProtoReader graph) throws IOException {
            while (graph.next()) {
                if (graph.field() == 1) {
                    node(graph.message());
                } else if (graph.field() == 5) {
                    initializer(graph.message(), graph.begin());
                }
                if (nodes.size() > MOST_ENTRIES || entries.size() > MOST_ENTRIES) {
                    throw broken("expected at most " + MOST_ENTRIES + " nodes and weights, found more");
                }
            }
        }

        private void node(ProtoReader node) throws IOException {
            var inputs = new ArrayList<String>();
            var outputs = new ArrayList<String>();
            String name = "";
            String op = "";
            boolean transB = false;
            while (node.next()) {
                switch (node.field()) {
                    case 1 -> add(inputs, node.text());
                    case 2 -> add(outputs, node.text());
                    case 3 -> name = node.text();
                    case 4 -> op = node.text();
                    case 5 -> transB |= isTransB(node.message());
                    default -> {}
                }
            }
            if (op.equals("MatMul") || op.equals("Gemm") || op.equals("Add")) {
                nodes.add(new Node(op, name, List.copyOf(inputs), List.copyOf(outputs), transB));
            }
        }

        private void add(List<String> names, String name) {
            if (names.size() >= 10_000) {
                throw broken("expected at most 10000 inputs of a node, found more");
            }
            names.add(name);
        }

        private static boolean isTransB(ProtoReader attribute) throws IOException {
            boolean named = false;
            long value = 0;
            while (attribute.next()) {
                if (attribute.field() == 1) {
                    named = attribute.length() == 6 && attribute.text().equals("transB");
                } else if (attribute.field() == 3) {
                    value = attribute.number();
                }
            }
            return named && value != 0;
        }

        private void initializer(ProtoReader tensor, long begin) throws IOException {
            var shape = new ArrayList<Long>();
            var external = new HashMap<String, String>();
            String name = "";
            long dataType = 0;
            boolean elsewhere = false;
            boolean typed = false;
            long rawBegin = -1;
            long rawLength = 0;
            long end = begin;
            while (tensor.next()) {
                switch (tensor.field()) {
                    case 1 -> dims(tensor, shape);
                    case 2 -> dataType = tensor.number();
                    case 4, 5, 7, 10, 11 -> typed = true;
                    case 8 -> name = tensor.text();
                    case 9 -> {
                        rawBegin = tensor.begin();
                        rawLength = tensor.length();
                    }
                    case 13 -> keyValue(tensor.message(), external);
                    case 14 -> elsewhere = tensor.number() != 0;
                    default -> {}
                }
                end = tensor.position();
            }
            ElementType type = type(dataType);
            if (type == null) {
                if (dataType == 8) {
                    return; // strings are no weights
                }
                throw broken("tensor " + quote(name) + " has ONNX type " + dataType
                        + ", which is not read; expected one of " + ElementType.allNames());
            }
            long elements = TensorMemory.elements(file.path(), name, type, shape);
            long bytes = elements * type.bytes();
            var info = new TensorInfo(type.name(), List.copyOf(shape));
            Entry entry;
            if (elsewhere) {
                entry = external(name, info, type, elements, external);
            } else if (rawBegin >= 0) {
                if (rawLength != bytes) {
                    throw broken("tensor " + quote(name) + " of type " + type + " and shape " + shape + " needs "
                            + bytes + " bytes, found " + rawLength);
                }
                entry = new Entry(info, type, elements, Kind.RAW, rawBegin, rawBegin + rawLength, null);
            } else if (elements == 0 || typed && elements <= end - begin) {
                entry = new Entry(info, type, elements, Kind.TYPED, begin, end, null);
            } else {
                throw broken("tensor " + quote(name) + " of shape " + shape + " has too few numbers");
            }
            if (entries.put(name, entry) != null) {
                throw broken("expected different names, found the weight " + quote(name) + " twice");
            }
        }

        private void dims(ProtoReader tensor, List<Long> shape) throws IOException {
            if (tensor.isNumber()) {
                shape.add(tensor.number());
            } else {
                var packed = tensor.message();
                while (packed.hasMore() && shape.size() <= 64) {
                    shape.add(packed.varint());
                }
            }
            if (shape.size() > 64) {
                throw broken("expected at most 64 dimensions, found more");
            }
        }

        private void keyValue(ProtoReader pair, Map<String, String> into) throws IOException {
            String key = "";
            String value = "";
            while (pair.next()) {
                if (pair.field() == 1) {
                    key = pair.text();
                } else if (pair.field() == 2) {
                    value = pair.text();
                }
            }
            if (into.size() < 16) {
                into.put(key, value);
            }
        }

        private Entry external(
                String name, TensorInfo info, ElementType type, long elements, Map<String, String> where) {
            String location = where.getOrDefault("location", "");
            if (!Checkpoint.isPlainFileName(location)) {
                throw broken("tensor " + quote(name) + " lies in " + quote(location)
                        + ", expected the plain name of a file beside it");
            }
            long bytes = elements * type.bytes();
            long offset = decimal(name, where.getOrDefault("offset", "0"));
            long length = decimal(name, where.getOrDefault("length", Long.toString(bytes)));
            if (length != bytes || offset > Long.MAX_VALUE - bytes) {
                throw broken("tensor " + quote(name) + " of type " + type + " and shape " + info.shape() + " needs "
                        + bytes + " bytes, found " + length + " at " + offset);
            }
            return new Entry(info, type, elements, Kind.EXTERNAL, offset, offset + bytes, location);
        }

        private long decimal(String name, String text) {
            if (!text.matches("\\d{1,18}")) {
                throw broken(
                        "tensor " + quote(name) + " has the external place " + quote(text) + ", expected a number");
            }
            return Long.parseLong(text);
        }

        /** TensorProto.DataType. */
        private static @Nullable ElementType type(long dataType) {
            return switch ((int) dataType) {
                case 1 -> ElementType.F32;
                case 2 -> ElementType.U8;
                case 3 -> ElementType.I8;
                case 4 -> ElementType.U16;
                case 5 -> ElementType.I16;
                case 6 -> ElementType.I32;
                case 7 -> ElementType.I64;
                case 9 -> ElementType.BOOL;
                case 10 -> ElementType.F16;
                case 11 -> ElementType.F64;
                case 12 -> ElementType.U32;
                case 13 -> ElementType.U64;
                case 14 -> ElementType.C64;
                case 16 -> ElementType.BF16;
                case 17 -> ElementType.F8_E4M3;
                case 19 -> ElementType.F8_E5M2;
                default -> null;
            };
        }

        private WeightFormatException broken(String problem) {
            return new WeightFormatException(
                    file.path(), problem + "; if the file should be an ONNX model, fetch it again");
        }
    }
}
