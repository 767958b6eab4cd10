package dev.headstart.train.vision;

import dev.headstart.HeadstartException;
import dev.headstart.vision.Image;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * What happens to each training image before the processor resizes it: each time drawn anew. Begin with {@link #NONE} and add. A random resized crop comes in the
 * processor's size at once, and what follows works on that, as in torchvision's recipes.
 *
 * @param pad random crop of the image's own size after this many black pixels were added on each side; 0: none
 * @param scale random resized crop (Szegedy et al. 2015): the least part of the area that is kept, up to all of it; 1: none
 * @param flip probability of a horizontal flip
 * @param operations RandAugment (Cubuk et al. 2019): how many operations; 0: none
 * @param magnitude RandAugment: 0 to 30
 * @param cutout side of a grey square that hides a part (DeVries and Taylor 2017), as a part of the image's side; 0: none
 */
public record Augmentation(double pad, double scale, double flip, int operations, int magnitude, double cutout) {
    /** Nothing. */
    public static final Augmentation NONE = new Augmentation(0, 1, 0, 0, 9, 0);

    private static final int GREY = 124;

    /** Checks the ranges. */
    public Augmentation {
        require(pad >= 0 && pad < 1, "random-crop-padding", "a part of the side in [0, 1)", pad);
        require(scale > 0 && scale <= 1, "random-resized-crop", "a part of the area in (0, 1]", scale);
        require(flip >= 0 && flip <= 1, "flip", "a probability", flip);
        require(operations >= 0 && operations <= 16, "rand-augment", "0 to 16 operations", operations);
        require(magnitude >= 0 && magnitude <= 30, "rand-augment's magnitude", "0 to 30", magnitude);
        require(cutout >= 0 && cutout < 1, "cutout", "a part of the side in [0, 1)", cutout);
    }

    private static void require(boolean holds, String name, String expected, Object found) {
        if (!holds) {
            throw new HeadstartException("--" + name + " must be " + expected + ", found " + found);
        }
    }

    /** Whether images stay as they are. */
    public boolean isNone() {
        return pad == 0 && scale == 1 && flip == 0 && operations == 0 && cutout == 0;
    }

    /** Cuts a part out of an image and resizes it. */
    interface Cut {
        Image of(Image image, int left, int top, int width, int height);
    }

    /** Whether a part of each image is brought to some size. */
    boolean resizes() {
        return scale < 1;
    }

    /** One variant of an image. @param cut brings what a random resized crop takes to the size that is wanted */
    Image apply(Image image, SplittableRandom random, Cut cut) {
        Image x = image;
        if (resizes()) {
            x = resizedCrop(x, random, cut);
        }
        if (pad > 0) {
            int dx = (int) Math.round(pad * x.width()), dy = (int) Math.round(pad * x.height());
            x = x.crop(random.nextInt(2 * dx + 1) - dx, random.nextInt(2 * dy + 1) - dy, x.width(), x.height());
        }
        if (flip > 0 && random.nextDouble() < flip) {
            x = flipped(x);
        }
        for (int i = 0; i < operations; i++) {
            x = RandAugment.draw(random).apply(x, magnitude, random);
        }
        return cutout > 0 ? cut(x, random) : x;
    }

    /** A part of random area and aspect ratio (3:4 to 4:3), else of the middle (torchvision RandomResizedCrop). */
    private Image resizedCrop(Image x, SplittableRandom random, Cut cut) {
        for (int attempt = 0; attempt < 10; attempt++) {
            double area = (double) x.width() * x.height() * (scale + (1 - scale) * random.nextDouble());
            double ratio = Math.exp(Math.log(0.75) + random.nextDouble() * 2 * Math.log(4 / 3.0));
            int w = (int) Math.rint(Math.sqrt(area * ratio)), h = (int) Math.rint(Math.sqrt(area / ratio));
            if (w > 0 && h > 0 && w <= x.width() && h <= x.height()) {
                int left = random.nextInt(x.width() - w + 1), top = random.nextInt(x.height() - h + 1);
                return cut.of(x, left, top, w, h);
            }
        }
        double ratio = (double) x.width() / x.height();
        int w = ratio > 4 / 3.0 ? (int) Math.rint(x.height() * 4 / 3.0) : x.width();
        int h = ratio < 0.75 ? (int) Math.rint(x.width() / 0.75) : x.height();
        return cut.of(x, (x.width() - w) / 2, (x.height() - h) / 2, w, h);
    }

    static Image flipped(Image x) {
        byte[] in = x.rgb(), out = new byte[in.length];
        int stride = 3 * x.width();
        for (int row = 0; row < in.length; row += stride) {
            for (int i = row, o = row + stride - 3; i < row + stride; i += 3, o -= 3) {
                out[o] = in[i];
                out[o + 1] = in[i + 1];
                out[o + 2] = in[i + 2];
            }
        }
        return new Image(x.width(), x.height(), out, x.source());
    }

    private Image cut(Image x, SplittableRandom random) {
        int w = (int) Math.round(cutout * x.width()), h = (int) Math.round(cutout * x.height());
        int cx = random.nextInt(x.width()), cy = random.nextInt(x.height());
        int x0 = Math.max(0, cx - w / 2), x1 = Math.min(x.width(), cx - w / 2 + w);
        byte[] out = x.rgb().clone();
        for (int y = Math.max(0, cy - h / 2); y < Math.min(x.height(), cy - h / 2 + h); y++) {
            Arrays.fill(out, 3 * (y * x.width() + x0), 3 * (y * x.width() + x1), (byte) GREY);
        }
        return new Image(x.width(), x.height(), out, x.source());
    }
}
