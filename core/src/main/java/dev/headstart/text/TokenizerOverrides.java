package dev.headstart.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Where tokenizer_config.json wins over tokenizer.json, as in the constructors of transformers' tokenizer classes. */
final class TokenizerOverrides {
    /** Kinds of models whose tokenizer_class does not count: AutoTokenizer takes their tokenizer.json as it is (TokenizersBackend). */
    private static final List<String> CLASS_NOT_TRUE =
            List.of(("arctic chatlm ernie4_5 ernie4_5_moe fuyu h2ovl_chat internlm2 internlm3 jamba llava"
                            + " llava_next minicpm3 minicpmv minimax_m2 molmo molmo2 nemotron opencua openvla paddleocr_vl phi3 phi3_v phimoe smolvlm"
                            + " step3_vl vipllava"
                            + " aria flex_olmo glm glm4 glm4_moe glm4v gpt_bigcode granite granitemoe granitemoehybrid granitemoeshared kimi_linear kosmos-2"
                            + " mimo_v2_flash ministral ministral3 mistral mistral3 mixtral olmo2 olmo3 persimmon pixtral stablelm voxtral")
                    .split(" "));

    private TokenizerOverrides() {}

    static void apply(TokenizerJson json, TokenizerConfig config) {
        if (json.top.get("normalizer") instanceof ObjectNode normalizer
                && normalizer.path("type").asText().equals("BertNormalizer")) {
            copy(config.raw, "do_lower_case", normalizer, "lowercase");
            copy(config.raw, "tokenize_chinese_chars", normalizer, "handle_chinese_chars");
            if (config.raw.has("strip_accents")) normalizer.set("strip_accents", config.raw.get("strip_accents"));
        }
        if (config.family == TokenizerFamily.GPT2 || config.family == TokenizerFamily.ROBERTA) {
            for (String part : List.of("pre_tokenizer", "post_processor")) {
                if (json.top.get(part) instanceof ObjectNode node && node.has("add_prefix_space")) {
                    copy(config.raw, "add_prefix_space", node, "add_prefix_space");
                }
            }
        }
        llama(json, config);
    }

    /**
     * LlamaTokenizer takes only vocabulary, merges and template from the file. What it makes itself differs where special tokens stand in the
     * text: only the start of a text gets a blank, unless {@code legacy} says otherwise.
     */
    private static void llama(TokenizerJson json, TokenizerConfig config) {
        boolean stated =
                TokenizerFamily.of(TokenizerConfig.text(config.raw, "tokenizer_class"), null) == TokenizerFamily.LLAMA;
        if (!stated || !json.modelType().equals("BPE")) return;
        if (CLASS_NOT_TRUE.contains(config.modelType)) {
            if (!config.raw.has("padding_side")) config.raw.put("padding_side", "right");
            return;
        }
        if (json.top.toString().contains("\"ByteLevel\"")) return; // Llama 3's are of another kind
        boolean prefix = config.flag("add_prefix_space", true);
        json.model.putNull("unk_token").put("fuse_unk", true).put("byte_fallback", true);
        json.top.putNull("normalizer");
        Json.set(
                json,
                "pre_tokenizer",
                Json.metaspace(prefix ? config.flag("legacy", false) ? "always" : "first" : "never", false));
        Json.set(json, "decoder", Json.blanksAndBytes(prefix));
    }

    private static void copy(ObjectNode from, String name, ObjectNode to, String as) {
        JsonNode value = from.get(name);
        if (value != null && value.isBoolean()) to.set(as, value);
    }

    /**
     * {@code add_bos_token} and {@code add_eos_token}, where stated, replace the template (TokenizersBackend.update_post_processor); not where
     * there is a tokenizer.json, whose template stands.
     */
    static void bosAndEos(TokenizerJson json, TokenizerConfig config) {
        boolean stated = config.raw.has("add_bos_token") || config.raw.has("add_eos_token");
        boolean ownTemplate = switch (config.family) { // their constructors set it after the common one
            case BERT,
                    DISTILBERT,
                    MPNET,
                    ROBERTA,
                    T5,
                    ALBERT,
                    FNET,
                    XLM_ROBERTA,
                    CAMEMBERT,
                    DEBERTA,
                    DEBERTA_V2,
                    CLIP,
                    WHISPER,
                    MBART,
                    MBART50,
                    NLLB,
                    PEGASUS,
                    XLNET,
                    FUNNEL,
                    BIG_BIRD -> true;
            default -> false;
        };
        if (!stated || ownTemplate) return;
        String bos = config.flag("add_bos_token", false) ? config.special("bos_token") : null;
        String eos = config.flag("add_eos_token", false) ? config.special("eos_token") : null;
        List<String> single = around(bos, eos, "A", 0);
        List<String> pair = new ArrayList<>(single);
        pair.addAll(around(bos, eos, "B", 1));
        Json.set(json, "post_processor", Json.template(json, single, pair));
    }

    private static List<String> around(@Nullable String bos, @Nullable String eos, String sequence, int type) {
        List<String> pieces = new ArrayList<>();
        if (bos != null) pieces.add(bos + ":" + type);
        pieces.add("$" + sequence + ":" + type);
        if (eos != null) pieces.add(eos + ":" + type);
        return pieces;
    }

    /** What tokenizer.json says of padding and truncation stands where tokenizer_config.json is silent: the token and the sides, no lengths. */
    static void defaults(TokenizerJson json, TokenizerConfig config) {
        JsonNode padding = json.top.path("padding");
        if (padding.isObject()) {
            String side = padding.path("direction").asText("Right").toLowerCase(java.util.Locale.ROOT);
            if (!config.raw.has("padding_side")) config.raw.put("padding_side", side);
            String token = padding.path("pad_token").asText("");
            if (!config.raw.has("pad_token") && !config.special.containsKey("pad_token") && json.hasToken(token)) {
                config.special.put("pad_token", TokenizerConfig.token(token));
            }
            if (!config.raw.has("pad_token_type_id")
                    && padding.path("pad_type_id").asInt(0) != 0) {
                config.raw.set("pad_token_type_id", padding.get("pad_type_id"));
            }
        }
        String side = json.top.path("truncation").path("direction").asText("");
        if (!side.isEmpty() && !config.raw.has("truncation_side")) {
            config.raw.put("truncation_side", side.toLowerCase(java.util.Locale.ROOT));
        }
    }
}
