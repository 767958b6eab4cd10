package dev.headstart.train.vision;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.data.OnError;
import dev.headstart.io.Safetensors;
import dev.headstart.models.AutoModelForImageClassification;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.peft.LoraAdapter;
import dev.headstart.testing.Shared;
import dev.headstart.train.Schedule;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.finetune.FineTuneOptions.Mode;
import dev.headstart.train.metrics.Evaluation;
import dev.headstart.vision.Image;
import dev.headstart.vision.ImageBatch;
import dev.headstart.vision.ImageProcessor;
import dev.headstart.vision.Resample;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import javax.imageio.ImageIO;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A tiny ResNet learns whether stripes lie or stand. */
class ImageFineTuneTest {
    private static final String CONFIG = """
            {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}""";
    private static final String PROCESSOR = """
            {"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 24}, "resample": 2}""";

    @TempDir
    Path dir;

    private Path config = Path.of("");

    @BeforeEach
    void configure() throws IOException {
        config = Files.createDirectory(dir.resolve("config"));
        Files.writeString(config.resolve("config.json"), CONFIG);
        Files.writeString(config.resolve("preprocessor_config.json"), PROCESSOR);
    }

    /** Class folders of 16 x 12 images with stripes. */
    private Path stripes(String name, int each, long seed) throws IOException {
        SplittableRandom random = new SplittableRandom(seed);
        for (String label : List.of("lying", "standing")) {
            Path folder = Files.createDirectories(dir.resolve(name).resolve(label));
            for (int i = 0; i < each; i++) {
                BufferedImage image = new BufferedImage(16, 12, BufferedImage.TYPE_INT_RGB);
                int phase = random.nextInt(4), light = 100 + random.nextInt(150), dark = random.nextInt(60);
                for (int y = 0; y < 12; y++) {
                    for (int x = 0; x < 16; x++) {
                        int v = ((label.equals("lying") ? y : x) + phase) % 4 < 2 ? light : dark;
                        image.setRGB(x, y, v << 16 | v << 8 | v);
                    }
                }
                ImageIO.write(image, "png", folder.resolve(i + ".png").toFile());
            }
        }
        return dir.resolve(name);
    }

    private static TrainingArguments sgd(double epochs) {
        return TrainingArguments.defaults()
                .optimizer("sgd")
                .nesterov(true)
                .learningRate(0.05)
                .schedule(Schedule.COSINE)
                .warmupRatio(0.1)
                .epochs(epochs)
                .batchSize(16);
    }

    private ImageFineTuneOptions options(Path train, String out) {
        return new ImageFineTuneOptions(train, dir.resolve(out))
                .arguments(sgd(4))
                .offline(true);
    }

    private Path trained() throws IOException {
        Path train = stripes("train", 48, 1);
        new ImageFineTune(options(train, "base").fromNothing(config.toString()).validation(stripes("val", 16, 2)))
                .run();
        return dir.resolve("base");
    }

    private static Map<String, float[]> weights(Path folder) {
        Map<String, float[]> all = new TreeMap<>();
        Map<String, Tensor> tensors = Safetensors.readMap(folder.resolve("model.safetensors"));
        tensors.forEach((name, t) -> all.put(name, Tensors.floats(t)));
        tensors.values().forEach(Tensor::close);
        return all;
    }

    @Test
    void learnsFromNothingWithEveryAugmentation() throws IOException {
        Path train = stripes("train", 64, 1), val = stripes("val", 32, 2);
        ImageFineTune.Report report = new ImageFineTune(options(train, "out")
                        .fromNothing(config.toString())
                        .validation(val)
                        .arguments(sgd(8))
                        .augmentation(new Augmentation(0.125, 0.5, 0.5, 1, 5, 0.25))
                        .mixing(0.2, 1)
                        .labelSmoothing(0.1)
                        .ema(0.9))
                .run();
        assertThat(report.result().metrics().get("accuracy")).isGreaterThan(0.9);
        assertThat(report.trainExamples()).isEqualTo(Map.of("lying", 64, "standing", 64));

        // What was saved is what was evaluated, and an ordinary model folder.
        Path out = dir.resolve("out");
        try (PreTrainedModel<?> model = AutoModelForImageClassification.fromPretrained(out.toString())) {
            assertThat(model.config().id2label()).isEqualTo(Map.of(0, "lying", 1, "standing"));
            ImageProcessor processor = ImageProcessor.fromFolder(out);
            ImageSamples samples = ImageSamples.open(val, Map.of(), OnError.FAIL);
            int right = 0;
            for (int i = 0; i < samples.size(); i++) {
                try (var batch = processor.preprocess(List.of(samples.image(i)));
                        PointerScope scope = new PointerScope();
                        var result = model.forward(dev.headstart.models.Inputs.of(batch.modelInputs()))) {
                    float[] logits = Tensors.floats(get(result.tensors(), "logits"));
                    right += (logits[1] > logits[0]) == samples.label(i).equals("standing") ? 1 : 0;
                }
            }
            assertThat((double) right / samples.size())
                    .isCloseTo(report.result().metrics().get("accuracy"), within(1e-9));
        }
        assertThat(out.resolve("README.md"))
                .content()
                .contains("RandAugment", "| mixup | 0.2 |", "| accuracy |")
                .containsPattern("\\| train \\| train \\| \\d+ \\| `[0-9a-f]{64}` \\|"); // what the folder held
        assertThat(out.resolve("training_log.jsonl")).content().contains("images_per_second");
        assertThat(out.resolve("report.html"))
                .content()
                .contains("image-classification: ", "images/s", "Validation accuracy")
                .doesNotContain("tokens");
        assertThat(out.resolve("runs")).isNotEmptyDirectory();

        // Measured through the pipeline it reaches the same.
        Evaluation measured = ImageEvaluation.run(
                out.toString(), val, Map.of(), OnError.FAIL, LoadOptions.defaults(), Evaluation.Options.VALUES_ALONE);
        assertThat(measured.examples()).isEqualTo(64);
        assertThat(measured.values(0).get("accuracy"))
                .isCloseTo(report.result().metrics().get("accuracy"), within(1e-9));
        assertThat(measured.values(0).get("auc"))
                .isCloseTo(report.result().metrics().get("auc"), within(1e-3));
        // What cannot be read ends it, or is left out.
        ThrowingCallable strict = () -> ImageEvaluation.run(
                out.toString(), val, Map.of(), OnError.FAIL, LoadOptions.defaults(), Evaluation.Options.VALUES_ALONE);
        Path broken = Files.writeString(val.resolve("lying/broken.png"), "no image");
        assertThatThrownBy(strict)
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("broken.png", "--on-error skip");
        Evaluation rest = ImageEvaluation.run(
                out.toString(), val, Map.of(), OnError.SKIP, LoadOptions.defaults(), Evaluation.Options.VALUES_ALONE);
        assertThat(rest.examples()).isEqualTo(64);
        assertThat(rest.values(0)).isEqualTo(measured.values(0));
        Files.delete(broken);
        Files.move(val.resolve("lying"), val.resolve("leaning"));
        assertThatThrownBy(strict)
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("label 'leaning' is no class of this model, which has lying, standing");
    }

    @Test
    void headModeLeavesTheBodyAndItsStatisticsAlone() throws IOException {
        Path base = trained();
        new ImageFineTune(options(dir.resolve("train"), "head")
                        .model(base.toString())
                        .validation(dir.resolve("val"))
                        .mode(Mode.HEAD)
                        .arguments(sgd(2)))
                .run();
        Map<String, float[]> before = weights(base), after = weights(dir.resolve("head"));
        after.forEach((name, values) -> {
            if (name.startsWith("classifier")) {
                assertThat(values).as(name).isNotEqualTo(before.get(name));
            } else {
                assertThat(values).as(name).containsExactly(before.get(name));
            }
        });
    }

    @Test
    void unfreezesFromTheHeadDownwards() throws IOException {
        Path base = trained();
        try (PreTrainedModel<?> model = AutoModelForImageClassification.fromPretrained(base.toString())) {
            LayerGroups groups = new LayerGroups(model, 0.5);
            assertThat(groups.size()).isEqualTo(4); // head, stage 1, stage 0, stem
            assertThat(groups.group(0)).allMatch(p -> p.name().startsWith("classifier"));
            assertThat(groups.group(1)).allMatch(p -> p.name().startsWith("resnet.encoder.stages.1"));
            assertThat(groups.group(3)).allMatch(p -> p.name().startsWith("resnet.embedder"));
            assertThat(groups.openAfter(0, 60)).isEqualTo(1);
            assertThat(groups.openAfter(10, 60)).isEqualTo(2);
            assertThat(groups.openAfter(29, 60)).isEqualTo(3);
            assertThat(groups.openAfter(30, 60)).isEqualTo(4);
            assertThat(groups.rates(0.5, 0.1)).extracting(g -> g.rate()).containsOnly(1.0, 0.5, 0.25, 0.125);

            groups.close();
            groups.onBegin(1, 60);
            assertThat(groups.group(1)).allMatch(p -> p.isFrozen());
            groups.onStep(new dev.headstart.train.TrainerCallback.Step(10, 60, 0, 0, 0, null, 0, 0));
            assertThat(groups.group(1)).allMatch(p -> !p.isFrozen() && p.trainable());
            assertThat(groups.group(2)).allMatch(p -> p.isFrozen() && !p.trainable());
        }
        // With the last step at the border only the head and the first block have moved.
        new ImageFineTune(options(dir.resolve("train"), "gradual")
                        .model(base.toString())
                        .validation(dir.resolve("val"))
                        .gradualUnfreezing(1)
                        .layerDecay(0.8)
                        .arguments(sgd(1)))
                .run(); // 6 steps: the head alone for 2, then stage 1 for 2, then stage 0
        Map<String, float[]> before = weights(base), after = weights(dir.resolve("gradual"));
        assertThat(after.get("resnet.embedder.embedder.convolution.weight"))
                .containsExactly(before.get("resnet.embedder.embedder.convolution.weight"));
        assertThat(after.get("resnet.embedder.embedder.normalization.running_mean"))
                .containsExactly(before.get("resnet.embedder.embedder.normalization.running_mean"));
        assertThat(after.get("resnet.encoder.stages.0.layers.0.layer.0.convolution.weight"))
                .isNotEqualTo(before.get("resnet.encoder.stages.0.layers.0.layer.0.convolution.weight"));
    }

    /** Head first, then all: under autocast from channels innermost to oneDNN's order of activations in between. */
    @Test
    void unfreezesAllInBf16() throws IOException {
        Path base = trained();
        ImageFineTune.Report report = new ImageFineTune(options(dir.resolve("train"), "bf16")
                        .model(base.toString())
                        .validation(dir.resolve("val"))
                        .gradualUnfreezing(0.5)
                        .ema(0.5)
                        .arguments(sgd(2).bf16(true)))
                .run();
        assertThat(report.result().metrics().get("accuracy")).isGreaterThan(0.9);
        Map<String, float[]> before = weights(base), after = weights(dir.resolve("bf16"));
        assertThat(after.get("resnet.embedder.embedder.convolution.weight"))
                .isNotEqualTo(before.get("resnet.embedder.embedder.convolution.weight"));
        assertThat(after.get("resnet.embedder.embedder.normalization.running_mean"))
                .isNotEqualTo(before.get("resnet.embedder.embedder.normalization.running_mean"));
    }

    @Test
    void loraTrainsAnAdapterOfVit() throws IOException {
        Path vit = Shared.require("golden/vit/classification/model");
        Path model = dir.resolve("vit");
        Files.createDirectory(model);
        for (String file : List.of("config.json", "model.safetensors")) {
            Files.copy(vit.resolve(file), model.resolve(file));
        }
        int side;
        try (PreTrainedModel<?> m = AutoModelForImageClassification.fromPretrained(model.toString())) {
            side = m.config().integer("image_size", 224);
        }
        Files.writeString(model.resolve("preprocessor_config.json"), PROCESSOR.replace("24", Integer.toString(side)));
        ImageFineTune.Report report = new ImageFineTune(options(stripes("train", 48, 1), "lora")
                        .model(model.toString())
                        .validation(stripes("val", 16, 2))
                        .mode(Mode.LORA)
                        .arguments(TrainingArguments.defaults()
                                .learningRate(1e-2)
                                .epochs(12)
                                .batchSize(16)))
                .run();
        assertThat(report.trainedParameters()).isLessThan(report.parameters());
        assertThat(LoraAdapter.isAdapter(dir.resolve("lora"))).isTrue();
        assertThat(dir.resolve("lora/model.safetensors")).doesNotExist();
        assertThat(report.result().metrics().get("accuracy")).isGreaterThan(0.8);
    }

    @Test
    void aResumedRunEndsAsAnUnbrokenOne() throws IOException {
        Path train = stripes("train", 32, 1), val = stripes("val", 8, 2);
        List<Path> outs = List.of(dir.resolve("whole"), dir.resolve("broken"));
        for (Path out : outs) {
            ImageFineTuneOptions o = new ImageFineTuneOptions(train, out)
                    .fromNothing(config.toString())
                    .validation(val)
                    .augmentation(new Augmentation(0.125, 1, 0.5, 0, 0, 0))
                    .ema(0.9)
                    .arguments(sgd(2).saveSteps(3));
            new ImageFineTune(o).run();
        }
        // Take the broken run back to its checkpoint of step 6.
        Path broken = outs.get(1);
        for (String file : List.of("model.safetensors", "config.json")) {
            Files.delete(broken.resolve(file));
        }
        try (var files = Files.walk(broken.resolve("checkpoint-8"))) {
            for (Path p : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(p);
            }
        }
        new ImageFineTune(new ImageFineTuneOptions(train, broken)
                        .fromNothing(config.toString())
                        .validation(val)
                        .augmentation(new Augmentation(0.125, 1, 0.5, 0, 0, 0))
                        .ema(0.9)
                        .resume(true)
                        .arguments(sgd(2).saveSteps(3)))
                .run();
        Map<String, float[]> whole = weights(outs.get(0)), resumed = weights(broken);
        whole.forEach((name, values) -> assertThat(resumed.get(name)).as(name).containsExactly(values, within(1e-6f)));
    }

    @Test
    void namesWhatIsWrongWithTheData() throws IOException {
        Path train = stripes("train", 8, 1);
        Path one = Files.createDirectories(dir.resolve("one/lying"));
        Files.copy(train.resolve("lying/0.png"), one.resolve("0.png"));
        assertThatThrownBy(() ->
                        new ImageFineTune(options(dir.resolve("one"), "out1").fromNothing("resnet20")).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("at least 2 classes", "found 1", "lying");
        assertThat(dir.resolve("out1")).doesNotExist();

        Path broken = train.resolve("standing/broken.jpg");
        Files.write(broken, new byte[] {(byte) 0xFF, (byte) 0xD8, 1, 2, 3});
        assertThatThrownBy(() -> new ImageFineTune(options(train, "out2").fromNothing(config.toString())).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("broken.jpg", "damaged", "--on-error skip");
        ImageFineTune.Report report = new ImageFineTune(options(train, "out3")
                        .fromNothing(config.toString())
                        .validation(stripes("val", 4, 2))
                        .onError(OnError.SKIP)
                        .arguments(sgd(1)))
                .run();
        assertThat(report.trainExamples()).isEqualTo(Map.of("lying", 8, "standing", 8));

        Files.createDirectories(dir.resolve("val/dancing"));
        Files.copy(train.resolve("lying/0.png"), dir.resolve("val/dancing/0.png"));
        Files.delete(broken);
        assertThatThrownBy(() -> new ImageFineTune(options(train, "out4")
                                .fromNothing(config.toString())
                                .validation(dir.resolve("val")))
                        .run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("\"dancing\"");
        assertThatThrownBy(() -> new ImageFineTune(options(train, "out5").fromNothing("resnet19")).run())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("resnet19", "resnet20");
    }

    @Test
    void readsMedMnistArchives() throws IOException {
        Path npz = dir.resolve("tiny.npz");
        try (PointerScope scope = new PointerScope();
                var zip = new java.util.zip.ZipOutputStream(Files.newOutputStream(npz))) {
            byte[] images = new byte[3 * 2 * 2];
            images[5] = 77;
            put(zip, "train_images", "'|u1'", "(3, 2, 2)", images);
            put(zip, "train_labels", "'|u1'", "(3, 1)", new byte[] {1, 0, 1});
        }
        ImageSamples samples = ImageSamples.open(Path.of(npz + "#train"), Map.of(), OnError.FAIL);
        assertThat(samples.size()).isEqualTo(3);
        assertThat(samples.counts()).isEqualTo(Map.of("0", 1, "1", 2));
        assertThat(samples.image(1).rgb()).containsExactly(0, 0, 0, 77, 77, 77, 0, 0, 0, 0, 0, 0);
        assertThatThrownBy(() -> ImageSamples.open(Path.of(npz + "#test"), Map.of(), OnError.FAIL))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll("test_images", "train_images");
    }

    private static void put(java.util.zip.ZipOutputStream zip, String name, String type, String shape, byte[] data)
            throws IOException {
        String header = "{'descr': " + type + ", 'fortran_order': False, 'shape': " + shape + ", }";
        header += " ".repeat(117 - header.length()) + "\n";
        zip.putNextEntry(new java.util.zip.ZipEntry(name + ".npy"));
        zip.write(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (byte) header.length(), 0});
        zip.write(header.getBytes(java.nio.charset.StandardCharsets.US_ASCII));
        zip.write(data);
        zip.closeEntry();
    }

    private static Tensor get(Map<String, Tensor> tensors, String name) {
        return java.util.Objects.requireNonNull(tensors.get(name), name);
    }

    @Test
    void decodedImagesStayInMemoryWithinTheBudget() throws IOException {
        Path folder = stripes("train", 8, 1);
        for (long budget : new long[] {0, 1 << 20}) {
            ImageSamples samples = ImageSamples.open(folder, Map.of(), OnError.FAIL, budget);
            ImageSamples part = samples.select(List.of(3));
            Image first = samples.image(3), again = samples.image(3), selected = part.image(0);
            if (budget > 0) {
                assertThat(again).isSameAs(first);
                assertThat(part.image(0)).isSameAs(selected);
            } else {
                assertThat(again).isNotSameAs(first);
                assertThat(part.image(0)).isNotSameAs(selected);
            }
        }
    }

    @Test
    void announcedBatchesAreThoseAskedFor() throws IOException {
        ImageSamples samples = ImageSamples.open(stripes("train", 8, 1), Map.of(), OnError.FAIL);
        ImageProcessor processor = ImageProcessor.fromFolder(config);
        Map<Integer, String> labels = Map.of(0, "lying", 1, "standing");
        Augmentation all = new Augmentation(0.125, 0.5, 0.5, 2, 9, 0.25);
        int[][] asked = {{0, 9, 3}, {4, 12}};
        try (ImageBatches ahead =
                        new ImageBatches(samples, processor, labels, all, new Mixing(0.5, 0.5), OnError.FAIL);
                ImageBatches plain =
                        new ImageBatches(samples, processor, labels, all, new Mixing(0.5, 0.5), OnError.FAIL);
                PointerScope scope = new PointerScope()) {
            ahead.announce(List.of(asked), new SplittableRandom(5));
            SplittableRandom a = new SplittableRandom(5), b = new SplittableRandom(5);
            for (int[] indexes : asked) {
                Map<String, Tensor> x = ahead.batch(indexes, a), y = plain.batch(indexes, b);
                assertThat(get(x, "pixel_values").shape()).containsExactly(indexes.length, 3, 24, 24);
                assertThat(Tensors.floats(get(x, "pixel_values")))
                        .containsExactly(Tensors.floats(get(y, "pixel_values")));
                assertThat(Tensors.floats(get(x, "labels"))).containsExactly(Tensors.floats(get(y, "labels")));
                float[] shares = Tensors.floats(get(x, "labels"));
                for (int r = 0; r < indexes.length; r++) {
                    assertThat(shares[2 * r] + shares[2 * r + 1]).isCloseTo(1, within(1e-6f));
                }
            }
        }
    }

    @Test
    void cutmixSharesAreAreas() {
        try (PointerScope scope = new PointerScope()) {
            for (int seed = 0; seed < 20; seed++) {
                float[] pixels = new float[2 * 3 * 8 * 8];
                java.util.Arrays.fill(pixels, pixels.length / 2, pixels.length, 1f);
                Map<String, Tensor> batch = new java.util.HashMap<>(
                        Map.of("pixel_values", Tensors.float32(pixels, 2, 3, 8, 8), "labels", Tensors.int64(0, 1)));
                new Mixing(0, 1).apply(batch, 2, new SplittableRandom(seed));
                float[] mixed = Tensors.floats(get(batch, "pixel_values"));
                double foreign = 0;
                for (int i = 0; i < mixed.length / 2; i++) {
                    foreign += mixed[i];
                }
                assertThat(Tensors.floats(get(batch, "labels"))[1])
                        .isCloseTo((float) (foreign / (mixed.length / 2)), within(1e-6f));
            }
        }
    }

    @Test
    void augmentationsDoWhatTheySay() throws IOException {
        SplittableRandom random = new SplittableRandom(3);
        byte[] ramp = new byte[3 * 8 * 6];
        for (int i = 0; i < ramp.length; i++) {
            ramp[i] = (byte) (40 + i * i * 7 % 150);
        }
        Image image = new Image(8, 6, ramp, "ramp");
        assertThat(Augmentation.flipped(Augmentation.flipped(image)).rgb()).containsExactly(ramp);
        assertThat(Augmentation.flipped(image).rgb()[0]).isEqualTo(ramp[21]);
        Augmentation.Cut none = (x, left, top, width, height) -> x;
        assertThat(Augmentation.NONE.apply(image, random, none)).isSameAs(image);
        for (RandAugment operation : RandAugment.values()) {
            Image unchanged = operation.apply(image, 0, random);
            switch (operation) {
                case AUTO_CONTRAST, EQUALIZE -> {}
                default -> assertThat(unchanged.rgb()).as(operation.name()).containsExactly(ramp);
            }
            Image strong = operation.apply(image, 30, random);
            assertThat(strong.width()).isEqualTo(8);
            if (operation != RandAugment.IDENTITY && operation != RandAugment.EQUALIZE) {
                assertThat(strong.rgb()).as(operation.name()).isNotEqualTo(ramp);
            }
        }
        assertThat(RandAugment.AUTO_CONTRAST.apply(image, 9, random).rgb()[0]).isZero();
        assertThatThrownBy(() -> new Augmentation(0, 2, 0, 0, 9, 0))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("random-resized-crop");
    }

    /** The first image of a batch by hand: cut out, resized to 24 x 24. */
    private static Image once(Image image, Augmentation crops, long batchSeed) {
        long seed = new SplittableRandom(batchSeed).longs(1).toArray()[0];
        return crops.apply(
                image,
                new SplittableRandom(seed),
                (x, left, top, width, height) ->
                        x.crop(left, top, width, height).resize(24, 24, Resample.BILINEAR));
    }

    /** What is cut out comes in the model's size at once, as torchvision's recipes have it; a shape that fits no ratio gives the middle. */
    @Test
    void randomCropsAreResizedOnce() throws IOException {
        ImageProcessor processor = ImageProcessor.fromFolder(config);
        ImageSamples samples = ImageSamples.open(stripes("train", 4, 1), Map.of(), OnError.FAIL);
        Augmentation crops = new Augmentation(0, 0.3, 0, 0, 9, 0);
        List<int[]> cuts = new ArrayList<>();
        SplittableRandom random = new SplittableRandom(5);
        try (ImageBatches batches = new ImageBatches(
                        samples, processor, Map.of(0, "lying", 1, "standing"), crops, null, OnError.FAIL);
                PointerScope scope = new PointerScope();
                ImageBatch wanted = processor.batch(
                        List.of(once(samples.image(2), crops, new SplittableRandom(5).nextLong())), true)) {
            Map<String, Tensor> batch = batches.batch(new int[] {2}, random);
            assertThat(get(batch, "pixel_values").shape()).containsExactly(1, 3, 24, 24);
            assertThat(Tensors.floats(get(batch, "pixel_values")))
                    .containsExactly(Tensors.floats(wanted.pixelValues()));
        }
        Image wide = new Image(90, 8, new byte[3 * 90 * 8], "wide");
        cuts.clear();
        new Augmentation(0, 0.99, 0, 0, 9, 0).apply(wide, new SplittableRandom(1), (x, l, t, w, h) -> {
            cuts.add(new int[] {l, t, w, h});
            return x;
        });
        assertThat(cuts.get(0)).containsExactly(39, 0, 11, 8); // torchvision: 4 : 3 of the middle
    }

    @Test
    void smallSubsetsHoldEachClass() throws IOException {
        ImageSamples samples = ImageSamples.open(stripes("train", 10, 1), Map.of(), OnError.FAIL);
        assertThat(samples.balanced(6, 7).counts()).isEqualTo(Map.of("lying", 3, "standing", 3));
        assertThat(samples.split(0.2, 7).get(1).counts()).isEqualTo(Map.of("lying", 2, "standing", 2));
    }
}
