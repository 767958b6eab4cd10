package dev.headstart.train.pretrain;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.TreeSet;

/** A token for each character of the texts, and {@code <|endoftext|>} for the end and for all others: a BPE without merges. */
final class CharTokenizer {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String END = "<|endoftext|>";

    private CharTokenizer() {}

    /** Writes tokenizer.json and tokenizer_config.json. @return number of tokens */
    static int train(Iterator<String> texts, Path folder) {
        TreeSet<Integer> characters = new TreeSet<>();
        texts.forEachRemaining(t -> t.codePoints().forEach(characters::add));
        if (characters.isEmpty()) {
            throw new HeadstartException("tokenizer training: the texts hold no characters");
        }
        ObjectNode json = JSON.createObjectNode()
                .put("version", "1.0")
                .putNull("truncation")
                .putNull("padding");
        ArrayNode added = json.putArray("added_tokens");
        added.addObject()
                .put("id", 0)
                .put("content", END)
                .put("single_word", false)
                .put("lstrip", false)
                .put("rstrip", false)
                .put("normalized", false)
                .put("special", true);
        json.putNull("normalizer").putNull("pre_tokenizer").putNull("post_processor");
        json.putObject("decoder").put("type", "Fuse");
        ObjectNode model = json.putObject("model").put("type", "BPE").putNull("dropout");
        model.put("unk_token", END)
                .putNull("continuing_subword_prefix")
                .putNull("end_of_word_suffix")
                .put("fuse_unk", false)
                .put("byte_fallback", false)
                .put("ignore_merges", false);
        ObjectNode vocab = model.putObject("vocab");
        vocab.put(END, 0);
        characters.forEach(c -> vocab.put(Character.toString(c), vocab.size()));
        model.putArray("merges");
        ObjectNode config = JSON.createObjectNode()
                .put("tokenizer_class", "PreTrainedTokenizerFast")
                .put("unk_token", END)
                .put("bos_token", END)
                .put("eos_token", END)
                .put("clean_up_tokenization_spaces", false);
        try {
            Files.createDirectories(folder);
            Files.writeString(folder.resolve("tokenizer.json"), json.toPrettyString());
            Files.writeString(folder.resolve("tokenizer_config.json"), config.toPrettyString() + "\n");
        } catch (IOException e) {
            throw new HeadstartException(folder + ": the tokenizer cannot be written (" + e.getMessage() + ")", e);
        }
        return vocab.size();
    }
}
