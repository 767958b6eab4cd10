package dev.headstart.text;

import dev.headstart.text.JinjaLexer.Kind;
import dev.headstart.text.JinjaLexer.Token;
import dev.headstart.text.JinjaRun.Function;
import dev.headstart.text.JinjaRun.Namespace;
import dev.headstart.text.JinjaRun.Undefined;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Jinja templates to code that runs: expressions here, statements in {@link JinjaStatements}. */
class JinjaParser {
    /** An expression. */
    interface Expr {
        @Nullable
        Object eval(JinjaRun run);
    }

    private static final int MAX_DEPTH = 150;

    private final List<Token> tokens;
    private int at;
    private int depth;

    JinjaParser(List<Token> tokens) {
        this.tokens = tokens;
    }

    // ---- tokens ----

    Token current() {
        return tokens.get(at);
    }

    Token next() {
        Token t = tokens.get(at);
        if (t.kind() != Kind.EOF) at++;
        return t;
    }

    Token peek(int ahead) {
        return tokens.get(Math.min(at + ahead, tokens.size() - 1));
    }

    int position() {
        return at;
    }

    /** Whether a name stands between {@code from} and here. */
    boolean mentions(int from, String name) {
        return tokens.subList(from, at).stream()
                .anyMatch(t -> t.kind() == Kind.NAME && t.text().equals(name));
    }

    boolean is(String text) {
        return current().is(text);
    }

    boolean accept(String text) {
        if (!is(text)) return false;
        at++;
        return true;
    }

    void expect(String text) {
        if (!accept(text))
            throw error("expected '" + text + "', found '" + current().text() + "'");
    }

    String name() {
        if (current().kind() != Kind.NAME)
            throw error("expected a name, found '" + current().text() + "'");
        return next().text();
    }

    void expect(Kind kind) {
        if (current().kind() != kind)
            throw error("expected the end of the tag, found '" + current().text() + "'");
        at++;
    }

    JinjaException error(String what) {
        return new JinjaException(current().line(), what);
    }

    // ---- expressions, from the loosest binding to the tightest ----

    /** One expression, or several with commas between as a tuple. */
    Expr tuple() {
        Expr first = expression();
        if (!is(",")) return first;
        List<Expr> parts = new ArrayList<>(List.of(first));
        while (accept(",")) {
            if (current().kind() == Kind.BLOCK_END || current().kind() == Kind.VARIABLE_END || is(")")) break;
            parts.add(expression());
        }
        return tupleOf(parts);
    }

    Expr expression() {
        if (++depth > MAX_DEPTH) throw error("expressions are nested more than " + MAX_DEPTH + " deep");
        try {
            Expr value = or();
            while (accept("if")) {
                Expr then = value;
                Expr condition = or();
                Expr otherwise = accept("else") ? expression() : run -> new Undefined("the value without else");
                value = run -> JinjaValues.truth(condition.eval(run)) ? then.eval(run) : otherwise.eval(run);
            }
            return value;
        } finally {
            depth--;
        }
    }

    Expr or() {
        Expr left = and();
        while (accept("or")) {
            Expr a = left;
            Expr b = and();
            left = run -> {
                Object v = a.eval(run);
                return JinjaValues.truth(v) ? v : b.eval(run);
            };
        }
        return left;
    }

    private Expr and() {
        Expr left = not();
        while (accept("and")) {
            Expr a = left;
            Expr b = not();
            left = run -> {
                Object v = a.eval(run);
                return JinjaValues.truth(v) ? b.eval(run) : v;
            };
        }
        return left;
    }

    private Expr not() {
        boolean negate = false;
        while (accept("not")) negate = !negate;
        Expr value = compare();
        if (!negate) return value;
        return run -> !JinjaValues.truth(value.eval(run));
    }

    private Expr compare() {
        Expr first = sum();
        List<String> operators = new ArrayList<>();
        List<Expr> others = new ArrayList<>();
        while (true) {
            String op;
            if (is("not") && peek(1).is("in")) {
                at += 2;
                op = "not in";
            } else if (is("in")
                    || List.of("==", "!=", "<", "<=", ">", ">=")
                                    .contains(current().text())
                            && current().kind() == Kind.OPERATOR) {
                op = next().text();
            } else {
                break;
            }
            operators.add(op);
            others.add(sum());
        }
        if (operators.isEmpty()) return first;
        return run -> {
            Object left = first.eval(run);
            for (int i = 0; i < operators.size(); i++) {
                Object right = others.get(i).eval(run);
                if (!holds(run, operators.get(i), left, right)) return false;
                left = right;
            }
            return true;
        };
    }

    private static boolean holds(JinjaRun run, String op, @Nullable Object a, @Nullable Object b) {
        return switch (op) {
            case "==" -> JinjaValues.equal(a, b);
            case "!=" -> !JinjaValues.equal(a, b);
            case "in" -> JinjaValues.contains(run, b, a);
            case "not in" -> !JinjaValues.contains(run, b, a);
            case "<" -> JinjaValues.compare(run, a, b) < 0;
            case "<=" -> JinjaValues.compare(run, a, b) <= 0;
            case ">" -> JinjaValues.compare(run, a, b) > 0;
            default -> JinjaValues.compare(run, a, b) >= 0;
        };
    }

    private static Expr binary(String op, Expr a, Expr b) {
        return run -> JinjaValues.arithmetic(run, op, a.eval(run), b.eval(run));
    }

    private Expr sum() {
        Expr left = concat();
        while ((is("+") || is("-")) && current().kind() == Kind.OPERATOR) left = binary(next().text(), left, concat());
        return left;
    }

    private Expr concat() {
        Expr left = product();
        while (accept("~")) left = binary("~", left, product());
        return left;
    }

    private Expr product() {
        Expr left = power();
        while (is("*") || is("/") || is("//") || is("%")) left = binary(next().text(), left, power());
        return left;
    }

    private Expr power() {
        Expr left = unary(true);
        while (accept("**")) left = binary("**", left, unary(true));
        return left;
    }

    private Expr unary(boolean withFilters) {
        Expr value;
        if (++depth > MAX_DEPTH) throw error("expressions are nested more than " + MAX_DEPTH + " deep");
        if (accept("-")) {
            Expr of = unary(false);
            value = run -> of.eval(run) instanceof Double d ? -d : JinjaValues.arithmetic(run, "-", 0L, of.eval(run));
        } else if (accept("+")) {
            Expr of = unary(false);
            value = run -> JinjaValues.arithmetic(run, "+", 0L, of.eval(run));
        } else {
            value = postfix(primary());
        }
        depth--;
        return withFilters ? filters(value) : value;
    }

    Expr filters(Expr start) {
        Expr value = start;
        while (true) {
            if (accept("|")) {
                String name = name();
                while (accept(".")) name += "." + name();
                Arguments arguments = is("(") ? arguments() : new Arguments();
                value = filter(name, value, arguments);
            } else if (accept("is")) {
                value = test(value);
            } else if (is("(")) {
                value = call(value, arguments());
            } else {
                return value;
            }
        }
    }

    static Expr filter(String name, Expr of, Arguments arguments) {
        return run -> JinjaFilters.filter(run, name, of.eval(run), arguments.positional(run), arguments.named(run));
    }

    private Expr test(Expr value) {
        boolean negate = accept("not");
        String name = name();
        List<Expr> args = new ArrayList<>();
        Token t = current();
        if (is("(")) {
            args.addAll(arguments().positional);
        } else if ((t.kind() == Kind.NAME
                        && !List.of("else", "or", "and", "is", "if", "in", "not")
                                .contains(t.text()))
                || t.kind() == Kind.STRING
                || t.kind() == Kind.INTEGER
                || t.kind() == Kind.FLOAT
                || is("[")
                || is("{")) {
            args.add(postfix(primary()));
        }
        if (is("is")) throw error("tests with is cannot be chained");
        return run -> {
            List<@Nullable Object> values = new ArrayList<>();
            for (Expr arg : args) values.add(arg.eval(run));
            return JinjaFilters.test(run, name, value.eval(run), values) != negate;
        };
    }

    private Expr postfix(Expr start) {
        Expr value = start;
        while (true) {
            Expr of = value;
            if (accept(".")) {
                if (current().kind() == Kind.INTEGER || current().kind() == Kind.FLOAT) {
                    for (String part : next().text().split("\\.")) { // a.0.1: the lexer reads a number
                        if (!part.matches("\\d{1,18}")) throw error("expected an index, found '" + part + "'");
                        Expr before = value;
                        long index = Long.parseLong(part);
                        value = run -> JinjaValues.item(run, before.eval(run), index);
                    }
                } else {
                    String name = name();
                    value = run -> JinjaValues.attribute(run, of.eval(run), name);
                }
            } else if (accept("[")) {
                value = subscript(of);
                expect("]");
            } else if (is("(")) {
                value = call(of, arguments());
            } else {
                return value;
            }
        }
    }

    private Expr subscript(Expr of) {
        List<@Nullable Expr> parts = new ArrayList<>();
        boolean slice = false;
        parts.add(is(":") ? null : expression());
        while (accept(":")) {
            slice = true;
            parts.add(is(":") || is("]") ? null : expression());
        }
        if (parts.size() > 3) throw error("a slice has at most three parts");
        Expr first = parts.get(0);
        if (!slice && first != null) return run -> JinjaValues.item(run, of.eval(run), first.eval(run));
        Expr to = parts.get(1);
        Expr step = parts.size() > 2 ? parts.get(2) : null;
        return run -> JinjaValues.slice(
                run,
                of.eval(run),
                first == null ? null : first.eval(run),
                to == null ? null : to.eval(run),
                step == null ? null : step.eval(run));
    }

    /** What stands in the brackets of a call. */
    static final class Arguments {
        final List<Expr> positional = new ArrayList<>();
        final Map<String, Expr> named = new LinkedHashMap<>();
        final List<Expr> lists = new ArrayList<>();
        final List<Expr> maps = new ArrayList<>();

        boolean isEmpty() {
            return positional.isEmpty() && named.isEmpty() && lists.isEmpty() && maps.isEmpty();
        }

        List<@Nullable Object> positional(JinjaRun run) {
            List<@Nullable Object> values = new ArrayList<>(positional.size());
            for (Expr e : positional) values.add(e.eval(run));
            for (Expr e : lists) values.addAll(JinjaValues.list(run, e.eval(run)));
            return values;
        }

        Map<String, @Nullable Object> named(JinjaRun run) {
            if (named.isEmpty() && maps.isEmpty()) return Map.of();
            Map<String, @Nullable Object> values = new LinkedHashMap<>();
            named.forEach((name, e) -> values.put(name, e.eval(run)));
            for (Expr e : maps) {
                if (!(e.eval(run) instanceof Map<?, ?> m)) throw run.error("after ** a dict is expected");
                m.forEach((k, v) -> values.put(JinjaValues.text(k), v));
            }
            return values;
        }
    }

    Arguments arguments() {
        Arguments arguments = new Arguments();
        expect("(");
        while (!accept(")")) {
            if (!arguments.isEmpty()) {
                expect(",");
                if (accept(")")) break;
            }
            if (is("*") || is("**")) {
                (next().is("*") ? arguments.lists : arguments.maps).add(expression());
                continue;
            }
            if (current().kind() == Kind.NAME && peek(1).is("=")) {
                String name = name();
                expect("=");
                arguments.named.put(name, expression());
            } else {
                arguments.positional.add(expression());
            }
        }
        return arguments;
    }

    static Expr call(Expr of, Arguments arguments) {
        return run -> {
            Object f = of.eval(run);
            if (f instanceof Function function) {
                Object result = function.call(run, arguments.positional(run), arguments.named(run));
                if (result instanceof String s) run.spend(s.length());
                return result;
            }
            throw run.error(JinjaValues.type(f) + " cannot be called");
        };
    }

    static Expr listOf(List<Expr> parts) {
        return run -> {
            List<@Nullable Object> values = new ArrayList<>(parts.size());
            for (Expr e : parts) values.add(e.eval(run));
            return values;
        };
    }

    private static Expr tupleOf(List<Expr> parts) {
        Expr list = listOf(parts);
        return run -> new JinjaValues.Tuple(JinjaValues.list(run, list.eval(run)));
    }

    private Expr primary() {
        Token t = next();
        switch (t.kind()) {
            case STRING -> {
                StringBuilder text = new StringBuilder(t.text());
                while (current().kind() == Kind.STRING) text.append(next().text());
                String all = text.toString();
                return run -> all;
            }
            case INTEGER -> {
                try {
                    long n = Long.parseLong(t.text());
                    return run -> n;
                } catch (NumberFormatException e) {
                    throw new JinjaException(t.line(), "the number " + t.text() + " is beyond 64 bits");
                }
            }
            case FLOAT -> {
                double d = Double.parseDouble(t.text());
                return run -> d;
            }
            case NAME -> {
                return switch (t.text()) {
                    case "true", "True" -> run -> true;
                    case "false", "False" -> run -> false;
                    case "none", "None" -> run -> null;
                    default -> run -> run.get(t.text());
                };
            }
            default -> {
                if (t.is("(")) {
                    if (accept(")")) return tupleOf(List.of());
                    Expr inside = tuple();
                    expect(")");
                    return inside;
                }
                if (t.is("[")) return list();
                if (t.is("{")) return dict();
                throw new JinjaException(t.line(), "unexpected '" + t.text() + "'");
            }
        }
    }

    private Expr list() {
        List<Expr> parts = new ArrayList<>();
        while (!accept("]")) {
            if (!parts.isEmpty()) {
                expect(",");
                if (accept("]")) break;
            }
            parts.add(expression());
        }
        return listOf(parts);
    }

    private Expr dict() {
        List<Expr> keys = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        while (!accept("}")) {
            if (!keys.isEmpty()) {
                expect(",");
                if (accept("}")) break;
            }
            keys.add(expression());
            expect(":");
            values.add(expression());
        }
        return run -> {
            Map<Object, @Nullable Object> map = new LinkedHashMap<>();
            for (int i = 0; i < keys.size(); i++)
                map.put(JinjaBuiltins.key(keys.get(i).eval(run)), values.get(i).eval(run));
            return map;
        };
    }

    /** Sets an attribute of a namespace. */
    static void assign(JinjaRun run, @Nullable Object target, String attribute, @Nullable Object value) {
        if (!(target instanceof Namespace namespace))
            throw run.error("only attributes of a namespace can be set, not those of " + JinjaValues.type(target));
        if (attribute.startsWith("_")) throw run.error("an attribute's name may not start with _");
        namespace.values().put(attribute, value);
    }
}
