package dev.headstart.io;

import dev.headstart.HeadstartException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Google's names of BERT's variables, turned into those of the Hugging Face models as transformers' {@code load_tf_weights_in_bert} does:
 * {@code module/bert/encoder/layer_0/attention/self/query/kernel} becomes {@code bert.encoder.layer.0.attention.self.query.weight}, transposed.
 */
public final class BertNames {
    private static final Pattern LAYER = Pattern.compile("layer_(\\d+)");

    /** Google's fine-tuning scripts (run_classifier.py) put the classifier at top level. */
    private static final Map<String, String> HEADS = Map.of(
            "output_weights", "classifier.weight",
            "output_bias", "classifier.bias",
            "cls/squad/output_weights", "qa_outputs.weight",
            "cls/squad/output_bias", "qa_outputs.bias",
            "cls/predictions/output_bias", "cls.predictions.bias",
            "cls/seq_relationship/output_weights", "cls.seq_relationship.weight",
            "cls/seq_relationship/output_bias", "cls.seq_relationship.bias");

    private BertNames() {}

    /** Whether these are a BERT checkpoint's names in Google's form. */
    public static boolean isTensorFlowBert(Set<String> names) {
        return names.stream().anyMatch(name -> name.endsWith("bert/embeddings/word_embeddings"));
    }

    /**
     * The same tensors under the Hugging Face names and in PyTorch's orientation (linear weights [out, in]). The optimizer's variables and the
     * step counter are left out.
     *
     * @param bundle a BERT checkpoint under Google's names; closed with the result
     * @throws HeadstartException when a variable is none of BERT's
     */
    public static TensorSource fromTensorFlow(TensorSource bundle) {
        var stored = new LinkedHashMap<String, RenamedSource.Stored>();
        Path file = Path.of("");
        for (String name : bundle.names()) {
            file = Path.of(bundle.fileOf(name));
            if (!isTrainingState(name)) {
                String renamed = huggingFaceName(name);
                if (renamed == null) {
                    throw new HeadstartException(
                            bundle.fileOf(name) + ": expected a BERT checkpoint, found the variable "
                                    + WeightFormatException.quote(name) + ", which BERT does not have");
                }
                boolean transposed = name.endsWith("/kernel");
                if (transposed && bundle.info(name).shape().size() != 2) {
                    throw new HeadstartException(bundle.fileOf(name) + ": variable " + WeightFormatException.quote(name)
                            + " has shape " + bundle.info(name).shape() + ", expected a matrix");
                }
                if (stored.put(renamed, new RenamedSource.Stored(name, transposed)) != null) {
                    throw new HeadstartException(bundle.fileOf(name) + ": two variables would be named " + renamed
                            + "; expected one BERT model in a checkpoint");
                }
            }
        }
        return new RenamedSource(file, bundle, stored);
    }

    private static boolean isTrainingState(String name) {
        return name.endsWith("/adam_m")
                || name.endsWith("/adam_v")
                || name.equals("global_step")
                || name.equals("signal_early_stopping/STOP");
    }

    /**
     * One name.
     *
     * @return null when it is none of BERT's
     */
    public static @Nullable String huggingFaceName(String variable) {
        String name = variable.startsWith("module/") ? variable.substring("module/".length()) : variable;
        String head = HEADS.get(name);
        if (head != null) {
            return head;
        }
        int last = name.lastIndexOf('/');
        if (last < 0 || !(name.startsWith("bert/") || name.startsWith("cls/"))) {
            return null;
        }
        String leaf = name.substring(last + 1);
        String parameter = switch (leaf) {
            case "kernel", "gamma" -> "weight";
            case "bias", "beta" -> "bias";
            case "word_embeddings", "position_embeddings", "token_type_embeddings" -> leaf + ".weight";
            default -> null;
        };
        if (parameter == null) {
            return null;
        }
        Matcher layer = LAYER.matcher(name.substring(0, last));
        return layer.replaceAll("layer.$1").replace('/', '.') + "." + parameter;
    }
}
