package dev.headstart.nn;

import dev.headstart.HeadstartException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Context;
import org.bytedeco.pytorch.global.torch.Float32Backend;
import org.bytedeco.pytorch.global.torch.Float32Op;
import org.bytedeco.pytorch.global.torch.Float32Precision;
import org.jspecify.annotations.Nullable;

/**
 * The native libraries of this platform. Headstart itself depends on none: the application adds the artifact of its platform, {@code
 * dev.headstart:headstart-native-linux-x86_64} for instance. {@link #load} says which one is missing.
 */
public final class Natives {
    /** Platforms that libtorch is published for, by JavaCPP's names. */
    private static final Set<String> PUBLISHED = Set.of("linux-x86_64", "macosx-arm64", "windows-x86_64");

    /**
     * What has been loaded.
     *
     * @param platform JavaCPP's name of the platform, with {@code -gpu} where the CUDA build is on the class path
     * @param library the file that was loaded; null when it was found by the system's loader
     * @param torch libtorch's version
     * @param blas what matrix products outside oneDNN use
     * @param oneDnn oneDNN's version; null without it
     * @param capability the instruction set that libtorch's own kernels chose: DEFAULT, AVX2, AVX512
     * @param ownCode whether Headstart makes code of its own for models that generate: x86-64 with AVX-512 on Linux, where the system allows it
     * @param threads threads inside an operation
     * @param interopThreads threads between operations
     * @param cudaBuild whether the libraries were built with CUDA
     * @param gpus CUDA devices that can be used
     */
    public record Facts(
            String platform,
            @Nullable String library,
            String torch,
            String blas,
            @Nullable String oneDnn,
            String capability,
            boolean ownCode,
            int threads,
            int interopThreads,
            boolean cudaBuild,
            List<String> gpus) {}

    private static volatile boolean loaded;
    private static volatile @Nullable String library;

    private Natives() {}

    /**
     * Loads libtorch, once; later calls cost nothing.
     *
     * @throws HeadstartException when the libraries of this platform are not on the class path (it names the artifact) or do not load
     */
    public static void load() {
        if (loaded) return;
        requirePresent(Natives.class.getClassLoader());
        try {
            String last = CachedLibraries.load();
            if (last == null) {
                last = Loader.load(org.bytedeco.pytorch.global.torch.class);
                CachedLibraries.remember();
            }
            library = last;
            loaded = true;
        } catch (UnsatisfiedLinkError | NoClassDefFoundError | ExceptionInInitializerError e) {
            throw new HeadstartException(
                    "the native libraries for " + platform() + " do not load: " + firstLine(e)
                            + "; Headstart needs glibc 2.28 or newer on" + " Linux, and room in JavaCPP's cache "
                            + cacheFolder(),
                    e);
        }
    }

    /**
     * How many threads OpenBLAS uses inside one of its products. Inference wants one: its threads and those of OpenMP, which wait actively for the next
     * operation, otherwise fight for the cores (a step of decoding took five times, attention over 512 tokens twice as long); large products go through
     * oneDNN. Training, whose plain kernels are OpenBLAS products, wants all.
     */
    public static void blasThreads(boolean training) {
        int wanted = training ? org.bytedeco.pytorch.global.torch.get_num_threads() : 1;
        if (blas != wanted) {
            blas = wanted;
            org.bytedeco.openblas.presets.openblas_nolapack.blas_set_num_threads(wanted);
        }
    }

    private static volatile int blas;

    /** JavaCPP's name of this platform: {@code linux-x86_64}. */
    public static String platform() {
        return Loader.getPlatform();
    }

    /** Where JavaCPP unpacks native libraries. */
    public static String cacheFolder() {
        String named = System.getProperty(
                "org.bytedeco.javacpp.cachedir", System.getProperty("org.bytedeco.javacpp.cacheDir"));
        return named != null ? named : System.getProperty("user.home", ".") + "/.javacpp/cache";
    }

    /** Loads libtorch and asks it. */
    public static Facts facts() {
        load();
        String config = string(org.bytedeco.pytorch.global.torch.show_config());
        String mkldnn = string(org.bytedeco.pytorch.global.torch.get_mkldnn_version());
        boolean cudaBuild =
                config.contains("CUDA Runtime") || config.contains("USE_CUDA=ON") || config.contains("USE_CUDA=1");
        List<String> gpus = new ArrayList<>();
        if (cudaBuild && org.bytedeco.pytorch.global.torch.cuda_is_available()) {
            for (int i = 0; i < org.bytedeco.pytorch.global.torch.cuda_device_count(); i++) gpus.add("cuda:" + i);
        }
        return new Facts(
                platform() + (forGpu(Natives.class.getClassLoader()) ? "-gpu" : ""),
                library,
                find(config, "TORCH_VERSION=([^,\\s]+)", "unknown"),
                find(config, "BLAS_INFO=([^,\\s]+)", "unknown"),
                mkldnn.contains("not found") ? null : find(mkldnn, "v(\\d[\\w.]*)", mkldnn),
                string(org.bytedeco.pytorch.global.torch.get_cpu_capability()),
                TileProduct.fits(TileCode.Type.FP32, RowCode.LANES),
                org.bytedeco.pytorch.global.torch.get_num_threads(),
                (int) org.bytedeco.pytorch.global.torch.get_num_interop_threads(),
                cudaBuild,
                List.copyOf(gpus));
    }

    /** Throws where the class path holds no libtorch for this platform. */
    static void requirePresent(ClassLoader loader) {
        String platform = platform();
        if (present(loader, platform) || forGpu(loader)) return;
        if (!PUBLISHED.contains(platform)) {
            throw new HeadstartException("libtorch is not published for " + platform + ": Headstart runs on "
                    + String.join(", ", PUBLISHED.stream().sorted().toList()));
        }
        throw new HeadstartException("the native libraries for " + platform
                + " are not on the class path: add the dependency dev.headstart:headstart-native-" + platform
                + (platform.startsWith("linux") ? " (or headstart-native-" + platform + "-gpu for CUDA)" : "")
                + " of Headstart's own version");
    }

    /** Whether the class path holds this platform's libtorch for CUDA. */
    static boolean forGpu(ClassLoader loader) {
        return present(loader, platform() + "-gpu");
    }

    /**
     * Convolutions and products of fp32 in fp32 on a GPU too. torch lets cuDNN round what it convolves to 10 bits (TF32), which moves the third digit of an
     * image's scores.
     */
    public static void exactOnGpu() {
        Context context = org.bytedeco.pytorch.global.torch.globalContext();
        for (Float32Op op : new Float32Op[] {Float32Op.CONV, Float32Op.MATMUL, Float32Op.RNN}) {
            context.setFloat32Precision(Float32Backend.CUDA, op, Float32Precision.IEEE);
        }
    }

    private static boolean present(ClassLoader loader, String platform) {
        String name = platform.startsWith("windows")
                ? "jnitorch.dll"
                : platform.startsWith("macosx") ? "libjnitorch.dylib" : "libjnitorch.so";
        return loader.getResource("org/bytedeco/pytorch/" + platform + "/" + name) != null;
    }

    private static String string(BytePointer pointer) {
        try (Pointer closed = pointer) {
            return pointer.getString();
        }
    }

    private static String find(String text, String pattern, String otherwise) {
        Matcher matcher = Pattern.compile(pattern).matcher(text);
        return matcher.find() ? matcher.group(1) : otherwise;
    }

    private static String firstLine(Throwable e) {
        Throwable cause = e;
        while (cause.getCause() != null) cause = cause.getCause();
        String message = cause.getMessage();
        return message == null
                ? cause.getClass().getSimpleName()
                : message.lines().findFirst().orElse("");
    }
}
