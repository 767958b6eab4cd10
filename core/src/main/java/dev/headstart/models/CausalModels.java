package dev.headstart.models;

import static org.bytedeco.pytorch.global.torch.constant_pad_nd;
import static org.bytedeco.pytorch.global.torch.tanh;

import dev.headstart.HeadstartException;
import dev.headstart.generation.DecodingSession;
import dev.headstart.generation.KvCache;
import dev.headstart.models.Outputs.BaseModelOutput;
import dev.headstart.models.Outputs.CausalLMOutput;
import dev.headstart.models.Outputs.QuestionAnsweringModelOutput;
import dev.headstart.models.Outputs.SequenceClassifierOutput;
import dev.headstart.models.Outputs.TokenClassifierOutput;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.Map;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The classes that every decoder family has; a family names them and gives them its body. B batch, S length, E hidden size, V vocabulary. */
public final class CausalModels {
    private CausalModels() {}

    /** Builds a family's body at its place among the weights. */
    interface BodyBuilder {
        CausalBody build(Weights w, ConfigJson config);
    }

    /** The layer that scores the next word: the embedding table where config.json ties them. @param tied what an absent field says */
    static Linear lmHead(Weights w, ConfigJson config, Embedding words, boolean tied) {
        Weights out = w.sub("lm_head");
        return config.flag("tie_word_embeddings", tied)
                ? out.tiedLinear(words.weight(), null)
                : out.linear(words.weight().size(1), words.weight().size(0), false);
    }

    /** The positions that are to be scored: the last {@code logits_to_keep}, all for 0; [B, S, E] to [B, K, E]. */
    static Tensor scored(Tensor x, Inputs in) {
        long keep = in.kwarg("logits_to_keep", 0L);
        return keep > 0 && keep < x.size(1) ? x.narrow(1, x.size(1) - keep, keep) : x;
    }

    /** Cross entropy of each token's prediction with the token after it (transformers ForCausalLMLoss). @param logits [..., S, V]; @param labels [..., S] */
    static Tensor nextTokenLoss(Tensor logits, Tensor labels) {
        long s = labels.size(-1);
        Tensor next = constant_pad_nd(labels.narrow(-1, 1, s - 1), new long[] {0, 1}, new Scalar(-100)); // [..., S]
        return Losses.crossEntropy(logits, next);
    }

    /** A decoder without a head: hidden states. */
    public abstract static class CausalModel extends PreTrainedModel<BaseModelOutput> {
        private final CausalBody body;

        CausalModel(Weights w, ConfigJson config, BodyBuilder builder) {
            super(w, config);
            body = builder.build(w, config);
        }

        @Override
        protected BaseModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = body.forward(in, trace); // [B, S, E]
            return new BaseModelOutput(x, trace.hiddenStates(), trace.attentions());
        }
    }

    /** A decoder that predicts the next token and generates. */
    public abstract static class CausalLM extends GenerationMixin<CausalLMOutput> {
        private final CausalBody body;
        private final Linear lmHead;
        private final double softcap;

        /**
         * @param prefix place of the body: {@code model}, {@code transformer}
         * @param tied whether the output layer is the embedding table, unless config.json says otherwise
         * @param positionsField config.json's name for the context length
         * @param absentPositions its default
         */
        CausalLM(
                Weights w,
                ConfigJson config,
                BodyBuilder builder,
                String prefix,
                boolean tied,
                String positionsField,
                int absentPositions,
                double softcap) {
            super(w, config, config.size(positionsField, absentPositions));
            body = builder.build(w.sub(prefix), config);
            lmHead = lmHead(w, config, body.words(), tied);
            this.softcap = softcap;
        }

        @Override
        protected CausalLMOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = logits(scored(body.forward(in, trace), in)); // [B, S, V]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : nextTokenLoss(logits, labels);
            return new CausalLMOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** What the classes of the family share. */
        final CausalBody body() {
            return body;
        }

        private Tensor logits(Tensor x) {
            Tensor logits = lmHead.forward(x);
            return softcap > 0 ? tanh(logits.div(new Scalar(softcap))).mul(new Scalar(softcap)) : logits;
        }

        @Override
        DecodingSession session(Map<String, Tensor> inputs, int rows, int capacity) {
            return new Session(rows, capacity);
        }

        private final class Session implements DecodingSession {
            private final KvCache cache;

            Session(int rows, int capacity) {
                cache = new KvCache(body.depth(), rows, capacity);
            }

            @Override
            public Tensor step(Tensor ids, int[] lengths) {
                return within(false, () -> {
                    Tensor x = body.read(
                            ids.to(body.words().weight().tensor().device(), ScalarType.Long),
                            lengths,
                            cache); // [R, S, E]
                    Tensor last = cache.last(x); // [R, E]
                    cache.end();
                    return logits(last); // [R, V]
                });
            }

            @Override
            public void select(int[] rows) {
                cache.select(rows);
            }

            @Override
            public void close() {
                cache.close();
            }
        }
    }

    /** A decoder that classifies a text by its last token. */
    public abstract static class CausalSequenceClassifier extends PreTrainedModel<SequenceClassifierOutput> {
        private final CausalBody body;
        private final Linear score;
        private final @Nullable Integer absentPad;

        /** @param absentPad the family's default pad token, or null for none */
        CausalSequenceClassifier(
                Weights w, ConfigJson config, BodyBuilder builder, String prefix, @Nullable Integer absentPad) {
            super(w, config);
            body = builder.build(w.sub(prefix), config);
            score = w.head().sub("score").linear(body.width(), config.numLabels(), false);
            this.absentPad = absentPad;
        }

        /** What config.json calls padding, by which the last token of each text is found; null for nothing. Changes of {@link #config} show. */
        public final @Nullable Integer padTokenId() {
            return config().has("pad_token_id")
                    ? config().integerOrNull("pad_token_id")
                    : config().node().has("pad_token_id") ? null : absentPad;
        }

        @Override
        protected SequenceClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = body.forward(in, trace); // [B, S, E]
            Tensor logits =
                    score.forward(lastToken(x, in.optional("input_ids"), in.optional("attention_mask"))); // [B, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.sequenceClassification(logits, labels, config().problemType());
            return new SequenceClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }

        /** The last position that is not padding by its id, [B, S, E] to [B, E]; without a pad token the last one, where nothing is masked. */
        private Tensor lastToken(Tensor x, @Nullable Tensor ids, @Nullable Tensor mask) {
            Integer pad = padTokenId();
            if (pad == null && x.size(0) != 1 && mask != null && mask.min().item_long() == 0) {
                throw new HeadstartException(
                        config().origin()
                                + ": pad_token_id is missing, so texts of different lengths cannot be classified together; add"
                                + " it there (\"pad_token_id\": the number of the tokenizer's padding token, or of its end token)");
            }
            if (pad == null || ids == null) {
                return x.select(1, x.size(1) - 1);
            }
            Tensor places = Places.upTo(ids.size(1), ids); // [S]
            Tensor last = places.mul(ids.ne(new Scalar(pad.longValue()))).amax(new long[] {-1}, false); // [B]
            return x.gather(1, last.view(-1, 1, 1).expand(x.size(0), 1, x.size(2)))
                    .squeeze(1);
        }
    }

    /** A decoder that classifies each token. */
    public abstract static class CausalTokenClassifier extends PreTrainedModel<TokenClassifierOutput> {
        private final CausalBody body;
        private final Dropout dropout;
        private final Linear score;

        CausalTokenClassifier(Weights w, ConfigJson config, BodyBuilder builder, String prefix, String head) {
            super(w, config);
            body = builder.build(w.sub(prefix), config);
            dropout = w.dropout(config.number("classifier_dropout", config.number("hidden_dropout", 0.1)));
            score = w.head()
                    .sub(head)
                    .linear(body.width(), config.numLabels(), config.flag("token_classification_bias", true));
        }

        @Override
        protected TokenClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = score.forward(dropout.forward(body.forward(in, trace))); // [B, S, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new TokenClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }
    }

    /** A decoder that marks the answer to a question in the text. */
    public abstract static class CausalQuestionAnswering extends PreTrainedModel<QuestionAnsweringModelOutput> {
        private final CausalBody body;
        private final Linear outputs;

        CausalQuestionAnswering(Weights w, ConfigJson config, BodyBuilder builder, String prefix) {
            super(w, config);
            body = builder.build(w.sub(prefix), config);
            outputs = w.head().sub("qa_outputs").linear(body.width(), 2);
        }

        @Override
        protected QuestionAnsweringModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = outputs.forward(body.forward(in, trace)); // [B, S, 2]
            return Heads.questionAnswering(logits, in, trace);
        }
    }
}
