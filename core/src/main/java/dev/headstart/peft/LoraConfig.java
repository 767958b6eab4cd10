package dev.headstart.peft;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.ConfigJson;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;

/**
 * An adapter_config.json (PEFT's LoraConfig; LoRA: Hu et al. 2021). Field names and meanings are PEFT's.
 *
 * @param r rank
 * @param loraAlpha the delta is scaled by loraAlpha / r
 * @param loraDropout dropout before the delta while training
 * @param targetModules names of layers or ends of their paths; one entry that is a regular expression when {@code targetsByRegex};
 *     {@code all-linear} for every Linear but the output layer; empty for the family's default
 * @param targetsByRegex whether targetModules is one regular expression that must match the whole path
 * @param excludeModules as targetModules, taken out again
 * @param excludesByRegex whether excludeModules is one regular expression that must match the whole path
 * @param modulesToSave modules (heads) that are trained whole and saved with the adapter
 * @param ensureWeightTying whether a module to save stays tied to what it shares its weight with; otherwise both become weights of their own
 * @param bias which biases are trained and saved: {@code none}, {@code all}, {@code lora_only}
 * @param useRslora whether the scale is loraAlpha / sqrt(r) (Kalajdzievski 2023)
 * @param layersToTransform indexes of the layers that get a delta; empty for all
 * @param layersPattern names that stand before the layer index; empty for any
 * @param rankPattern other ranks by name or regular expression
 * @param alphaPattern other alphas by name or regular expression
 * @param taskType PEFT's task: SEQ_CLS, TOKEN_CLS, QUESTION_ANS, CAUSAL_LM, SEQ_2_SEQ_LM, FEATURE_EXTRACTION; null when unknown
 * @param baseModel id or path of the model that the adapter belongs to; null when unknown
 */
public record LoraConfig(
        int r,
        double loraAlpha,
        double loraDropout,
        List<String> targetModules,
        boolean targetsByRegex,
        List<String> excludeModules,
        boolean excludesByRegex,
        List<String> modulesToSave,
        boolean ensureWeightTying,
        String bias,
        boolean useRslora,
        List<Integer> layersToTransform,
        List<String> layersPattern,
        Map<String, Integer> rankPattern,
        Map<String, Double> alphaPattern,
        @Nullable String taskType,
        @Nullable String baseModel) {
    static final String FILE = "adapter_config.json";
    private static final ObjectMapper JSON = new ObjectMapper();
    /** What changes the computation and is not done here: any value but null, false or empty is refused. */
    private static final List<String> UNSUPPORTED = List.of(
            "use_dora",
            "use_qalora",
            "use_bdlora",
            "lora_bias",
            "layer_replication",
            "megatron_config",
            "trainable_token_indices",
            "target_parameters",
            "alora_invocation_tokens",
            "arrow_config",
            "kasa_config",
            "monteclora_config",
            "velora_config");
    /** Initialisations that change the base model's weights, which an adapter folder does not hold. */
    private static final Pattern CHANGES_BASE = Pattern.compile("pissa.*|olora|corda|loftq");

    private static final Map<String, List<String>> DEFAULT_TARGETS = Map.ofEntries(
            Map.entry("t5", List.of("q", "v")),
            Map.entry("mt5", List.of("q", "v")),
            Map.entry("bart", List.of("q_proj", "v_proj")),
            Map.entry("gpt2", List.of("c_attn")),
            Map.entry("bert", List.of("query", "value")),
            Map.entry("roberta", List.of("query", "value")),
            Map.entry("xlm-roberta", List.of("query", "value")),
            Map.entry("electra", List.of("query", "value")),
            Map.entry("vit", List.of("query", "value")),
            Map.entry("distilbert", List.of("q_lin", "v_lin")),
            Map.entry("mpnet", List.of("q", "v")),
            Map.entry("deberta-v2", List.of("query_proj", "value_proj")),
            Map.entry("llama", List.of("q_proj", "v_proj")),
            Map.entry("mistral", List.of("q_proj", "v_proj")),
            Map.entry("gemma2", List.of("q_proj", "v_proj")),
            Map.entry("gemma3_text", List.of("q_proj", "v_proj")),
            Map.entry("qwen2", List.of("q_proj", "v_proj")),
            Map.entry("qwen3", List.of("q_proj", "v_proj")),
            Map.entry("whisper", List.of("q_proj", "v_proj")),
            // What peft has no default for: the same two of the attention's projections.
            Map.entry("albert", List.of("query", "value")),
            Map.entry("modernbert", List.of("Wqkv")),
            Map.entry("deit", List.of("query", "value")),
            Map.entry("dinov2", List.of("query", "value")),
            Map.entry("swin", List.of("query", "value")),
            Map.entry("mbart", List.of("q_proj", "v_proj")),
            Map.entry("marian", List.of("q_proj", "v_proj")),
            Map.entry("pegasus", List.of("q_proj", "v_proj")),
            Map.entry("m2m_100", List.of("q_proj", "v_proj")),
            Map.entry("clip", List.of("q_proj", "v_proj")));

    /** Checks the values. */
    public LoraConfig {
        if (r < 1) {
            throw new HeadstartException("LoRA: the rank r must be at least 1, found " + r);
        }
        if (!(loraDropout >= 0 && loraDropout < 1)) {
            throw new HeadstartException("LoRA: lora_dropout must be in [0, 1), found " + loraDropout);
        }
        if (!List.of("none", "all", "lora_only").contains(bias)) {
            throw new HeadstartException("LoRA: bias must be none, all or lora_only, found \"" + bias + "\"");
        }
        targetModules = List.copyOf(targetModules);
        excludeModules = List.copyOf(excludeModules);
        modulesToSave = List.copyOf(modulesToSave);
        layersToTransform = List.copyOf(layersToTransform);
        layersPattern = List.copyOf(layersPattern);
        rankPattern = new LinkedHashMap<>(rankPattern);
        alphaPattern = new LinkedHashMap<>(alphaPattern);
    }

    /** PEFT's usual settings: alpha, no dropout, biases left alone. @param targets layer names, or {@code all-linear}, or none for the default */
    public static LoraConfig of(int r, double alpha, List<String> targets, List<String> modulesToSave) {
        return new LoraConfig(
                r,
                alpha,
                0,
                targets,
                false,
                List.of(),
                false,
                modulesToSave,
                false,
                "none",
                false,
                List.of(),
                List.of(),
                Map.of(),
                Map.of(),
                null,
                null);
    }

    /** The same with a dropout before the delta. */
    public LoraConfig withDropout(double p) {
        return with(p, targetModules, taskType, baseModel);
    }

    /** The same with what it belongs to. @param task PEFT's task type; @param base id or path of the base model */
    public LoraConfig withOrigin(@Nullable String task, @Nullable String base) {
        return with(loraDropout, targetModules, task, base);
    }

    private LoraConfig with(double dropout, List<String> targets, @Nullable String task, @Nullable String base) {
        return new LoraConfig(
                r,
                loraAlpha,
                dropout,
                targets,
                targetsByRegex,
                excludeModules,
                excludesByRegex,
                modulesToSave,
                ensureWeightTying,
                bias,
                useRslora,
                layersToTransform,
                layersPattern,
                rankPattern,
                alphaPattern,
                task,
                base);
    }

    /**
     * Reads {@code adapter_config.json} of a folder.
     *
     * @throws HeadstartException when it is missing, malformed, of another method than LoRA, or asks for what is not supported, by name
     */
    public static LoraConfig read(Path folder) {
        ConfigJson c = ConfigJson.read(folder.resolve(FILE));
        String type = c.text("peft_type", "LORA");
        if (!type.equals("LORA")) {
            throw new HeadstartException(c.origin() + ": peft_type " + type + " is not supported; supported: LORA");
        }
        for (String field : UNSUPPORTED) {
            JsonNode v = c.node().get(field);
            if (v != null && !isOff(v)) {
                throw new HeadstartException(
                        c.origin() + ": " + field + " = " + v
                                + " is not supported; merge the adapter with Python peft (merge_and_unload) and load the result");
            }
        }
        JsonNode init = c.node().path("init_lora_weights");
        if (init.isTextual() && CHANGES_BASE.matcher(init.asText()).matches()) {
            throw new HeadstartException(c.origin() + ": init_lora_weights = " + init
                    + " changed the base model's weights, which the adapter does not hold; convert it with Python peft"
                    + " (save_pretrained with path_initial_model_for_weight_conversion)");
        }
        JsonNode target = c.node().path("target_modules");
        boolean text = target.isTextual();
        boolean allLinear = text && target.asText().equalsIgnoreCase("all-linear");
        return new LoraConfig(
                c.size("r", 8),
                c.number("lora_alpha", 8),
                c.number("lora_dropout", 0),
                allLinear ? List.of("all-linear") : c.texts("target_modules", List.of()),
                text && !allLinear,
                c.texts("exclude_modules", List.of()),
                c.node().path("exclude_modules").isTextual(),
                c.texts("modules_to_save", List.of()).stream().distinct().toList(),
                c.flag("ensure_weight_tying", false),
                c.text("bias", "none"),
                c.flag("use_rslora", false),
                c.integers("layers_to_transform", List.of()),
                c.texts("layers_pattern", List.of()),
                numbers(c, "rank_pattern", JsonNode::asInt),
                numbers(c, "alpha_pattern", JsonNode::asDouble),
                c.has("task_type") ? c.text("task_type", "") : null,
                c.has("base_model_name_or_path") ? c.text("base_model_name_or_path", "") : null);
    }

    private static boolean isOff(JsonNode v) {
        return v.isNull() || (v.isBoolean() && !v.asBoolean()) || (v.isContainerNode() && v.isEmpty());
    }

    private static <T> Map<String, T> numbers(
            ConfigJson c, String field, java.util.function.Function<JsonNode, T> value) {
        Map<String, T> all = new LinkedHashMap<>();
        c.sub(field).node().properties().forEach(e -> all.put(e.getKey(), value.apply(e.getValue())));
        return all;
    }

    /** As PEFT writes it, keys sorted. */
    ObjectNode toJson(boolean fanInFanOut) {
        Map<String, JsonNode> f = new TreeMap<>();
        f.put("peft_type", JSON.getNodeFactory().textNode("LORA"));
        f.put("task_type", JSON.valueToTree(taskType));
        f.put("base_model_name_or_path", JSON.valueToTree(baseModel));
        f.put("revision", JSON.nullNode());
        f.put("inference_mode", JSON.getNodeFactory().booleanNode(true));
        f.put("auto_mapping", JSON.nullNode());
        f.put("r", JSON.valueToTree(r));
        f.put(
                "lora_alpha",
                loraAlpha == Math.rint(loraAlpha) ? JSON.valueToTree((long) loraAlpha) : JSON.valueToTree(loraAlpha));
        f.put("lora_dropout", JSON.valueToTree(loraDropout));
        f.put(
                "target_modules",
                targetsByRegex || isAllLinear() ? JSON.valueToTree(targetModules.get(0)) : strings(targetModules));
        f.put(
                "exclude_modules",
                excludesByRegex
                        ? JSON.valueToTree(excludeModules.get(0))
                        : excludeModules.isEmpty() ? JSON.nullNode() : strings(excludeModules));
        f.put("modules_to_save", modulesToSave.isEmpty() ? JSON.nullNode() : strings(modulesToSave));
        f.put("bias", JSON.getNodeFactory().textNode(bias));
        f.put("use_rslora", JSON.getNodeFactory().booleanNode(useRslora));
        f.put("use_dora", JSON.getNodeFactory().booleanNode(false));
        f.put("ensure_weight_tying", JSON.getNodeFactory().booleanNode(ensureWeightTying));
        f.put("fan_in_fan_out", JSON.getNodeFactory().booleanNode(fanInFanOut));
        f.put("init_lora_weights", JSON.getNodeFactory().booleanNode(true));
        f.put(
                "layers_to_transform",
                layersToTransform.isEmpty() ? JSON.nullNode() : JSON.valueToTree(layersToTransform));
        f.put("layers_pattern", layersPattern.isEmpty() ? JSON.nullNode() : strings(layersPattern));
        f.put("rank_pattern", JSON.valueToTree(rankPattern));
        f.put("alpha_pattern", JSON.valueToTree(alphaPattern));
        ObjectNode node = JSON.createObjectNode();
        f.forEach(node::set);
        return node;
    }

    private static ArrayNode strings(List<String> values) {
        return JSON.valueToTree(values);
    }

    /** End of the class name that PEFT's task type asks for; empty for the model without a head. */
    public String head() {
        return switch (taskType == null ? "" : taskType) {
            case "SEQ_CLS" -> "ForSequenceClassification";
            case "TOKEN_CLS" -> "ForTokenClassification";
            case "QUESTION_ANS" -> "ForQuestionAnswering";
            case "CAUSAL_LM" -> "ForCausalLM";
            case "SEQ_2_SEQ_LM" -> "ForConditionalGeneration";
            default -> "";
        };
    }

    boolean isAllLinear() {
        return !targetsByRegex && targetModules.equals(List.of("all-linear"));
    }

    /** The same with the family's default where no target is named. @throws HeadstartException when the family has none */
    LoraConfig withDefaults(String modelType) {
        if (!targetModules.isEmpty()) {
            return this;
        }
        List<String> found = DEFAULT_TARGETS.get(modelType);
        if (found == null) {
            throw new HeadstartException(
                    "LoRA: model_type " + modelType + " has no default target modules; name them, or use all-linear");
        }
        return with(loraDropout, found, taskType, baseModel);
    }

    /** Whether the layer at a path gets a delta (peft check_target_module_exists). @param output whether it is the output layer */
    boolean targets(String path, boolean output) {
        boolean excluded = excludesByRegex
                ? matches("exclude_modules", excludeModules.get(0), path)
                : endsWithAny(path, excludeModules);
        if (excluded || saves(path)) {
            return false;
        }
        if (isAllLinear()) {
            return !output;
        }
        if (targetsByRegex) {
            return matches("target_modules", targetModules.get(0), path);
        }
        if (targetModules.contains(path)) {
            return true;
        }
        return endsWithAny(path, targetModules) && inWantedLayer(path);
    }

    private static boolean matches(String field, String regex, String path) {
        try {
            return path.matches(pythonRegex(regex));
        } catch (PatternSyntaxException e) {
            throw new HeadstartException(
                    FILE + ": " + field + " \"" + regex + "\" is no valid regular expression: " + e.getDescription(),
                    e);
        }
    }

    private boolean inWantedLayer(String path) {
        if (layersToTransform.isEmpty()) {
            return true;
        }
        List<String> patterns = layersPattern.isEmpty()
                ? List.of("^.*?\\.[^.]*\\.(\\d+)\\.")
                : layersPattern.stream()
                        .map(p -> "^(?:|.*?\\.)" + p + "\\.(\\d+)\\.")
                        .toList();
        for (String p : patterns) {
            Matcher m = Pattern.compile(p).matcher(path);
            if (m.find()) {
                return layersToTransform.contains(Integer.valueOf(m.group(1)));
            }
        }
        return false;
    }

    /** Whether the module at a path, or one around it, is trained whole. */
    boolean saves(String path) {
        return modulesToSave.stream().anyMatch(m -> ("." + path + ".").contains("." + m + "."));
    }

    /** The path of the module to save that the module at a path is, or is inside; empty when it is not saved. */
    String savedBy(String path) {
        if (!saves(path)) {
            return "";
        }
        int end = path.indexOf('.');
        while (end >= 0 && !saves(path.substring(0, end))) {
            end = path.indexOf('.', end + 1);
        }
        return end < 0 ? path : path.substring(0, end);
    }

    /** The rank of the layer at a path. */
    int rank(String path) {
        return pattern(rankPattern, path, r);
    }

    /** The delta's factor for the layer at a path. */
    double scaling(String path) {
        double alpha = pattern(alphaPattern, path, loraAlpha);
        int rank = rank(path);
        return useRslora ? alpha / Math.sqrt(rank) : alpha / rank;
    }

    private static <T> T pattern(Map<String, T> patterns, String path, T otherwise) {
        for (Map.Entry<String, T> e : patterns.entrySet()) {
            if (path.matches("(.*\\.)?(" + pythonRegex(e.getKey()) + ")")) {
                return e.getValue();
            }
        }
        return otherwise;
    }

    private static String pythonRegex(String regex) {
        return regex.replace("(?P<", "(?<");
    }

    private static boolean endsWithAny(String path, List<String> names) {
        List<String> all = new ArrayList<>(names);
        return all.stream().anyMatch(n -> path.equals(n) || path.endsWith("." + n));
    }
}
