package dev.headstart.train.vision;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.Columns.Role;
import dev.headstart.pipeline.ClassScore;
import dev.headstart.pipeline.ImageClassificationPipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.Tasks;
import dev.headstart.train.metrics.Evaluation;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** An image classifier measured on labelled images, through the pipeline that users run. */
public final class ImageEvaluation {
    private static final int CHUNK = 256;

    private ImageEvaluation() {}

    /**
     * Classifies all images and scores the answers.
     *
     * @param model id or folder
     * @param data class folders, a table with the columns image and label, or {@code FILE.npz#SPLIT}
     * @param columns which columns are image and label, where their names do not say so
     * @param load how the model is loaded
     * @param how the intervals
     * @throws HeadstartException when an image cannot be read, or a label is no class of the model
     */
    public static Evaluation run(
            String model, Path data, Map<Role, String> columns, LoadOptions load, Evaluation.Options how) {
        ImageSamples samples = ImageSamples.open(data, columns, null);
        try (ImageClassificationPipeline pipeline = (ImageClassificationPipeline)
                Tasks.find("image-classification").open(model, PipelineOptions.DEFAULT.withLoad(load))) {
            List<String> classes = pipeline.labels();
            int[] references = references(samples, classes, data);
            int[] predictions = new int[references.length];
            double[][] probabilities = new double[references.length][classes.size()];
            for (int from = 0; from < references.length; from += CHUNK) {
                List<List<ClassScore>> found = pipeline.apply(
                        IntStream.range(from, Math.min(from + CHUNK, references.length))
                                .mapToObj(samples::image)
                                .toList(),
                        null,
                        "softmax");
                for (int i = 0; i < found.size(); i++) {
                    predictions[from + i] = classes.indexOf(found.get(i).get(0).label());
                    for (ClassScore score : found.get(i)) {
                        probabilities[from + i][classes.indexOf(score.label())] = score.score();
                    }
                }
            }
            return Evaluation.classification(references, predictions, classes.size(), probabilities, how);
        }
    }

    /** The model's class of each image: by name, else by number. */
    private static int[] references(ImageSamples samples, List<String> classes, Path data) {
        List<String> lower =
                classes.stream().map(c -> c.toLowerCase(java.util.Locale.ROOT)).toList();
        int[] references = new int[samples.size()];
        for (int i = 0; i < references.length; i++) {
            String label = samples.label(i);
            int named = lower.indexOf(label.toLowerCase(java.util.Locale.ROOT));
            boolean number = named < 0 && label.matches("\\d{1,6}") && Integer.parseInt(label) < classes.size();
            if (named < 0 && !number) {
                throw new HeadstartException(data + ": label '" + label + "' is no class of this model, which has "
                        + shown(classes) + " (or their numbers, from 0)");
            }
            references[i] = named >= 0 ? named : Integer.parseInt(label);
        }
        return references;
    }

    private static String shown(List<String> classes) {
        return classes.size() <= 20
                ? String.join(", ", classes)
                : String.join(", ", classes.subList(0, 20)) + " and " + (classes.size() - 20) + " more";
    }
}
