package dev.headstart;

import org.jspecify.annotations.Nullable;

/**
 * An error whose message is one complete line for a person: it names the file or field, what was expected, what was found, and what to do.
 * The command line prints the message alone and exits with 1; subclasses mark a kind that a caller may want to tell apart.
 */
public class HeadstartException extends RuntimeException {
    /** @param message one line: where, expected, found, remedy */
    public HeadstartException(String message) {
        super(message);
    }

    /**
     * @param message one line: where, expected, found, remedy
     * @param cause what happened below; shown only with {@code --debug}
     */
    public HeadstartException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
