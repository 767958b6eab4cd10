package dev.headstart.train.finetune;

import dev.headstart.io.StagedFile;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.peft.LoraAdapter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** README.md of a fine-tuned model: what happened, no more. */
final class ModelCard {
    private ModelCard() {}

    static void write(
            Path file,
            FineTuneOptions o,
            FineTuneTask task,
            PreTrainedModel<?> model,
            @Nullable LoraAdapter adapter,
            FineTune.Report report,
            History history,
            Usage usage) {
        StringBuilder b = new StringBuilder();
        b.append("---\n").append(o.fresh ? "" : "base_model: " + o.model + "\n");
        b.append("pipeline_tag: ").append(pipeline(task)).append('\n');
        b.append("library_name: ")
                .append(adapter != null && !o.loraMerge ? "peft" : "transformers")
                .append('\n');
        b.append("tags:\n- headstart\n")
                .append(adapter != null ? "- lora\n" : "")
                .append("---\n\n");
        Path name = file.toAbsolutePath().getParent();
        b.append("# ").append(name == null ? "model" : name.getFileName()).append("\n\n");
        b.append(o.origin())
                .append(o.fresh ? " trained for " : " fine-tuned for ")
                .append(pipeline(task))
                .append(" (")
                .append(o.mode.name().toLowerCase(Locale.ROOT))
                .append(": ")
                .append(String.format(Locale.ROOT, "%,d of %,d", report.trainedParameters(), report.parameters()))
                .append(" parameters trained).\n\n");
        Map<String, Double> before = report.before();
        b.append("## Evaluation\n\n")
                .append(
                        before.isEmpty()
                                ? "| metric | value |\n|---|---|\n"
                                : "| metric | before | after |\n|---|---|---|\n");
        report.result().metrics().forEach((metric, v) -> {
            String was = before.isEmpty()
                    ? ""
                    : String.format(Locale.ROOT, "%.4f | ", before.getOrDefault(metric, Double.NaN));
            b.append(String.format(Locale.ROOT, "| %s | %s%.4f |\n", metric, was, v));
        });
        b.append(String.format(
                Locale.ROOT,
                "\nOn %,d examples, with the weights of step %d of %d.\n\n",
                report.evalExamples(),
                report.result().bestStep(),
                report.result().steps()));
        if (!report.test().isEmpty()) {
            b.append("## Test\n\n| metric | value |\n|---|---|\n");
            report.test().forEach((metric, v) -> b.append(String.format(Locale.ROOT, "| %s | %.4f |\n", metric, v)));
            b.append(String.format(Locale.ROOT, "\nOn %,d examples that chose nothing.\n\n", report.testExamples()));
        }
        b.append("## Data\n\n| split | file | examples | sha256 |\n|---|---|---|---|\n");
        b.append(DataHash.row("train", o.train, report.trainExamples()));
        if (o.validation != null) {
            b.append(DataHash.row("validation", o.validation, report.evalExamples()));
        } else {
            b.append("| validation | set aside from train | ")
                    .append(report.evalExamples())
                    .append(" | |\n");
        }
        if (o.test != null) {
            b.append(DataHash.row("test", o.test, report.testExamples()));
        }
        task.remarks().forEach(words -> b.append("\n").append(words).append(".\n"));
        Map<Integer, String> labels = task.id2label();
        if (labels != null) {
            b.append("\nLabels: ").append(String.join(", ", labels.values())).append(".\n");
        }
        b.append("\n## Training\n\n");
        if (o.command != null) {
            b.append("    ").append(o.command).append("\n\n");
        }
        b.append("| argument | value |\n|---|---|\n");
        o.arguments
                .toMap()
                .forEach((k, v) ->
                        b.append("| ").append(k).append(" | ").append(v).append(" |\n"));
        if (o.ema > 0) {
            b.append("| ema decay | ").append(o.ema).append(" |\n");
        }
        if (o.labelSmoothing > 0) {
            b.append("| label_smoothing_factor | ").append(o.labelSmoothing).append(" |\n");
        }
        if (adapter != null) {
            b.append("| lora r | ").append(adapter.config().r()).append(" |\n");
            b.append("| lora_alpha | ").append(adapter.config().loraAlpha()).append(" |\n");
            b.append("| target_modules | ")
                    .append(String.join(", ", adapter.config().targetModules()))
                    .append(" |\n");
        }
        training(b, report, history, usage);
        byte[] text = b.toString().getBytes(StandardCharsets.UTF_8);
        StagedFile.write(file, out -> out.write(ByteBuffer.wrap(text)));
    }

    private static void training(StringBuilder b, FineTune.Report report, History history, Usage usage) {
        b.append(String.format(
                Locale.ROOT,
                "\nTrained in %s (%,.0f tokens/s), %.2f epochs, ended by: %s. Whole run: %s, energy %s.\n\n",
                TrainingLog.time(history.seconds()),
                history.tokens() / Math.max(1e-9, history.seconds()),
                report.result().epochs(),
                report.result().reason(),
                TrainingLog.time(usage.seconds()),
                usage.energy()));
        b.append(Usage.software()).append("; ").append(usage.hardware()).append(".\n");
    }

    private static String pipeline(FineTuneTask task) {
        return switch (task.head()) {
            case "ForSequenceClassification" ->
                task instanceof CrossEncoderTask ? "text-ranking" : "text-classification";
            case "ForTokenClassification" -> "token-classification";
            case "ForQuestionAnswering" -> "question-answering";
            case "ForSeq2SeqLM" -> "text2text-generation";
            case "ForCausalLM" -> "text-generation";
            case "" -> "sentence-similarity";
            default -> "fill-mask";
        };
    }
}
