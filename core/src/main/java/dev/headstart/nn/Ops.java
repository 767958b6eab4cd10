package dev.headstart.nn;

import dev.headstart.HeadstartException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.DeviceOptional;
import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.GenericList;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.Type;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Operators that libtorch registers but its Java bindings lack, called through the dispatcher. */
public final class Ops {
    private Ops() {}

    /** An operator by its schema name, {@code mkldnn::_linear_pointwise}; looked up once and kept. */
    public static OperatorHandle find(String name, String overload) {
        return Memory.keep(Dispatcher.singleton().findSchemaOrThrow(name, overload));
    }

    /** An empty list of the element type that argument {@code index} of {@code op} has. */
    public static IValue emptyList(OperatorHandle op, int index) {
        Type.TypePtr element =
                op.schema().arguments().getPointer(index).type().get().containedType(0);
        return Memory.keep(new IValue(new GenericList(Memory.keep(element))));
    }

    /** The element type of a tensor, as the constant that {@code ==} and {@code switch} need (the bindings return copies of it). */
    public static ScalarType type(Tensor x) {
        return x.scalar_type().intern();
    }

    private static final Map<ScalarType, TensorOptions> OPTIONS = new ConcurrentHashMap<>();

    /** Options for a new CPU tensor of the given type; made once (options made per call leak). */
    public static TensorOptions options(ScalarType type) {
        return OPTIONS.computeIfAbsent(type, t -> Memory.keep(new TensorOptions(t)));
    }

    private record On(ScalarType type, DeviceType device, int index) {}

    private static final Map<On, TensorOptions> ELSEWHERE = new ConcurrentHashMap<>();

    /** Options for a new tensor of the given type on a device: what is made there need not be carried there, which on a GPU stalls both sides. */
    public static TensorOptions options(ScalarType type, Device device) {
        return device.is_cpu()
                ? options(type)
                : ELSEWHERE.computeIfAbsent(
                        new On(type, device.type().intern(), device.index()),
                        on -> Memory.scoped(() -> new TensorOptions(type).device(new DeviceOptional(device))));
    }

    /** 0, 1, ... n - 1 as int64 [n], made on a device. */
    public static Tensor upTo(long n, Device device) {
        return torch.arange(new Scalar(n), options(ScalarType.Long, device));
    }

    /** A new CPU tensor, not initialised. */
    public static Tensor empty(ScalarType type, long... shape) {
        return torch.empty(shape, options(type), NO_FORMAT);
    }

    private static final MemoryFormatOptional NO_FORMAT = Memory.keep(new MemoryFormatOptional());

    /** By transformers' name: float32, bfloat16, float16, float64. */
    public static ScalarType typeNamed(String dtype) {
        return switch (dtype) {
            case "float32" -> ScalarType.Float;
            case "bfloat16" -> ScalarType.BFloat16;
            case "float16" -> ScalarType.Half;
            case "float64" -> ScalarType.Double;
            default ->
                throw new HeadstartException(
                        "unknown dtype \"" + dtype + "\"; known: float32, bfloat16, float16, float64");
        };
    }

    /** A list of tensors as an argument; they are shared, not copied. */
    public static IValue list(Iterable<Tensor> tensors) {
        GenericList list = new GenericList(TENSOR);
        for (Tensor t : tensors) {
            list.push_back(new IValue(t));
        }
        return new IValue(list);
    }

    /** A list of whole numbers as an argument. */
    public static IValue longs(long... values) {
        GenericList list = new GenericList(INTEGER);
        for (long v : values) {
            list.push_back(new IValue(v));
        }
        return new IValue(list);
    }

    private static final Type.TypePtr INTEGER = element("aten::permute", 1);

    private static final Type.TypePtr TENSOR = element("aten::cat", 0);

    /** The element type of a list argument. */
    private static Type.TypePtr element(String operator, int argument) {
        return Memory.keep(find(operator, "")
                .schema()
                .arguments()
                .getPointer(argument)
                .type()
                .get()
                .containedType(0));
    }

    /** Calls an operator for what it does to its arguments. */
    public static void run(OperatorHandle op, IValue... arguments) {
        op.callBoxed(new IValueVector(arguments));
    }

    /** Calls an operator with one result of any type. */
    public static IValue result(OperatorHandle op, IValue... arguments) {
        IValueVector stack = new IValueVector(arguments);
        op.callBoxed(stack);
        return new IValue(stack.get(0)); // a handle of its own, as in call
    }

    /** Calls an operator with one tensor result. */
    public static Tensor call(OperatorHandle op, IValue... arguments) {
        IValueVector stack = new IValueVector(arguments);
        op.callBoxed(stack);
        return new Tensor(stack.get(0)
                .toTensor()); // a handle of its own: toTensor() points into the stack, which the scope frees
    }
}
