package dev.headstart.models;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The outputs that vision families share (transformers.modeling_outputs). B batch, C classes, S patches and special tokens, h heads. */
public final class VisionOutputs {
    private VisionOutputs() {}

    /**
     * Scores for the classes of an image.
     *
     * @param loss scalar; null without labels
     * @param logits [B, C]
     * @param hiddenStates embeddings and every layer's or stage's output; null unless asked for
     * @param attentions attention weights; null unless asked for, and of families without attention
     */
    public record ImageClassifierOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Scores for the classes of each pixel.
     *
     * @param loss scalar; null without labels
     * @param logits [B, C, H', W'], usually smaller than the image
     * @param hiddenStates the stages' outputs; null unless asked for
     * @param attentions attention weights; null unless asked for
     */
    public record SemanticSegmenterOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * An image made again from its visible patches.
     *
     * @param loss scalar; null without {@code bool_masked_pos}
     * @param reconstruction [B, channels, H, W]
     * @param hiddenStates embeddings and every layer's output; null unless asked for
     * @param attentions attention weights; null unless asked for
     */
    public record MaskedImageModelingOutput(
            @Nullable Tensor loss,
            Tensor reconstruction,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}
}
