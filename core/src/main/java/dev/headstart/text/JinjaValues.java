package dev.headstart.text;

import dev.headstart.text.JinjaRun.Function;
import dev.headstart.text.JinjaRun.Namespace;
import dev.headstart.text.JinjaRun.Undefined;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Python's values as templates see them: None is null, numbers are Long and Double, and there are String, Boolean, List and Map. Nothing else
 * ever reaches a template.
 */
final class JinjaValues {
    private JinjaValues() {}

    /** A list that prints as Python's tuples do. */
    static sealed class Tuple extends ArrayList<@Nullable Object> {
        private static final long serialVersionUID = 1;

        Tuple(List<? extends @Nullable Object> values) {
            super(values);
        }
    }

    /** What groupby gives: a pair whose parts have names. */
    static final class Group extends Tuple {
        private static final long serialVersionUID = 1;

        Group(@Nullable Object grouper, List<@Nullable Object> list) {
            super(java.util.Arrays.asList(grouper, list));
        }
    }

    /** A copy of a caller's value made of these types alone; other objects become their class's name in angle brackets. */
    static @Nullable Object plain(@Nullable Object value) {
        if (value == null || value instanceof String || value instanceof Boolean) return value;
        if (value instanceof Double || value instanceof Float || value instanceof BigDecimal)
            return ((Number) value).doubleValue();
        if (value instanceof Number n) return n.longValue();
        if (value instanceof CharSequence || value instanceof Enum<?> || value instanceof Character)
            return value.toString();
        if (value instanceof Map<?, ?> map) {
            Map<Object, @Nullable Object> copy = new LinkedHashMap<>();
            map.forEach((k, v) -> copy.put(String.valueOf(k), plain(v)));
            return copy;
        }
        if (value instanceof Iterable<?> list) {
            List<@Nullable Object> copy = new ArrayList<>();
            list.forEach(v -> copy.add(plain(v)));
            return copy;
        }
        return "<" + value.getClass().getSimpleName() + ">";
    }

    static boolean truth(@Nullable Object v) {
        if (v == null || v instanceof Undefined) return false;
        if (v instanceof Boolean b) return b;
        if (v instanceof Long n) return n != 0;
        if (v instanceof Double d) return d != 0;
        if (v instanceof String s) return !s.isEmpty();
        if (v instanceof List<?> l) return !l.isEmpty();
        if (v instanceof Map<?, ?> m) return !m.isEmpty();
        return true;
    }

    /** Python's str(). */
    static String text(@Nullable Object v) {
        return v instanceof String s ? s : v instanceof Undefined ? "" : repr(v);
    }

    /** Python's repr(). */
    static String repr(@Nullable Object v) {
        StringBuilder b = new StringBuilder();
        repr(v, b);
        return b.toString();
    }

    private static void repr(@Nullable Object v, StringBuilder b) {
        if (b.length() > JinjaRun.MAX_TEXT) return;
        if (v == null) {
            b.append("None");
        } else if (v instanceof Boolean t) {
            b.append(t ? "True" : "False");
        } else if (v instanceof Double d) {
            b.append(number(d));
        } else if (v instanceof String s) {
            quote(s, b);
        } else if (v instanceof List<?> list) {
            boolean tuple = v instanceof Tuple;
            b.append(tuple ? '(' : '[');
            for (int i = 0; i < list.size(); i++) {
                if (i > 0) b.append(", ");
                repr(list.get(i), b);
            }
            b.append(tuple && list.size() == 1 ? ",)" : tuple ? ")" : "]");
        } else if (v instanceof Map<?, ?> map) {
            b.append('{');
            String between = "";
            for (var e : map.entrySet()) {
                b.append(between);
                repr(e.getKey(), b);
                b.append(": ");
                repr(e.getValue(), b);
                between = ", ";
            }
            b.append('}');
        } else if (v instanceof Undefined) {
            b.append("Undefined");
        } else if (v instanceof JinjaRun.Namespace n) {
            b.append("<Namespace ");
            repr(n.values(), b);
            b.append('>');
        } else if (v instanceof Function) {
            b.append("<function>");
        } else {
            b.append(v);
        }
    }

    private static void quote(String s, StringBuilder b) {
        char q = s.indexOf('\'') >= 0 && s.indexOf('"') < 0 ? '"' : '\'';
        b.append(q);
        s.codePoints().forEach(c -> {
            if (c == q || c == '\\') b.append('\\').append((char) c);
            else if (c == '\n') b.append("\\n");
            else if (c == '\r') b.append("\\r");
            else if (c == '\t') b.append("\\t");
            else if (printable(c)) b.appendCodePoint(c);
            else b.append(String.format(c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c));
        });
        b.append(q);
    }

    /** Python's isprintable(). */
    private static boolean printable(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR -> false;
            case Character.SPACE_SEPARATOR -> c == ' ';
            default -> true;
        };
    }

    /** A float as Python writes it. */
    static String number(double d) {
        if (Double.isNaN(d)) return "nan";
        if (Double.isInfinite(d)) return d > 0 ? "inf" : "-inf";
        if (d == 0) return Double.compare(d, -0.0) == 0 ? "-0.0" : "0.0";
        if (d == Math.rint(d) && Math.abs(d) < 1e16)
            return BigDecimal.valueOf(d).setScale(1).toPlainString().replace("E", "e");
        double size = Math.abs(d);
        if (size >= 1e-4 && size < 1e16)
            return new BigDecimal(Double.toString(d)).stripTrailingZeros().toPlainString();
        String[] parts = Double.toString(d).split("E");
        String mantissa = parts[0].endsWith(".0") ? parts[0].substring(0, parts[0].length() - 2) : parts[0];
        int exponent = Integer.parseInt(parts[1]);
        return mantissa + "e" + (exponent < 0 ? "-" : "+") + (Math.abs(exponent) < 10 ? "0" : "") + Math.abs(exponent);
    }

    static boolean equal(@Nullable Object a, @Nullable Object b) {
        return equal(a, b, new int[] {5_000_000});
    }

    /** @param left comparisons that may still be made: lists that hold the same list twice, many levels deep, have no end of them */
    private static boolean equal(@Nullable Object a, @Nullable Object b, int[] left) {
        if (a == b && !(a instanceof Double)) return true;
        if (left[0]-- <= 0) return false;
        if (a instanceof Undefined && b instanceof Undefined) return true;
        Number x = numeric(a);
        Number y = numeric(b);
        if (x != null && y != null) {
            return x instanceof Long && y instanceof Long
                    ? x.longValue() == y.longValue()
                    : x.doubleValue() == y.doubleValue();
        }
        if (a instanceof List<?> l && b instanceof List<?> m) {
            if (l.size() != m.size() || a instanceof Tuple != b instanceof Tuple) return false;
            for (int i = 0; i < l.size(); i++) if (!equal(l.get(i), m.get(i), left)) return false;
            return true;
        }
        if (a instanceof Map<?, ?> l && b instanceof Map<?, ?> m) {
            return l.size() == m.size()
                    && l.entrySet().stream()
                            .allMatch(e -> m.containsKey(e.getKey()) && equal(e.getValue(), m.get(e.getKey()), left));
        }
        return Objects.equals(a, b);
    }

    /** A number, a boolean counted as one; null for anything else. */
    static @Nullable Number numeric(@Nullable Object v) {
        return v instanceof Boolean b ? Long.valueOf(b ? 1 : 0) : v instanceof Number n ? n : null;
    }

    static int compare(JinjaRun run, @Nullable Object a, @Nullable Object b) {
        Number x = numeric(a);
        Number y = numeric(b);
        if (x instanceof Long l && y instanceof Long m) return Long.compare(l, m);
        if (x != null && y != null) return Double.compare(x.doubleValue(), y.doubleValue());
        if (a instanceof String s && b instanceof String t) {
            int[] p = s.codePoints().toArray();
            int[] q = t.codePoints().toArray();
            return java.util.Arrays.compare(p, q);
        }
        if (a instanceof List<?> l && b instanceof List<?> m) {
            for (int i = 0; i < Math.min(l.size(), m.size()); i++) {
                if (!equal(l.get(i), m.get(i))) return compare(run, l.get(i), m.get(i));
            }
            return Integer.compare(l.size(), m.size());
        }
        throw run.error("cannot compare " + type(a) + " with " + type(b));
    }

    static String type(@Nullable Object v) {
        if (v == null) return "None";
        if (v instanceof Undefined u) return "'" + u.name() + "', which is undefined,";
        if (v instanceof String) return "a string";
        if (v instanceof Boolean) return "a boolean";
        if (v instanceof Long) return "an integer";
        if (v instanceof Double) return "a float";
        if (v instanceof List<?>) return "a list";
        if (v instanceof Map<?, ?>) return "a dict";
        return v instanceof Function ? "a function" : "an object";
    }

    static Iterator<?> iterate(JinjaRun run, @Nullable Object v) {
        return list(run, v).iterator();
    }

    /** The elements of a list, the keys of a dict, the characters of a string; nothing for what is undefined. */
    static List<@Nullable Object> list(JinjaRun run, @Nullable Object v) {
        run.spend(
                v instanceof List<?> l
                        ? l.size()
                        : v instanceof Map<?, ?> m ? m.size() : v instanceof String s ? s.length() * 4L : 0);
        if (v instanceof List<?> l) return new ArrayList<>(l);
        if (v instanceof Map<?, ?> m) return new ArrayList<>(m.keySet());
        if (v instanceof Undefined) return new ArrayList<>();
        if (v instanceof String s) {
            List<@Nullable Object> chars = new ArrayList<>();
            s.codePoints().forEach(c -> chars.add(new String(Character.toChars(c))));
            return chars;
        }
        throw run.error("cannot loop over " + type(v));
    }

    static boolean contains(JinjaRun run, @Nullable Object container, @Nullable Object v) {
        if (container instanceof String s) {
            run.spend(s.length());
            if (v instanceof String t) return s.contains(t);
            throw run.error("cannot look for " + type(v) + " in a string");
        }
        if (container instanceof Map<?, ?> m) return m.containsKey(JinjaBuiltins.key(v));
        return list(run, container).stream().anyMatch(e -> equal(e, v));
    }

    static @Nullable Object arithmetic(JinjaRun run, String op, @Nullable Object a, @Nullable Object b) {
        if (op.equals("~")) return run.checked(text(a).concat(text(b)));
        if (op.equals("+") && a instanceof String s && b instanceof String t) return run.checked(s.concat(t));
        if (op.equals("+") && a instanceof List<?> l && b instanceof List<?> m) {
            if (l instanceof Tuple != m instanceof Tuple)
                throw run.error("cannot compute " + type(a) + " + " + type(b));
            List<@Nullable Object> both = l instanceof Tuple ? new Tuple(l) : new ArrayList<>(l);
            both.addAll(m);
            if (both.size() > JinjaRun.MAX_TEXT / 16)
                throw run.error("it makes a list of more than " + JinjaRun.MAX_TEXT / 16 + " elements");
            return both;
        }
        if (op.equals("%") && a instanceof String s)
            return JinjaFormat.percent(
                    run,
                    s,
                    b instanceof Tuple t ? t : java.util.Collections.singletonList(b),
                    b instanceof Map<?, ?> m ? m : null);
        if (op.equals("*") && a instanceof String s && b instanceof Long n) return repeat(run, s, n);
        if (op.equals("*") && b instanceof String s && a instanceof Long n) return repeat(run, s, n);
        if (op.equals("*") && a instanceof List<?> l && b instanceof Long n) return repeat(run, l, n);
        if (op.equals("*") && b instanceof List<?> l && a instanceof Long n) return repeat(run, l, n);
        Number x = numeric(a);
        Number y = numeric(b);
        if (x == null || y == null) throw run.error("cannot compute " + type(a) + " " + op + " " + type(b));
        boolean whole = x instanceof Long && y instanceof Long;
        double p = x.doubleValue();
        double q = y.doubleValue();
        if ((op.equals("/") || op.equals("//") || op.equals("%")) && q == 0) throw run.error("division by zero");
        try {
            return switch (op) {
                case "+" -> whole ? (Object) Math.addExact(x.longValue(), y.longValue()) : (Object) (p + q);
                case "-" -> whole ? (Object) Math.subtractExact(x.longValue(), y.longValue()) : (Object) (p - q);
                case "*" -> whole ? (Object) Math.multiplyExact(x.longValue(), y.longValue()) : (Object) (p * q);
                case "/" -> p / q;
                case "//" -> whole ? (Object) Math.floorDiv(x.longValue(), y.longValue()) : (Object) Math.floor(p / q);
                case "%" ->
                    whole ? (Object) Math.floorMod(x.longValue(), y.longValue()) : (Object) (p - Math.floor(p / q) * q);
                default -> {
                    double power = Math.pow(p, q);
                    if (whole && q >= 0 && Math.abs(power) < 9e15) yield (Object) (long) power;
                    if (whole && q >= 0) throw new ArithmeticException();
                    yield (Object) power;
                }
            };
        } catch (ArithmeticException e) {
            throw run.error("a whole number grows beyond 64 bits");
        }
    }

    private static String repeat(JinjaRun run, String s, long n) {
        if (n > 0 && s.length() * (double) n > JinjaRun.MAX_TEXT)
            throw run.error("it makes a string of more than " + JinjaRun.MAX_TEXT + " characters");
        return n <= 0 ? "" : s.repeat((int) n);
    }

    private static List<@Nullable Object> repeat(JinjaRun run, List<?> list, long n) {
        if (n > 0 && list.size() * (double) n > JinjaRun.MAX_TEXT / 16)
            throw run.error("it makes a list of more than " + JinjaRun.MAX_TEXT / 16 + " elements");
        List<@Nullable Object> all = list instanceof Tuple ? new Tuple(List.of()) : new ArrayList<>();
        for (long i = 0; i < n; i++) all.addAll(list);
        return all;
    }

    /** {@code value.name}: methods first, then keys. */
    static @Nullable Object attribute(JinjaRun run, @Nullable Object v, String name) {
        if (v instanceof Undefined u) throw run.error("'" + u.name() + "' is undefined, so it has no '" + name + "'");
        if (name.startsWith("__")) return new Undefined(name);
        Function method = v == null ? null : JinjaBuiltins.method(v, name);
        if (method != null) return method;
        if (v instanceof Map<?, ?> m) return m.containsKey(name) ? m.get(name) : new Undefined(name);
        if (v instanceof JinjaStatements.Recursive r) return attribute(run, r.attributes(), name);
        if (v instanceof Group g && (name.equals("grouper") || name.equals("list")))
            return g.get(name.equals("list") ? 1 : 0);
        if (v instanceof Namespace n)
            return n.values().containsKey(name) ? n.values().get(name) : new Undefined(name);
        return new Undefined(type(v) + "." + name);
    }

    /** {@code value[key]}: elements and keys first, then methods. */
    static @Nullable Object item(JinjaRun run, @Nullable Object v, @Nullable Object key) {
        if (v instanceof Undefined u)
            throw run.error("'" + u.name() + "' is undefined, so it has no '" + text(key) + "'");
        if (v instanceof Map<?, ?> m && m.containsKey(JinjaBuiltins.key(key))) return m.get(JinjaBuiltins.key(key));
        if (key instanceof Long n && v instanceof List<?> l) {
            long i = n < 0 ? n + l.size() : n;
            return i >= 0 && i < l.size() ? l.get((int) i) : new Undefined("element " + n);
        }
        if (key instanceof Long n && v instanceof String s) {
            int length = s.codePointCount(0, s.length());
            long i = n < 0 ? n + length : n;
            if (i < 0 || i >= length) return new Undefined("character " + n);
            int at = s.offsetByCodePoints(0, (int) i);
            return s.substring(at, s.offsetByCodePoints(at, 1));
        }
        return key instanceof String name ? attribute(run, v, name) : new Undefined(text(key));
    }

    static @Nullable Object slice(
            JinjaRun run, @Nullable Object v, @Nullable Object from, @Nullable Object to, @Nullable Object step) {
        if (!(v instanceof List<?>) && !(v instanceof String)) throw run.error("cannot take a slice of " + type(v));
        List<@Nullable Object> all = list(run, v);
        long by = step == null ? 1 : whole(run, step);
        if (by == 0) throw run.error("a slice cannot have the step 0");
        int n = all.size();
        long a = from == null ? (by > 0 ? 0 : n - 1) : whole(run, from);
        long b = to == null ? (by > 0 ? n : -1L - n) : whole(run, to);
        if (a < 0) a += n;
        if (b < 0) b += n;
        a = Math.max(by > 0 ? 0 : -1, Math.min(a, by > 0 ? n : n - 1));
        b = Math.max(by > 0 ? 0 : -1, Math.min(b, n));
        List<@Nullable Object> part = new ArrayList<>();
        for (long i = a; by > 0 ? i < b : i > b; i += by) part.add(all.get((int) i));
        if (!(v instanceof String)) return part;
        StringBuilder s = new StringBuilder();
        part.forEach(s::append);
        return s.toString();
    }

    static long whole(JinjaRun run, @Nullable Object v) {
        Number n = numeric(v);
        if (n instanceof Long l) return l;
        throw run.error("expected a whole number, found " + type(v));
    }

    /** Python's json.dumps. */
    static String json(
            JinjaRun run,
            @Nullable Object v,
            @Nullable String indent,
            boolean ascii,
            boolean sort,
            String comma,
            String colon) {
        StringBuilder b = new StringBuilder();
        json(run, v, b, indent, 0, ascii, sort, comma, colon);
        return run.checked(b.toString());
    }

    private static void json(
            JinjaRun run,
            @Nullable Object v,
            StringBuilder b,
            @Nullable String indent,
            int level,
            boolean ascii,
            boolean sort,
            String comma,
            String colon) {
        if (b.length() > JinjaRun.MAX_TEXT || level > 200) throw run.error("tojson: the value is too large");
        if (v == null) {
            b.append("null");
        } else if (v instanceof String s) {
            jsonString(s, b, ascii);
        } else if (v instanceof Double d) {
            b.append(d.isNaN() ? "NaN" : d.isInfinite() ? (d > 0 ? "Infinity" : "-Infinity") : number(d));
        } else if (v instanceof Boolean || v instanceof Long) {
            b.append(v);
        } else if (v instanceof List<?> list) {
            b.append('[');
            for (int i = 0; i < list.size(); i++) {
                if (i > 0) b.append(comma);
                line(b, indent, level + 1);
                json(run, list.get(i), b, indent, level + 1, ascii, sort, comma, colon);
            }
            if (!list.isEmpty()) line(b, indent, level);
            b.append(']');
        } else if (v instanceof Map<?, ?> map) {
            Map<String, @Nullable Object> entries = sort ? new TreeMap<>() : new LinkedHashMap<>();
            map.forEach((k, value) -> entries.put(
                    k instanceof Boolean || k == null ? json(run, k, null, false, false, "", "") : text(k), value));
            b.append('{');
            boolean first = true;
            for (var e : entries.entrySet()) {
                if (!first) b.append(comma);
                first = false;
                line(b, indent, level + 1);
                jsonString(e.getKey(), b, ascii);
                b.append(colon);
                json(run, e.getValue(), b, indent, level + 1, ascii, sort, comma, colon);
            }
            if (!entries.isEmpty()) line(b, indent, level);
            b.append('}');
        } else {
            throw run.error("tojson: cannot write " + type(v));
        }
    }

    private static void line(StringBuilder b, @Nullable String indent, int level) {
        if (indent != null) b.append('\n').append(indent.repeat(level));
    }

    private static void jsonString(String s, StringBuilder b, boolean ascii) {
        b.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            switch (c) {
                case '"' -> b.append("\\\"");
                case '\\' -> b.append("\\\\");
                case '\n' -> b.append("\\n");
                case '\r' -> b.append("\\r");
                case '\t' -> b.append("\\t");
                case '\b' -> b.append("\\b");
                case '\f' -> b.append("\\f");
                default -> {
                    if (c < 32 || ascii && c > 126) b.append(String.format("\\u%04x", (int) c));
                    else b.append(c);
                }
            }
        }
        b.append('"');
    }
}
