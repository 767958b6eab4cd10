package dev.headstart.models;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.TensorSource;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * ResNets under the names of torchvision and timm ({@code conv1}, {@code layer1.0.bn2}, {@code downsample.0}, {@code fc}) and of the CIFAR-10 ResNets of
 * the original paper ({@code linear}, shortcuts without weights). Depths, widths, groups, stem and shortcut are read from the tensors' shapes, so
 * ResNet-18 to 152, ResNeXt, Wide ResNet and the CIFAR ResNets load alike.
 */
final class TorchResNetNames {
    private static final String[] NORM = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"};

    private final TensorSource source;
    private final Map<String, String> names = new LinkedHashMap<>(); // without "module." -> in the file
    private final Set<String> left = new TreeSet<>();
    private final RenamedSource renamed;

    private final String out;

    private TorchResNetNames(TensorSource source, String in, String out) {
        this.source = source;
        this.out = out;
        renamed = new RenamedSource(source);
        for (String name : source.names()) {
            if (!name.startsWith(in)) {
                renamed.put(name, name);
                continue;
            }
            String plain = name.substring(in.length()).replaceFirst("^(state_dict\\.)?(module\\.)?", "");
            names.put(plain, name);
            left.add(plain);
        }
    }

    /** Whether the checkpoint has these names. */
    static boolean fits(TensorSource source) {
        return source.names().stream().anyMatch(n -> n.endsWith("layer1.0.conv1.weight"));
    }

    /**
     * The checkpoint under transformers' names.
     *
     * @param config receives the fields of a ResNetConfig; what it holds already stays
     * @throws HeadstartException when the checkpoint is of a variant with other layers
     */
    static TensorSource adapt(TensorSource source, ConfigJson config) {
        return new TorchResNetNames(source, "", "resnet.").run(config);
    }

    /** A part of a checkpoint, all of whose names begin with {@code prefix}, under transformers' names and the same prefix; the rest stays. */
    static TensorSource adapt(TensorSource source, ConfigJson config, String prefix) {
        return new TorchResNetNames(source, prefix, prefix).run(config);
    }

    private @Nullable List<Long> shape(String name) {
        String original = names.get(name);
        return original == null ? null : source.info(original).shape();
    }

    private List<Long> need(String name) {
        List<Long> shape = shape(name);
        if (shape == null) {
            throw new HeadstartException(
                    source.fileOf(source.names().iterator().next()) + ": this ResNet has no tensor " + name
                            + "; known are ResNet, ResNeXt and Wide ResNet of torchvision and timm (without attention or antialiasing) and the CIFAR ResNets");
        }
        return shape;
    }

    private void move(String name, String original) {
        need(original);
        renamed.put(
                name.replaceFirst("^resnet\\.", java.util.regex.Matcher.quoteReplacement(out)),
                java.util.Objects.requireNonNull(names.get(original)));
        left.remove(original);
    }

    private void norm(String name, String original) {
        for (String field : NORM) {
            if (!field.equals("num_batches_tracked") || shape(original + "." + field) != null) {
                move(name + "." + field, original + "." + field);
            }
        }
    }

    private TensorSource run(ConfigJson config) {
        List<Long> stems = new ArrayList<>(); // of a deep stem all but the last
        boolean deep = shape("conv1.0.weight") != null;
        for (int i = 0; shape("conv1." + (3 * i + 1) + ".weight") != null; i++) {
            stems.add(need("conv1." + 3 * i + ".weight").get(0));
            move("resnet.embedder.stem." + i + ".convolution.weight", "conv1." + 3 * i + ".weight");
            norm("resnet.embedder.stem." + i + ".normalization", "conv1." + (3 * i + 1));
        }
        String last = deep ? "conv1." + 3 * stems.size() + ".weight" : "conv1.weight";
        List<Long> stem = need(last);
        long channels = need(deep ? "conv1.0.weight" : "conv1.weight").get(1);
        boolean cifar = !deep && stem.get(2) == 3;
        boolean bottleneck = shape("layer1.0.conv3.weight") != null;
        move("resnet.embedder.embedder.convolution.weight", last);
        norm("resnet.embedder.embedder.normalization", "bn1");
        List<Long> hidden = new ArrayList<>(), depths = new ArrayList<>(), inner = new ArrayList<>();
        long groups = 1, in = stem.get(0);
        String shortcut = "";
        for (int i = 1; shape("layer" + i + ".0.conv1.weight") != null; i++) {
            int j = 0;
            long width = 0, out = 0;
            for (; shape("layer" + i + "." + j + ".conv1.weight") != null; j++) {
                String from = "layer" + i + "." + j, to = "resnet.encoder.stages." + (i - 1) + ".layers." + j;
                for (int k = 1; k <= (bottleneck ? 3 : 2); k++) {
                    move(to + ".layer." + (k - 1) + ".convolution.weight", from + ".conv" + k + ".weight");
                    norm(to + ".layer." + (k - 1) + ".normalization", from + ".bn" + k);
                }
                List<Long> second = need(from + ".conv2.weight");
                width = need(from + ".conv1.weight").get(0);
                out = need(from + ".conv" + (bottleneck ? 3 : 2) + ".weight").get(0);
                groups = Math.max(groups, width / second.get(1));
                if (shape(from + ".downsample.2.weight") != null) { // a mean without weights comes first
                    shortcut = "D";
                    move(to + ".shortcut.convolution.weight", from + ".downsample.1.weight");
                    norm(to + ".shortcut.normalization", from + ".downsample.2");
                } else if (shape(from + ".downsample.0.weight") != null) {
                    move(to + ".shortcut.convolution.weight", from + ".downsample.0.weight");
                    norm(to + ".shortcut.normalization", from + ".downsample.1");
                } else if (shape(from + ".shortcut.0.weight") != null) {
                    move(to + ".shortcut.convolution.weight", from + ".shortcut.0.weight");
                    norm(to + ".shortcut.normalization", from + ".shortcut.1");
                } else if (j == 0 && in != out) {
                    shortcut = "A";
                }
                in = out;
            }
            hidden.add(out);
            inner.add(width);
            depths.add((long) j);
        }
        String head = shape("linear.weight") != null ? "linear" : "fc";
        boolean classifies = shape(head + ".weight") != null;
        if (classifies) {
            move("classifier.1.weight", head + ".weight");
            move("classifier.1.bias", head + ".bias");
        }
        if (!left.isEmpty()) {
            throw new HeadstartException(source.fileOf(source.names().iterator().next())
                    + ": this ResNet has tensors that no known variant has: "
                    + String.join(", ", left.stream().limit(5).toList())
                    + "; known are ResNet, ResNeXt and Wide ResNet of torchvision and timm and the CIFAR ResNets");
        }
        ObjectNode c = config.node();
        c.put("model_type", "resnet");
        c.putArray("architectures").add(classifies ? "ResNetForImageClassification" : "ResNetModel");
        c.put("num_channels", channels);
        c.put("embedding_size", stem.get(0));
        list(c, "hidden_sizes", hidden);
        list(c, "depths", depths);
        c.put("layer_type", bottleneck ? "bottleneck" : "basic");
        boolean plain = groups == 1;
        for (int i = 0; i < hidden.size(); i++) {
            plain &= !bottleneck || inner.get(i) * 4 == hidden.get(i);
        }
        if (!plain) {
            c.put("groups", groups);
            list(c, "bottleneck_sizes", inner);
        }
        if (cifar) {
            c.put("stem", "cifar");
        } else if (deep) {
            c.put("stem", "deep");
            list(c, "stem_sizes", stems);
        }
        if (!shortcut.isEmpty()) {
            c.put("shortcut", shortcut);
        }
        if (classifies && !config.has("id2label")) {
            c.put("num_labels", need(head + ".weight").get(0));
        }
        return renamed;
    }

    private static void list(ObjectNode c, String field, List<Long> values) {
        ArrayNode array = c.putArray(field);
        values.forEach(array::add);
    }
}
