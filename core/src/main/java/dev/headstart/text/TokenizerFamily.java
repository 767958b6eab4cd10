package dev.headstart.text;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * What transformers' tokenizer classes have built in, for folders whose tokenizer_config.json leaves it out: special tokens, model inputs,
 * padding side.
 */
enum TokenizerFamily {
    BERT(
            "Bert MobileBert Lxmert SqueezeBert Electra ConvBert Retribert LayoutLM Splinter",
            "bert electra mobilebert lxmert squeezebert convbert layoutlm ernie megatron-bert nomic_bert visual_bert vilt blip git",
            "unk=[UNK] sep=[SEP] pad=[PAD] cls=[CLS] mask=[MASK]",
            true),
    DISTILBERT("DistilBert", "distilbert", "unk=[UNK] sep=[SEP] pad=[PAD] cls=[CLS] mask=[MASK]", false),
    FUNNEL("Funnel", "funnel", "unk=<unk> sep=<sep> pad=<pad> cls=<cls> mask=<mask> bos=<s> eos=</s>", false),
    MPNET("MPNet", "mpnet", "bos=<s> eos=</s> sep=</s> cls=<s> unk=[UNK] pad=<pad> mask=<mask>", false),
    ROBERTA(
            "Roberta Bart LED Longformer Mvp Blenderbot",
            "roberta bart led longformer xlm-roberta-xl roberta-prelayernorm data2vec-text ibert mvp blenderbot clap",
            "bos=<s> eos=</s> sep=</s> cls=<s> unk=<unk> pad=<pad> mask=<mask>",
            false),
    GPT2(
            "GPT2 CodeGen",
            "gpt2 gptj gpt_neo codegen opt phi gpt_bigcode starcoder2 blip-2",
            "unk=<|endoftext|> bos=<|endoftext|> eos=<|endoftext|>",
            false),
    GPT_NEOX(
            "GPTNeoX",
            "gpt_neox mamba olmo rwkv",
            "unk=<|endoftext|> bos=<|endoftext|> eos=<|endoftext|> pad=<|padding|>",
            false),
    WHISPER("Whisper", "whisper", "unk=<|endoftext|> bos=<|endoftext|> eos=<|endoftext|>", false),
    CLIP(
            "CLIP",
            "clip clipseg owlvit owlv2 groupvit xclip",
            "unk=<|endoftext|> bos=<|startoftext|> eos=<|endoftext|> pad=<|endoftext|>",
            false),
    QWEN2(
            "Qwen2 Qwen3",
            "qwen2 qwen2_moe qwen3 qwen3_moe qwen2_vl",
            "unk=<|endoftext|> eos=<|endoftext|> pad=<|endoftext|>",
            false),
    DEBERTA("Deberta", "deberta", "bos=[CLS] eos=[SEP] sep=[SEP] cls=[CLS] unk=[UNK] pad=[PAD] mask=[MASK]", true),
    DEBERTA_V2(
            "DebertaV2", "deberta-v2", "bos=[CLS] eos=[SEP] sep=[SEP] cls=[CLS] unk=[UNK] pad=[PAD] mask=[MASK]", true),
    T5("T5 MT5", "t5 mt5 umt5 switch_transformers longt5", "eos=</s> unk=<unk> pad=<pad>", false),
    ALBERT("Albert", "albert", "bos=[CLS] eos=[SEP] unk=<unk> sep=[SEP] pad=<pad> cls=[CLS] mask=[MASK]", false),
    FNET("FNet", "fnet", "bos=[CLS] eos=[SEP] unk=<unk> sep=[SEP] pad=<pad> cls=[CLS] mask=[MASK]", true),
    BIG_BIRD("BigBird", "big_bird", "unk=<unk> bos=<s> eos=</s> pad=<pad> sep=[SEP] mask=[MASK] cls=[CLS]", false),
    XLM_ROBERTA(
            "XLMRoberta",
            "xlm-roberta xmod gte jina_embeddings_v3 trocr metaclip_2",
            "bos=<s> eos=</s> sep=</s> cls=<s> unk=<unk> pad=<pad> mask=<mask>",
            false),
    CAMEMBERT("Camembert", "camembert", "bos=<s> eos=</s> sep=</s> cls=<s> unk=<unk> pad=<pad> mask=<mask>", false),
    MBART("MBart", "mbart", "bos=<s> eos=</s> sep=</s> cls=<s> unk=<unk> pad=<pad> mask=<mask>", false),
    MBART50("MBart50", "mbart50", "eos=</s> sep=</s> cls=<s> unk=<unk> pad=<pad> mask=<mask>", false),
    NLLB("Nllb", "nllb nllb-moe", "bos=<s> eos=</s> sep=</s> cls=<s> unk=<unk> pad=<pad> mask=<mask>", false),
    M2M100("M2M100", "m2m_100", "bos=<s> eos=</s> sep=</s> pad=<pad> unk=<unk>", false),
    MARIAN("Marian", "marian", "unk=<unk> eos=</s> pad=<pad>", false),
    PEGASUS("Pegasus", "pegasus pegasus_x bigbird_pegasus", "pad=<pad> eos=</s> unk=<unk> mask=<mask_2>", false),
    XLNET("XLNet", "xlnet", "bos=<s> eos=</s> unk=<unk> sep=<sep> pad=<pad> cls=<cls> mask=<mask>", false),
    LLAMA("Llama CodeLlama", "llama mistral mixtral code_llama", "unk=<unk> bos=<s> eos=</s>", false),
    GEMMA(
            "Gemma",
            "gemma gemma2 gemma3 gemma3_text recurrent_gemma t5gemma",
            "unk=<unk> bos=<bos> eos=<eos> pad=<pad> mask=<mask>",
            false),
    WAV2VEC2_CTC(
            "Wav2Vec2CTC Wav2Vec2",
            "wav2vec2 hubert unispeech unispeech-sat wav2vec2-conformer wav2vec2-bert data2vec-audio",
            "bos=<s> eos=</s> unk=<unk> pad=<pad>",
            false),
    /** None of the above: everything comes from the files. */
    GENERIC("Tokenizers PreTrained", "", "", false);

    private final List<String> classes;
    private final List<String> modelTypes;
    private final Map<String, String> special = new LinkedHashMap<>();
    private final boolean typeIds;

    TokenizerFamily(String classes, String modelTypes, String special, boolean typeIds) {
        this.classes = List.of(classes.split(" "));
        this.modelTypes = List.of(modelTypes.split(" "));
        this.typeIds = typeIds;
        for (String pair : special.split(" ")) {
            int at = pair.indexOf('=');
            if (at > 0) this.special.put(pair.substring(0, at) + "_token", pair.substring(at + 1));
        }
    }

    /** By tokenizer_config.json's tokenizer_class, else by config.json's model_type. */
    static TokenizerFamily of(@Nullable String tokenizerClass, @Nullable String modelType) {
        if (tokenizerClass != null) {
            String name = tokenizerClass.replaceAll("(Tokenizer)?(Fast|Backend)?$", "");
            for (TokenizerFamily f : values()) if (f.classes.contains(name)) return f;
        }
        return Arrays.stream(values())
                .filter(f -> modelType != null && f.modelTypes.contains(modelType))
                .findFirst()
                .orElse(GENERIC);
    }

    /** By the kind of model and the special tokens that its vocabulary has. */
    static TokenizerFamily infer(String modelType, Predicate<String> hasToken) {
        return switch (modelType) {
            case "WordPiece" -> hasToken.test("[CLS]") ? BERT : hasToken.test("<mask>") ? MPNET : GENERIC;
            case "Unigram" ->
                hasToken.test("<extra_id_0>")
                        ? T5
                        : hasToken.test("<mask>") && hasToken.test("<s>")
                                ? XLM_ROBERTA
                                : hasToken.test("[MASK]") ? ALBERT : GENERIC;
            case "BPE" -> {
                if (hasToken.test("<|startoftranscript|>")) yield WHISPER;
                if (hasToken.test("<|startoftext|>")) yield CLIP;
                if (hasToken.test("<|im_start|>")) yield QWEN2;
                if (hasToken.test("<mask>") && hasToken.test("<s>"))
                    yield ROBERTA; // has <|endoftext|> too, as an ordinary token
                if (hasToken.test("<|endoftext|>")) yield GPT2;
                yield hasToken.test("<0x0A>") ? LLAMA : GENERIC;
            }
            default -> GENERIC;
        };
    }

    /** Special tokens by their names in tokenizer_config.json: cls_token -> [CLS]. */
    Map<String, String> special() {
        return special;
    }

    /** Whether a mask_token that is a plain text takes the blanks before it (its class makes an AddedToken of it, lstrip). */
    boolean masksTakeBlanks() {
        return switch (this) {
            case CAMEMBERT, MBART, MBART50, NLLB, MPNET, BIG_BIRD, XLNET -> true;
            default -> false;
        };
    }

    List<String> inputNames() {
        return typeIds
                ? List.of("input_ids", "token_type_ids", "attention_mask")
                : List.of("input_ids", "attention_mask");
    }

    Side paddingSide() {
        return this == LLAMA || this == GEMMA || this == XLNET ? Side.LEFT : Side.RIGHT;
    }
}
