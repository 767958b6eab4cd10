package dev.headstart.text;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.nio.file.Path;
import java.util.List;

/** vocab.txt, one token a line, line number = id (Devlin et al. 2019), as transformers' BertTokenizer reads it. */
final class WordPieceVocab {
    private WordPieceVocab() {}

    static TokenizerJson convert(Path file, TokenizerConfig config) {
        String text = TokenizerFiles.read(file);
        ObjectNode vocab = TokenizerJson.MAPPER.createObjectNode();
        int id = 0;
        for (String line : text.split("\n", -1)) {
            String token = line.endsWith("\r") ? line.substring(0, line.length() - 1) : line;
            vocab.put(token, id++);
        }
        if (text.endsWith("\n") || text.isEmpty()) vocab.remove(""); // what follows the last line break
        config.inferFamily("WordPiece", vocab::has);
        String unk = TokenizerFiles.or(config.special("unk_token"), "[UNK]");
        String cls = TokenizerFiles.or(config.special("cls_token"), "[CLS]");
        String sep = TokenizerFiles.or(config.special("sep_token"), "[SEP]");
        for (String needed : List.of(unk, cls, sep)) {
            if (!vocab.has(needed)) {
                throw new HeadstartException(
                        file + ": has " + vocab.size() + " tokens but no " + needed
                                + "; it is not the vocab.txt of a WordPiece model, or tokenizer_config.json names other special tokens");
            }
        }
        TokenizerJson json = TokenizerJson.of("WordPiece", vocab, null);
        json.model.put("unk_token", unk).put("continuing_subword_prefix", "##").put("max_input_chars_per_word", 100);
        ObjectNode normalizer = json.top.putObject("normalizer");
        normalizer.put("type", "BertNormalizer").put("clean_text", true);
        normalizer.put("handle_chinese_chars", config.flag("tokenize_chinese_chars", true));
        if (config.raw.path("strip_accents").isBoolean())
            normalizer.set("strip_accents", config.raw.get("strip_accents"));
        else normalizer.putNull("strip_accents");
        normalizer.put("lowercase", config.flag("do_lower_case", true));
        json.top.putObject("pre_tokenizer").put("type", "BertPreTokenizer");
        json.top
                .putObject("decoder")
                .put("type", "WordPiece")
                .put("prefix", "##")
                .put("cleanup", true);
        if (config.family == TokenizerFamily.MPNET) {
            Json.set(json, "post_processor", Json.roberta(json, cls, sep, true, false));
        } else {
            String first = config.family == TokenizerFamily.FUNNEL ? cls + ":2" : cls + ":0";
            Json.set(
                    json,
                    "post_processor",
                    Json.template(
                            json,
                            List.of(first, "$A:0", sep + ":0"),
                            List.of(first, "$A:0", sep + ":0", "$B:1", sep + ":1")));
        }
        return json;
    }
}
