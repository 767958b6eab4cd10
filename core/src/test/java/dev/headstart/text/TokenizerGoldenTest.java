package dev.headstart.text;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** Ids, segments, tokens and offsets as transformers gives them, on the shared data. */
class TokenizerGoldenTest {
    @TestFactory
    List<DynamicTest> tokenizeEntriesOfTheSharedGoldens() throws IOException {
        Path root = Shared.require("golden");
        List<DynamicTest> tests = new ArrayList<>();
        try (var cases = Files.find(root, 3, (p, a) -> p.endsWith("case.json"))) {
            for (Path file : cases.sorted().toList()) {
                JsonNode entries = TokenizerJson.MAPPER.readTree(file.toFile()).path("tokenize");
                if (entries.isEmpty()) continue;
                Path folder = file.resolveSibling("model");
                tests.add(DynamicTest.dynamicTest(
                        root.relativize(file.getParent()).toString(), () -> {
                            try (Tokenizer tokenizer = Tokenizer.fromFolder(folder)) {
                                for (JsonNode e : entries) check(tokenizer, e);
                            }
                        }));
            }
        }
        return tests;
    }

    private static void check(Tokenizer tokenizer, JsonNode want) {
        String text = want.get("text").asText();
        String pair =
                want.get("text_pair").isNull() ? null : want.get("text_pair").asText();
        Encoding got = tokenizer.encode(text, pair);
        assertThat(got.ids()).as(text).containsExactly(longs(want.get("input_ids")));
        assertThat(got.typeIds()).as(text).containsExactly(longs(want.get("token_type_ids")));
        List<String> tokens = new ArrayList<>();
        want.get("tokens").forEach(t -> tokens.add(t.asText()));
        assertThat(got.tokens()).as(text).isEqualTo(tokens);
        List<Span> offsets = new ArrayList<>();
        want.get("offsets")
                .forEach(o -> offsets.add(new Span(o.get(0).asInt(), o.get(1).asInt())));
        assertThat(got.codePointOffsets()).as(text).isEqualTo(offsets);
        for (int i = 0; i < offsets.size(); i++) { // the same place, counted in chars
            String in = got.sequenceIds()[i] == 1 && pair != null ? pair : text;
            if (got.sequenceIds()[i] < 0) continue;
            assertThat(got.offsets().get(i).start())
                    .isEqualTo(in.offsetByCodePoints(0, offsets.get(i).start()));
            assertThat(got.offsets().get(i).end())
                    .isEqualTo(in.offsetByCodePoints(0, offsets.get(i).end()));
        }
    }

    private static long[] longs(JsonNode list) {
        long[] ids = new long[list.size()];
        Arrays.setAll(ids, i -> list.get(i).asLong());
        return ids;
    }

    @Test
    void allSquadQuestionsGiveTheSameIds() throws IOException {
        Path data = Shared.require("data");
        JsonNode questions =
                TokenizerJson.MAPPER.readTree(data.resolve("tokenizer-conformance/squad-dev-question_tokens.json")
                        .toFile());
        JsonNode ids =
                TokenizerJson.MAPPER.readTree(data.resolve("tokenizer-conformance/squad-dev-tokenized_questions.json")
                        .toFile());
        assertThat(questions).hasSize(10_570);
        List<String> texts = new ArrayList<>();
        questions.forEach(q -> texts.add(q.get("original").asText()));
        for (String folder : List.of("tokenizers/bert-base-uncased", "vocab")) {
            Path from = data.resolve(folder);
            if (folder.equals("vocab")) { // the same from vocab.txt alone
                from = Files.createTempDirectory("vocab");
                Files.copy(data.resolve("tokenizers/bert-base-uncased/vocab.txt"), from.resolve("vocab.txt"));
            }
            try (Tokenizer tokenizer = Tokenizer.fromFolder(from)) {
                BatchEncoding batch = tokenizer.encode(texts, EncodeOptions.DEFAULT.withSpecialTokens(false));
                for (int i = 0; i < texts.size(); i++) {
                    assertThat(batch.get(i).ids()).as(texts.get(i)).containsExactly(longs(ids.get(i)));
                }
            }
        }
    }
}
