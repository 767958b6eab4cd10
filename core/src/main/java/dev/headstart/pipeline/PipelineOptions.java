package dev.headstart.pipeline;

import dev.headstart.LoadOptions;

/**
 * How a pipeline loads and runs its model.
 *
 * @param load revision, device, precision and so on
 * @param truncation whether a text over the model's limit is cut (with a warning) or is an error
 * @param batchTokens padded tokens that go through the model together; 0: 1,024 on a processor, where what the layers write then stays in the cache,
 *     16,384 on a GPU
 */
public record PipelineOptions(LoadOptions load, boolean truncation, int batchTokens) {
    /** fp32, long texts cut with a warning, batches as the device likes them. */
    public static final PipelineOptions DEFAULT = new PipelineOptions(LoadOptions.defaults(), true, 0);

    /** These options with or without truncation. */
    public PipelineOptions withTruncation(boolean value) {
        return new PipelineOptions(load, value, batchTokens);
    }

    /** These options with other load options. */
    public PipelineOptions withLoad(LoadOptions value) {
        return new PipelineOptions(value, truncation, batchTokens);
    }

    /** These options with another batch size. @param value padded tokens, or 0 */
    public PipelineOptions withBatchTokens(int value) {
        return new PipelineOptions(load, truncation, value);
    }

    /** The padded tokens of a batch on a device. */
    int batchTokens(boolean gpu) {
        return batchTokens > 0 ? batchTokens : gpu ? 16_384 : 1024;
    }
}
