package dev.headstart.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The chat templates of a model's folder by name: chat_template.jinja and additional_chat_templates/, else tokenizer_config.json, else
 * chat_template.json. Compiled when first asked for, so that a template that cannot be read does not keep the tokenizer from loading.
 */
final class ChatTemplates {
    /** @param file where the text stands, for errors */
    private record Source(String text, Path file) {}

    private final Map<String, Source> sources = new LinkedHashMap<>();
    private final Map<String, ChatTemplate> compiled = new ConcurrentHashMap<>();

    private ChatTemplates() {}

    static ChatTemplates read(Path folder, ObjectNode config) {
        ChatTemplates found = new ChatTemplates();
        Path configFile = folder.resolve("tokenizer_config.json");
        JsonNode inConfig = config.path("chat_template");
        if (inConfig.isTextual()) found.sources.put("default", new Source(inConfig.asText(), configFile));
        for (JsonNode t : inConfig) {
            if (!t.path("template").isTextual()) continue;
            found.sources.put(
                    t.path("name").asText("default"),
                    new Source(t.get("template").asText(), configFile));
        }
        Path json = folder.resolve("chat_template.json");
        JsonNode own = TokenizerConfig.object(json).path("chat_template");
        if (found.sources.isEmpty() && own.isTextual()) found.sources.put("default", new Source(own.asText(), json));
        Path file = folder.resolve("chat_template.jinja");
        if (Files.isRegularFile(file)) {
            found.sources.clear();
            found.sources.put("default", new Source(TokenizerFiles.read(file), file));
        }
        Path more = folder.resolve("additional_chat_templates");
        if (Files.isDirectory(more)) {
            try (var files = Files.newDirectoryStream(more, "*.jinja")) {
                for (Path f : files) {
                    String name = f.getFileName().toString().replaceFirst("\\.jinja$", "");
                    found.sources.put(name, new Source(TokenizerFiles.read(f), f));
                }
            } catch (IOException e) {
                throw new HeadstartException(more + ": cannot be read (" + e.getMessage() + ")", e);
            }
        }
        return found;
    }

    /**
     * A template by name, or null when there is none.
     *
     * @throws HeadstartException when it is no valid Jinja
     */
    @Nullable
    ChatTemplate get(String name) {
        Source source = sources.get(name);
        if (source == null) return null;
        return compiled.computeIfAbsent(name, n -> {
            try {
                return ChatTemplate.of(source.text());
            } catch (HeadstartException e) {
                throw new HeadstartException(source.file() + ": " + e.getMessage(), e);
            }
        });
    }

    void save(Path folder) throws IOException {
        for (var e : sources.entrySet()) {
            boolean standard = e.getKey().equals("default");
            Path file = standard
                    ? folder.resolve("chat_template.jinja")
                    : folder.resolve("additional_chat_templates").resolve(e.getKey() + ".jinja");
            Files.createDirectories(file.getParent() == null ? folder : file.getParent());
            Files.writeString(file, e.getValue().text());
        }
    }
}
