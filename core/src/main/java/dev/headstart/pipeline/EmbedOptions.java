package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import org.jspecify.annotations.Nullable;

/**
 * How texts become vectors, under the names of sentence-transformers' {@code encode}.
 *
 * @param prompt put before each text; null for what {@code promptName} says
 * @param promptName one of the model's prompts; null for its default one, if it has one
 * @param truncateDim dimensions to keep; null for what the model says, else all
 * @param normalize whether vectors are made one long, after what the model does itself
 */
public record EmbedOptions(
        @Nullable String prompt,
        @Nullable String promptName,
        @Nullable Integer truncateDim,
        boolean normalize) {
    /** What the model's folder says. */
    public static final EmbedOptions DEFAULT = new EmbedOptions(null, null, null, false);

    /** @throws HeadstartException when {@code truncateDim} is not above 0 */
    public EmbedOptions {
        if (truncateDim != null && truncateDim < 1) {
            throw new HeadstartException("truncate_dim must be a whole number above 0, found " + truncateDim);
        }
    }

    /** These options with a text before each input; empty for none, whatever the model's default. */
    public EmbedOptions withPrompt(@Nullable String value) {
        return new EmbedOptions(value, promptName, truncateDim, normalize);
    }

    /** These options with one of the model's prompts. */
    public EmbedOptions withPromptName(@Nullable String value) {
        return new EmbedOptions(prompt, value, truncateDim, normalize);
    }

    /** These options with vectors cut to the first dimensions (Matryoshka models). */
    public EmbedOptions withTruncateDim(@Nullable Integer value) {
        return new EmbedOptions(prompt, promptName, value, normalize);
    }

    /** These options with or without normalization. */
    public EmbedOptions withNormalize(boolean value) {
        return new EmbedOptions(prompt, promptName, truncateDim, value);
    }

    /** From call arguments: {@code prompt}, {@code prompt_name}, {@code truncate_dim}, {@code normalize_embeddings}. */
    static EmbedOptions of(JsonNode kwargs) {
        JsonNode dim = kwargs.path("truncate_dim");
        if (!dim.isMissingNode() && !dim.isNull() && !dim.isInt()) {
            throw new HeadstartException("truncate_dim must be a whole number above 0, found " + dim);
        }
        return new EmbedOptions(
                SentenceSettings.text(kwargs, "prompt"),
                SentenceSettings.text(kwargs, "prompt_name"),
                dim.isInt() ? Integer.valueOf(dim.asInt()) : null,
                kwargs.path("normalize_embeddings").asBoolean(false));
    }
}
