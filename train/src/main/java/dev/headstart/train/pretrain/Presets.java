package dev.headstart.train.pretrain;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.ConfigJson;
import dev.headstart.train.pretrain.PretrainOptions.Objective;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** Configurations to start from: transformers' fields; what is not named has transformers' default. */
final class Presets {
    private static final ObjectMapper JSON = new ObjectMapper();
    static final List<String> DROPOUTS = List.of(
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "resid_pdrop",
            "embd_pdrop",
            "attn_pdrop",
            "dropout_rate",
            "dropout",
            "attention_dropout",
            "activation_dropout");

    /** Tokens of an example, unless told otherwise. */
    static final int BLOCK = 128;

    private static final List<String> POSITIONS = List.of("n_positions", "max_position_embeddings");

    private Presets() {}

    /** The configuration of a run, before the tokenizer is known. @throws HeadstartException when a field or name is wrong */
    static ObjectNode config(PretrainOptions o) {
        ObjectNode node = switch (o.config) {
            case "mini", "small", "base" -> trained(preset(o.objective, o.config), o);
            default -> read(Path.of(o.config));
        };
        o.overrides.forEach((name, value) -> {
            try {
                node.set(name, JSON.readTree(value));
            } catch (JsonProcessingException e) {
                node.put(name, value); // a text
            }
        });
        return node;
    }

    private static ObjectNode read(Path config) {
        if (!Files.exists(config)) {
            throw new HeadstartException("--config " + config
                    + " not found: it is mini, small, base, or a config.json (Hugging Face layout)");
        }
        return ConfigJson.read(config).node();
    }

    /** A table of positions is no longer than the examples: what lies behind would stay as it began, and a longer text would be read with it. */
    private static ObjectNode trained(ObjectNode preset, PretrainOptions o) {
        int block = o.blockSize > 0 ? o.blockSize : BLOCK;
        for (String field : POSITIONS) {
            if (preset.path(field).asInt() > block) {
                preset.put(field, block);
            }
        }
        return preset;
    }

    private static ObjectNode preset(Objective objective, String size) {
        ObjectNode n = JSON.createObjectNode();
        int row = size.equals("mini") ? 0 : size.equals("small") ? 1 : 2;
        switch (objective) {
            case MLM, MLM_NSP -> {
                n.put("model_type", "bert");
                n.put("hidden_size", new int[] {256, 512, 768}[row]);
                n.put("num_hidden_layers", new int[] {4, 4, 12}[row]);
                n.put("num_attention_heads", new int[] {4, 8, 12}[row]);
                n.put("intermediate_size", new int[] {1024, 2048, 3072}[row]);
                n.put("max_position_embeddings", new int[] {256, 512, 512}[row]);
                n.put("type_vocab_size", 2).put("hidden_act", "gelu").put("layer_norm_eps", 1e-12);
                n.put("hidden_dropout_prob", 0.1).put("attention_probs_dropout_prob", 0.1);
                n.put("initializer_range", 0.02);
            }
            case CLM -> {
                n.put("model_type", "gpt2");
                n.put("n_embd", new int[] {256, 512, 768}[row]);
                n.put("n_layer", new int[] {4, 8, 12}[row]);
                n.put("n_head", new int[] {4, 8, 12}[row]);
                n.put("n_positions", new int[] {256, 512, 1024}[row]);
                n.put("activation_function", "gelu_new").put("layer_norm_epsilon", 1e-5);
                n.put("resid_pdrop", 0.1).put("embd_pdrop", 0.1).put("attn_pdrop", 0.1);
                n.put("initializer_range", 0.02).put("tie_word_embeddings", true);
            }
            case SPAN_CORRUPTION -> {
                n.put("model_type", "t5");
                n.put("d_model", new int[] {192, 512, 768}[row]);
                n.put("d_kv", new int[] {48, 64, 64}[row]);
                n.put("d_ff", new int[] {640, 2048, 3072}[row]);
                n.put("num_layers", new int[] {3, 6, 12}[row]);
                n.put("num_decoder_layers", new int[] {3, 6, 12}[row]);
                n.put("num_heads", new int[] {4, 8, 12}[row]);
                n.put("relative_attention_num_buckets", 32).put("relative_attention_max_distance", 128);
                n.put("feed_forward_proj", "relu").put("dropout_rate", 0.1).put("layer_norm_epsilon", 1e-6);
                n.put("is_encoder_decoder", true).put("tie_word_embeddings", true);
                n.put("initializer_factor", 1.0);
            }
        }
        return n;
    }

    /** Most tokens that the configuration takes; 0 for no limit. */
    static int positions(ObjectNode node) {
        for (String field : POSITIONS) {
            if (node.path(field).asInt() > 0
                    && !node.path("model_type").asText().equals("t5")) {
                return node.path(field).asInt();
            }
        }
        return 0;
    }

    /** A copy with other dropout, under the names of all families. */
    static ObjectNode withDropout(ObjectNode node, double p) {
        ObjectNode copy = node.deepCopy();
        for (String field : DROPOUTS) {
            copy.put(field, p);
        }
        return copy;
    }

    /** The class that the objective trains. @throws HeadstartException when the configuration does not say */
    static String architecture(Objective objective, ObjectNode node, String origin) {
        Map<String, String> known = switch (objective) {
            case MLM_NSP -> Map.of("bert", "BertForPreTraining");
            case MLM ->
                Map.of(
                        "bert",
                        "BertForMaskedLM",
                        "roberta",
                        "RobertaForMaskedLM",
                        "distilbert",
                        "DistilBertForMaskedLM");
            case CLM -> Map.of("gpt2", "GPT2LMHeadModel", "llama", "LlamaForCausalLM");
            case SPAN_CORRUPTION -> Map.of("t5", "T5ForConditionalGeneration");
        };
        String byType = known.get(node.path("model_type").asText());
        if (byType != null) {
            return byType;
        }
        String end = switch (objective) {
            case MLM_NSP -> ".*ForPreTraining";
            case MLM -> ".*ForMaskedLM";
            case CLM -> ".*(ForCausalLM|LMHeadModel)";
            case SPAN_CORRUPTION -> ".*ForConditionalGeneration";
        };
        JsonNode first = node.path("architectures").path(0);
        if (first.asText().matches(end)) {
            return first.asText();
        }
        throw new HeadstartException(origin + ": architectures must name a class that " + objective.id()
                + " trains (" + end.substring(2) + "), found " + node.path("architectures") + " of model_type "
                + node.path("model_type"));
    }
}
