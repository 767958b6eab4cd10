package dev.headstart.cli;

import dev.headstart.vision.Image;
import dev.headstart.vision.Resample;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import javax.imageio.ImageIO;
import org.jspecify.annotations.Nullable;

/** The images that a search found, on one self-contained page. */
final class ContactSheet {
    private static final int SIDE = 220;

    private ContactSheet() {}

    /** @param example the query when it is an image */
    static String of(String query, @Nullable Image example, String model, List<SearchCommand.Hit> hits) {
        StringBuilder b = new StringBuilder("""
                <!DOCTYPE html>
                <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
                <title>Search</title><style>
                :root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
                h1{font-size:1.3rem;margin:0 0 .2rem}p{margin:.2rem 0;opacity:.75}header{display:flex;gap:1.2rem;align-items:center;margin-bottom:1.6rem}
                header img{max-height:110px;border-radius:6px}ol{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:1rem}
                li{border:1px solid #8884;border-radius:8px;overflow:hidden}li img{width:100%;height:190px;object-fit:contain;background:#8882;display:block}
                li div{padding:.5rem .7rem}b{font-variant-numeric:tabular-nums}span{display:block;overflow-wrap:anywhere;font-size:.85em;opacity:.8}
                meter{width:100%;height:.5rem}</style></head><body><header>
                """);
        if (example != null) {
            b.append("<img alt=\"the query\" src=\"")
                    .append(data(thumbnail(example)))
                    .append("\">");
        }
        b.append("<div><h1>")
                .append(example != null ? "Most like this image" : "&ldquo;" + escaped(query) + "&rdquo;")
                .append("</h1><p>")
                .append(hits.size())
                .append(" best, by the cosine of the features of ")
                .append(escaped(model))
                .append("</p></div></header><ol>\n");
        for (SearchCommand.Hit h : hits) {
            String name = escaped(h.path().toString());
            String score = String.format(Locale.ROOT, "%.3f", h.score());
            b.append("<li><img alt=\"").append(name).append("\" src=\"").append(data(h.thumbnail()));
            b.append("\"><div><b>")
                    .append(score)
                    .append("</b><meter min=\"0\" max=\"1\" value=\"")
                    .append(score);
            b.append("\"></meter><span>").append(name).append("</span></div></li>\n");
        }
        return b.append("</ol></body></html>\n").toString();
    }

    /** The image at the size in which the sheet shows it. */
    static Image thumbnail(Image image) {
        double by = Math.min(1, (double) SIDE / Math.max(image.width(), image.height()));
        return image.resize(
                Math.max(1, (int) Math.round(image.width() * by)),
                Math.max(1, (int) Math.round(image.height() * by)),
                Resample.BILINEAR);
    }

    private static String data(Image small) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try {
            ImageIO.write(small.toBufferedImage(), "jpg", bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return "data:image/jpeg;base64," + Base64.getEncoder().encodeToString(bytes.toByteArray());
    }

    private static String escaped(String s) {
        return s.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\"", "&quot;");
    }
}
