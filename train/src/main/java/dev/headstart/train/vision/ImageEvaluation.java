package dev.headstart.train.vision;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.OnError;
import dev.headstart.data.Problems;
import dev.headstart.pipeline.ClassScore;
import dev.headstart.pipeline.ImageClassificationPipeline;
import dev.headstart.pipeline.PipelineOptions;
import dev.headstart.pipeline.Tasks;
import dev.headstart.train.metrics.Evaluation;
import dev.headstart.vision.Image;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** An image classifier measured on labelled images, through the pipeline that users run. */
public final class ImageEvaluation {
    private static final int CHUNK = 256;
    private static final Logger LOG = LoggerFactory.getLogger(ImageEvaluation.class);

    private ImageEvaluation() {}

    /**
     * Classifies all images and scores the answers.
     *
     * @param model id or folder
     * @param data class folders, a table with the columns image and label, or {@code FILE.npz#SPLIT}
     * @param columns which columns are image and label, where their names do not say so
     * @param onError what to do with rows and images that cannot be read; null: the first one ends it
     * @param load how the model is loaded
     * @param how the intervals
     * @throws HeadstartException when an image cannot be read, or a label is no class of the model
     */
    public static Evaluation run(
            String model,
            Path data,
            Map<Role, String> columns,
            @Nullable OnError onError,
            LoadOptions load,
            Evaluation.Options how) {
        ImageSamples samples = ImageSamples.open(data, columns, onError);
        Problems problems = new Problems(onError);
        try (ImageClassificationPipeline pipeline = (ImageClassificationPipeline)
                Tasks.find("image-classification").open(model, PipelineOptions.DEFAULT.withLoad(load))) {
            List<String> classes = pipeline.labels();
            int[] all = references(samples, classes, data);
            int[] references = new int[all.length];
            int[] predictions = new int[all.length];
            double[][] probabilities = new double[all.length][classes.size()];
            int n = 0;
            for (int from = 0; from < all.length; from += CHUNK) {
                SortedMap<Integer, Image> images = read(samples, from, Math.min(from + CHUNK, all.length), problems);
                List<List<ClassScore>> found = pipeline.apply(List.copyOf(images.values()), null, "softmax");
                int at = 0;
                for (int index : images.keySet()) {
                    List<ClassScore> scores = found.get(at++);
                    references[n] = all[index];
                    predictions[n] = classes.indexOf(scores.get(0).label());
                    for (ClassScore score : scores) {
                        probabilities[n][classes.indexOf(score.label())] = score.score();
                    }
                    n++;
                }
            }
            if (n == 0) {
                throw new HeadstartException(data + ": none of the " + all.length + " images can be read");
            }
            if (problems.skipped() > 0) {
                LOG.warn("{}: {}", data, problems.summary());
            }
            return Evaluation.classification(
                    Arrays.copyOf(references, n),
                    Arrays.copyOf(predictions, n),
                    classes.size(),
                    Arrays.copyOf(probabilities, n),
                    how);
        }
    }

    /** Decodes some of the images, in parallel. @return those that can be read, by their indexes */
    private static SortedMap<Integer, Image> read(ImageSamples samples, int from, int to, Problems problems) {
        SortedMap<Integer, Image> images = new TreeMap<>();
        @Nullable Image[] read = new Image[to - from];
        @Nullable HeadstartException[] failures = new HeadstartException[to - from];
        IntStream.range(0, read.length).parallel().forEach(i -> {
            try {
                read[i] = samples.image(from + i);
            } catch (HeadstartException e) {
                failures[i] = e;
            }
        });
        for (int i = 0; i < read.length; i++) {
            Image image = read[i];
            HeadstartException failure = failures[i];
            if (image != null) {
                images.put(from + i, image);
            } else if (failure != null) {
                problems.report("unreadable image", String.valueOf(failure.getMessage()));
            }
        }
        return images;
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
