package dev.headstart.vision;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import org.jspecify.annotations.Nullable;

/**
 * A size as image processors state it (transformers {@code SizeDict}): {@code height} and {@code width}; {@code shortest_edge}, with or without
 * {@code longest_edge}; or {@code max_height} and {@code max_width}. All in pixels.
 */
record Size(
        @Nullable Integer height,
        @Nullable Integer width,
        @Nullable Integer shortestEdge,
        @Nullable Integer longestEdge,
        @Nullable Integer maxHeight,
        @Nullable Integer maxWidth) {

    static Size of(int height, int width) {
        return new Size(height, width, null, null, null, null);
    }

    static Size shortest(int edge, @Nullable Integer longest) {
        return new Size(null, null, edge, longest, null, null);
    }

    /**
     * Reads a number, a pair [height, width] or an object (transformers {@code get_size_dict}).
     *
     * @param square whether a single number means both sides; else it is the shortest edge
     * @param maxSize the old {@code max_size} field, which joins a single number
     */
    static Size read(JsonNode node, boolean square, @Nullable Integer maxSize, String where) {
        if (node.isNumber()) {
            int n = positive(node, where);
            return square ? of(n, n) : shortest(n, maxSize);
        }
        if (node.isArray() && node.size() == 2) {
            return of(positive(node.get(0), where), positive(node.get(1), where));
        }
        if (node.isObject()) {
            Size size = new Size(
                    field(node, "height", where),
                    field(node, "width", where),
                    field(node, "shortest_edge", where),
                    field(node, "longest_edge", where),
                    field(node, "max_height", where),
                    field(node, "max_width", where));
            if (size.height != null && size.width != null
                    || size.shortestEdge != null
                    || size.longestEdge != null
                    || size.maxHeight != null && size.maxWidth != null) {
                return size;
            }
        }
        throw new HeadstartException(where
                + ": expected a number, [height, width], or an object with height and width, shortest_edge, longest_edge, "
                + "or max_height and max_width, found " + node);
    }

    private static @Nullable Integer field(JsonNode node, String name, String where) {
        JsonNode value = node.get(name);
        return value == null || value.isNull() ? null : positive(value, where + "." + name);
    }

    private static int positive(JsonNode node, String where) {
        int n = node.isNumber() ? node.asInt() : 0;
        if (n < 1 || n > 1 << 16) {
            throw new HeadstartException(where + ": expected a number of pixels from 1 to 65536, found " + node);
        }
        return n;
    }

    /**
     * Sides of the resized image, {height, width}.
     *
     * @param multiple both sides are cut down to multiples of this when the aspect ratio is kept between two edges (YOLOS: 16)
     */
    int[] apply(int imageHeight, int imageWidth, int multiple, String where) {
        if (shortestEdge != null && longestEdge != null) {
            int[] r = withinEdges(imageHeight, imageWidth, shortestEdge, longestEdge);
            return new int[] {r[0] - r[0] % multiple, r[1] - r[1] % multiple};
        } else if (shortestEdge != null) {
            return keepRatio(imageHeight, imageWidth, shortestEdge);
        } else if (maxHeight != null && maxWidth != null) {
            double scale = Math.min((double) maxHeight / imageHeight, (double) maxWidth / imageWidth);
            return new int[] {(int) (imageHeight * scale), (int) (imageWidth * scale)};
        } else if (height != null && width != null) {
            return new int[] {height, width};
        }
        throw new HeadstartException(
                where
                        + ": size must state height and width, shortest_edge, or max_height and max_width, found longest_edge alone");
    }

    /** Shortest edge as asked, the other in proportion, rounded down (torchvision {@code Resize}). */
    static int[] keepRatio(int imageHeight, int imageWidth, int shortest) {
        int longer = (int) ((double) shortest * Math.max(imageHeight, imageWidth) / Math.min(imageHeight, imageWidth));
        return imageWidth <= imageHeight ? new int[] {longer, shortest} : new int[] {shortest, longer};
    }

    /** Shortest edge as asked unless the longest would become too long (DETR; transformers {@code get_size_with_aspect_ratio}). */
    private static int[] withinEdges(int imageHeight, int imageWidth, int shortest, int longest) {
        double small = Math.min(imageHeight, imageWidth), large = Math.max(imageHeight, imageWidth);
        double exact = shortest;
        int size = shortest;
        if (large / small * size > longest) {
            exact = longest * small / large;
            size = (int) Math.rint(exact);
        }
        if (imageHeight <= imageWidth && imageHeight == size || imageWidth <= imageHeight && imageWidth == size) {
            return new int[] {imageHeight, imageWidth};
        }
        return imageWidth < imageHeight
                ? new int[] {(int) (exact * imageHeight / imageWidth), size}
                : new int[] {size, (int) (exact * imageWidth / imageHeight)};
    }
}
