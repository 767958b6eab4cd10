package dev.headstart.train.pretrain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Tensors;
import dev.headstart.text.Tokenizer;
import dev.headstart.train.Masking;
import dev.headstart.train.NewModel;
import dev.headstart.train.Objective;
import dev.headstart.train.TrainerCallback;
import dev.headstart.train.TrainingArguments;
import dev.headstart.train.TrainingData;
import dev.headstart.train.pretrain.Corpus.Split;
import dev.headstart.train.tokenizer.TokenizerTrainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Tiny models from nothing, on stories whose sentences are easy to foresee. */
class PretrainTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String[] NAMES = {"Anna", "Bruno", "Clara", "David"};
    private static final String[] PLACES = {"the sea", "the mill", "the old town", "a garden"};

    @TempDir
    Path dir;

    private Path data = Path.of("");

    @BeforeEach
    void write() throws IOException {
        data = Files.createDirectories(dir.resolve("data"));
        SplittableRandom random = new SplittableRandom(3);
        for (int d = 0; d < 4; d++) {
            StringBuilder text = new StringBuilder();
            for (int i = 0; i < 150; i++) {
                text.append(NAMES[d])
                        .append(" walked to ")
                        .append(PLACES[random.nextInt(4)])
                        .append(". Then ")
                        .append(NAMES[d])
                        .append(" went home.")
                        .append(i % 5 == 4 ? "\n\n" : " ");
            }
            Files.writeString(data.resolve("story" + d + ".txt"), text);
        }
        Files.writeString(data.resolve("LICENSE.txt"), "xylophone");
    }

    private PretrainOptions options(PretrainOptions.Objective objective, String out, int steps) {
        Map<String, String> small = switch (objective) {
            case CLM -> Map.of("n_embd", "32", "n_layer", "2", "n_head", "2");
            case MLM, MLM_NSP ->
                Map.of(
                        "hidden_size", "32",
                        "num_hidden_layers", "2",
                        "num_attention_heads", "2",
                        "intermediate_size", "64");
            case SPAN_CORRUPTION ->
                Map.of("d_model", "32", "d_kv", "16", "num_heads", "2", "d_ff", "64", "num_layers", "2");
        };
        return new PretrainOptions(objective, List.of(data), dir.resolve(out))
                .config("mini", small)
                .tokenizer(null, objective == PretrainOptions.Objective.CLM ? 300 : 200, false)
                .blockSize(32)
                .validation(0.2, 2000, 8)
                .arguments(TrainingArguments.defaults()
                        .learningRate(5e-3)
                        .batchSize(8)
                        .maxSteps(steps)
                        .evalSteps(steps / 2)
                        .saveSteps(steps / 2));
    }

    private static List<Double> losses(Path folder) throws IOException {
        List<Double> all = new ArrayList<>();
        for (String line : Files.readAllLines(folder.resolve("training_log.jsonl"))) {
            JsonNode loss = JSON.readTree(line).path("loss");
            if (loss.isNumber()) {
                all.add(loss.asDouble());
            }
        }
        return all;
    }

    @ParameterizedTest
    @EnumSource
    void learnsSavesAndResumesAsIfUnbroken(PretrainOptions.Objective objective) throws IOException {
        Pretrain.Report report = new Pretrain(options(objective, "whole", 40).saveDtype("bf16")).run();
        Path whole = dir.resolve("whole");
        List<Double> losses = losses(whole);
        assertThat(losses).hasSize(40);
        assertThat(losses.get(39)).isLessThan(0.75 * losses.get(0));
        assertThat(report.result().metrics().get("loss")).isLessThan(losses.get(0));
        assertThat(whole.resolve(".pretrain")).doesNotExist();
        assertThat(whole.resolve("report.html")).content().contains("Loss", "held out");
        assertThat(whole.resolve("README.md")).content().contains("story0.txt", objective.id());
        try (PreTrainedModel<?> model = Models.fromPretrained(
                        whole.toString(), LoadOptions.defaults().withDtype("auto"));
                Tokenizer tokenizer = Tokenizer.fromFolder(whole)) {
            assertThat(model.namedParameters()
                            .values()
                            .iterator()
                            .next()
                            .tensor()
                            .scalar_type()
                            .intern())
                    .isEqualTo(ScalarType.BFloat16);
            assertThat(model.numParameters()).isEqualTo(report.parameters());
            assertThat(tokenizer.vocabSize()).isEqualTo(model.config().size("vocab_size", 0));
        }
        // the run was killed after its first checkpoint
        Path broken = Files.createDirectories(dir.resolve("broken"));
        try (Stream<Path> files = Files.walk(whole.resolve("checkpoint-20"))) {
            for (Path f : files.toList()) {
                Files.copy(f, broken.resolve(whole.relativize(f)));
            }
        }
        Files.copy(whole.resolve("training_log.jsonl"), broken.resolve("training_log.jsonl"));
        new Pretrain(options(objective, "broken", 40).resume(true)).run();
        assertThat(losses(broken)).isEqualTo(losses);
    }

    @Test
    void headsThatBeginOnTheNeighboursAreNewWeightsToo() throws IOException {
        new Pretrain(options(PretrainOptions.Objective.MLM, "local", 4).init("local")).run();
        new Pretrain(options(PretrainOptions.Objective.MLM, "random", 4)).run();
        assertThat(losses(dir.resolve("local"))).hasSize(4).isNotEqualTo(losses(dir.resolve("random")));
        assertThat(dir.resolve("local/README.md")).content().contains("trained from nothing");
    }

    /** Native memory of a thousand steps: what a step makes must be freed. */
    @Test
    @Tag("soak")
    void memoryStaysFlat() {
        PretrainOptions o = options(PretrainOptions.Objective.MLM_NSP, "flat", 1000);
        o.arguments(TrainingArguments.defaults()
                .learningRate(1e-3)
                .batchSize(8)
                .maxSteps(1000)
                .saveSteps(1000)
                .evalSteps(1000));
        List<Long> resident = new ArrayList<>();
        new Pretrain(o)
                .callback(new TrainerCallback() {
                    @Override
                    public void onStep(Step s) {
                        if (s.step() % 200 == 0) {
                            resident.add(resident());
                        }
                    }
                })
                .run();
        assertThat(resident).hasSize(5);
        assertThat(resident.get(4) - resident.get(1))
                .as("kB at steps 200, 400 ...: %s", resident)
                .isLessThan(40_000);
    }

    /** Anonymous memory of this process in kB. */
    private static long resident() {
        System.gc();
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("RssAnon:")) {
                    return Long.parseLong(line.replaceAll("\\D+", ""));
                }
            }
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        return 0;
    }

    // === Parts ===

    private Corpus corpus() {
        return new Corpus(List.of(data), 0.2);
    }

    private static String text(Corpus corpus, Split split) {
        StringBuilder all = new StringBuilder();
        corpus.read(split, new Corpus.Sink() {
            @Override
            public void text(String piece) {
                all.append(piece);
            }

            @Override
            public void endOfDocument() {
                all.append('|');
            }
        });
        return all.toString();
    }

    @Test
    void theEndOfEachDocumentIsHeldOut() throws IOException {
        String train = text(corpus(), Split.TRAIN);
        String held = text(corpus(), Split.VALIDATION);
        assertThat(train + held).doesNotContain("xylophone");
        String[] trains = train.split("\\|");
        String[] helds = held.split("\\|");
        assertThat(trains).hasSize(4);
        for (int d = 0; d < 4; d++) {
            assertThat(trains[d] + helds[d]).isEqualTo(Files.readString(data.resolve("story" + d + ".txt")));
            assertThat((double) helds[d].length() / (trains[d].length() + helds[d].length()))
                    .isCloseTo(0.2, within(0.05));
        }
    }

    @Test
    void everyCharacterIsAToken() {
        try (TextIterator texts = new TextIterator(corpus())) {
            CharTokenizer.train(texts, dir.resolve("chars"));
        }
        try (Tokenizer tokenizer = Tokenizer.fromFolder(dir.resolve("chars"))) {
            String text = "Anna  went\n\nto the sea.";
            long[] ids = tokenizer.encode(text).ids();
            assertThat(ids).hasSize(text.length());
            assertThat(tokenizer.decode(ids, true)).isEqualTo(text);
            assertThat(tokenizer.encode("A\u00e9").ids()[1]).isZero();
        }
    }

    @Test
    void tokensAreReadBackFromWhereTheyWereWritten() throws IOException {
        for (int vocab : new int[] {60_000, 100_000}) {
            Path file = dir.resolve("tokens" + vocab);
            try (TokenShard.Writer w = new TokenShard.Writer(file, vocab)) {
                for (int i = 0; i < 1000; i++) {
                    w.add(i * 59L);
                }
            }
            assertThat(Files.size(file)).isEqualTo(1000L * (vocab > 65536 ? 4 : 2));
            try (TokenShard shard = TokenShard.open(file, vocab)) {
                assertThat(shard.length()).isEqualTo(1000);
                assertThat(shard.read(997, 3)).containsExactly(997 * 59L, 998 * 59L, 999 * 59L);
                assertThatThrownBy(() -> shard.read(998, 3))
                        .isInstanceOf(HeadstartException.class)
                        .hasMessageContaining("shorter");
            }
        }
    }

    private Tokenizer wordPiece() {
        try (TextIterator texts = new TextIterator(corpus())) {
            TokenizerTrainer.train(
                    texts, TokenizerTrainer.Options.of(TokenizerTrainer.Kind.WORDPIECE, 200), dir.resolve("words"));
        }
        return Tokenizer.fromFolder(dir.resolve("words"));
    }

    @Test
    void halfOfTheSecondTextsFollowTheFirst() {
        try (Tokenizer tokenizer = wordPiece();
                Shards shards = Shards.of(dir.resolve("work"), corpus(), tokenizer, true, OptionalInt.empty(), false)) {
            TokenShard tokens = shards.tokens(Split.TRAIN);
            long[] all = tokens.read(0, (int) tokens.length());
            String whole = " " + join(all) + " ";
            SentencePairs pairs =
                    new SentencePairs(tokens, shards.sentences(Split.TRAIN), shards.documents(Split.TRAIN), 60, 0);
            SplittableRandom random = new SplittableRandom(5);
            int follow = 0;
            int n = 2000;
            Map<Long, Integer> names = new HashMap<>();
            for (int d = 0; d < 4; d++) {
                names.put(tokenizer.encode(NAMES[d]).ids()[1], d);
            }
            for (int i = 0; i < n; i++) {
                SentencePairs.Pair p = pairs.draw(i % pairs.size(), random);
                assertThat(p.first().length + p.second().length).isLessThanOrEqualTo(60);
                assertThat(Math.min(p.first().length, p.second().length)).isPositive();
                assertThat(whole).contains(" " + join(p.first()) + " ").contains(" " + join(p.second()) + " ");
                follow += p.follows() ? 1 : 0;
                int a = name(p.first(), names);
                int b = name(p.second(), names);
                if (a >= 0 && b >= 0) {
                    assertThat(a == b).isEqualTo(p.follows());
                }
            }
            assertThat((double) follow / n).isCloseTo(0.5, within(0.06));
        }
    }

    private static int name(long[] ids, Map<Long, Integer> names) {
        for (long id : ids) {
            Integer d = names.get(id);
            if (d != null) {
                return d;
            }
        }
        return -1;
    }

    private static String join(long[] ids) {
        StringBuilder b = new StringBuilder();
        for (long id : ids) {
            b.append(b.isEmpty() ? "" : " ").append(id);
        }
        return b.toString();
    }

    @Test
    void masksAsThePaperSays() {
        try (Tokenizer tokenizer = wordPiece()) {
            Masking masking = new Masking(tokenizer, 0.15);
            long cls = tokenizer.clsId().orElseThrow();
            long mask = tokenizer.maskId().orElseThrow();
            SplittableRandom random = new SplittableRandom(9);
            int predicted = 0;
            int masked = 0;
            int kept = 0;
            int n = 400_000;
            long[] row = new long[n];
            Arrays.fill(row, 100);
            row[0] = cls;
            long[] labels = masking.mask(row, random);
            assertThat(labels[0]).isEqualTo(Masking.IGNORED);
            for (int i = 1; i < n; i++) {
                if (labels[i] == Masking.IGNORED) {
                    assertThat(row[i]).isEqualTo(100);
                    continue;
                }
                assertThat(labels[i]).isEqualTo(100);
                predicted++;
                masked += row[i] == mask ? 1 : 0;
                kept += row[i] == 100 ? 1 : 0;
            }
            assertThat((double) predicted / n).isCloseTo(0.15, within(0.003));
            assertThat((double) masked / predicted).isCloseTo(0.8 + 0.1 / 200, within(0.008));
            assertThat((double) kept / predicted).isCloseTo(0.1 + 0.1 / 200, within(0.006));
        }
    }

    @Test
    void scoresOfMaskedTokensAloneGiveTheSameLoss() {
        PretrainOptions o = options(PretrainOptions.Objective.MLM_NSP, "x", 1);
        try (Tokenizer tokenizer = wordPiece();
                Shards shards = Shards.of(dir.resolve("work"), corpus(), tokenizer, true, OptionalInt.empty(), false)) {
            var config = Presets.config(o);
            NewModel.fit(config, tokenizer, "mini");
            try (PreTrainedModel<?> model = Models.fromConfig(
                            new ConfigJson(config, "mini"), "BertForPreTraining", LoadOptions.defaults());
                    PointerScope scope = new PointerScope()) {
                TrainingData data = Goal.of(o, tokenizer, 32, model).data(shards, Split.TRAIN);
                Map<String, Tensor> some = data.batch(new int[] {0, 3, 5}, new SplittableRandom(1));
                Map<String, Tensor> all = new LinkedHashMap<>(some);
                long[] labels = new long[(int) Goal.get(all, "input_ids").numel()];
                Arrays.fill(labels, Masking.IGNORED);
                long[] places = Tensors.longs(Goal.get(all, "masked_positions"));
                all.remove("masked_positions");
                long[] wanted = Tensors.longs(Goal.get(all, "labels"));
                for (int i = 0; i < places.length; i++) {
                    labels[(int) places[i]] = wanted[i];
                }
                all.put("labels", Tensors.int64(labels).view_as(Goal.get(all, "input_ids")));
                double few = Goal.get(Objective.forward(model, some), "loss").item_double();
                double every = Goal.get(Objective.forward(model, all), "loss").item_double();
                assertThat(few).isCloseTo(every, within(1e-5));
            }
        }
    }

    @Test
    void missingSpansAndWhatIsLeftMakeTheText() {
        PretrainOptions o = options(PretrainOptions.Objective.SPAN_CORRUPTION, "x", 1);
        try (TextIterator texts = new TextIterator(corpus())) {
            TokenizerTrainer.train(
                    texts, TokenizerTrainer.Options.of(TokenizerTrainer.Kind.UNIGRAM, 200), dir.resolve("pieces"));
        }
        try (Tokenizer tokenizer = Tokenizer.fromFolder(dir.resolve("pieces"))) {
            SpanGoal goal = new SpanGoal(o, tokenizer, 64);
            long eos = tokenizer.eosId().orElseThrow();
            long[] row = new long[goal.lengths().raw()];
            Arrays.setAll(row, i -> 3 + i % 50);
            for (int seed = 0; seed < 20; seed++) {
                long[][] both = goal.corrupt(row, new SplittableRandom(seed));
                assertThat(both[0]).hasSize(64).endsWith(eos);
                assertThat(both[1]).endsWith(eos);
                assertThat(both[1][0])
                        .isEqualTo(tokenizer.tokenToId("<extra_id_0>").orElseThrow());
                List<Long> text = new ArrayList<>();
                int at = 0;
                int sentinel = 0;
                for (int i = 0; i < 63; i++) {
                    long id = both[0][i];
                    if (id != tokenizer.tokenToId("<extra_id_" + sentinel + ">").orElse(-1)) {
                        text.add(id);
                        continue;
                    }
                    assertThat(both[1][at++]).isEqualTo(id);
                    sentinel++;
                    long next =
                            tokenizer.tokenToId("<extra_id_" + sentinel + ">").orElse(-1);
                    while (both[1][at] != next && both[1][at] != eos) {
                        text.add(both[1][at++]);
                    }
                }
                assertThat(text).isEqualTo(Arrays.stream(row).boxed().toList());
            }
        }
    }

    @Test
    void aTableOfPositionsEndsWithTheExamples() {
        var mlm = PretrainOptions.Objective.MLM;
        PretrainOptions plain = new PretrainOptions(mlm, List.of(data), dir.resolve("o"));
        assertThat(Presets.config(plain).path("max_position_embeddings").asInt())
                .isEqualTo(128);
        assertThat(Presets.config(options(mlm, "o", 2))
                        .path("max_position_embeddings")
                        .asInt())
                .isEqualTo(32);
        PretrainOptions longer = plain.blockSize(32).config("mini", Map.of("max_position_embeddings", "64"));
        assertThat(Presets.config(longer).path("max_position_embeddings").asInt())
                .isEqualTo(64);
    }

    @Test
    void aFolderMayBeALink() throws IOException {
        Path link = Files.createSymbolicLink(dir.resolve("link"), data);
        assertThat(new Corpus(List.of(link), 0.1).files())
                .hasSameSizeAs(new Corpus(List.of(data), 0.1).files())
                .isNotEmpty();
    }

    // === Refusals ===

    private void refused(PretrainOptions o, String... parts) {
        assertThatThrownBy(() -> new Pretrain(o).run())
                .isInstanceOf(HeadstartException.class)
                .message()
                .contains(parts);
    }

    @Test
    void refusesWhatCannotWork() throws IOException {
        var clm = PretrainOptions.Objective.CLM;
        refused(new PretrainOptions(clm, List.of(dir.resolve("nothing")), dir.resolve("o")), "nothing", "no such file");
        Path empty = Files.createDirectories(dir.resolve("empty"));
        refused(new PretrainOptions(clm, List.of(empty), dir.resolve("o")), "no .txt");
        refused(options(clm, "o", 2).blockSize(4096), "--block-size 4096", "256");
        refused(options(clm, "o", 2).saveDtype("int8"), "--save-dtype", "int8");
        refused(options(clm, "o", 2).dropout(1.5), "--dropout", "1.5");
        refused(options(clm, "o", 2).init("local"), "--init local", "clm");
        refused(options(clm, "o", 2).tokenizer("some/folder", 500, false), "--vocab-size", "some/folder");
        refused(options(clm, "o1", 2).tokenizer("bpe", 100, false), "100 tokens", "bpe");
        refused(options(clm, "o2", 2).config("mini", Map.of("vocab_size", "50")), "vocab_size", "50");
        refused(options(PretrainOptions.Objective.MLM, "o3", 2).tokenizer("char", 0, false), "mask token");
        Files.write(data.resolve("latin.txt"), new byte[] {'a', (byte) 0xE9, '\n'});
        refused(options(clm, "o4", 2), "latin.txt", "UTF-8");
        refused(options(clm, "data", 2), "not empty", "--resume");
        assertThatThrownBy(() -> PretrainOptions.Objective.of("bert"))
                .hasMessageContaining("mlm-nsp, mlm, clm, span-corruption");
    }
}
