package dev.headstart.models;

import dev.headstart.LoadOptions;
import dev.headstart.models.Outputs.BaseModelOutputWithPooling;
import dev.headstart.models.VisionOutputs.ImageClassifierOutput;
import dev.headstart.models.VisionOutputs.MaskedImageModelingOutput;
import dev.headstart.models.Vit.ViTConfig;
import dev.headstart.nn.Linear;
import dev.headstart.nn.Trace;
import dev.headstart.nn.Weights;
import java.util.List;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * DeiT (Touvron et al. 2021, "Training data-efficient image transformers"): ViT with a distillation token beside the class token. Reference:
 * transformers {@code modeling_deit.py}. B batch, N patches, S = N + 2, D hidden size, C classes.
 */
public final class Deit {
    /** The classes of this family. */
    static final Family FAMILY = Family.of("deit", "deit")
            .add("DeiTModel", DeiTModel::new)
            .add("DeiTForImageClassification", DeiTForImageClassification::new)
            .add("DeiTForImageClassificationWithTeacher", DeiTForImageClassificationWithTeacher::new)
            .add("DeiTForMaskedImageModeling", DeiTForMaskedImageModeling::new);

    private Deit() {}

    /** DeiT without a head: every token's hidden state, and the pooled class token where the checkpoint has a pooler. */
    public static final class DeiTModel extends PreTrainedModel<BaseModelOutputWithPooling> {
        private final Vit.Body deit;

        DeiTModel(Weights w, ConfigJson config) {
            super(w, config);
            deit = new Vit.Body(w, ViTConfig.of(config), true, false, true);
        }

        @Override
        protected BaseModelOutputWithPooling compute(Inputs in) {
            return deit.output(in);
        }

        /** From a folder or an id. */
        public static DeiTModel fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DeiTModel fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DeiTModel.class, options);
        }
    }

    /** A Linear over the class token. */
    public static final class DeiTForImageClassification extends PreTrainedModel<ImageClassifierOutput> {
        private final Vit.Body deit;
        private final Linear classifier;

        DeiTForImageClassification(Weights w, ConfigJson config) {
            super(w, config);
            ViTConfig c = ViTConfig.of(config);
            deit = new Vit.Body(w.sub("deit"), c, true, false, false);
            classifier = w.head().sub("classifier").linear(c.hiddenSize(), config.numLabels());
        }

        @Override
        protected ImageClassifierOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = deit.forward(in, trace, 1); // [B, 1 or S, D]
            return Vision.classified(classifier.forward(x.select(1, 0)), in, config(), trace);
        }

        /** From a folder or an id. */
        public static DeiTForImageClassification fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DeiTForImageClassification fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DeiTForImageClassification.class, options);
        }
    }

    /**
     * Both heads' scores.
     *
     * @param logits mean of the two, [B, C]
     * @param clsLogits of the class token, [B, C]
     * @param distillationLogits of the distillation token, [B, C]
     * @param hiddenStates embeddings and every layer's output, each [B, S, D]; null unless asked for
     * @param attentions every layer's attention weights, each [B, h, S, S]; null unless asked for
     */
    public record DeiTForImageClassificationWithTeacherOutput(
            Tensor logits,
            Tensor clsLogits,
            Tensor distillationLogits,
            @Nullable List<Tensor> hiddenStates,
            @Nullable List<Tensor> attentions)
            implements ModelOutput {}

    /** A Linear over the class token and one over the distillation token; inference takes the mean. */
    public static final class DeiTForImageClassificationWithTeacher
            extends PreTrainedModel<DeiTForImageClassificationWithTeacherOutput> {
        private final Vit.Body deit;
        private final Linear clsClassifier;
        private final Linear distillationClassifier;

        DeiTForImageClassificationWithTeacher(Weights w, ConfigJson config) {
            super(w, config);
            ViTConfig c = ViTConfig.of(config);
            deit = new Vit.Body(w.sub("deit"), c, true, false, false);
            clsClassifier = w.head().sub("cls_classifier").linear(c.hiddenSize(), config.numLabels());
            distillationClassifier = w.head().sub("distillation_classifier").linear(c.hiddenSize(), config.numLabels());
        }

        @Override
        protected DeiTForImageClassificationWithTeacherOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = deit.forward(in, trace, 2); // [B, 2 or S, D]
            Tensor cls = clsClassifier.forward(x.select(1, 0)); // [B, C]
            Tensor distilled = distillationClassifier.forward(x.select(1, 1)); // [B, C]
            Tensor logits = cls.add(distilled).div(new Scalar(2.0));
            return new DeiTForImageClassificationWithTeacherOutput(
                    logits, cls, distilled, trace.hiddenStates(), trace.attentions());
        }

        /** From a folder or an id. */
        public static DeiTForImageClassificationWithTeacher fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DeiTForImageClassificationWithTeacher fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DeiTForImageClassificationWithTeacher.class, options);
        }
    }

    /** Masked patches made again (SimMIM, Xie et al. 2022). */
    public static final class DeiTForMaskedImageModeling extends PreTrainedModel<MaskedImageModelingOutput> {
        private final Vit.Body deit;
        private final Vision.Reconstruction decoder;

        DeiTForMaskedImageModeling(Weights w, ConfigJson config) {
            super(w, config);
            ViTConfig c = ViTConfig.of(config);
            deit = new Vit.Body(w.sub("deit"), c, true, true, false);
            decoder = new Vision.Reconstruction(w.head(), c.hiddenSize(), config, 16, c.imageSize(), c.patchSize());
        }

        @Override
        protected MaskedImageModelingOutput compute(Inputs in) {
            Trace trace = in.trace();
            Tensor x = deit.forward(in, trace); // [B, S, D]
            return decoder.forward(
                    x.narrow(1, 2, x.size(1) - 2), in.required("pixel_values"), in.optional("bool_masked_pos"), trace);
        }

        /** From a folder or an id. */
        public static DeiTForMaskedImageModeling fromPretrained(String id) {
            return fromPretrained(id, LoadOptions.defaults());
        }

        /** From a folder or an id. */
        public static DeiTForMaskedImageModeling fromPretrained(String id, LoadOptions options) {
            return Models.fromPretrained(id, DeiTForMaskedImageModeling.class, options);
        }
    }
}
