package dev.headstart.pipeline;

/**
 * Short texts for long ones (transformers SummarizationPipeline): call arguments and parameters as {@link Text2TextGenerationPipeline}; results are
 * {@code summary_text}.
 */
public final class SummarizationPipeline extends Text2TextGenerationPipeline {
    SummarizationPipeline(String id, PipelineOptions options) {
        super(id, options, "summarization", "summary");
    }
}
