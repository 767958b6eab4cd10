package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import java.text.BreakIterator;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Short texts for long ones (transformers SummarizationPipeline): call arguments and parameters as {@link Text2TextGenerationPipeline}; results are
 * {@code summary_text}.
 *
 * <p>A text longer than the model's positions is divided at the ends of sentences into parts that fit; each is summarised, and the summaries follow one
 * another. The result then says so: {@code chunks} is the number of parts. {@code chunk_length} (ours) divides into parts of so many tokens at most,
 * for models without a limit too; {@code truncation} cuts instead.
 */
public final class SummarizationPipeline extends Text2TextGenerationPipeline {
    private static final Logger LOG = LoggerFactory.getLogger(SummarizationPipeline.class);

    SummarizationPipeline(String id, PipelineOptions options) {
        super(id, options, "summarization", "summary");
    }

    @Override
    List<String> parts(String text, Source from, JsonNode kwargs) {
        String cut = kwargs.path("truncation").asText("false");
        boolean whole = !List.of("false", "null", "do_not_truncate").contains(cut) || !options.truncation();
        int most = whole ? Integer.MAX_VALUE : readable();
        if (kwargs.hasNonNull("chunk_length")) {
            int wanted = kwargs.get("chunk_length").asInt();
            if (wanted < 8) {
                throw new HeadstartException(
                        "chunk_length must be 8 tokens or more, found " + kwargs.get("chunk_length"));
            }
            most = Math.min(readable(), wanted);
        }
        if (most == Integer.MAX_VALUE || tokens(text, from) <= most) {
            return List.of(text);
        }
        List<String> parts = new ArrayList<>();
        StringBuilder part = new StringBuilder();
        for (String sentence : divided(text, from, most)) {
            if (part.length() > 0 && tokens(part + sentence, from) > most) {
                parts.add(part.toString().strip());
                part.setLength(0);
            }
            part.append(sentence);
        }
        parts.add(part.toString().strip());
        parts.removeIf(String::isEmpty);
        LOG.warn(
                "a text of {} tokens was divided into {} parts of at most {}; the summaries of the parts follow one another",
                tokens(text, from),
                parts.size(),
                most);
        return parts;
    }

    private static int tokens(String text, Source from) {
        return from.tokenizer().encode(from.prefix() + text).ids().length;
    }

    /** Sentences; one that is too long is halved between words until it fits. */
    private static List<String> divided(String text, Source from, int most) {
        BreakIterator ends = BreakIterator.getSentenceInstance(Locale.ROOT);
        ends.setText(text);
        List<String> sentences = new ArrayList<>();
        int begin = ends.first();
        for (int end = ends.next(); end != BreakIterator.DONE; begin = end, end = ends.next()) {
            halve(text.substring(begin, end), from, most, sentences);
        }
        return sentences;
    }

    private static void halve(String sentence, Source from, int most, List<String> into) {
        if (tokens(sentence, from) <= most || sentence.codePointCount(0, sentence.length()) < 2) {
            into.add(sentence);
            return;
        }
        int middle = sentence.length() / 2;
        int blank = sentence.lastIndexOf(' ', middle);
        int at = blank > 0
                ? blank + 1
                : sentence.offsetByCodePoints(0, sentence.codePointCount(0, sentence.length()) / 2);
        halve(sentence.substring(0, at), from, most, into);
        halve(sentence.substring(at), from, most, into);
    }
}
