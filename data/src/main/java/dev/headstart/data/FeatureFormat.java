package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.nio.file.Path;
import java.util.Locale;

/** Formats that {@link FeatureWriter} writes. */
public enum FeatureFormat {
    /**
     * Tensors {@code features} F32 [rows, dimension] and {@code row} I64 [rows] (number of the input row, from 1). Per token: {@code features}
     * [tokens of all rows, dimension] and {@code offsets} I64 [rows + 1]. Ids stand beside it in {@code NAME.rows.jsonl}.
     */
    SAFETENSORS,
    /** The array alone, shaped as above; row numbers, ids and token counts stand beside it in {@code NAME.rows.jsonl}. */
    NPY,
    /** Columns row, id (where there is one), token (per token), f0, f1, ... */
    CSV,
    /** Objects {@code {"row", "id", "features"}}. */
    JSONL,
    /** Columns row, id and features (list of float; per token: list of lists). */
    PARQUET;

    /**
     * The format of this name or, when null, of the file's ending.
     *
     * @throws HeadstartException when neither says
     */
    public static FeatureFormat of(@org.jspecify.annotations.Nullable String name, Path target) {
        String file = String.valueOf(target.getFileName());
        String wanted = name != null ? name : file.substring(file.lastIndexOf('.') + 1);
        for (FeatureFormat f : values()) {
            if (f.name().toLowerCase(Locale.ROOT).equals(wanted.toLowerCase(Locale.ROOT))) {
                return f;
            }
        }
        throw new HeadstartException((name != null ? "format '" + name + "'" : target + ": ending '" + wanted + "'")
                + " is not known: expected safetensors, npy, csv, jsonl or parquet"
                + (name != null ? "" : "; or name one with --format"));
    }
}
