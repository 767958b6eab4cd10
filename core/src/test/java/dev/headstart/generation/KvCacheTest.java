package dev.headstart.generation;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Device;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** A random life of rows that read, fork, move, leave and join, against plain lists. A row's keys are the numbers it has read. */
class KvCacheTest {
    private static final int CAPACITY = 40;

    @Test
    void rowsKeepTheirOwnTokensHoweverTheyMove() {
        for (int seed = 0; seed < 30; seed++) {
            live(new Random(seed));
        }
    }

    private static void live(Random random) {
        List<List<Float>> rows = new ArrayList<>();
        int start = 1 + random.nextInt(4);
        for (int i = 0; i < start; i++) {
            rows.add(new ArrayList<>());
        }
        float next = 1;
        try (KvCache cache = new KvCache(2, start, CAPACITY)) {
            for (int step = 0; step < 12; step++) {
                int most = step == 0 ? 5 : 2;
                int[] added =
                        rows.stream().mapToInt(r -> 1 + random.nextInt(most)).toArray();
                next = read(cache, rows, added, next);
                int[] sources = IntStream.range(0, 1 + random.nextInt(5))
                        .map(i -> random.nextInt(rows.size()))
                        .toArray();
                cache.select(sources);
                List<List<Float>> chosen = new ArrayList<>();
                for (int s : sources) {
                    chosen.add(new ArrayList<>(rows.get(s)));
                }
                rows.clear();
                rows.addAll(chosen);
                if (random.nextInt(3) == 0) {
                    next = join(cache, rows, next);
                }
            }
        }
    }

    private static float join(KvCache cache, List<List<Float>> rows, float next) {
        List<List<Float>> newcomers = List.of(new ArrayList<>(), new ArrayList<>());
        try (KvCache other = new KvCache(2, 2, CAPACITY)) {
            float n = read(other, newcomers, new int[] {3, 2}, next);
            cache.join(other, 1);
            rows.add(new ArrayList<>(newcomers.get(1)));
            return n;
        }
    }

    /** Reads new numbers into every row and compares all that the rows hold, as the mask shows it. */
    private static float read(KvCache cache, List<List<Float>> rows, int[] added, float first) {
        float next = first;
        try (PointerScope scope = new PointerScope()) {
            int width = Arrays.stream(added).max().orElseThrow();
            float[] keys = new float[rows.size() * width];
            Arrays.fill(keys, -1);
            int[] lengths = rows.stream().mapToInt(List::size).toArray();
            assertThat(cache.lengths()).containsExactly(lengths);
            for (int r = 0; r < rows.size(); r++) {
                for (int i = 0; i < added[r]; i++) {
                    keys[r * width + i] = next;
                    rows.get(r).add(next++);
                }
            }
            cache.begin(added, width, new Device("cpu"));
            for (int layer = 0; layer < 2; layer++) {
                Tensor k = Tensor.create(keys, rows.size(), 1, width, 1);
                KvCache.KeysValues all = cache.update(layer, k, k.neg());
                long seen = all.keys().size(2);
                float[] got = Decoding.floats(all.keys());
                float[] values = Decoding.floats(all.values());
                Tensor mask = cache.mask(0, ScalarType.Float);
                for (int r = 0; r < rows.size(); r++) {
                    List<Float> visible = new ArrayList<>();
                    for (int j = 0; j < seen; j++) {
                        int maskRow = mask == null || mask.size(0) == 1 ? 0 : r;
                        boolean hidden = mask != null
                                && mask.select(0, maskRow)
                                                .select(0, 0)
                                                .select(0, added[r] - 1)
                                                .select(0, j)
                                                .item_float()
                                        < 0;
                        if (!hidden) {
                            visible.add(got[(int) (r * seen) + j]);
                            assertThat(values[(int) (r * seen) + j]).isEqualTo(-got[(int) (r * seen) + j]);
                        }
                    }
                    assertThat(visible).as("row %d", r).isEqualTo(rows.get(r));
                }
            }
            cache.end();
        }
        return next;
    }

    @Test
    void slidingWindowHidesWhatIsTooFarBack() {
        try (PointerScope scope = new PointerScope();
                KvCache cache = new KvCache(1, 1, 8)) {
            cache.begin(new int[] {5}, 5, new Device("cpu"));
            Tensor mask = Objects.requireNonNull(cache.mask(2, ScalarType.Float)); // [1, 1, 5, 5]
            float[] m = Decoding.floats(mask);
            for (int q = 0; q < 5; q++) {
                for (int k = 0; k < 5; k++) {
                    assertThat(m[q * 5 + k] == 0).as("%d sees %d", q, k).isEqualTo(k <= q && k > q - 2);
                }
            }
        }
    }
}
