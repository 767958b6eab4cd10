package dev.headstart.data;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.column.ParquetProperties;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.convert.GroupRecordConverter;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.api.WriteSupport;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.ColumnIOFactory;
import org.apache.parquet.io.LocalInputFile;
import org.apache.parquet.io.LocalOutputFile;
import org.apache.parquet.io.MessageColumnIO;
import org.apache.parquet.io.OutputFile;
import org.apache.parquet.io.RecordReader;
import org.apache.parquet.io.api.Binary;
import org.apache.parquet.io.api.RecordConsumer;
import org.apache.parquet.schema.GroupType;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Types;
import org.jspecify.annotations.Nullable;

/** Everything that touches the Parquet library; loaded through {@link Parquet} alone. */
final class ParquetSupport {
    private ParquetSupport() {}

    static void touch() {
        // Loads a class of the library and one of its Hadoop stubs.
        ParquetProperties.builder().build();
        new Configuration();
    }

    /** Rows of a file, one row group in memory at a time; lists and structures as List and Map. */
    static final class Reader extends RowReader {
        private final ParquetFileReader file;
        private final MessageType schema;
        private final MessageColumnIO columnIo;
        private @Nullable RecordReader<Group> group;
        private long left;

        Reader(Path path, ReadOptions options) {
            super(path.toString(), options);
            try {
                file = ParquetFileReader.open(new LocalInputFile(path));
            } catch (IOException e) {
                throw TextInput.failure(path.toString(), e);
            } catch (RuntimeException e) {
                throw new HeadstartException(path + ": not a Parquet file: " + e.getMessage(), e);
            }
            schema = file.getFooter().getFileMetaData().getSchema();
            columnIo = new ColumnIOFactory().getColumnIO(schema);
        }

        @Override
        List<String> header() {
            return schema.getFields().stream().map(Type::getName).toList();
        }

        @Override
        @Nullable
        Row read() {
            try {
                RecordReader<Group> current = group;
                while (left == 0 || current == null) {
                    PageReadStore pages = file.readNextRowGroup();
                    if (pages == null) {
                        return null;
                    }
                    left = pages.getRowCount();
                    current = columnIo.getRecordReader(pages, new GroupRecordConverter(schema));
                    group = current;
                }
                left--;
                nextNumber();
                Group record = current.read();
                return row(0, values(record, schema));
            } catch (IOException e) {
                throw TextInput.failure(source(), e);
            } catch (HeadstartException e) {
                throw e;
            } catch (RuntimeException e) {
                throw new HeadstartException(
                        source() + " row " + (rowNumber()) + ": broken Parquet file: " + e.getMessage(), e);
            }
        }

        private static Map<String, @Nullable Object> values(Group g, GroupType type) {
            Map<String, @Nullable Object> values = new LinkedHashMap<>();
            for (int i = 0; i < type.getFieldCount(); i++) {
                values.put(type.getFieldName(i), field(g, type.getType(i), i));
            }
            return values;
        }

        private static @Nullable Object field(Group g, Type type, int i) {
            int n = g.getFieldRepetitionCount(i);
            if (type.isRepetition(Type.Repetition.REPEATED)) {
                List<@Nullable Object> list = new ArrayList<>(n);
                for (int k = 0; k < n; k++) {
                    list.add(one(g, type, i, k));
                }
                return list;
            }
            return n == 0 ? null : one(g, type, i, 0);
        }

        private static @Nullable Object one(Group g, Type type, int i, int k) {
            if (type.isPrimitive()) {
                return switch (type.asPrimitiveType().getPrimitiveTypeName()) {
                    case BOOLEAN -> g.getBoolean(i, k);
                    case INT32 -> (long) g.getInteger(i, k);
                    case INT64 -> g.getLong(i, k);
                    case FLOAT -> (double) g.getFloat(i, k);
                    case DOUBLE -> g.getDouble(i, k);
                    case BINARY -> g.getBinary(i, k).toStringUsingUTF8();
                    case INT96, FIXED_LEN_BYTE_ARRAY ->
                        type.asPrimitiveType().stringifier().stringify(g.getBinary(i, k));
                };
            }
            Group inner = g.getGroup(i, k);
            GroupType group = type.asGroupType();
            if (group.getLogicalTypeAnnotation() instanceof LogicalTypeAnnotation.ListLogicalTypeAnnotation
                    && group.getFieldCount() == 1) {
                // list: repeated group of one element
                Type repeated = group.getType(0);
                List<@Nullable Object> list = new ArrayList<>();
                for (int e = 0; e < inner.getFieldRepetitionCount(0); e++) {
                    boolean wrapped =
                            !repeated.isPrimitive() && repeated.asGroupType().getFieldCount() == 1;
                    list.add(
                            wrapped
                                    ? field(
                                            inner.getGroup(0, e),
                                            repeated.asGroupType().getType(0),
                                            0)
                                    : one(inner, repeated, 0, e));
                }
                return list;
            }
            return values(inner, group);
        }

        @Override
        public double fraction() {
            return file.getRecordCount() == 0 ? 1 : (double) rowNumber() / file.getRecordCount();
        }

        @Override
        public void close() {
            try {
                file.close();
            } catch (IOException e) {
                throw TextInput.failure(source(), e);
            }
        }
    }

    /** Writes features with columns row, id and features (list of float; per token: list of lists). */
    static void write(Path path, boolean perToken, Iterator<Features> rows) {
        MessageType schema = schema(perToken);
        try (ParquetWriter<Features> writer = new Builder(new LocalOutputFile(path), schema, perToken)
                .withCompressionCodec(CompressionCodecName.UNCOMPRESSED)
                .withRowGroupSize(16L << 20)
                .withDictionaryEncoding(false)
                .build()) {
            while (rows.hasNext()) {
                writer.write(rows.next());
            }
        } catch (IOException e) {
            throw FeatureWriter.writeFailure(path, e);
        }
    }

    private static MessageType schema(boolean perToken) {
        Type number = Types.required(PrimitiveTypeName.FLOAT).named("element");
        Type vector = Types.requiredList().element(number).named(perToken ? "element" : "features");
        Type features = perToken ? Types.requiredList().element(vector).named("features") : vector;
        return Types.buildMessage()
                .required(PrimitiveTypeName.INT64)
                .named("row")
                .optional(PrimitiveTypeName.BINARY)
                .as(LogicalTypeAnnotation.stringType())
                .named("id")
                .addField(features)
                .named("headstart_features");
    }

    private static final class Builder extends ParquetWriter.Builder<Features, Builder> {
        private final MessageType schema;
        private final boolean perToken;

        Builder(OutputFile out, MessageType schema, boolean perToken) {
            super(out);
            this.schema = schema;
            this.perToken = perToken;
        }

        @Override
        protected Builder self() {
            return this;
        }

        @Override
        protected WriteSupport<Features> getWriteSupport(Configuration conf) {
            return new Support(schema, perToken);
        }
    }

    private static final class Support extends WriteSupport<Features> {
        private final MessageType schema;
        private final boolean perToken;
        private @Nullable RecordConsumer out;

        Support(MessageType schema, boolean perToken) {
            this.schema = schema;
            this.perToken = perToken;
        }

        @Override
        public String getName() {
            return "dev.headstart.data";
        }

        @Override
        public WriteContext init(Configuration configuration) {
            return new WriteContext(schema, Map.of());
        }

        @Override
        public void prepareForWrite(RecordConsumer recordConsumer) {
            out = recordConsumer;
        }

        @Override
        public void write(Features f) {
            RecordConsumer c = java.util.Objects.requireNonNull(out);
            c.startMessage();
            c.startField("row", 0);
            c.addLong(f.row());
            c.endField("row", 0);
            String id = f.id();
            if (id != null) {
                c.startField("id", 1);
                c.addBinary(Binary.fromString(id));
                c.endField("id", 1);
            }
            c.startField("features", 2);
            if (perToken) {
                int dim = f.tokens() == 0 ? 0 : f.values().length / f.tokens();
                c.startGroup();
                if (f.tokens() > 0) {
                    c.startField("list", 0);
                    for (int t = 0; t < f.tokens(); t++) {
                        c.startGroup();
                        c.startField("element", 0);
                        list(c, f.values(), t * dim, dim);
                        c.endField("element", 0);
                        c.endGroup();
                    }
                    c.endField("list", 0);
                }
                c.endGroup();
            } else {
                list(c, f.values(), 0, f.values().length);
            }
            c.endField("features", 2);
            c.endMessage();
        }

        private static void list(RecordConsumer c, float[] values, int from, int n) {
            c.startGroup();
            if (n > 0) {
                c.startField("list", 0);
                for (int i = 0; i < n; i++) {
                    c.startGroup();
                    c.startField("element", 0);
                    c.addFloat(values[from + i]);
                    c.endField("element", 0);
                    c.endGroup();
                }
                c.endField("list", 0);
            }
            c.endGroup();
        }
    }
}
