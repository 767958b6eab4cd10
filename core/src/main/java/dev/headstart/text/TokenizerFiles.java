package dev.headstart.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Finds a folder's tokenizer files and brings them, whatever their format, into one {@link TokenizerJson}. */
final class TokenizerFiles {
    /** The tokenizer as one JSON, and the file it comes from. */
    record Found(TokenizerJson json, Path file) {}

    private TokenizerFiles() {}

    static Found load(Path folder, TokenizerConfig config) {
        Path tokenizerJson = folder.resolve("tokenizer.json");
        Path vocabTxt = folder.resolve("vocab.txt");
        Found found;
        if (Files.isRegularFile(tokenizerJson)) {
            found = new Found(TokenizerJson.parse(read(tokenizerJson), tokenizerJson.toString()), tokenizerJson);
            override(found.json(), config);
        } else if (Files.isRegularFile(vocabTxt)) {
            found = new Found(WordPieceVocab.convert(vocabTxt, config), vocabTxt);
        } else {
            throw new HeadstartException(folder + ": no tokenizer found; looked for tokenizer.json, vocab.txt"
                    + (Files.isDirectory(folder) ? "" : " (the folder does not exist)"));
        }
        addTokens(found.json(), config);
        found.json().top.putNull("truncation");
        found.json().top.putNull("padding");
        return found;
    }

    /** What tokenizer_config.json says wins over tokenizer.json, as in transformers' classes. */
    private static void override(TokenizerJson json, TokenizerConfig config) {
        if (json.top.get("normalizer") instanceof ObjectNode normalizer
                && normalizer.path("type").asText().equals("BertNormalizer")) {
            copy(config.raw, "do_lower_case", normalizer, "lowercase");
            copy(config.raw, "tokenize_chinese_chars", normalizer, "handle_chinese_chars");
            if (config.raw.has("strip_accents")) normalizer.set("strip_accents", config.raw.get("strip_accents"));
        }
    }

    private static void copy(ObjectNode from, String name, ObjectNode to, String as) {
        JsonNode value = from.get(name);
        if (value != null && value.isBoolean()) to.set(as, value);
    }

    /** Adds the tokens that only the configuration names, in transformers' order: by id, then named, then extra ones. */
    private static void addTokens(TokenizerJson json, TokenizerConfig config) {
        config.added.values().forEach(t -> add(json, t));
        config.special.values().forEach(t -> add(json, t));
        config.extra.forEach(t -> add(json, t));
    }

    private static void add(TokenizerJson json, ObjectNode t) {
        json.addToken(
                TokenizerConfig.content(t),
                t.path("special").asBoolean(),
                t.path("normalized").asBoolean(),
                t.path("lstrip").asBoolean(),
                t.path("rstrip").asBoolean(),
                t.path("single_word").asBoolean());
    }

    /** A text file in UTF-8. */
    static String read(Path file) {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(Files.readAllBytes(file)))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new HeadstartException(file + ": is not UTF-8 text; the file is damaged, fetch it again", e);
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read (" + e.getMessage() + ")", e);
        }
    }

    /** A template of pieces like {@code "[CLS]:0"} and {@code "$A:0"}; the special tokens must be in the vocabulary. */
    static void template(TokenizerJson json, List<String> single, List<String> pair) {
        ObjectNode post = TokenizerJson.MAPPER.createObjectNode();
        post.put("type", "TemplateProcessing");
        ObjectNode special = TokenizerJson.MAPPER.createObjectNode();
        for (boolean two : new boolean[] {false, true}) {
            var list = post.putArray(two ? "pair" : "single");
            for (String piece : two ? pair : single) {
                int colon = piece.lastIndexOf(':');
                String name = piece.substring(0, colon);
                int type = Integer.parseInt(piece.substring(colon + 1));
                if (name.startsWith("$")) {
                    list.addObject()
                            .putObject("Sequence")
                            .put("id", name.substring(1))
                            .put("type_id", type);
                    continue;
                }
                list.addObject().putObject("SpecialToken").put("id", name).put("type_id", type);
                ObjectNode entry = special.putObject(name).put("id", name);
                entry.putArray("ids").add(json.addSpecial(name));
                entry.putArray("tokens").add(name);
            }
        }
        post.set("special_tokens", special);
        json.top.set("post_processor", post);
    }

    static String or(@Nullable String value, String otherwise) {
        return value == null ? otherwise : value;
    }
}
