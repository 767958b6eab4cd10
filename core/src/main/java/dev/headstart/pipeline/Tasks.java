package dev.headstart.pipeline;

import dev.headstart.HeadstartException;
import dev.headstart.hub.Hub;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The tasks by their Hugging Face names. */
public final class Tasks {
    /** Opens a pipeline for a model. */
    public interface Factory {
        Pipeline create(String id, PipelineOptions options);
    }

    /**
     * One task.
     *
     * @param name Hugging Face's name
     * @param defaultModel id of the model used when none is named; null when the user must name one
     * @param example id of a well-known model for it, for messages
     * @param input what an input is, as the command line takes it, for messages
     * @param factory opens it
     */
    public record Task(String name, @Nullable String defaultModel, String example, String input, Factory factory) {
        /** Opens the task with a model. */
        public Pipeline open(String id, PipelineOptions options) {
            return factory.create(id, options);
        }
    }

    private static final Map<String, Task> ALL = new LinkedHashMap<>();

    private static final String TEXT = "a text";
    private static final String IMAGE = "an image file";
    private static final String LABELS = ", with --kwargs '{\"candidate_labels\": [\"politics\", \"film\"]}'";

    static {
        add(
                "fill-mask",
                "bert-base-uncased",
                "bert-base-uncased",
                "a text with [MASK], the mask token of the model",
                FillMaskPipeline::new);
        add(
                "text-classification",
                "headstart/sentiment-minilm-lora",
                "textattack/bert-base-uncased-SST-2",
                "a text, or {\"text\": \"...\", \"text_pair\": \"...\"}",
                TextClassificationPipeline::new);
        add(
                "token-classification",
                "headstart/ner-minilm-lora",
                "dslim/bert-base-NER",
                TEXT,
                TokenClassificationPipeline::new);
        add(
                "question-answering",
                "headstart/qa-minilm-lora",
                "deepset/bert-base-cased-squad2",
                "{\"question\": \"...\", \"context\": \"...\"}",
                QuestionAnsweringPipeline::new);
        add("feature-extraction", "bert-base-uncased", "bert-base-uncased", TEXT, FeatureExtractionPipeline::new);
        add(
                "sentence-embedding",
                "sentence-transformers/all-MiniLM-L6-v2",
                "sentence-transformers/all-MiniLM-L6-v2",
                TEXT,
                SentenceEmbeddingPipeline::new);
        add(
                "sentence-similarity",
                "sentence-transformers/all-MiniLM-L6-v2",
                "sentence-transformers/all-MiniLM-L6-v2",
                "{\"source_sentence\": \"...\", \"sentences\": [\"...\", ...]}",
                SentenceSimilarityPipeline::new);
        add(
                "zero-shot-classification",
                null,
                "MoritzLaurer/deberta-v3-base-zeroshot-v2.0",
                TEXT + LABELS,
                ZeroShotClassificationPipeline::new);
        add(
                "text-ranking",
                null,
                "cross-encoder/ms-marco-MiniLM-L6-v2",
                "{\"query\": \"...\", \"documents\": [\"...\", ...]}",
                TextRankingPipeline::new);
        add(
                "image-classification",
                "headstart/cifar10-resnet14",
                "google/vit-base-patch16-224",
                IMAGE,
                ImageClassificationPipeline::new);
        add(
                "image-feature-extraction",
                "headstart/cifar10-resnet14",
                "facebook/dinov2-base",
                IMAGE,
                ImageFeatureExtractionPipeline::new);
        add(
                "zero-shot-image-classification",
                null,
                "openai/clip-vit-base-patch32",
                IMAGE + LABELS,
                ZeroShotImageClassificationPipeline::new);
        add("object-detection", null, "hustvl/yolos-tiny", IMAGE, ObjectDetectionPipeline::new);
        add(
                "image-segmentation",
                null,
                "nvidia/segformer-b0-finetuned-ade-512-512",
                IMAGE,
                ImageSegmentationPipeline::new);
        add(
                "text-generation",
                ifInZoo("headstart/gpt-mini"),
                "openai-community/gpt2",
                TEXT,
                TextGenerationPipeline::new);
        add(
                "text2text-generation",
                ifInZoo("headstart/t5-mini"),
                "google/flan-t5-small",
                TEXT,
                Text2TextGenerationPipeline::new);
        add("summarization", null, "facebook/bart-large-cnn", TEXT, SummarizationPipeline::new);
        add("translation", null, "Helsinki-NLP/opus-mt-en-de", TEXT, TranslationPipeline::new);
    }

    private Tasks() {}

    /** A model of ours as a default, where the zoo on the class path has it. */
    private static @Nullable String ifInZoo(String id) {
        return Hub.standard().zoo().contains(id) ? id : null;
    }

    private static void add(String name, @Nullable String defaultModel, String example, String input, Factory factory) {
        ALL.put(name, new Task(name, defaultModel, example, input, factory));
    }

    /** Every task. */
    public static List<Task> all() {
        return List.copyOf(ALL.values());
    }

    /** By name; {@code translation_xx_to_yy} is a translation between two languages. @throws HeadstartException listing the tasks there are */
    public static Task find(String name) {
        Task task = ALL.get(name);
        if (task == null && TranslationPipeline.DIRECTION.matcher(name).matches()) {
            return new Task(
                    name,
                    null,
                    "google-t5/t5-small",
                    TEXT,
                    (id, options) -> new TranslationPipeline(id, options, name));
        }
        if (task == null) {
            throw new HeadstartException("unknown task \"" + name + "\"; known: " + String.join(", ", ALL.keySet()));
        }
        return task;
    }
}
