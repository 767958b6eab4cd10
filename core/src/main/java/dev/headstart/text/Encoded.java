package dev.headstart.text;

import java.util.Map;

/** Tokenized text that a model can take: one text or a padded batch. */
public interface Encoded {
    /**
     * The model's arguments by their Hugging Face names ({@code input_ids}, {@code attention_mask}, and {@code token_type_ids} where the
     * tokenizer makes them), each as rows of equal length, [B, S].
     */
    Map<String, long[][]> modelInputs();
}
