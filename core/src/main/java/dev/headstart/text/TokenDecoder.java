package dev.headstart.text;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;

/**
 * tokenizer.json's {@code decoder} over tokens that need not be in the vocabulary, such as words put together before (transformers {@code
 * convert_tokens_to_string}); the native library decodes ids alone. Kinds and meanings are those of the tokenizers library.
 */
final class TokenDecoder {
    private static final String REPLACEMENT = "\uFFFD";

    private TokenDecoder() {}

    /** @param decoder the JSON object, or null; @return the text, or null where the decoder is of a kind that is not known here */
    static @Nullable String decode(JsonNode decoder, List<String> tokens) {
        if (decoder.isNull() || decoder.isMissingNode()) {
            return String.join(" ", tokens);
        }
        List<String> parts = tokens.isEmpty() ? List.of() : chain(decoder, tokens);
        return parts == null ? null : String.join("", parts);
    }

    private static @Nullable List<String> chain(JsonNode d, List<String> tokens) {
        return switch (d.path("type").asText()) {
            case "WordPiece" ->
                wordPiece(
                        tokens, d.path("prefix").asText("##"), d.path("cleanup").asBoolean(true));
            case "Metaspace" ->
                metaspace(
                        tokens,
                        d.path("replacement").asText("\u2581"),
                        !d.path("prepend_scheme")
                                .asText(d.path("add_prefix_space").asBoolean(true) ? "always" : "never")
                                .equals("never"));
            case "ByteLevel" -> byteLevel(tokens);
            case "BPEDecoder" -> suffix(tokens, d.path("suffix").asText("</w>"));
            case "ByteFallback" -> byteFallback(tokens);
            case "Fuse" -> List.of(String.join("", tokens));
            case "Strip" ->
                tokens.stream()
                        .map(t -> strip(
                                t,
                                d.path("content").asText(" "),
                                d.path("start").asInt(),
                                d.path("stop").asInt()))
                        .toList();
            case "Replace" -> replace(tokens, d);
            case "Sequence" -> {
                List<String> now = tokens;
                for (JsonNode inner : d.path("decoders")) {
                    now = now == null || now.isEmpty() ? now : chain(inner, now);
                }
                yield now;
            }
            default -> null;
        };
    }

    private static List<String> wordPiece(List<String> tokens, String prefix, boolean cleanUp) {
        List<String> out = new ArrayList<>();
        for (int i = 0; i < tokens.size(); i++) {
            String t = tokens.get(i);
            if (i > 0) {
                t = t.startsWith(prefix) ? t.substring(prefix.length()) : " " + t;
            }
            out.add(cleanUp ? Tokenizer.cleanUp(t).replace(" do not", " don't") : t);
        }
        return out;
    }

    /** @param prefixed whether a text begins with a replacement that is no blank of its own */
    private static List<String> metaspace(List<String> tokens, String replacement, boolean prefixed) {
        List<String> out = new ArrayList<>();
        for (int i = 0; i < tokens.size(); i++) {
            out.add(tokens.get(i).replace(replacement, i == 0 && prefixed ? "" : " "));
        }
        return out;
    }

    /** A token with a character that stands for no byte is text already. */
    private static List<String> byteLevel(List<String> tokens) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (String t : tokens) {
            byte[] own = TokenBytes.ofByteLevel(t);
            bytes.writeBytes(own == null ? t.getBytes(StandardCharsets.UTF_8) : own);
        }
        return List.of(bytes.toString(StandardCharsets.UTF_8));
    }

    private static List<String> suffix(List<String> tokens, String suffix) {
        List<String> out = new ArrayList<>();
        for (int i = 0; i < tokens.size(); i++) {
            out.add(tokens.get(i).replace(suffix, i == tokens.size() - 1 ? "" : " "));
        }
        return out;
    }

    private static List<String> byteFallback(List<String> tokens) {
        List<String> out = new ArrayList<>();
        ByteArrayOutputStream run = new ByteArrayOutputStream();
        for (String t : tokens) {
            if (t.matches("<0x[0-9A-Fa-f]{2}>")) {
                run.write(Integer.parseInt(t.substring(3, 5), 16));
                continue;
            }
            flush(run, out);
            out.add(t);
        }
        flush(run, out);
        return out;
    }

    private static void flush(ByteArrayOutputStream run, List<String> out) {
        if (run.size() == 0) {
            return;
        }
        try {
            out.add(StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(java.nio.ByteBuffer.wrap(run.toByteArray()))
                    .toString());
        } catch (CharacterCodingException e) {
            out.add(REPLACEMENT.repeat(run.size()));
        }
        run.reset();
    }

    private static String strip(String token, String content, int start, int stop) {
        int from = 0;
        while (from < start * content.length() && token.startsWith(content, from)) {
            from += content.length();
        }
        int to = token.length();
        for (int i = 0;
                i < stop && to - content.length() >= from && token.startsWith(content, to - content.length());
                i++) {
            to -= content.length();
        }
        return token.substring(from, to);
    }

    private static @Nullable List<String> replace(List<String> tokens, JsonNode d) {
        JsonNode pattern = d.path("pattern");
        String content = d.path("content").asText();
        if (pattern.has("String")) {
            return tokens.stream()
                    .map(t -> t.replace(pattern.get("String").asText(), content))
                    .toList();
        }
        try {
            Pattern regex = Pattern.compile(pattern.path("Regex").asText());
            return tokens.stream()
                    .map(t -> regex.matcher(t).replaceAll(Matcher.quoteReplacement(content)))
                    .toList();
        } catch (PatternSyntaxException e) {
            return null;
        }
    }
}
