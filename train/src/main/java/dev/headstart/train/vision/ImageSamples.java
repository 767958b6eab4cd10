package dev.headstart.train.vision;

import dev.headstart.HeadstartException;
import dev.headstart.data.Columns;
import dev.headstart.data.Columns.Role;
import dev.headstart.data.OnError;
import dev.headstart.data.Problems;
import dev.headstart.data.ReadOptions;
import dev.headstart.data.Row;
import dev.headstart.data.RowReader;
import dev.headstart.io.Npy;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Ops;
import dev.headstart.train.Shuffle;
import dev.headstart.vision.Image;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Labelled images by index. They come from class folders, a table with the columns image and label (csv, jsonl, Parquet; paths relative to it), or a
 * {@code .npz} archive in MedMNIST's layout ({@code FILE.npz#train} reads train_images and train_labels). Decoded images stay in memory while they fit
 * into the budget. Thread-safe once made.
 */
final class ImageSamples {
    private static final Logger LOG = LoggerFactory.getLogger(ImageFineTune.class);

    private final List<Supplier<Image>> sources;
    private final List<String> labels;
    private final @Nullable Image[] decoded;
    private final long budget;
    private final AtomicLong room;

    private ImageSamples(List<Supplier<Image>> sources, List<String> labels, long budget) {
        this.budget = budget;
        this.room = new AtomicLong(budget);
        this.sources = List.copyOf(sources);
        this.labels = List.copyOf(labels);
        this.decoded = new Image[sources.size()];
    }

    /**
     * Finds the images and their labels; decodes nothing yet.
     *
     * @param location folder, table or {@code FILE.npz#SPLIT}
     * @param columns which columns are image and label, where their names do not say so
     * @param onError what to do with rows that cannot be read; null: the first one ends it
     * @throws HeadstartException when there are none, or rows lack a label
     */
    static ImageSamples open(Path location, Map<Role, String> columns, @Nullable OnError onError) {
        return open(location, columns, onError, ImageFineTuneOptions.IMAGE_MEMORY);
    }

    /** The same. @param budget bytes of decoded images that are kept */
    static ImageSamples open(Path location, Map<Role, String> columns, @Nullable OnError onError, long budget) {
        String name = location.toString();
        int mark = name.lastIndexOf(".npz#");
        if (mark >= 0) {
            return archive(Path.of(name.substring(0, mark + 4)), name.substring(mark + 5));
        }
        if (name.endsWith(".npz")) {
            throw new HeadstartException(name + ": say which part of the archive, such as " + name + "#train");
        }
        List<Supplier<Image>> sources = new ArrayList<>();
        List<String> labels = new ArrayList<>();
        try (RowReader reader = RowReader.open(location, ReadOptions.defaults().withOnError(onError))) {
            Columns found = Columns.infer(reader, columns, List.of(Role.IMAGE, Role.LABEL), List.of());
            Path base = Files.isDirectory(location)
                    ? Path.of("")
                    : location.toAbsolutePath().resolveSibling("");
            for (Row row : reader.readAll()) {
                Path file = base.resolve(row.text(found.get(Role.IMAGE)));
                if (!Files.exists(file)) {
                    reader.problems().report("missing file", row.where() + ": no image " + file);
                    continue;
                }
                sources.add(() -> Image.read(file));
                labels.add(row.text(found.get(Role.LABEL)));
            }
        }
        if (sources.isEmpty()) {
            throw new HeadstartException(location + ": no images; expected class folders of images, or a table with the"
                    + " columns image and label");
        }
        return new ImageSamples(sources, labels, budget);
    }

    /** MedMNIST: SPLIT_images [N, H, W] or [N, H, W, 3] and SPLIT_labels [N] or [N, 1], unsigned bytes. */
    private static ImageSamples archive(Path file, String split) {
        Map<String, Tensor> all = Npy.readArchive(file);
        try (PointerScope scope = new PointerScope()) {
            Tensor images = all.get(split + "_images"), classes = all.get(split + "_labels");
            if (images == null || classes == null) {
                throw new HeadstartException(file + "#" + split + ": expected arrays " + split + "_images and " + split
                        + "_labels, found " + all.keySet());
            }
            boolean grey = images.dim() == 3;
            if (Ops.type(images) != ScalarType.Byte || !grey && (images.dim() != 4 || images.size(3) != 3)) {
                throw new HeadstartException(file + ": " + split
                        + "_images: expected bytes of shape [N, H, W] or [N, H, W, 3], found "
                        + Ops.type(images) + " " + Arrays.toString(images.shape()));
            }
            int n = (int) images.size(0), height = (int) images.size(1), width = (int) images.size(2);
            if (classes.numel() != n) {
                throw new HeadstartException(file + ": " + n + " images, but " + classes.numel()
                        + " labels; archives with several labels an image are not supported");
            }
            long[] label = Tensors.longs(classes);
            byte[] bytes = new byte[Math.toIntExact(images.numel())];
            new BytePointer(images.contiguous().data_ptr())
                    .capacity(bytes.length)
                    .get(bytes);
            List<Supplier<Image>> sources = new ArrayList<>();
            List<String> labels = new ArrayList<>();
            int size = bytes.length / n;
            for (int i = 0; i < n; i++) {
                byte[] rgb = Arrays.copyOfRange(bytes, i * size, (i + 1) * size);
                Image image = new Image(width, height, grey ? tripled(rgb) : rgb, file + "#" + split + " image " + i);
                sources.add(() -> image);
                labels.add(Long.toString(label[i]));
            }
            return new ImageSamples(sources, labels, 0); // which are in memory already
        } finally {
            all.values().forEach(Tensor::close);
        }
    }

    private static byte[] tripled(byte[] grey) {
        byte[] rgb = new byte[3 * grey.length];
        for (int i = 0; i < rgb.length; i++) {
            rgb[i] = grey[i / 3];
        }
        return rgb;
    }

    int size() {
        return sources.size();
    }

    /** The label of an image as the data names it. */
    String label(int index) {
        return labels.get(index);
    }

    /** The image, decoded now if it is not in memory. */
    Image image(int index) {
        Image known = decoded[index];
        if (known != null) {
            return known;
        }
        Image image = sources.get(index).get();
        if (room.addAndGet(-image.rgb().length) >= 0) {
            decoded[index] = image;
        }
        return image;
    }

    /** How often each label occurs, in the labels' order. */
    Map<String, Integer> counts() {
        Map<String, Integer> counts = new LinkedHashMap<>();
        labels.stream().sorted().forEach(l -> counts.merge(l, 1, Integer::sum));
        return counts;
    }

    /**
     * Decodes everything once, in parallel, so that unreadable files are known before training starts.
     *
     * @return the readable ones
     * @throws HeadstartException naming the first unreadable file, unless such files are to be skipped; or when none is left
     */
    ImageSamples checked(OnError onError) {
        @Nullable HeadstartException[] failures = new HeadstartException[size()];
        IntStream.range(0, size()).parallel().forEach(i -> {
            try {
                image(i);
            } catch (HeadstartException e) {
                failures[i] = e;
            }
        });
        Problems problems = new Problems(onError);
        List<Integer> good = new ArrayList<>();
        for (int i = 0; i < size(); i++) {
            HeadstartException failure = failures[i];
            if (failure == null) {
                good.add(i);
            } else {
                problems.report("unreadable image", String.valueOf(failure.getMessage()));
            }
        }
        if (problems.skipped() > 0) {
            LOG.warn("{}", problems.summary());
        }
        if (good.isEmpty()) {
            throw new HeadstartException("none of the " + size() + " images can be read");
        }
        return good.size() == size() ? this : select(good);
    }

    /** These images in this order; what is decoded stays so. */
    ImageSamples select(List<Integer> indexes) {
        ImageSamples part = new ImageSamples(
                indexes.stream().map(sources::get).toList(),
                indexes.stream().map(labels::get).toList(),
                budget);
        for (int i = 0; i < indexes.size(); i++) {
            part.decoded[i] = decoded[indexes.get(i)];
        }
        return part;
    }

    /** The first so many of an order drawn with a fixed seed, equally many of each class as far as they go. */
    ImageSamples balanced(int most, long seed) {
        if (most <= 0 || most >= size()) {
            return this;
        }
        Map<String, List<Integer>> byLabel = new java.util.TreeMap<>();
        for (int i : shuffled(seed)) {
            byLabel.computeIfAbsent(labels.get(i), l -> new ArrayList<>()).add(i);
        }
        List<Integer> chosen = new ArrayList<>();
        for (int round = 0; chosen.size() < most; round++) {
            for (List<Integer> own : byLabel.values()) {
                if (round < own.size() && chosen.size() < most) {
                    chosen.add(own.get(round));
                }
            }
        }
        Collections.sort(chosen);
        return select(chosen);
    }

    /** Two parts, drawn with a fixed seed: the rest, and the given share of each class. */
    List<ImageSamples> split(double share, long seed) {
        Map<String, List<Integer>> byLabel = new java.util.TreeMap<>();
        for (int i : shuffled(seed)) {
            byLabel.computeIfAbsent(labels.get(i), l -> new ArrayList<>()).add(i);
        }
        List<Integer> rest = new ArrayList<>(), aside = new ArrayList<>();
        byLabel.values().forEach(own -> {
            int n = (int) Math.round(own.size() * share);
            aside.addAll(own.subList(0, n));
            rest.addAll(own.subList(n, own.size()));
        });
        if (aside.isEmpty() || rest.isEmpty()) {
            throw new HeadstartException("cannot set aside " + share + " of " + size()
                    + " images for validation; give --validation FOLDER, or another --validation-split");
        }
        Collections.sort(rest);
        Collections.sort(aside);
        return List.of(select(rest), select(aside));
    }

    private int[] shuffled(long seed) {
        return Shuffle.of(IntStream.range(0, size()).toArray(), new SplittableRandom(seed));
    }
}
