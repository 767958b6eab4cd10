package dev.headstart.text;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Every file format, against what transformers makes of the same files (conformance/tokenizers/make_goldens.py). */
class TokenizerFormatsTest {
    private static final Path ROOT = Shared.repositoryRoot().resolve("core/src/test/resources/tokenizers");

    @TempDir
    Path temp;

    @TestFactory
    Stream<DynamicTest> everyFolderAgreesWithTransformers() throws IOException {
        try (Stream<Path> folders = Files.list(ROOT)) {
            return folders.sorted().toList().stream()
                    .map(folder -> DynamicTest.dynamicTest(folder.getFileName().toString(), () -> check(folder)));
        }
    }

    private void check(Path folder) throws IOException {
        JsonNode golden =
                TokenizerJson.MAPPER.readTree(folder.resolve("golden.json").toFile());
        List<String> wrong = new ArrayList<>();
        try (Tokenizer tokenizer = Tokenizer.fromFolder(folder)) {
            checkTokenizer(tokenizer, golden, wrong);
            Path saved = temp.resolve(folder.getFileName());
            tokenizer.savePretrained(saved);
            try (Tokenizer again = Tokenizer.fromFolder(saved)) { // what it writes is the same tokenizer
                checkTokenizer(again, golden, wrong);
            }
        }
        assertThat(wrong).isEmpty();
    }

    private static void checkTokenizer(Tokenizer tokenizer, JsonNode golden, List<String> wrong) {
        for (JsonNode e : golden.path("encode")) {
            String pair = e.path("pair").isTextual() ? e.get("pair").asText() : null;
            Encoding got = tokenizer.encode(e.get("text").asText(), pair);
            String what = "encode " + e.get("text") + " + " + e.path("pair");
            compare(wrong, what + " ids", ints(got.ids()), e.get("ids"));
            if (e.has("offsets")) compare(wrong, what + " offsets", spans(got), e.get("offsets"));
            if (e.has("tokens") && !got.tokens().equals(strings(e.get("tokens"))))
                wrong.add(what + " tokens: " + got.tokens() + " for " + e.get("tokens"));
            if (e.has("type_ids") && e.has("offsets"))
                compare(wrong, what + " type ids", ints(got.typeIds()), e.get("type_ids"));
        }
        for (JsonNode e : golden.path("target")) {
            compare(
                    wrong,
                    "target " + e.get("text"),
                    ints(tokenizer.asTarget().encode(e.get("text").asText()).ids()),
                    e.get("ids"));
        }
        for (JsonNode e : golden.path("words")) {
            List<String> pair = e.get("pair").isNull() ? null : strings(e.get("pair"));
            Encoding got = tokenizer.encodeWords(strings(e.get("words")), pair, EncodeOptions.DEFAULT);
            String what = "words " + e.get("words");
            compare(wrong, what, ints(got.ids()), e.get("ids"));
            compare(wrong, what + " offsets", spans(got), e.get("offsets"));
            List<String> wordIds = Arrays.stream(got.wordIds())
                    .mapToObj(w -> w < 0 ? "null" : "" + w)
                    .toList();
            compare(wrong, what + " word ids", wordIds.toString().replace(" ", ""), e.get("word_ids"));
        }
        for (JsonNode e : golden.path("decode")) {
            String got = tokenizer.decode(longs(e.get("ids")), e.get("skip").asBoolean());
            if (!got.equals(e.get("text").asText())) wrong.add("decode " + e + ": " + got);
        }
        for (JsonNode e : golden.path("ctc")) {
            String got = tokenizer.ctcUnits(longs(e.get("ids")), e.get("words").asBoolean()).stream()
                    .map(u -> "[\"" + u.text() + "\"," + u.start() + "," + u.end() + "]")
                    .toList()
                    .toString()
                    .replace("], [", "],[");
            compare(wrong, "ctc", got, e.get("units"));
        }
        for (JsonNode e : golden.path("batch")) batch(tokenizer, e, wrong);
        for (var e : golden.path("special").properties()) {
            if (!e.getValue().get(0).asText().equals(tokenizer.specialToken(e.getKey())))
                wrong.add(e + " is " + tokenizer.specialToken(e.getKey()));
            if (e.getValue().get(1).asInt() != tokenizer.specialId(e.getKey()).orElse(-1))
                wrong.add(e + " has id " + tokenizer.specialId(e.getKey()));
        }
        if (golden.has("padding_side")) {
            assertThat(tokenizer.paddingSide())
                    .isEqualTo(side(golden.get("padding_side").asText()));
            assertThat(tokenizer.modelInputNames())
                    .containsExactlyInAnyOrderElementsOf(strings(golden.get("input_names")));
            if (golden.has("size")
                    && tokenizer.vocabSize() != golden.get("size").asInt())
                wrong.add("size " + tokenizer.vocabSize() + " for " + golden.get("size"));
        }
    }

    private static void batch(Tokenizer tokenizer, JsonNode e, List<String> wrong) {
        JsonNode o = e.get("options");
        EncodeOptions options = EncodeOptions.DEFAULT
                .withSpecialTokens(o.path("add_special_tokens").asBoolean(true))
                .withMaxLength(o.path("max_length").asInt(0))
                .withPadToMultipleOf(o.path("pad_to_multiple_of").asInt(0));
        String truncation = o.path("truncation").asText("false");
        if (!truncation.equals("false")) {
            options = options.withTruncation(
                    truncation.equals("true")
                            ? Truncation.LONGEST_FIRST
                            : Truncation.valueOf(truncation.toUpperCase()));
        }
        String padding = o.path("padding").asText("false");
        if (!padding.equals("false"))
            options = options.withPadding(padding.equals("max_length") ? Padding.MAX_LENGTH : Padding.LONGEST);
        if (o.has("padding_side"))
            options = options.withPaddingSide(side(o.get("padding_side").asText()));
        if (o.has("truncation_side"))
            options = options.withTruncationSide(side(o.get("truncation_side").asText()));
        if (o.has("return_overflowing_tokens"))
            options = options.withOverflow(o.get("stride").asInt());
        List<String> pairs = e.get("pairs").isNull() ? null : strings(e.get("pairs"));
        EncodeOptions final_ = options;
        if (e.has("error")) {
            assertThatThrownBy(() -> tokenizer.encode(strings(e.get("texts")), pairs, final_))
                    .isInstanceOf(HeadstartException.class);
            return;
        }
        BatchEncoding got = tokenizer.encode(strings(e.get("texts")), pairs, options);
        JsonNode rows = e.get("rows");
        String what = "batch " + o + " " + e.get("pairs");
        List<String> ids = new ArrayList<>();
        List<String> types = new ArrayList<>();
        List<String> mask = new ArrayList<>();
        List<String> offsets = new ArrayList<>();
        List<Integer> samples = new ArrayList<>();
        for (int i = 0; i < got.size(); i++) {
            ids.add(ints(got.get(i).ids()));
            types.add(ints(got.get(i).typeIds()));
            mask.add(ints(got.get(i).attentionMask()));
            offsets.add(spans(got.get(i)));
            samples.add(got.sampleOf(i));
        }
        compare(wrong, what + " ids", String.join(",", ids), rows.get("ids"));
        // where the model takes no segments, the reference's overflow of pairs has odd ones
        boolean odd = options.overflow()
                && pairs != null
                && !tokenizer.modelInputNames().contains("token_type_ids");
        if (!odd) compare(wrong, what + " type ids", String.join(",", types), rows.get("type_ids"));
        compare(wrong, what + " mask", String.join(",", mask), rows.get("mask"));
        compare(wrong, what + " offsets", String.join(",", offsets), rows.get("offsets"));
        compare(wrong, what + " samples", samples.toString().replace(" ", ""), rows.get("sample"));
    }

    private static void compare(List<String> wrong, String what, String got, JsonNode want) {
        String text = want.toString();
        if (!got.equals(text) && !("[" + got + "]").equals(text))
            wrong.add(what + ":\n  got  " + got + "\n  want " + text);
    }

    private static Side side(String name) {
        return name.equals("left") ? Side.LEFT : Side.RIGHT;
    }

    private static String ints(long[] values) {
        return Arrays.toString(values).replace(" ", "");
    }

    private static String spans(Encoding e) {
        return e.codePointOffsets().stream()
                .map(s -> "[" + s.start() + "," + s.end() + "]")
                .toList()
                .toString()
                .replace(" ", "");
    }

    private static List<String> strings(JsonNode list) {
        List<String> strings = new ArrayList<>();
        list.forEach(s -> strings.add(s.asText()));
        return strings;
    }

    private static long[] longs(JsonNode list) {
        long[] ids = new long[list.size()];
        Arrays.setAll(ids, i -> list.get(i).asLong());
        return ids;
    }
}
