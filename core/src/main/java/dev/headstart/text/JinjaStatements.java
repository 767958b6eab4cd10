package dev.headstart.text;

import dev.headstart.text.JinjaLexer.Kind;
import dev.headstart.text.JinjaLexer.Token;
import dev.headstart.text.JinjaRun.Function;
import dev.headstart.text.JinjaRun.Undefined;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The statements of Jinja that chat templates use: for, if, set, macro, call, filter, with, break, continue, and transformers' generation. */
final class JinjaStatements extends JinjaParser {
    /** A piece of the template that prints or does something. */
    interface Statement {
        void run(JinjaRun run);
    }

    /** Leaves a loop, or its present turn. */
    private static final class LoopControl extends RuntimeException {
        static final LoopControl BREAK = new LoopControl();
        static final LoopControl CONTINUE = new LoopControl();

        private LoopControl() {
            super(null, null, false, false);
        }
    }

    private int loops;
    private int nesting;

    private JinjaStatements(List<Token> tokens) {
        super(tokens);
    }

    static Statement parse(String source) {
        JinjaStatements parser = new JinjaStatements(JinjaLexer.tokens(source));
        Statement all = parser.body(List.of());
        if (parser.current().kind() != Kind.EOF)
            throw parser.error("unexpected '" + parser.current().text() + "'");
        return all;
    }

    /** Statements up to a tag of one of these names; leaves that tag's name as the current token. */
    private Statement body(List<String> ends) {
        if (++nesting > 100) throw error("blocks are nested more than 100 deep");
        List<Statement> statements = new ArrayList<>();
        while (true) {
            Token t = current();
            if (t.kind() == Kind.EOF) {
                if (ends.isEmpty()) break;
                throw error("the template ends where {% " + ends.get(ends.size() - 1) + " %} is missing");
            }
            if (t.kind() == Kind.BLOCK_BEGIN && ends.contains(peek(1).text())) {
                next();
                break;
            }
            next();
            int line = t.line();
            if (t.kind() == Kind.DATA) {
                statements.add(run -> {
                    run.at(line);
                    run.print(t.text());
                });
            } else if (t.kind() == Kind.VARIABLE_BEGIN) {
                Expr value = tuple();
                expect(Kind.VARIABLE_END);
                statements.add(run -> {
                    run.at(line);
                    run.print(JinjaValues.text(value.eval(run)));
                });
            } else {
                Statement tag = tag();
                statements.add(run -> {
                    run.at(line);
                    tag.run(run);
                });
            }
        }
        nesting--;
        return run -> {
            for (Statement s : statements) s.run(run);
        };
    }

    private void close(String name) {
        expect(name);
        expect(Kind.BLOCK_END);
    }

    private Statement tag() {
        String name = name();
        switch (name) {
            case "for":
                return loop();
            case "if":
                return condition();
            case "set":
                return set();
            case "macro":
                return macro();
            case "call":
                return callBlock();
            case "with":
                return with();
            case "filter":
                return filterBlock();
            case "generation": {
                expect(Kind.BLOCK_END);
                Statement body = body(List.of("endgeneration"));
                close("endgeneration");
                return run -> run.generation(() -> body.run(run));
            }
            case "block": {
                String block = name();
                while (accept("scoped") || accept("required")) continue;
                expect(Kind.BLOCK_END);
                Statement body = body(List.of("endblock"));
                expect("endblock");
                accept(block);
                expect(Kind.BLOCK_END);
                return run -> run.inScope(() -> body.run(run));
            }
            case "autoescape": {
                Expr escapes = expression();
                expect(Kind.BLOCK_END);
                Statement body = body(List.of("endautoescape"));
                close("endautoescape");
                return run -> {
                    if (JinjaValues.truth(escapes.eval(run))) throw run.error("autoescape is not supported");
                    run.inScope(() -> body.run(run));
                };
            }
            case "break", "continue":
                if (loops == 0) throw error(name + " outside of a loop");
                expect(Kind.BLOCK_END);
                return run -> {
                    throw name.equals("break") ? LoopControl.BREAK : LoopControl.CONTINUE;
                };
            default:
                throw error("the tag {% " + name + " %} is not supported");
        }
    }

    private Statement condition() {
        List<Expr> conditions = new ArrayList<>();
        List<Statement> bodies = new ArrayList<>();
        Statement otherwise = run -> {};
        conditions.add(tuple());
        expect(Kind.BLOCK_END);
        while (true) {
            bodies.add(body(List.of("elif", "else", "endif")));
            if (accept("elif")) {
                conditions.add(tuple());
                expect(Kind.BLOCK_END);
            } else if (accept("else")) {
                expect(Kind.BLOCK_END);
                otherwise = body(List.of("endif"));
                close("endif");
                break;
            } else {
                close("endif");
                break;
            }
        }
        Statement last = otherwise;
        return run -> {
            for (int i = 0; i < conditions.size(); i++) {
                if (JinjaValues.truth(conditions.get(i).eval(run))) {
                    bodies.get(i).run(run);
                    return;
                }
            }
            last.run(run);
        };
    }

    /** What a value is given to: a name, or several that take its elements. */
    private record Target(@Nullable String name, List<Target> parts) {
        void give(JinjaRun run, @Nullable Object value) {
            if (name != null) {
                run.set(name, value);
                return;
            }
            List<@Nullable Object> values = JinjaValues.list(run, value);
            if (values.size() != parts.size())
                throw run.error("cannot give " + values.size() + " values to " + parts.size() + " names");
            for (int i = 0; i < values.size(); i++) parts.get(i).give(run, values.get(i));
        }
    }

    private Target targets() {
        List<Target> parts = new ArrayList<>(List.of(target()));
        boolean several = false;
        while (accept(",")) {
            several = true;
            if (is("in") || is("=") || is(")") || is("]")) break;
            parts.add(target());
        }
        return several ? new Target(null, parts) : parts.get(0);
    }

    private Target target() {
        if (++nesting > 100) throw error("names are nested more than 100 deep");
        Target target;
        if (accept("(")) {
            target = targets();
            expect(")");
        } else if (accept("[")) {
            target = targets();
            expect("]");
        } else {
            target = new Target(name(), List.of());
        }
        nesting--;
        return target;
    }

    private Statement loop() {
        Target names = targets();
        expect("in");
        Expr over = forIterable();
        Expr test = accept("if") ? expression() : null;
        boolean recursive = accept("recursive");
        expect(Kind.BLOCK_END);
        loops++;
        Statement body = body(List.of("else", "endfor"));
        loops--;
        Statement otherwise = run -> {};
        if (accept("else")) {
            expect(Kind.BLOCK_END);
            otherwise = body(List.of("endfor"));
        }
        close("endfor");
        Loop loop = new Loop(names, test, body, otherwise, recursive);
        return run -> loop.run(run, over.eval(run), 1);
    }

    /** What is looped over: no conditional expression, whose "if" would be the loop's own. */
    private Expr forIterable() {
        Expr first = or();
        if (!is(",")) return first;
        List<Expr> parts = new ArrayList<>(List.of(first));
        while (accept(",")) parts.add(or());
        return listOf(parts);
    }

    private record Loop(Target names, @Nullable Expr test, Statement body, Statement otherwise, boolean recursive) {
        void run(JinjaRun run, @Nullable Object over, int depth) {
            List<@Nullable Object> items = JinjaValues.list(run, over);
            if (test != null) {
                List<@Nullable Object> kept = new ArrayList<>();
                for (Object item : items) {
                    run.at(run.line());
                    run.inScope(() -> {
                        names.give(run, item);
                        if (JinjaValues.truth(test.eval(run))) kept.add(item);
                    });
                }
                items = kept;
            }
            if (items.isEmpty()) {
                run.inScope(() -> otherwise.run(run));
                return;
            }
            List<@Nullable Object> all = items;
            Object[] changed = {new Object()};
            boolean[] completed = {false}; // a turn: Jinja's else runs as long as none was
            int line = run.line();
            try {
                for (int n = 0; n < all.size(); n++) {
                    int i = n;
                    run.at(line);
                    run.inScope(() -> {
                        names.give(run, all.get(i));
                        run.set("loop", state(run, all, i, depth, changed));
                        try {
                            body.run(run);
                            completed[0] = true;
                        } catch (LoopControl control) {
                            if (control == LoopControl.BREAK) throw control;
                        }
                    });
                }
            } catch (LoopControl control) {
                if (control != LoopControl.BREAK) throw control;
            }
            if (!completed[0]) run.inScope(() -> otherwise.run(run));
        }

        private Object state(JinjaRun run, List<@Nullable Object> all, int i, int depth, Object[] changed) {
            int n = all.size();
            Map<String, @Nullable Object> loop = new LinkedHashMap<>();
            loop.put("index", i + 1L);
            loop.put("index0", (long) i);
            loop.put("revindex", (long) n - i);
            loop.put("revindex0", (long) n - i - 1);
            loop.put("first", i == 0);
            loop.put("last", i == n - 1);
            loop.put("length", (long) n);
            loop.put("depth", (long) depth);
            loop.put("depth0", depth - 1L);
            loop.put("previtem", i > 0 ? all.get(i - 1) : new Undefined("loop.previtem"));
            loop.put("nextitem", i < n - 1 ? all.get(i + 1) : new Undefined("loop.nextitem"));
            loop.put("cycle", (Function) (r, args, named) -> {
                if (args.isEmpty()) throw r.error("loop.cycle: no values");
                return args.get(i % args.size());
            });
            loop.put("changed", (Function) (r, args, named) -> {
                boolean same = changed[0] instanceof List<?> last && JinjaValues.equal(last, args);
                changed[0] = args;
                return !same;
            });
            if (!recursive) return new JinjaRun.Namespace(loop);
            Object here = run.here();
            return new Recursive(new JinjaRun.Namespace(loop), (r, args, named) -> {
                if (args.isEmpty()) throw r.error("loop(): nothing to loop over");
                return r.capture(here, () -> run(r, args.get(0), depth + 1));
            });
        }
    }

    /** A loop variable that can be called. */
    record Recursive(JinjaRun.Namespace attributes, Function function) implements Function {
        @Override
        public @Nullable Object call(JinjaRun run, List<@Nullable Object> args, Map<String, @Nullable Object> named) {
            return function.call(run, args, named);
        }
    }

    private Statement set() {
        if (current().kind() == Kind.NAME && peek(1).is(".")) {
            String object = name();
            expect(".");
            String attribute = name();
            Expr value = setValue();
            return run -> assign(run, run.get(object), attribute, value.eval(run));
        }
        Target names = targets();
        Expr value = setValue();
        return run -> names.give(run, value.eval(run));
    }

    /** {@code = value}, or what the block up to {@code endset} prints. */
    private Expr setValue() {
        if (accept("=")) {
            Expr value = tuple();
            expect(Kind.BLOCK_END);
            return value;
        }
        Expr[] printed = {run -> null};
        Expr filtered = is("|") ? filters(run -> printed[0].eval(run)) : run -> printed[0].eval(run);
        expect(Kind.BLOCK_END);
        Statement body = body(List.of("endset"));
        close("endset");
        printed[0] = run -> run.capture(run.here(), () -> body.run(run));
        return filtered;
    }

    private record Parameter(String name, @Nullable Expr otherwise) {}

    private List<Parameter> parameters() {
        List<Parameter> parameters = new ArrayList<>();
        expect("(");
        while (!accept(")")) {
            if (!parameters.isEmpty()) {
                expect(",");
                if (accept(")")) break;
            }
            String parameter = name();
            parameters.add(new Parameter(parameter, accept("=") ? expression() : null));
        }
        return parameters;
    }

    private Statement macro() {
        String name = name();
        List<Parameter> parameters = parameters();
        expect(Kind.BLOCK_END);
        int before = loops;
        loops = 0;
        int start = position();
        Statement body = body(List.of("endmacro"));
        boolean more = mentions(start, "varargs");
        boolean others = mentions(start, "kwargs");
        loops = before;
        close("endmacro");
        return run -> run.set(name, function(name, parameters, body, run.here(), more, others));
    }

    /** @param more whether the body reads {@code varargs}; @param others whether it reads {@code kwargs} */
    private static Function function(
            String name, List<Parameter> parameters, Statement body, Object where, boolean more, boolean others) {
        return (run, args, named) -> {
            if (args.size() > parameters.size() && !more)
                throw run.error(name + "() takes " + parameters.size() + " arguments, found " + args.size());
            for (String given : named.keySet()) {
                if (!given.equals("caller")
                        && !others
                        && parameters.stream().noneMatch(p -> p.name().equals(given))) {
                    throw run.error(name + "() has no argument '" + given + "'");
                }
            }
            int line = run.line();
            String text = run.capture(where, () -> {
                if (named.containsKey("caller")) run.set("caller", named.get("caller"));
                for (int i = 0; i < parameters.size(); i++) {
                    Parameter p = parameters.get(i);
                    Expr otherwise = p.otherwise();
                    if (i < args.size()) run.set(p.name(), args.get(i));
                    else if (named.containsKey(p.name())) run.set(p.name(), named.get(p.name()));
                    else run.set(p.name(), otherwise != null ? otherwise.eval(run) : new Undefined(p.name()));
                }
                if (more) {
                    List<@Nullable Object> rest = args.subList(Math.min(parameters.size(), args.size()), args.size());
                    run.set("varargs", new JinjaValues.Tuple(rest));
                }
                if (others) {
                    Map<Object, @Nullable Object> rest = new LinkedHashMap<>(named);
                    rest.remove("caller");
                    parameters.forEach(p -> rest.remove(p.name()));
                    run.set("kwargs", rest);
                }
                body.run(run);
            });
            run.at(line);
            return text;
        };
    }

    private Statement callBlock() {
        List<Parameter> parameters = is("(") ? parameters() : List.of();
        Token start = current();
        String name = name();
        Expr target = run -> run.get(name);
        while (accept(".")) {
            Expr of = target;
            String attribute = name();
            target = run -> JinjaValues.attribute(run, of.eval(run), attribute);
        }
        if (!is("(")) throw new JinjaException(start.line(), "{% call %} needs a macro call");
        Arguments arguments = arguments();
        expect(Kind.BLOCK_END);
        Statement body = body(List.of("endcall"));
        close("endcall");
        Expr macro = target;
        return run -> {
            Map<String, @Nullable Object> named = new LinkedHashMap<>(arguments.named(run));
            named.put("caller", function("caller", parameters, body, run.here(), false, false));
            if (!(macro.eval(run) instanceof Function f)) throw run.error(name + " is no macro");
            run.print(JinjaValues.text(f.call(run, arguments.positional(run), named)));
        };
    }

    private Statement with() {
        List<String> names = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        while (current().kind() != Kind.BLOCK_END) {
            if (!names.isEmpty()) expect(",");
            names.add(name());
            expect("=");
            values.add(expression());
        }
        expect(Kind.BLOCK_END);
        Statement body = body(List.of("endwith"));
        close("endwith");
        return run -> {
            List<@Nullable Object> given = new ArrayList<>();
            for (Expr value : values) given.add(value.eval(run));
            run.inScope(() -> {
                for (int i = 0; i < names.size(); i++) run.set(names.get(i), given.get(i));
                body.run(run);
            });
        };
    }

    private Statement filterBlock() {
        String first = name();
        Arguments arguments = is("(") ? arguments() : new Arguments();
        Expr[] printed = {run -> null};
        Expr filtered = filters(filter(first, run -> printed[0].eval(run), arguments));
        expect(Kind.BLOCK_END);
        Statement body = body(List.of("endfilter"));
        close("endfilter");
        printed[0] = run -> run.capture(run.here(), () -> body.run(run));
        return run -> run.print(JinjaValues.text(filtered.eval(run)));
    }
}
