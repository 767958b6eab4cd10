package dev.headstart.models;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The outputs that many families share (transformers.modeling_outputs). B batch, S length, H hidden size, h heads, C classes, V vocabulary. */
public final class Outputs {
    private Outputs() {}

    /**
     * An encoder's output.
     *
     * @param lastHiddenState [B, S, H]
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record BaseModelOutput(
            Tensor lastHiddenState,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions) implements ModelOutput {}

    /**
     * An encoder's output with a pooled one.
     *
     * @param lastHiddenState [B, S, H]
     * @param poolerOutput [B, H]; null when the checkpoint has no pooler
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record BaseModelOutputWithPooling(
            Tensor lastHiddenState,
            @Nullable Tensor poolerOutput,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Scores for words in masked places.
     *
     * @param loss scalar; null without labels
     * @param logits [B, S, V]
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record MaskedLMOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Scores for the next word.
     *
     * @param loss scalar; null without labels
     * @param logits [B, S, V]
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record CausalLMOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Scores for the next word and for each of several texts (transformers GPT2DoubleHeadsModelOutput). N choices.
     *
     * @param loss of the words, scalar; null without labels
     * @param mcLoss of the choice, scalar; null without mc_labels
     * @param logits [B, N, S, V]
     * @param mcLogits [B, N]
     * @param hiddenStates embeddings and every layer's output, each [B * N, S, H], the last [B, N, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B * N, h, S, S]; null unless asked for
     */
    public record DoubleHeadsModelOutput(
            @Nullable Tensor loss,
            @Nullable Tensor mcLoss,
            Tensor logits,
            Tensor mcLogits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Scores for the classes of a text.
     *
     * @param loss scalar; null without labels
     * @param logits [B, C]
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record SequenceClassifierOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Scores for the classes of each token.
     *
     * @param loss scalar; null without labels
     * @param logits [B, S, C]
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record TokenClassifierOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Scores for choices.
     *
     * @param loss scalar; null without labels
     * @param logits [B, choices]
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record MultipleChoiceModelOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Whether the second text follows the first.
     *
     * @param loss scalar; null without labels
     * @param logits [B, 2]: it follows, it is random
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record NextSentencePredictorOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /**
     * Scores for the start and the end of an answer.
     *
     * @param loss scalar, mean of both ends; null without positions
     * @param startLogits [B, S]
     * @param endLogits [B, S]
     * @param hiddenStates embeddings and every layer's output, each [B, S, H]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record QuestionAnsweringModelOutput(
            @Nullable Tensor loss,
            Tensor startLogits,
            Tensor endLogits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}
}
