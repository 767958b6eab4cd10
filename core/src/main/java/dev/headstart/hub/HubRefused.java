package dev.headstart.hub;

import dev.headstart.HeadstartException;
import org.jspecify.annotations.Nullable;

/** The hub could not be asked, or said no: the message says which, and what to do. Other sources may still have the model. */
final class HubRefused extends HeadstartException {
    private final boolean unreachable;

    HubRefused(String message, boolean unreachable, @Nullable Throwable cause) {
        super(message, cause);
        this.unreachable = unreachable;
    }

    /** Whether there was no answer at all, so that a copy that may be out of date is better than none. */
    boolean unreachable() {
        return unreachable;
    }
}
