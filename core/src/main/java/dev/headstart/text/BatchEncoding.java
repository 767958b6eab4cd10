package dev.headstart.text;

import dev.headstart.HeadstartException;
import java.util.List;
import java.util.Map;

/**
 * Several texts as tokens. Where pieces that truncation cut off were asked for, they are rows of their own, each text's right after it, and
 * {@link #sampleOf(int)} says whose they are. Immutable.
 */
public final class BatchEncoding implements Encoded {
    private final List<Encoding> rows;
    private final int[] samples;

    BatchEncoding(List<Encoding> rows, int[] samples) {
        this.rows = List.copyOf(rows);
        this.samples = samples.clone();
    }

    /** Number of rows. */
    public int size() {
        return rows.size();
    }

    /** The rows in order. */
    public List<Encoding> encodings() {
        return rows;
    }

    /** One row. */
    public Encoding get(int row) {
        return rows.get(row);
    }

    /** Index of the text that a row comes from (transformers {@code overflow_to_sample_mapping}). */
    public int sampleOf(int row) {
        return samples[row];
    }

    /**
     * {@inheritDoc}
     *
     * @throws HeadstartException when the rows differ in length because padding was not asked for
     */
    @Override
    public Map<String, long[][]> modelInputs() {
        for (Encoding row : rows) {
            if (row.length() != rows.get(0).length()) {
                throw new HeadstartException(
                        "a batch with texts of " + rows.get(0).length() + " and " + row.length()
                                + " tokens has no rectangular model input; encode it with padding (EncodeOptions.withPadding(Padding.LONGEST))");
            }
        }
        return Encoding.inputs(rows);
    }
}
