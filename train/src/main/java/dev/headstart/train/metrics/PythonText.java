package dev.headstart.train.metrics;

import java.util.ArrayList;
import java.util.List;

/** What Python's str does and the reference implementations rely on. */
final class PythonText {
    private PythonText() {}

    /** str.isspace of one character. */
    static boolean isSpace(int c) {
        return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == 0x85;
    }

    /** str.split(): at runs of white space, without empty parts. */
    static List<String> split(String s) {
        List<String> parts = new ArrayList<>();
        int start = -1;
        for (int i = 0; i < s.length(); i++) {
            if (isSpace(s.charAt(i))) {
                if (start >= 0) {
                    parts.add(s.substring(start, i));
                    start = -1;
                }
            } else if (start < 0) {
                start = i;
            }
        }
        if (start >= 0) {
            parts.add(s.substring(start));
        }
        return parts;
    }

    /** str.rstrip(). */
    static String rstrip(String s) {
        int end = s.length();
        while (end > 0 && isSpace(s.charAt(end - 1))) {
            end--;
        }
        return s.substring(0, end);
    }

    /** str.strip(). */
    static String strip(String s) {
        int begin = 0;
        while (begin < s.length() && isSpace(s.charAt(begin))) {
            begin++;
        }
        return rstrip(s.substring(begin));
    }
}
