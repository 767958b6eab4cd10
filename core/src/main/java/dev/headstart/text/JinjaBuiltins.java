package dev.headstart.text;

import dev.headstart.text.JinjaRun.Function;
import dev.headstart.text.JinjaRun.Namespace;
import java.time.format.TextStyle;
import java.time.temporal.IsoFields;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** The functions and methods that chat templates use, as Jinja 3.1 and Python define them. */
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

    static List<@Nullable Object> items(Map<?, ?> m) {
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

    static String aligned(JinjaRun run, String s, String how, @Nullable Object width, String fill) {
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
    static boolean cased(String s, boolean upper) {
        String same = upper ? s.toUpperCase(Locale.ROOT) : s.toLowerCase(Locale.ROOT);
        return s.equals(same) && !s.equals(upper ? s.toLowerCase(Locale.ROOT) : s.toUpperCase(Locale.ROOT));
    }

    private static boolean space(int c) {
        return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == 0x85;
    }

    static String strip(String s, @Nullable Object chars, boolean left, boolean right) {
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

    static String capitalize(String s) {
        if (s.isEmpty()) return s;
        int first = s.offsetByCodePoints(0, 1);
        return s.substring(0, first).toUpperCase(Locale.ROOT)
                + s.substring(first).toLowerCase(Locale.ROOT);
    }

    /** @param words whether only blanks and brackets start a word (Jinja's filter); else everything that is no letter (Python's method) */
    static String title(String s, boolean words) {
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

    static String replace(JinjaRun run, String s, String what, String with, long times) {
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

    static String joined(JinjaRun run, List<String> parts, String by) {
        double length = parts.stream().mapToDouble(String::length).sum() + by.length() * (double) parts.size();
        if (length > JinjaRun.MAX_TEXT) throw run.error("join: the result is too long");
        return String.join(by, parts);
    }

    // ---- arguments ----

    static @Nullable Object arg(List<@Nullable Object> args, int i) {
        return i < args.size() ? args.get(i) : null;
    }

    static String string(JinjaRun run, List<@Nullable Object> args, int i) {
        if (i < args.size() && args.get(i) instanceof String s) return s;
        throw run.error("expected a string as argument " + (i + 1)
                + (i < args.size() ? ", found " + JinjaValues.type(args.get(i)) : ""));
    }

    static @Nullable Object option(
            List<@Nullable Object> args,
            Map<String, @Nullable Object> named,
            int i,
            String name,
            @Nullable Object otherwise) {
        return i < args.size() ? args.get(i) : named.containsKey(name) ? named.get(name) : otherwise;
    }
}
