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
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizerTest {
    private static final Path BERT = Shared.repositoryRoot().resolve("core/src/test/resources/tokenizers/bert");

    @TempDir
    Path temp;

    @Test
    void theIntroductoryExample() {
        try (Tokenizer tokenizer = Tokenizer.fromFolder(Shared.require("data/tokenizers/bert-base-uncased"))) {
            Encoding e = tokenizer.encode("Artificial intelligence is revolutionizing industries.");
            assertThat(e.tokens())
                    .containsExactly(
                            "[CLS]",
                            "artificial",
                            "intelligence",
                            "is",
                            "revolution",
                            "##izing",
                            "industries",
                            ".",
                            "[SEP]");
            assertThat(e.modelInputs().keySet()).containsExactly("input_ids", "token_type_ids", "attention_mask");
            assertThat(tokenizer.decode(e.ids(), true))
                    .isEqualTo("artificial intelligence is revolutionizing industries.");
            assertThat(tokenizer.maskId()).hasValue(103);
            assertThat(tokenizer.vocabSize()).isEqualTo(30_522);
        }
    }

    @Test
    void truncationAndPaddingInsideTokenizerJsonDoNotApply() { // this file says 128 tokens
        try (Tokenizer tokenizer = Tokenizer.fromFolder(Shared.require("data/tokenizers/bert-base-uncased"))) {
            assertThat(tokenizer.encode("a ".repeat(300)).length()).isEqualTo(302);
            assertThat(tokenizer.encode("a").length()).isEqualTo(3);
            assertThat(tokenizer.modelMaxLength()).isZero();
        }
    }

    @Test
    void gpt2SplitsAFrenchTextAsPublished() throws IOException {
        Path data = Shared.require("data");
        JsonNode want = TokenizerJson.MAPPER.readTree(
                data.resolve("tokenizer-conformance/gpt2-encoded_tokens.json").toFile());
        try (Tokenizer tokenizer = Tokenizer.fromFolder(data.resolve("tokenizers/gpt2"))) {
            Encoding e = tokenizer.encode(want.get("text").asText());
            List<Long> ids = new ArrayList<>();
            for (JsonNode list : want) {
                if (list.isArray() && list.get(0).isInt()) list.forEach(id -> ids.add(id.asLong()));
            }
            assertThat(e.ids())
                    .containsExactly(ids.stream().mapToLong(Long::longValue).toArray());
            assertThat(tokenizer.decode(e.ids(), false))
                    .isEqualTo(want.get("text").asText());
        }
    }

    @Test
    void t5GivesTheSameFromSpieceModelAndTokenizerJson() throws IOException {
        Path folder = Shared.require("data/tokenizers/t5-small");
        Path alone = Files.createDirectory(temp.resolve("alone"));
        for (String file : List.of("spiece.model", "tokenizer_config.json"))
            Files.copy(folder.resolve(file), alone.resolve(file));
        List<String> texts = new ArrayList<>(
                Files.readAllLines(Shared.require("data/sst2").resolve(firstFile(Shared.require("data/sst2")))));
        texts = new ArrayList<>(texts.subList(0, 500));
        texts.addAll(List.of(
                "translate English to German: The house is wonderful.",
                "fill <extra_id_0> in <extra_id_99>",
                "ﬁ ① é\u00a0x\u200b",
                "日本語 😀"));
        try (Tokenizer json = Tokenizer.fromFolder(folder);
                Tokenizer spiece = Tokenizer.fromFolder(alone)) {
            BatchEncoding a = json.encode(texts, EncodeOptions.DEFAULT);
            BatchEncoding b = spiece.encode(texts, EncodeOptions.DEFAULT);
            for (int i = 0; i < texts.size(); i++) {
                assertThat(b.get(i).ids())
                        .as(texts.get(i))
                        .containsExactly(a.get(i).ids());
                assertThat(b.get(i).offsets())
                        .as(texts.get(i))
                        .isEqualTo(a.get(i).offsets());
            }
            assertThat(spiece.encode(texts.get(500)).ids())
                    .containsExactly(13959, 1566, 12, 2968, 10, 37, 629, 19, 1627, 5, 1);
            assertThat(spiece.vocabSize()).isEqualTo(json.vocabSize());
        }
    }

    private static String firstFile(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.map(f -> f.getFileName().toString())
                    .filter(f -> f.contains("test"))
                    .findFirst()
                    .orElseThrow();
        }
    }

    @Test
    void kindsAreKnownByTheirVocabularyWhereNoFileSaysThem() {
        Path data = Shared.require("data/tokenizers");
        try (Tokenizer roberta = Tokenizer.fromFolder(data.resolve("roberta-base"))) {
            assertThat(roberta.maskToken()).isEqualTo("<mask>");
            assertThat(roberta.isSpecial(50260)).isFalse(); // "<|endoftext|>" is an ordinary token here
        }
        try (Tokenizer whisper = Tokenizer.fromFolder(data.resolve("whisper-tiny"))) {
            assertThat(whisper.tokenToId("<|startoftranscript|>")).hasValue(50258);
            long[] ids = whisper.encode(" hi<|0.00|>").ids();
            assertThat(whisper.decode(ids, true)).isEqualTo(" hi");
        }
        try (Tokenizer gpt2 = Tokenizer.fromFolder(data.resolve("gpt2"))) {
            assertThat(gpt2.encode("Hello world").ids()).containsExactly(15496, 995);
            assertThat(gpt2.eosId()).hasValue(50256);
        }
    }

    @Test
    void manyThreadsShareOneTokenizerAndClosingWaits() throws Exception {
        List<String> texts = new ArrayList<>();
        Random random = new Random(7);
        for (int i = 0; i < 200; i++) {
            StringBuilder b = new StringBuilder();
            for (int k = random.nextInt(40); k >= 0; k--)
                b.append("the shells sea quick 😀 age wisdom".split(" ")[random.nextInt(7)])
                        .append(' ');
            texts.add(b.toString());
        }
        Tokenizer tokenizer = Tokenizer.fromFolder(BERT);
        List<long[]> want = texts.stream().map(t -> tokenizer.encode(t).ids()).toList();
        ExecutorService pool = Executors.newFixedThreadPool(8);
        try {
            List<Callable<Boolean>> work = new ArrayList<>();
            for (int t = 0; t < 8; t++) {
                int seed = t;
                work.add(() -> {
                    Random r = new Random(seed);
                    for (int n = 0; n < 300; n++) {
                        int i = r.nextInt(texts.size());
                        // different limits at once: they must not reach each other's calls
                        EncodeOptions o = seed % 2 == 0
                                ? EncodeOptions.DEFAULT
                                : EncodeOptions.DEFAULT
                                        .withTruncation(Truncation.LONGEST_FIRST)
                                        .withMaxLength(6);
                        long[] ids = tokenizer.encode(texts.get(i), null, o).ids();
                        if (seed % 2 == 0 ? !Arrays.equals(ids, want.get(i)) : ids.length > 6) return false;
                    }
                    return true;
                });
            }
            for (Future<Boolean> f : pool.invokeAll(work)) assertThat(f.get()).isTrue();
            Future<?> running = pool.submit(() -> tokenizer.encode(texts, EncodeOptions.DEFAULT));
            running.get();
            tokenizer.close();
            tokenizer.close();
            assertThatThrownBy(() -> tokenizer.encode("x")).isInstanceOf(IllegalStateException.class);
        } finally {
            pool.shutdownNow();
        }
    }

    @Test
    void oddTextsHaveTokensAndOffsetsInsideThem() {
        try (Tokenizer tokenizer = Tokenizer.fromFolder(BERT)) {
            for (String text : List.of("", "\ud83d", "a\ude00b", "x\u0000y", "\uffff", "😀".repeat(50), "\r\n\t")) {
                Encoding e = tokenizer.encode(text);
                e.offsets()
                        .forEach(s ->
                                assertThat(text.substring(s.start(), s.end())).isNotNull());
            }
            String longText = "quick shells ".repeat(10_000);
            assertThat(tokenizer.encode(longText).length()).isEqualTo(40_002);
        }
    }

    @Test
    void charOffsetsCutTheTextAfterEmoji() {
        try (Tokenizer tokenizer = Tokenizer.fromFolder(BERT)) {
            String text = "👍🏽 the 😀 shells";
            Encoding e = tokenizer.encode(text);
            int at = e.tokens().indexOf("shells");
            Span span = e.offsets().get(at);
            assertThat(text.substring(span.start(), span.end())).isEqualTo("shells");
            assertThat(e.codePointOffsets().get(at).start()).isEqualTo(9);
        }
    }

    @Test
    void batchesWithoutPaddingSaySo() {
        try (Tokenizer tokenizer = Tokenizer.fromFolder(BERT)) {
            BatchEncoding batch = tokenizer.encode(List.of("the sea", "the"), EncodeOptions.DEFAULT);
            assertThatThrownBy(batch::modelInputs)
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("padding");
            Map<String, long[][]> inputs =
                    tokenizer.encode(List.of("the sea", "the"), true, true, 0).modelInputs();
            assertThat(inputs)
                    .extractingByKey("attention_mask")
                    .satisfies(mask -> assertThat(mask[1]).endsWith(0L));
        }
    }

    @Test
    void errorsNameFileAndRemedy() throws IOException {
        assertThatThrownBy(() -> Tokenizer.fromFolder(temp.resolve("nowhere"))).hasMessageContaining("no such folder");
        Path folder = Files.createDirectory(temp.resolve("m"));
        assertThatThrownBy(() -> Tokenizer.fromFolder(folder)).hasMessageContaining("tokenizer.json, vocab.txt");
        Files.writeString(folder.resolve("merges.txt"), "a b\n");
        assertThatThrownBy(() -> Tokenizer.fromFolder(folder)).hasMessageContaining("without vocab.json");
        Files.writeString(folder.resolve("tokenizer.json"), "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0");
        assertThatThrownBy(() -> Tokenizer.fromFolder(folder))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("no valid JSON");
        Files.writeString(folder.resolve("tokenizer.json"), "{\"model\":{\"type\":\"Sorcery\",\"vocab\":{\"a\":0}}}");
        assertThatThrownBy(() -> Tokenizer.fromFolder(folder))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("tokenizer.json");
        Files.writeString(folder.resolve("tokenizer_config.json"), "[]");
        assertThatThrownBy(() -> Tokenizer.fromFolder(folder)).hasMessageContaining("tokenizer_config.json");
    }

    @Test
    void damagedSentencePieceModelsFailWithOneLine() throws IOException {
        byte[] good = Files.readAllBytes(BERT.resolveSibling("xlm-roberta").resolve("sentencepiece.bpe.model"));
        Random random = new Random(3);
        Path file = Files.createDirectory(temp.resolve("sp")).resolve("spiece.model");
        int failed = 0;
        for (int i = 0; i < 400; i++) {
            byte[] bad = i % 2 == 0 ? Arrays.copyOf(good, random.nextInt(good.length)) : good.clone();
            for (int k = 0; i % 2 == 1 && k < 5; k++) bad[random.nextInt(bad.length)] = (byte) random.nextInt(256);
            Files.write(file, bad);
            try {
                SentencePieceModel.read(file);
            } catch (HeadstartException e) {
                assertThat(e.getMessage()).contains("spiece.model").doesNotContain("\n");
                failed++;
            }
        }
        assertThat(failed).isGreaterThan(150);
    }

    @Test
    void languagesOfATranslationModel() {
        try (Tokenizer tokenizer = Tokenizer.fromFolder(BERT.resolveSibling("m2m100"))) {
            assertThat(tokenizer.languages()).contains("en", "fr").hasSize(100);
            Tokenizer german = tokenizer.withLanguages("de", "en");
            assertThat(german.encode("x").tokens()).startsWith("__de__");
            assertThat(german.asTarget().encode("x").tokens()).startsWith("__en__");
            assertThat(tokenizer.languageId("en")).isEqualTo(tokenizer.tokenToId("__en__"));
            assertThatThrownBy(() -> tokenizer.withLanguages("xx", "en")).hasMessageContaining("known are af, am");
        }
        try (Tokenizer none = Tokenizer.fromFolder(BERT)) {
            assertThatThrownBy(() -> none.withLanguages("fr", "de")).hasMessageContaining("no language codes at all");
        }
    }

    @Test
    void paddingWithoutAPaddingTokenFails() {
        try (Tokenizer tokenizer = Tokenizer.fromFolder(BERT.resolveSibling("gpt2"))) {
            assertThatThrownBy(() -> tokenizer.encode(List.of("a", "a b"), EncodeOptions.BATCH))
                    .hasMessageContaining("no padding token");
        }
    }
}
