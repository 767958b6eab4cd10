package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.CharArrayReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The header of a safetensors file, checked: 8 bytes of length N (little endian), N bytes of JSON, then the data, without hole or overlap.
 *
 * @param entries tensors by name, in the order of their data
 * @param metadata the {@code __metadata__} strings
 * @param dataStart position of the first byte of data in the file
 */
record SafetensorsHeader(Map<String, Entry> entries, Map<String, String> metadata, long dataStart) {
    /** The largest header that is read, as in the reference implementation. */
    static final int MAX_BYTES = 100_000_000;

    static final String METADATA = "__metadata__";

    /** What deeper JSON than a header's could only be: an attack. */
    private static final int MAX_DEPTH = 16;

    private static final int MAX_RANK = 64;

    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(MAX_DEPTH)
                    .maxNameLength(1_000_000)
                    .build())
            .build();

    /** One tensor: {@code begin} and {@code end} count from the start of the data. */
    record Entry(String name, ElementType type, TensorInfo info, long begin, long end)
            implements NamedSource.Described {}

    static SafetensorsHeader read(WeightFile file) throws IOException {
        Path path = file.path();
        long size = file.size();
        if (size < 8) {
            throw new WeightFormatException(
                    path,
                    "expected a safetensors file, found " + size
                            + " bytes, less than the 8 of the header's length; fetch it again");
        }
        long length =
                ByteBuffer.wrap(file.bytes(0, 8)).order(ByteOrder.LITTLE_ENDIAN).getLong();
        if (length < 0 || length > MAX_BYTES) {
            throw new WeightFormatException(
                    path,
                    "expected a safetensors header of at most " + MAX_BYTES + " bytes, found a length of "
                            + Long.toUnsignedString(length) + "; this is no safetensors file, or it is damaged");
        }
        if (length > size - 8) {
            throw new WeightFormatException(
                    path,
                    "the header should have " + length + " bytes but the file ends after " + (size - 8)
                            + "; it is truncated, fetch it again");
        }
        ByteBuffer json = ByteBuffer.wrap(file.bytes(8, (int) length));
        return parse(path, json, 8 + length, size - 8 - length);
    }

    private static SafetensorsHeader parse(Path path, ByteBuffer json, long dataStart, long dataBytes)
            throws IOException {
        CharBuffer text;
        try {
            text = StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(json);
        } catch (CharacterCodingException e) {
            throw new WeightFormatException(
                    path, "the safetensors header is not UTF-8 text; this is no safetensors file, or it is damaged", e);
        }
        var reader = new CharArrayReader(text.array(), text.arrayOffset(), text.remaining());
        var found = new ArrayList<Entry>();
        Map<String, String> metadata = Map.of();
        try (JsonParser parser = JSON.createParser(reader)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new WeightFormatException(
                        path,
                        "the safetensors header is not a JSON object; this is no safetensors file, or it is damaged");
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                if (parser.nextToken() != JsonToken.START_OBJECT) {
                    throw new WeightFormatException(
                            path, "header entry " + quote(name) + " is not a JSON object; the file is damaged");
                }
                if (name.equals(METADATA)) {
                    metadata = metadata(path, parser);
                } else {
                    found.add(entry(path, name, parser));
                }
            }
            if (parser.nextToken() != null) {
                throw new WeightFormatException(
                        path, "text follows the JSON object of the safetensors header; the file is damaged");
            }
        } catch (JsonProcessingException e) {
            throw new WeightFormatException(
                    path,
                    "the safetensors header is not valid JSON (" + e.getOriginalMessage()
                            + "); the file is damaged, fetch it again",
                    e);
        }
        return new SafetensorsHeader(inOrder(path, found, dataBytes), Map.copyOf(metadata), dataStart);
    }

    private static Map<String, String> metadata(Path path, JsonParser parser) throws IOException {
        var metadata = new LinkedHashMap<String, String>();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = parser.currentName();
            if (parser.nextToken() != JsonToken.VALUE_STRING) {
                throw new WeightFormatException(
                        path, METADATA + " entry " + quote(key) + " is no string; the file is damaged");
            }
            metadata.put(key, parser.getText());
        }
        return metadata;
    }

    private static Entry entry(Path path, String name, JsonParser parser) throws IOException {
        @Nullable ElementType type = null;
        @Nullable List<Long> shape = null;
        @Nullable List<Long> offsets = null;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = parser.currentName();
            JsonToken token = parser.nextToken();
            switch (key) {
                case "dtype" -> {
                    String dtype = token == JsonToken.VALUE_STRING ? parser.getText() : "no string";
                    type = ElementType.named(dtype);
                    if (type == null) {
                        throw new WeightFormatException(
                                path,
                                "tensor " + quote(name) + " has dtype " + quote(dtype) + ", expected one of "
                                        + ElementType.allNames());
                    }
                }
                case "shape" -> shape = naturals(path, name, key, parser);
                case "data_offsets" -> offsets = naturals(path, name, key, parser);
                default -> parser.skipChildren();
            }
        }
        if (type == null || shape == null || offsets == null || offsets.size() != 2) {
            throw new WeightFormatException(
                    path,
                    "tensor " + quote(name)
                            + " needs dtype, shape and two data_offsets in the header; the file is damaged");
        }
        long begin = offsets.get(0);
        long end = offsets.get(1);
        long bytes = type.bytes() * TensorMemory.elements(path, name, type, shape);
        if (begin > end || end - begin != bytes) {
            throw new WeightFormatException(
                    path,
                    "tensor " + quote(name) + " of type " + type + " and shape " + shape + " needs " + bytes
                            + " bytes, its data_offsets are [" + begin + ", " + end + "]; the file is damaged");
        }
        return new Entry(name, type, new TensorInfo(type.name(), List.copyOf(shape)), begin, end);
    }

    private static List<Long> naturals(Path path, String name, String key, JsonParser parser) throws IOException {
        var numbers = new ArrayList<Long>();
        boolean good = parser.currentToken() == JsonToken.START_ARRAY;
        while (good && parser.nextToken() != JsonToken.END_ARRAY) {
            good = parser.currentToken() == JsonToken.VALUE_NUMBER_INT
                    && parser.getNumberType() != JsonParser.NumberType.BIG_INTEGER
                    && parser.getLongValue() >= 0
                    && numbers.size() < MAX_RANK;
            if (good) {
                numbers.add(parser.getLongValue());
            }
        }
        if (!good) {
            throw new WeightFormatException(
                    path,
                    key + " of tensor " + quote(name) + " must be a list of at most " + MAX_RANK
                            + " whole numbers from 0 to 2^63 - 1; the file is damaged");
        }
        return numbers;
    }

    /** The entries in the order of their data, which must cover {@code dataBytes} without hole or overlap. */
    private static Map<String, Entry> inOrder(Path path, List<Entry> entries, long dataBytes) {
        entries.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
        var byName = new LinkedHashMap<String, Entry>(entries.size() * 2);
        long at = 0;
        for (Entry entry : entries) {
            if (entry.begin() != at) {
                throw new WeightFormatException(
                        path,
                        "tensor " + quote(entry.name()) + " begins at byte " + entry.begin() + " of the data, expected "
                                + at
                                + (entry.begin() < at
                                        ? " (it overlaps the tensor before it)"
                                        : " (there is a hole before it)")
                                + "; the file is damaged");
            }
            at = entry.end();
            byName.put(entry.name(), entry);
        }
        if (at > dataBytes) {
            throw new WeightFormatException(
                    path,
                    "the header describes " + at + " bytes of data, the file holds " + dataBytes
                            + "; it is truncated, fetch it again");
        }
        if (at < dataBytes) {
            throw new WeightFormatException(
                    path,
                    "the header describes " + at + " bytes of data, the file holds " + dataBytes
                            + ": bytes that belong to no tensor; the file is damaged");
        }
        return byName;
    }
}
