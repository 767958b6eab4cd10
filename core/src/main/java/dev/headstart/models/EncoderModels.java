package dev.headstart.models;

import dev.headstart.models.Outputs.BaseModelOutput;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.Outputs.MaskedLMOutput;
import dev.headstart.models.Outputs.MultipleChoiceModelOutput;
import dev.headstart.models.Outputs.QuestionAnsweringModelOutput;
import dev.headstart.models.Outputs.SequenceClassifierOutput;
import dev.headstart.models.Outputs.TokenClassifierOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Parameter;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The classes that BERT and its relatives have in common; a family names them and gives them its body and its heads. B batch, S length, H hidden
 * size, C classes, V vocabulary.
 */
public final class EncoderModels {
    private EncoderModels() {}

    /** Builds a family's body at its place among the weights. */
    interface BodyBuilder {
        /** @param pooling whether the body has a pooler */
        EncoderBody build(Weights w, ConfigJson config, Pooling pooling);
    }

    /** What the pooler may do: stay away, be left out when the checkpoint has none, or be part of the task head. */
    enum Pooling {
        NONE,
        IF_PRESENT,
        HEAD;

        /** The pooler, or null. @param w its place; @param size H */
        @Nullable
        Linear linear(Weights w, long size) {
            return switch (this) {
                case NONE -> null;
                case IF_PRESENT -> w.has("weight") ? w.linear(size, size) : null;
                case HEAD -> w.head().linear(size, size);
            };
        }
    }

    /** From hidden states [B, S, H] to the scores of a text, [B, C]. */
    interface TextHead {
        Tensor forward(Tensor x);

        /** How many positions it reads, from the first. */
        default long reads() {
            return Long.MAX_VALUE;
        }
    }

    /** Builds a text head. */
    interface TextHeadBuilder {
        /** @param w the root of the weights, marked as head; @param labels C */
        TextHead build(Weights w, ConfigJson config, long labels);
    }

    /**
     * Dense, activation and Linear over the first position, with dropout before each Linear (RobertaClassificationHead; BERT's pooler and classifier).
     *
     * @param before before the dense Linear
     * @param dense [H, H]
     * @param activation after it
     * @param after before the last Linear
     * @param out [H, C]
     */
    record FirstTokenHead(Dropout before, Linear dense, Activation activation, Dropout after, Linear out)
            implements TextHead {
        @Override
        public Tensor forward(Tensor x) {
            Tensor first = before.forward(x.select(1, 0)); // [B, H]
            return out.forward(after.forward(dense.forward(first, activation))); // [B, C]
        }

        @Override
        public long reads() {
            return 1;
        }
    }

    /**
     * Scores for every word at every position: dense, activation, norm, output table.
     *
     * @param dense [H, E]
     * @param activation after it
     * @param norm over E
     * @param decoder [E, V]
     */
    record WordHead(Linear dense, Activation activation, LayerNorm norm, Linear decoder) {
        /** @param x [B, S, H]; @return [B, S, V] */
        Tensor forward(Tensor x) {
            return decoder.forward(norm.forward(dense.forward(x, activation)));
        }

        /**
         * The output table at {@code decoder} with its bias beside it at {@code bias}, both under {@code w}: tied to the words unless config.json
         * says otherwise, in which case {@code decoder} has weight and bias of its own.
         */
        static Linear decoder(Weights w, ConfigJson config, Embedding words) {
            long v = words.weight().size(0);
            Parameter bias = w.parameter("bias", Init.ZEROS, v);
            Weights out = w.sub("decoder");
            if (config.flag("tie_word_embeddings", true)) {
                return out.tiedLinear(words.weight(), bias);
            }
            long e = words.weight().size(1);
            return out.has("bias")
                    ? out.linear(e, v)
                    : out.tiedLinear(
                            out.parameter("weight", new Init.Normal(0.02), v, e), bias); // before transformers 5
        }

        /** The output table whose bias is its own, tied to the words unless config.json says otherwise. */
        static Linear ownBias(Weights w, ConfigJson config, Embedding words) {
            long v = words.weight().size(0);
            return config.flag("tie_word_embeddings", true)
                    ? w.tiedLinear(words.weight(), w.parameter("bias", Init.ZEROS, v))
                    : w.linear(words.weight().size(1), v);
        }
    }

    /** Builds a word head. */
    interface WordHeadBuilder {
        /** @param w the root of the weights, marked as head */
        WordHead build(Weights w, ConfigJson config, EncoderBody body);
    }

    /** What all classes have: a body, and its limit of length. */
    public abstract static class Encoder<O extends ModelOutput> extends PreTrainedModel<O> {
        /** The part without a head. */
        final EncoderBody body;

        Encoder(Weights w, ConfigJson config, EncoderBody body) {
            super(w, config);
            this.body = body;
        }

        @Override
        public int maxLength() {
            return body.maxLength();
        }

        @Override
        public boolean leavesOutPadding() {
            return true;
        }
    }

    /** An encoder without a head and without a pooler: hidden states. */
    public abstract static class EncoderModel extends Encoder<BaseModelOutput> {
        EncoderModel(Weights w, ConfigJson config, BodyBuilder builder) {
            super(w, config, builder.build(w, config, Pooling.NONE));
        }

        @Override
        protected BaseModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = body.forward(in, trace); // [B, S, H]
            return new BaseModelOutput(x, trace.hiddenStates(), trace.attentions());
        }
    }

    /** An encoder without a head: hidden states and the pooled first position. */
    public abstract static class PooledEncoderModel extends Encoder<BaseModelOutputWithPooling> {
        PooledEncoderModel(Weights w, ConfigJson config, BodyBuilder builder) {
            super(w, config, builder.build(w, config, Pooling.IF_PRESENT));
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = body.forward(in, trace); // [B, S, H]
            return new BaseModelOutputWithPooling(x, body.pool(x), trace.hiddenStates(), trace.attentions());
        }
    }

    /**
     * Pre-training needs the scores of masked tokens alone, a seventh of all: with {@code masked_positions} (ours; int64 [M], places in the flattened
     * batch) a word head computes those, and {@code labels} are [M] too.
     *
     * @param x [B, S, H]
     * @return x, or [M, H]
     */
    static Tensor predicted(Tensor x, Inputs in) {
        Tensor places = in.optional("masked_positions");
        return places == null ? x : x.reshape(-1, x.size(2)).index_select(0, places); // [M, H]
    }

    /** Scores for masked words. */
    public abstract static class EncoderMaskedLM extends Encoder<MaskedLMOutput> {
        private final WordHead head;

        /** @param prefix the body's place */
        EncoderMaskedLM(Weights w, ConfigJson config, BodyBuilder builder, String prefix, WordHeadBuilder words) {
            super(w, config, builder.build(w.sub(prefix), config, Pooling.NONE));
            head = words.build(w.head(), config, body);
        }

        /** Not the head: its scores, V for each position, are of padding too. */
        @Override
        public boolean leavesOutPadding() {
            return false;
        }

        @Override
        protected MaskedLMOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = head.forward(predicted(body.forward(in, trace), in)); // [B, S, V] or [M, V]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new MaskedLMOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }
    }

    /** Scores for the classes of a text, by its first token. */
    public abstract static class EncoderSequenceClassifier extends Encoder<SequenceClassifierOutput>
            implements FeatureHead {
        private final TextHead head;

        /** @param prefix the body's place */
        EncoderSequenceClassifier(
                Weights w, ConfigJson config, BodyBuilder builder, String prefix, TextHeadBuilder text) {
            super(w, config, builder.build(w.sub(prefix), config, Pooling.NONE));
            head = text.build(w.head(), config, config.numLabels());
        }

        @Override
        protected SequenceClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor features = in.optional("features"); // [B, H]
            Tensor states =
                    features == null ? body.forward(in, trace, head.reads()) : features.unsqueeze(1); // [B, 1 or S, H]
            Tensor logits = head.forward(states); // [B, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.sequenceClassification(logits, labels, config().problemType());
            return new SequenceClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }
    }

    /** Scores for the classes of each token: a Linear over every position. */
    public abstract static class EncoderTokenClassifier extends Encoder<TokenClassifierOutput> {
        private final Dropout dropout;
        private final Linear classifier;

        /** @param prefix the body's place; @param drop dropout before the Linear */
        EncoderTokenClassifier(Weights w, ConfigJson config, BodyBuilder builder, String prefix, double drop) {
            super(w, config, builder.build(w.sub(prefix), config, Pooling.NONE));
            dropout = w.dropout(drop);
            classifier = w.head().sub("classifier").linear(body.width(), config.numLabels());
        }

        @Override
        protected TokenClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = classifier.forward(dropout.forward(body.forward(in, trace))); // [B, S, C]
            Tensor labels = in.optional("labels");
            Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
            return new TokenClassifierOutput(loss, logits, trace.hiddenStates(), trace.attentions());
        }
    }

    /** Start and end of the answer: a Linear over every position. */
    public abstract static class EncoderQuestionAnswering extends Encoder<QuestionAnsweringModelOutput> {
        private final Dropout dropout;
        private final Linear outputs;

        /** @param prefix the body's place; @param drop dropout before the Linear */
        EncoderQuestionAnswering(Weights w, ConfigJson config, BodyBuilder builder, String prefix, double drop) {
            super(w, config, builder.build(w.sub(prefix), config, Pooling.NONE));
            dropout = w.dropout(drop);
            outputs = w.head().sub("qa_outputs").linear(body.width(), 2);
        }

        @Override
        protected QuestionAnsweringModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor logits = outputs.forward(dropout.forward(body.forward(in, trace))); // [B, S, 2]
            return Heads.questionAnswering(logits, in, trace);
        }
    }

    /** Scores for choices: every choice is its own text, [B, choices, S]. */
    public abstract static class EncoderMultipleChoice extends Encoder<MultipleChoiceModelOutput> {
        private final TextHead head;

        /** @param prefix the body's place */
        EncoderMultipleChoice(Weights w, ConfigJson config, BodyBuilder builder, String prefix, TextHeadBuilder text) {
            super(w, config, builder.build(w.sub(prefix), config, Pooling.NONE));
            head = text.build(w.head(), config, 1);
        }

        @Override
        protected MultipleChoiceModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor states = body.forward(Heads.flattenChoices(in), trace, head.reads()); // [B * choices, 1 or S, H]
            return Heads.multipleChoice(head.forward(states), in, trace);
        }
    }
}
