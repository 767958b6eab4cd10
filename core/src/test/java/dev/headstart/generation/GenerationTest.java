package dev.headstart.generation;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Against transformers: golden.json is made by conformance/generation.py. */
class GenerationTest {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonNode GOLDEN = golden();

    private static JsonNode golden() {
        try (InputStream in = GenerationTest.class.getResourceAsStream("/generation/golden.json")) {
            return JSON.readTree(in);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    static Stream<JsonNode> processorCases() {
        return StreamSupport.stream(GOLDEN.get("processors").spliterator(), false);
    }

    static Stream<JsonNode> generationCases() {
        return StreamSupport.stream(GOLDEN.get("generations").spliterator(), false);
    }

    @ParameterizedTest
    @MethodSource("processorCases")
    void processorsComputeWhatTransformersComputes(JsonNode c) {
        GenerationConfig config = config(c);
        long[][] ids = longs(c.get("ids"));
        int promptLength = c.get("prompt").asInt();
        long[][] source =
                Stream.of(ids).map(row -> Arrays.copyOf(row, promptLength)).toArray(long[][]::new);
        int[] padding = {
            c.get("padding").get(0).asInt(), c.get("padding").get(1).asInt()
        };
        var context = new Processors.Context(
                promptLength, c.get("max_length").asInt(), config.ids("eos_token_id"), padding, source, false);
        try (PointerScope scope = new PointerScope()) {
            Tensor scores = tensor(c.get("scores"));
            Rows rows = new Rows(ids, c.get("length").asInt(), new int[] {0, 1});
            for (LogitsProcessor p : Processors.of(config, context, List.of())) {
                scores = p.process(rows, scores);
            }
            float[] got = Decoding.floats(scores);
            float[] want = Decoding.floats(tensor(c.get("expected")));
            for (int i = 0; i < want.length; i++) {
                if (Float.isInfinite(want[i])) {
                    assertThat(got[i]).as("%s, element %d", c.get("config"), i).isEqualTo(want[i]);
                } else {
                    assertThat(got[i])
                            .as("%s, element %d", c.get("config"), i)
                            .isCloseTo(want[i], offset(1e-5f + Math.abs(want[i]) * 1e-6f));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("generationCases")
    void generatesTheSequencesOfTransformers(JsonNode c) {
        ToyModel model = new ToyModel(GOLDEN);
        GenerationOutput out = request(model, c).with("output_scores", true).generate();
        assertThat(out.sequences()).isDeepEqualTo(longs(c.get("sequences")));
        if (c.has("sequences_scores")) {
            for (int i = 0; i < c.get("sequences_scores").size(); i++) {
                assertThat(Objects.requireNonNull(out.sequencesScores())[i])
                        .isCloseTo((float) c.get("sequences_scores").get(i).asDouble(), offset(1e-5f));
            }
        } else {
            for (int r = 0; r < out.sequences().length; r++) {
                float[] got = Objects.requireNonNull(out.tokenLogProbabilities())[r];
                for (int i = 0; i < got.length; i++) {
                    float want = Float.parseFloat(
                            c.get("log_probabilities").get(r).get(i).asText());
                    assertThat(got[i]).isCloseTo(want, offset(1e-5f));
                }
            }
        }
        assertThat(model.open).as("sessions left open").isZero();
    }

    @Test
    void aPromptPaddedOnTheRightGoesOnFromItsLastTokenWithAWarning() {
        ToyModel model = new ToyModel(GOLDEN);
        long[] alone = Generation.of(model)
                .prompt(new long[] {4, 7})
                .with("max_new_tokens", 6)
                .generate()
                .generated(0);
        PrintStream stderr = System.err;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setErr(new PrintStream(said, true, StandardCharsets.UTF_8));
        try (Tensor ids = Tensor.create(new long[] {4, 7, 0, 0, 5, 6, 4, 7}, 2, 4);
                Tensor mask = Tensor.create(new long[] {1, 1, 0, 0, 1, 1, 1, 1}, 2, 4)) {
            GenerationOutput out = Generation.of(model)
                    .inputs(Map.of("input_ids", ids, "attention_mask", mask))
                    .with("max_new_tokens", 6)
                    .generate();
            assertThat(out.generated(0)).isEqualTo(alone);
            assertThat(out.generated(1)).isEqualTo(alone); // the toy reads two tokens
        } finally {
            System.setErr(stderr);
        }
        assertThat(said.toString(StandardCharsets.UTF_8).lines())
                .singleElement()
                .asString()
                .contains("row 0 of the prompt is padded on the right");
    }

    @Test
    void streamsTheSameTokensAsGenerate() {
        ToyModel model = new ToyModel(GOLDEN);
        for (JsonNode c : GOLDEN.get("generations")) {
            if (c.get("config").path("num_beams").asInt(1) > 1) {
                assertThatThrownBy(() -> request(model, c).stream())
                        .isInstanceOf(HeadstartException.class)
                        .hasMessageContaining("num_beams");
                continue;
            }
            GenerationOutput whole = request(model, c).generate();
            List<List<Long>> rows = IntStream.range(0, whole.sequences().length)
                    .mapToObj(i -> (List<Long>) new ArrayList<Long>())
                    .toList();
            try (TokenStream tokens = request(model, c).stream()) {
                tokens.stream().forEach(t -> rows.get(t.row()).add(t.id()));
            }
            for (int r = 0; r < rows.size(); r++) {
                assertThat(rows.get(r))
                        .containsExactlyElementsOf(
                                Arrays.stream(whole.generated(r)).boxed().toList());
            }
        }
        assertThat(model.open).isZero();
    }

    @Test
    void closingAStreamEarlyFreesItsSession() {
        ToyModel model = new ToyModel(GOLDEN);
        TokenStream tokens = Generation.of(model).prompt(new long[] {4, 7}).with("max_new_tokens", 50).stream();
        assertThat(tokens.stream().limit(3).count()).isEqualTo(3);
        assertThat(model.open).isEqualTo(1);
        tokens.close();
        assertThat(model.open).isZero();
        assertThat(tokens.hasNext()).isFalse();
        assertThat(tokens.output().reasons()).containsExactly(FinishReason.CANCELLED);
        assertThat(tokens.output().generated(0)).hasSize(3);
    }

    @Test
    void publishesToOneSubscriberAsItAsks() throws InterruptedException {
        ToyModel model = new ToyModel(GOLDEN);
        long[] expected = Generation.of(model)
                .prompt(new long[] {4, 7})
                .with("max_new_tokens", 6)
                .generate()
                .generated(0);
        List<Long> got = new ArrayList<>();
        CountDownLatch complete = new CountDownLatch(1);
        Generation.of(model).prompt(new long[] {4, 7}).with("max_new_tokens", 6).stream()
                .publisher()
                .subscribe(new Flow.Subscriber<Token>() {
                    private Flow.@Nullable Subscription subscription;

                    @Override
                    public void onSubscribe(Flow.Subscription s) {
                        subscription = s;
                        s.request(1);
                    }

                    @Override
                    public void onNext(Token t) {
                        got.add(t.id());
                        if (got.size() < 6) {
                            Objects.requireNonNull(subscription).request(1);
                        }
                    }

                    @Override
                    public void onError(Throwable e) {
                        throw new AssertionError(e);
                    }

                    @Override
                    public void onComplete() {
                        complete.countDown();
                    }
                });
        assertThat(complete.await(10, TimeUnit.SECONDS)).isTrue();
        assertThat(got)
                .containsExactlyElementsOf(Arrays.stream(expected).boxed().toList());
    }

    @Test
    void cancelsBetweenTokens() {
        ToyModel model = new ToyModel(GOLDEN);
        AtomicInteger asked = new AtomicInteger();
        for (int beams : new int[] {1, 3}) {
            asked.set(0);
            GenerationOutput out = Generation.of(model)
                    .prompt(new long[] {4, 7})
                    .with("max_new_tokens", 50)
                    .with("num_beams", beams)
                    .cancelWhen(() -> asked.incrementAndGet() > 4)
                    .generate();
            assertThat(out.reasons()).containsExactly(FinishReason.CANCELLED);
            assertThat(out.generated(0)).hasSize(4);
        }
        assertThat(model.open).isZero();
    }

    @Test
    void stopStringsMayEndInsideATokenAndACharacter() {
        byte[] euro = "€".getBytes(StandardCharsets.UTF_8); // three bytes, one a token
        byte[][] text = {
            "las".getBytes(StandardCharsets.UTF_8),
            "topper".getBytes(StandardCharsets.UTF_8),
            {euro[0]},
            {euro[1]},
            {euro[2]},
            "at".getBytes(StandardCharsets.UTF_8)
        };
        StopStrings stop = new StopStrings(List.of("stop"), id -> text[(int) id]);
        assertThat(stop.endsWithOne(new long[] {0, 1}, 2)).isTrue();
        assertThat(stop.endsWithOne(new long[] {0, 1, 5}, 3))
                .as("it ended before the last token")
                .isFalse();
        assertThat(stop.endsWithOne(new long[] {1}, 1)).isFalse();
        StopStrings sign = new StopStrings(List.of("s€"), id -> text[(int) id]);
        assertThat(sign.endsWithOne(new long[] {0, 2, 3}, 3)).isFalse();
        assertThat(sign.endsWithOne(new long[] {0, 2, 3, 4}, 4)).isTrue();
    }

    @Test
    void saysWhichParametersContradictEachOther() {
        ToyModel model = new ToyModel(GOLDEN);
        assertSays(model, Map.of("num_return_sequences", 2), "num_return_sequences", "do_sample");
        assertSays(model, Map.of("num_return_sequences", 4, "num_beams", 2), "num_return_sequences", "num_beams");
        assertSays(
                model,
                Map.of("suppress_tokens", List.of(2), "forced_eos_token_id", 2),
                "forced_eos_token_id",
                "suppress_tokens");
        assertSays(model, Map.of("max_length", 2), "max_length", "prompt has 2 tokens");
        assertSays(model, Map.of("temperature", 0.0, "do_sample", true), "temperature", "do_sample");
        assertSays(model, Map.of("stop_strings", "x"), "stop_strings", "tokenizer");
        assertSays(model, Map.of("max_new_tokens", 0), "max_new_tokens", "at least 1");
        assertSays(model, Map.of("num_beam_groups", 2, "num_beams", 2), "num_beam_groups", "not supported");
        assertSays(model, Map.of("sequence_bias", List.of(List.of(List.of(99), 1.0))), "sequence_bias", "99");
        assertThatThrownBy(() -> GenerationConfig.fromJson("{\"max_new_token\": 3}"))
                .hasMessageContaining("max_new_token is unknown; did you mean max_new_tokens?");
        assertThatThrownBy(() -> GenerationConfig.fromJson("{\"num_beams\": \"four\"}"))
                .hasMessageContaining("num_beams = four must be a whole number");
        assertThatThrownBy(() -> GenerationConfig.fromJson("[1]"))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("not a JSON object");
        assertThatThrownBy(() -> Generation.of(model).prompt(new long[] {}).generate())
                .hasMessageContaining("prompt is empty");
        assertThat(model.open).isZero();
    }

    private static void assertSays(ToyModel model, Map<String, ?> parameters, String... words) {
        assertThatThrownBy(() -> Generation.of(model)
                        .prompt(new long[] {4, 7})
                        .config(GenerationConfig.empty().with(parameters))
                        .generate())
                .isInstanceOf(HeadstartException.class)
                .hasMessageContainingAll(words);
    }

    private static Generation request(ToyModel model, JsonNode c) {
        long[][] padded = longs(c.get("prompts"));
        long[][] mask = longs(c.get("mask"));
        long[][] prompts = new long[padded.length][];
        for (int r = 0; r < prompts.length; r++) {
            int row = r;
            prompts[r] = IntStream.range(0, padded[r].length)
                    .filter(i -> mask[row][i] == 1)
                    .mapToLong(i -> padded[row][i])
                    .toArray();
        }
        return Generation.of(model).prompt(prompts).config(config(c));
    }

    private static GenerationConfig config(JsonNode c) {
        return GenerationConfig.empty()
                .with(JSON.convertValue(c.get("config"), new TypeReference<Map<String, Object>>() {}));
    }

    private static long[][] longs(JsonNode rows) {
        return JSON.convertValue(rows, long[][].class);
    }

    private static Tensor tensor(JsonNode rows) {
        float[] flat = new float[rows.size() * rows.get(0).size()];
        int n = 0;
        for (JsonNode row : rows) {
            for (JsonNode x : row) {
                flat[n++] = switch (x.asText()) {
                    case "inf" -> Float.POSITIVE_INFINITY;
                    case "-inf" -> Float.NEGATIVE_INFINITY;
                    case "nan" -> Float.NaN;
                    default -> Float.parseFloat(x.asText());
                };
            }
        }
        return Tensor.create(flat, rows.size(), rows.get(0).size());
    }
}
