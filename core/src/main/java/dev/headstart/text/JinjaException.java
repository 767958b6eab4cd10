package dev.headstart.text;

import dev.headstart.HeadstartException;

/** What goes wrong in a chat template, at a line of it. */
final class JinjaException extends HeadstartException {
    private final int line;

    JinjaException(int line, String what) {
        super("chat template, line " + line + ": " + TokenizerJson.oneLine(what));
        this.line = line;
    }

    int line() {
        return line;
    }
}
