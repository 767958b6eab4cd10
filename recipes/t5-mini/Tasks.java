import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.zip.ZipFile;

/**
 * Three tasks as text to text, one file a split: sentiment of film reviews (SST-2), what kind of answer a question wants (TREC questions in nltk's
 * qc.zip), how similar two sentences are (STS benchmark; a number from 0.0 to 5.0 in steps of 0.2, as in T5's paper).
 *
 * <p>Run: {@code java Tasks.java FOLDER_OF_ALL_DATA OUTPUT}; the data lies in FOLDER/sst2, FOLDER/nltk-corpora and FOLDER/stsb.
 */
public class Tasks {
    private static final Map<String, String> KINDS = Map.of(
            "ABBR", "abbreviation", "ENTY", "entity", "DESC", "description", "HUM", "person", "LOC", "place", "NUM", "number");

    public static void main(String[] args) throws IOException {
        Path data = Path.of(args[0]);
        Path out = Files.createDirectories(Path.of(args[1]));
        List<String> questions = questions(data, "train");
        List<String> learnt = new ArrayList<>();
        List<String> heldOut = new ArrayList<>(); // the data has no validation split: every tenth question
        for (int i = 0; i < questions.size(); i++) {
            (i % 10 == 9 ? heldOut : learnt).add(questions.get(i));
        }
        write(out, "train", reviews(data, "train"), learnt, pairs(data, "train"));
        write(out, "validation", reviews(data, "dev"), heldOut, pairs(data, "dev"));
        write(out, "test", reviews(data, "test"), questions(data, "test"), pairs(data, "test"));
    }

    private static List<String> reviews(Path data, String split) throws IOException {
        List<String> rows = new ArrayList<>();
        for (String line : Files.readAllLines(data.resolve("sst2/" + split + ".tsv"))) {
            String[] f = line.split("\t", 2);
            rows.add(row("sentiment", f[1], f[0].equals("1") ? "positive" : "negative"));
        }
        return rows;
    }

    private static List<String> questions(Path data, String split) throws IOException {
        List<String> rows = new ArrayList<>();
        try (ZipFile zip = new ZipFile(data.resolve("nltk-corpora/qc.zip").toFile());
                InputStream in = zip.getInputStream(zip.getEntry("qc/" + split + ".txt"))) {
            for (String line : new String(in.readAllBytes(), StandardCharsets.ISO_8859_1).split("\n")) {
                if (!line.isBlank()) { // NUM:dist How far is it from Denver to Aspen ?
                    String[] f = line.strip().split(" ", 2);
                    rows.add(row("question type", f[1], KINDS.get(f[0].substring(0, f[0].indexOf(':')))));
                }
            }
        }
        return rows;
    }

    private static List<String> pairs(Path data, String split) throws IOException {
        List<String> rows = new ArrayList<>();
        for (String line : Files.readAllLines(data.resolve("stsb/stsb-en-" + split + ".csv"))) {
            List<String> f = fields(line);
            double score = Math.round(Double.parseDouble(f.get(2)) * 5) / 5.0;
            rows.add(row(
                    "similarity",
                    "sentence1: " + f.get(0) + " sentence2: " + f.get(1),
                    String.format(Locale.ROOT, "%.1f", score)));
        }
        return rows;
    }

    private static List<String> fields(String line) {
        List<String> fields = new ArrayList<>();
        StringBuilder field = new StringBuilder();
        boolean quoted = false;
        for (int i = 0; i < line.length(); i++) {
            char c = line.charAt(i);
            if (c == '"' && quoted && i + 1 < line.length() && line.charAt(i + 1) == '"') {
                field.append(c);
                i++;
            } else if (c == '"') {
                quoted = !quoted;
            } else if (c == ',' && !quoted) {
                fields.add(field.toString());
                field.setLength(0);
            } else {
                field.append(c);
            }
        }
        fields.add(field.toString());
        return fields;
    }

    private static String row(String task, String source, String target) {
        return "{\"task\": \"" + task + "\", \"source\": \"" + escaped(source) + "\", \"target\": \"" + target + "\"}";
    }

    private static String escaped(String text) {
        return text.strip().replaceAll("\\p{Cntrl}", " ").replace("\\", "\\\\").replace("\"", "\\\"");
    }

    @SafeVarargs
    private static void write(Path out, String split, List<String>... tasks) throws IOException {
        try (BufferedWriter w = Files.newBufferedWriter(out.resolve(split + ".jsonl"))) {
            for (List<String> rows : tasks) {
                for (String row : rows) {
                    w.write(row);
                    w.newLine();
                }
            }
        }
    }
}
