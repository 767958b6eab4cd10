package dev.headstart.hub;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A JVM of its own that fetches {@code org/model} as its environment says, and prints the folder. */
public final class FetchProcess {
    private FetchProcess() {}

    /** What the JVM runs. */
    public static void main(String[] args) {
        HubOptions options = HubOptions.fromEnvironment().withProgress(new Progress() {
            @Override
            public void note(String line) {
                System.err.println(line);
            }
        });
        System.out.println(Hub.of(options).resolve("org/model").path());
    }

    /** Not started yet. @param cache what HF_HOME is to be @param environment further variables */
    static ProcessBuilder of(String endpoint, Path cache, Map<String, String> environment) {
        ProcessBuilder builder = new ProcessBuilder(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx128m",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                FetchProcess.class.getName()));
        Map<String, String> env = builder.environment();
        env.keySet().removeIf(name -> name.matches("(?i)(HF_|HUGGING|TRANSFORMERS|SSL_|REQUESTS_|CURL_).*|.*_proxy"));
        env.put("HF_ENDPOINT", endpoint);
        env.put("HF_HOME", cache.toString());
        env.put("XDG_CACHE_HOME", cache.resolve("xdg").toString());
        env.putAll(environment);
        return builder;
    }
}
