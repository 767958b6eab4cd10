package dev.headstart.text;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Python's two ways to write values into a text: {@code "%5.1f" % x} and {@code "{:>5}".format(x)}. */
final class JinjaFormat {
    private static final Pattern CONVERSION =
            Pattern.compile("%(?:\\(([^)]{0,100})\\))?([-+ 0#]*)(\\d{0,4})(?:\\.(\\d{0,3}))?(.?)", Pattern.DOTALL);
    private static final Pattern SPECIFICATION = Pattern.compile(
            "(?:(.)?([<>=^]))?([-+ ])?(#)?(0)?(\\d{0,4})([,_])?(?:\\.(\\d{1,3}))?([a-zA-Z%])?", Pattern.DOTALL);
    private static final Pattern FIELD = Pattern.compile("([^.\\[!:]*)((?:\\.\\w+|\\[[^]]*])*)(?:!([rsa]))?(?::(.*))?");

    private JinjaFormat() {}

    /**
     * How a value is to look.
     *
     * @param align one of &lt; &gt; ^ =, or 0 for the kind's own
     * @param precision digits or characters, or -1
     * @param type the letter, or 0 for the kind's own
     */
    private record Look(
            String fill, char align, char sign, boolean alternate, int width, char group, int precision, char type) {}

    /** {@code s % values}. @param values those of a tuple, or the one value; @param named what {@code %(name)s} takes, or null */
    static String percent(JinjaRun run, String s, List<@Nullable Object> values, @Nullable Map<?, ?> named) {
        Matcher m = CONVERSION.matcher(s);
        StringBuilder b = new StringBuilder();
        int next = 0;
        while (m.find()) {
            String flags = m.group(2);
            char type = m.group(5).isEmpty() ? 0 : m.group(5).charAt(0);
            String text;
            if (type == '%') {
                text = "%";
            } else if ("sradiufFeEgGxXoc".indexOf(type) < 0 || type == 0) {
                throw run.error("format: \"" + m.group() + "\" is no conversion");
            } else {
                Object v;
                if (m.group(1) != null) {
                    if (named == null || !named.containsKey(m.group(1)))
                        throw run.error("format: there is no value '" + m.group(1) + "'");
                    v = named.get(m.group(1));
                } else {
                    if (next >= values.size()) throw run.error("format: too few values for \"" + s + "\"");
                    v = values.get(next++);
                }
                boolean left = flags.contains("-");
                boolean zero = flags.contains("0") && !left && "sra".indexOf(type) < 0;
                char sign = flags.contains("+") ? '+' : flags.contains(" ") ? ' ' : '-';
                int precision = m.group(4) == null ? -1 : m.group(4).isEmpty() ? 0 : Integer.parseInt(m.group(4));
                int width = m.group(3).isEmpty() ? 0 : Integer.parseInt(m.group(3));
                Object shown = "ra".indexOf(type) >= 0 ? JinjaValues.repr(v) : type == 's' ? JinjaValues.text(v) : v;
                char letter = "sra".indexOf(type) >= 0 ? 's' : "iu".indexOf(type) >= 0 ? 'd' : type;
                if (letter == 'd' && JinjaValues.numeric(v) instanceof Double d) shown = (long) d.doubleValue();
                if (letter == 'c' && shown instanceof String c) {
                    letter = 's';
                    shown = c;
                }
                text = shown(
                        run,
                        shown,
                        new Look(
                                zero ? "0" : " ",
                                zero ? '=' : left ? '<' : '>',
                                sign,
                                flags.contains("#"),
                                width,
                                '\0',
                                precision,
                                letter));
            }
            m.appendReplacement(b, Matcher.quoteReplacement(text));
            if (b.length() > JinjaRun.MAX_TEXT) throw run.error("format: the result is too long");
        }
        if (named == null && next < values.size()) throw run.error("format: too many values for \"" + s + "\"");
        return run.checked(m.appendTail(b).toString());
    }

    /** {@code s.format(...)}. */
    static String braces(JinjaRun run, String s, List<@Nullable Object> args, Map<String, @Nullable Object> named) {
        StringBuilder b = new StringBuilder();
        int next = 0;
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c != '{' && c != '}') {
                b.append(c);
                continue;
            }
            if (i + 1 < s.length() && s.charAt(i + 1) == c) {
                b.append(c);
                i++;
                continue;
            }
            int end = s.indexOf('}', i);
            if (c == '}' || end < 0) throw run.error("format: a single '" + c + "' in \"" + s + "\"");
            Matcher field = FIELD.matcher(s.substring(i + 1, end));
            if (!field.matches() || s.substring(i + 1, end).contains("{"))
                throw run.error("format: the field " + s.substring(i, end + 1) + " is not supported");
            String name = field.group(1);
            Object v;
            if (name.isEmpty() || name.matches("\\d{1,6}")) {
                int at = name.isEmpty() ? next++ : Integer.parseInt(name);
                if (at >= args.size()) throw run.error("format: there is no value " + at);
                v = args.get(at);
            } else if (named.containsKey(name)) {
                v = named.get(name);
            } else {
                throw run.error("format: there is no value '" + name + "'");
            }
            Matcher step = Pattern.compile("\\.(\\w+)|\\[([^]]*)]").matcher(field.group(2));
            while (step.find()) {
                if (step.group(1) != null) v = JinjaValues.attribute(run, v, step.group(1));
                else
                    v = JinjaValues.item(
                            run,
                            v,
                            step.group(2).matches("\\d{1,9}") ? (Object) Long.valueOf(step.group(2)) : step.group(2));
            }
            if (field.group(3) != null) v = field.group(3).equals("s") ? JinjaValues.text(v) : JinjaValues.repr(v);
            String look = field.group(4);
            b.append(look == null || look.isEmpty() ? JinjaValues.text(v) : shown(run, v, look(run, look)));
            if (b.length() > JinjaRun.MAX_TEXT) throw run.error("format: the result is too long");
            i = end;
        }
        return run.checked(b.toString());
    }

    private static Look look(JinjaRun run, String specification) {
        Matcher m = SPECIFICATION.matcher(specification);
        if (!m.matches()) throw run.error("format: \"" + specification + "\" is no specification");
        boolean zero = m.group(5) != null;
        char align = m.group(2) != null ? m.group(2).charAt(0) : zero ? '=' : '\0';
        return new Look(
                m.group(1) != null ? m.group(1) : zero ? "0" : " ",
                align,
                m.group(3) == null ? '-' : m.group(3).charAt(0),
                m.group(4) != null,
                m.group(6).isEmpty() ? 0 : Integer.parseInt(m.group(6)),
                m.group(7) == null ? '\0' : m.group(7).charAt(0),
                m.group(8) == null ? -1 : Integer.parseInt(m.group(8)),
                m.group(9) == null ? '\0' : m.group(9).charAt(0));
    }

    private static String shown(JinjaRun run, @Nullable Object v, Look look) {
        Number n = v instanceof String ? null : JinjaValues.numeric(v);
        char type =
                look.type != 0 ? look.type : n == null || v instanceof Boolean ? 's' : n instanceof Long ? 'd' : 'r';
        if (type == 's') {
            String text = JinjaValues.text(v);
            if (look.precision >= 0 && look.precision < text.codePointCount(0, text.length()))
                text = text.substring(0, text.offsetByCodePoints(0, look.precision));
            return padded(text, "", look, '<');
        }
        if (n == null) throw run.error("format: expected a number, found " + JinjaValues.type(v));
        boolean negative =
                n instanceof Long l ? l < 0 : n.doubleValue() < 0 || Double.compare(n.doubleValue(), -0.0) == 0;
        String sign = negative ? "-" : look.sign == '-' ? "" : String.valueOf(look.sign);
        String digits = switch (type) {
            case 'd', 'x', 'X', 'o', 'b', 'c' -> {
                if (!(n instanceof Long whole))
                    throw run.error("format: expected a whole number, found " + JinjaValues.type(v));
                long size = Math.abs(whole);
                yield switch (type) {
                    case 'd' -> grouped(Long.toString(size), look);
                    case 'x' -> (look.alternate ? "0x" : "") + Long.toHexString(size);
                    case 'X' ->
                        (look.alternate ? "0X" : "") + Long.toHexString(size).toUpperCase(java.util.Locale.ROOT);
                    case 'o' -> (look.alternate ? "0o" : "") + Long.toOctalString(size);
                    case 'b' -> (look.alternate ? "0b" : "") + Long.toBinaryString(size);
                    default -> {
                        if (!Character.isValidCodePoint((int) size) || size > Character.MAX_CODE_POINT)
                            throw run.error("format: " + size + " is no character");
                        yield new String(Character.toChars((int) size));
                    }
                };
            }
            case 'f', 'F', 'e', 'E', 'g', 'G', '%', 'n', 'r' -> real(Math.abs(n.doubleValue()), type, look);
            default -> throw run.error("format: there is no type '" + type + "'");
        };
        return padded(digits, sign, look, '>');
    }

    private static String real(double d, char type, Look look) {
        if (Double.isNaN(d) || Double.isInfinite(d)) return Double.isNaN(d) ? "nan" : "inf";
        int precision = look.precision < 0 ? 6 : look.precision;
        String text = switch (type) {
            case 'f', 'F' -> fixed(d, precision);
            case '%' -> fixed(d * 100, precision) + "%";
            case 'e', 'E' -> exponent(d, precision);
            case 'r' -> look.precision < 0 ? JinjaValues.number(d) : general(d, precision, look.alternate);
            default -> general(d, precision, look.alternate);
        };
        return grouped(Character.isUpperCase(type) ? text.toUpperCase(java.util.Locale.ROOT) : text, look);
    }

    private static String fixed(double d, int decimals) {
        return new BigDecimal(d).setScale(decimals, RoundingMode.HALF_EVEN).toPlainString();
    }

    private static String exponent(double d, int decimals) {
        BigDecimal rounded = new BigDecimal(d).round(new MathContext(decimals + 1, RoundingMode.HALF_EVEN));
        int e = d == 0 ? 0 : rounded.precision() - rounded.scale() - 1;
        String digits = rounded.unscaledValue().toString();
        digits = digits.substring(0, Math.min(digits.length(), decimals + 1));
        digits += "0".repeat(decimals + 1 - digits.length());
        return digits.charAt(0)
                + (decimals > 0 ? "." + digits.substring(1) : "")
                + (e < 0 ? "e-" : "e+")
                + (Math.abs(e) < 10 ? "0" : "")
                + Math.abs(e);
    }

    private static String general(double d, int precision, boolean zeros) {
        int digits = Math.max(precision, 1);
        String e = exponent(d, digits - 1);
        int mark = e.indexOf('e');
        int size = Integer.parseInt(e.substring(mark + 1));
        if (size >= -4 && size < digits) {
            String text = fixed(d, digits - 1 - size);
            return zeros ? text : bare(text);
        }
        return (zeros ? e.substring(0, mark) : bare(e.substring(0, mark))) + e.substring(mark);
    }

    private static String bare(String decimal) {
        return decimal.indexOf('.') < 0
                ? decimal
                : decimal.replaceAll("0+$", "").replaceAll("\\.$", "");
    }

    private static String grouped(String text, Look look) {
        if (look.group == 0) return text;
        int end = 0;
        while (end < text.length() && Character.isDigit(text.charAt(end))) end++;
        StringBuilder b = new StringBuilder(text);
        for (int i = end - 3; i > 0; i -= 3) b.insert(i, look.group);
        return b.toString();
    }

    private static String padded(String digits, String sign, Look look, char own) {
        int missing = look.width - digits.codePointCount(0, digits.length()) - sign.length();
        if (missing <= 0) return sign + digits;
        int left = switch (look.align == 0 ? own : look.align) {
            case '<' -> 0;
            case '^' -> missing / 2;
            default -> missing;
        };
        if (look.align == '=') return sign + look.fill.repeat(missing) + digits;
        return look.fill.repeat(left) + sign + digits + look.fill.repeat(missing - left);
    }
}
