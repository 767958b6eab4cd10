package dev.headstart.text;

import static org.assertj.core.api.Assertions.assertThat;

import dev.headstart.testing.Shared;
import java.io.IOException;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.SocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The tokenizers library contacts nobody and needs nothing but its jar, whatever a GPU or another program left in its own cache. */
class NativeTokenizersTest {
    @TempDir
    Path home;

    /** What a child JVM runs: tokenizes, and prints every connection that was about to be made. */
    public static final class Encode {
        /** @param args the tokenizer's folder */
        public static void main(String[] args) {
            ProxySelector.setDefault(new ProxySelector() {
                @Override
                public List<Proxy> select(URI uri) {
                    System.out.println("connects to " + uri);
                    throw new IllegalArgumentException("no connections here");
                }

                @Override
                public void connectFailed(URI uri, SocketAddress address, IOException e) {}
            });
            try (Tokenizer tokenizer = Tokenizer.fromFolder(Path.of(args[0]))) {
                System.out.println(tokenizer.encode("hello").tokens());
                System.out.println(NativeTokenizers.location());
            }
        }
    }

    @Test
    void nothingIsContactedAndAPoisonedCacheDoesNotMatter() throws Exception {
        // Where a run that saw a GPU stored its library under the name of the CPU build, the library's own loader finds
        // a folder without it.
        for (String version : List.of("0.21.0", "0.21.0-0.38.0", "0.38.0")) {
            Files.createDirectories(home.resolve(".djl.ai/tokenizers/" + version + "-cpu-linux-x86_64/90"));
        }
        // A CUDA runtime on the library path makes that loader download a build for it.
        Path libraries = Files.createDirectories(home.resolve("lib"));
        Files.write(libraries.resolve("libcudart.so"), new byte[0]);
        ProcessBuilder builder = new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx128m",
                "-XX:TieredStopAtLevel=1",
                "-Duser.home=" + home,
                "-Djava.library.path=" + libraries,
                "-cp",
                System.getProperty("java.class.path"),
                Encode.class.getName(),
                Shared.repositoryRoot()
                        .resolve("core/src/test/resources/tokenizers/bert")
                        .toString());
        builder.environment().remove("XDG_CACHE_HOME");
        builder.environment().put("LD_LIBRARY_PATH", libraries.toString());
        Process process = builder.redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).as(said).isZero();
        assertThat(said).doesNotContain("connects to").contains("[CLS]", "[SEP]");
        assertThat(said).contains(home.resolve(".cache/headstart/native").toString());
    }
}
