package dev.headstart.models;

import dev.headstart.models.Outputs.MultipleChoiceModelOutput;
import dev.headstart.models.Outputs.QuestionAnsweringModelOutput;
import dev.headstart.nn.Losses;
import dev.headstart.nn.Trace;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;

/** The ends of task models that are the same in every encoder family. */
final class Heads {
    private Heads() {}

    /**
     * Splits span logits and computes the loss from {@code start_positions} and {@code end_positions}; an answer outside the text counts for
     * nothing.
     *
     * @param logits [B, S, 2]
     */
    static QuestionAnsweringModelOutput questionAnswering(Tensor logits, Inputs in, Trace trace) {
        Tensor start = logits.select(2, 0).contiguous(); // [B, S]
        Tensor end = logits.select(2, 1).contiguous(); // [B, S]
        Tensor startPositions = in.optional("start_positions");
        Tensor endPositions = in.optional("end_positions");
        Tensor loss = startPositions == null || endPositions == null
                ? null
                : positionLoss(start, startPositions)
                        .add(positionLoss(end, endPositions))
                        .div(new Scalar(2.0));
        return new QuestionAnsweringModelOutput(loss, start, end, trace.hiddenStates(), trace.attentions());
    }

    private static Tensor positionLoss(Tensor logits, Tensor positions) {
        long ignored = logits.size(1);
        Tensor inside =
                positions.reshape(-1).clamp(new ScalarOptional(new Scalar(0)), new ScalarOptional(new Scalar(ignored)));
        return Losses.crossEntropy(logits, inside, ignored, 0);
    }

    /** [B, choices, S] tensors as [B * choices, S], {@code inputs_embeds} [B, choices, S, H] as [B * choices, S, H]. */
    static Inputs flattenChoices(Inputs in) {
        Map<String, Tensor> flat = new LinkedHashMap<>();
        in.tensors().forEach((name, t) -> {
            if (!name.equals("labels") && !name.startsWith("mc_")) {
                in.optional(name);
                flat.put(name, t.dim() < 3 ? t : t.flatten(0, 1));
            }
        });
        return in.replace(flat);
    }

    /** @param scores [B * choices, 1] */
    static MultipleChoiceModelOutput multipleChoice(Tensor scores, Inputs in, Trace trace) {
        Tensor given = in.tensors().containsKey("input_ids") ? in.required("input_ids") : in.required("inputs_embeds");
        Tensor logits = scores.view(-1, given.size(1)); // [B, choices]
        Tensor labels = in.optional("labels");
        Tensor loss = labels == null ? null : Losses.crossEntropy(logits, labels);
        return new MultipleChoiceModelOutput(loss, logits, trace.hiddenStates(), trace.attentions());
    }
}
