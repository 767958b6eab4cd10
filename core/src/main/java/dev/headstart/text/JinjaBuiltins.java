package dev.headstart.text;

import dev.headstart.text.JinjaRun.Function;
import dev.headstart.text.JinjaRun.Namespace;
import dev.headstart.text.JinjaRun.Undefined;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.time.format.TextStyle;
import java.time.temporal.IsoFields;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.function.ToIntBiFunction;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The functions, methods, filters and tests that chat templates use, as Jinja 3.1 and Python define them. */
final class JinjaBuiltins {
    private JinjaBuiltins() {}

    // ---- functions ----

    static @Nullable Function global(String name) {
        return switch (name) {
            case "raise_exception" ->
                (run, args, named) -> {
                    throw run.error("the template refuses these messages: " + JinjaValues.text(arg(args, 0)));
                };
            case "strftime_now" -> (run, args, named) -> strftime(run, JinjaValues.text(arg(args, 0)));
            case "range" -> (run, args, named) -> range(run, args);
            case "dict" -> (run, args, named) -> dict(run, args, named);
            case "namespace" ->
                (run, args, named) -> {
                    Map<String, @Nullable Object> values = new LinkedHashMap<>();
                    dict(run, args, named).forEach((k, v) -> values.put(String.valueOf(k), v));
                    if (values.keySet().stream().anyMatch(k -> k.startsWith("_")))
                        throw run.error("an attribute's name may not start with _");
                    return new Namespace(values);
                };
            case "joiner" ->
                (run, args, named) -> {
                    String by = JinjaValues.text(option(args, named, 0, "sep", ", "));
                    boolean[] used = {false};
                    return (Function) (r, none, names) -> {
                        String now = used[0] ? by : "";
                        used[0] = true;
                        return now;
                    };
                };
            case "cycler" ->
                (run, args, named) -> {
                    if (args.isEmpty()) throw run.error("cycler: no values");
                    Map<String, @Nullable Object> values = new LinkedHashMap<>();
                    int[] at = {0};
                    values.put("current", args.get(0));
                    values.put("next", (Function) (r, none, names) -> {
                        Object now = args.get(at[0]);
                        at[0] = (at[0] + 1) % args.size();
                        values.put("current", args.get(at[0]));
                        return now;
                    });
                    values.put("reset", (Function) (r, none, names) -> {
                        at[0] = 0;
                        values.put("current", args.get(0));
                        return null;
                    });
                    return new Namespace(values);
                };
            default -> null;
        };
    }

    private static Map<Object, @Nullable Object> dict(
            JinjaRun run, List<@Nullable Object> args, Map<String, @Nullable Object> named) {
        Map<Object, @Nullable Object> map = new LinkedHashMap<>();
        if (!args.isEmpty()) {
            if (args.get(0) instanceof Map<?, ?> m) map.putAll(m);
            else {
                for (Object pair : JinjaValues.list(run, args.get(0))) {
                    List<@Nullable Object> two = JinjaValues.list(run, pair);
                    if (two.size() != 2) throw run.error("dict: expected pairs");
                    map.put(key(two.get(0)), two.get(1));
                }
            }
        }
        map.putAll(named);
        return map;
    }

    /** A key of a dict: lists and dicts, whose hash may take forever, are none. */
    static Object key(@Nullable Object v) {
        return v == null ? "None" : v instanceof List<?> || v instanceof Map<?, ?> ? JinjaValues.type(v) : v;
    }

    private static List<@Nullable Object> range(JinjaRun run, List<@Nullable Object> args) {
        long from = args.size() > 1 ? JinjaValues.whole(run, args.get(0)) : 0;
        long to = JinjaValues.whole(run, arg(args, args.size() > 1 ? 1 : 0));
        long by = args.size() > 2 ? JinjaValues.whole(run, args.get(2)) : 1;
        if (by == 0) throw run.error("range: the step is 0");
        if (Math.abs((double) to - from) / Math.abs((double) by) > 100_000)
            throw run.error("range: more than 100000 numbers");
        List<@Nullable Object> list = new ArrayList<>();
        for (long i = from; by > 0 ? i < to : i > to; i += by) list.add(i);
        return list;
    }

    private static String strftime(JinjaRun run, String format) {
        var now = run.now();
        StringBuilder b = new StringBuilder();
        for (int i = 0; i < format.length(); i++) {
            char c = format.charAt(i);
            if (c != '%' || i + 1 == format.length()) {
                b.append(c);
                continue;
            }
            char d = format.charAt(++i);
            boolean bare = d == '-' && i + 1 < format.length();
            if (bare) d = format.charAt(++i);
            int hour12 = now.getHour() % 12 == 0 ? 12 : now.getHour() % 12;
            switch (d) {
                case 'Y' -> b.append(now.getYear());
                case 'y' -> two(b, now.getYear() % 100, bare);
                case 'm' -> two(b, now.getMonthValue(), bare);
                case 'd' -> two(b, now.getDayOfMonth(), bare);
                case 'H' -> two(b, now.getHour(), bare);
                case 'I' -> two(b, hour12, bare);
                case 'M' -> two(b, now.getMinute(), bare);
                case 'S' -> two(b, now.getSecond(), bare);
                case 'p' -> b.append(now.getHour() < 12 ? "AM" : "PM");
                case 'B' -> b.append(now.getMonth().getDisplayName(TextStyle.FULL, Locale.ENGLISH));
                case 'b', 'h' -> b.append(now.getMonth().getDisplayName(TextStyle.SHORT, Locale.ENGLISH));
                case 'A' -> b.append(now.getDayOfWeek().getDisplayName(TextStyle.FULL, Locale.ENGLISH));
                case 'a' -> b.append(now.getDayOfWeek().getDisplayName(TextStyle.SHORT, Locale.ENGLISH));
                case 'j' -> b.append(bare ? "" + now.getDayOfYear() : String.format("%03d", now.getDayOfYear()));
                case 'e' -> b.append(String.format("%2d", now.getDayOfMonth()));
                case 'k' -> b.append(String.format("%2d", now.getHour()));
                case 'l' -> b.append(String.format("%2d", hour12));
                case 'C' -> two(b, now.getYear() / 100, bare);
                case 'G' -> b.append(now.get(IsoFields.WEEK_BASED_YEAR));
                case 'V' -> two(b, now.get(IsoFields.WEEK_OF_WEEK_BASED_YEAR), bare);
                case 'U' -> two(b, (now.getDayOfYear() + 6 - now.getDayOfWeek().getValue() % 7) / 7, bare);
                case 'W' -> two(b, (now.getDayOfYear() + 6 - (now.getDayOfWeek().getValue() - 1)) / 7, bare);
                case 'u' -> b.append(now.getDayOfWeek().getValue());
                case 'w' -> b.append(now.getDayOfWeek().getValue() % 7);
                case 's' -> b.append(now.toEpochSecond());
                case 'f' -> b.append(String.format("%06d", now.getNano() / 1000));
                case 'n' -> b.append('\n');
                case 't' -> b.append('\t');
                case 'F' -> b.append(strftime(run, "%Y-%m-%d"));
                case 'T', 'X' -> b.append(strftime(run, "%H:%M:%S"));
                case 'D', 'x' -> b.append(strftime(run, "%m/%d/%y"));
                case 'R' -> b.append(strftime(run, "%H:%M"));
                case 'r' -> b.append(strftime(run, "%I:%M:%S %p"));
                case 'c' -> b.append(strftime(run, "%a %b %e %H:%M:%S %Y"));
                case 'Z', 'z' -> b.append("");
                case '%' -> b.append('%');
                default -> b.append('%').append(d);
            }
        }
        return b.toString();
    }

    private static void two(StringBuilder b, int n, boolean bare) {
        if (n < 10 && !bare) b.append('0');
        b.append(n);
    }

    // ---- methods ----

    /** A method of a value; null when the type has none of that name. What would change the value does not exist. */
    static @Nullable Function method(Object v, String name) {
        if (v instanceof String s) return stringMethod(s, name);
        if (v instanceof Map<?, ?> m) return dictMethod(m, name);
        if (v instanceof List<?> l) {
            return switch (name) {
                case "index" ->
                    (run, args, named) -> {
                        for (int i = 0; i < l.size(); i++)
                            if (JinjaValues.equal(l.get(i), arg(args, 0))) return (long) i;
                        throw run.error("index: " + JinjaValues.text(arg(args, 0)) + " is not in the list");
                    };
                case "count" ->
                    (run, args, named) -> l.stream()
                            .filter(e -> JinjaValues.equal(e, arg(args, 0)))
                            .count();
                case "copy" -> (run, args, named) -> new ArrayList<@Nullable Object>(l);
                case "append", "pop", "insert", "extend", "remove", "clear", "sort", "reverse" ->
                    (run, args, named) -> {
                        throw run.error("a template may not change a list (" + name + ")");
                    };
                default -> null;
            };
        }
        return null;
    }

    private static @Nullable Function dictMethod(Map<?, ?> m, String name) {
        return switch (name) {
            case "items" -> (run, args, named) -> items(m);
            case "keys" -> (run, args, named) -> new ArrayList<@Nullable Object>(m.keySet());
            case "values" -> (run, args, named) -> new ArrayList<@Nullable Object>(m.values());
            case "copy" -> (run, args, named) -> new LinkedHashMap<@Nullable Object, @Nullable Object>(m);
            case "get" ->
                (run, args, named) -> {
                    Object key = key(arg(args, 0));
                    return m.containsKey(key) ? m.get(key) : args.size() > 1 ? args.get(1) : null;
                };
            case "pop", "update", "setdefault", "clear", "popitem" ->
                (run, args, named) -> {
                    throw run.error("a template may not change a dict (" + name + ")");
                };
            default -> null;
        };
    }

    private static List<@Nullable Object> items(Map<?, ?> m) {
        List<@Nullable Object> list = new ArrayList<>();
        m.forEach((k, v) -> list.add(new JinjaValues.Tuple(Arrays.asList(k, v))));
        return list;
    }

    private static @Nullable Function stringMethod(String s, String name) {
        return switch (name) {
            case "strip" -> (run, args, named) -> strip(s, arg(args, 0), true, true);
            case "lstrip" -> (run, args, named) -> strip(s, arg(args, 0), true, false);
            case "rstrip" -> (run, args, named) -> strip(s, arg(args, 0), false, true);
            case "upper" -> (run, args, named) -> s.toUpperCase(Locale.ROOT);
            case "lower" -> (run, args, named) -> s.toLowerCase(Locale.ROOT);
            case "title" -> (run, args, named) -> title(s, false);
            case "capitalize" -> (run, args, named) -> capitalize(s);
            case "startswith" -> (run, args, named) -> any(arg(args, 0), part(run, s, args)::startsWith);
            case "endswith" -> (run, args, named) -> any(arg(args, 0), part(run, s, args)::endsWith);
            case "swapcase" ->
                (run, args, named) -> {
                    StringBuilder b = new StringBuilder();
                    s.codePoints().forEach(c -> {
                        String one = Character.toString(c);
                        b.append(
                                Character.isUpperCase(c) ? one.toLowerCase(Locale.ROOT) : one.toUpperCase(Locale.ROOT));
                    });
                    return b.toString();
                };
            case "casefold" ->
                (run, args, named) -> s.replace("\u1e9e", "ss")
                        .replace("\u00df", "ss")
                        .toUpperCase(Locale.ROOT)
                        .toLowerCase(Locale.ROOT);
            case "center", "ljust", "rjust" ->
                (run, args, named) -> aligned(run, s, name, arg(args, 0), args.size() > 1 ? string(run, args, 1) : " ");
            case "istitle" ->
                (run, args, named) ->
                        s.equals(title(s, false)) && s.codePoints().anyMatch(Character::isUpperCase);
            case "isascii" -> (run, args, named) -> s.chars().allMatch(c -> c < 128);
            case "isidentifier" -> (run, args, named) -> s.matches("[\\p{L}_][\\p{L}\\p{N}_]*");
            case "removeprefix" ->
                (run, args, named) -> s.startsWith(string(run, args, 0))
                        ? s.substring(string(run, args, 0).length())
                        : s;
            case "removesuffix" ->
                (run, args, named) -> s.endsWith(string(run, args, 0))
                        ? s.substring(0, s.length() - string(run, args, 0).length())
                        : s;
            case "replace" ->
                (run, args, named) -> replace(
                        run,
                        s,
                        string(run, args, 0),
                        string(run, args, 1),
                        args.size() > 2 ? JinjaValues.whole(run, args.get(2)) : -1);
            case "split" -> (run, args, named) -> split(run, s, args, named, false);
            case "rsplit" -> (run, args, named) -> split(run, s, args, named, true);
            case "splitlines" ->
                (run, args, named) -> lines(s, JinjaValues.truth(option(args, named, 0, "keepends", false)));
            case "join" ->
                (run, args, named) -> {
                    List<String> parts = new ArrayList<>();
                    for (Object part : JinjaValues.list(run, arg(args, 0))) {
                        if (!(part instanceof String text))
                            throw run.error("join: expected strings, found " + JinjaValues.type(part));
                        parts.add(text);
                    }
                    return joined(run, parts, s);
                };
            case "find" -> (run, args, named) -> position(s, s.indexOf(string(run, args, 0), start(run, s, args)));
            case "rfind" -> (run, args, named) -> position(s, s.lastIndexOf(string(run, args, 0)));
            case "index" ->
                (run, args, named) -> {
                    int at = s.indexOf(string(run, args, 0));
                    if (at < 0) throw run.error("index: substring not found");
                    return position(s, at);
                };
            case "count" -> (run, args, named) -> count(s, string(run, args, 0));
            case "format" -> (run, args, named) -> JinjaFormat.braces(run, s, args, named);
            case "zfill" ->
                (run, args, named) -> {
                    long width = Math.min(JinjaValues.whole(run, arg(args, 0)), 10_000);
                    int sign = s.startsWith("-") || s.startsWith("+") ? 1 : 0;
                    return s.length() >= width
                            ? s
                            : s.substring(0, sign) + "0".repeat((int) width - s.length()) + s.substring(sign);
                };
            case "isdigit", "isnumeric", "isdecimal" ->
                (run, args, named) -> !s.isEmpty() && s.codePoints().allMatch(Character::isDigit);
            case "isalpha" ->
                (run, args, named) -> !s.isEmpty() && s.codePoints().allMatch(Character::isLetter);
            case "isalnum" ->
                (run, args, named) -> !s.isEmpty() && s.codePoints().allMatch(Character::isLetterOrDigit);
            case "isspace" ->
                (run, args, named) -> !s.isEmpty() && s.codePoints().allMatch(JinjaBuiltins::space);
            case "isupper" -> (run, args, named) -> cased(s, true);
            case "islower" -> (run, args, named) -> cased(s, false);
            case "partition", "rpartition" ->
                (run, args, named) -> {
                    String by = string(run, args, 0);
                    int at = name.equals("partition") ? s.indexOf(by) : s.lastIndexOf(by);
                    if (at < 0)
                        return new JinjaValues.Tuple(
                                name.equals("partition") ? List.of(s, "", "") : List.of("", "", s));
                    return new JinjaValues.Tuple(List.of(s.substring(0, at), by, s.substring(at + by.length())));
                };
            default -> null;
        };
    }

    /** Where the second argument says that a search begins. */
    private static int start(JinjaRun run, String s, List<@Nullable Object> args) {
        if (args.size() < 2 || args.get(1) == null) return 0;
        int length = s.codePointCount(0, s.length());
        long from = JinjaValues.whole(run, args.get(1));
        return s.offsetByCodePoints(0, (int) Math.max(0, Math.min(length, from < 0 ? from + length : from)));
    }

    private static String part(JinjaRun run, String s, List<@Nullable Object> args) {
        return s.substring(start(run, s, args));
    }

    private static String aligned(JinjaRun run, String s, String how, @Nullable Object width, String fill) {
        int missing = (int) Math.min(JinjaValues.whole(run, width), 10_000) - s.codePointCount(0, s.length());
        if (missing <= 0) return s;
        int wide = missing + s.codePointCount(0, s.length());
        int left = how.equals("ljust") ? 0 : how.equals("rjust") ? missing : missing / 2 + (missing & wide & 1);
        return fill.repeat(left) + s + fill.repeat(missing - left);
    }

    private static List<@Nullable Object> lines(String s, boolean keepEnds) {
        List<@Nullable Object> lines = new ArrayList<>();
        Matcher m = Pattern.compile("\r\n|[\n\r\u000b\u000c\u001c-\u001e\u0085\u2028\u2029]")
                .matcher(s);
        int from = 0;
        while (m.find()) {
            lines.add(s.substring(from, keepEnds ? m.end() : m.start()));
            from = m.end();
        }
        if (from < s.length()) lines.add(s.substring(from));
        return lines;
    }

    private static boolean any(@Nullable Object v, Predicate<String> test) {
        if (v instanceof List<?> list) return list.stream().anyMatch(e -> test.test(JinjaValues.text(e)));
        return test.test(JinjaValues.text(v));
    }

    private static long position(String s, int at) {
        return at < 0 ? -1 : s.codePointCount(0, at);
    }

    private static long count(String s, String of) {
        if (of.isEmpty()) return s.codePointCount(0, s.length()) + 1L;
        long n = 0;
        for (int i = s.indexOf(of); i >= 0; i = s.indexOf(of, i + of.length())) n++;
        return n;
    }

    /** Python's isupper and islower: there are letters of that case, and none of the other. */
    private static boolean cased(String s, boolean upper) {
        String same = upper ? s.toUpperCase(Locale.ROOT) : s.toLowerCase(Locale.ROOT);
        return s.equals(same) && !s.equals(upper ? s.toLowerCase(Locale.ROOT) : s.toUpperCase(Locale.ROOT));
    }

    private static boolean space(int c) {
        return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == 0x85;
    }

    private static String strip(String s, @Nullable Object chars, boolean left, boolean right) {
        int from = 0;
        int to = s.length();
        while (left && from < to && strips(s.codePointAt(from), chars))
            from += Character.charCount(s.codePointAt(from));
        while (right && to > from && strips(s.codePointBefore(to), chars))
            to -= Character.charCount(s.codePointBefore(to));
        return s.substring(from, to);
    }

    private static boolean strips(int c, @Nullable Object chars) {
        return chars instanceof String set ? set.indexOf(c) >= 0 : space(c);
    }

    private static String capitalize(String s) {
        if (s.isEmpty()) return s;
        int first = s.offsetByCodePoints(0, 1);
        return s.substring(0, first).toUpperCase(Locale.ROOT)
                + s.substring(first).toLowerCase(Locale.ROOT);
    }

    /** @param words whether only blanks and brackets start a word (Jinja's filter); else everything that is no letter (Python's method) */
    private static String title(String s, boolean words) {
        StringBuilder b = new StringBuilder();
        boolean start = true;
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            b.append(
                    !start
                            ? String.valueOf(Character.toLowerCase(c))
                            : words
                                    ? String.valueOf(c).toUpperCase(Locale.ROOT)
                                    : String.valueOf(Character.toTitleCase(c)));
            start = words ? space(c) || "-({[<".indexOf(c) >= 0 : !Character.isLetter(c);
        }
        return b.toString();
    }

    private static String replace(JinjaRun run, String s, String what, String with, long times) {
        if (times == 0) return s;
        if (what.isEmpty() && times > 0) throw run.error("replace: the text to replace is empty");
        long n = count(s, what);
        if (s.length() + n * (double) with.length() > JinjaRun.MAX_TEXT)
            throw run.error("replace: the result is too long");
        if (times < 0) return s.replace(what, with);
        StringBuilder b = new StringBuilder();
        int from = 0;
        for (int at = s.indexOf(what); at >= 0 && times-- > 0; at = s.indexOf(what, from)) {
            b.append(s, from, at).append(with);
            from = at + what.length();
        }
        return b.append(s, from, s.length()).toString();
    }

    private static List<@Nullable Object> split(
            JinjaRun run,
            String s,
            List<@Nullable Object> args,
            Map<String, @Nullable Object> named,
            boolean fromRight) {
        Object by = args.isEmpty() ? named.get("sep") : args.get(0);
        Object most = args.size() > 1 ? args.get(1) : named.get("maxsplit");
        long max = most == null ? -1 : JinjaValues.whole(run, most);
        List<@Nullable Object> parts = new ArrayList<>();
        if (!(by instanceof String separator)) {
            String rest = strip(s, null, true, max < 0);
            if (rest.isEmpty()) return parts;
            if (fromRight && max >= 0) throw run.error("rsplit: a limit needs a separator");
            Matcher blanks =
                    Pattern.compile("\\s+", Pattern.UNICODE_CHARACTER_CLASS).matcher(rest);
            int from = 0;
            while ((max < 0 || parts.size() < max) && blanks.find()) {
                parts.add(rest.substring(from, blanks.start()));
                from = blanks.end();
            }
            if (from < rest.length()) parts.add(rest.substring(from));
            return parts;
        }
        if (separator.isEmpty()) throw run.error("split: the separator is empty");
        if (fromRight) {
            int to = s.length();
            for (int at = s.lastIndexOf(separator);
                    at >= 0 && (max < 0 || parts.size() < max);
                    at = to <= 0 ? -1 : s.lastIndexOf(separator, to - separator.length())) {
                if (at + separator.length() > to) break;
                parts.add(0, s.substring(at + separator.length(), to));
                to = at;
            }
            parts.add(0, s.substring(0, to));
            return parts;
        }
        int from = 0;
        for (int at = s.indexOf(separator);
                at >= 0 && (max < 0 || parts.size() < max);
                at = s.indexOf(separator, from)) {
            parts.add(s.substring(from, at));
            from = at + separator.length();
        }
        parts.add(s.substring(from));
        return parts;
    }

    private static String joined(JinjaRun run, List<String> parts, String by) {
        double length = parts.stream().mapToDouble(String::length).sum() + by.length() * (double) parts.size();
        if (length > JinjaRun.MAX_TEXT) throw run.error("join: the result is too long");
        return String.join(by, parts);
    }

    // ---- filters ----

    private static @Nullable Object arg(List<@Nullable Object> args, int i) {
        return i < args.size() ? args.get(i) : null;
    }

    private static String string(JinjaRun run, List<@Nullable Object> args, int i) {
        if (i < args.size() && args.get(i) instanceof String s) return s;
        throw run.error("expected a string as argument " + (i + 1)
                + (i < args.size() ? ", found " + JinjaValues.type(args.get(i)) : ""));
    }

    /** What map, select and their kin go through: nothing for what is false, none above all. */
    private static List<@Nullable Object> elements(JinjaRun run, @Nullable Object v) {
        return JinjaValues.truth(v) ? JinjaValues.list(run, v) : List.of();
    }

    private static @Nullable Object option(
            List<@Nullable Object> args,
            Map<String, @Nullable Object> named,
            int i,
            String name,
            @Nullable Object otherwise) {
        return i < args.size() ? args.get(i) : named.containsKey(name) ? named.get(name) : otherwise;
    }

    static @Nullable Object filter(
            JinjaRun run,
            String name,
            @Nullable Object v,
            List<@Nullable Object> args,
            Map<String, @Nullable Object> named) {
        if (v instanceof Undefined u
                && !List.of(
                                "default",
                                "d",
                                "list",
                                "length",
                                "count",
                                "join",
                                "first",
                                "last",
                                "string",
                                "trim",
                                "safe",
                                "items",
                                "map",
                                "select",
                                "reject",
                                "selectattr",
                                "rejectattr",
                                "sort",
                                "unique",
                                "upper",
                                "lower",
                                "e",
                                "escape",
                                "replace")
                        .contains(name)) {
            throw run.error("'" + u.name() + "' is undefined, so it cannot be filtered with " + name);
        }
        if (v instanceof String s) run.spend(s.length());
        switch (name) {
            case "default", "d":
                boolean falsy = JinjaValues.truth(option(args, named, 1, "boolean", false));
                return v instanceof Undefined || falsy && !JinjaValues.truth(v)
                        ? option(args, named, 0, "default_value", "")
                        : v;
            case "trim":
                return strip(JinjaValues.text(v), option(args, named, 0, "chars", null), true, true);
            case "length", "count":
                return length(run, v);
            case "upper":
                return JinjaValues.text(v).toUpperCase(Locale.ROOT);
            case "lower":
                return JinjaValues.text(v).toLowerCase(Locale.ROOT);
            case "capitalize":
                return capitalize(JinjaValues.text(v));
            case "title":
                return title(JinjaValues.text(v), true);
            case "string":
                return JinjaValues.text(v);
            case "safe":
                return v;
            case "e", "escape", "forceescape":
                return run.checked(JinjaValues.text(v)
                        .replace("&", "&amp;")
                        .replace("<", "&lt;")
                        .replace(">", "&gt;")
                        .replace("'", "&#39;")
                        .replace("\"", "&#34;"));
            case "replace":
                return replace(
                        run,
                        JinjaValues.text(v),
                        JinjaValues.text(arg(args, 0)),
                        JinjaValues.text(arg(args, 1)),
                        option(args, named, 2, "count", null) instanceof Long times ? times : -1);
            case "join":
                Object attribute = option(args, named, 1, "attribute", null);
                return joined(
                        run,
                        JinjaValues.list(run, v).stream()
                                .map(e -> JinjaValues.text(attribute == null ? e : path(run, e, attribute)))
                                .toList(),
                        JinjaValues.text(option(args, named, 0, "d", "")));
            case "tojson":
                Object indent = option(args, named, 1, "indent", null);
                List<@Nullable Object> marks = option(args, named, 2, "separators", null) instanceof List<?> l
                        ? new ArrayList<>(l)
                        : new ArrayList<>();
                return JinjaValues.json(
                        run,
                        v,
                        indent == null
                                ? null
                                : indent instanceof String mark
                                        ? mark
                                        : " ".repeat((int) Math.max(0, Math.min(JinjaValues.whole(run, indent), 100))),
                        JinjaValues.truth(option(args, named, 0, "ensure_ascii", false)),
                        JinjaValues.truth(option(args, named, 3, "sort_keys", false)),
                        marks.size() == 2 ? JinjaValues.text(marks.get(0)) : indent == null ? ", " : ",",
                        marks.size() == 2 ? JinjaValues.text(marks.get(1)) : ": ");
            case "first", "last":
                List<@Nullable Object> all = JinjaValues.list(run, v);
                return all.isEmpty()
                        ? new Undefined("the " + name + " element")
                        : all.get(name.equals("first") ? 0 : all.size() - 1);
            case "list":
                return JinjaValues.list(run, v);
            case "reverse":
                List<@Nullable Object> backwards = JinjaValues.list(run, v);
                Collections.reverse(backwards);
                return v instanceof String
                        ? joined(run, backwards.stream().map(JinjaValues::text).toList(), "")
                        : backwards;
            case "items":
                if (v instanceof Undefined) return new ArrayList<@Nullable Object>();
                if (v instanceof Map<?, ?> m) return items(m);
                throw run.error("items: expected a dict, found " + JinjaValues.type(v));
            case "dictsort":
                if (!(v instanceof Map<?, ?> m))
                    throw run.error("dictsort: expected a dict, found " + JinjaValues.type(v));
                List<@Nullable Object> pairs = items(m);
                int by = JinjaValues.text(option(args, named, 1, "by", "key")).equals("value") ? 1 : 0;
                boolean exact = JinjaValues.truth(option(args, named, 0, "case_sensitive", false));
                ToIntBiFunction<@Nullable Object, @Nullable Object> order = (a, b) -> JinjaValues.compare(
                        run,
                        folded(JinjaValues.list(run, a).get(by), exact),
                        folded(JinjaValues.list(run, b).get(by), exact));
                pairs.sort((a, b) -> order.applyAsInt(a, b));
                if (JinjaValues.truth(option(args, named, 2, "reverse", false))) Collections.reverse(pairs);
                return pairs;
            case "sort":
                Object sortBy = option(args, named, 2, "attribute", null);
                boolean caseSensitive = JinjaValues.truth(option(args, named, 1, "case_sensitive", false));
                List<@Nullable Object> sorted = JinjaValues.list(run, v);
                Comparator<@Nullable Object> comparator = (a, b) -> JinjaValues.compare(
                        run,
                        folded(sortBy == null ? a : path(run, a, sortBy), caseSensitive),
                        folded(sortBy == null ? b : path(run, b, sortBy), caseSensitive));
                if (sortBy instanceof String several && several.contains(",")) {
                    comparator = (a, b) -> {
                        for (String one : several.split(",")) {
                            int c = JinjaValues.compare(
                                    run,
                                    folded(path(run, a, one), caseSensitive),
                                    folded(path(run, b, one), caseSensitive));
                            if (c != 0) return c;
                        }
                        return 0;
                    };
                }
                sorted.sort(
                        JinjaValues.truth(option(args, named, 0, "reverse", false))
                                ? comparator.reversed()
                                : comparator);
                return sorted;
            case "unique":
                boolean cased = JinjaValues.truth(option(args, named, 0, "case_sensitive", false));
                Object uniqueBy = option(args, named, 1, "attribute", null);
                List<@Nullable Object> unique = new ArrayList<>();
                List<@Nullable Object> seen = new ArrayList<>();
                for (Object e : JinjaValues.list(run, v)) {
                    Object is = folded(uniqueBy == null ? e : path(run, e, uniqueBy), cased);
                    if (seen.stream().noneMatch(u -> JinjaValues.equal(u, is))) {
                        unique.add(e);
                        seen.add(is);
                    }
                    if (unique.size() > 10_000) throw run.error("unique: more than 10000 elements");
                }
                return unique;
            case "map":
                List<@Nullable Object> mapped = new ArrayList<>();
                for (Object e : elements(run, v)) {
                    if (named.containsKey("attribute")) {
                        Object found = path(run, e, named.get("attribute"));
                        mapped.add(
                                found instanceof Undefined && named.containsKey("default")
                                        ? named.get("default")
                                        : found);
                    } else {
                        mapped.add(filter(run, string(run, args, 0), e, args.subList(1, args.size()), named));
                    }
                }
                return mapped;
            case "select", "reject", "selectattr", "rejectattr":
                boolean attr = name.endsWith("attr");
                boolean want = name.startsWith("select");
                int first = attr ? 1 : 0;
                List<@Nullable Object> kept = new ArrayList<>();
                for (Object e : elements(run, v)) {
                    Object subject = attr ? path(run, e, arg(args, 0)) : e;
                    boolean is = args.size() > first
                            ? test(run, string(run, args, first), subject, args.subList(first + 1, args.size()))
                            : JinjaValues.truth(subject);
                    if (is == want) kept.add(e);
                }
                return kept;
            case "int":
                return toInt(run, v, option(args, named, 0, "default", 0L), option(args, named, 1, "base", 10L));
            case "float":
                try {
                    Number n = JinjaValues.numeric(v);
                    return n != null
                            ? n.doubleValue()
                            : real(JinjaValues.text(v).strip());
                } catch (NumberFormatException e) {
                    return option(args, named, 0, "default", 0.0);
                }
            case "abs":
                Number n = JinjaValues.numeric(v);
                if (n instanceof Long l) return Math.abs(l);
                if (n != null) return Math.abs(n.doubleValue());
                throw run.error("abs: expected a number, found " + JinjaValues.type(v));
            case "round":
                return round(run, v, args, named);
            case "sum":
                Object total = option(args, named, 1, "start", 0L);
                Object of = option(args, named, 0, "attribute", null);
                for (Object e : JinjaValues.list(run, v))
                    total = JinjaValues.arithmetic(run, "+", total, of == null ? e : path(run, e, of));
                return total;
            case "min", "max":
                boolean letters = JinjaValues.truth(option(args, named, 0, "case_sensitive", false));
                Object bestBy = option(args, named, 1, "attribute", null);
                Object best = null;
                boolean any = false;
                for (Object e : JinjaValues.list(run, v)) {
                    int c = any
                            ? JinjaValues.compare(
                                    run,
                                    folded(bestBy == null ? e : path(run, e, bestBy), letters),
                                    folded(bestBy == null ? best : path(run, best, bestBy), letters))
                            : 0;
                    if (!any || (name.equals("min") ? c < 0 : c > 0)) best = e;
                    any = true;
                }
                return any ? best : new Undefined("the " + name + " of nothing");
            case "indent":
                Object width = option(args, named, 0, "width", 4L);
                String pad = width instanceof String s
                        ? s
                        : " ".repeat((int) Math.max(0, Math.min(1000, JinjaValues.whole(run, width))));
                boolean blank = JinjaValues.truth(option(args, named, 2, "blank", false));
                String[] lines = JinjaValues.text(v).split("\n", -1);
                for (int i = 1; i < lines.length; i++) if (blank || !lines[i].isEmpty()) lines[i] = pad + lines[i];
                if (JinjaValues.truth(option(args, named, 1, "first", false))) lines[0] = pad + lines[0];
                return joined(run, Arrays.asList(lines), "\n");
            case "format":
                return JinjaFormat.percent(run, JinjaValues.text(v), args, named.isEmpty() ? null : named);
            case "attr":
                return v instanceof Map<?, ?> m && JinjaBuiltins.method(m, string(run, args, 0)) == null
                        ? new Undefined(string(run, args, 0))
                        : JinjaValues.attribute(run, v, string(run, args, 0));
            case "wordcount":
                return Arrays.stream(JinjaValues.text(v).split("\\W+"))
                        .filter(w -> !w.isEmpty())
                        .count();
            case "groupby":
                Map<Object, List<@Nullable Object>> groups = new LinkedHashMap<>();
                List<@Nullable Object> ordered = JinjaValues.list(run, v);
                Object groupBy = arg(args, 0);
                ordered.sort((a, b) -> JinjaValues.compare(run, path(run, a, groupBy), path(run, b, groupBy)));
                for (Object e : ordered)
                    groups.computeIfAbsent(key(path(run, e, groupBy)), k -> new ArrayList<>())
                            .add(e);
                List<@Nullable Object> grouped = new ArrayList<>();
                groups.forEach((k, group) -> grouped.add(new JinjaValues.Group(k, group)));
                return grouped;
            case "batch", "slice":
                return rows(
                        run,
                        v,
                        name.equals("batch"),
                        JinjaValues.whole(run, arg(args, 0)),
                        args.size() > 1,
                        arg(args, 1));
            case "center":
                return aligned(run, JinjaValues.text(v), "filter", option(args, named, 0, "width", 80L), " ");
            case "truncate":
                return truncated(run, JinjaValues.text(v), args, named);
            default:
                throw run.error("there is no filter '" + name + "'");
        }
    }

    private static @Nullable Object folded(@Nullable Object v, boolean exact) {
        return v instanceof String s && !exact ? s.toLowerCase(Locale.ROOT) : v;
    }

    /** {@code "function.name"}: an attribute of an attribute. */
    private static @Nullable Object path(JinjaRun run, @Nullable Object v, @Nullable Object path) {
        if (path instanceof Long) return JinjaValues.item(run, v, path);
        Object at = v;
        for (String name : JinjaValues.text(path).split("\\.")) {
            at = JinjaValues.item(run, at, name.matches("\\d{1,9}") ? (Object) Long.valueOf(name) : name);
        }
        return at;
    }

    private static long length(JinjaRun run, @Nullable Object v) {
        if (v instanceof String s) return s.codePointCount(0, s.length());
        if (v instanceof List<?> l) return l.size();
        if (v instanceof Map<?, ?> m) return m.size();
        if (v instanceof Undefined) return 0;
        throw run.error(JinjaValues.type(v) + " has no length");
    }

    private static @Nullable Object toInt(
            JinjaRun run, @Nullable Object v, @Nullable Object otherwise, @Nullable Object base) {
        Number n = JinjaValues.numeric(v);
        if (n != null) return n.longValue();
        if (!(v instanceof String s)) return otherwise;
        String text = s.strip().replaceAll("(?<=[0-9a-zA-Z])_(?=[0-9a-zA-Z])", "");
        long radix = JinjaValues.whole(run, base);
        String mark = radix == 16 ? "0[xX]" : radix == 8 ? "0[oO]" : radix == 2 ? "0[bB]" : "";
        try {
            return Long.parseLong(mark.isEmpty() ? text : text.replaceFirst("^([+-]?)" + mark, "$1"), (int) radix);
        } catch (NumberFormatException noWhole) {
            try {
                return (long) real(text);
            } catch (NumberFormatException e) {
                return otherwise;
            }
        }
    }

    /** Python's float() of a text. */
    private static double real(String text) {
        String plain = text.replaceAll("(?<=[0-9])_(?=[0-9])", "");
        return switch (plain.toLowerCase(Locale.ROOT)) {
            case "nan", "+nan", "-nan" -> Double.NaN;
            case "inf", "+inf", "infinity", "+infinity" -> Double.POSITIVE_INFINITY;
            case "-inf", "-infinity" -> Double.NEGATIVE_INFINITY;
            default -> {
                if (!plain.matches("[-+]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][-+]?[0-9]+)?"))
                    throw new NumberFormatException(plain);
                yield Double.parseDouble(plain);
            }
        };
    }

    /** The filters batch (rows of n) and slice (n rows). */
    private static List<@Nullable Object> rows(
            JinjaRun run, @Nullable Object v, boolean batch, long n, boolean fills, @Nullable Object fill) {
        if (n <= 0 || n > 100_000) throw run.error((batch ? "batch" : "slice") + ": expected a number above 0");
        List<@Nullable Object> all = JinjaValues.list(run, v);
        List<@Nullable Object> rows = new ArrayList<>();
        int longer = (int) (all.size() % n);
        int at = 0;
        for (int r = 0; batch ? at < all.size() : r < n; r++) {
            int length = (int) (batch ? n : all.size() / n + (r < longer ? 1 : 0));
            List<@Nullable Object> row = new ArrayList<>(all.subList(at, Math.min(all.size(), at + length)));
            at += row.size();
            if (fills && fill != null && batch) while (row.size() < n) row.add(fill);
            if (fills && fill != null && !batch && longer > 0 && r >= longer) row.add(fill);
            rows.add(row);
        }
        return rows;
    }

    private static String truncated(
            JinjaRun run, String s, List<@Nullable Object> args, Map<String, @Nullable Object> named) {
        int length = (int) Math.min(JinjaRun.MAX_TEXT, JinjaValues.whole(run, option(args, named, 0, "length", 255L)));
        String end = JinjaValues.text(option(args, named, 2, "end", "..."));
        Object leeway = option(args, named, 3, "leeway", null);
        long more = leeway == null ? 5 : JinjaValues.whole(run, leeway);
        int points = s.codePointCount(0, s.length());
        if (points <= length + more) return s;
        String cut = s.substring(0, s.offsetByCodePoints(0, Math.max(0, length - end.length())));
        int blank = cut.lastIndexOf(' ');
        boolean kill = JinjaValues.truth(option(args, named, 1, "killwords", false));
        return (kill || blank < 0 ? cut : cut.substring(0, blank)) + end;
    }

    private static Object round(
            JinjaRun run, @Nullable Object v, List<@Nullable Object> args, Map<String, @Nullable Object> named) {
        Number n = JinjaValues.numeric(v);
        if (n == null) throw run.error("round: expected a number, found " + JinjaValues.type(v));
        if (n instanceof Long whole
                && JinjaValues.text(option(args, named, 1, "method", "common")).equals("common")) {
            int places =
                    (int) Math.max(-18, Math.min(18, JinjaValues.whole(run, option(args, named, 0, "precision", 0L))));
            return places >= 0
                    ? whole
                    : (Object) new BigDecimal(whole)
                            .setScale(places, RoundingMode.HALF_EVEN)
                            .longValue();
        }
        double scale = Math.pow(10, JinjaValues.whole(run, option(args, named, 0, "precision", 0L)));
        double x = n.doubleValue() * scale;
        return switch (JinjaValues.text(option(args, named, 1, "method", "common"))) {
            case "ceil" -> Math.ceil(x) / scale;
            case "floor" -> Math.floor(x) / scale;
            default -> Math.rint(x) / scale;
        };
    }

    // ---- tests ----

    private static final Set<String> FILTERS = Set.of(
            "abs",
            "attr",
            "batch",
            "capitalize",
            "center",
            "count",
            "d",
            "default",
            "dictsort",
            "e",
            "escape",
            "first",
            "float",
            "forceescape",
            "format",
            "groupby",
            "indent",
            "int",
            "items",
            "join",
            "last",
            "length",
            "list",
            "lower",
            "map",
            "max",
            "min",
            "reject",
            "rejectattr",
            "replace",
            "reverse",
            "round",
            "safe",
            "select",
            "selectattr",
            "slice",
            "sort",
            "string",
            "sum",
            "title",
            "tojson",
            "trim",
            "truncate",
            "unique",
            "upper",
            "wordcount");
    private static final Set<String> TESTS = Set.of(
            "boolean",
            "callable",
            "defined",
            "divisibleby",
            "eq",
            "equalto",
            "escaped",
            "even",
            "false",
            "filter",
            "float",
            "ge",
            "greaterthan",
            "gt",
            "in",
            "integer",
            "iterable",
            "le",
            "lessthan",
            "lower",
            "lt",
            "mapping",
            "ne",
            "none",
            "number",
            "odd",
            "sameas",
            "sequence",
            "string",
            "test",
            "true",
            "undefined",
            "upper");

    static boolean test(JinjaRun run, String name, @Nullable Object v, List<@Nullable Object> args) {
        Object other = arg(args, 0);
        return switch (name) {
            case "defined" -> !(v instanceof Undefined);
            case "undefined" -> v instanceof Undefined;
            case "none" -> v == null;
            case "string" -> v instanceof String;
            case "number" -> v instanceof Long || v instanceof Double || v instanceof Boolean;
            case "integer" -> v instanceof Long;
            case "float" -> v instanceof Double;
            case "boolean" -> v instanceof Boolean;
            case "true" -> v instanceof Boolean b && b;
            case "false" -> v instanceof Boolean b && !b;
            case "mapping" -> v instanceof Map<?, ?>;
            case "iterable" ->
                v instanceof List<?> || v instanceof Map<?, ?> || v instanceof String || v instanceof Undefined;
            case "sequence" ->
                v instanceof List<?> || v instanceof Map<?, ?> || v instanceof String || v instanceof Undefined;
            case "callable" -> v instanceof Function;
            case "odd" -> Math.floorMod(JinjaValues.whole(run, v), 2L) == 1;
            case "even" -> Math.floorMod(JinjaValues.whole(run, v), 2L) == 0;
            case "divisibleby" -> {
                long by = JinjaValues.whole(run, other);
                if (by == 0) throw run.error("division by zero");
                yield JinjaValues.whole(run, v) % by == 0;
            }
            case "eq", "equalto", "==" -> JinjaValues.equal(v, other);
            case "sameas" ->
                v == other
                        || v != null
                                && other != null
                                && v.getClass() == other.getClass()
                                && v.equals(other)
                                && !(v instanceof List<?>)
                                && !(v instanceof Map<?, ?>);
            case "ne", "!=" -> !JinjaValues.equal(v, other);
            case "lt", "lessthan", "<" -> JinjaValues.compare(run, v, other) < 0;
            case "le", "<=" -> JinjaValues.compare(run, v, other) <= 0;
            case "gt", "greaterthan", ">" -> JinjaValues.compare(run, v, other) > 0;
            case "ge", ">=" -> JinjaValues.compare(run, v, other) >= 0;
            case "in" -> JinjaValues.contains(run, other, v);
            case "upper" -> cased(JinjaValues.text(v), true);
            case "lower" -> cased(JinjaValues.text(v), false);
            case "filter" -> v instanceof String s && FILTERS.contains(s);
            case "test" -> v instanceof String s && TESTS.contains(s);
            case "escaped" -> false;
            default -> throw run.error("there is no test '" + name + "'");
        };
    }
}
