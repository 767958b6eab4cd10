package dev.headstart.text;

import static dev.headstart.text.JinjaBuiltins.aligned;
import static dev.headstart.text.JinjaBuiltins.arg;
import static dev.headstart.text.JinjaBuiltins.capitalize;
import static dev.headstart.text.JinjaBuiltins.cased;
import static dev.headstart.text.JinjaBuiltins.items;
import static dev.headstart.text.JinjaBuiltins.joined;
import static dev.headstart.text.JinjaBuiltins.key;
import static dev.headstart.text.JinjaBuiltins.option;
import static dev.headstart.text.JinjaBuiltins.replace;
import static dev.headstart.text.JinjaBuiltins.string;
import static dev.headstart.text.JinjaBuiltins.strip;
import static dev.headstart.text.JinjaBuiltins.title;

import dev.headstart.text.JinjaRun.Function;
import dev.headstart.text.JinjaRun.Undefined;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.ToIntBiFunction;
import org.jspecify.annotations.Nullable;

/** The filters and tests that chat templates use, as Jinja 3.1 defines them. */
final class JinjaFilters {
    private JinjaFilters() {}

    /** What map, select and their kin go through: nothing for what is false, none above all. */
    private static List<@Nullable Object> elements(JinjaRun run, @Nullable Object v) {
        return JinjaValues.truth(v) ? JinjaValues.list(run, v) : List.of();
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
