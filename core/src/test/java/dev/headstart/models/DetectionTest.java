package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Random;
import org.junit.jupiter.api.Test;

/** The assignment against trying everything. */
class DetectionTest {
    @Test
    void assignsAtTheLeastCost() {
        Random random = new Random(3);
        for (int round = 0; round < 200; round++) {
            int rows = 1 + random.nextInt(5), columns = random.nextInt(6);
            double[][] cost = new double[rows][columns];
            for (double[] row : cost) {
                for (int c = 0; c < columns; c++) {
                    row[c] = random.nextInt(20) - 5;
                }
            }
            int[] found = Detection.assign(cost, columns);
            double total = 0;
            int used = 0;
            for (int c = 0; c < columns; c++) {
                if (found[c] >= 0) {
                    total += cost[found[c]][c];
                    used++;
                    for (int d = 0; d < c; d++) {
                        assertThat(found[d]).isNotEqualTo(found[c]);
                    }
                }
            }
            assertThat(used).isEqualTo(Math.min(rows, columns));
            assertThat(total).isEqualTo(least(cost, columns, 0, 0, Math.min(rows, columns)));
        }
    }

    private static double least(double[][] cost, int columns, int column, int taken, int left) {
        if (left == 0) {
            return 0;
        }
        double best =
                columns - column > left ? least(cost, columns, column + 1, taken, left) : Double.POSITIVE_INFINITY;
        for (int r = 0; r < cost.length; r++) {
            if ((taken & 1 << r) == 0) {
                best = Math.min(best, cost[r][column] + least(cost, columns, column + 1, taken | 1 << r, left - 1));
            }
        }
        return best;
    }
}
