package dev.headstart.vision;

import java.lang.reflect.Field;
import org.jspecify.annotations.Nullable;

/**
 * The constants of VP8's standard (RFC 6386), as TwelveMonkeys' WebP reader holds them.
 *
 * @param defaults probabilities of coefficients at a frame's start
 * @param updates how likely each of them is changed
 * @param modes probabilities of the modes of blocks of 4 x 4, by the modes above and to the left
 * @param dc factors of first coefficients
 * @param ac factors of the others
 */
@SuppressWarnings("ArrayRecordComponent")
record Vp8Tables(int[][][][] defaults, int[][][][] updates, int[][][] modes, int[] dc, int[] ac) {
    /** Null where this version of TwelveMonkeys has them under other names. */
    static final @Nullable Vp8Tables FOUND = find();

    private static @Nullable Vp8Tables find() {
        try {
            Class<?> holder = Class.forName("com.twelvemonkeys.imageio.plugins.webp.vp8.Globals");
            return new Vp8Tables(
                    (int[][][][]) value(holder, "vp8DefaultCoefProbs"),
                    (int[][][][]) value(holder, "vp8CoefUpdateProbs"),
                    (int[][][]) value(holder, "vp8KeyFrameSubBlockModeProb"),
                    (int[]) value(holder, "vp8DcQLookup"),
                    (int[]) value(holder, "vp8AcQLookup"));
        } catch (ReflectiveOperationException | RuntimeException e) {
            return null;
        }
    }

    private static Object value(Class<?> holder, String name) throws ReflectiveOperationException {
        Field field = holder.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(null);
    }

    /** A copy of the probabilities, for a frame to change. */
    int[][][][] coefficients() {
        int[][][][] copy = new int[defaults.length][][][];
        for (int i = 0; i < copy.length; i++) {
            copy[i] = new int[defaults[i].length][][];
            for (int j = 0; j < copy[i].length; j++) {
                copy[i][j] = new int[defaults[i][j].length][];
                for (int k = 0; k < copy[i][j].length; k++) {
                    copy[i][j][k] = defaults[i][j][k].clone();
                }
            }
        }
        return copy;
    }
}
