package dev.headstart.train.log;

import dev.headstart.io.StagedFile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * A page that needs nothing but itself: facts, curves drawn as SVG (with values under the pointer), tables and remarks, in the order in which they
 * are added. Light and dark, printable, no network.
 */
public final class HtmlReport {
    /**
     * One curve.
     *
     * @param name for the legend
     * @param x ascending
     * @param y NaN leaves a gap
     * @param dots whether the points are marked; for the few points of evaluations
     */
    public record Series(String name, double[] x, double[] y, boolean dots) {
        /** A plain line. */
        public static Series line(String name, double[] x, double[] y) {
            return new Series(name, x, y, false);
        }
    }

    /**
     * One diagram.
     *
     * @param smooth whether noisy curves are drawn faint with a running mean on top
     * @param zero whether the vertical axis starts at 0
     * @param logX whether equal steps along the horizontal axis are equal factors; values must be above 0
     */
    public record Chart(
            String title,
            String xLabel,
            String yLabel,
            List<Series> series,
            boolean smooth,
            boolean zero,
            boolean logX) {
        /** A diagram as is. */
        public static Chart of(String title, String xLabel, String yLabel, List<Series> series) {
            return new Chart(title, xLabel, yLabel, series, false, false, false);
        }

        /** The same with running means. */
        public Chart smoothed() {
            return new Chart(title, xLabel, yLabel, series, true, zero, logX);
        }

        /** The same with a vertical axis from 0. */
        public Chart fromZero() {
            return new Chart(title, xLabel, yLabel, series, smooth, true, logX);
        }

        /** The same with a horizontal axis of powers. */
        public Chart logarithmic() {
            return new Chart(title, xLabel, yLabel, series, smooth, zero, true);
        }
    }

    private static final int WIDTH = 560;
    private static final int HEIGHT = 280;
    private static final int LEFT = 62;
    private static final int RIGHT = 14;
    private static final int TOP = 12;
    private static final int BOTTOM = 42;
    private static final int MOST_POINTS = 1200;
    private static final int COLOURS = 6;

    private final String title;
    private String subtitle = "";
    private final StringBuilder facts = new StringBuilder();
    private final StringBuilder body = new StringBuilder();
    private boolean inCharts;

    /** @param title heading, plain text */
    public HtmlReport(String title) {
        this.title = title;
    }

    /** A line under the heading. */
    public HtmlReport subtitle(String text) {
        subtitle = text;
        return this;
    }

    /** A fact for the box at the top: model, command, data, seed. */
    public HtmlReport fact(String name, String value) {
        facts.append("<dt>")
                .append(escape(name))
                .append("</dt><dd>")
                .append(escape(value))
                .append("</dd>\n");
        return this;
    }

    /** A result that deserves to be read first, as a large figure. */
    public HtmlReport headline(String name, String value) {
        section(false);
        int at = body.lastIndexOf("</div><!--tiles-->");
        String tile = "<div class=tile><b>" + escape(value) + "</b><span>" + escape(name) + "</span></div>";
        if (at >= 0 && body.substring(at).equals("</div><!--tiles-->\n")) {
            body.insert(at, tile);
        } else {
            body.append("<div class=tiles>").append(tile).append("</div><!--tiles-->\n");
        }
        return this;
    }

    /** A diagram; several in a row stand side by side. */
    public HtmlReport chart(Chart chart) {
        section(true);
        svg(chart);
        return this;
    }

    /** A table; columns of numbers are set right. */
    public HtmlReport table(String heading, List<String> columns, List<List<String>> rows) {
        section(false);
        body.append("<h2>").append(escape(heading)).append("</h2>\n<div class=scroll><table><thead><tr>");
        boolean[] numeric = new boolean[columns.size()];
        for (int c = 0; c < numeric.length; c++) {
            int column = c;
            numeric[c] = !rows.isEmpty()
                    && rows.stream()
                            .allMatch(r ->
                                    r.get(column).isEmpty() || r.get(column).matches("[-+±]?[\\d.,]+.{0,12}"));
            body.append(numeric[c] ? "<th class=n>" : "<th>")
                    .append(escape(columns.get(c)))
                    .append("</th>");
        }
        body.append("</tr></thead><tbody>\n");
        for (List<String> row : rows) {
            body.append("<tr>");
            for (int c = 0; c < numeric.length; c++) {
                body.append(numeric[c] ? "<td class=n>" : "<td>")
                        .append(escape(row.get(c)))
                        .append("</td>");
            }
            body.append("</tr>\n");
        }
        body.append("</tbody></table></div>\n");
        return this;
    }

    /** A remark with its heading; the heading may be empty. */
    public HtmlReport text(String heading, String paragraph) {
        section(false);
        if (!heading.isEmpty()) {
            body.append("<h2>").append(escape(heading)).append("</h2>\n");
        }
        body.append("<p>").append(escape(paragraph)).append("</p>\n");
        return this;
    }

    /** A command or a log, in a fixed-width box. */
    public HtmlReport code(String heading, String text) {
        section(false);
        body.append("<h2>")
                .append(escape(heading))
                .append("</h2>\n<pre>")
                .append(escape(text))
                .append("</pre>\n");
        return this;
    }

    private void section(boolean charts) {
        if (charts != inCharts) {
            body.append(charts ? "<div class=charts>\n" : "</div>\n");
            inCharts = charts;
        }
    }

    /** The page. */
    public String html() {
        StringBuilder page = new StringBuilder();
        page.append(
                        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>\n<meta name=viewport content=\"width=device-width,initial-scale=1\">\n<title>")
                .append(escape(title))
                .append("</title>\n<style>")
                .append(STYLE)
                .append("</style></head><body><main>\n<h1>")
                .append(escape(title))
                .append("</h1>\n");
        if (!subtitle.isEmpty()) {
            page.append("<p class=sub>").append(escape(subtitle)).append("</p>\n");
        }
        if (facts.length() > 0) {
            page.append("<dl>\n").append(facts).append("</dl>\n");
        }
        page.append(body)
                .append(inCharts ? "</div>\n" : "")
                .append("</main>\n<script>")
                .append(SCRIPT)
                .append("</script></body></html>\n");
        return page.toString();
    }

    /** Writes the page; it appears whole or not at all. */
    public void write(Path file) {
        byte[] bytes = html().getBytes(StandardCharsets.UTF_8);
        StagedFile.write(file, channel -> {
            ByteBuffer b = ByteBuffer.wrap(bytes);
            while (b.hasRemaining()) {
                channel.write(b);
            }
        });
    }

    // === Drawing ===

    private void svg(Chart chart) {
        double x0 = Double.POSITIVE_INFINITY;
        double x1 = Double.NEGATIVE_INFINITY;
        double y0 = x0;
        double y1 = x1;
        for (Series s : chart.series()) {
            for (int i = 0; i < s.x().length; i++) {
                if (Double.isFinite(s.y()[i])) {
                    x0 = Math.min(x0, s.x()[i]);
                    x1 = Math.max(x1, s.x()[i]);
                    y0 = Math.min(y0, s.y()[i]);
                    y1 = Math.max(y1, s.y()[i]);
                }
            }
        }
        body.append("<figure><figcaption>").append(escape(chart.title())).append("</figcaption>\n");
        if (chart.series().size() > 1) {
            body.append("<div class=\"legend\">");
            for (int k = 0; k < chart.series().size(); k++) {
                body.append("<span><i class=\"")
                        .append(look(k))
                        .append("\"></i>")
                        .append(escape(chart.series().get(k).name()))
                        .append("</span>");
            }
            body.append("</div>\n");
        }
        if (x0 > x1) {
            body.append("<p class=\"sub\">no values</p></figure>\n");
            return;
        }
        if (chart.zero()) {
            y0 = Math.min(0, y0);
        }
        if (chart.logX()) {
            x0 = Math.log10(x0);
            x1 = Math.log10(x1);
        }
        if (x0 == x1) {
            x0 -= 0.5;
            x1 += 0.5;
        }
        if (y0 == y1) {
            double pad = y0 == 0 ? 1 : Math.abs(y0) * 0.1;
            y0 = chart.zero() && y0 >= 0 ? 0 : y0 - pad;
            y1 += pad;
        }
        double step = step((y1 - y0) / 5);
        y0 = Math.floor(y0 / step + 1e-9) * step;
        y1 = Math.ceil(y1 / step - 1e-9) * step;
        double sx = (WIDTH - LEFT - RIGHT) / (x1 - x0);
        double sy = (HEIGHT - TOP - BOTTOM) / (y1 - y0);
        body.append("<svg viewBox=\"0 0 ")
                .append(WIDTH)
                .append(' ')
                .append(HEIGHT)
                .append("\" role=\"img\" aria-label=\"")
                .append(escape(chart.title()))
                .append("\" data-x0=\"")
                .append(x0)
                .append("\" data-x1=\"")
                .append(x1)
                .append("\" data-left=\"")
                .append(LEFT)
                .append("\" data-right=\"")
                .append(WIDTH - RIGHT)
                .append("\" data-xl=\"")
                .append(escape(chart.xLabel()))
                .append(chart.logX() ? "\" data-log=\"1" : "")
                .append("\">\n");
        for (long k = Math.round(y0 / step); k <= Math.round(y1 / step); k++) {
            double py = HEIGHT - BOTTOM - (k * step - y0) * sy;
            body.append("<line class=\"grid\" x1=\"")
                    .append(LEFT)
                    .append("\" x2=\"")
                    .append(WIDTH - RIGHT)
                    .append("\" y1=\"")
                    .append(px(py))
                    .append("\" y2=\"")
                    .append(px(py))
                    .append("\"/><text class=\"tick\" text-anchor=\"end\" x=\"")
                    .append(LEFT - 7)
                    .append("\" y=\"")
                    .append(px(py + 3.5))
                    .append("\">")
                    .append(tick(k * step, step))
                    .append("</text>\n");
        }
        if (chart.logX()) {
            double lowest = x0;
            double span = x1 - x0;
            double[] own = chart.series().stream()
                    .flatMapToDouble(s -> Arrays.stream(s.x()))
                    .distinct()
                    .toArray();
            (readable(own, span) ? ticksAt(own) : logTicks(x0, x1))
                    .forEach((at, text) -> xTick(LEFT + (at - lowest) * (WIDTH - LEFT - RIGHT) / span, text));
        } else {
            boolean whole = chart.series().stream()
                    .flatMapToDouble(s -> Arrays.stream(s.x()))
                    .allMatch(x -> x == Math.rint(x)); // steps have no halves
            double across = Math.max(whole ? 1 : 0, step((x1 - x0) / 6));
            for (long k = (long) Math.ceil(x0 / across - 1e-9); k * across <= x1 + across * 1e-9; k++) {
                xTick(LEFT + (k * across - x0) * sx, tick(k * across, across));
            }
        }
        body.append("<line class=\"axis\" x1=\"")
                .append(LEFT)
                .append("\" x2=\"")
                .append(WIDTH - RIGHT)
                .append("\" y1=\"")
                .append(HEIGHT - BOTTOM)
                .append("\" y2=\"")
                .append(HEIGHT - BOTTOM)
                .append("\"/><text class=\"label\" text-anchor=\"middle\" x=\"")
                .append((LEFT + WIDTH - RIGHT) / 2)
                .append("\" y=\"")
                .append(HEIGHT - 6)
                .append("\">")
                .append(escape(chart.xLabel()))
                .append("</text><text class=\"label\" text-anchor=\"middle\" transform=\"translate(13 ")
                .append((TOP + HEIGHT - BOTTOM) / 2)
                .append(") rotate(-90)\">")
                .append(escape(chart.yLabel()))
                .append("</text>\n");
        for (int k = 0; k < chart.series().size(); k++) {
            Series s = thinned(chart.series().get(k));
            double[] along =
                    chart.logX() ? Arrays.stream(s.x()).map(Math::log10).toArray() : s.x();
            boolean noisy = chart.smooth() && s.x().length >= 20;
            curve(along, s.y(), x0, y0, sx, sy, look(k) + (noisy ? " faint" : ""), s, s.dots());
            if (noisy) {
                curve(along, runningMean(s.y()), x0, y0, sx, sy, look(k), null, false);
            }
        }
        body.append("<line class=\"cursor\" y1=\"")
                .append(TOP)
                .append("\" y2=\"")
                .append(HEIGHT - BOTTOM)
                .append("\"/></svg></figure>\n");
    }

    private void xTick(double at, String text) {
        body.append("<text class=\"tick\" text-anchor=\"middle\" x=\"")
                .append(px(at))
                .append("\" y=\"")
                .append(HEIGHT - BOTTOM + 17)
                .append("\">")
                .append(text)
                .append("</text>\n");
    }

    /** Whether the values themselves can be the marks of an axis of powers: few, and none close to another. */
    private static boolean readable(double[] values, double span) {
        double[] at = Arrays.stream(values).map(Math::log10).sorted().toArray();
        boolean apart = true;
        for (int i = 1; i < at.length; i++) {
            apart &= at[i] - at[i - 1] >= 0.1 * span;
        }
        return at.length <= 6 && apart;
    }

    private static Map<Double, String> ticksAt(double[] values) {
        Map<Double, String> ticks = new TreeMap<>();
        for (double v : values) {
            ticks.put(Math.log10(v), String.format(Locale.ROOT, v == Math.rint(v) ? "%,.0f" : "%.3g", v));
        }
        return ticks;
    }

    /** Marks of an axis of powers: 1, 2, 5 in each power of ten, or the powers alone where that is too many. @return place and text */
    static Map<Double, String> logTicks(double low, double high) {
        Map<Double, String> ticks = new TreeMap<>();
        for (int[] digits : new int[][] {{1, 2, 5}, {1}}) {
            ticks.clear();
            for (int power = (int) Math.floor(low) - 1; power <= Math.ceil(high); power++) {
                for (int d : digits) {
                    double v = d * Math.pow(10, power);
                    double at = Math.log10(v);
                    if (at >= low - 1e-9 && at <= high + 1e-9) {
                        ticks.put(at, tick(v, v >= 1000 ? 1000 : Math.pow(10, power)));
                    }
                }
            }
            if (ticks.size() <= 10) {
                break;
            }
        }
        return ticks;
    }

    /** Colour of a series, and from the seventh on broken lines of the same colours. */
    private static String look(int series) {
        return "c" + series % COLOURS + (series < COLOURS ? "" : " d" + series / COLOURS % 3);
    }

    private void curve(
            double[] x,
            double[] y,
            double x0,
            double y0,
            double sx,
            double sy,
            String cls,
            @org.jspecify.annotations.Nullable Series data,
            boolean dots) {
        StringBuilder d = new StringBuilder();
        StringBuilder marks = new StringBuilder();
        StringBuilder values = new StringBuilder("[");
        boolean pen = false;
        for (int i = 0; i < x.length; i++) {
            if (!Double.isFinite(y[i])) {
                pen = false;
                continue;
            }
            String at = px(LEFT + (x[i] - x0) * sx);
            String up = px(HEIGHT - BOTTOM - (y[i] - y0) * sy);
            d.append(pen ? 'L' : 'M').append(at).append(' ').append(up);
            pen = true;
            if (dots) {
                marks.append("<circle class=\"")
                        .append(cls)
                        .append("\" r=\"3\" cx=\"")
                        .append(at)
                        .append("\" cy=\"")
                        .append(up)
                        .append("\"/>");
            }
            values.append(values.length() > 1 ? "," : "")
                    .append('[')
                    .append(number(data == null ? x[i] : data.x()[i]))
                    .append(',')
                    .append(number(y[i]))
                    .append(']');
        }
        body.append("<path class=\"").append(cls).append("\" d=\"").append(d).append('"');
        if (data != null) {
            body.append(" data-n=\"")
                    .append(escape(data.name()))
                    .append("\" data-v='")
                    .append(values)
                    .append("]'");
        }
        body.append("/>").append(marks).append('\n');
    }

    /** At most {@value #MOST_POINTS} points: of each stretch its least and greatest value, so that peaks stay. */
    static Series thinned(Series s) {
        int n = s.x().length;
        if (n <= MOST_POINTS) {
            return s;
        }
        int stretches = MOST_POINTS / 2;
        List<Integer> kept = new ArrayList<>();
        for (int b = 0; b < stretches; b++) {
            int from = (int) ((long) b * n / stretches);
            int to = (int) ((long) (b + 1) * n / stretches);
            int low = from;
            int high = from;
            for (int i = from; i < to; i++) {
                low = s.y()[i] < s.y()[low] ? i : low;
                high = s.y()[i] > s.y()[high] ? i : high;
            }
            kept.add(Math.min(low, high));
            if (low != high) {
                kept.add(Math.max(low, high));
            }
        }
        double[] x = kept.stream().mapToDouble(i -> s.x()[i]).toArray();
        double[] y = kept.stream().mapToDouble(i -> s.y()[i]).toArray();
        return new Series(s.name(), x, y, s.dots());
    }

    /** Exponential running mean over about a twentieth of the points, without a bias towards the first. */
    static double[] runningMean(double[] y) {
        double keep = Math.pow(0.5, 1.0 / Math.max(2, y.length / 40.0));
        double[] mean = new double[y.length];
        double sum = 0;
        double weight = 0;
        for (int i = 0; i < y.length; i++) {
            if (Double.isFinite(y[i])) {
                sum = keep * sum + (1 - keep) * y[i];
                weight = keep * weight + (1 - keep);
            }
            mean[i] = Double.isFinite(y[i]) ? sum / weight : Double.NaN;
        }
        return mean;
    }

    /** The least of 1, 2, 5 times a power of ten that is not less. */
    static double step(double atLeast) {
        double power = Math.pow(10, Math.floor(Math.log10(atLeast)));
        return Arrays.stream(new double[] {1, 2, 5, 10})
                .map(m -> m * power)
                .filter(v -> v >= atLeast * (1 - 1e-9))
                .findFirst()
                .orElse(10 * power);
    }

    private static String px(double v) {
        String s = String.format(Locale.ROOT, "%.1f", v);
        return s.endsWith(".0") ? s.substring(0, s.length() - 2) : s;
    }

    static String tick(double v, double step) {
        if (Math.abs(v) < step * 1e-6) {
            return "0";
        }
        int digits = (int) Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
        if (step >= 1e6 || digits > 4) {
            String s = String.format(Locale.ROOT, "%.2e", v).replaceAll("\\.?0+e", "e");
            return s.replaceAll("e([-+])0*", "e$1").replace("e+", "e").replace('-', '\u2212');
        }
        String s = step >= 1000 ? px(v / 1000) + "k" : String.format(Locale.ROOT, "%." + digits + "f", v);
        return s.replace('-', '\u2212');
    }

    private static String number(double v) {
        String s = String.format(Locale.ROOT, "%.6g", v);
        return s.contains("e") ? s : s.contains(".") ? s.replaceAll("\\.?0+$", "") : s;
    }

    static String escape(String s) {
        return s.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;")
                .replace("'", "&#39;");
    }

    private static final String STYLE = """
            :root{--bg:#fff;--fg:#1d2330;--soft:#5b6474;--line:#e3e6eb;--box:#f6f7f9;--c0:#2563c9;--c1:#d0541b;--c2:#15803d;--c3:#9333a8;--c4:#a16207;--c5:#0e7490}
            @media(prefers-color-scheme:dark){:root{--bg:#14171d;--fg:#e6e9ef;--soft:#9aa4b5;--line:#2b313c;--box:#1c2028;--c0:#6ea0f5;--c1:#f08a55;--c2:#4cc077;--c3:#cf86e0;--c4:#d9a53a;--c5:#45bcd6}}
            *{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
            main{max-width:1180px;margin:0 auto;padding:28px 22px 60px}h1{font-size:25px;margin:0 0 2px;letter-spacing:-.01em}h2{font-size:17px;margin:30px 0 8px}
            p{margin:6px 0;max-width:75ch}.sub{color:var(--soft);margin:0 0 14px}
            dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;background:var(--box);border-radius:8px;padding:13px 17px;margin:16px 0}
            dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
            .tiles{display:flex;flex-wrap:wrap;gap:12px;margin:18px 0}.tile{background:var(--box);border-radius:8px;padding:11px 18px;min-width:130px}
            .tile b{display:block;font-size:24px;font-weight:600;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}
            .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,470px),1fr));gap:22px 26px;margin:22px 0}
            figure{margin:0;position:relative}figcaption{font-weight:600;margin-bottom:4px}svg{width:100%;height:auto;display:block;overflow:visible}
            .legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;color:var(--soft);margin-bottom:4px}.legend i{display:inline-block;width:14px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
            .grid{stroke:var(--line)}.axis{stroke:var(--soft)}.tick{fill:var(--soft);font-size:11px;font-variant-numeric:tabular-nums}.label{fill:var(--soft);font-size:12px}
            path{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}.faint{opacity:.28;stroke-width:1.2}circle{stroke:var(--bg);stroke-width:1.2}
            path.c0{stroke:var(--c0)}path.c1{stroke:var(--c1)}path.c2{stroke:var(--c2)}path.c3{stroke:var(--c3)}path.c4{stroke:var(--c4)}path.c5{stroke:var(--c5)}
            circle.c0{fill:var(--c0)}circle.c1{fill:var(--c1)}circle.c2{fill:var(--c2)}circle.c3{fill:var(--c3)}circle.c4{fill:var(--c4)}circle.c5{fill:var(--c5)}
            i.c0{background:var(--c0)}i.c1{background:var(--c1)}i.c2{background:var(--c2)}i.c3{background:var(--c3)}i.c4{background:var(--c4)}i.c5{background:var(--c5)}
            .d1{stroke-dasharray:7 4}.d2{stroke-dasharray:2 4}i.d1,i.d2{opacity:.55}circle.d1,circle.d2{stroke-dasharray:none}
            .cursor{stroke:var(--soft);stroke-dasharray:3 3;visibility:hidden}
            .tip{position:absolute;pointer-events:none;background:var(--fg);color:var(--bg);border-radius:6px;padding:5px 9px;font-size:12px;line-height:1.45;white-space:nowrap;z-index:2;font-variant-numeric:tabular-nums}
            .scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:5px 16px 5px 0;border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:500;font-size:13px}.n{text-align:right}
            pre{background:var(--box);border-radius:8px;padding:12px 16px;overflow-x:auto;font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere}
            @media print{main{max-width:none;padding:0}figure,table{break-inside:avoid}}
            """;

    private static final String SCRIPT = """
            document.querySelectorAll('svg[data-x0]').forEach(svg=>{
            const d=svg.dataset,x0=+d.x0,x1=+d.x1,l=+d.left,r=+d.right,fig=svg.parentNode,cur=svg.querySelector('.cursor');
            const rows=[...svg.querySelectorAll('path[data-v]')].map(p=>({n:p.dataset.n,v:JSON.parse(p.dataset.v)}));let tip;
            const hide=()=>{if(tip){tip.remove();tip=null}cur.style.visibility='hidden'};
            svg.addEventListener('pointermove',e=>{const b=svg.getBoundingClientRect(),k=b.width/svg.viewBox.baseVal.width,px=(e.clientX-b.left)/k;
            if(px<l||px>r)return hide();const f=d.log?Math.log10:v=>v,x=x0+(px-l)/(r-l)*(x1-x0);let at=null;
            const near=rows.filter(s=>s.v.length).map(s=>{let m=s.v[0];for(const q of s.v)if(Math.abs(f(q[0])-x)<Math.abs(f(m[0])-x))m=q;if(at===null||Math.abs(f(m[0])-x)<Math.abs(f(at)-x))at=m[0];return[s.n,m]});
            if(at===null)return;const cx=l+(f(at)-x0)/(x1-x0)*(r-l);cur.setAttribute('x1',cx);cur.setAttribute('x2',cx);cur.style.visibility='visible';
            if(!tip){tip=document.createElement('div');tip.className='tip';fig.append(tip)}
            tip.textContent='';tip.append(d.xl+' '+at);near.forEach(([n,m])=>{tip.append(document.createElement('br'),n+': '+m[1]+(m[0]===at?'':' (at '+m[0]+')'))});
            const g=fig.getBoundingClientRect();tip.style.top=(b.top-g.top+8)+'px';const w=tip.offsetWidth,p=(b.left-g.left)+cx*k;tip.style.left=(p+w+14>g.width?p-w-10:p+10)+'px'});
            svg.addEventListener('pointerleave',hide)});
            """;
}
