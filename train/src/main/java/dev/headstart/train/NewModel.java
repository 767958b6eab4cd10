package dev.headstart.train;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.text.Tokenizer;
import java.nio.file.Files;
import java.nio.file.Path;

/** Models with new weights, drawn from the seed. */
public final class NewModel {
    private NewModel() {}

    /** Puts into a configuration what the tokenizer decides. @throws HeadstartException when its vocabulary is too small for the tokenizer */
    public static void fit(ObjectNode node, Tokenizer tokenizer, String origin) {
        int size = tokenizer.vocabSize();
        if (node.path("vocab_size").asInt(size) < size) {
            throw new HeadstartException(origin + ": vocab_size is " + node.get("vocab_size") + ", the tokenizer has "
                    + size + " tokens; give vocab_size " + size + ", or leave it out");
        }
        if (!node.hasNonNull("vocab_size")) {
            node.put("vocab_size", size);
        }
        tokenizer.padId().ifPresent(id -> node.put("pad_token_id", id));
        tokenizer.bosId().ifPresent(id -> node.put("bos_token_id", id));
        tokenizer.eosId().ifPresent(id -> node.put("eos_token_id", id));
        if (node.path("is_encoder_decoder").asBoolean() && !node.has("decoder_start_token_id")) {
            tokenizer.padId().ifPresent(id -> node.put("decoder_start_token_id", id));
        }
    }

    /**
     * The model that a config.json describes.
     *
     * @param config config.json or a folder with one
     * @param head end of the class name: {@code ForSeq2SeqLM}, {@code ForSequenceClassification}; empty for none
     * @throws HeadstartException when the file is missing or does not fit the tokenizer or the task
     */
    public static PreTrainedModel<?> of(Path config, String head, Tokenizer tokenizer, LoadOptions load) {
        ConfigJson read = ConfigJson.read(Files.isDirectory(config) ? config.resolve("config.json") : config);
        fit(read.node(), tokenizer, read.origin());
        return Models.newWithHead(read, head, load);
    }
}
