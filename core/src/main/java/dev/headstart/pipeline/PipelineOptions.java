package dev.headstart.pipeline;

import dev.headstart.LoadOptions;

/**
 * How a pipeline loads and runs its model.
 *
 * @param load revision, device, precision and so on
 * @param truncation whether a text over the model's limit is cut (with a warning) or is an error
 * @param batchTokens padded tokens that go through the model together
 */
public record PipelineOptions(LoadOptions load, boolean truncation, int batchTokens) {
    /** fp32, long texts cut with a warning, 1,024 tokens a batch: what the layers write then stays in the processor's cache. */
    public static final PipelineOptions DEFAULT = new PipelineOptions(LoadOptions.defaults(), true, 1024);

    /** These options with or without truncation. */
    public PipelineOptions withTruncation(boolean value) {
        return new PipelineOptions(load, value, batchTokens);
    }

    /** These options with other load options. */
    public PipelineOptions withLoad(LoadOptions value) {
        return new PipelineOptions(value, truncation, batchTokens);
    }

    /** These options with another batch size. @param value padded tokens */
    public PipelineOptions withBatchTokens(int value) {
        return new PipelineOptions(load, truncation, value);
    }
}
