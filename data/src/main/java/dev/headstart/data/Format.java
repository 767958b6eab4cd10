package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Formats that {@link RowReader} reads. */
public enum Format {
    /** Comma separated (also {@code ;} or tab, by the first line), quoted as in RFC 4180. */
    CSV,
    /** Tab separated; quotes are ordinary characters, except around a whole field. */
    TSV,
    /** One JSON object a line. */
    JSONL,
    /** An array of objects, an object with such an array under {@code data}, or SQuAD. */
    JSON,
    /** One text a line, column {@code text}. */
    TXT,
    /** One token a line, blank lines between sentences: columns {@code tokens} and {@code ner_tags}. */
    CONLL,
    /** Apache Parquet. */
    PARQUET,
    /** A folder of images, class folders or flat: columns {@code image} and, with class folders, {@code label}. */
    IMAGEFOLDER,
    /** The same for audio files, column {@code audio}. */
    AUDIOFOLDER;

    /**
     * The format of this name.
     *
     * @throws HeadstartException when there is none; the message lists them
     */
    public static Format of(String name) {
        try {
            return valueOf(name.toUpperCase(Locale.ROOT));
        } catch (IllegalArgumentException e) {
            throw new HeadstartException(
                    "input format '" + name + "' is not known: expected one of "
                            + String.join(
                                    ", ",
                                    Arrays.stream(values())
                                            .map(f -> f.name().toLowerCase(Locale.ROOT))
                                            .toList()),
                    e);
        }
    }

    /** By the name's ending ({@code .gz} ignored); null when the ending says nothing, so that the content must decide. */
    static @Nullable Format byName(Path path) {
        String name =
                path.getFileName() == null ? "" : path.getFileName().toString().toLowerCase(Locale.ROOT);
        if (Files.isDirectory(path)) {
            return null;
        }
        if (name.endsWith(".gz")) {
            name = name.substring(0, name.length() - 3);
        }
        int dot = name.lastIndexOf('.');
        return switch (dot < 0 ? "" : name.substring(dot + 1)) {
            case "csv" -> CSV;
            case "tsv", "tab" -> TSV;
            case "jsonl", "ndjson" -> JSONL;
            case "json" -> JSON;
            case "txt", "text" -> TXT;
            case "conll", "bio", "iob", "iob2" -> CONLL;
            case "parquet", "pq" -> PARQUET;
            default -> null;
        };
    }
}
