package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.generation.KvCache;
import dev.headstart.models.Outputs.DoubleHeadsModelOutput;
import dev.headstart.nn.Activation;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Dropout;
import dev.headstart.nn.Embedding;
import dev.headstart.nn.Init;
import dev.headstart.nn.LayerNorm;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Memory;
import dev.headstart.nn.Recompute;
import dev.headstart.nn.RowProgram;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"): a decoder with learned positions, pre-norm; its Linear weights are
 * stored as [in, out] (Conv1D). Reference: transformers {@code modeling_gpt2.py}. B batch, S length, E hidden size, h heads, I inner size, V vocabulary.
 */
public final class Gpt2 {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("gpt2", "transformer")
            .add("GPT2Model", GPT2Model::new)
            .add("GPT2LMHeadModel", GPT2LMHeadModel::new)
            .add("GPT2DoubleHeadsModel", GPT2DoubleHeadsModel::new)
            .add("GPT2ForSequenceClassification", GPT2ForSequenceClassification::new)
            .add("GPT2ForTokenClassification", GPT2ForTokenClassification::new)
            .add("GPT2ForQuestionAnswering", GPT2ForQuestionAnswering::new);

    private Gpt2() {}

    /** GPT2Config: transformers' field names and defaults. */
    record GPT2Config(
            int vocabSize,
            int nPositions,
            int nEmbd,
            int nLayer,
            int nHead,
            int nInner,
            Activation activationFunction,
            double residPdrop,
            double embdPdrop,
            double attnPdrop,
            double layerNormEpsilon,
            double initializerRange,
            boolean scaleAttnWeights,
            boolean scaleAttnByInverseLayerIdx) {
        /** Layers that write into the residual stream start smaller, by the number of such layers (section 2.3 of the paper). */
        Init residualInit() {
            return new Init.Normal(initializerRange / Math.sqrt(2.0 * nLayer));
        }

        static GPT2Config of(ConfigJson c) {
            int width = c.size("n_embd", 768);
            return new GPT2Config(
                    c.size("vocab_size", 50257),
                    c.size("n_positions", 1024),
                    width,
                    c.size("n_layer", 12),
                    c.size("n_head", 12),
                    c.size("n_inner", 4 * width),
                    Activation.of(c.text("activation_function", "gelu_new")),
                    c.number("resid_pdrop", 0.1),
                    c.number("embd_pdrop", 0.1),
                    c.number("attn_pdrop", 0.1),
                    c.number("layer_norm_epsilon", 1e-5),
                    c.number("initializer_range", 0.02),
                    c.flag("scale_attn_weights", true),
                    c.flag("scale_attn_by_inverse_layer_idx", false));
        }
    }

    // === Layers ===

    /** Causal self-attention (transformers GPT2Attention). */
    static final class GPT2Attention {
        final Linear cAttn;
        final Linear cProj;
        final Dropout attnDropout;
        final Dropout residDropout;
        final int heads;
        final int layer;
        final double scale;

        GPT2Attention(Weights w, GPT2Config c, int layer) {
            this.layer = layer;
            cAttn = w.sub("c_attn").conv1d(c.nEmbd(), 3L * c.nEmbd());
            cProj = w.sub("c_proj").conv1d(c.nEmbd(), c.nEmbd(), c.residualInit());
            attnDropout = w.dropout(c.attnPdrop());
            residDropout = w.dropout(c.residPdrop());
            heads = Checks.heads(c.nEmbd(), c.nHead());
            double byHead = c.scaleAttnWeights() ? 1 / Math.sqrt((double) c.nEmbd() / heads) : 1;
            scale = c.scaleAttnByInverseLayerIdx() ? byHead / (layer + 1) : byHead;
        }

        /** @param x [B, S, E]; @param residual what the result is added to, [B, S, E]; @return [B, S, E] */
        Tensor forward(Tensor x, Tensor residual, CausalMask mask, @Nullable KvCache cache, Trace trace) {
            long b = x.size(0);
            long s = x.size(1);
            Tensor joined = cAttn.forward(x); // [B, S, 3 E]
            boolean plain = !trace.wantsAttention() && attnDropout.active() == 0;
            Tensor step = plain && cache != null ? cache.attend(layer, joined, scale) : null;
            if (step != null) {
                return cProj.forwardAndAdd(step, residual, residDropout);
            }
            Tensor qkv = joined.view(b, s, 3, heads, x.size(2) / heads).permute(2, 0, 3, 1, 4); // [3, B, h, S, E/h]
            Tensor q = qkv.select(0, 0); // [B, h, S, E/h]
            Tensor k = qkv.select(0, 1);
            Tensor v = qkv.select(0, 2);
            if (cache != null) {
                KvCache.KeysValues all = cache.update(layer, k, v); // [B, h, L, E/h]
                k = all.keys();
                v = all.values();
            }
            Tensor prompt =
                    plain && cache != null && cache.beginsRows() ? Attention.causal(joined, heads, scale) : null;
            Tensor context = prompt != null
                    ? prompt
                    : Attention.mergeHeads(Attention.attend(
                            q, k, v, mask.of(0), mask.causal(0), scale, attnDropout, trace)); // [B, S, E]
            return cProj.forwardAndAdd(context, residual, residDropout);
        }

        /** The same of one token, recorded. */
        boolean record(RowProgram p, StepRows rows, KvCache cache) {
            KvCache.KeysValues all = cache.reserved(layer);
            return p.linear(cAttn, rows.normed, Activation.LINEAR, rows.qkv)
                    && p.attend(rows.qkv, all.keys(), all.values(), scale, rows.context)
                    && p.linearAndAdd(cProj, rows.context, p.x());
        }
    }

    /** The rows of a step of one token (see {@link KvCache#run}). */
    record StepRows(Tensor normed, Tensor qkv, Tensor context, Tensor inner) {
        static StepRows of(RowProgram p, GPT2Config c) {
            return new StepRows(p.row(c.nEmbd()), p.row(3L * c.nEmbd()), p.row(c.nEmbd()), p.row(c.nInner()));
        }
    }

    /** Attention and feed-forward, pre-norm (transformers GPT2Block). */
    static final class GPT2Block {
        final LayerNorm ln1;
        final GPT2Attention attn;
        final LayerNorm ln2;
        final Linear cFc;
        final Linear cProj;
        final Dropout dropout;
        final Activation activation;

        GPT2Block(Weights w, GPT2Config c, int layer) {
            ln1 = w.sub("ln_1").layerNorm(c.nEmbd(), c.layerNormEpsilon());
            attn = new GPT2Attention(w.sub("attn"), c, layer);
            ln2 = w.sub("ln_2").layerNorm(c.nEmbd(), c.layerNormEpsilon());
            cFc = w.sub("mlp.c_fc").conv1d(c.nEmbd(), c.nInner());
            cProj = w.sub("mlp.c_proj").conv1d(c.nInner(), c.nEmbd(), c.residualInit());
            dropout = w.dropout(c.residPdrop());
            activation = c.activationFunction();
        }

        /** @param x [B, S, E]; @return [B, S, E] */
        Tensor forward(Tensor x, CausalMask mask, @Nullable KvCache cache, Trace trace) {
            x = attn.forward(ln1.forward(x), x, mask, cache, trace); // [B, S, E]
            Tensor inner = cFc.forward(ln2.forward(x), activation); // [B, S, I]
            return cProj.forwardAndAdd(inner, x, dropout); // [B, S, E]
        }

        /** The same of one token, recorded. */
        boolean record(RowProgram p, StepRows rows, KvCache cache) {
            return p.norm(ln1, p.x(), rows.normed)
                    && attn.record(p, rows, cache)
                    && p.norm(ln2, p.x(), rows.normed)
                    && p.linear(cFc, rows.normed, activation, rows.inner)
                    && p.linearAndAdd(cProj, rows.inner, p.x());
        }
    }

    /** Embeddings, blocks, last norm: the part that every class shares. */
    static final class GPT2Body extends CausalBody {
        final GPT2Config c;
        final Embedding wte;
        final Embedding wpe;
        final Dropout drop;
        final List<GPT2Block> blocks = new ArrayList<>();
        final LayerNorm lnF;

        GPT2Body(Weights w, ConfigJson config) {
            c = GPT2Config.of(config);
            wte = w.sub("wte").embedding(c.vocabSize(), c.nEmbd());
            wpe = w.sub("wpe").embedding(c.nPositions(), c.nEmbd());
            drop = w.dropout(c.embdPdrop());
            for (int i = 0; i < c.nLayer(); i++) {
                blocks.add(new GPT2Block(w.sub("h." + i), c, i));
            }
            lnF = w.sub("ln_f").layerNorm(c.nEmbd(), c.layerNormEpsilon());
        }

        @Override
        Tensor embed(Tensor ids) {
            return wte.forward(Checks.ids(ids, "input_ids", c.vocabSize()));
        }

        @Override
        Tensor begin(Tensor embedded, Tensor positions, @Nullable Inputs in) {
            if (in != null) {
                Checks.length(embedded.size(1), c.nPositions());
            }
            Tensor x = embedded.add(wpe.forward(Checks.ids(positions, "position_ids", c.nPositions()))); // [B, S, E]
            Tensor types = in == null ? null : in.optional("token_type_ids");
            if (types != null) {
                x = x.add(wte.forward(Checks.ids(types, "token_type_ids", c.vocabSize())));
            }
            return drop.forward(x);
        }

        @Override
        Tensor layers(Tensor x, Tensor positions, CausalMask mask, @Nullable KvCache cache, Trace trace) {
            Tensor step = cache == null || !trace.isNone() || drops() ? null : cache.run(x, p -> record(p, cache));
            if (step != null) {
                return step;
            }
            mask.of(0); // made here, where it outlives the layers' own scopes
            for (GPT2Block block : blocks) {
                Tensor input = trace.hidden(x);
                x = Recompute.active()
                        ? Recompute.layer(input, y -> block.forward(y, mask, cache, trace))
                        : Memory.local(() -> block.forward(input, mask, cache, trace));
            }
            return trace.hidden(lnF.forward(x));
        }

        /** A step of one token, recorded. */
        private boolean record(RowProgram p, KvCache cache) {
            StepRows rows = StepRows.of(p, c);
            return blocks.stream().allMatch(block -> block.record(p, rows, cache)) && p.norm(lnF, p.x(), p.x());
        }

        private boolean drops() {
            return blocks.stream()
                    .anyMatch(b -> b.dropout.active() > 0
                            || b.attn.attnDropout.active() > 0
                            || b.attn.residDropout.active() > 0);
        }

        @Override
        Embedding words() {
            return wte;
        }

        @Override
        int depth() {
            return c.nLayer();
        }

        @Override
        int width() {
            return c.nEmbd();
        }
    }

    // === Models ===

    /** GPT-2 without a head: hidden states. */
    public static final class GPT2Model extends CausalModels.CausalModel {
        GPT2Model(Weights w, ConfigJson config) {
            super(w, config, GPT2Body::new);
        }

        /** From a folder or an id. */
        public static GPT2Model fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static GPT2Model fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, GPT2Model.class, options);
        }
    }

    /** GPT-2 as a language model; its output layer is the embedding table. */
    public static final class GPT2LMHeadModel extends CausalModels.CausalLM {
        GPT2LMHeadModel(Weights w, ConfigJson config) {
            super(w, config, GPT2Body::new, "transformer", true, "n_positions", 1024, 0);
        }

        /** From a folder or an id. */
        public static GPT2LMHeadModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static GPT2LMHeadModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, GPT2LMHeadModel.class, options);
        }
    }

    /** GPT-2 as a language model that also chooses among texts, by one token of each ({@code mc_token_ids}). */
    public static final class GPT2DoubleHeadsModel extends PreTrainedModel<DoubleHeadsModelOutput> {
        private final GPT2Body body;
        private final Linear lmHead;
        private final SequenceSummary choice;

        GPT2DoubleHeadsModel(Weights w, ConfigJson config) {
            super(w, config);
            body = new GPT2Body(w.sub("transformer"), config);
            lmHead = CausalModels.lmHead(w, config, body.words(), true);
            choice = new SequenceSummary(
                    w.head().sub("multiple_choice_head"),
                    config,
                    body.width(),
                    config.flag("summary_proj_to_labels", true) ? 1 : body.width(),
                    new SequenceSummary.Defaults("cls_index", "linear", 0.1, 0));
        }

        @Override
        protected DoubleHeadsModelOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor ids = in.required("input_ids"); // [B, N, S]
            Tensor x = body.forward(Heads.flattenChoices(in), trace); // [B * N, S, E]
            long[] shape = Arrays.copyOf(ids.shape(), (int) ids.dim() + 1);
            shape[shape.length - 1] = -1;
            x = x.view(shape); // [B, N, S, E]
            Tensor logits = lmHead.forward(x); // [B, N, S, V]
            Tensor choices = choice.forward(x, in.optional("mc_token_ids")); // [B, N, 1 or E]
            Tensor mcLogits = choices.size(-1) == 1 ? choices.squeeze(-1) : choices; // [B, N]
            Tensor labels = in.optional("labels");
            Tensor mcLabels = in.optional("mc_labels");
            return new DoubleHeadsModelOutput(
                    labels == null ? null : CausalModels.nextTokenLoss(logits, labels),
                    mcLabels == null ? null : Losses.crossEntropy(mcLogits, mcLabels),
                    logits,
                    mcLogits,
                    hiddenStates(trace, x),
                    trace.attentions());
        }

        /** Those of the layers, the last one by choices too, as the reference has it. */
        private static @Nullable List<Tensor> hiddenStates(Trace trace, Tensor last) {
            List<Tensor> all = trace.hiddenStates();
            if (all == null) {
                return null;
            }
            List<Tensor> shaped = new ArrayList<>(all.subList(0, all.size() - 1));
            shaped.add(last);
            return shaped;
        }
    }

    /** GPT-2 as a classifier of texts, by the last token that is not padding. */
    public static final class GPT2ForSequenceClassification extends CausalModels.CausalSequenceClassifier {
        GPT2ForSequenceClassification(Weights w, ConfigJson config) {
            super(w, config, GPT2Body::new, "transformer", null);
        }

        /** From a folder or an id. */
        public static GPT2ForSequenceClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, GPT2ForSequenceClassification.class, options);
        }
    }

    /** GPT-2 as a classifier of tokens. */
    public static final class GPT2ForTokenClassification extends CausalModels.CausalTokenClassifier {
        GPT2ForTokenClassification(Weights w, ConfigJson config) {
            super(w, config, GPT2Body::new, "transformer", "classifier");
        }
    }

    /** GPT-2 that marks answers in a text. */
    public static final class GPT2ForQuestionAnswering extends CausalModels.CausalQuestionAnswering {
        GPT2ForQuestionAnswering(Weights w, ConfigJson config) {
            super(w, config, GPT2Body::new, "transformer");
        }
    }
}
