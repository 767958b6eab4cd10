package dev.headstart.models;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Which tasks a checkpoint of a class can do, for messages. */
final class TaskHint {
    private static final Map<String, String> TASKS = new LinkedHashMap<>();

    static {
        TASKS.put("ForMaskedLM", "fill-mask");
        TASKS.put("ForPreTraining", "fill-mask");
        TASKS.put("ForSequenceClassification", "text-classification, zero-shot-classification, text-ranking");
        TASKS.put("ForTokenClassification", "token-classification");
        TASKS.put("ForQuestionAnswering", "question-answering");
        TASKS.put("ForCausalLM", "text-generation");
        TASKS.put("LMHeadModel", "text-generation");
        TASKS.put("ForConditionalGeneration", "text2text-generation, summarization, translation");
        TASKS.put("MTModel", "translation");
        TASKS.put("ForImageClassification", "image-classification");
        TASKS.put("ForObjectDetection", "object-detection");
        TASKS.put("ForSemanticSegmentation", "image-segmentation");
        TASKS.put("Model", "feature-extraction, sentence-embedding, or a new head by finetune");
    }

    private TaskHint() {}

    /** Heads whose weights have the same names, so that one fills the other without a word. */
    private static final List<String> ALIKE = List.of("ForSequenceClassification", "ForTokenClassification");

    /** What to say of a checkpoint whose head fills that of a class for another task; empty when it does not. */
    static String ofAlike(ConfigJson config, String wanted) {
        boolean other = !config.architectures().isEmpty()
                && ALIKE.stream().anyMatch(wanted::endsWith)
                && ALIKE.stream()
                        .filter(head -> !wanted.endsWith(head))
                        .anyMatch(config.architectures().get(0)::endsWith);
        return other ? of(config, wanted) : "";
    }

    /** What to say of a checkpoint whose weights do not fill a class: empty when config.json names that class, or one that says nothing. */
    static String of(ConfigJson config, String wanted) {
        if (config.architectures().isEmpty() || config.architectures().contains(wanted)) {
            return "";
        }
        String named = config.architectures().get(0);
        return TASKS.entrySet().stream()
                .filter(e -> named.endsWith(e.getKey()))
                .findFirst()
                .map(e -> "; config.json says " + named + ", which can do: " + e.getValue())
                .orElse("");
    }
}
