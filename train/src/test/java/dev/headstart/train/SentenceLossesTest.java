package dev.headstart.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.HeadstartException;
import dev.headstart.models.Tensors;
import dev.headstart.nn.Natives;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Losses and gradients are those of sentence-transformers (conformance/sentence_losses.py). */
class SentenceLossesTest {
    private static JsonNode golden = new ObjectMapper().createObjectNode();

    @BeforeAll
    static void read() throws IOException {
        Natives.load();
        try (InputStream in = SentenceLossesTest.class.getResourceAsStream("/sentence-losses.json")) {
            golden = new ObjectMapper().readTree(Objects.requireNonNull(in));
        }
    }

    private static float[] floats(JsonNode array) {
        float[] all = new float[array.size()];
        for (int i = 0; i < all.length; i++) {
            all[i] = (float) array.get(i).asDouble();
        }
        return all;
    }

    private static Tensor scores() {
        return Tensors.float32(floats(golden.path("scores")), 5);
    }

    private static void check(String name, int columns, Function<List<Tensor>, Tensor> loss) {
        try (PointerScope scope = new PointerScope()) {
            List<Tensor> all = new ArrayList<>();
            for (int i = 0; i < columns; i++) {
                all.add(Tensors.float32(floats(golden.path("columns").get(i)), 5, 8)
                        .set_requires_grad(true));
            }
            Tensor value = loss.apply(all);
            assertThat(value.item_double())
                    .as(name)
                    .isCloseTo(golden.path(name).path("loss").asDouble(), offset(1e-5));
            value.backward();
            float[] expected = floats(golden.path(name).path("gradient"));
            float[] found = Tensors.floats(all.get(0).grad());
            IntStream.range(0, expected.length)
                    .forEach(i -> assertThat(found[i])
                            .as(name)
                            .isCloseTo(expected[i], offset(1e-5f * Math.max(1, Math.abs(expected[i])))));
        }
    }

    @Test
    void ranking() {
        Function<List<Tensor>, Tensor> loss = c -> SentenceLosses.multipleNegativesRanking(c, SentenceLosses.SCALE);
        check("ranking_pairs", 2, loss);
        check("ranking_triplets", 3, loss);
        check("ranking_two_negatives", 4, loss);
    }

    @Test
    void scored() {
        check("cosent", 2, c -> SentenceLosses.cosent(c.get(0), c.get(1), scores(), SentenceLosses.SCALE));
        check("cosine", 2, c -> SentenceLosses.cosine(c.get(0), c.get(1), scores()));
    }

    @Test
    void matryoshka() {
        List<Integer> dims = List.of(8, 4, 2);
        check(
                "matryoshka_ranking",
                3,
                c -> SentenceLosses.matryoshka(
                        c, dims, some -> SentenceLosses.multipleNegativesRanking(some, SentenceLosses.SCALE)));
        check(
                "matryoshka_cosent",
                2,
                c -> SentenceLosses.matryoshka(
                        c,
                        dims,
                        some -> SentenceLosses.cosent(some.get(0), some.get(1), scores(), SentenceLosses.SCALE)));
        assertThatThrownBy(() ->
                        check("cosine", 2, c -> SentenceLosses.matryoshka(c, List.of(16), some -> some.get(0))))
                .isInstanceOf(HeadstartException.class)
                .hasMessageContaining("matryoshka dimension 16: expected 1 to 8");
    }
}
