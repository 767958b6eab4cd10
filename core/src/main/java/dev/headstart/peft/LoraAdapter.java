package dev.headstart.peft;

import dev.headstart.HeadstartException;
import dev.headstart.io.Safetensors;
import dev.headstart.io.StagedFile;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Memory;
import dev.headstart.nn.ModelState;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * A LoRA adapter (Hu et al. 2021) on a model, in the file format of Hugging Face PEFT. It belongs to the model and is freed with it; a model
 * carries one adapter at a time.
 */
public final class LoraAdapter {
    private static final String WEIGHTS = "adapter_model.safetensors";
    private static final String PREFIX = "base_model.model.";
    private static final String A = ".lora_A.weight";
    private static final String B = ".lora_B.weight";
    private static final String BASE = ".base_layer";

    private final PreTrainedModel<?> model;
    private final LoraConfig config;
    /** The layers with a delta, by path; the deltas outlive their taking off by merge. */
    private final Map<String, Linear.Lora> deltas = new LinkedHashMap<>();

    private final Map<String, Linear> layers = new LinkedHashMap<>();
    /** Values of the base model that the adapter replaced, for {@link #remove}. */
    private final Map<String, Tensor> replaced = new LinkedHashMap<>();

    /** Weights of layers with a delta that the file holds too (output layers and embeddings, which PEFT saves whole), by their names there. */
    private final Map<String, Parameter> bases = new LinkedHashMap<>();

    /** Parameters that were frozen before. */
    private final Set<String> frozen = new TreeSet<>();

    private boolean merged;

    /** Biases that the modules trained whole had before, by parameter: PEFT's {@code bias="all"} writes them too. */
    private final Map<String, Tensor> originals = new LinkedHashMap<>();

    /** Whether modules have the names of transformers 5 where checkpoints have others. */
    private boolean modern;

    private LoraAdapter(PreTrainedModel<?> model, LoraConfig config) {
        this.model = model;
        this.config = config.withDefaults(model.config().modelType());
    }

    /**
     * Puts a new adapter on a model: A drawn as PEFT does (Kaiming uniform), B zero, so that nothing changes at first. The base model's weights are
     * frozen, those of {@code modules_to_save} are not.
     *
     * @param seed seed of A
     * @throws HeadstartException when a target module is not there or is no Linear
     */
    public static LoraAdapter create(PreTrainedModel<?> model, LoraConfig config, long seed) {
        LoraAdapter adapter = new LoraAdapter(model, config);
        model.exclusive(() -> {
            try (PointerScope scope = new PointerScope();
                    NoGradGuard guard = new NoGradGuard()) {
                adapter.untie();
                adapter.keepOriginals();
                Generator generator = torch.make_generator_cpu(seed);
                for (Linear layer : adapter.targets()) {
                    long r = adapter.config.rank(adapter.module(layer));
                    double bound = 1 / Math.sqrt(layer.in()); // kaiming_uniform_ with a = sqrt(5)
                    Tensor a = Ops.empty(ScalarType.Float, r, layer.in())
                            .uniform_(-bound, bound, new GeneratorOptional(generator));
                    Tensor b = Ops.empty(ScalarType.Float, layer.out(), r).zero_();
                    adapter.attach(layer, a, b);
                }
                adapter.freezeBase();
            }
        });
        return adapter;
    }

    /**
     * Loads an adapter folder ({@code adapter_config.json}, {@code adapter_model.safetensors}) onto a model.
     *
     * @throws HeadstartException when the adapter asks for what is not supported, or does not fit the model; it names the tensor
     */
    public static LoraAdapter load(PreTrainedModel<?> model, Path folder) {
        LoraAdapter adapter = new LoraAdapter(model, LoraConfig.read(folder));
        Path file = folder.resolve(WEIGHTS);
        if (!Files.isRegularFile(file)) {
            throw new HeadstartException(file + " not found: an adapter folder needs it"
                    + (Files.exists(folder.resolve("adapter_model.bin"))
                            ? " (adapter_model.bin is the old format: save it again with Python peft)"
                            : ""));
        }
        model.exclusive(() -> {
            Map<String, Tensor> tensors = Safetensors.readMap(file);
            try (PointerScope scope = new PointerScope();
                    NoGradGuard guard = new NoGradGuard()) {
                adapter.untie();
                adapter.keepOriginals();
                adapter.read(file, tensors);
                adapter.freezeBase();
            } finally {
                tensors.values().forEach(Tensor::close);
            }
        });
        return adapter;
    }

    /** Whether a folder holds an adapter. */
    public static boolean isAdapter(Path folder) {
        return Files.isRegularFile(folder.resolve(LoraConfig.FILE));
    }

    /** PEFT trains copies: a module to save no longer shares its weight with one outside. */
    private void untie() {
        if (config.ensureWeightTying()) {
            return;
        }
        ModelState state = model.state();
        state.unpack();
        for (Linear l : state.linears()) {
            if (!config.savedBy(l.name()).equals(config.savedBy(module(l.weight())))) {
                state.untie(l);
            }
        }
        state.tied().forEach((name, other) -> {
            String at = name.substring(0, name.lastIndexOf('.'));
            String table = other.substring(0, other.lastIndexOf('.'));
            if (!config.savedBy(at).equals(config.savedBy(table))) {
                throw new HeadstartException("LoRA: modules_to_save names " + at + " or " + table
                        + ", which share a table in " + model.getClass().getSimpleName()
                        + "; PEFT trains a copy of one, which is not supported: leave it out of modules_to_save");
            }
        });
    }

    private void keepOriginals() {
        if (config.bias().equals("all")) {
            model.state().parameters().values().stream()
                    .filter(p -> !p.isBuffer() && p.name().endsWith(".bias") && config.saves(written(module(p))))
                    .forEach(p -> originals.put(p.name(), Memory.keep(p.tensor().clone())));
        }
    }

    /** A bias's name inside PEFT's wrapper of the module that is trained whole. @param part original_module, or modules_to_save.default */
    private String wrapped(String parameter, String part) {
        String name = written(parameter);
        int end = config.savedBy(name.substring(0, name.lastIndexOf('.'))).length();
        String rest = name.substring(end);
        String inside = rest.indexOf('.', 1) < 0 ? part.replace(".default", "") : part;
        return PREFIX + name.substring(0, end) + "." + inside + rest;
    }

    private void read(Path file, Map<String, Tensor> tensors) {
        Set<String> left = new TreeSet<>(tensors.keySet());
        left.removeIf(n -> n.contains(".original_module.") || n.contains(".modules_to_save."));
        ModelState state = model.state();
        String type = model.config().modelType();
        modern = model.linears().stream()
                .map(Linear::name)
                .anyMatch(
                        n -> !left.contains(PREFIX + n + A) && left.contains(PREFIX + ModuleNames.modern(type, n) + A));
        for (Linear layer : targets()) {
            String a = PREFIX + module(layer) + A;
            String b = PREFIX + module(layer) + B;
            long r = config.rank(module(layer));
            attach(
                    layer,
                    checked(file, tensors, left, a, r, layer.in()),
                    checked(file, tensors, left, b, layer.out(), r));
        }
        Map<String, String> stored = new LinkedHashMap<>();
        state.parameters().keySet().forEach(n -> stored.put(written(n), n));
        for (String name : List.copyOf(left)) {
            String own = name.startsWith(PREFIX) ? name.substring(PREFIX.length()) : name;
            Linear below = own.endsWith(BASE + ".weight") ? under(own) : null;
            if (below != null) {
                own = below.weight().name();
                bases.put(name, below.weight());
            } else {
                String plain = own.replace(BASE + ".", ".");
                own = stored.getOrDefault(plain, plain);
            }
            Parameter p = state.parameters().get(state.tied().getOrDefault(own, own));
            if (p != null) {
                Tensor value = checked(file, tensors, left, name, p.tensor().shape());
                if (!replaced.containsKey(p.name())) { // the file may hold a tied table under both names
                    replaced.put(p.name(), Memory.keep(p.tensor()));
                }
                p.set(value.to(p.tensor().device(), Ops.type(p.tensor())).clone());
            }
        }
        if (!left.isEmpty()) {
            throw new HeadstartException(file + ": tensor " + left.iterator().next() + " (of " + left.size()
                    + " such) has no place in " + model.getClass().getSimpleName()
                    + "; is this an adapter of another class? layers that may have one: "
                    + model.linears().stream().limit(8).map(Linear::name).collect(Collectors.joining(", ")) + " ...");
        }
    }

    private Tensor checked(Path file, Map<String, Tensor> tensors, Set<String> left, String name, long... shape) {
        Tensor t = tensors.get(name);
        if (t == null) {
            throw new HeadstartException(file + ": tensor " + name + " is missing; " + LoraConfig.FILE
                    + " says that this layer has a delta: the two files do not belong together");
        }
        if (!Arrays.equals(t.shape(), shape)) {
            throw new HeadstartException(file + ": tensor " + name + " has shape " + Arrays.toString(t.shape())
                    + ", expected " + Arrays.toString(shape) + " for "
                    + model.getClass().getSimpleName()
                    + " and the rank of " + LoraConfig.FILE);
        }
        left.remove(name);
        return t;
    }

    private List<Linear> targets() {
        ModelState state = model.state();
        if (!state.added().isEmpty()) {
            throw new HeadstartException("the model already carries an adapter; remove or merge that one first");
        }
        state.unpack();
        List<Linear> found = matching();
        if (found.isEmpty() && !modern) {
            modern = true;
            found = matching();
            modern = !found.isEmpty();
        }
        List<Linear> all = found;
        for (String target : config.targetModules()) {
            boolean hit = config.targetsByRegex() || config.isAllLinear()
                    ? !all.isEmpty()
                    : all.stream()
                            .anyMatch(l -> module(l).equals(target) || module(l).endsWith("." + target));
            if (!hit && found.isEmpty()) {
                String known = model.linears().stream()
                        .map(l -> l.name().substring(l.name().lastIndexOf('.') + 1))
                        .distinct()
                        .sorted()
                        .collect(Collectors.joining(", "));
                throw new HeadstartException("LoRA: target module \"" + target + "\" matches no Linear layer of "
                        + model.getClass().getSimpleName() + "; Linear layers are called " + known);
            }
        }
        return found;
    }

    private List<Linear> matching() {
        return new ArrayList<>(model.linears().stream()
                .filter(l -> config.targets(module(l), isOutput(l)))
                .toList());
    }

    /** The layer with a delta whose own weight a file calls so. */
    private @Nullable Linear under(String name) {
        String module = name.substring(0, name.length() - (BASE + ".weight").length());
        return layers.values().stream()
                .filter(l -> module(l).equals(module))
                .findFirst()
                .orElse(null);
    }

    private String module(Linear layer) {
        return written(layer.name());
    }

    /** A module's or weight's name in the adapter's files. */
    private String written(String name) {
        return modern ? ModuleNames.modern(model.config().modelType(), name) : name;
    }

    /** The layers that all-linear leaves out: those over the vocabulary and classification heads (peft's rule). */
    private boolean isOutput(Linear layer) {
        String name = layer.name();
        return model.state().isShared(layer.weight())
                || List.of("classifier", "score", "lm_head", "proj_out", "embed_out")
                        .contains(name)
                || name.endsWith("predictions.decoder")
                || name.startsWith("classifier.");
    }

    private void attach(Linear layer, Tensor a, Tensor b) {
        ModelState state = model.state();
        Tensor like = layer.weight().tensor();
        Parameter pa = state.add(
                PREFIX + module(layer) + A, a.to(like.device(), Ops.type(like)).clone());
        Parameter pb = state.add(
                PREFIX + module(layer) + B, b.to(like.device(), Ops.type(like)).clone());
        Linear.Lora delta = new Linear.Lora(pa, pb, config.scaling(module(layer)), state.dropout(config.loraDropout()));
        layers.put(layer.name(), layer);
        deltas.put(layer.name(), delta);
        layer.lora(delta);
    }

    private void freezeBase() {
        for (Parameter p : model.state().parameters().values()) {
            if (p.isFrozen()) {
                frozen.add(p.name());
            }
            p.freeze(!trainsWhole(p));
        }
    }

    private boolean trainsWhole(Parameter p) {
        if (p.isBuffer()) {
            return false;
        }
        if (config.saves(written(module(p))) || replaced.containsKey(p.name()) && !bases.containsValue(p)) {
            return true;
        }
        if (!p.name().endsWith(".bias")) {
            return false;
        }
        return config.bias().equals("all") || (config.bias().equals("lora_only") && layers.containsKey(module(p)));
    }

    private static String module(Parameter p) {
        int dot = p.name().lastIndexOf('.');
        return dot < 0 ? "" : p.name().substring(0, dot);
    }

    /** adapter_config.json. */
    public LoraConfig config() {
        return config;
    }

    /** Paths of the layers that have a delta. */
    public Set<String> layers() {
        return layers.keySet();
    }

    /** Whether the deltas are added into the weights. */
    public boolean isMerged() {
        return merged;
    }

    /** The names that PEFT's file has for the parameters which training changes, by their own names. */
    public Map<String, String> fileNames() {
        Map<String, String> all = new LinkedHashMap<>();
        model.state().added().keySet().forEach(n -> all.put(n, n));
        model.state().parameters().values().stream()
                .filter(this::trainsWhole)
                .forEach(p -> all.put(p.name(), PREFIX + file(p)));
        return all;
    }

    /** What is trained and saved, under the names of PEFT's file: {@code base_model.model.PATH.lora_A.weight}. The tensors belong to the model. */
    public Map<String, Tensor> tensors() {
        Map<String, Tensor> all = new LinkedHashMap<>();
        model.state().added().forEach((name, p) -> all.put(name, p.tensor()));
        model.state().parameters().values().stream().filter(this::trainsWhole).forEach(p -> {
            all.put(PREFIX + file(p), p.tensor());
            if (originals.containsKey(p.name())) {
                all.put(wrapped(p.name(), "modules_to_save.default"), p.tensor());
            }
        });
        model.state().tied().forEach((name, other) -> { // inside a module that is saved whole
            Parameter p = model.state().parameters().get(other);
            if (p != null && trainsWhole(p)) {
                all.put(PREFIX + written(name), p.tensor());
            }
        });
        bases.forEach((name, p) -> all.put(name, p.tensor()));
        originals.forEach((name, t) -> all.put(wrapped(name, "original_module"), t));
        return all;
    }

    /** The name in PEFT's file: a layer with a delta is wrapped there, and its bias is the wrapped layer's. */
    private String file(Parameter p) {
        String name = written(p.name());
        return p.name().endsWith(".bias") && layers.containsKey(module(p))
                ? name.substring(0, name.length() - ".bias".length()) + BASE + ".bias"
                : name;
    }

    /** Adds the deltas into the weights: inference then costs what the base model's costs, and {@code optimize} may pack. */
    public void merge() {
        change(1);
    }

    /** Takes the deltas out of the weights again (to within rounding). */
    public void unmerge() {
        change(-1);
    }

    private void change(int sign) {
        if (merged == sign > 0) {
            return;
        }
        model.exclusive(() -> {
            try (PointerScope scope = new PointerScope();
                    NoGradGuard guard = new NoGradGuard()) {
                model.state().unpack();
                deltas.forEach((name, delta) -> {
                    Linear layer = layers.get(name);
                    if (layer == null) {
                        throw new IllegalStateException(name);
                    }
                    Tensor d = delta.b().tensor().matmul(delta.a().tensor()); // [out, in]
                    Tensor w = layer.weight().tensor();
                    boolean shared = model.state().isShared(layer.weight());
                    Tensor next = w.add(layer.transposed() ? d.transpose(0, 1) : d, new Scalar(sign * delta.scaling()));
                    if (shared) {
                        throw new HeadstartException(
                                "LoRA: " + name + " shares its weight with an embedding; merging would change both");
                    }
                    layer.weight().set(next);
                    layer.lora(sign > 0 ? null : delta);
                });
            }
        });
        merged = sign > 0;
    }

    /** Takes the adapter off the model, which is then the base model again, everything trainable. Deltas that are merged stay merged. */
    public void remove() {
        model.exclusive(() -> {
            layers.values().forEach(l -> l.lora(null));
            if (!merged) {
                replaced.forEach((name, value) -> {
                    Parameter p = model.namedParameters().get(name);
                    if (p != null) {
                        p.set(value);
                    }
                });
            }
            replaced.values().forEach(Tensor::close);
            replaced.clear();
            originals.values().forEach(Tensor::close);
            originals.clear();
            bases.clear();
            model.state().removeAdded();
            model.state().parameters().values().forEach(p -> p.freeze(frozen.contains(p.name())));
            layers.clear();
            deltas.clear();
        });
    }

    /** Writes adapter_config.json and adapter_model.safetensors as PEFT does. @param folder made when it is not there */
    public void save(Path folder) {
        save(folder, null);
    }

    /** As {@link #save(Path)}. @param type of the numbers in the file ({@code Half}: half the size); null for the model's own */
    public void save(Path folder, @Nullable ScalarType type) {
        try (PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            tensors().forEach((name, t) -> tensors.put(name, type == null ? t : t.to(type)));
            Safetensors.write(folder.resolve(WEIGHTS), tensors, Map.of("format", "pt"));
            boolean fanInFanOut = layers.values().stream().anyMatch(Linear::transposed);
            byte[] json = (config.toJson(fanInFanOut).toPrettyString() + "\n").getBytes(StandardCharsets.UTF_8);
            StagedFile.write(folder.resolve(LoraConfig.FILE), out -> out.write(ByteBuffer.wrap(json)));
        }
    }
}
