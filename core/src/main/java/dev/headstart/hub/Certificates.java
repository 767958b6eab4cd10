package dev.headstart.hub;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import org.jspecify.annotations.Nullable;

/** Trust in the Java runtime's certificates and in those of a PEM file (REQUESTS_CA_BUNDLE, SSL_CERT_FILE, CURL_CA_BUNDLE). */
final class Certificates {
    private Certificates() {}

    /**
     * A TLS context that trusts both.
     *
     * @param file a PEM file, or a folder of them; null for the Java runtime's alone
     */
    static SSLContext context(@Nullable Path file) {
        try {
            if (file == null) {
                return SSLContext.getDefault();
            }
            KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            TrustManagerFactory standard = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            standard.init((KeyStore) null);
            int n = 0;
            for (TrustManager manager : standard.getTrustManagers()) {
                if (manager instanceof X509TrustManager x509) {
                    for (X509Certificate certificate : x509.getAcceptedIssuers()) {
                        store.setCertificateEntry("java-" + n++, certificate);
                    }
                }
            }
            for (Certificate certificate : read(file)) {
                store.setCertificateEntry("file-" + n++, certificate);
            }
            TrustManagerFactory both = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            both.init(store);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, both.getTrustManagers(), null);
            return context;
        } catch (GeneralSecurityException | IOException e) {
            throw new HeadstartException(
                    file
                            + ": the certificate file (REQUESTS_CA_BUNDLE, SSL_CERT_FILE or CURL_CA_BUNDLE) cannot be read as PEM: "
                            + e.getMessage(),
                    e);
        }
    }

    private static List<Certificate> read(Path file) throws IOException, CertificateException {
        List<Path> files = new ArrayList<>();
        if (Files.isDirectory(file)) {
            try (Stream<Path> list = Files.list(file)) {
                list.filter(f -> f.toString().matches(".*\\.(pem|crt|cer)"))
                        .sorted()
                        .forEach(files::add);
            }
        } else {
            files.add(file);
        }
        List<Certificate> certificates = new ArrayList<>();
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        for (Path f : files) {
            try (InputStream in = Files.newInputStream(f)) {
                certificates.addAll(factory.generateCertificates(in));
            }
        }
        return certificates;
    }
}
