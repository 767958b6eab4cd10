package dev.headstart.cli;

import dev.headstart.HeadstartException;
import dev.headstart.train.vision.Augmentation;
import dev.headstart.train.vision.ImageFineTuneOptions;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What training of image classifiers has beside the options of every task. */
final class ImageTrainingOptions {
    @Option(
            names = "--config",
            paramLabel = "NAME",
            description =
                    "Begin with new weights: a config.json or a folder with one (texts: --tokenizer too; images: preprocessor_config.json"
                            + " in it); images: also resnet20, resnet14-wide (small images), resnet18, resnet34, resnet50, vit-tiny.")
    @Nullable
    String config;

    @Option(names = "--init", paramLabel = "HOW", description = "random: new weights for the model of --model.")
    private @Nullable String init;

    @Option(
            names = "--random-crop-padding",
            paramLabel = "PART",
            description = "Images: random crop after padding by this part of the side (CIFAR: 0.125).")
    private double pad;

    @Option(
            names = "--random-resized-crop",
            paramLabel = "AREA",
            description = "Images: random resized crop of at least this part of the area (ImageNet: 0.08).")
    private double scale = 1;

    @Option(names = "--flip", paramLabel = "P", description = "Images: probability of a horizontal flip.")
    private double flip;

    @Option(names = "--rand-augment", paramLabel = "N", description = "Images: RandAugment with so many operations.")
    private int operations;

    @Option(names = "--rand-augment-magnitude", paramLabel = "M", description = "Images: 0 to 30 (${DEFAULT-VALUE}).")
    private int magnitude = 9;

    @Option(
            names = "--cutout",
            paramLabel = "PART",
            description = "Images: side of a grey square that hides a part of the image.")
    private double cutout;

    @Option(names = "--mixup", paramLabel = "ALPHA", description = "Images: mixup; 0: none.")
    private double mixup;

    @Option(names = "--cutmix", paramLabel = "ALPHA", description = "Images: cutmix; 0: none.")
    private double cutmix;

    @Option(
            names = "--ema",
            paramLabel = "DECAY",
            description = "Moving average of the weights, which is evaluated and saved; 0: none.")
    double ema;

    @Option(
            names = "--layer-decay",
            paramLabel = "FACTOR",
            description = "Images: of the learning rate, from each block to the one below (${DEFAULT-VALUE}).")
    private double layerDecay = 1;

    @Option(
            names = "--gradual-unfreezing",
            paramLabel = "PART",
            description = "Images: part of the training in which block after block begins to learn, the head first.")
    private double unfreezing;

    @Option(
            names = "--class-names",
            split = ",",
            paramLabel = "NAME",
            description = "Images: what to call the labels of the data, in their order.")
    private List<String> classNames = List.of();

    @Option(
            names = "--metric",
            description =
                    "Images: which chooses the checkpoint: accuracy, f1_macro, auc, auc_ovr, loss (${DEFAULT-VALUE}).")
    private String metric = "accuracy";

    @Option(
            names = "--image-memory",
            paramLabel = "MB",
            description = "Images: decoded ones that are kept; others are decoded in every pass (${DEFAULT-VALUE}).")
    private long imageMemory = 1024;

    /** Whether the model begins with new weights. @param model of --model, empty without */
    boolean fresh(String model) {
        if (init != null && !init.equals("random")) {
            throw new HeadstartException("--init must be random, found " + init);
        }
        if (config != null && !model.isEmpty()) {
            throw new HeadstartException("--config and --model exclude each other: new weights, or those of a model");
        }
        if (config == null && model.isEmpty()) {
            throw new HeadstartException(
                    "--model is missing; give the folder or id of a pre-trained model, or --config to begin with new weights");
        }
        return config != null || init != null;
    }

    /** Puts the values and the model to begin with in. @param model of --model, empty without */
    void start(ImageFineTuneOptions options, String model) {
        boolean fresh = fresh(model);
        fill(options);
        if (fresh) {
            options.fromNothing(config != null ? config : model);
        } else {
            options.model(model);
        }
    }

    private void fill(ImageFineTuneOptions options) {
        options.augmentation(new Augmentation(pad, scale, flip, operations, magnitude, cutout))
                .mixing(mixup, cutmix)
                .ema(ema)
                .layerDecay(layerDecay)
                .gradualUnfreezing(unfreezing)
                .classNames(classNames)
                .metric(metric)
                .imageMemory(imageMemory << 20);
    }
}
