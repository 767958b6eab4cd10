package dev.headstart.text;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A SentencePiece model file (spiece.model, tokenizer.model, source.spm), read from its protobuf message ModelProto
 * (github.com/google/sentencepiece, sentencepiece_model.proto).
 *
 * @param unigram whether pieces are chosen by a unigram language model; else by byte-pair merges
 * @param unkId index of the unknown piece
 * @param byteFallback whether unknown characters become one piece a byte
 * @param charsmap the compiled table of character replacements; empty when there is none
 * @param addDummyPrefix whether a text starts with a blank that it does not have
 */
record SentencePieceModel(
        List<Piece> pieces, boolean unigram, int unkId, boolean byteFallback, byte[] charsmap, boolean addDummyPrefix) {
    /** What a piece is for (SentencePiece.Type). */
    enum Type {
        NORMAL,
        UNKNOWN,
        CONTROL,
        USER_DEFINED,
        UNUSED,
        BYTE
    }

    /**
     * One entry of the vocabulary.
     *
     * @param text blanks written as U+2581
     * @param score log probability, or minus the rank of the merge
     */
    record Piece(String text, float score, Type type) {}

    /**
     * @throws HeadstartException when the file is missing or no such message
     */
    static SentencePieceModel read(Path file) {
        byte[] bytes;
        try {
            bytes = Files.readAllBytes(file);
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read (" + e.getMessage() + ")", e);
        }
        try {
            return parse(ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN));
        } catch (Damaged | CharacterCodingException e) {
            throw new HeadstartException(
                    file + ": is no SentencePiece model (" + e.getMessage() + "); the file is damaged, fetch it again",
                    e);
        }
    }

    private static final class Damaged extends Exception {
        Damaged(String what) {
            super(what);
        }
    }

    private static SentencePieceModel parse(ByteBuffer in) throws Damaged, CharacterCodingException {
        List<Piece> pieces = new ArrayList<>();
        int kind = 1;
        int unkId = -1;
        boolean byteFallback = false;
        boolean dummy = true;
        byte[] charsmap = {};
        while (in.hasRemaining()) {
            long tag = varint(in);
            ByteBuffer part;
            switch ((int) tag) {
                case 1 << 3 | 2 -> pieces.add(piece(bytes(in)));
                case 2 << 3 | 2 -> { // TrainerSpec
                    for (part = bytes(in); part.hasRemaining(); ) {
                        long field = varint(part);
                        switch ((int) field) {
                            case 3 << 3 -> kind = (int) varint(part);
                            case 35 << 3 -> byteFallback = varint(part) != 0;
                            case 40 << 3 -> unkId = (int) varint(part);
                            default -> skip(part, field);
                        }
                    }
                }
                case 3 << 3 | 2 -> { // NormalizerSpec
                    for (part = bytes(in); part.hasRemaining(); ) {
                        long field = varint(part);
                        switch ((int) field) {
                            case 2 << 3 | 2 -> {
                                ByteBuffer map = bytes(part);
                                charsmap = new byte[map.remaining()];
                                map.get(charsmap);
                            }
                            case 3 << 3 -> dummy = varint(part) != 0;
                            default -> skip(part, field);
                        }
                    }
                }
                default -> skip(in, tag);
            }
        }
        if (pieces.isEmpty()) throw new Damaged("it has no pieces");
        if (kind != 1 && kind != 2) throw new Damaged("model type " + kind + ", supported are 1, unigram, and 2, BPE");
        if (unkId < 0) { // the default of the format is 0; trust the piece that says so
            unkId = 0;
            for (int i = 0; i < pieces.size(); i++) if (pieces.get(i).type() == Type.UNKNOWN) unkId = i;
        }
        if (unkId >= pieces.size()) throw new Damaged("unk_id " + unkId + " with " + pieces.size() + " pieces");
        return new SentencePieceModel(List.copyOf(pieces), kind == 1, unkId, byteFallback, charsmap, dummy);
    }

    private static Piece piece(ByteBuffer in) throws Damaged, CharacterCodingException {
        String text = "";
        float score = 0;
        Type type = Type.NORMAL;
        while (in.hasRemaining()) {
            long field = varint(in);
            switch ((int) field) {
                case 1 << 3 | 2 ->
                    text = StandardCharsets.UTF_8.newDecoder().decode(bytes(in)).toString();
                case 2 << 3 | 5 -> {
                    if (in.remaining() < 4) throw new Damaged("it ends inside a score");
                    score = in.getFloat();
                    if (!Float.isFinite(score)) throw new Damaged("piece " + text + " has the score " + score);
                }
                case 3 << 3 -> {
                    long t = varint(in);
                    if (t < 1 || t > 6) throw new Damaged("piece " + text + " has the type " + t);
                    type = Type.values()[(int) t - 1];
                }
                default -> skip(in, field);
            }
        }
        return new Piece(text, score, type);
    }

    private static ByteBuffer bytes(ByteBuffer in) throws Damaged {
        long length = varint(in);
        if (length < 0 || length > in.remaining())
            throw new Damaged("a field of " + length + " bytes where " + in.remaining() + " are left");
        ByteBuffer part = in.slice(in.position(), (int) length).order(ByteOrder.LITTLE_ENDIAN);
        in.position(in.position() + (int) length);
        return part;
    }

    private static long varint(ByteBuffer in) throws Damaged {
        long value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            if (!in.hasRemaining()) throw new Damaged("it ends inside a number");
            byte b = in.get();
            value |= (long) (b & 0x7F) << shift;
            if (b >= 0) return value;
        }
        throw new Damaged("a number of more than 10 bytes");
    }

    private static void skip(ByteBuffer in, long tag) throws Damaged {
        switch ((int) (tag & 7)) {
            case 0 -> varint(in);
            case 1, 5 -> {
                int n = (tag & 7) == 1 ? 8 : 4;
                if (in.remaining() < n) throw new Damaged("it ends inside a field");
                in.position(in.position() + n);
            }
            case 2 -> bytes(in);
            default -> throw new Damaged("a field of unknown kind " + (tag & 7));
        }
    }
}
