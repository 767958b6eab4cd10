package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.headstart.HeadstartException;
import dev.headstart.models.ConfigJson;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a sentence-transformers folder says besides its modules (config_sentence_transformers.json).
 *
 * @param origin the file, for messages
 * @param prompts texts to put before an input, by name
 * @param defaultPromptName the prompt that holds when none is asked for; null for none
 * @param similarityFnName cosine, dot, euclidean, manhattan; null when it does not say
 * @param truncateDim how many dimensions of a vector are kept; null for all
 * @param activationFn Python name of a cross-encoder's activation; null when it does not say
 */
record SentenceSettings(
        String origin,
        Map<String, String> prompts,
        @Nullable String defaultPromptName,
        @Nullable String similarityFnName,
        @Nullable Integer truncateDim,
        @Nullable String activationFn) {

    /** @param embeds whether the folder makes vectors, which have the prompts query and document even where they are not written down */
    static SentenceSettings of(Path folder, boolean embeds) {
        Path file = folder.resolve("config_sentence_transformers.json");
        ConfigJson c = Files.isRegularFile(file)
                ? ConfigJson.read(file)
                : new ConfigJson(JsonNodeFactory.instance.objectNode(), file.toString());
        Map<String, String> prompts = new LinkedHashMap<>();
        if (embeds) {
            prompts.put("query", "");
            prompts.put("document", "");
        }
        c.sub("prompts")
                .node()
                .properties()
                .forEach(e -> prompts.put(
                        e.getKey(), e.getValue().isNull() ? "" : e.getValue().asText()));
        String name = c.has("default_prompt_name") ? c.text("default_prompt_name", "") : null;
        if (name != null && !prompts.containsKey(name)) {
            throw new HeadstartException(
                    file + ": default_prompt_name \"" + name + "\" is not among its prompts " + prompts.keySet());
        }
        return new SentenceSettings(
                file.toString(),
                prompts,
                name,
                c.has("similarity_fn_name") ? c.text("similarity_fn_name", "") : null,
                c.integerOrNull("truncate_dim"),
                c.has("activation_fn") ? c.text("activation_fn", "") : null);
    }

    /** The text to put before an input: given itself, or by name, or the folder's default; empty for none. */
    String prompt(@Nullable String prompt, @Nullable String promptName) {
        if (prompt != null) {
            return prompt;
        }
        String name = promptName != null ? promptName : defaultPromptName;
        if (name == null) {
            return "";
        }
        String found = prompts.get(name);
        if (found == null) {
            throw new HeadstartException("prompt_name \"" + name + "\": " + origin + " has no such prompt; it has "
                    + (prompts.isEmpty() ? "none" : String.join(", ", prompts.keySet())));
        }
        return found;
    }

    /** As {@link #prompt(String, String)}, from the call arguments {@code prompt} and {@code prompt_name}. */
    String prompt(JsonNode kwargs) {
        return prompt(text(kwargs, "prompt"), text(kwargs, "prompt_name"));
    }

    /** The file with max_seq_length and do_lower_case beside an encoder, under any of the names it has had; empty without one. */
    static ConfigJson limits(Path encoder) {
        for (String name : List.of("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")) {
            Path file = encoder.resolve("sentence_" + name + "_config.json");
            if (Files.isRegularFile(file)) {
                return ConfigJson.read(file);
            }
        }
        return new ConfigJson(JsonNodeFactory.instance.objectNode(), encoder.toString());
    }

    /** A text among the call arguments; null when absent. */
    static @Nullable String text(JsonNode kwargs, String name) {
        if (!kwargs.hasNonNull(name)) {
            return null;
        }
        if (!kwargs.get(name).isTextual()) {
            throw new HeadstartException(name + " must be a text, found " + kwargs.get(name));
        }
        return kwargs.get(name).asText();
    }
}
