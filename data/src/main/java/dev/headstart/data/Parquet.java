package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;

/**
 * The only door to the Parquet library. It is an optional dependency (blue.strategic.parquet:parquet-floor, which carries stubs of Hadoop
 * classes and so must not stand on one class path with Spark): where it is missing, an error says so, and nothing else is touched.
 */
final class Parquet {
    private Parquet() {}

    /** Whether the file begins as Parquet files do. */
    static boolean is(Path path) {
        try (InputStream in = Files.newInputStream(path)) {
            byte[] magic = in.readNBytes(4);
            return magic.length == 4 && magic[0] == 'P' && magic[1] == 'A' && magic[2] == 'R' && magic[3] == '1';
        } catch (IOException e) {
            throw TextInput.failure(path.toString(), e);
        }
    }

    static RowReader reader(Path path, ReadOptions options) {
        try {
            return new ParquetSupport.Reader(path, options);
        } catch (NoClassDefFoundError e) {
            throw missing(path, e);
        }
    }

    /** Writes features: see {@link FeatureWriter}. */
    static void write(Path path, boolean perToken, Iterator<Features> rows) {
        try {
            ParquetSupport.write(path, perToken, rows);
        } catch (NoClassDefFoundError e) {
            throw missing(path, e);
        }
    }

    /** Fails now rather than at the end of a long run. */
    static void check(Path path) {
        try {
            ParquetSupport.touch();
        } catch (NoClassDefFoundError e) {
            throw missing(path, e);
        }
    }

    private static HeadstartException missing(Path path, NoClassDefFoundError e) {
        return new HeadstartException(
                path
                        + ": Parquet needs blue.strategic.parquet:parquet-floor on the class path (not beside Spark, which reads Parquet itself); missing "
                        + e.getMessage(),
                e);
    }
}
