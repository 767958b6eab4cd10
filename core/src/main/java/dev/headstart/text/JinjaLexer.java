package dev.headstart.text;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * Splits a Jinja template into tokens, with the whitespace rules of {@code trim_blocks} and {@code lstrip_blocks}: the line break after a
 * block goes, and blanks before a block that starts a line go.
 */
final class JinjaLexer {
    enum Kind {
        DATA,
        VARIABLE_BEGIN,
        VARIABLE_END,
        BLOCK_BEGIN,
        BLOCK_END,
        NAME,
        STRING,
        INTEGER,
        FLOAT,
        OPERATOR,
        EOF
    }

    /** @param line counted from 1 */
    record Token(Kind kind, String text, int line) {
        boolean is(String operatorOrName) {
            return (kind == Kind.OPERATOR || kind == Kind.NAME) && text.equals(operatorOrName);
        }
    }

    private static final List<String> OPERATORS = List.of(
            "**", "//", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", ">", "<", "=", ".", ":", "|", ",", "(",
            ")", "[", "]", "{", "}");

    private final String source;
    private final List<Token> tokens = new ArrayList<>();
    private int at;
    private int line = 1;
    private boolean lineStarting = true;

    private JinjaLexer(String source) {
        String text = source.replace("\r\n", "\n").replace('\r', '\n');
        this.source = text.endsWith("\n") ? text.substring(0, text.length() - 1) : text;
    }

    static List<Token> tokens(String source) {
        JinjaLexer lexer = new JinjaLexer(source);
        lexer.run();
        return lexer.tokens;
    }

    private JinjaException error(String what) {
        return new JinjaException(line, what);
    }

    private void add(Kind kind, String text) {
        tokens.add(new Token(kind, text, line));
    }

    private void advance(int to) {
        for (; at < to; at++) if (source.charAt(at) == '\n') line++;
    }

    private void run() {
        while (at < source.length()) {
            int open = nextOpening();
            if (open < 0) {
                add(Kind.DATA, source.substring(at));
                advance(source.length());
                break;
            }
            char kind = source.charAt(open + 1);
            char sign = open + 2 < source.length() ? source.charAt(open + 2) : ' ';
            String data = source.substring(at, open);
            if (sign == '-') {
                data = data.stripTrailing();
            } else if (sign != '+' && kind != '{') {
                int start = data.lastIndexOf('\n') + 1;
                if ((start > 0 || lineStarting) && data.substring(start).isBlank()) data = data.substring(0, start);
            }
            if (!data.isEmpty()) add(Kind.DATA, data);
            advance(open + 2);
            if (sign == '-' || sign == '+') advance(at + 1);
            switch (kind) {
                case '#' -> comment();
                case '{' -> inside(Kind.VARIABLE_BEGIN, Kind.VARIABLE_END, "}}");
                default -> {
                    int raw = rawStart();
                    if (raw >= 0) raw(raw);
                    else inside(Kind.BLOCK_BEGIN, Kind.BLOCK_END, "%}");
                }
            }
        }
        add(Kind.EOF, "end of template");
    }

    private int nextOpening() {
        for (int i = source.indexOf('{', at); i >= 0 && i + 1 < source.length(); i = source.indexOf('{', i + 1)) {
            char next = source.charAt(i + 1);
            if (next == '{' || next == '%' || next == '#') return i;
        }
        return -1;
    }

    /** Steps over a closing delimiter and the whitespace that goes with it. */
    private void close(int delimiter, int length, boolean minus, boolean plus, boolean trims) {
        int to = delimiter + length;
        if (minus) {
            while (to < source.length() && Character.isWhitespace(source.charAt(to))) to++;
        } else if (trims && !plus && to < source.length() && source.charAt(to) == '\n') {
            to++;
        }
        advance(to);
        lineStarting = source.charAt(to - 1) == '\n';
    }

    private void comment() {
        int end = source.indexOf("#}", at);
        if (end < 0) throw error("a comment {# is not closed");
        char before = end > at ? source.charAt(end - 1) : ' ';
        close(end, 2, before == '-', before == '+', true);
    }

    /** Where the content of a raw block starts that this tag opens; -1 when it opens none. */
    private int rawStart() {
        int i = skipBlanks(at);
        if (!source.startsWith("raw", i)) return -1;
        i = skipBlanks(i + 3);
        if (i < source.length() && source.charAt(i) == '-') i++;
        return source.startsWith("%}", i) ? i + 2 : -1;
    }

    private int skipBlanks(int from) {
        int i = from;
        while (i < source.length() && Character.isWhitespace(source.charAt(i))) i++;
        return i;
    }

    private void raw(int contentStart) {
        close(contentStart - 2, 2, source.charAt(contentStart - 3) == '-', false, false);
        for (int i = source.indexOf("{%", at); i >= 0; i = source.indexOf("{%", i + 1)) {
            boolean strip = source.startsWith("-", i + 2);
            int k = skipBlanks(i + (strip ? 3 : 2));
            if (!source.startsWith("endraw", k)) continue;
            k = skipBlanks(k + 6);
            boolean minus = source.startsWith("-", k);
            if (!source.startsWith("%}", minus ? k + 1 : k)) continue;
            String data = source.substring(at, i);
            if (strip) {
                data = data.stripTrailing();
            } else {
                int start = data.lastIndexOf('\n') + 1;
                if (start > 0 && data.substring(start).isBlank()) data = data.substring(0, start);
            }
            if (!data.isEmpty()) add(Kind.DATA, data);
            close(minus ? k + 1 : k, 2, minus, false, true);
            return;
        }
        throw error("{% raw %} is not closed");
    }

    private void inside(Kind begin, Kind end, String delimiter) {
        add(begin, begin == Kind.BLOCK_BEGIN ? "{%" : "{{");
        Deque<Character> open = new ArrayDeque<>();
        while (true) {
            int i = skipBlanks(at);
            advance(i);
            if (at >= source.length()) throw error("a tag is not closed with " + delimiter);
            char c = source.charAt(at);
            if (open.isEmpty()) {
                boolean minus = c == '-' && source.startsWith(delimiter, at + 1);
                boolean plus = c == '+' && source.startsWith(delimiter, at + 1) && end == Kind.BLOCK_END;
                if (minus || plus || source.startsWith(delimiter, at)) {
                    add(end, delimiter);
                    close(minus || plus ? at + 1 : at, 2, minus, plus, end == Kind.BLOCK_END);
                    return;
                }
            }
            if (Character.isJavaIdentifierStart(c) && c != '$') name();
            else if (c >= '0' && c <= '9') number();
            else if (c == '"' || c == '\'') string(c);
            else operator(open);
        }
    }

    private void name() {
        int to = at;
        while (to < source.length() && Character.isJavaIdentifierPart(source.charAt(to)) && source.charAt(to) != '$')
            to++;
        add(Kind.NAME, source.substring(at, to));
        advance(to);
    }

    private void number() {
        int to = at;
        boolean real = false;
        while (to < source.length()) {
            char c = source.charAt(to);
            boolean point = c == '.' && !real && to + 1 < source.length() && Character.isDigit(source.charAt(to + 1));
            boolean exponent =
                    (c == 'e' || c == 'E') && source.substring(to + 1).matches("(?s)[+-]?[0-9].*");
            if (point || exponent) {
                real = true;
                to += exponent && !Character.isDigit(source.charAt(to + 1)) ? 2 : 1;
            } else if (Character.isDigit(c) || c == '_') {
                to++;
            } else {
                break;
            }
        }
        add(real ? Kind.FLOAT : Kind.INTEGER, source.substring(at, to).replace("_", ""));
        advance(to);
    }

    private void string(char quote) {
        StringBuilder text = new StringBuilder();
        int i = at + 1;
        for (; i < source.length() && source.charAt(i) != quote; i++) {
            char c = source.charAt(i);
            if (c != '\\' || i + 1 == source.length()) {
                text.append(c);
                continue;
            }
            char escaped = source.charAt(++i);
            switch (escaped) {
                case 'n' -> text.append('\n');
                case 't' -> text.append('\t');
                case 'r' -> text.append('\r');
                case 'b' -> text.append('\b');
                case 'a' -> text.append('\u0007');
                case 'v' -> text.append('\u000b');
                case '0', '1', '2', '3', '4', '5', '6', '7' -> {
                    int end = i + 1;
                    while (end < i + 3
                            && end < source.length()
                            && source.charAt(end) >= '0'
                            && source.charAt(end) <= '7') end++;
                    text.append((char) Integer.parseInt(source.substring(i, end), 8));
                    i = end - 1;
                }
                case 'f' -> text.append('\f');
                case '\n' -> {}
                case '\\', '\'', '"' -> text.append(escaped);
                case 'u', 'x', 'U' -> {
                    int digits = escaped == 'u' ? 4 : escaped == 'x' ? 2 : 8;
                    String hex = source.substring(i + 1, Math.min(source.length(), i + 1 + digits));
                    if (!hex.matches("[0-9a-fA-F]{" + digits + "}"))
                        throw error("the escape \\" + escaped + hex + " is not complete");
                    int point = (int) Long.parseLong(hex, 16);
                    if (!Character.isValidCodePoint(point)) throw error("\\" + escaped + hex + " is no character");
                    text.appendCodePoint(point);
                    i += digits;
                }
                default -> text.append('\\').append(escaped);
            }
        }
        if (i >= source.length()) throw error("a string is not closed with " + quote);
        add(Kind.STRING, text.toString());
        advance(i + 1);
    }

    private void operator(Deque<Character> open) {
        for (String operator : OPERATORS) {
            if (!source.startsWith(operator, at)) continue;
            char c = operator.charAt(0);
            if (c == '(' || c == '[' || c == '{') open.push(c);
            if (c == ')' || c == ']' || c == '}') {
                Character opened = open.poll();
                if (opened == null || "([{".indexOf(opened) != ")]}".indexOf(c))
                    throw error("'" + c + "' closes nothing");
            }
            add(Kind.OPERATOR, operator);
            advance(at + operator.length());
            return;
        }
        throw error("unexpected character '" + new String(Character.toChars(source.codePointAt(at))) + "'");
    }
}
