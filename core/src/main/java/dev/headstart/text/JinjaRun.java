package dev.headstart.text;

import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** One rendering: variables, output, and what is left of the limits that keep a hostile template from using up the machine. */
final class JinjaRun {
    /** Characters of the result, and of any string on the way to it. */
    static final int MAX_TEXT = 16 << 20;

    private static final int MAX_STEPS = 2_000_000;
    private static final int MAX_DEPTH = 100;
    private static final long MAX_WORK = 1L << 30;

    /** Something that a template can call. */
    interface Function {
        @Nullable
        Object call(JinjaRun run, List<@Nullable Object> args, Map<String, @Nullable Object> named);
    }

    /** The value of what is not there (jinja2.Undefined): empty when printed or looped over, an error when used otherwise. */
    record Undefined(String name) {}

    /** Attributes that a template may set (jinja2's namespace). */
    record Namespace(Map<String, @Nullable Object> values) {}

    /** Variables of a block; a name that is not there is looked for outside. */
    private static final class Scope {
        final Map<String, @Nullable Object> values = new HashMap<>();
        final @Nullable Scope outer;

        Scope(@Nullable Scope outer) {
            this.outer = outer;
        }
    }

    private Scope scope = new Scope(null);
    private StringBuilder out = new StringBuilder();
    private final List<Span> generated = new ArrayList<>();
    private final ZonedDateTime now;
    private int steps;
    private long work;
    private int depth;
    private int line = 1;
    private boolean nested;

    JinjaRun(Map<String, @Nullable Object> variables, ZonedDateTime now) {
        scope.values.putAll(variables);
        this.now = now;
    }

    ZonedDateTime now() {
        return now;
    }

    JinjaException error(String what) {
        return new JinjaException(line, what);
    }

    void at(int newLine) {
        line = newLine;
        if (++steps > MAX_STEPS) throw error("it does not end: more than " + MAX_STEPS + " steps");
    }

    int line() {
        return line;
    }

    @Nullable
    Object get(String name) {
        for (Scope s = scope; s != null; s = s.outer) {
            if (s.values.containsKey(name)) return s.values.get(name);
        }
        Function global = JinjaBuiltins.global(name);
        return global != null ? global : new Undefined(name);
    }

    void set(String name, @Nullable Object value) {
        scope.values.put(name, value);
    }

    void print(String text) {
        if ((long) out.length() + text.length() > MAX_TEXT)
            throw error("its result is longer than " + MAX_TEXT + " characters");
        out.append(text);
    }

    /** Counts characters and elements that are gone through, where one step may be many. */
    void spend(long amount) {
        work += amount;
        if (work > MAX_WORK) throw error("it does not end: it goes through too many characters and elements");
    }

    /** Fails on strings that no honest template makes. */
    String checked(String text) {
        spend(text.length());
        if (text.length() > MAX_TEXT) throw error("it makes a string of more than " + MAX_TEXT + " characters");
        return text;
    }

    /** Runs with variables of its own, which end with it. */
    void inScope(Runnable body) {
        Scope before = scope;
        scope = new Scope(before);
        if (++depth > MAX_DEPTH) throw error("blocks and macros are nested more than " + MAX_DEPTH + " deep");
        try {
            body.run();
        } finally {
            depth--;
            scope = before;
        }
    }

    /** The scope of now, to run a macro in later. */
    Object here() {
        return scope;
    }

    /** What a body prints, run in the scope that {@link #here} gave. */
    String capture(Object where, Runnable body) {
        Scope before = scope;
        StringBuilder outside = out;
        boolean was = nested;
        scope = (Scope) where;
        out = new StringBuilder();
        nested = true;
        try {
            inScope(body);
            return out.toString();
        } finally {
            out = outside;
            scope = before;
            nested = was;
        }
    }

    void generation(Runnable body) {
        int from = out.length();
        inScope(body);
        if (!nested) generated.add(new Span(from, out.length()));
    }

    String result() {
        return out.toString();
    }

    List<Span> generated() {
        return List.copyOf(generated);
    }
}
