package dev.headstart.hub;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.PathMatcher;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Which files of a model are wanted. A model on the hub often holds its weights several times over (msgpack, h5, onnx, bin, safetensors);
 * {@link #MODEL} takes one copy that Headstart reads, and everything small that belongs to it.
 */
public final class FileSelection {
    /** Configuration, tokenizer or processor, and weights. */
    public static final FileSelection MODEL = new FileSelection(true, "", List.of());

    /** Configuration and tokenizer or processor, without weights. */
    public static final FileSelection NO_WEIGHTS = new FileSelection(false, "", List.of());

    private static final int MAX_INDEX_ENTRIES = 1_000_000;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern SMALL = Pattern.compile("config\\.json|generation_config\\.json"
            + "|tokenizer\\.json|tokenizer_config\\.json|special_tokens_map\\.json|added_tokens\\.json"
            + "|(target_)?vocab\\.(txt|json)|merges\\.txt|[\\w.-]+\\.model|(source|target)\\.spm|[\\w.-]+\\.tiktoken|normalizer\\.json"
            + "|preprocessor_config\\.json|processor_config\\.json|image_processor\\.json|feature_extractor\\.json"
            + "|video_preprocessor_config\\.json"
            + "|chat_template\\.(jinja|json)|modules\\.json|sentence_[\\w-]*config\\.json|config_sentence_transformers\\.json"
            + "|adapter_config\\.json|headstart_[\\w]+\\.json|README\\.md|LICENSE(\\.\\w+)?|NOTICE(\\.\\w+)?");

    /** Names that stand for a tokenizer or a processor: a model without any of them cannot be fed. */
    private static final Pattern FEEDS = Pattern.compile("tokenizer\\.json|tokenizer_config\\.json|vocab\\.(txt|json)"
            + "|[\\w.-]+\\.model|preprocessor_config\\.json|processor_config\\.json|image_processor\\.json");

    private final boolean weights;
    private final String prefix;
    private final List<PathMatcher> patterns;

    private FileSelection(boolean weights, String prefix, List<PathMatcher> patterns) {
        this.weights = weights;
        this.prefix = prefix;
        this.patterns = patterns;
    }

    /** Files whose path in the model's folder matches one of these glob patterns ({@code *.json}, {@code onnx/**}). */
    public static FileSelection matching(String... globs) {
        return new FileSelection(
                false,
                "",
                Arrays.stream(globs)
                        .map(g -> FileSystems.getDefault().getPathMatcher("glob:" + g))
                        .toList());
    }

    /** The same kinds of files, of a folder inside the model's folder. */
    public FileSelection in(@Nullable String subfolder) {
        if (subfolder == null || subfolder.isEmpty()) {
            return this;
        }
        return new FileSelection(
                weights, SafePaths.check(subfolder.replaceAll("/+$", ""), "subfolder") + "/", patterns);
    }

    /** Reads a small file of the model; used for the lists of other files: modules.json and the indexes of sharded weights. */
    interface Reader {
        byte[] read(String name) throws IOException;
    }

    /**
     * What a selection comes to.
     *
     * @param files wanted files that exist
     * @param missing what ought to exist but does not
     * @param feeds whether there is a tokenizer or a processor
     */
    record Choice(Set<String> files, Set<String> missing, boolean feeds) {
        boolean complete() {
            return missing.isEmpty();
        }
    }

    /** Chooses among all {@code names} of a model. */
    Choice choose(Collection<String> names, Reader reader) throws IOException {
        Set<String> all = new TreeSet<>(names);
        Set<String> files = new LinkedHashSet<>();
        Set<String> missing = new LinkedHashSet<>();
        if (!patterns.isEmpty()) {
            for (String name : all) {
                if (name.startsWith(prefix)
                        && patterns.stream()
                                .anyMatch(p ->
                                        p.matches(FileSystems.getDefault().getPath(name.substring(prefix.length()))))) {
                    files.add(name);
                }
            }
            if (files.isEmpty()) {
                missing.add("any file of the patterns that were asked for");
            }
            return new Choice(files, missing, true);
        }
        chooseFolder(prefix, all, files, missing, reader, true);
        boolean feeds = files.stream()
                .anyMatch(
                        n -> FEEDS.matcher(n.substring(n.lastIndexOf('/') + 1)).matches());
        return new Choice(files, missing, feeds);
    }

    private void chooseFolder(
            String folder, Set<String> all, Set<String> files, Set<String> missing, Reader reader, boolean model)
            throws IOException {
        for (String name : all) {
            if (name.startsWith(folder)) {
                String rest = name.substring(folder.length());
                if (SMALL.matcher(rest).matches() || rest.matches("additional_chat_templates/[\\w.-]+\\.jinja")) {
                    files.add(name);
                }
            }
        }
        boolean modelHere = model;
        if (all.contains(folder + "modules.json") && model) {
            modelHere = false;
            for (JsonNode module : json(folder + "modules.json", reader)) {
                String path = module.path("path").asText("");
                boolean transformer = module.path("type").asText("").endsWith("Transformer");
                if (path.isEmpty()) {
                    modelHere |= transformer;
                } else {
                    SafePaths.check(path, folder + "modules.json");
                    chooseFolder(folder + path + "/", all, files, missing, reader, transformer);
                }
            }
        }
        if (modelHere && !all.contains(folder + "config.json") && !all.contains(folder + "adapter_config.json")) {
            missing.add(folder + "config.json");
        }
        if (weights) {
            chooseWeights(folder, all, files, missing, reader, modelHere);
        }
    }

    /** One copy of the weights, in transformers' order of preference. */
    private static void chooseWeights(
            String folder, Set<String> all, Set<String> files, Set<String> missing, Reader reader, boolean required)
            throws IOException {
        boolean found = take(folder + "adapter_model.safetensors", all, files)
                || take(folder + "adapter_model.bin", all, files);
        for (String name : List.of("model.safetensors", "pytorch_model.bin")) {
            if (take(folder + name, all, files)) {
                return;
            }
            String index = folder + name + ".index.json";
            if (take(index, all, files)) {
                for (String shard : shards(index, reader)) {
                    if (!take(folder + shard, all, files)) {
                        missing.add(folder + shard);
                    }
                }
                return;
            }
        }
        if (required && !found) {
            missing.add(folder + "model.safetensors (or pytorch_model.bin)");
        }
    }

    private static boolean take(String name, Set<String> all, Set<String> files) {
        return all.contains(name) && (files.add(name) || true);
    }

    /** The files that an index of sharded weights names: plain names beside it, nothing else. */
    private static Set<String> shards(String index, Reader reader) throws IOException {
        Set<String> shards = new TreeSet<>();
        JsonNode map = json(index, reader).path("weight_map");
        if (!map.isObject() || map.isEmpty() || map.size() > MAX_INDEX_ENTRIES) {
            throw new HeadstartException(index + ": expected weight_map to name the file of each tensor, found "
                    + (map.isMissingNode() ? "no weight_map" : map.getNodeType() + " with " + map.size() + " entries")
                    + "; fetch the model again");
        }
        for (JsonNode file : map) {
            String name = file.asText("");
            if (name.contains("/")) {
                throw new HeadstartException(
                        index + ": names the file '" + name + "', but weights must lie beside their index");
            }
            shards.add(SafePaths.check(name, index));
        }
        return shards;
    }

    private static JsonNode json(String name, Reader reader) throws IOException {
        try {
            return JSON.readTree(reader.read(name));
        } catch (JsonProcessingException e) {
            throw new HeadstartException(
                    name + " is not JSON (" + e.getOriginalMessage() + "); fetch the model again", e);
        }
    }
}
