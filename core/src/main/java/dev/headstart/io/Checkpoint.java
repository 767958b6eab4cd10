package dev.headstart.io;

import static dev.headstart.io.WeightFormatException.quote;

import dev.headstart.HeadstartException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.stream.Collectors;

/** Opens the weights of a model folder, or a weight file, whatever the format. */
public final class Checkpoint {
    private Checkpoint() {}

    /**
     * Opens a model's weights. Tensor names are those of the file.
     *
     * @param folderOrFile a folder in Hugging Face layout, or one weight file
     * @param map whether files may be mapped; see {@link Safetensors#open}
     * @throws HeadstartException when there are no weights; the message lists what was looked for
     * @throws WeightFormatException when a file is damaged
     */
    public static TensorSource open(Path folderOrFile, boolean map) {
        if (Files.isRegularFile(folderOrFile)) {
            return Safetensors.open(folderOrFile, map);
        }
        Path single = folderOrFile.resolve(Safetensors.FILE);
        if (Files.isRegularFile(single)) {
            return Safetensors.open(single, map);
        }
        throw new HeadstartException(folderOrFile + ": no weights found; looked for " + Safetensors.FILE);
    }

    static String fileName(Path path) {
        Path name = path.getFileName();
        return name == null ? path.toString() : name.toString();
    }

    static HeadstartException noSuchTensor(Path file, String name, Collection<String> names) {
        String last = name.substring(name.lastIndexOf('.', Math.max(0, name.lastIndexOf('.') - 1)) + 1);
        String like = names.stream().filter(n -> n.endsWith(last)).limit(3).collect(Collectors.joining(", "));
        return new WeightFormatException(
                file,
                "expected a tensor named " + quote(name) + ", found none among " + names.size()
                        + (like.isEmpty() ? "" : "; names that end alike: " + like));
    }
}
