package dev.headstart.nn;

import dev.headstart.HeadstartException;
import dev.headstart.io.TensorInfo;
import dev.headstart.io.TensorSource;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Fills the parameters of one model from a checkpoint, or initialises them. Names are matched as transformers does: legacy {@code gamma} and
 * {@code beta} are {@code weight} and {@code bias}; the base model's prefix may be there or not; tied weights are read once.
 */
public final class WeightLoader {
    private static final int MOST_MISSING = 2_000;

    private static final Logger LOG = LoggerFactory.getLogger(WeightLoader.class);

    /**
     * What to do.
     *
     * @param source the checkpoint; null to start from scratch
     * @param basePrefix the base model's name inside its task models ({@code bert}); empty for none
     * @param newHead whether weights below {@link Weights#head()} may be initialised
     * @param initializerRange standard deviation of new weights
     * @param seed seed of new weights
     * @param type type of the floating-point parameters
     * @param device where they live
     * @param reopen opens the source once more after it has been closed; null where that cannot be
     * @param packs whether Linear layers will be packed before the source is closed: their weights are then read one by one
     * @param configHint facts of config.json for messages about wrong shapes: {@code (hidden_size 768) }
     */
    public record Plan(
            @Nullable TensorSource source,
            @Nullable Supplier<TensorSource> reopen,
            String basePrefix,
            boolean newHead,
            double initializerRange,
            long seed,
            ScalarType type,
            Device device,
            boolean packs,
            String configHint) {}

    private final Plan plan;
    private final ModelState state = new ModelState();
    private final Map<String, String> stored = new LinkedHashMap<>(); // canonical name -> name in the file
    private final boolean prefixed;
    private final Set<String> used = new LinkedHashSet<>();
    private final List<String> missing = new ArrayList<>();
    private final List<String> initialised = new ArrayList<>();
    private final Generator generator;

    /** Starts with nothing read. */
    public WeightLoader(Plan plan) {
        this.plan = plan;
        String prefix = plan.basePrefix() + ".";
        boolean found = false;
        if (plan.source() != null) {
            for (String name : plan.source().names()) {
                String canonical = legacy(name);
                stored.put(canonical, name);
                found |= canonical.startsWith(prefix);
            }
        }
        this.prefixed = found;
        this.generator = Memory.keep(torch.make_generator_cpu(plan.seed()));
    }

    /** The root of the weights. */
    public Weights weights() {
        return new Weights(this, "", false);
    }

    Device device() {
        return plan.device();
    }

    /** The state that the built layers share. */
    public ModelState state() {
        return state;
    }

    private static String legacy(String name) {
        if (name.endsWith(".gamma")) {
            return name.substring(0, name.length() - "gamma".length()) + "weight";
        }
        if (name.endsWith(".beta")) {
            return name.substring(0, name.length() - "beta".length()) + "bias";
        }
        return name;
    }

    /** The file's name of a canonical one, whether the base model's prefix is there or not; null when the checkpoint lacks it. */
    private @Nullable String find(String canonical) {
        String direct = stored.get(canonical);
        if (direct != null || plan.basePrefix().isEmpty()) {
            return direct;
        }
        String prefix = plan.basePrefix() + ".";
        if (canonical.startsWith(prefix)) {
            return prefixed ? null : stored.get(canonical.substring(prefix.length()));
        }
        return prefixed ? stored.get(prefix + canonical) : null;
    }

    boolean has(String canonical) {
        return plan.source() == null || find(canonical) != null;
    }

    @Nullable
    TensorInfo info(String canonical) {
        String name = find(canonical);
        return name == null || plan.source() == null ? null : plan.source().info(name);
    }

    Init linearInit() {
        return new Init.Normal(plan.initializerRange());
    }

    Init embeddingInit(long paddingIdx) {
        return paddingIdx < 0 ? linearInit() : new Init.PaddedNormal(plan.initializerRange(), paddingIdx);
    }

    void tie(String name, Parameter parameter) {
        state.tied().put(name, parameter.name());
        String inFile = find(name);
        if (inFile != null) {
            used.add(inFile);
            if (missing.remove(parameter.name())) { // the checkpoint has what they share under this name alone
                stored.put(parameter.name(), inFile);
                long[] shape = parameter.shape();
                Init unused = Init.ZEROS;
                try (Tensor value = Memory.scoped(() -> read(parameter.name(), unused, false, shape))) {
                    parameter.set(value);
                }
            }
        }
    }

    /** Whether the checkpoint holds both weights, with other values or another shape. */
    boolean differs(String canonical, String other) {
        String a = find(canonical);
        String b = find(other);
        TensorSource source = plan.source();
        if (source == null || a == null || b == null) {
            return false;
        }
        try (PointerScope scope = new PointerScope();
                Tensor x = source.tensor(a);
                Tensor y = source.tensor(b)) {
            return !x.to(ScalarType.Float).equal(y.to(ScalarType.Float));
        }
    }

    Parameter parameter(String canonical, Init init, boolean buffer, boolean head, long... shape) {
        Parameter known = state.parameters().get(canonical);
        if (known != null) {
            return known;
        }
        Tensor value = Memory.scoped(() -> read(canonical, init, head, shape));
        try (value) {
            Parameter p = new Parameter(canonical, value, buffer, head, initialised.contains(canonical));
            state.parameters().put(canonical, p);
            return p;
        }
    }

    /** A weight of a Linear or a table: checked now, read when it is needed where the plan says that layers will be packed. */
    Parameter packable(String canonical, Init init, boolean head, long... shape) {
        String name = find(canonical);
        TensorSource source = plan.source();
        if (!plan.packs()
                || name == null
                || source == null
                || state.parameters().containsKey(canonical)
                || !matches(source.info(name).shape(), shape)) {
            return parameter(canonical, init, false, head, shape);
        }
        used.add(name);
        boolean half = plan.type() == ScalarType.Float
                && Set.of("BF16", "F16").contains(source.info(name).dtype());
        Parameter p = new Parameter(
                canonical,
                shape,
                head,
                () -> read(canonical, init, head, shape),
                half ? () -> finite(name, source.tensor(name)) : null);
        state.parameters().put(canonical, p);
        return p;
    }

    /** An int64 scalar that counts; 0 where the checkpoint (of before torch 0.4.1) has none. */
    Parameter counter(String canonical) {
        String name = find(canonical);
        TensorSource source = plan.source();
        try (Tensor value = Memory.scoped(() -> name == null || source == null
                ? Ops.empty(ScalarType.Long).fill_(new Scalar(0)).to(plan.device(), ScalarType.Long)
                : source.tensor(name).to(plan.device(), ScalarType.Long))) {
            if (name != null) {
                used.add(name);
            }
            Parameter p = new Parameter(canonical, value, true, false, false);
            state.parameters().put(canonical, p);
            return p;
        }
    }

    private Tensor read(String canonical, Init init, boolean head, long[] shape) {
        String name = find(canonical);
        TensorSource source = plan.source();
        if (name == null || source == null) {
            if (source != null && !(head && plan.newHead())) {
                missing.add(canonical);
                if (missing.size() >= MOST_MISSING) {
                    throw missing("this config.json "
                            + plan.configHint()
                                    .strip()); // a config.json of another model, with very many layers perhaps
                }
                return torch.empty(shape);
            }
            return initialise(canonical, init, shape);
        }
        used.add(name);
        TensorInfo info = source.info(name);
        if (!matches(info.shape(), shape)) {
            if (head && plan.newHead()) {
                return initialise(canonical, init, shape);
            }
            throw Weights.wrongShape(source.fileOf(name), name, info.shape(), shape, plan.configHint());
        }
        try (Tensor t = source.tensor(name)) { // ours to close: without it the bytes stay until a garbage collection
            return t.is_floating_point()
                    ? finite(name, t).to(plan.device(), plan.type())
                    : t.to(plan.device(), Ops.type(t));
        }
    }

    private Tensor finite(String name, Tensor t) {
        if (Double.isNaN(t.sum().item_double()) && t.isnan().any().item_bool()) {
            throw Weights.notANumber(source().fileOf(name), name, t);
        }
        return t;
    }

    private TensorSource source() {
        if (plan.source() == null) {
            throw new IllegalStateException("no checkpoint");
        }
        return plan.source();
    }

    private static boolean matches(List<Long> found, long[] expected) {
        if (found.size() != expected.length) {
            return false;
        }
        for (int i = 0; i < expected.length; i++) {
            if (found.get(i) != expected[i]) {
                return false;
            }
        }
        return true;
    }

    private Tensor initialise(String canonical, Init init, long[] shape) {
        if (plan.source() != null) {
            initialised.add(canonical);
        }
        GeneratorOptional g = new GeneratorOptional(generator);
        Tensor t = torch.empty(shape);
        if (init instanceof Init.Normal n) {
            t.normal_(0, n.std(), g);
        } else if (init instanceof Init.PaddedNormal n) {
            t.normal_(0, n.std(), g);
            t.select(0, n.paddingIdx()).zero_();
        } else if (init instanceof Init.TruncatedNormal n) {
            truncatedNormal(t, n.std(), g);
        } else if (init instanceof Init.Uniform u) {
            t.uniform_(-u.bound(), u.bound(), g);
        } else if (init instanceof Init.Constant c) {
            t.fill_(new Scalar(c.value()));
        } else if (init instanceof Init.KaimingFanOut) {
            t.normal_(0, Math.sqrt(2.0 / (shape[0] * receptiveField(shape))), g);
        } else if (init instanceof Init.KaimingUniform) {
            double bound = 1 / Math.sqrt((double) shape[1] * receptiveField(shape));
            t.uniform_(-bound, bound, g);
        } else if (init instanceof Init.Sinusoids) {
            t.copy_(sinusoids(shape[0], shape[1]));
        }
        return t.to(plan.device(), plan.type());
    }

    private static Tensor sinusoids(long rows, long size) {
        ScalarType wide = ScalarType.Double;
        Tensor half = torch.arange(new Scalar((size + 1) / 2)).to(wide); // [d/2]
        Tensor rate = half.mul(new Scalar(-2 * Math.log(10000.0) / size)).exp();
        Tensor angle = torch.arange(new Scalar(rows)).to(wide).unsqueeze(1).mul(rate); // [n, d/2]
        return torch.stack(new TensorVector(angle.sin(), angle.cos()), -1)
                .reshape(rows, -1)
                .narrow(1, 0, size); // [n, d]
    }

    private static double receptiveField(long[] shape) {
        double n = 1;
        for (int i = 2; i < shape.length; i++) {
            n *= shape[i];
        }
        return n;
    }

    /** Draws again what falls outside two standard deviations, as torch's trunc_normal_ distributes it. */
    private static void truncatedNormal(Tensor t, double std, GeneratorOptional g) {
        t.normal_(0, std, g);
        for (int round = 0; round < 20; round++) {
            Tensor outside = t.abs().gt(new Scalar(2 * std));
            if (!outside.any().item_bool()) {
                return;
            }
            t.copy_(torch.where(outside, torch.empty_like(t).normal_(0, std, g), t));
        }
    }

    /**
     * Ends loading.
     *
     * @param model name of the class, for messages
     * @throws HeadstartException when weights are missing: it lists them
     */
    public void finish(String model) {
        generator.close();
        TensorSource source = plan.source();
        if (source == null) {
            return;
        }
        if (!missing.isEmpty()) {
            throw missing(model);
        }
        if (!initialised.isEmpty()) {
            LOG.info("{}: newly initialised, train before use: {}", model, String.join(", ", initialised));
        }
        Supplier<TensorSource> reopen = plan.reopen();
        if (reopen != null) {
            Map<String, String> names = new LinkedHashMap<>();
            for (Linear layer : state.linears()) {
                String weight = layer.weight().name();
                String name = find(weight);
                if (name != null && !initialised.contains(weight)) {
                    names.put(weight, name);
                }
            }
            state.originals(new Originals(reopen, names, plan.type()));
        }
        List<String> unexpected = source.names().stream()
                .filter(n -> !used.contains(n) && !n.endsWith("position_ids") && !n.endsWith("num_batches_tracked"))
                .toList();
        if (!unexpected.isEmpty()) {
            LOG.debug("{}: {} tensors of the checkpoint not used: {}", model, unexpected.size(), shorten(unexpected));
        }
    }

    private HeadstartException missing(String model) {
        state.close();
        TensorSource source = source();
        String file = source.names().isEmpty()
                ? "the checkpoint"
                : source.fileOf(source.names().iterator().next());
        return new HeadstartException(file + ": " + missing.size() + " weights of " + model + " are missing: "
                + shorten(missing)
                + "; is this a checkpoint of another class? (fine-tuning may initialise a new head)");
    }

    /** Reads what nothing has asked for yet; the source may be closed afterwards. */
    public void readAll() {
        state.parameters().values().forEach(Parameter::read);
    }

    /** Gives the Linear layers whose weights are quantized the kernels that compute with the stored bits. @param generates whether the model generates */
    public void pack(QuantizedSource quantized, boolean generates) {
        if (plan.device().is_cuda()) {
            return; // the plain kernels are the fast ones there
        }
        // the largest first: while it is packed it is there several times, and the others are not there yet
        List<Linear> layers = state.linears().stream()
                .sorted(Comparator.comparingLong(l -> -l.in() * l.out()))
                .toList();
        Memory.Trim trim = new Memory.Trim();
        for (Linear layer : layers) {
            String name = find(layer.weight().name());
            if (name != null) {
                trim.before(layer.in() * layer.out());
                Memory.scoped(() -> {
                    QuantizedWeight w = quantized.quantized(name);
                    if (w != null) {
                        Kernels.packQuantized(layer, w, state.isShared(layer.weight()), generates);
                    }
                });
            }
        }
    }

    private static String shorten(List<String> names) {
        int most = 20;
        return names.size() <= most
                ? String.join(", ", names)
                : String.join(", ", names.subList(0, most)) + " and " + (names.size() - most) + " more";
    }
}
