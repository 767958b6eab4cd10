package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.cat;

import dev.headstart.HeadstartException;
import dev.headstart.generation.DecodingSession;
import dev.headstart.generation.EncoderStates;
import dev.headstart.generation.KvCache;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Ops;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What the families with an encoder and a decoder share (Sutskever et al. 2014; Vaswani et al. 2017): the model without a head, and the one that
 * writes text. B batch, S source length, T target length, E hidden size, h heads, V vocabulary.
 */
public final class Seq2Seq {
    private Seq2Seq() {}

    /**
     * States of encoder and decoder (transformers Seq2SeqModelOutput).
     *
     * @param lastHiddenState the decoder's, [B, T, E]
     * @param decoderHiddenStates embeddings and every layer's output, each [B, T, E]; null unless asked for
     * @param decoderAttentions each [B, h, T, T]; null unless asked for
     * @param crossAttentions each [B, h, T, S]; null unless asked for
     * @param encoderLastHiddenState [B, S, E]
     * @param encoderHiddenStates each [B, S, E]; null unless asked for
     * @param encoderAttentions each [B, h, S, S]; null unless asked for
     */
    public record Seq2SeqModelOutput(
            Tensor lastHiddenState,
            @Nullable List<Tensor> decoderHiddenStates,
            @Nullable List<Tensor> decoderAttentions,
            @Nullable List<Tensor> crossAttentions,
            Tensor encoderLastHiddenState,
            @Nullable List<Tensor> encoderHiddenStates,
            @Nullable List<Tensor> encoderAttentions)
            implements ModelOutput {}

    /**
     * Scores for the target's words (transformers Seq2SeqLMOutput).
     *
     * @param loss scalar; null without labels
     * @param logits [B, T, V]
     * @param decoderHiddenStates embeddings and every layer's output, each [B, T, E]; null unless asked for
     * @param decoderAttentions each [B, h, T, T]; null unless asked for
     * @param crossAttentions each [B, h, T, S]; null unless asked for
     * @param encoderLastHiddenState [B, S, E]
     * @param encoderHiddenStates each [B, S, E]; null unless asked for
     * @param encoderAttentions each [B, h, S, S]; null unless asked for
     */
    public record Seq2SeqLMOutput(
            @Nullable Tensor loss,
            Tensor logits,
            @Nullable List<Tensor> decoderHiddenStates,
            @Nullable List<Tensor> decoderAttentions,
            @Nullable List<Tensor> crossAttentions,
            Tensor encoderLastHiddenState,
            @Nullable List<Tensor> encoderHiddenStates,
            @Nullable List<Tensor> encoderAttentions)
            implements ModelOutput {}

    /** What a decoder layer needs beside its input. @param encoded null for a decoder alone */
    record Step(
            @Nullable Tensor encoded,
            EncoderStates states,
            CausalMask mask,
            @Nullable KvCache cache,
            Trace self,
            Trace cross) {
        /** The same for layers that are computed twice ({@link dev.headstart.nn.Recompute}). */
        Step forgetful() {
            return new Step(encoded, states.forgetful(), mask, cache, self, cross);
        }

        /** The same over other states of the encoder, [B, S, E]. */
        Step over(Tensor source) {
            return new Step(source, states, mask, cache, self, cross);
        }

        /** Attention over the encoder's states. @param query [R, h, T, d]; @return [R, h, T, d] */
        Tensor attend(
                int layer, Tensor query, long heads, Linear k, Linear v, double scale, dev.headstart.nn.Dropout drop) {
            Tensor from = Objects.requireNonNull(encoded);
            KvCache.KeysValues source = states.of(
                    layer,
                    () -> new KvCache.KeysValues(
                            Attention.splitHeads(k.forward(from), heads),
                            Attention.splitHeads(v.forward(from), heads))); // [P, h, S, d]
            Tensor out = Attention.attend(
                    states.group(query), source.keys(), source.values(), states.mask(), scale, drop, cross);
            return states.ungroup(out, query.size(0));
        }
    }

    /** Encoder and decoder of a family. */
    abstract static class Body {
        private final ConfigJson config;
        private final Special special;

        Body(ConfigJson config, Special special) {
            this.config = config;
            this.special = special;
        }

        /** Source tokens to states. @param ids [B, S], null where embeds are given; @param embeds [B, S, E] or null; @return [B, S, E] */
        abstract Tensor encode(@Nullable Tensor ids, @Nullable Tensor embeds, @Nullable Tensor mask, Trace trace);

        /** Target tokens to states. @param positions [B or 1, T], counted from 0; @return [B, T, E] */
        abstract Tensor decode(@Nullable Tensor ids, @Nullable Tensor embeds, Tensor positions, Step step);

        /** The decoder's embedding table, to which an output layer may be tied. */
        abstract Embedding words();

        /** Number of decoder layers. */
        abstract int depth();

        /** What decoder inputs are made from where none are given: labels (by the classes with a head), in BART also the source. */
        boolean shiftsSource() {
            return false;
        }

        /**
         * Decoder inputs from labels, or from the source: moved one place to the right behind the start token; -100 becomes padding (transformers
         * shift_tokens_right). @param labels [B, T]; @return [B, T]
         */
        Tensor shift(Tensor labels) {
            Integer named = config.integerOrNull("decoder_start_token_id");
            Integer first = named != null ? named : special.start;
            if (first == null) {
                throw new HeadstartException(
                        config.origin() + ": decoder_start_token_id is missing, which begins every target; add it there"
                                + " (\"decoder_start_token_id\": the token's number; T5 uses that of the pad token)");
            }
            Tensor begin = labels.narrow(1, 0, 1).clone().fill_(new Scalar(first.longValue())); // [B, 1]
            Tensor all = cat(new TensorVector(begin, labels.narrow(1, 0, labels.size(1) - 1)), 1); // [B, T]
            return all.masked_fill(all.eq(new Scalar(-100)), new Scalar(config.integer("pad_token_id", special.pad)));
        }

        /** Runs both. @param from what decoder inputs are made from where none are given, [B, T]; null where there is nothing */
        final Seq2SeqModelOutput forward(Inputs in, @Nullable Tensor from) {
            in.kwarg("use_cache", false); // changes nothing in what is computed
            Trace encoder = in.trace();
            Trace self = in.trace();
            Trace cross = new Trace(false, in.attentions());
            Tensor ids = in.optional("input_ids");
            Tensor embeds = in.optional("inputs_embeds");
            Tensor padding = in.optional("attention_mask");
            Tensor encoded = encode(ids, embeds, padding, encoder); // [B, S, E]
            Tensor targetEmbeds = in.optional("decoder_inputs_embeds");
            Tensor target = in.optional("decoder_input_ids");
            if (target == null && targetEmbeds == null) {
                if (from == null) {
                    throw new HeadstartException("decoder_input_ids is missing; give it, or what it is made from: the"
                            + " labels of a class that writes text, input_ids for one that classifies or answers");
                }
                target = shift(from);
            }
            Tensor like = targetEmbeds != null ? targetEmbeds : Objects.requireNonNull(target);
            Tensor positions = Places.upTo(like.size(1), encoded).unsqueeze(0); // [1, T]
            // of the target only length and padding matter for the mask: any tensor of its size and the states' type
            // does
            Tensor sized = encoded.narrow(1, 0, 1).expand(encoded.size(0), like.size(1), encoded.size(2));
            CausalMask mask = CausalMask.of(sized, in.optional("decoder_attention_mask"), false);
            try (EncoderStates states = new EncoderStates(
                    depth(), (int) encoded.size(0), Attention.additiveMask(padding, Ops.type(encoded)))) {
                Tensor x = decode(target, targetEmbeds, positions, new Step(encoded, states, mask, null, self, cross));
                return new Seq2SeqModelOutput(
                        x,
                        self.hiddenStates(),
                        self.attentions(),
                        cross.attentions(),
                        encoded,
                        encoder.hiddenStates(),
                        encoder.attentions());
            }
        }
    }

    /** Builds a body. */
    interface BodyBuilder {
        Body build(Weights w, ConfigJson config);
    }

    /** The family's default special tokens. @param start decoder_start_token_id, null for none; @param pad pad_token_id */
    record Special(@Nullable Integer start, int pad) {}

    /** Encoder and decoder without a head. */
    public abstract static class Seq2SeqModel extends PreTrainedModel<Seq2SeqModelOutput> {
        private final Body body;

        Seq2SeqModel(Weights w, ConfigJson config, BodyBuilder builder) {
            super(w, config);
            body = builder.build(w, config);
        }

        @Override
        protected Seq2SeqModelOutput compute(Inputs in) {
            return body.forward(in, body.shiftsSource() ? in.optional("input_ids") : null);
        }
    }

    /** Encoder and decoder with the output layer: writes text. */
    public abstract static class Seq2SeqLM extends GenerationMixin<Seq2SeqLMOutput> {
        private final Body body;
        private final Linear lmHead;
        private final @Nullable Parameter bias;
        private final double scale;

        /**
         * @param prefix place of the body: {@code model}, or empty
         * @param biased whether the family adds final_logits_bias
         * @param tied whether the output layer is the embedding table
         * @param scale factor on the states before the output layer
         * @param context most positions of the decoder, 0 for no limit
         */
        Seq2SeqLM(
                Weights w,
                ConfigJson config,
                BodyBuilder builder,
                String prefix,
                boolean biased,
                boolean tied,
                double scale,
                int context) {
            super(w, config, context);
            body = builder.build(w.sub(prefix), config);
            Weights out = w.sub("lm_head");
            Parameter table = body.words().weight();
            lmHead = tied ? out.tiedLinear(table, null) : out.linear(table.size(1), table.size(0), false);
            bias = biased && w.has("final_logits_bias")
                    ? w.buffer("final_logits_bias", dev.headstart.nn.Init.ZEROS, 1, lmHead.out())
                    : null;
            this.scale = scale;
        }

        private Tensor logits(Tensor x) {
            Tensor y = lmHead.forward(scale == 1 ? x : x.mul(new Scalar(scale)));
            return bias == null ? y : y.add(bias.tensor());
        }

        @Override
        protected Seq2SeqLMOutput compute(Inputs in) {
            Tensor labels = in.optional("labels");
            Tensor from = labels != null ? labels : body.shiftsSource() ? in.optional("input_ids") : null;
            Seq2SeqModelOutput out = body.forward(in, from);
            Tensor logits = logits(out.lastHiddenState()); // [B, T, V]
            return new Seq2SeqLMOutput(
                    labels == null ? null : Losses.crossEntropy(logits, labels),
                    logits,
                    out.decoderHiddenStates(),
                    out.decoderAttentions(),
                    out.crossAttentions(),
                    out.encoderLastHiddenState(),
                    out.encoderHiddenStates(),
                    out.encoderAttentions());
        }

        /** What the decoder reads when it is to write {@code labels}, [B, T] (transformers prepare_decoder_input_ids_from_labels). */
        public final Tensor prepareDecoderInputIdsFromLabels(Tensor labels) {
            return body.shift(labels);
        }

        @Override
        public boolean isEncoderDecoder() {
            return true;
        }

        @Override
        List<String> generationInputs() {
            return List.of(
                    "input_ids", "inputs_embeds", "attention_mask", "decoder_input_ids", "decoder_attention_mask");
        }

        @Override
        DecodingSession session(Map<String, Tensor> inputs, int rows, int capacity) {
            return new Session(inputs, rows, capacity);
        }

        private final class Session implements DecodingSession {
            private final KvCache cache;
            private final EncoderStates states;
            private final Tensor encoded;

            Session(Map<String, Tensor> inputs, int rows, int capacity) {
                Tensor ids = placed(inputs.get("input_ids"), true);
                Tensor embeds = placed(inputs.get("inputs_embeds"), false);
                Tensor mask = placed(inputs.get("attention_mask"), true);
                // without a mask padding counts as text: for an encoder transformers infers none
                try (PointerScope scope = new PointerScope()) {
                    encoded = Memory.keep(body.encode(ids, embeds, mask, Trace.none())); // [B, S, E]
                    states = new EncoderStates(body.depth(), rows, Attention.additiveMask(mask, Ops.type(encoded)));
                }
                cache = new KvCache(body.depth(), rows, capacity);
            }

            private @Nullable Tensor placed(@Nullable Tensor t, boolean integers) {
                Tensor w = body.words().weight().tensor();
                return t == null ? null : t.to(w.device(), integers ? ScalarType.Long : Ops.type(w));
            }

            @Override
            public Tensor step(Tensor ids, int[] lengths) {
                return within(false, () -> {
                    Tensor at = ids.to(encoded.device(), ScalarType.Long); // [R, T]
                    cache.begin(lengths, (int) at.size(1), at.device());
                    Step step = new Step(
                            encoded,
                            states,
                            CausalMask.of(cache, Ops.type(encoded)),
                            cache,
                            Trace.none(),
                            Trace.none());
                    Tensor last = cache.last(body.decode(at, null, cache.positions(), step)); // [R, E]
                    cache.end();
                    return logits(last); // [R, V]
                });
            }

            @Override
            public void select(int[] rows) {
                cache.select(rows);
                states.select(rows);
            }

            @Override
            public void close() {
                cache.close();
                states.close();
                encoded.close();
            }
        }
    }
}
