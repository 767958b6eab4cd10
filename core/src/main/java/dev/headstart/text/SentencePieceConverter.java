package dev.headstart.text;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.text.SentencePieceModel.Piece;
import dev.headstart.text.SentencePieceModel.Type;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * SentencePiece models as tokenizer.json. Ids, normalizer, splitting and template are those of transformers' tokenizer class of the family,
 * which are not those of the SentencePiece program.
 */
final class SentencePieceConverter {
    private static final List<String> MBART_LANGUAGES =
            List.of(("ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX"
                            + " kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN")
                    .split(" "));
    private static final List<String> MBART50_MORE =
            List.of(("af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN"
                            + " mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI")
                    .split(" "));

    private final SentencePieceModel model;
    private final TokenizerConfig config;
    private final TokenizerFamily family;
    private final Map<String, Float> vocab = new LinkedHashMap<>();

    private SentencePieceConverter(SentencePieceModel model, TokenizerConfig config, TokenizerFamily family) {
        this.model = model;
        this.config = config;
        this.family = family;
    }

    /** @param family how to convert; may differ from the configuration's for the models inside Marian and M2M100 */
    static TokenizerJson convert(SentencePieceModel model, TokenizerConfig config, TokenizerFamily family) {
        return new SentencePieceConverter(model, config, family).convert();
    }

    private String special(String name, String otherwise) {
        String value = config.special(name);
        return value == null ? otherwise : value;
    }

    private TokenizerJson convert() {
        String unk = vocabulary();
        TokenizerJson json = model.unigram() ? unigram(unk) : bpe(unk);
        for (Piece p : model.pieces()) {
            if (!vocab.containsKey(p.text())) continue;
            if (p.type() == Type.CONTROL) json.addSpecial(p.text());
            if (p.type() == Type.USER_DEFINED) json.addToken(p.text(), false, false, false, false, false);
        }
        for (String token : vocab.keySet()) {
            boolean code = switch (family) {
                case MBART, MBART50 -> MBART_LANGUAGES.contains(token) || MBART50_MORE.contains(token);
                case T5 -> token.matches("<extra_id_\\d+>");
                case PEGASUS -> token.matches("<unk_\\d+>|<mask_\\d+>");
                case CAMEMBERT -> token.endsWith("NOTUSED");
                default -> false;
            };
            if (code) json.addSpecial(token);
        }
        Json.set(json, "normalizer", Json.sequence("normalizers", normalizers()));
        Json.set(json, "pre_tokenizer", Json.sequence("pretokenizers", preTokenizers()));
        Json.set(json, "decoder", decoder());
        postProcessor(json);
        return json;
    }

    /** Fills the vocabulary in the order of the ids; returns the unknown piece. */
    private String vocabulary() {
        String unk = special("unk_token", model.pieces().get(model.unkId()).text());
        String pad = special("pad_token", "<pad>");
        String bos = special("bos_token", "<s>");
        String eos = special("eos_token", "</s>");
        String mask = special("mask_token", "<mask>");
        switch (family) {
            case XLM_ROBERTA, MBART, MBART50, NLLB -> {
                for (String t : List.of(bos, pad, eos, unk)) vocab.put(t, 0f);
                pieces(3);
                if (family == TokenizerFamily.MBART || family == TokenizerFamily.MBART50)
                    MBART_LANGUAGES.forEach(l -> vocab.put(l, 0f));
                if (family == TokenizerFamily.MBART50) MBART50_MORE.forEach(l -> vocab.put(l, 0f));
                if (family == TokenizerFamily.NLLB)
                    config.extra.forEach(t -> vocab.putIfAbsent(TokenizerConfig.content(t), 0f));
                vocab.put(mask, 0f);
            }
            case CAMEMBERT -> {
                for (String t : List.of("<s>NOTUSED", pad, "</s>NOTUSED", unk)) vocab.put(t, 0f);
                vocab.put("<unk>NOTUSED", -100f);
                pieces(1);
                vocab.put(mask, 0f);
            }
            case PEGASUS -> {
                String sentenceMask = config.raw.path("mask_token_sent").asText("<mask_1>");
                for (String t : List.of(pad, eos, sentenceMask, special("mask_token", "<mask_2>"))) vocab.put(t, 0f);
                int offset = config.raw.path("offset").asInt(103);
                for (int i = 2; i < offset; i++) vocab.put("<unk_" + i + ">", -100f);
                pieces(2);
            }
            case T5 -> {
                pieces(0);
                int extra = config.raw.path("extra_ids").asInt(-1);
                if (extra < 0) {
                    extra = (int) config.extra.stream()
                            .filter(t -> TokenizerConfig.content(t).startsWith("<extra_id_"))
                            .count();
                    if (extra == 0) extra = 100;
                }
                for (int i = extra - 1; i >= 0; i--)
                    vocab.put("<extra_id_" + i + ">", 0f); // the first sentinel has the last id
            }
            default -> pieces(0);
        }
        return vocab.containsKey(unk) ? unk : model.pieces().get(model.unkId()).text();
    }

    private void pieces(int from) {
        for (Piece p : model.pieces()
                .subList(Math.min(from, model.pieces().size()), model.pieces().size())) {
            vocab.putIfAbsent(p.text(), p.score());
        }
    }

    private TokenizerJson unigram(String unk) {
        ArrayNode list = TokenizerJson.MAPPER.createArrayNode();
        int unkId = 0;
        for (var e : vocab.entrySet()) {
            if (e.getKey().equals(unk)) unkId = list.size();
            // a float's shortest decimal, so that the double read back is the one that Python's protobuf gives
            list.addArray().add(e.getKey()).add((double) e.getValue());
        }
        TokenizerJson json = TokenizerJson.of("Unigram", list, null);
        json.model.put("unk_id", unkId).put("byte_fallback", model.byteFallback());
        return json;
    }

    private TokenizerJson bpe(String unk) {
        ObjectNode ids = TokenizerJson.MAPPER.createObjectNode();
        Map<String, Integer> rank = new HashMap<>();
        for (String piece : vocab.keySet()) {
            rank.put(piece, rank.size());
            ids.put(piece, ids.size());
        }
        TokenizerJson json = TokenizerJson.of("BPE", ids, merges(rank));
        json.model.putNull("dropout");
        if (family == TokenizerFamily.LLAMA) json.model.putNull("unk_token");
        else json.model.put("unk_token", unk);
        json.model.putNull("continuing_subword_prefix").putNull("end_of_word_suffix");
        json.model.put("fuse_unk", true).put("byte_fallback", model.byteFallback() || family == TokenizerFamily.LLAMA);
        return json.ignoreMerges(false);
    }

    private record Merge(String left, String right, int rank, int leftRank, int rightRank) {}

    /** Every way to put a piece together from two others, in the order of the pieces (transformers {@code generate_merges}). */
    private static ArrayNode merges(Map<String, Integer> rank) {
        List<Merge> merges = new ArrayList<>();
        for (var e : rank.entrySet()) {
            String piece = e.getKey();
            for (int i = 1; i < piece.length(); i++) {
                if (Character.isLowSurrogate(piece.charAt(i))) continue;
                Integer left = rank.get(piece.substring(0, i));
                Integer right = rank.get(piece.substring(i));
                if (left != null && right != null) {
                    merges.add(new Merge(piece.substring(0, i), piece.substring(i), e.getValue(), left, right));
                }
            }
        }
        merges.sort(Comparator.comparingInt(Merge::rank)
                .thenComparingInt(m -> m.left().codePointCount(0, m.left().length()))
                .thenComparingInt(m -> m.right().codePointCount(0, m.right().length()))
                .thenComparingInt(Merge::leftRank)
                .thenComparingInt(Merge::rightRank));
        ArrayNode list = TokenizerJson.MAPPER.createArrayNode();
        merges.forEach(m -> list.addArray().add(m.left()).add(m.right()));
        return list;
    }

    private List<ObjectNode> normalizers() {
        List<ObjectNode> list = new ArrayList<>();
        ObjectNode charsmap = model.charsmap().length == 0 ? null : Json.precompiled(model.charsmap());
        switch (family) {
            case T5, XLM_ROBERTA, CAMEMBERT, MBART50 -> {
                if (charsmap != null) list.add(charsmap);
            }
            case MBART, LLAMA -> {}
            case GEMMA -> list.add(Json.replace(" ", "\u2581"));
            case ALBERT, FNET, XLNET -> {
                list.add(Json.replace("``", "\""));
                list.add(Json.replace("''", "\""));
                if (family == TokenizerFamily.XLNET || !config.flag("keep_accents", false)) {
                    list.add(Json.object("NFKD"));
                    list.add(Json.object("StripAccents"));
                }
                if (config.flag("do_lower_case", family != TokenizerFamily.XLNET)) list.add(Json.object("Lowercase"));
                if (charsmap != null) list.add(charsmap);
            }
            case DEBERTA_V2 -> {
                if (config.flag("do_lower_case", false)) list.add(Json.object("Lowercase"));
                list.add(Json.replaceAll("\\s{2,}|[\\n\\r\\t]", " "));
                list.add(Json.object("NFC"));
                list.add(Json.strip(false, true));
            }
            case PEGASUS, NLLB -> {
                if (charsmap != null) list.add(charsmap);
                else if (family == TokenizerFamily.PEGASUS) list.add(Json.replaceAll("\\n", " "));
                if (charsmap != null || family == TokenizerFamily.PEGASUS) list.add(Json.replaceAll(" {2,}", " "));
            }
            default -> { // as the SentencePiece program itself
                if (charsmap != null) list.add(charsmap);
                list.add(Json.replaceAll("\\A +| +\\z", "")); // blanks alone, of all that is white
                list.add(Json.replaceAll(" {2,}", " "));
            }
        }
        return list;
    }

    private String prepend() {
        boolean prefix = config.flag("add_prefix_space", true);
        return switch (family) {
            case LLAMA -> !prefix ? "never" : config.flag("legacy", false) ? "always" : "first";
            case DEBERTA_V2 -> prefix ? "always" : "first";
            case T5, MBART, MBART50, NLLB, PEGASUS -> "always";
            case XLNET -> "always";
            case ALBERT, FNET, XLM_ROBERTA, CAMEMBERT -> prefix ? "always" : "never";
            default -> model.addDummyPrefix() ? "always" : "never";
        };
    }

    private List<ObjectNode> preTokenizers() {
        List<ObjectNode> list = new ArrayList<>();
        switch (family) {
            case GEMMA -> {
                ObjectNode split = Json.object("Split");
                split.putObject("pattern").put("String", " ");
                list.add(split.put("behavior", "MergedWithPrevious").put("invert", false));
                return list;
            }
            case LLAMA -> {
                list.add(Json.metaspace(prepend(), false));
                return list;
            }
            case T5, ALBERT, FNET, XLM_ROBERTA, CAMEMBERT, MBART, MBART50, XLNET ->
                list.add(Json.object("WhitespaceSplit"));
            case DEBERTA_V2 -> {
                if (config.flag("split_by_punct", false))
                    list.add(Json.object("Punctuation").put("behavior", "Isolated"));
            }
            default -> {}
        }
        list.add(Json.metaspace(prepend(), true));
        return list;
    }

    private ObjectNode decoder() {
        if (family != TokenizerFamily.LLAMA && family != TokenizerFamily.GEMMA) {
            if (!model.byteFallback()) return Json.metaspace(prepend(), true);
        }
        return Json.blanksAndBytes(family != TokenizerFamily.GEMMA && !prepend().equals("never"));
    }

    private void postProcessor(TokenizerJson json) {
        String eos = special("eos_token", "</s>");
        String bos = special("bos_token", "<s>");
        String cls = special("cls_token", "[CLS]");
        String sep = special("sep_token", "[SEP]");
        Json.set(
                json,
                "post_processor",
                switch (family) {
                    case T5 ->
                        Json.template(
                                json, List.of("$A:0", eos + ":0"), List.of("$A:0", eos + ":0", "$B:0", eos + ":0"));
                    case PEGASUS ->
                        Json.template(json, List.of("$A:0", eos + ":0"), List.of("$A:0", "$B:0", eos + ":0"));
                    case ALBERT, FNET, DEBERTA_V2, BIG_BIRD ->
                        Json.template(
                                json,
                                List.of(cls + ":0", "$A:0", sep + ":0"),
                                List.of(cls + ":0", "$A:0", sep + ":0", "$B:1", sep + ":1"));
                    case XLM_ROBERTA, CAMEMBERT ->
                        Json.template(
                                json,
                                List.of(bos + ":0", "$A:0", eos + ":0"),
                                List.of(bos + ":0", "$A:0", eos + ":0", eos + ":0", "$B:0", eos + ":0"));
                    case XLNET ->
                        Json.template(
                                json,
                                List.of("$A:0", sep + ":0", cls + ":2"),
                                List.of("$A:0", sep + ":0", "$B:1", sep + ":1", cls + ":2"));
                    case LLAMA, GEMMA ->
                        Json.template(
                                json, List.of(bos + ":0", "$A:0"), List.of(bos + ":0", "$A:0", bos + ":1", "$B:1"));
                    default -> null;
                });
    }
}
