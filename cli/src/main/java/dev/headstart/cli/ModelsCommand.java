package dev.headstart.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.hub.CachedModel;
import dev.headstart.hub.Hub;
import dev.headstart.hub.ModelFolder;
import dev.headstart.train.finetune.DataHash;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** The models on this machine: list, look at, fetch, remove. */
@Command(
        name = "models",
        description = "Lists, shows, fetches and removes the models in this machine's caches.",
        subcommands = {
            ModelsCommand.ListModels.class,
            ModelsCommand.Info.class,
            ModelsCommand.Fetch.class,
            ModelsCommand.Prune.class
        })
final class ModelsCommand implements Runnable {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Spec
    private @Nullable CommandSpec spec;

    @Override
    public void run() {
        throw new ParameterException(
                Objects.requireNonNull(spec).commandLine(), "give one of list, info, fetch, prune");
    }

    private static PrintWriter out(@Nullable CommandSpec spec) {
        return Objects.requireNonNull(spec).commandLine().getOut();
    }

    private static String pretty(Object value) {
        try {
            return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Hub hub(boolean offline) {
        Hub standard = Hub.standard();
        return offline ? Hub.of(standard.options().withOffline(true)) : standard;
    }

    private static String place(CachedModel model) {
        return model.place() == CachedModel.Place.OWN ? "headstart" : "shared";
    }

    private static Map<String, @Nullable Object> facts(CachedModel model) {
        Map<String, @Nullable Object> facts = new LinkedHashMap<>();
        facts.put("id", model.id());
        facts.put("revision", model.revision());
        facts.put("names", model.names());
        facts.put("cache", place(model));
        facts.put("path", model.path().toString());
        facts.put("bytes", model.bytes());
        facts.put("files", model.files());
        facts.put("origin", model.origin());
        facts.put("modified", model.modified().toString());
        return facts;
    }

    // === list ===

    /** All caches, with sizes and where each model came from. */
    @Command(name = "list", description = "Lists the models of all caches, with size and origin.")
    static final class ListModels implements Callable<Integer> {
        @Option(names = "--json", description = "Print a JSON array.")
        private boolean json;

        @Spec
        private @Nullable CommandSpec spec;

        @Override
        public Integer call() {
            List<CachedModel> models = Hub.standard().cached();
            PrintWriter out = out(spec);
            if (json) {
                out.println(pretty(models.stream().map(ModelsCommand::facts).toList()));
                return 0;
            }
            if (models.isEmpty()) {
                out.println("no models yet: headstart models fetch bert-base-uncased");
            }
            int width = models.stream().mapToInt(m -> m.id().length()).max().orElse(0);
            for (CachedModel model : models) {
                String revision = model.revision().length() == 40
                        ? model.revision().substring(0, 7) + (model.names().isEmpty() ? "" : " " + model.names())
                        : model.revision();
                out.printf(
                        "%-" + width + "s  %8s  %-9s  %-16s  %s%n",
                        model.id(),
                        Sizes.text(model.bytes()),
                        place(model),
                        revision,
                        model.origin());
            }
            List<String> zoo = Hub.standard().zoo();
            if (!zoo.isEmpty()) {
                out.println("zoo (no download): " + String.join(", ", zoo));
            }
            return 0;
        }
    }

    // === info ===

    /** One model: what it is, its files with their hashes, its licence. */
    @Command(
            name = "info",
            description = "Shows a model on this machine: configuration, files with sha256, licence, origin.")
    static final class Info implements Callable<Integer> {
        @Parameters(paramLabel = "ID", description = "A folder or a model's name.")
        private String id = "";

        @Option(names = "--json", description = "Print one JSON object.")
        private boolean json;

        @Spec
        private @Nullable CommandSpec spec;

        @Override
        public Integer call() throws IOException {
            ModelFolder folder = hub(true).resolve(id);
            Map<String, @Nullable Object> info = new LinkedHashMap<>();
            info.put("id", id);
            info.put("path", folder.path().toString());
            JsonNode config = read(folder.path().resolve("config.json"));
            for (String field : List.of(
                    "architectures",
                    "model_type",
                    "vocab_size",
                    "hidden_size",
                    "d_model",
                    "num_hidden_layers",
                    "num_attention_heads",
                    "max_position_embeddings",
                    "id2label",
                    "torch_dtype")) {
                if (config.hasNonNull(field)) {
                    info.put(field, config.get(field));
                }
            }
            JsonNode origin = read(folder.path().resolve("headstart_origin.json"));
            info.put(
                    "license",
                    origin.hasNonNull("license") ? origin.get("license").asText() : licence(folder.path()));
            if (!origin.isEmpty()) {
                info.put("origin", origin);
            }
            List<Map<String, Object>> files = new ArrayList<>();
            long total = 0;
            try (Stream<Path> walk = Files.walk(folder.path(), 4, FileVisitOption.FOLLOW_LINKS)) {
                for (Path file : walk.filter(Files::isRegularFile).sorted().toList()) {
                    Map<String, Object> entry = new LinkedHashMap<>();
                    entry.put("name", folder.path().relativize(file).toString().replace('\\', '/'));
                    entry.put("bytes", Files.size(file));
                    entry.put("sha256", DataHash.of(file));
                    files.add(entry);
                    total += Files.size(file);
                }
            }
            info.put("bytes", total);
            info.put("files", files);
            PrintWriter out = out(spec);
            if (json) {
                out.println(pretty(info));
                return 0;
            }
            info.remove("files");
            info.put("bytes", Sizes.text(total));
            info.forEach((name, value) -> out.printf("%-24s %s%n", name, value == null ? "not stated" : value));
            for (Map<String, Object> file : files) {
                out.printf(
                        "  %-36s %8s  %s%n",
                        file.get("name"),
                        Sizes.text(((Number) file.getOrDefault("bytes", 0L)).longValue()),
                        file.get("sha256"));
            }
            return 0;
        }

        private static JsonNode read(Path file) throws IOException {
            try {
                JsonNode node = Files.isRegularFile(file) ? JSON.readTree(file.toFile()) : null;
                return node == null ? JSON.createObjectNode() : node;
            } catch (JsonProcessingException e) {
                throw new HeadstartException(
                        file + " is not JSON (" + e.getOriginalMessage() + "); fetch the model again", e);
            }
        }

        /** The {@code license:} line of the card's head, between the two lines of dashes. */
        private static @Nullable String licence(Path folder) throws IOException {
            Path card = folder.resolve("README.md");
            if (!Files.isRegularFile(card) || Files.size(card) > 10_000_000) {
                return null;
            }
            String text = new String(Files.readAllBytes(card), StandardCharsets.UTF_8);
            List<String> lines = text.lines().limit(200).toList();
            if (lines.isEmpty() || !lines.get(0).strip().equals("---")) {
                return null;
            }
            for (String line : lines.subList(1, lines.size())) {
                if (line.strip().equals("---")) {
                    return null;
                }
                if (line.startsWith("license:")) {
                    return line.substring("license:".length()).strip().replace("\"", "");
                }
            }
            return null;
        }
    }

    // === fetch ===

    /** Brings models here. */
    @Command(
            name = "fetch",
            description = {
                "Brings models here, or their newest version.",
                "ID is a name, name@revision, or maven:group:artifact:version (with #sha256=... to pin it). Prints each model's"
                        + " folder."
            })
    static final class Fetch implements Callable<Integer> {
        @Parameters(paramLabel = "ID", arity = "1..*", description = "What to fetch.")
        private List<String> ids = List.of();

        @Option(names = "--offline", description = "Contact nothing: says whether the models are here.")
        private boolean offline;

        @Option(names = "--json", description = "Print a JSON array.")
        private boolean json;

        @Spec
        private @Nullable CommandSpec spec;

        @Override
        public Integer call() {
            List<Map<String, String>> results = new ArrayList<>();
            for (String id : ids) {
                Path path = hub(offline).fetch(id).path();
                if (json) {
                    results.add(Map.of("id", id, "path", path.toString()));
                } else {
                    out(spec).println(path);
                }
            }
            if (json) {
                out(spec).println(pretty(results));
            }
            return 0;
        }
    }

    // === prune ===

    /** Removes models. */
    @Command(
            name = "prune",
            description = {
                "Removes models from Headstart's own cache: those named, or all.",
                "The cache shared with Python is touched only with --shared, and then only models that are named. Maven's local"
                        + " repository is never touched."
            })
    static final class Prune implements Callable<Integer> {
        @Parameters(
                paramLabel = "ID",
                arity = "0..*",
                description = "Models to remove; all of the own cache when none is named.")
        private List<String> ids = List.of();

        @Option(names = "--shared", description = "Remove the named models from the shared Hugging Face cache too.")
        private boolean shared;

        @Option(names = "--yes", description = "Do not ask.")
        private boolean yes;

        @Option(names = "--json", description = "Print one JSON object.")
        private boolean json;

        @Spec
        private @Nullable CommandSpec spec;

        @Override
        public Integer call() throws IOException {
            if (shared && ids.isEmpty()) {
                throw new ParameterException(
                        Objects.requireNonNull(spec).commandLine(), "--shared removes named models only; name them");
            }
            Hub hub = Hub.standard();
            List<CachedModel> all = hub.cached();
            List<CachedModel> chosen = all.stream()
                    .filter(m -> m.place() == CachedModel.Place.OWN || shared)
                    .filter(m -> ids.isEmpty() || ids.stream().anyMatch(id -> names(m, id)))
                    .toList();
            for (String id : ids) {
                if (chosen.stream().noneMatch(m -> names(m, id))) {
                    boolean elsewhere = all.stream().anyMatch(m -> names(m, id));
                    throw new HeadstartException(
                            "'" + id + "' is not in " + hub.options().ownCache()
                                    + (elsewhere
                                            ? "; it is in the shared cache: add --shared to remove it there"
                                            : "; see headstart models list"));
                }
            }
            PrintWriter err = Objects.requireNonNull(spec).commandLine().getErr();
            long bytes = chosen.stream().mapToLong(CachedModel::bytes).sum();
            if (!chosen.isEmpty() && !yes) {
                chosen.forEach(m -> err.println("  " + m.id() + "  " + Sizes.text(m.bytes()) + "  " + m.path()));
                err.print("remove " + chosen.size() + " (" + Sizes.text(bytes) + ")? [y/N] ");
                err.flush();
                String answer = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).readLine();
                if (answer == null
                        || !answer.strip().toLowerCase(java.util.Locale.ROOT).matches("y|yes")) {
                    throw new HeadstartException("nothing was removed; answer y, or give --yes");
                }
            }
            long freed = 0;
            for (CachedModel model : chosen) {
                freed += hub.remove(model);
            }
            if (json) {
                out(spec)
                        .println(pretty(Map.of(
                                "removed",
                                chosen.stream().map(ModelsCommand::facts).toList(),
                                "freed_bytes",
                                freed)));
            } else {
                out(spec).println("removed " + chosen.size() + ", freed " + Sizes.text(freed));
            }
            return 0;
        }

        /** {@code id}, {@code id@revision}, or the last part of either. */
        private static boolean names(CachedModel model, String asked) {
            int at = asked.indexOf('@');
            String id = at < 0 ? asked : asked.substring(0, at);
            String revision = at < 0 ? null : asked.substring(at + 1);
            boolean sameId = model.id().equals(id) || model.id().endsWith("/" + id);
            return sameId
                    && (revision == null
                            || model.revision().startsWith(revision)
                            || model.names().contains(revision));
        }
    }
}
