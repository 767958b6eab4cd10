package dev.headstart.train.vision;

import dev.headstart.io.StagedFile;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.train.finetune.DataHash;
import dev.headstart.train.finetune.FineTuneOptions.Mode;
import dev.headstart.train.finetune.Usage;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;

/** README.md of a trained image classifier: what happened, no more. */
final class ImageModelCard {
    private ImageModelCard() {}

    static void write(
            Path file, ImageFineTuneOptions o, PreTrainedModel<?> model, ImageFineTune.Report report, Usage usage) {
        StringBuilder b = new StringBuilder("---\n");
        if (!o.fresh) {
            b.append("base_model: ").append(o.model).append('\n');
        }
        boolean adapter = o.mode == Mode.LORA && !o.loraMerge;
        b.append("pipeline_tag: image-classification\nlibrary_name: ").append(adapter ? "peft" : "transformers");
        b.append("\ntags:\n- headstart\n---\n\n");
        Path name = file.toAbsolutePath().getParent();
        b.append("# ").append(name == null ? "model" : name.getFileName()).append("\n\n");
        b.append(
                o.fresh
                        ? "An image classifier (" + o.model + ") trained from nothing"
                        : o.model + " fine-tuned for image-classification");
        b.append(String.format(
                Locale.ROOT,
                " (%s: %,d of %,d parameters trained).\n\n",
                o.mode.name().toLowerCase(Locale.ROOT),
                report.trainedParameters(),
                report.parameters()));
        b.append("## Evaluation\n\n| metric | value |\n|---|---|\n");
        report.result()
                .metrics()
                .forEach((metric, v) -> b.append(String.format(Locale.ROOT, "| %s | %.4f |\n", metric, v)));
        b.append(String.format(
                Locale.ROOT,
                "\nOn %,d images (%s), with the weights of step %d of %d%s.\n\n",
                report.evalExamples(),
                o.validation == null ? "set aside from the training data" : o.validation.getFileName(),
                report.result().bestStep(),
                report.result().steps(),
                o.ema > 0 ? ", averaged over the steps" : ""));
        if (!report.test().isEmpty()) {
            b.append("## Test\n\n| metric | value |\n|---|---|\n");
            report.test().forEach((metric, v) -> b.append(String.format(Locale.ROOT, "| %s | %.4f |\n", metric, v)));
            b.append(String.format(Locale.ROOT, "\nOn %,d images that chose nothing.\n\n", report.testExamples()));
        }
        data(b, o, report);
        b.append("## Training\n\n");
        if (o.command != null) {
            b.append("    ").append(o.command).append("\n\n");
        }
        b.append("| argument | value |\n|---|---|\n");
        o.arguments.toMap().forEach((k, v) -> row(b, k, v));
        settings(b, o);
        b.append(String.format(
                Locale.ROOT,
                "\nTrained in %.0f s (%,.0f images/s, evaluations included), %.2f epochs, ended by: %s. Energy: %s.\n"
                        + "%s; %s.\n",
                report.result().seconds(),
                report.result().tokens() / Math.max(1e-9, report.result().seconds()),
                report.result().epochs(),
                report.result().reason(),
                usage.energy(),
                Usage.software(),
                usage.hardware()));
        byte[] text = b.toString().getBytes(StandardCharsets.UTF_8);
        StagedFile.write(file, out -> out.write(ByteBuffer.wrap(text)));
    }

    private static void data(StringBuilder b, ImageFineTuneOptions o, ImageFineTune.Report report) {
        b.append("## Data\n\n| split | file | examples | sha256 |\n|---|---|---|---|\n");
        b.append(DataHash.row("train", o.train, report.trainImages()));
        if (o.validation != null) {
            b.append(DataHash.row("validation", o.validation, report.evalExamples()));
        }
        if (o.test != null) {
            b.append(DataHash.row("test", o.test, report.testExamples()));
        }
        if (report.trainExamples().size() <= 20) {
            b.append("\nTraining images by class: ")
                    .append(report.trainExamples())
                    .append(".\n");
        }
        b.append('\n');
    }

    private static void settings(StringBuilder b, ImageFineTuneOptions o) {
        Augmentation a = o.augmentation;
        Map<String, Object> shown = new java.util.LinkedHashMap<>();
        shown.put("random crop, padding", a.pad());
        shown.put("random resized crop, least area", a.scale() == 1 ? 0 : a.scale());
        shown.put("flip", a.flip());
        shown.put("RandAugment, operations", a.operations());
        shown.put("RandAugment, magnitude", a.operations() == 0 ? 0 : a.magnitude());
        shown.put("cutout", a.cutout());
        shown.put("mixup", o.mixup);
        shown.put("cutmix", o.cutmix);
        shown.put("label smoothing", o.labelSmoothing);
        shown.put("ema decay", o.ema);
        shown.put("layer decay", o.layerDecay == 1 ? 0 : o.layerDecay);
        shown.put("gradual unfreezing", o.gradualUnfreezing);
        if (o.mode == Mode.LORA) {
            shown.put("lora r", o.loraRank);
            shown.put("lora alpha", o.loraAlpha);
        }
        shown.forEach((k, v) -> {
            if (((Number) v).doubleValue() != 0) {
                row(b, k, v);
            }
        });
    }

    private static void row(StringBuilder b, String key, Object value) {
        b.append("| ").append(key).append(" | ").append(value).append(" |\n");
    }
}
