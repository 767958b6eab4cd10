package dev.headstart.train.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.headstart.HeadstartException;
import dev.headstart.testing.Shared;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TokenizerTrainerTest {
    @TempDir
    Path temp;

    private static List<String> shakespeare() throws IOException {
        return Files.readAllLines(Shared.require("data/tinyshakespeare/input.txt"))
                .subList(0, 8000);
    }

    @ParameterizedTest
    @EnumSource(TokenizerTrainer.Kind.class)
    void learnsAVocabularyThatLoadsAndGivesTheTextBack(TokenizerTrainer.Kind kind) throws IOException {
        List<String> texts = shakespeare();
        int size = TokenizerTrainer.train(texts.iterator(), TokenizerTrainer.Options.of(kind, 1500), temp);
        assertThat(size).isEqualTo(1500);
        try (Tokenizer tokenizer = Tokenizer.fromFolder(temp)) {
            assertThat(tokenizer.vocabSize()).isEqualTo(1500);
            String text = "What, the king shall not be my brother, Sir!";
            String lower = "what, the king shall not be my brother, sir!";
            long[] ids = tokenizer.encode(text).ids();
            assertThat(tokenizer.decode(ids, true)).isEqualTo(kind == TokenizerTrainer.Kind.WORDPIECE ? lower : text);
            int tokens = tokenizer
                    .encode(String.join(" ", texts), null, EncodeOptions.DEFAULT)
                    .length();
            double perToken = texts.stream().mapToInt(String::length).sum() / (double) tokens;
            assertThat(perToken).as("characters a token").isBetween(2.4, 5.0);
        }
        byte[] first = Files.readAllBytes(temp.resolve("tokenizer.json"));
        TokenizerTrainer.train(texts.iterator(), TokenizerTrainer.Options.of(kind, 1500), temp);
        assertThat(Files.readAllBytes(temp.resolve("tokenizer.json"))).isEqualTo(first);
    }

    @Test
    void theMostFrequentPairIsMergedFirst() {
        Map<String, Integer> ids = new TreeMap<>();
        List<String> tokens = new java.util.ArrayList<>(List.of("a", "b", "c"));
        tokens.forEach(t -> ids.put(t, ids.size()));
        List<int[]> words =
                new java.util.ArrayList<>(List.of(new int[] {0, 1, 0, 1}, new int[] {1, 2}, new int[] {0, 1, 2}));
        List<PairMerger.Merge> merges = new PairMerger(tokens, words, new long[] {3, 4, 2}, "").run(6, 1, () -> true);
        // ab 3*2+2 = 8, bc 4+2 = 6; after ab: (ab)(ab) 3, (ab)c 2, bc 4
        assertThat(merges)
                .containsExactly(new PairMerger.Merge(0, 1), new PairMerger.Merge(1, 2), new PairMerger.Merge(3, 3));
        assertThat(tokens).containsExactly("a", "b", "c", "ab", "bc", "abab");
    }

    @Test
    void unigramFindsTheWordsThatTextsAreMadeOf() {
        List<String> words = List.of("▁sea", "▁seas", "▁shell", "▁shells", "▁shore", "▁shores");
        Map<String, Double> pieces = new UnigramTrainer(words, new long[] {90, 80, 70, 90, 80, 70}, 14).run();
        assertThat(pieces).hasSize(14).containsKeys("▁shell", "▁sea", "▁shore", "s");
        assertThat(pieces.values().stream().mapToDouble(Math::exp).sum()).isLessThan(1.01);
    }

    @Test
    void bertWordsAreBerts() {
        assertThat(TokenizerTrainer.bertWords("Ünï-code, 日本! $5\u200b a\u0301", true))
                .containsExactly("uni", "-", "code", ",", "日", "本", "!", "$", "5", "a");
        assertThat(TokenizerTrainer.bertWords("Ünï", false)).containsExactly("Ünï");
    }

    @Test
    void errors() {
        TokenizerTrainer.Options small = TokenizerTrainer.Options.of(TokenizerTrainer.Kind.BPE, 100);
        assertThatThrownBy(() -> TokenizerTrainer.train(List.of("a b").iterator(), small, temp))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("no room");
        assertThatThrownBy(() -> TokenizerTrainer.train(List.<String>of().iterator(), small, temp))
                .hasMessageContaining("no words");
    }
}
