package dev.headstart.io;

import dev.headstart.HeadstartException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * A weight file that is damaged, truncated, hostile, or of a kind that is not read. The message is one line: file, what was expected, what was
 * found, what to do. Text that comes from the file is shortened and its control characters are escaped.
 */
public class WeightFormatException extends HeadstartException {
    private static final int LONGEST = 1_200;

    /**
     * @param file the file that is wrong
     * @param problem what was expected and what was found, and what to do where that is not "fetch it again"
     */
    public WeightFormatException(Path file, String problem) {
        this(file, problem, null);
    }

    /**
     * @param file the file that is wrong
     * @param problem what was expected and what was found
     * @param cause what happened below
     */
    public WeightFormatException(Path file, String problem, @Nullable Throwable cause) {
        super(oneLine(file + ": " + problem), cause);
    }

    /** {@code text} with control characters escaped and shortened to what a terminal can bear. */
    private static String oneLine(String text) {
        var line = new StringBuilder();
        for (int i = 0; i < text.length() && line.length() < LONGEST; i++) {
            char c = text.charAt(i);
            if (Character.isISOControl(c) || c == '\u2028' || c == '\u2029' || Character.isSurrogate(c)) {
                line.append(String.format("\\u%04x", (int) c));
            } else {
                line.append(c);
            }
        }
        return line.length() < LONGEST ? line.toString() : line.append("...").toString();
    }

    /** A name that a file gives, in quotes, shortened to 200 characters. */
    static String quote(String name) {
        return '"' + (name.length() <= 200 ? name : name.substring(0, 200) + "...") + '"';
    }
}
