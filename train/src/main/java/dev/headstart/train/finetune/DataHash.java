package dev.headstart.train.finetune;

import dev.headstart.HeadstartException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** What identifies the data that a model was trained on. */
public final class DataHash {
    private DataHash() {}

    /** SHA-256 of a file's bytes in hexadecimal; empty for what is no file (folders of images, parts of an archive). */
    public static String of(Path file) {
        if (!Files.isRegularFile(file)) {
            return "";
        }
        try (InputStream in = Files.newInputStream(file)) {
            DigestInputStream digest = new DigestInputStream(in, MessageDigest.getInstance("SHA-256"));
            digest.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of().formatHex(digest.getMessageDigest().digest());
        } catch (IOException | NoSuchAlgorithmException e) {
            throw new HeadstartException(file + ": cannot be read for its checksum: " + e.getMessage(), e);
        }
    }
}
