package dev.headstart.nn;

import static dev.headstart.nn.Assembler.Mem.at;
import static dev.headstart.nn.Assembler.Mem.each;

import dev.headstart.nn.Assembler.Reg;
import java.util.function.IntConsumer;
import java.util.stream.DoubleStream;
import org.jspecify.annotations.Nullable;

/** Activations that {@link TileCode} applies to what is still in registers. */
enum TileActivation {
    LINEAR(),
    RELU(),
    /**
     * x Phi(x) with Phi(x) = 1/2 + x P(x^2) / Q(x^2), |x| up to 4 sqrt(2): the rational function by which Eigen and XLA compute erf (Eigen's generic_fast_erf). To 2e-7 of |x|.
     */
    GELU(
            5.656854249492381,
            new double[] {},
            new double[] {
                -0.00569080701097846,
                -0.0005223043845035136,
                -6.49646099191159e-05,
                -2.5157562504318776e-06,
                -4.6426510635910745e-08,
                3.0611993495632817e-10,
                -1.5059950899190544e-12
            },
            new double[] {
                -0.014264739118516445,
                -0.0036866646260023117,
                -0.0004207067540846765,
                -2.6671756131690927e-05,
                -9.103794695874967e-07
            }),
    /** The same to 5e-5, for 8 bits: a polynomial of the least largest error, |x| up to 4.5. */
    GELU_ROUGH(
            4.5,
            new double[] {},
            new double[] {
                3.98708553e-01,
                -6.59772380e-02,
                9.58063620e-03,
                -1.03624874e-03,
                8.12090480e-05,
                -4.43162823e-06,
                1.58022941e-07,
                -3.28383883e-09,
                2.99992620e-11
            },
            new double[] {}),
    /** x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 with Eigen's rational function for tanh (generic_fast_tanh_float). */
    GELU_TANH(
            7.90531110763549805,
            new double[] {0.7978845608028654, 0.044715 * 0.7978845608028654},
            new double[] {
                2.44676227945893e-03,
                3.186309644378765e-04,
                7.428611785898950e-06,
                2.561148545185570e-08,
                -4.302335761059265e-11,
                1.00009395241238e-13,
                -1.38038423871178e-16
            },
            new double[] {4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06});

    private final double[] inner; // v = x (inner[0] + inner[1] x^2); none for v = x
    private final double[] p;
    private final double[] q;
    private final float[] constants;

    TileActivation() {
        this(0, new double[] {}, new double[] {}, new double[] {});
    }

    TileActivation(double most, double[] inner, double[] p, double[] q) {
        this.inner = inner;
        this.p = p;
        this.q = q;
        double[] all = DoubleStream.concat(
                        DoubleStream.of(most, -most, 0.5),
                        DoubleStream.concat(
                                DoubleStream.of(inner), DoubleStream.concat(DoubleStream.of(p), DoubleStream.of(q))))
                .toArray();
        constants = new float[all.length];
        for (int i = 0; i < all.length; i++) {
            constants[i] = (float) all[i];
        }
    }

    /** The activation of this name in the given type; null where there is no code for it. */
    static @Nullable TileActivation of(Activation act, boolean rough) {
        return switch (act) {
            case LINEAR -> LINEAR;
            case RELU -> RELU;
            case GELU, GELU_PYTHON -> rough ? GELU_ROUGH : GELU;
            case GELU_NEW, GELU_PYTORCH_TANH, GELU_FAST, GELU_PYTHON_TANH, GELU_ACCURATE -> GELU_TANH;
            default -> null;
        };
    }

    /** What the code reads. */
    float[] constants() {
        return constants.clone();
    }

    /**
     * Applies it to two vectors, whose instructions alternate, since each waits for the one before.
     *
     * @param z registers, the second right after the first
     * @param free registers, eight in a row
     * @param table where the constants lie
     */
    void write(Assembler a, int z, int free, Reg table) {
        if (this == RELU) {
            a.vpxord(free, free, free);
            both(i -> a.vmaxps(z + i, free, z + i)); // the second one where there is no number
        } else if (this != LINEAR) {
            phi(a, z, free, table);
        }
    }

    private void phi(Assembler a, int z, int v, Reg table) {
        int square = v + 2;
        int up = v + 4;
        int down = v + 6;
        int first = 3;
        if (inner.length > 0) {
            both(i -> {
                a.vmulps(square + i, z + i, z + i);
                a.vbroadcastss(v + i, at(table, 4 * 4));
                a.vfmadd213ps(v + i, square + i, each(table, 3 * 4));
                a.vmulps(v + i, v + i, z + i);
                a.vminps(v + i, v + i, each(table, 0));
            });
            first += 2;
        } else {
            both(i -> a.vminps(v + i, z + i, each(table, 0)));
        }
        both(i -> a.vmaxps(v + i, v + i, each(table, 4)));
        both(i -> a.vmulps(square + i, v + i, v + i));
        polynomial(a, up, square, table, first, p.length);
        if (q.length > 0) {
            polynomial(a, down, square, table, first + p.length, q.length);
            both(i -> a.vdivps(up + i, up + i, down + i));
        }
        both(i -> a.vfmadd213ps(up + i, v + i, each(table, 2 * 4)));
        both(i -> a.vmulps(z + i, z + i, up + i));
    }

    private static void polynomial(Assembler a, int z, int x, Reg table, int first, int count) {
        both(i -> a.vbroadcastss(z + i, at(table, 4 * (first + count - 1))));
        for (int k = first + count - 2; k >= first; k--) {
            int at = 4 * k;
            both(i -> a.vfmadd213ps(z + i, x + i, each(table, at)));
        }
    }

    private static void both(IntConsumer step) {
        step.accept(0);
        step.accept(1);
    }
}
