package dev.headstart.hub;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.net.Authenticator;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.PasswordAuthentication;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLDecoder;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLSocketFactory;
import org.jspecify.annotations.Nullable;

/**
 * GET requests to the hub. Redirects are followed here and not by the JDK, so that the token goes to the endpoint's host alone, whatever
 * host a redirect names; proxies and the certificate file come from the options. The JDK's older client is used because it alone notices
 * a peer that falls silent in the middle of an answer.
 */
final class HubHttp {
    private static final int MAX_REDIRECTS = 10;
    private static final Pattern PROXY = Pattern.compile(
            "(?:(?:https?|socks5h?)://)?(?:([^:@/]*)(?::([^@/]*))?@)?(\\[[^]]+]|[^:/@]+)(?::(\\d{1,5}))?/?");

    private final HubOptions options;
    private final String userAgent;
    private @Nullable SSLSocketFactory sockets;

    HubHttp(HubOptions options) {
        this.options = options;
        userAgent = "headstart; java/" + Runtime.version().feature();
        if (options.httpsProxy() != null && options.httpsProxy().contains("@")) {
            // The JDK refuses to send a password to a proxy for https unless told so before its client first loads.
            String property = "jdk.http.auth.tunneling.disabledSchemes";
            System.setProperty(property, System.getProperty(property, ""));
        }
    }

    /** No answer: no route, no name, no connection in time, no trusted certificate. */
    static final class Unreachable extends IOException {
        Unreachable(String message, @Nullable Throwable cause) {
            super(message, cause);
        }
    }

    /** An answer, its body unread. Closing it gives the connection up. */
    static final class Answer implements AutoCloseable {
        private final HttpURLConnection connection;
        private final int status;
        private final Map<String, String> hubHeaders;

        private Answer(HttpURLConnection connection, int status, Map<String, String> hubHeaders) {
            this.connection = connection;
            this.status = status;
            this.hubHeaders = hubHeaders;
        }

        int status() {
            return status;
        }

        /** A header of the last answer, of whatever host. */
        @Nullable
        String header(String name) {
            return connection.getHeaderField(name);
        }

        /** A header that the hub itself sent, on the way or at the end, under its name in small letters. */
        @Nullable
        String hubHeader(String name) {
            return hubHeaders.get(name);
        }

        /** Who answered at last. */
        String host() {
            return connection.getURL().getHost();
        }

        /** Bytes of the body, or -1. */
        long length() {
            return connection.getContentLengthLong();
        }

        InputStream body() throws IOException {
            InputStream in = status >= 400 ? connection.getErrorStream() : connection.getInputStream();
            return in == null ? InputStream.nullInputStream() : in;
        }

        /** What is left of the body is dropped; the JDK keeps the connection when that is little. */
        @Override
        public void close() {
            try {
                body().close();
            } catch (IOException e) {
                connection.disconnect();
            }
        }
    }

    /**
     * GETs an address of the hub.
     *
     * @param headers further request headers
     * @return the last answer, of any status but a redirect
     * @throws Unreachable when no connection could be made
     * @throws IOException when it broke off before the answer's head was complete
     */
    Answer get(URI address, Map<String, String> headers) throws IOException {
        URI uri = address;
        Map<String, String> hubHeaders = new LinkedHashMap<>();
        for (int hop = 0; hop <= MAX_REDIRECTS; hop++) {
            boolean atHub = isHub(uri);
            HttpURLConnection connection = open(uri, headers, atHub);
            int status;
            try {
                status = connection.getResponseCode();
            } catch (IOException e) {
                connection.disconnect();
                throw e;
            }
            if (status < 0) {
                connection.disconnect();
                throw new IOException(uri.getHost() + " does not speak HTTP");
            }
            if (atHub) {
                for (String name : List.of(
                        "x-repo-commit", "x-linked-etag", "x-linked-size", "x-error-code", "x-error-message", "etag")) {
                    String value = connection.getHeaderField(name);
                    boolean ofRedirect = name.equals("etag") && status / 100 == 3;
                    if (value != null && !ofRedirect) {
                        hubHeaders.put(name, value);
                    }
                }
            }
            String location = connection.getHeaderField("Location");
            boolean redirect = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
            if (!redirect || location == null) {
                return new Answer(connection, status, hubHeaders);
            }
            new Answer(connection, status, hubHeaders).close();
            uri = next(uri, location);
        }
        throw new IOException(address.getHost() + " redirects in a circle");
    }

    private static URI next(URI uri, String location) throws IOException {
        URI next;
        try {
            next = uri.resolve(new URI(location.replace(" ", "%20").replace("|", "%7C")));
        } catch (URISyntaxException e) {
            throw new IOException(uri.getHost() + " redirects to an address that is none", e);
        }
        String scheme = next.getScheme();
        if (next.getHost() == null || !("https".equals(scheme) || "http".equals(scheme))) {
            throw new IOException(uri.getHost() + " redirects to an address that is neither http nor https");
        }
        if ("https".equals(uri.getScheme()) && "http".equals(scheme)) {
            throw new IOException(
                    uri.getHost() + " redirects from https to plain http (" + next.getHost() + "), which is refused");
        }
        return next;
    }

    /** Whether an address is the endpoint's own: same scheme, host and port. The token goes nowhere else. */
    private boolean isHub(URI uri) {
        URI endpoint = options.endpoint();
        return endpoint.getHost().equalsIgnoreCase(uri.getHost())
                && port(endpoint) == port(uri)
                && endpoint.getScheme().equalsIgnoreCase(uri.getScheme());
    }

    private static int port(URI uri) {
        return uri.getPort() >= 0 ? uri.getPort() : "https".equalsIgnoreCase(uri.getScheme()) ? 443 : 80;
    }

    private HttpURLConnection open(URI uri, Map<String, String> headers, boolean withToken) throws IOException {
        Proxy proxy = proxy(uri);
        if (proxy.type() == Proxy.Type.DIRECT) {
            lookUp(uri.getHost());
        }
        HttpURLConnection connection = (HttpURLConnection) uri.toURL().openConnection(proxy);
        connection.setInstanceFollowRedirects(false);
        connection.setConnectTimeout(millis(options.connectTimeout()));
        connection.setReadTimeout(millis(options.readTimeout()));
        connection.setUseCaches(false);
        connection.setRequestProperty("User-Agent", userAgent);
        connection.setRequestProperty("Accept-Encoding", "identity"); // sizes and ranges are of the file itself
        headers.forEach(connection::setRequestProperty);
        String token = options.token();
        if (withToken && token != null) {
            connection.setRequestProperty("Authorization", "Bearer " + token);
        }
        if (connection instanceof HttpsURLConnection https && options.caFile() != null) {
            https.setSSLSocketFactory(sockets());
        }
        if (proxy.type() == Proxy.Type.HTTP) {
            connection.setAuthenticator(proxyAuthenticator(uri));
        }
        try {
            connection.connect();
        } catch (IOException e) {
            String by = proxy.address() instanceof InetSocketAddress through
                    ? " through the proxy " + through.getHostString() + ":" + through.getPort()
                    : "";
            throw new Unreachable(uri.getHost() + " cannot be reached" + by + ": " + reason(e), e);
        }
        return connection;
    }

    /** The connect limit covers no name look-up, which can hang for long where there is no network: it gets the same limit. */
    private void lookUp(String host) throws Unreachable {
        CompletableFuture<InetAddress> address = new CompletableFuture<>();
        Thread thread = new Thread(
                () -> {
                    try {
                        address.complete(InetAddress.getByName(host));
                    } catch (UnknownHostException | RuntimeException e) {
                        address.completeExceptionally(e);
                    }
                },
                "headstart-dns");
        thread.setDaemon(true);
        thread.start();
        try {
            address.get(millis(options.connectTimeout()), TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            throw new Unreachable(host + " cannot be reached: its name was not found in time", e);
        } catch (ExecutionException e) {
            throw new Unreachable(host + " cannot be reached: its name is not known here", e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new Unreachable("interrupted", e);
        }
    }

    private static int millis(Duration duration) {
        return (int) Math.min(Integer.MAX_VALUE, Math.max(1, duration.toMillis()));
    }

    /** A failure in words. */
    static String reason(Throwable e) {
        String message = e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
        message = message.lines().findFirst().orElse("");
        if (e instanceof java.net.SocketTimeoutException) {
            return message.toLowerCase(Locale.ROOT).contains("connect")
                    ? "no connection in time"
                    : "it stopped answering";
        }
        if (e instanceof UnknownHostException) {
            return "its name is not known here";
        }
        if (message.contains("PKIX") || message.contains("unable to find valid certification path")) {
            return "its certificate is signed by nobody this machine trusts; behind a company's proxy, name the company's certificate file"
                    + " in SSL_CERT_FILE";
        }
        if (message.contains("returns \"HTTP/1.1 407") || message.contains("407 Proxy")) {
            return "the proxy wants a login; write it into HTTPS_PROXY as http://user:password@host:port";
        }
        return message;
    }

    // === Proxies ===

    private Proxy proxy(URI uri) {
        String setting = "https".equals(uri.getScheme()) ? options.httpsProxy() : options.httpProxy();
        if (setting == null) {
            ProxySelector selector = ProxySelector.getDefault(); // what -Dhttps.proxyHost says
            List<Proxy> proxies = selector == null ? List.of() : selector.select(uri);
            return proxies == null || proxies.isEmpty() ? Proxy.NO_PROXY : proxies.get(0);
        }
        if (bypassed(uri.getHost(), port(uri), options.noProxy())) {
            return Proxy.NO_PROXY;
        }
        Matcher m = parse(setting);
        boolean socks = setting.startsWith("socks");
        int port = m.group(4) == null
                ? socks ? 1080 : setting.startsWith("https") ? 443 : 80
                : Integer.parseInt(m.group(4));
        return new Proxy(socks ? Proxy.Type.SOCKS : Proxy.Type.HTTP, new InetSocketAddress(m.group(3), port));
    }

    private static Matcher parse(String setting) {
        Matcher m = PROXY.matcher(setting);
        if (!m.matches()) {
            throw new HeadstartException("HTTPS_PROXY or HTTP_PROXY is not an address like http://host:port");
        }
        return m;
    }

    /** Whether NO_PROXY names a host: exactly, as a domain above it, or with {@code *}. */
    static boolean bypassed(String host, int port, @Nullable String noProxy) {
        if (noProxy == null) {
            return false;
        }
        String h = host.toLowerCase(Locale.ROOT);
        for (String entry : noProxy.toLowerCase(Locale.ROOT).split("[,\\s]+")) {
            String e = entry.replaceFirst("^\\*?\\.", "");
            int colon = e.lastIndexOf(':');
            if (colon > 0 && e.indexOf(':') == colon) {
                if (!e.substring(colon + 1).equals(Integer.toString(port))) {
                    continue;
                }
                e = e.substring(0, colon);
            }
            if (!e.isEmpty() && (e.equals("*") || h.equals(e) || h.endsWith("." + e))) {
                return true;
            }
        }
        return false;
    }

    private Authenticator proxyAuthenticator(URI uri) {
        String setting = "https".equals(uri.getScheme()) ? options.httpsProxy() : options.httpProxy();
        Matcher m = setting == null ? null : parse(setting);
        return new Authenticator() {
            @Override
            protected @Nullable PasswordAuthentication getPasswordAuthentication() {
                if (getRequestorType() != RequestorType.PROXY || m == null || m.group(1) == null) {
                    return null;
                }
                String password = m.group(2) == null ? "" : m.group(2);
                return new PasswordAuthentication(
                        URLDecoder.decode(m.group(1), StandardCharsets.UTF_8),
                        URLDecoder.decode(password, StandardCharsets.UTF_8).toCharArray());
            }
        };
    }

    // === Certificates ===

    private synchronized SSLSocketFactory sockets() {
        SSLSocketFactory made = sockets;
        if (made == null) {
            made = Certificates.context(options.caFile()).getSocketFactory();
            sockets = made;
        }
        return made;
    }
}
