package dev.headstart.generation;

import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * A model that can generate: a decoder alone (GPT-2, Llama), or one with an encoder (T5, BART, Whisper). The loop of {@link Generation} does
 * the rest: prompts, choosing tokens, beams, stopping.
 */
public interface GenerativeModel {
    /** The checkpoint's own generation parameters. */
    GenerationConfig generationConfig();

    /** Whether the prompt goes to an encoder and the text begins with {@code decoder_start_token_id}. */
    boolean isEncoderDecoder();

    /** Most positions that the configuration names ({@code max_position_embeddings}), or 0 when it names none. */
    int contextLength();

    /** Whether nothing can be computed beyond {@link #contextLength} (learned positions), rather than only with loss of quality (rotary ones). */
    boolean contextIsHard();

    /**
     * Begins one call. What it makes (cache, encoder states) belongs to the session.
     *
     * @param inputs the forward arguments by their Hugging Face names; an encoder runs on them here, once. A decoder alone has nothing to take
     *     from them: its prompt comes by {@link DecodingSession#step}
     * @param rows rows of the first step
     * @param capacity most tokens that a row will hold; memory is reserved for them
     */
    DecodingSession startDecoding(Map<String, Tensor> inputs, int rows, int capacity);
}
