package dev.headstart.models;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.generation.GenerativeModel;
import dev.headstart.hub.AdapterFolder;
import dev.headstart.hub.FileSelection;
import dev.headstart.hub.Hub;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Checkpoint;
import dev.headstart.io.TensorSource;
import dev.headstart.nn.Natives;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Precision;
import dev.headstart.nn.Processor;
import dev.headstart.nn.QuantizedSource;
import dev.headstart.nn.WeightLoader;
import dev.headstart.peft.LoraAdapter;
import dev.headstart.peft.LoraConfig;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Loads any model by its config.json: the registry of families and the one way from a folder to a model. */
public final class Models {
    private static final Logger LOG = LoggerFactory.getLogger(Models.class);
    private static final List<Family> FAMILIES = List.of(
            Bert.FAMILY,
            Roberta.FAMILY,
            XLMRoberta.FAMILY,
            DistilBert.FAMILY,
            Electra.FAMILY,
            Albert.FAMILY,
            MPNet.FAMILY,
            ModernBert.FAMILY,
            DebertaV2.FAMILY,
            Gpt2.FAMILY,
            Llama.FAMILY,
            Mistral.FAMILY,
            Qwen2.FAMILY,
            Qwen3.FAMILY,
            Gemma2.FAMILY,
            Gemma3.FAMILY,
            ResNet.FAMILY,
            Vit.FAMILY,
            Deit.FAMILY,
            Dinov2.FAMILY,
            Dinov2.REGISTERS_FAMILY,
            ConvNext.FAMILY,
            ConvNext.FAMILY_V2,
            Swin.FAMILY,
            MobileNetV2.FAMILY,
            Segformer.FAMILY,
            Yolos.FAMILY,
            Detr.FAMILY,
            Clip.FAMILY,
            Clip.VISION_FAMILY,
            Clip.TEXT_FAMILY,
            T5.FAMILY,
            MT5.FAMILY,
            Bart.FAMILY,
            MBart.FAMILY,
            Marian.FAMILY,
            Pegasus.FAMILY,
            M2M100.FAMILY);

    private Models() {}

    /** Every family there is. */
    public static List<Family> families() {
        return FAMILIES;
    }

    /** Finds an id and loads it as the class that config.json's {@code architectures} names. */
    public static PreTrainedModel<?> fromPretrained(String id, LoadOptions options) {
        return load(Hub.standard().resolve(id, options), null, options);
    }

    /** Finds an id and loads it as the given class. */
    static <M extends PreTrainedModel<?>> M fromPretrained(String id, Class<M> type, LoadOptions options) {
        return type.cast(load(Hub.standard().resolve(id, options), type.getSimpleName(), options));
    }

    /** Finds an id and loads it with the head whose class name ends so; empty for the model without a head. */
    static PreTrainedModel<?> withHead(String id, String suffix, LoadOptions options) {
        return choose(
                Hub.standard().resolve(id, options), (family, config) -> family.withHead(suffix, config), options);
    }

    /**
     * Loads a model from its folder, or from one weight file with config.json beside it; ResNets of torchvision and the CIFAR ResNets need no
     * config.json.
     *
     * @param architecture class name; null takes config.json's first architecture
     * @throws HeadstartException when config.json or weights are missing, damaged, or do not fit the class
     */
    public static PreTrainedModel<?> load(ModelFolder folder, @Nullable String architecture, LoadOptions options) {
        return choose(folder, (family, config) -> architecture, options);
    }

    private static PreTrainedModel<?> choose(
            ModelFolder folder, BiFunction<Family, ConfigJson, @Nullable String> choice, LoadOptions options) {
        Natives.load();
        Path root = folder.path();
        if (Files.isDirectory(root) && AdapterFolder.is(root)) {
            return adapted(root, choice, options);
        }
        Path file = Files.isRegularFile(root) ? root.resolveSibling("config.json") : root.resolve("config.json");
        boolean bare = Files.isRegularFile(root) && !Files.exists(file); // one weight file, nothing beside it
        ConfigJson config =
                bare ? new ConfigJson(JsonNodeFactory.instance.objectNode(), root.toString()) : ConfigJson.read(file);
        labels(config, options);
        // What will be packed is read, so that each weight's memory can go; what stays plain is mapped where the files
        // never change.
        boolean map = folder.immutable() && options.precision() == null;
        try (TensorSource source = Quantization.of(config)
                ? new QuantizedSource(Checkpoint.open(root, map))
                : Checkpoint.open(root, map)) {
            TensorSource named = source;
            if (TimmNames.fits(config)) {
                named = TimmNames.adapt(source, config);
            } else if (bare || config.modelType().isEmpty()) {
                if (TorchResNetNames.fits(source)) { // whose shapes say everything
                    named = TorchResNetNames.adapt(source, config);
                } else if (bare) {
                    throw new HeadstartException(file
                            + " not found: beside the weights of this model a config.json must lie (Hugging Face"
                            + " layout); only ResNets of torchvision need none");
                }
            }
            QuantizedSource quantized = source instanceof QuantizedSource q ? q : null;
            Supplier<TensorSource> reopen =
                    quantized == null && named == source ? () -> Checkpoint.open(root, false) : null;
            return build(config, choice.apply(family(config), config), named, reopen, quantized, options);
        }
    }

    private static void labels(ConfigJson config, LoadOptions options) {
        if (options.id2label() != null) {
            config.labels(options.id2label());
        } else if (options.numLabels() != null && options.numLabels() != config.numLabels()) {
            config.labels(new TreeMap<>(IntStream.range(0, options.numLabels())
                    .boxed()
                    .collect(Collectors.toMap(Function.identity(), i -> "LABEL_" + i))));
        }
    }

    /** The base model of an adapter folder, with the adapter added into its weights. */
    private static PreTrainedModel<?> adapted(
            Path root, BiFunction<Family, ConfigJson, @Nullable String> choice, LoadOptions options) {
        LoadOptions plain = options.withRevision(null).withSubfolder(null);
        ModelFolder base = Hub.standard().resolve(AdapterFolder.base(root), plain);
        if (AdapterFolder.is(base.path())) {
            throw new HeadstartException(root + ": its base model " + base.id()
                    + " is an adapter itself; merge that one into its model first, and name the result");
        }
        boolean own = Files.isRegularFile(root.resolve("config.json"));
        ConfigJson config = ConfigJson.read((own ? root : base.path()).resolve("config.json"));
        Family family = family(config);
        Path weights = root.resolve("adapter_model.safetensors");
        if (!Files.isRegularFile(weights)) {
            throw new HeadstartException(weights + " not found: an adapter folder needs it"
                    + (Files.exists(root.resolve("adapter_model.bin"))
                            ? " (adapter_model.bin is the old format: save it again with Python peft)"
                            : ""));
        }
        boolean map = base.immutable() && options.precision() == null;
        try (AdaptedSource source = new AdaptedSource(
                Checkpoint.open(base.path(), map), Checkpoint.open(weights, false), family.basePrefix())) {
            labels(config, options);
            if (!own && source.classes() > 0 && options.id2label() == null) {
                labels(config, options.withNumLabels(source.classes()));
            }
            String architecture = choice.apply(family, config);
            if (architecture == null && !own) {
                architecture = family.withHead(LoraConfig.read(root).head(), config);
            }
            PreTrainedModel<?> model = build(config, architecture, source, null, null, plain.withPrecision(null));
            try {
                LoraAdapter adapter = LoraAdapter.load(model, root);
                adapter.merge();
                adapter.remove();
                Precision precision = precision(options.precision(), device(options.device()));
                if (precision != null) {
                    model.optimize(precision);
                }
                return model;
            } catch (RuntimeException e) {
                model.close();
                throw e;
            }
        }
    }

    /**
     * A model of the same shape with new weights from {@code initializer_range} and the options' seed: only config.json is read.
     *
     * @param id folder or id, of an adapter too, whose base then counts
     * @param suffix end of the class name; empty for the model without a head
     */
    public static PreTrainedModel<?> untrained(String id, String suffix, LoadOptions options) {
        Natives.load();
        Path root =
                Hub.standard().resolve(id, FileSelection.NO_WEIGHTS, options).path();
        if (AdapterFolder.is(root)) {
            root = Hub.standard()
                    .resolve(
                            AdapterFolder.base(root),
                            FileSelection.NO_WEIGHTS,
                            options.withRevision(null).withSubfolder(null))
                    .path();
        }
        ConfigJson config = ConfigJson.read(root.resolve("config.json"));
        config.node().remove("quantization_config");
        return newWithHead(config, suffix, options);
    }

    /** Builds a model with new weights from {@code initializer_range} and the options' seed. */
    public static PreTrainedModel<?> fromConfig(ConfigJson config, String architecture, LoadOptions options) {
        Natives.load();
        return build(config, architecture, null, null, null, options);
    }

    /**
     * Builds the family's class for a task with new weights.
     *
     * @param head end of the class name, {@code ForSequenceClassification} and so on; {@code ForSeq2SeqLM} for text to text; empty for no head
     */
    public static PreTrainedModel<?> newWithHead(ConfigJson config, String head, LoadOptions options) {
        labels(config, options);
        String suffix = head.equals("ForSeq2SeqLM") ? "ForConditionalGeneration" : head;
        return fromConfig(config, family(config).withHead(suffix, config), options);
    }

    private static PreTrainedModel<?> build(
            ConfigJson config,
            @Nullable String architecture,
            @Nullable TensorSource source,
            @Nullable Supplier<TensorSource> reopen,
            @Nullable QuantizedSource quantized,
            LoadOptions options) {
        Family family = family(config);
        String name = architecture != null
                ? architecture
                : config.architectures().isEmpty()
                        ? family.architectures().get(0)
                        : config.architectures().get(0);
        Family.Builder builder = family.builder(name);
        if (builder == null) {
            throw new HeadstartException(config.origin() + ": class " + name + " is not known for model_type "
                    + family.modelType() + "; known: " + String.join(", ", family.architectures()));
        }
        try (PointerScope scope = new PointerScope()) {
            Device device = device(options.device());
            Precision precision = precision(options.precision(), device);
            if (device.is_cuda() && few(precision) && quantized == null) {
                throw onCpuAlone(precision);
            }
            WeightLoader loader = new WeightLoader(new WeightLoader.Plan(
                    source == null ? null : family.adapt(source, config),
                    reopen == null ? null : () -> family.adapt(reopen.get(), config),
                    family.basePrefix(),
                    options.init() == LoadOptions.Init.NEW_HEAD,
                    config.number("initializer_range", config.number("init_std", 0.02)),
                    options.seed(),
                    device.is_cuda() && precision == Precision.BF16 ? ScalarType.BFloat16 : scalarType(options, config),
                    device,
                    !device.is_cuda() && (quantized != null || precision != null),
                    config.hint()));
            PreTrainedModel<?> model = builder.build(loader.weights(), config);
            finish(loader, name, config);
            try {
                if (quantized != null) {
                    loader.pack(quantized, model instanceof GenerativeModel);
                    if (!device.is_cuda()) {
                        Quantization.fold(model);
                    }
                }
                if (precision != null) {
                    model.optimize(precision);
                }
                loader.readAll();
            } catch (RuntimeException e) { // a weight that is read only now is damaged
                model.close();
                throw e;
            }
            return model;
        }
    }

    private static void finish(WeightLoader loader, String name, ConfigJson config) {
        try {
            loader.finish(name);
        } catch (HeadstartException e) { // weights are missing
            throw new HeadstartException(e.getMessage() + TaskHint.of(config, name), e);
        }
        String other = TaskHint.ofAlike(config, name);
        if (!other.isEmpty()) {
            LOG.warn("the head is read as that of {}{}", name, other);
        }
    }

    private static @Nullable Precision precision(@Nullable String name, Device device) {
        if (!"auto".equals(name)) {
            return name == null ? null : Precision.of(name);
        }
        return device.is_cuda() ? Precision.BF16 : Processor.current().precision();
    }

    private static boolean few(@Nullable Precision precision) {
        return precision == Precision.INT8 || precision == Precision.INT4;
    }

    static HeadstartException onCpuAlone(@Nullable Precision precision) {
        String name = String.valueOf(precision).toLowerCase(Locale.ROOT);
        return new HeadstartException(
                "precision " + name + " has kernels for the CPU alone, and this model is on a GPU; use"
                        + " --device cpu, or --precision bf16 (a folder that headstart quantize wrote runs on a GPU as it is)");
    }

    private static ScalarType scalarType(LoadOptions options, ConfigJson config) {
        String dtype = options.dtype();
        if ("auto".equals(dtype)) {
            dtype = config.text("dtype", config.text("torch_dtype", "float32"));
        }
        return dtype == null ? ScalarType.Float : Ops.typeNamed(dtype);
    }

    /** Fails where a model cannot be loaded with such a device ({@link LoadOptions#withDevice}), before anything costly is done. */
    public static void checkDevice(String name) {
        LoadOptions.defaults().withDevice(name);
        if (name.startsWith("cuda")) {
            Natives.load();
            device(name).close();
        }
    }

    static Device device(String name) {
        boolean cuda = torch.cuda_is_available();
        if (name.startsWith("cuda") && !cuda) {
            throw new HeadstartException("device " + name
                    + ": no usable GPU (headstart doctor says more); use --device cpu or the"
                    + " headstart-native-linux-x86_64-gpu artifact");
        }
        Device device = new Device(name.equals("auto") ? cuda ? "cuda" : "cpu" : name);
        if (device.is_cuda()) {
            if (device.index() >= torch.cuda_device_count()) {
                throw new HeadstartException("device " + name + ": there are " + torch.cuda_device_count()
                        + " GPUs, counted from cuda:0; use one of them, or --device cpu");
            }
            Natives.exactOnGpu();
        }
        return device;
    }

    /** The family of a config.json. @throws HeadstartException listing the families there are; code named by auto_map is never run */
    static Family family(ConfigJson config) {
        String type = config.modelType();
        return FAMILIES.stream()
                .filter(f -> f.modelType().equals(type))
                .findFirst()
                .orElseGet(() -> byArchitecture(config));
    }

    private static Family byArchitecture(ConfigJson config) {
        for (String architecture : config.architectures()) {
            for (Family f : FAMILIES) {
                if (f.builder(architecture) != null) {
                    return f;
                }
            }
        }
        ObjectNode node = config.node();
        if (node.has("auto_map")) {
            throw new HeadstartException(config.origin() + ": auto_map names Python code (" + node.get("auto_map")
                    + "), which Headstart never runs; use a checkpoint of a known family");
        }
        String known = FAMILIES.stream()
                .map(Family::modelType)
                .sorted(Comparator.naturalOrder())
                .collect(Collectors.joining(", "));
        throw new HeadstartException(
                config.origin() + ": model_type \"" + config.modelType() + "\" is not known; known: " + known);
    }
}
