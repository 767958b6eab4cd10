package dev.headstart.pipeline;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One task with its model, safe to use from many threads. {@link #close} frees the model. */
public interface Pipeline extends AutoCloseable {
    /**
     * Runs the task as the command line and the server do: inputs as text (a file's path, or a JSON object where the task takes several fields), call
     * arguments as the Hugging Face pipeline names them. Offsets count code points.
     *
     * @return one element an input, to be written as JSON with snake_case names
     */
    List<?> run(List<String> inputs, JsonNode kwargs);

    @Override
    void close();

    /** The pipeline of a task by its Hugging Face name. */
    static Pipeline of(String task, String id, PipelineOptions options) {
        return Tasks.find(task).open(id, options);
    }

    /** Classes of a text. */
    static TextClassificationPipeline textClassification(String id) {
        return new TextClassificationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Classes of the words of a text: names, places. */
    static TokenClassificationPipeline tokenClassification(String id) {
        return new TokenClassificationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Answers that stand in a text. */
    static QuestionAnsweringPipeline questionAnswering(String id) {
        return new QuestionAnsweringPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Words for masked places. */
    static FillMaskPipeline fillMask(String id) {
        return new FillMaskPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Hidden states of every token. */
    static FeatureExtractionPipeline featureExtraction(String id) {
        return new FeatureExtractionPipeline(id, PipelineOptions.DEFAULT);
    }

    /** One vector a text. */
    static SentenceEmbeddingPipeline sentenceEmbedding(String id) {
        return new SentenceEmbeddingPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Nearness of a text to others. */
    static SentenceSimilarityPipeline sentenceSimilarity(String id) {
        return new SentenceSimilarityPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Classes of a text that are named in the call. */
    static ZeroShotClassificationPipeline zeroShotClassification(String id) {
        return new ZeroShotClassificationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** How well documents answer a query. */
    static TextRankingPipeline textRanking(String id) {
        return new TextRankingPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Classes of an image. */
    static ImageClassificationPipeline imageClassification(String id) {
        return new ImageClassificationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Hidden states of an image. */
    static ImageFeatureExtractionPipeline imageFeatureExtraction(String id) {
        return new ImageFeatureExtractionPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Which of several texts fits an image. */
    static ZeroShotImageClassificationPipeline zeroShotImageClassification(String id) {
        return new ZeroShotImageClassificationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Objects in an image with their boxes. */
    static ObjectDetectionPipeline objectDetection(String id) {
        return new ObjectDetectionPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Which class each pixel of an image belongs to. */
    static ImageSegmentationPipeline imageSegmentation(String id) {
        return new ImageSegmentationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Texts that go on where a prompt ends. */
    static TextGenerationPipeline textGeneration(String id) {
        return new TextGenerationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Texts made of texts, as the model was trained to. */
    static Text2TextGenerationPipeline text2textGeneration(String id) {
        return new Text2TextGenerationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Short texts for long ones. */
    static SummarizationPipeline summarization(String id) {
        return new SummarizationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** Texts in another language. */
    static TranslationPipeline translation(String id) {
        return new TranslationPipeline(id, PipelineOptions.DEFAULT);
    }

    /** A JSON object where {@code input} is one that has the field {@code first}, else null. */
    static @Nullable JsonNode object(String input, String first) {
        if (!input.stripLeading().startsWith("{")) {
            return null;
        }
        try {
            JsonNode node = JsonHolder.JSON.readTree(input);
            return node != null && node.isObject() && node.has(first) ? node : null;
        } catch (JsonProcessingException e) {
            return null;
        }
    }

    /** A JSON object with the field {@code first}. @throws HeadstartException saying what the task takes */
    static JsonNode required(String input, String first, String example) {
        JsonNode node = object(input, first);
        if (node == null) {
            throw new HeadstartException("the input must be a JSON object like " + example + ", found '"
                    + (input.length() > 80 ? input.substring(0, 80) + "..." : input) + "'");
        }
        return node;
    }

    /** A text field of a JSON object. */
    static String text(JsonNode object, String field, String example) {
        if (!object.path(field).isTextual()) {
            throw new HeadstartException(
                    "the input needs the text field \"" + field + "\", like " + example + ", found " + object);
        }
        return object.path(field).asText();
    }

    /** A list of texts in a JSON object. */
    static List<String> texts(JsonNode object, String field, String example) {
        JsonNode list = object.path(field);
        if (!list.isArray()) {
            throw new HeadstartException(
                    "the input needs the list of texts \"" + field + "\", like " + example + ", found " + object);
        }
        List<String> all = new java.util.ArrayList<>();
        list.forEach(e -> all.add(e.asText()));
        return all;
    }
}
