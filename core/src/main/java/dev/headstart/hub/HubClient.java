package dev.headstart.hub;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** Asks the hub what a model holds, and fetches it into the shared cache, as huggingface_hub's snapshot_download does. */
final class HubClient {
    private static final int ATTEMPTS = 5;
    private static final long MAX_ANSWER = 64L << 20;
    private static final Duration LONGEST_WAIT = Duration.ofMinutes(2);
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Hubs that did not answer in this process, with what happened: nobody waits for the same silence twice. */
    private static final Map<String, String> SILENT = new ConcurrentHashMap<>();

    private final HubOptions options;
    private final HfCache cache;
    private final HubHttp http;

    HubClient(HubOptions options, HfCache cache) {
        this.options = options;
        this.cache = cache;
        http = new HubHttp(options);
    }

    /** A commit and all files in it. */
    private record Listing(String commit, Map<String, HubFile> files) {}

    /**
     * Brings the wanted files of a model here.
     *
     * @return the snapshot's folder, all wanted files in it
     * @throws HubRefused when the hub cannot be reached or says no
     * @throws HeadstartException when what it sends is wrong, or there is no room for it
     */
    Path fetch(ModelId id, FileSelection wanted) {
        try {
            Listing listing = list(id);
            Path snapshot = cache.snapshot(id.name(), listing.commit());
            FileSelection.Choice choice =
                    wanted.choose(listing.files().keySet(), name -> Files.readAllBytes(fetch(id, listing, name)));
            if (!choice.complete()) {
                throw new HubRefused(
                        host() + " has " + id + " without " + String.join(", ", choice.missing()) + " (it holds "
                                + some(listing.files().keySet())
                                + "); Headstart needs config.json and weights as safetensors or"
                                + " pytorch_model.bin",
                        false,
                        null);
            }
            requireSpace(id, listing, choice.files());
            for (String name : choice.files()) {
                fetch(id, listing, name);
            }
            cache.writeTree(id.name(), listing.commit(), listing.files());
            cache.writeRef(id, listing.commit());
            return snapshot;
        } catch (IOException e) {
            throw failure(id, e);
        }
    }

    private static String some(Set<String> names) {
        String list = names.stream().limit(8).reduce((a, b) -> a + ", " + b).orElse("nothing");
        return names.size() > 8 ? list + ", ... " + names.size() + " files" : list;
    }

    private HeadstartException failure(ModelId id, IOException e) {
        if (e instanceof HubHttp.Unreachable) {
            SILENT.put(key(), String.valueOf(e.getMessage()));
            return new HubRefused(e.getMessage() + remedy(), true, e);
        }
        if (String.valueOf(e.getMessage()).toLowerCase(java.util.Locale.ROOT).contains("no space left")) {
            return new HeadstartException(
                    "no space left in " + cache.root() + " while " + id
                            + " was fetched; make room, or move the cache (HF_HOME)",
                    e);
        }
        if (e instanceof java.nio.file.FileSystemException f) {
            return new HeadstartException(
                    f.getFile() + ": cannot be written ("
                            + (f.getReason() == null ? f.getClass().getSimpleName() : f.getReason()) + ") while " + id
                            + " was fetched; check the folder's owner, or move the cache (HF_HOME)",
                    e);
        }
        return new HubRefused(
                host() + " broke off while " + id + " was fetched: " + HubHttp.reason(e)
                        + "; what is here is kept, try again",
                true,
                e);
    }

    private static String remedy() {
        return " (no network, or a proxy is needed: HTTPS_PROXY; another hub: HF_ENDPOINT)";
    }

    private String host() {
        return options.endpoint().getHost();
    }

    private String key() {
        return options.endpoint() + " " + options.httpsProxy() + " " + options.httpProxy();
    }

    // === What a model holds ===

    private Listing list(ModelId id) throws IOException {
        String silent = SILENT.get(key());
        if (silent != null) {
            throw new HubRefused(silent + remedy(), true, null);
        }
        URI address = URI.create(options.endpoint() + "/api/models/" + id.name() + "/revision/"
                + encode(id.revisionOrMain()) + "?blobs=true");
        JsonNode model = retrying(id, "the list of its files", () -> {
            try (HubHttp.Answer answer = http.get(address, Map.of("Accept", "application/json"))) {
                check(id, null, answer);
                byte[] body = answer.body().readNBytes((int) MAX_ANSWER);
                try {
                    return JSON.readTree(body);
                } catch (JsonProcessingException e) {
                    throw new HubRefused(
                            answer.host()
                                    + " does not answer as a hub does (no JSON); check HF_ENDPOINT, or whether a proxy answers"
                                    + " in its place",
                            false,
                            e);
                }
            } catch (Later | HubHttp.Unreachable e) {
                throw e;
            } catch (IOException e) {
                throw new HubHttp.Unreachable(host() + " does not answer: " + HubHttp.reason(e), e);
            }
        });
        String commit = model.path("sha").asText("");
        if (!ModelId.isCommit(commit) || !model.path("siblings").isArray()) {
            throw new HubRefused(
                    host() + " does not say which commit " + id + " is; it may be no hub (HF_ENDPOINT)", false, null);
        }
        Map<String, HubFile> files = new LinkedHashMap<>();
        for (JsonNode file : model.path("siblings")) {
            String name = SafePaths.check(file.path("rfilename").asText(""), host() + ", " + id);
            String sha256 = file.path("lfs").path("sha256").asText(null);
            JsonNode lfsSize = file.path("lfs").path("size");
            files.put(
                    name,
                    new HubFile(
                            name,
                            lfsSize.isNumber()
                                    ? lfsSize.asLong()
                                    : file.path("size").asLong(-1),
                            file.path("blobId").asText(null),
                            sha256 != null && sha256.matches("[0-9a-f]{64}") ? sha256 : null));
        }
        return new Listing(commit, files);
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private void requireSpace(ModelId id, Listing listing, Set<String> names) {
        long bytes = 0;
        for (String name : names) {
            HubFile file = listing.files().get(name);
            if (file != null
                    && !Files.exists(cache.snapshot(id.name(), listing.commit()).resolve(name))) {
                bytes += Math.max(0, file.size());
            }
        }
        DiskSpace.require(options.usableSpace(), cache.root(), bytes, id.toString());
    }

    // === One file ===

    private Path fetch(ModelId id, Listing listing, String name) throws IOException {
        HubFile file = listing.files().get(name);
        if (file == null) {
            throw new HubRefused(host() + " has no " + name + " in " + id, false, null);
        }
        Path pointer = SafePaths.resolve(cache.snapshot(id.name(), listing.commit()), name, id.toString());
        if (Files.exists(pointer)) {
            return pointer;
        }
        String[] parts = name.split("/");
        StringBuilder path = new StringBuilder();
        for (String part : parts) {
            path.append('/').append(encode(part));
        }
        URI address = URI.create(options.endpoint() + "/" + id.name() + "/resolve/" + listing.commit() + path);
        String expected = file.sha256() != null ? file.sha256() : file.blobId();
        Path lock = cache.lock(id.name(), expected != null ? expected : "name-" + encode(name));
        try (FileLocks.Held held = FileLocks.acquire(
                lock,
                () -> options.progress().note("another process fetches " + name + " of " + id + "; waiting for it"))) {
            if (Files.exists(pointer)) {
                return pointer;
            }
            if (expected != null && Files.isRegularFile(cache.blob(id.name(), expected))) {
                cache.link(id.name(), expected, pointer, false);
                return pointer;
            }
            try (BlobDownload download = new BlobDownload(options, cache, id, file, pointer)) {
                return retrying(id, name, () -> download.attempt(http, address, answer -> check(id, name, answer)));
            }
        }
    }

    // === Refusals and retries ===

    /** Something that may be tried again. */
    interface Attempt<T> {
        T run() throws IOException;
    }

    /** The hub asks to wait, or has a trouble that may pass. */
    static final class Later extends IOException {
        private final @Nullable Duration wait;

        Later(String message, @Nullable Duration wait) {
            super(message);
            this.wait = wait;
        }
    }

    /** A connection broke off after new bytes had come: progress, so the count of attempts starts again. */
    static final class BrokeOff extends IOException {
        private final boolean progress;

        BrokeOff(String message, boolean progress, @Nullable Throwable cause) {
            super(message, cause);
            this.progress = progress;
        }
    }

    private <T> T retrying(ModelId id, String what, Attempt<T> attempt) throws IOException {
        int failures = 0;
        while (true) {
            try {
                return attempt.run();
            } catch (HubHttp.Unreachable | java.nio.file.FileSystemException e) {
                throw e;
            } catch (IOException e) {
                if (String.valueOf(e.getMessage()).contains("No space left")) {
                    throw e;
                }
                failures = e instanceof BrokeOff b && b.progress ? 1 : failures + 1;
                if (failures >= ATTEMPTS) {
                    throw e;
                }
                Duration wait = e instanceof Later later && later.wait != null
                        ? later.wait
                        : options.retryDelay().multipliedBy(1L << (failures - 1));
                if (wait.compareTo(LONGEST_WAIT) > 0) {
                    throw new HubRefused(
                            host() + " asks to wait " + wait.toMinutes() + " minutes before " + id
                                    + " can be fetched (too many requests, 429); try again then, or set HF_TOKEN for a higher limit",
                            false,
                            e);
                }
                options.progress()
                        .note(what + " of " + id + ": " + HubHttp.reason(e) + "; trying again in "
                                + Math.max(1, wait.toSeconds()) + " s");
                sleep(wait);
            }
        }
    }

    private static void sleep(Duration wait) throws IOException {
        try {
            Thread.sleep(wait.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new HubHttp.Unreachable("interrupted", e);
        }
    }

    /** Turns an answer that is no file into an error that says what to do. */
    private void check(ModelId id, @Nullable String name, HubHttp.Answer answer) throws IOException {
        int status = answer.status();
        if (status / 100 == 2) {
            return;
        }
        String code = answer.hubHeader("x-error-code") == null ? "" : answer.hubHeader("x-error-code");
        String at = answer.host();
        String page = options.endpoint() + "/" + id.name();
        boolean hasToken = options.token() != null;
        if (status == 429) {
            throw new Later(at + " has had too many requests (429)", retryAfter(answer.header("Retry-After")));
        }
        if (status >= 500 || status == 408) {
            throw new Later(at + " is in trouble (" + status + ")", retryAfter(answer.header("Retry-After")));
        }
        String problem;
        if (code.equals("GatedRepo")) {
            problem = id + " is gated: accept its terms at " + page
                    + (hasToken ? " with the account of your token" : " and set HF_TOKEN") + " (" + status + ")";
        } else if (code.equals("RevisionNotFound")) {
            problem = at + " has no revision " + id.revisionOrMain() + " of " + id.name() + "; see " + page
                    + "/tree/main";
        } else if (code.equals("EntryNotFound") || status == 404 && name != null) {
            if (name != null && code.equals("EntryNotFound")) {
                cache.noteMissing(id.name(), answer.hubHeader("x-repo-commit"), name);
            }
            problem = at + " has no " + name + " in " + id + " (404)";
        } else if (status == 401) {
            problem = hasToken
                    ? at + " does not accept the token (401), or has no model " + id.name()
                            + "; check HF_TOKEN or the file that 'hf auth login' wrote, and the spelling"
                    : at + " has no public model " + id.name()
                            + " (401); check the spelling, or set HF_TOKEN if it is private or gated";
        } else if (status == 403) {
            problem = at + " forbids " + id.name() + " (403"
                    + said(answer)
                    + (hasToken
                            ? "); the token lacks the right to read it"
                            : "); set HF_TOKEN, or ask who runs the proxy or mirror");
        } else if (status == 404) {
            problem = at + " has no model " + id.name() + " (404); check the spelling";
        } else if (status == 407) {
            problem = "the proxy wants a login (407); write it into HTTPS_PROXY as http://user:password@host:port";
        } else {
            problem = at + " refuses " + id + " with status " + status;
        }
        throw new HubRefused(problem, false, null);
    }

    /** What the hub says of a refusal, as part of one line. */
    private static String said(HubHttp.Answer answer) {
        String message = answer.hubHeader("x-error-message");
        if (message == null) {
            return "";
        }
        String line = message.replaceAll("[\\p{Cntrl}\\s]+", " ");
        return ": " + line.substring(0, Math.min(200, line.length()));
    }

    /** Seconds, or a date; null when it says neither. */
    private static @Nullable Duration retryAfter(@Nullable String value) {
        if (value == null) {
            return null;
        }
        try {
            if (value.matches("\\d{1,6}")) {
                return Duration.ofSeconds(Long.parseLong(value));
            }
            Duration wait = Duration.between(
                    Instant.now(),
                    ZonedDateTime.parse(value, DateTimeFormatter.RFC_1123_DATE_TIME)
                            .toInstant());
            return wait.isNegative() ? Duration.ZERO : wait;
        } catch (DateTimeParseException e) {
            return null;
        }
    }
}
