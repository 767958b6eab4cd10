package dev.headstart;

import java.util.Arrays;
import java.util.Collections;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * How {@code fromPretrained} loads a model. Immutable; begin with {@link #defaults()} and change one thing at a time:
 *
 * <pre>{@code
 * LoadOptions.defaults().withRevision("v1.0").withNumLabels(3).withInit(LoadOptions.Init.NEW_HEAD).withSeed(42)
 * }</pre>
 *
 * <p>The names follow the arguments of transformers' {@code PreTrainedModel.from_pretrained}.
 *
 * @param revision branch, tag or commit; null for what the id names after its {@code @}, else {@code main}
 * @param subfolder folder inside the model's folder that holds config.json and weights; null for the model's folder itself
 * @param dtype type of the parameters in memory: {@code float32}, {@code float64}, {@code bfloat16}, {@code float16}, or {@code auto} for
 *     what config.json names; null for {@code float32}
 * @param device {@code auto} (a GPU where there is one), {@code cpu}, {@code cuda}, {@code cuda:N}
 * @param numLabels number of classes of the head; null for what config.json says
 * @param id2label names of the classes by their index; null for what config.json says
 * @param attention {@code auto}, {@code sdpa} or {@code eager} (computes attention weights step by step, and can return them)
 * @param offline whether nothing may be fetched; null for what the environment says (HF_HUB_OFFLINE)
 * @param init what may be initialised when the checkpoint lacks it
 * @param seed seed of that initialisation
 * @param precision what inference computes in: {@code auto} (what the processor is good at), {@code fp32}, {@code bf16}, {@code int8},
 *     {@code int4}; null for {@code fp32}
 */
public record LoadOptions(
        @Nullable String revision,
        @Nullable String subfolder,
        @Nullable String dtype,
        String device,
        @Nullable Integer numLabels,
        @Nullable Map<Integer, String> id2label,
        String attention,
        @Nullable Boolean offline,
        Init init,
        long seed,
        @Nullable String precision) {

    /** What may be initialised when the checkpoint does not hold it. */
    public enum Init {
        /** Nothing: a missing weight is an error that lists all missing weights. For inference. */
        NONE,
        /** The task head alone, from {@code initializer_range} and the seed; each name is logged. For fine-tuning. */
        NEW_HEAD
    }

    private static final Set<String> DTYPES = Set.of("auto", "float32", "float64", "bfloat16", "float16");
    private static final Set<String> ATTENTIONS = Set.of("auto", "sdpa", "eager");
    private static final Set<String> PRECISIONS = Set.of("auto", "fp32", "bf16", "int8", "int4");
    private static final LoadOptions DEFAULTS =
            new LoadOptions(null, null, null, "auto", null, null, "auto", null, Init.NONE, 0, null);

    /**
     * Checks each value and gives short names of types their long form.
     *
     * @throws HeadstartException when a value is none of those listed above
     */
    public LoadOptions {
        if (dtype != null) {
            dtype = oneOf("dtype", longName(dtype), DTYPES);
        }
        if (precision != null) {
            precision = oneOf("precision", precision, PRECISIONS);
        }
        attention = oneOf("attention", attention, ATTENTIONS);
        if (!device.matches("auto|cpu|cuda(:\\d{1,3})?")) {
            throw new HeadstartException("device must be auto, cpu, cuda or cuda:N, but is '" + device + "'");
        }
        if (numLabels != null && numLabels < 1) {
            throw new HeadstartException("numLabels must be at least 1, but is " + numLabels);
        }
        if (id2label != null) {
            id2label = Collections.unmodifiableMap(new TreeMap<>(id2label));
            if (numLabels != null && numLabels != id2label.size()) {
                throw new HeadstartException("numLabels is " + numLabels + ", but id2label names " + id2label.size()
                        + " labels; give one of the two, or make them agree");
            }
        }
        if (revision != null && revision.isBlank()) {
            throw new HeadstartException("revision is empty; leave it out for the main branch");
        }
        if (subfolder != null
                && (subfolder.isBlank()
                        || subfolder.startsWith("/")
                        || subfolder.contains("\\")
                        || Arrays.asList(subfolder.split("/")).contains(".."))) {
            throw new HeadstartException(
                    "subfolder must be a relative path inside the model's folder, but is '" + subfolder + "'");
        }
    }

    /** fp32, the best device there is, everything else as the checkpoint says. */
    public static LoadOptions defaults() {
        return DEFAULTS;
    }

    public LoadOptions withRevision(@Nullable String value) {
        return new LoadOptions(
                value, subfolder, dtype, device, numLabels, id2label, attention, offline, init, seed, precision);
    }

    public LoadOptions withSubfolder(@Nullable String value) {
        return new LoadOptions(
                revision, value, dtype, device, numLabels, id2label, attention, offline, init, seed, precision);
    }

    public LoadOptions withDtype(@Nullable String value) {
        return new LoadOptions(
                revision, subfolder, value, device, numLabels, id2label, attention, offline, init, seed, precision);
    }

    public LoadOptions withDevice(String value) {
        return new LoadOptions(
                revision, subfolder, dtype, value, numLabels, id2label, attention, offline, init, seed, precision);
    }

    public LoadOptions withNumLabels(@Nullable Integer value) {
        return new LoadOptions(
                revision, subfolder, dtype, device, value, id2label, attention, offline, init, seed, precision);
    }

    public LoadOptions withId2label(@Nullable Map<Integer, String> value) {
        return new LoadOptions(
                revision, subfolder, dtype, device, numLabels, value, attention, offline, init, seed, precision);
    }

    public LoadOptions withAttention(String value) {
        return new LoadOptions(
                revision, subfolder, dtype, device, numLabels, id2label, value, offline, init, seed, precision);
    }

    public LoadOptions withOffline(@Nullable Boolean value) {
        return new LoadOptions(
                revision, subfolder, dtype, device, numLabels, id2label, attention, value, init, seed, precision);
    }

    public LoadOptions withInit(Init value) {
        return new LoadOptions(
                revision, subfolder, dtype, device, numLabels, id2label, attention, offline, value, seed, precision);
    }

    public LoadOptions withSeed(long value) {
        return new LoadOptions(
                revision, subfolder, dtype, device, numLabels, id2label, attention, offline, init, value, precision);
    }

    public LoadOptions withPrecision(@Nullable String value) {
        return new LoadOptions(
                revision, subfolder, dtype, device, numLabels, id2label, attention, offline, init, seed, value);
    }

    /** The same for a model that infers much and is never trained: packed as it is read, in fp32 where no precision is asked for. */
    public LoadOptions packed() {
        return precision != null ? this : withPrecision("fp32");
    }

    private static String longName(String dtype) {
        String plain = dtype.toLowerCase(Locale.ROOT).replaceFirst("^torch\\.", "");
        return switch (plain) {
            case "fp32", "float" -> "float32";
            case "fp64", "double" -> "float64";
            case "bf16" -> "bfloat16";
            case "fp16", "half" -> "float16";
            default -> plain;
        };
    }

    private static String oneOf(String what, String value, Set<String> allowed) {
        if (!allowed.contains(value)) {
            throw new HeadstartException(what + " must be one of "
                    + String.join(", ", allowed.stream().sorted().toList()) + ", but is '" + value + "'");
        }
        return value;
    }
}
