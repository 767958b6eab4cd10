package dev.headstart.hub;

import dev.headstart.HeadstartException;
import eu.maveniverse.maven.mima.context.Context;
import eu.maveniverse.maven.mima.context.ContextOverrides;
import eu.maveniverse.maven.mima.context.Runtimes;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.eclipse.aether.artifact.Artifact;
import org.eclipse.aether.artifact.DefaultArtifact;
import org.eclipse.aether.repository.Authentication;
import org.eclipse.aether.repository.AuthenticationContext;
import org.eclipse.aether.repository.AuthenticationDigest;
import org.eclipse.aether.repository.Proxy;
import org.eclipse.aether.repository.RemoteRepository;
import org.eclipse.aether.resolution.ArtifactRequest;
import org.eclipse.aether.resolution.ArtifactResolutionException;
import org.eclipse.aether.resolution.ArtifactResult;
import org.eclipse.aether.transfer.AbstractTransferListener;
import org.eclipse.aether.transfer.ArtifactNotFoundException;
import org.eclipse.aether.transfer.ChecksumFailureException;
import org.eclipse.aether.transfer.TransferCancelledException;
import org.eclipse.aether.transfer.TransferEvent;
import org.eclipse.aether.util.repository.AuthenticationBuilder;
import org.jspecify.annotations.Nullable;

/**
 * Fetches one Maven artifact, without its dependencies, the way Maven does on this machine: through the user's settings.xml with its mirrors,
 * credentials and proxies, into the user's local repository.
 */
final class MavenFetcher {
    private final HubOptions options;

    MavenFetcher(HubOptions options) {
        this.options = options;
    }

    /**
     * An artifact on this machine.
     *
     * @param file the jar in the local repository
     * @param repository where it came from, or "the local repository"
     */
    record Fetched(Path file, String repository) {}

    /**
     * @param coordinates {@code group:artifact[:extension[:classifier]]:version}
     * @param needed bytes of room that the caller needs besides
     * @throws HeadstartException when it cannot be had; one line that says where it was looked for
     */
    Fetched fetch(String coordinates) {
        Artifact artifact;
        try {
            artifact = new DefaultArtifact(coordinates);
        } catch (IllegalArgumentException e) {
            throw new HeadstartException(
                    "'" + coordinates + "' are no Maven coordinates; give maven:group:artifact:version", e);
        }
        ContextOverrides.Builder overrides = ContextOverrides.create()
                .withUserSettings(true)
                .transferListener(new Listener(artifact))
                .configProperties(Map.of(
                        "aether.connector.connectTimeout", 10_000,
                        "aether.connector.requestTimeout", 60_000,
                        "aether.enhancedLocalRepository.trackingFilename", "_remote.repositories"));
        if (options.offline()) {
            overrides.offline(true);
        }
        Path settings = options.mavenSettings();
        if (settings != null) {
            overrides.withUserSettingsXmlOverride(settings);
        }
        Path local = options.mavenLocalRepository();
        if (local != null) {
            overrides.withLocalRepositoryOverride(local);
        }
        List<RemoteRepository> repositories = List.of();
        try (Context context = Runtimes.INSTANCE.getRuntime().create(overrides.build())) {
            repositories =
                    context.remoteRepositories().stream().map(this::reachable).toList();
            ArtifactResult result = context.repositorySystem()
                    .resolveArtifact(
                            context.repositorySystemSession(),
                            new ArtifactRequest(artifact, repositories, "headstart"));
            String from = result.getRepository() instanceof RemoteRepository remote
                    ? remote.getId() + " (" + withoutLogin(remote.getUrl()) + ")"
                    : "the local repository";
            return new Fetched(result.getArtifact().getFile().toPath(), from);
        } catch (ArtifactResolutionException e) {
            throw new HeadstartException(failure(artifact, repositories, e), e);
        } catch (RuntimeException e) {
            throw new HeadstartException(
                    "Maven artifact " + artifact + " cannot be fetched: " + HubHttp.reason(e) + "; check settings.xml"
                            + (settings == null ? "" : " (" + settings + ")"),
                    e);
        }
    }

    private String failure(Artifact artifact, List<RemoteRepository> repositories, ArtifactResolutionException e) {
        String places = repositories.stream()
                .map(r -> r.getId() + " (" + withoutLogin(r.getUrl()) + ")")
                .reduce((a, b) -> a + ", " + b)
                .orElse("no repository");
        if (options.offline()) {
            return "Maven artifact " + artifact
                    + " is not in the local Maven repository, and nothing may be fetched (HF_HUB_OFFLINE or --offline)";
        }
        Throwable cause = e;
        while (cause.getCause() != null && cause.getCause() != cause) {
            cause = cause.getCause();
        }
        boolean missing = e.getResult() != null
                && e.getResult().getExceptions().stream().allMatch(x -> x instanceof ArtifactNotFoundException);
        return "Maven artifact " + artifact + (missing ? " is not in " : " cannot be fetched from ") + places
                + (missing
                        ? "; check the coordinates, or what the mirror offers"
                        : ": " + HubHttp.reason(cause)
                                + "; name your mirror or proxy in settings.xml, or set HTTPS_PROXY");
    }

    static String withoutLogin(String url) {
        return url.replaceFirst("//[^/@]*@", "//");
    }

    /** A repository with what the environment adds to settings.xml: the certificate file, and a proxy where settings.xml names none. */
    private RemoteRepository reachable(RemoteRepository repository) {
        RemoteRepository.Builder builder = new RemoteRepository.Builder(repository);
        Path ca = options.caFile();
        if (ca != null && repository.getUrl().startsWith("https")) {
            builder.setAuthentication(new Trusting(repository.getAuthentication(), ca));
        }
        String proxy = repository.getUrl().startsWith("https") ? options.httpsProxy() : options.httpProxy();
        if (proxy != null
                && repository.getProxy() == null
                && repository.getUrl().startsWith("http")) {
            URI target = URI.create(repository.getUrl());
            URI uri = URI.create(proxy.contains("://") ? proxy : "http://" + proxy);
            if (!HubHttp.bypassed(String.valueOf(target.getHost()), target.getPort(), options.noProxy())
                    && uri.getHost() != null) {
                String login = uri.getUserInfo();
                Authentication authentication = null;
                if (login != null) {
                    int colon = login.indexOf(':');
                    authentication = new AuthenticationBuilder()
                            .addUsername(colon < 0 ? login : login.substring(0, colon))
                            .addPassword(colon < 0 ? "" : login.substring(colon + 1))
                            .build();
                }
                builder.setProxy(
                        new Proxy("http", uri.getHost(), uri.getPort() < 0 ? 80 : uri.getPort(), authentication));
            }
        }
        return builder.build();
    }

    /** Credentials as settings.xml has them, and trust in a further certificate file. */
    private record Trusting(@Nullable Authentication inner, Path ca) implements Authentication {
        @Override
        public void fill(AuthenticationContext context, String key, @Nullable Map<String, String> data) {
            if (AuthenticationContext.SSL_CONTEXT.equals(key)) {
                context.put(key, Certificates.context(ca));
            } else if (inner != null) {
                inner.fill(context, key, data);
            }
        }

        @Override
        public void digest(AuthenticationDigest digest) {
            digest.update(ca.toString());
            if (inner != null) {
                inner.digest(digest);
            }
        }
    }

    /** Passes on how the one artifact comes along; checksums and metadata are not worth a line. */
    private final class Listener extends AbstractTransferListener {
        private final String suffix;
        private final Map<String, Progress.Transfer> transfers = new ConcurrentHashMap<>();

        Listener(Artifact artifact) {
            suffix = "." + artifact.getExtension();
        }

        private boolean wanted(TransferEvent event) {
            return event.getRequestType() == TransferEvent.RequestType.GET
                    && event.getResource().getResourceName().endsWith(suffix);
        }

        @Override
        public void transferStarted(TransferEvent event) {
            if (wanted(event)) {
                String name = event.getResource().getResourceName();
                Path file = event.getResource().getFile() == null
                        ? Path.of("")
                        : event.getResource().getFile().toPath();
                Path parent = file.getParent();
                long bytes = event.getResource().getContentLength();
                Path folder = parent == null ? file : parent;
                if (bytes > 0) {
                    DiskSpace.require(options.usableSpace(), folder, bytes, name);
                }
                Progress.Transfer transfer = new Progress.Transfer(
                        name.substring(name.lastIndexOf('/') + 1),
                        withoutLogin(event.getResource().getRepositoryUrl()),
                        bytes,
                        folder);
                transfers.put(name, transfer);
                options.progress().begin(transfer, 0);
            }
        }

        @Override
        public void transferProgressed(TransferEvent event) {
            Progress.Transfer transfer = transfers.get(event.getResource().getResourceName());
            if (transfer != null) {
                options.progress().advance(transfer, event.getTransferredBytes());
            }
        }

        /** Maven itself only warns. */
        @Override
        public void transferCorrupted(TransferEvent event) throws TransferCancelledException {
            if (wanted(event)
                    && event.getException() instanceof ChecksumFailureException failure
                    && failure.getExpected() != null
                    && !failure.getExpected().isEmpty()) {
                throw new TransferCancelledException("it arrived damaged: its checksum is " + failure.getActual()
                        + ", the repository says " + failure.getExpected() + "; try again");
            }
        }

        @Override
        public void transferSucceeded(TransferEvent event) {
            Progress.Transfer transfer = transfers.remove(event.getResource().getResourceName());
            if (transfer != null) {
                options.progress().end(transfer);
            }
        }

        @Override
        public void transferFailed(TransferEvent event) {
            Progress.Transfer transfer = transfers.remove(event.getResource().getResourceName());
            if (transfer != null) {
                options.progress().failed(transfer, HubHttp.reason(event.getException()));
            }
        }
    }

    static String sha256(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] buffer = new byte[1 << 18];
            for (int n; (n = in.read(buffer)) >= 0; ) {
                digest.update(buffer, 0, n);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
