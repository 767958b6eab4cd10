package dev.headstart.cli;

import dev.headstart.HeadstartException;
import dev.headstart.train.OutputFolder;
import dev.headstart.train.tokenizer.TokenizerTrainer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code headstart tokenizer}: tokenizers of one's own. */
@Command(
        name = "tokenizer",
        description = "Make tokenizers.",
        subcommands = TokenizerCommand.Train.class,
        synopsisSubcommandLabel = "COMMAND")
final class TokenizerCommand {
    /** {@code headstart tokenizer train}: a vocabulary from text files. */
    @Command(name = "train", description = "Learn a vocabulary from text and write tokenizer.json.")
    static final class Train implements Callable<Integer> {
        @Option(
                names = "--kind",
                defaultValue = "wordpiece",
                description = "wordpiece, bpe (byte-level) or unigram. Default: ${DEFAULT-VALUE}")
        private TokenizerTrainer.Kind kind = TokenizerTrainer.Kind.WORDPIECE;

        @Option(
                names = "--vocab-size",
                defaultValue = "8000",
                description = "Number of tokens, special ones counted. Default: ${DEFAULT-VALUE}")
        private int vocabSize;

        @Option(
                names = "--min-frequency",
                defaultValue = "2",
                description = "How often a pair must occur to become a token. Default: ${DEFAULT-VALUE}")
        private int minFrequency;

        @Option(names = "--cased", description = "Keep upper case and accents (wordpiece).")
        private boolean cased;

        @Option(
                names = "--sentinels",
                defaultValue = "100",
                description = "Number of <extra_id_i> tokens (unigram). Default: ${DEFAULT-VALUE}")
        private int sentinels;

        @Option(
                names = "--max-length",
                defaultValue = "0",
                description = "The model's limit in tokens, noted in tokenizer_config.json; 0 for none.")
        private int maxLength;

        @Option(
                names = "--output",
                required = true,
                paramLabel = "DIR",
                description = "Folder for tokenizer.json and tokenizer_config.json.")
        private Path output = Path.of("");

        @Option(names = "--overwrite", description = "Write into a folder that is not empty.")
        private boolean overwrite;

        @Parameters(arity = "1..*", paramLabel = "FILE", description = "Text files in UTF-8, or folders of .txt files.")
        private List<Path> files = List.of();

        @Override
        public Integer call() throws IOException {
            OutputFolder.check(output, overwrite, "choose another, or --overwrite");
            List<Path> all = new ArrayList<>();
            for (Path file : files) {
                if (Files.isDirectory(file)) {
                    try (Stream<Path> inside = Files.walk(file, FileVisitOption.FOLLOW_LINKS)) {
                        inside.filter(f -> f.toString().endsWith(".txt"))
                                .sorted()
                                .forEach(all::add);
                    }
                } else if (Files.isRegularFile(file)) {
                    all.add(file);
                } else {
                    throw new HeadstartException(file + ": no such file or folder");
                }
            }
            if (all.isEmpty()) throw new HeadstartException(files + ": no .txt file found there");
            try (Stream<String> lines = all.stream().flatMap(Train::lines)) {
                Iterator<String> texts = lines.iterator();
                int tokens = TokenizerTrainer.train(
                        texts,
                        new TokenizerTrainer.Options(kind, vocabSize, minFrequency, !cased, sentinels, maxLength),
                        output);
                System.out.println(output + ": " + tokens + " tokens");
            } catch (UncheckedIOException e) {
                throw new HeadstartException(
                        String.valueOf(e.getCause() == null ? e : e.getCause().getMessage()), e);
            }
            return 0;
        }

        private static Stream<String> lines(Path file) {
            try {
                return Files.readString(file).lines();
            } catch (MalformedInputException e) {
                throw new HeadstartException(file + ": is not UTF-8 text", e);
            } catch (IOException e) {
                throw new HeadstartException(file + ": cannot be read (" + e.getMessage() + ")", e);
            }
        }
    }
}
