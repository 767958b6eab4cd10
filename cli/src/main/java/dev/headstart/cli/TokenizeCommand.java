package dev.headstart.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.text.Encoding;
import dev.headstart.text.Span;
import dev.headstart.text.Tokenizer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code headstart tokenize}: texts to ids, segments, tokens and offsets (code points), one line of JSON a text. */
@Command(name = "tokenize", description = "Show how a model's tokenizer splits texts.")
final class TokenizeCommand implements Callable<Integer> {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Option(names = "--model", required = true, paramLabel = "ID", description = "Model: a folder or an id.")
    private String model = "";

    @Option(
            names = "--file",
            paramLabel = "FILE",
            description = "JSON lines with \"text\" and, for pairs, \"text_pair\"; - reads standard input.")
    private @Nullable String file;

    @Option(names = "--json", description = "Print JSON lines instead of a table.")
    private boolean json;

    @Parameters(paramLabel = "TEXT", description = "Texts, when there is no --file.")
    private List<String> texts = List.of();

    @Override
    public Integer call() throws IOException {
        if (file == null && texts.isEmpty())
            throw new HeadstartException("no text: give TEXT arguments or --file FILE");
        try (Tokenizer tokenizer = Tokenizer.fromPretrained(model)) {
            for (String text : texts) print(System.out, tokenizer, text, null);
            if (file != null) lines(tokenizer, file);
        }
        return 0;
    }

    private void lines(Tokenizer tokenizer, String name) throws IOException {
        try (BufferedReader in = name.equals("-")
                ? new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))
                : Files.newBufferedReader(Path.of(name))) {
            int number = 0;
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                number++;
                if (line.isBlank()) continue;
                JsonNode entry;
                try {
                    entry = JSON.readTree(line);
                } catch (JsonProcessingException e) {
                    throw new HeadstartException(
                            name + ":" + number + ": expected one JSON object a line, found " + shorten(line), e);
                }
                if (!entry.path("text").isTextual()) {
                    throw new HeadstartException(name + ":" + number
                            + ": expected an object with \"text\" (and \"text_pair\" for pairs), found "
                            + shorten(line));
                }
                JsonNode pair = entry.path("text_pair");
                print(System.out, tokenizer, entry.get("text").asText(), pair.isTextual() ? pair.asText() : null);
            }
        } catch (NoSuchFileException e) {
            throw new HeadstartException(name + ": no such file", e);
        } catch (CharacterCodingException e) {
            throw new HeadstartException(name + ": is not UTF-8 text", e);
        }
    }

    private void print(PrintStream out, Tokenizer tokenizer, String text, @Nullable String pair) {
        Encoding e = tokenizer.encode(text, pair);
        if (!json) {
            long[] ids = e.ids();
            List<String> tokens = e.tokens();
            List<Span> offsets = e.offsets();
            for (int i = 0; i < e.length(); i++) {
                out.printf(
                        "%6d  %-20s %d..%d%n",
                        ids[i],
                        tokens.get(i),
                        offsets.get(i).start(),
                        offsets.get(i).end());
            }
            out.println();
            return;
        }
        ObjectNode line = JSON.createObjectNode();
        line.set("input_ids", JSON.valueToTree(e.ids()));
        line.set("token_type_ids", JSON.valueToTree(e.typeIds()));
        line.set("tokens", JSON.valueToTree(e.tokens()));
        var offsets = line.putArray("offsets");
        for (Span span : e.codePointOffsets())
            offsets.addArray().add(span.start()).add(span.end());
        out.println(line);
    }

    private static String shorten(String line) {
        return line.length() > 60 ? line.substring(0, 60) + "..." : line;
    }
}
