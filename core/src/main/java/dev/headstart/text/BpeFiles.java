package dev.headstart.text;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** vocab.json + merges.txt: byte-level BPE (Radford et al. 2019) and its relatives, as transformers' tokenizer classes read them. */
final class BpeFiles {
    private static final String QWEN2_SPLIT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
            + " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    private static final String CLIP_SPLIT =
            "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";

    private BpeFiles() {}

    static TokenizerJson convert(Path vocabFile, Path mergesFile, TokenizerConfig config) {
        ObjectNode vocab = TokenizerConfig.object(vocabFile);
        vocab.properties().forEach(e -> {
            if (!e.getValue().isIntegralNumber()) {
                throw new HeadstartException(vocabFile + ": the id of \"" + e.getKey() + "\" is " + e.getValue()
                        + ", expected a whole number");
            }
        });
        ArrayNode merges = TokenizerJson.MAPPER.createArrayNode();
        int number = 0;
        for (String line : TokenizerFiles.read(mergesFile).split("\n")) {
            number++;
            String merge = line.endsWith("\r") ? line.substring(0, line.length() - 1) : line;
            if (merge.isEmpty() || merge.startsWith("#version")) continue;
            int blank = merge.indexOf(' ');
            if (blank < 1 || blank == merge.length() - 1 || merge.indexOf(' ', blank + 1) >= 0) {
                throw new HeadstartException(mergesFile + ":" + number
                        + ": expected two tokens with a blank between, found \"" + merge + "\"");
            }
            merges.addArray().add(merge.substring(0, blank)).add(merge.substring(blank + 1));
        }
        TokenizerJson json = TokenizerJson.of("BPE", vocab, merges);
        config.inferFamily("BPE", vocab::has);
        TokenizerFamily family = config.family;
        boolean clip = family == TokenizerFamily.CLIP;
        json.model.putNull("dropout");
        String unk = config.special("unk_token");
        if (clip && unk != null) json.model.put("unk_token", unk);
        else json.model.putNull("unk_token");
        json.model.put("continuing_subword_prefix", "").put("end_of_word_suffix", clip ? "</w>" : "");
        json.model.put("fuse_unk", false).put("byte_fallback", false);
        json.ignoreMerges(false);
        boolean prefix = config.flag("add_prefix_space", false);
        Json.set(json, "decoder", Json.byteLevel(true, true));
        Json.set(json, "pre_tokenizer", Json.byteLevel(prefix, true));
        switch (family) {
            case CLIP -> {
                Json.set(
                        json,
                        "normalizer",
                        Json.sequence(
                                "normalizers",
                                List.of(Json.object("NFC"), Json.replaceAll("\\s+", " "), Json.object("Lowercase"))));
                Json.set(
                        json,
                        "pre_tokenizer",
                        Json.sequence(
                                "pretokenizers",
                                List.of(Json.split(CLIP_SPLIT, "Removed", true), Json.byteLevel(false, true))));
                Json.set(
                        json,
                        "post_processor",
                        Json.roberta(
                                json,
                                name(config, "bos_token", "<|startoftext|>"),
                                name(config, "eos_token", "<|endoftext|>"),
                                false,
                                false));
            }
            case QWEN2 -> {
                Json.set(json, "normalizer", Json.object("NFC"));
                Json.set(
                        json,
                        "pre_tokenizer",
                        Json.sequence(
                                "pretokenizers",
                                List.of(Json.split(QWEN2_SPLIT, "Isolated", false), Json.byteLevel(prefix, false))));
                Json.set(json, "post_processor", plain(json));
            }
            case ROBERTA ->
                Json.set(
                        json,
                        "post_processor",
                        Json.roberta(
                                json,
                                name(config, "cls_token", "<s>"),
                                name(config, "sep_token", "</s>"),
                                config.flag("trim_offsets", true),
                                prefix));
            case DEBERTA -> {
                String cls = name(config, "cls_token", "[CLS]");
                String sep = name(config, "sep_token", "[SEP]");
                Json.set(
                        json,
                        "post_processor",
                        Json.template(
                                json,
                                List.of(cls + ":0", "$A:0", sep + ":0"),
                                List.of(cls + ":0", "$A:0", sep + ":0", "$B:1", sep + ":1")));
            }
            case WHISPER -> {
                String eos = name(config, "eos_token", "<|endoftext|>");
                List<String> start = List.of("<|startoftranscript|>", "<|notimestamps|>");
                config.added
                        .values()
                        .forEach(t -> json.addToken(
                                TokenizerConfig.content(t),
                                t.path("special").asBoolean(),
                                t.path("normalized").asBoolean(),
                                false,
                                false,
                                false));
                String a = json.hasToken(start.get(0)) ? start.get(0) : eos;
                String b = json.hasToken(start.get(1)) ? start.get(1) : eos;
                Json.set(
                        json,
                        "post_processor",
                        Json.template(
                                json,
                                List.of(a + ":0", b + ":0", "$A:0", eos + ":0"),
                                List.of(a + ":0", b + ":0", "$A:0", "$B:1", eos + ":1")));
            }
            default -> Json.set(json, "post_processor", plain(json));
        }
        return json;
    }

    private static ObjectNode plain(TokenizerJson json) {
        return Json.template(json, List.of("$A:0"), List.of("$A:0", "$B:1"));
    }

    private static String name(TokenizerConfig config, String name, String otherwise) {
        @Nullable String value = config.special(name);
        return value == null ? otherwise : value;
    }
}
