package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.arange;

import dev.headstart.HeadstartException;
import dev.headstart.generation.DecodingSession;
import dev.headstart.generation.EncoderStates;
import dev.headstart.generation.KvCache;
import dev.headstart.models.EncoderModels.FirstTokenHead;
import dev.headstart.models.Outputs.QuestionAnsweringModelOutput;
import dev.headstart.models.Seq2Seq.Seq2SeqModelOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What else encoder and decoder can be made to do: classify a text by the decoder's state at its end token, find answers, and the decoder alone. B
 * batch, S source length, T target length, E hidden size, h heads, C classes, V vocabulary.
 */
public final class Seq2SeqHeads {
    private Seq2SeqHeads() {}

    /**
     * Scores for the classes of a text (transformers Seq2SeqSequenceClassifierOutput).
     *
     * @param loss scalar; null without labels
     * @param logits [B, C]
     * @param decoderHiddenStates embeddings and every layer's output, each [B, T, E]; null unless asked for
     * @param decoderAttentions each [B, h, T, T]; null unless asked for
     * @param crossAttentions each [B, h, T, S]; null unless asked for
     * @param encoderLastHiddenState [B, S, E]
     * @param encoderHiddenStates each [B, S, E]; null unless asked for
     * @param encoderAttentions each [B, h, S, S]; null unless asked for
     */
    public record Seq2SeqSequenceClassifierOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> decoderHiddenStates,
            @Nullable List<Tensor> decoderAttentions,
            @Nullable List<Tensor> crossAttentions,
            Tensor encoderLastHiddenState,
            @Nullable List<Tensor> encoderHiddenStates,
            @Nullable List<Tensor> encoderAttentions)
            implements ModelOutput {}

    /**
     * Scores for the start and the end of an answer (transformers Seq2SeqQuestionAnsweringModelOutput).
     *
     * @param loss scalar, mean of both ends; null without positions
     * @param startLogits [B, T]
     * @param endLogits [B, T]
     * @param decoderHiddenStates embeddings and every layer's output, each [B, T, E]; null unless asked for
     * @param decoderAttentions each [B, h, T, T]; null unless asked for
     * @param crossAttentions each [B, h, T, S]; null unless asked for
     * @param encoderLastHiddenState [B, S, E]
     * @param encoderHiddenStates each [B, S, E]; null unless asked for
     * @param encoderAttentions each [B, h, S, S]; null unless asked for
     */
    public record Seq2SeqQuestionAnsweringModelOutput(
            @Nullable Tensor loss,
            Tensor startLogits,
            Tensor endLogits,
            @Nullable List<Tensor> decoderHiddenStates,
            @Nullable List<Tensor> decoderAttentions,
            @Nullable List<Tensor> crossAttentions,
            Tensor encoderLastHiddenState,
            @Nullable List<Tensor> encoderHiddenStates,
            @Nullable List<Tensor> encoderAttentions)
            implements ModelOutput {}

    /**
     * Scores for the next word (transformers CausalLMOutputWithCrossAttentions).
     *
     * @param loss scalar; null without labels
     * @param logits [B, T, V]
     * @param hiddenStates embeddings and every layer's output, each [B, T, E]; null unless asked for
     * @param attentions each [B, h, T, T]; null unless asked for
     * @param crossAttentions each [B, h, T, S]; null unless asked for and an encoder's states are given
     */
    public record CausalLMOutputWithCrossAttentions(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions,
            @Nullable List<Tensor> crossAttentions)
            implements ModelOutput {}

    /** Classes of a text. */
    public abstract static class Seq2SeqClassifier extends PreTrainedModel<Seq2SeqSequenceClassifierOutput> {
        private final Seq2Seq.Body body;
        private final FirstTokenHead head;
        private final int eos;

        /**
         * @param prefix place of the body
         * @param eos the family's default end token
         * @param labels the family's default number of classes
         */
        Seq2SeqClassifier(
                Weights w, ConfigJson config, Seq2Seq.BodyBuilder builder, String prefix, int eos, int labels) {
            super(w, config);
            body = builder.build(w.sub(prefix), config);
            long size = body.words().weight().size(1);
            long classes = config.has("id2label") || config.has("num_labels") ? config.numLabels() : labels;
            Dropout dropout = w.dropout(config.number("classifier_dropout", 0));
            Weights place = w.head().sub("classification_head");
            Linear dense = place.sub("dense").linear(size, size);
            head = new FirstTokenHead(
                    dropout,
                    dense,
                    Activation.of("tanh"),
                    dropout,
                    place.sub("out_proj").linear(size, classes));
            this.eos = config.integer("eos_token_id", eos);
        }

        @Override
        protected Seq2SeqSequenceClassifierOutput compute(Inputs in) {
            Tensor ids = in.required("input_ids"); // [B, S]
            Seq2SeqModelOutput out = body.forward(in, ids);
            Tensor logits = head.forward(atEnd(out.lastHiddenState(), ids)); // [B, C]
            Tensor labels = in.optional("labels");
            return new Seq2SeqSequenceClassifierOutput(
                    labels == null ? null : Losses.sequenceClassification(logits, labels, config().problemType()),
                    logits,
                    out.decoderHiddenStates(),
                    out.decoderAttentions(),
                    out.crossAttentions(),
                    out.encoderLastHiddenState(),
                    out.encoderHiddenStates(),
                    out.encoderAttentions());
        }

        /** The decoder's state at the last end token of each source, [B, 1, E]. */
        private Tensor atEnd(Tensor states, Tensor ids) {
            if (states.size(1) != ids.size(1)) {
                throw new HeadstartException(
                        getClass().getSimpleName() + " reads the decoder at the source's end token: "
                                + "decoder_input_ids must be as long as input_ids (" + ids.size(1) + "), found "
                                + states.size(1));
            }
            Tensor ends = ids.eq(new Scalar((long) eos)).to(ScalarType.Long); // [B, S]
            Tensor count = ends.sum(1); // [B]
            long most = count.max().item_long();
            if (most == 0 || count.min().item_long() != most) {
                throw new HeadstartException("input_ids: every text needs the same number of end tokens (eos_token_id "
                        + eos + "), at least one; found between " + count.min().item_long() + " and " + most);
            }
            Tensor places = arange(new Scalar(1L), new Scalar(ids.size(1) + 1))
                    .to(ids.device(), ScalarType.Long)
                    .mul(ends); // [B, S]
            Tensor last = places.argmax(new LongOptional(1), true).unsqueeze(-1); // [B, 1, 1]
            return states.gather(1, last.expand(states.size(0), 1, states.size(2)));
        }
    }

    /** Start and end of an answer, by a Linear over the decoder's states. */
    public abstract static class Seq2SeqQuestionAnswering extends PreTrainedModel<Seq2SeqQuestionAnsweringModelOutput> {
        private final Seq2Seq.Body body;
        private final Linear outputs;

        /** @param prefix place of the body */
        Seq2SeqQuestionAnswering(Weights w, ConfigJson config, Seq2Seq.BodyBuilder builder, String prefix) {
            super(w, config);
            body = builder.build(w.sub(prefix), config);
            outputs = w.head().sub("qa_outputs").linear(body.words().weight().size(1), 2);
        }

        @Override
        protected Seq2SeqQuestionAnsweringModelOutput compute(Inputs in) {
            Seq2SeqModelOutput out = body.forward(in, in.optional("input_ids"));
            QuestionAnsweringModelOutput span =
                    Heads.questionAnswering(outputs.forward(out.lastHiddenState()), in, Trace.none()); // [B, T, 2]
            return new Seq2SeqQuestionAnsweringModelOutput(
                    span.loss(),
                    span.startLogits(),
                    span.endLogits(),
                    out.decoderHiddenStates(),
                    out.decoderAttentions(),
                    out.crossAttentions(),
                    out.encoderLastHiddenState(),
                    out.encoderHiddenStates(),
                    out.encoderAttentions());
        }
    }

    /** The decoder alone, which predicts the next token; labels are what each position is to predict, not moved. */
    public abstract static class DecoderLM extends GenerationMixin<CausalLMOutputWithCrossAttentions> {
        private final Seq2Seq.Body body;
        private final Linear lmHead;

        /**
         * @param builder a body whose decoder alone is there
         * @param context most positions
         */
        DecoderLM(Weights w, ConfigJson config, Seq2Seq.BodyBuilder builder, int context) {
            super(w, config, context);
            body = builder.build(w.sub("model"), config);
            lmHead = CausalModels.lmHead(w, config, body.words(), true);
        }

        @Override
        protected CausalLMOutputWithCrossAttentions compute(Inputs in) {
            in.kwarg("use_cache", false); // changes nothing in what is computed
            Tensor embeds = in.optional("inputs_embeds");
            Tensor ids = embeds == null ? in.required("input_ids") : in.optional("input_ids");
            Tensor like = embeds != null ? embeds : Objects.requireNonNull(ids);
            Tensor words = body.words().weight().tensor();
            // of the states only size and type matter for the mask; a packed table may have left nothing here
            Tensor sized = torch.empty(new long[] {1}, Ops.options(Ops.type(words), words.device()), null)
                    .expand(like.size(0), like.size(1), 1);
            CausalMask mask = CausalMask.of(sized, in.optional("attention_mask"), false);
            Tensor encoded = in.optional("encoder_hidden_states"); // [B, S, E]
            Tensor hidden = Attention.additiveMask(in.optional("encoder_attention_mask"), Ops.type(words));
            Trace self = in.trace();
            Trace cross = new Trace(false, in.attentions() && encoded != null);
            try (EncoderStates states = new EncoderStates(body.depth(), (int) like.size(0), hidden)) {
                Tensor x = body.decode(
                        ids,
                        embeds,
                        Places.upTo(like.size(1), words).unsqueeze(0),
                        new Seq2Seq.Step(encoded, states, mask, null, self, cross)); // [B, T, E]
                Tensor logits = lmHead.forward(CausalModels.scored(x, in)); // [B, T, V]
                Tensor labels = in.optional("labels");
                return new CausalLMOutputWithCrossAttentions(
                        labels == null ? null : Losses.crossEntropy(logits, labels),
                        logits,
                        self.hiddenStates(),
                        self.attentions(),
                        cross.attentions());
            }
        }

        @Override
        DecodingSession session(Map<String, Tensor> inputs, int rows, int capacity) {
            return new Session(rows, capacity);
        }

        private final class Session implements DecodingSession {
            private final KvCache cache;
            private final EncoderStates none;
            private int[] padding; // of each row

            Session(int rows, int capacity) {
                cache = new KvCache(body.depth(), rows, capacity);
                none = new EncoderStates(body.depth(), rows, null);
                padding = new int[rows];
            }

            @Override
            public void padding(int[] places) {
                padding = places.clone();
            }

            /** Where the step's tokens stand, padding counted as the reference does, [R or 1, T]. */
            private Tensor positions() {
                Tensor at = cache.positions();
                if (Arrays.stream(padding).allMatch(n -> n == 0)) {
                    return at;
                }
                long[] before = Arrays.stream(padding).asLongStream().toArray();
                return at.add(Tensor.create(before, before.length, 1).to(at.device(), ScalarType.Long));
            }

            @Override
            public Tensor step(Tensor ids, int[] lengths) {
                return within(false, () -> {
                    Tensor words = body.words().weight().tensor();
                    Tensor at = ids.to(words.device(), ScalarType.Long); // [R, T]
                    cache.begin(lengths, (int) at.size(1), at.device());
                    Seq2Seq.Step step = new Seq2Seq.Step(
                            null, none, CausalMask.of(cache, Ops.type(words)), cache, Trace.none(), Trace.none());
                    Tensor last = cache.last(body.decode(at, null, positions(), step)); // [R, E]
                    cache.end();
                    return lmHead.forward(last); // [R, V]
                });
            }

            @Override
            public void select(int[] rows) {
                cache.select(rows);
                padding = Arrays.stream(rows).map(r -> padding[r]).toArray();
            }

            @Override
            public void close() {
                cache.close();
                none.close();
            }
        }
    }
}
