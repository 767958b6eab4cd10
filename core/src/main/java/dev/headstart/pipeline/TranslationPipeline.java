package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.text.Tokenizer;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Texts in another language (transformers TranslationPipeline): call arguments and parameters as {@link Text2TextGenerationPipeline}, and for models of
 * many languages (M2M100, NLLB, mBART) {@code src_lang} and {@code tgt_lang}, codes as the model spells them. The task {@code translation_xx_to_yy}
 * names them too. Results are {@code translation_text}.
 */
public final class TranslationPipeline extends Text2TextGenerationPipeline {
    static final Pattern DIRECTION = Pattern.compile("translation_([^_]+)_to_([^_]+)");

    private final boolean multilingual;
    private final @Nullable String from;
    private final @Nullable String to;

    TranslationPipeline(String id, PipelineOptions options) {
        this(id, options, "translation");
    }

    /** @param task {@code translation}, or {@code translation_xx_to_yy} */
    TranslationPipeline(String id, PipelineOptions options, String task) {
        super(id, options, task, "translation");
        Matcher direction = DIRECTION.matcher(task);
        boolean named = direction.matches();
        from = named ? direction.group(1) : null;
        to = named ? direction.group(2) : null;
        // Marian's >>xx<< are part of the text, not codes to be given.
        multilingual = tokenizer.languages().stream().anyMatch(code -> !code.startsWith(">>"));
    }

    @Override
    Source source(JsonNode kwargs) {
        if (!multilingual) {
            return super.source(kwargs);
        }
        String given = text(kwargs, "src_lang");
        String wanted = text(kwargs, "tgt_lang");
        if (given == null && wanted == null) {
            given = from;
            wanted = to;
        }
        if (given == null || wanted == null) {
            List<String> known = tokenizer.languages();
            throw new HeadstartException("translation with this model needs src_lang and tgt_lang; found "
                    + (given == null ? wanted == null ? "neither" : "only tgt_lang" : "only src_lang")
                    + "; give both, of " + String.join(", ", known));
        }
        Tokenizer pair = tokenizer.withLanguages(given, wanted);
        return new Source(pair, "", tokenizer.languageId(wanted).getAsInt());
    }
}
