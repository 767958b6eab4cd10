package dev.headstart.hub;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/**
 * Where a {@link Hub} looks and what it may do. Immutable. {@link #fromEnvironment()} reads the variables that Python's huggingface_hub
 * reads, so that both share one cache and one configuration; {@link #toBuilder()} changes single values.
 */
public final class HubOptions {
    private static final Set<String> TRUE = Set.of("1", "ON", "YES", "TRUE");

    private final Builder values;

    private HubOptions(Builder values) {
        this.values = values.copy();
    }

    /** What this process's environment says. */
    public static HubOptions fromEnvironment() {
        return fromEnvironment(System.getenv(), Path.of(System.getProperty("user.home", ".")));
    }

    /**
     * What {@code env} says: HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE, HF_TOKEN, HF_TOKEN_PATH, HF_ENDPOINT,
     * XDG_CACHE_HOME, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE, SSL_CERT_FILE, CURL_CA_BUNDLE.
     *
     * @param home the user's home folder
     */
    public static HubOptions fromEnvironment(Map<String, String> env, Path home) {
        Path caches = path(env, home, "XDG_CACHE_HOME", home.resolve(".cache"));
        Path hfHome = path(env, home, "HF_HOME", caches.resolve("huggingface"));
        Path hubCache =
                path(env, home, "HF_HUB_CACHE", path(env, home, "HUGGINGFACE_HUB_CACHE", hfHome.resolve("hub")));
        Builder b = new Builder(hubCache, caches.resolve("headstart"));
        String offline = first(env, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE");
        b.offline = Boolean.getBoolean("headstart.offline")
                || (offline != null && TRUE.contains(offline.toUpperCase(Locale.ROOT)));
        String endpoint = first(env, "HF_ENDPOINT");
        if (endpoint != null) {
            b.endpoint(endpoint);
        }
        b.token = token(env, home, hfHome);
        String all = first(env, "ALL_PROXY", "all_proxy");
        b.httpsProxy = orElse(first(env, "HTTPS_PROXY", "https_proxy"), all);
        b.httpProxy = orElse(first(env, "HTTP_PROXY", "http_proxy"), all);
        b.noProxy = first(env, "NO_PROXY", "no_proxy");
        String noLinks = first(env, "HF_HUB_DISABLE_SYMLINKS");
        b.symlinks = noLinks == null || !TRUE.contains(noLinks.toUpperCase(Locale.ROOT));
        String ca = first(env, "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE");
        b.caFile = ca == null ? null : expand(ca, home);
        return b.build();
    }

    private static @Nullable String orElse(@Nullable String value, @Nullable String other) {
        return value != null ? value : other;
    }

    private static @Nullable String first(Map<String, String> env, String... names) {
        for (String name : names) {
            String value = env.get(name);
            if (value != null && !value.isBlank()) {
                return value.trim();
            }
        }
        return null;
    }

    private static Path path(Map<String, String> env, Path home, String name, Path otherwise) {
        String value = first(env, name);
        return value == null ? otherwise : expand(value, home);
    }

    private static Path expand(String value, Path home) {
        return value.equals("~") || value.startsWith("~/")
                ? home.resolve(value.substring(Math.min(2, value.length())))
                : Path.of(value);
    }

    /** HF_TOKEN, else the file that {@code hf auth login} writes. */
    private static @Nullable String token(Map<String, String> env, Path home, Path hfHome) {
        String token = first(env, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN");
        if (token == null) {
            Path file = path(env, home, "HF_TOKEN_PATH", hfHome.resolve("token"));
            try {
                token = Files.isRegularFile(file) ? Files.readString(file).trim() : null;
            } catch (IOException e) {
                return null; // unreadable: as if there were none; a refusal of the hub then names the file
            }
        }
        if (token == null || token.isEmpty() || token.chars().anyMatch(c -> c <= ' ' || c > '~')) {
            return null;
        }
        return token;
    }

    /** The shared Hugging Face cache: the folder that holds {@code models--org--name}. */
    public Path hubCache() {
        return values.hubCache;
    }

    /** Our own cache, of unpacked and converted models. */
    public Path ownCache() {
        return values.ownCache;
    }

    /** Whether nothing may be fetched. */
    public boolean offline() {
        return values.offline;
    }

    /** Address of the hub, without a slash at the end. */
    public URI endpoint() {
        return values.endpoint;
    }

    /** Sent to the endpoint's host alone. */
    public @Nullable String token() {
        return values.token;
    }

    /** Proxy for {@code http:} addresses, as {@code http://user:password@host:port}. */
    public @Nullable String httpProxy() {
        return values.httpProxy;
    }

    /** Proxy for {@code https:} addresses. */
    public @Nullable String httpsProxy() {
        return values.httpsProxy;
    }

    /** Hosts that are reached without a proxy: a list with commas, in which {@code .example.com} covers subdomains and {@code *} everything. */
    public @Nullable String noProxy() {
        return values.noProxy;
    }

    /** Certificates in PEM form that are trusted besides the Java runtime's own. */
    public @Nullable Path caFile() {
        return values.caFile;
    }

    /** How long a connection to the hub may take to be made. */
    public Duration connectTimeout() {
        return values.connectTimeout;
    }

    /** How long the hub may be silent in the middle of an answer. */
    public Duration readTimeout() {
        return values.readTimeout;
    }

    /** Maven's settings.xml; null for the user's own. */
    public @Nullable Path mavenSettings() {
        return values.mavenSettings;
    }

    /** Maven's local repository; null for what settings.xml says. */
    public @Nullable Path mavenLocalRepository() {
        return values.mavenLocalRepository;
    }

    /** Where the zoo is looked for. */
    public ClassLoader zoo() {
        return values.zoo;
    }

    /** Told about every transfer. */
    public Progress progress() {
        return values.progress;
    }

    /** Bytes that can still be written below a folder. */
    ToLongFunction<Path> usableSpace() {
        return values.usableSpace;
    }

    /** The first pause before something is tried again; doubled each time. */
    Duration retryDelay() {
        return values.retryDelay;
    }

    /** Whether the shared cache may use symbolic links; where it may not or cannot, it holds the files themselves. */
    public boolean symlinks() {
        return values.symlinks;
    }

    /** A builder that starts from these values. */
    public Builder toBuilder() {
        return values.copy();
    }

    /** These values, and offline or not. */
    public HubOptions withOffline(boolean offline) {
        return toBuilder().offline(offline).build();
    }

    /** These values, and another listener. */
    public HubOptions withProgress(Progress progress) {
        return toBuilder().progress(progress).build();
    }

    /** Where things are; never the token or a proxy's password. */
    @Override
    public String toString() {
        return "HubOptions[hubCache=" + values.hubCache + ", ownCache=" + values.ownCache + ", offline="
                + values.offline + ", endpoint=" + values.endpoint + ", token="
                + (values.token == null ? "none" : "set") + "]";
    }

    /** Sets one value at a time; what is not set keeps its default. */
    public static final class Builder {
        private Path hubCache;
        private Path ownCache;
        private boolean offline;
        private URI endpoint = URI.create("https://huggingface.co");
        private @Nullable String token;
        private @Nullable String httpProxy;
        private @Nullable String httpsProxy;
        private @Nullable String noProxy;
        private @Nullable Path caFile;
        private Duration connectTimeout = Duration.ofSeconds(3);
        private Duration readTimeout = Duration.ofSeconds(20);
        private @Nullable Path mavenSettings;
        private @Nullable Path mavenLocalRepository;
        private ClassLoader zoo = HubOptions.class.getClassLoader();
        private Progress progress = Progress.NONE;
        private ToLongFunction<Path> usableSpace = DiskSpace::usable;
        private Duration retryDelay = Duration.ofMillis(500);
        private boolean symlinks = true;

        /**
         * @param hubCache the shared Hugging Face cache
         * @param ownCache our own cache
         */
        public Builder(Path hubCache, Path ownCache) {
            this.hubCache = hubCache;
            this.ownCache = ownCache;
        }

        private Builder copy() {
            Builder b = new Builder(hubCache, ownCache);
            b.offline = offline;
            b.endpoint = endpoint;
            b.token = token;
            b.httpProxy = httpProxy;
            b.httpsProxy = httpsProxy;
            b.noProxy = noProxy;
            b.caFile = caFile;
            b.connectTimeout = connectTimeout;
            b.readTimeout = readTimeout;
            b.mavenSettings = mavenSettings;
            b.mavenLocalRepository = mavenLocalRepository;
            b.zoo = zoo;
            b.progress = progress;
            b.usableSpace = usableSpace;
            b.retryDelay = retryDelay;
            b.symlinks = symlinks;
            return b;
        }

        /** See {@link HubOptions#hubCache()}. */
        public Builder hubCache(Path value) {
            hubCache = value;
            return this;
        }

        /** See {@link HubOptions#ownCache()}. */
        public Builder ownCache(Path value) {
            ownCache = value;
            return this;
        }

        /** See {@link HubOptions#offline()}. */
        public Builder offline(boolean value) {
            offline = value;
            return this;
        }

        /**
         * See {@link HubOptions#endpoint()}.
         *
         * @throws HeadstartException when it is no http or https address
         */
        public Builder endpoint(String value) {
            try {
                URI uri = URI.create(value.replaceAll("/+$", ""));
                String scheme = uri.getScheme();
                if (uri.getHost() != null && ("http".equals(scheme) || "https".equals(scheme))) {
                    endpoint = uri;
                    return this;
                }
            } catch (IllegalArgumentException e) {
                // said below
            }
            throw new HeadstartException("HF_ENDPOINT must be an http or https address, but is '" + value + "'");
        }

        /** See {@link HubOptions#token()}. */
        public Builder token(@Nullable String value) {
            token = value;
            return this;
        }

        /** See {@link HubOptions#httpProxy()} and {@link HubOptions#httpsProxy()}. */
        public Builder proxies(@Nullable String http, @Nullable String https, @Nullable String none) {
            httpProxy = http;
            httpsProxy = https;
            noProxy = none;
            return this;
        }

        /** See {@link HubOptions#caFile()}. */
        public Builder caFile(@Nullable Path value) {
            caFile = value;
            return this;
        }

        /** See {@link HubOptions#connectTimeout()} and {@link HubOptions#readTimeout()}. */
        public Builder timeouts(Duration connect, Duration read) {
            connectTimeout = connect;
            readTimeout = read;
            return this;
        }

        /** See {@link HubOptions#mavenSettings()} and {@link HubOptions#mavenLocalRepository()}. */
        public Builder maven(@Nullable Path settings, @Nullable Path localRepository) {
            mavenSettings = settings;
            mavenLocalRepository = localRepository;
            return this;
        }

        /** See {@link HubOptions#zoo()}. */
        public Builder zoo(ClassLoader value) {
            zoo = value;
            return this;
        }

        /** See {@link HubOptions#progress()}. */
        public Builder progress(Progress value) {
            progress = value;
            return this;
        }

        /** How the free space below a folder is found, in bytes. */
        Builder usableSpace(ToLongFunction<Path> value) {
            usableSpace = value;
            return this;
        }

        /** See {@link HubOptions#retryDelay()}. */
        Builder retryDelay(Duration value) {
            retryDelay = value;
            return this;
        }

        /** See {@link HubOptions#symlinks()}. */
        public Builder symlinks(boolean value) {
            symlinks = value;
            return this;
        }

        /** The values so far. */
        public HubOptions build() {
            return new HubOptions(this);
        }
    }
}
