package dev.headstart.train.tokenizer;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.text.Normalizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Learns a vocabulary from texts and writes it as tokenizer.json with its tokenizer_config.json, as Python's tokenizers and transformers read
 * them. Memory grows with the number of different words, not with the text. The same texts give the same files.
 */
public final class TokenizerTrainer {
    /** What is learnt. */
    public enum Kind {
        /** BERT's (Schuster and Nakajima 2012; Devlin et al. 2019): [CLS] ... [SEP], pieces inside words start with ##. */
        WORDPIECE,
        /** GPT-2's (Radford et al. 2019): pairs of bytes. */
        BPE,
        /** T5's (Kudo 2018): a unigram language model, with sentinels for span corruption. */
        UNIGRAM
    }

    /**
     * What to learn.
     *
     * @param vocabSize number of tokens in all, special ones counted
     * @param minFrequency how often a pair must occur to become a token (WordPiece and BPE)
     * @param lowerCase whether WordPiece makes texts lower case and drops accents
     * @param sentinels number of {@code <extra_id_i>} tokens (unigram)
     * @param maxLength the model's limit in tokens, for tokenizer_config.json; 0 for none
     */
    public record Options(Kind kind, int vocabSize, int minFrequency, boolean lowerCase, int sentinels, int maxLength) {
        /** Common settings: pairs at least twice, lower case, 100 sentinels, no limit of length. */
        public static Options of(Kind kind, int vocabSize) {
            return new Options(kind, vocabSize, 2, true, 100, 0);
        }
    }

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Pattern GPT2 = Pattern.compile(
            "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
            Pattern.UNICODE_CHARACTER_CLASS);
    private static final Pattern BLANKS = Pattern.compile("\\s+", Pattern.UNICODE_CHARACTER_CLASS);
    private static final int MAX_WORD = 100;

    private TokenizerTrainer() {}

    /**
     * Learns and writes.
     *
     * @param texts read once
     * @param folder gets tokenizer.json and tokenizer_config.json; is made when missing
     * @return number of tokens, which is less than asked for when the texts hold no more
     * @throws HeadstartException when there is no text, the size leaves no room for the alphabet, or the folder cannot be written
     */
    public static int train(Iterator<String> texts, Options options, Path folder) {
        Map<String, Long> words = new HashMap<>();
        while (texts.hasNext()) count(texts.next(), options, words);
        if (words.isEmpty()) throw new HeadstartException("tokenizer training: the texts hold no words");
        Map<String, Long> sorted = new TreeMap<>(words); // an order that does not depend on hashing
        ObjectNode json = switch (options.kind()) {
            case WORDPIECE -> wordPiece(sorted, options);
            case BPE -> byteLevel(sorted, options);
            case UNIGRAM -> unigram(sorted, options);
        };
        try {
            Files.createDirectories(folder);
            write(folder.resolve("tokenizer.json"), json.toPrettyString());
            write(folder.resolve("tokenizer_config.json"), config(options).toPrettyString() + "\n");
        } catch (IOException e) {
            throw new HeadstartException(
                    folder + ": the tokenizer cannot be written there (" + e.getMessage() + ")", e);
        }
        int tokens = json.path("model").path("vocab").size();
        return tokens;
    }

    private static void write(Path file, String text) throws IOException {
        Path part = file.resolveSibling(file.getFileName() + ".part");
        Files.writeString(part, text);
        Files.move(part, file, StandardCopyOption.REPLACE_EXISTING);
    }

    // ---- words ----

    private static void count(String text, Options options, Map<String, Long> words) {
        switch (options.kind()) {
            case WORDPIECE -> {
                for (String word : bertWords(text, options.lowerCase())) words.merge(word, 1L, Long::sum);
            }
            case BPE -> {
                Matcher m = GPT2.matcher(text);
                while (m.find()) words.merge(m.group(), 1L, Long::sum);
            }
            case UNIGRAM -> {
                for (String word : BLANKS.split(Normalizer.normalize(text, Normalizer.Form.NFKC))) {
                    if (!word.isEmpty()) words.merge("\u2581" + word, 1L, Long::sum);
                }
            }
        }
    }

    /** BERT's basic tokenization: control characters out, accents and case as asked, punctuation and CJK characters alone. */
    static List<String> bertWords(String text, boolean lowerCase) {
        String normal =
                lowerCase ? Normalizer.normalize(text, Normalizer.Form.NFD).toLowerCase(Locale.ROOT) : text;
        List<String> words = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        for (int i = 0; i < normal.length(); ) {
            int c = normal.codePointAt(i);
            i += Character.charCount(c);
            int type = Character.getType(c);
            boolean blank = c == '\t'
                    || c == '\n'
                    || c == '\r'
                    || Character.isWhitespace(c)
                    || type == Character.SPACE_SEPARATOR;
            if (!blank
                    && (c == 0
                            || c == 0xFFFD
                            || type == Character.CONTROL
                            || type == Character.FORMAT
                            || type == Character.PRIVATE_USE)) continue;
            if (lowerCase && type == Character.NON_SPACING_MARK) continue;
            boolean alone = punctuation(c, type) || Character.isIdeographic(c) && c >= 0x3400;
            if (blank || alone) {
                if (!word.isEmpty()) words.add(word.toString());
                word.setLength(0);
            }
            if (alone) words.add(Character.toString(c));
            else if (!blank) word.appendCodePoint(c);
        }
        if (!word.isEmpty()) words.add(word.toString());
        return words;
    }

    private static boolean punctuation(int c, int type) {
        if (c >= 33 && c <= 47 || c >= 58 && c <= 64 || c >= 91 && c <= 96 || c >= 123 && c <= 126) return true;
        return switch (type) {
            case Character.CONNECTOR_PUNCTUATION,
                    Character.DASH_PUNCTUATION,
                    Character.START_PUNCTUATION,
                    Character.END_PUNCTUATION,
                    Character.INITIAL_QUOTE_PUNCTUATION,
                    Character.FINAL_QUOTE_PUNCTUATION,
                    Character.OTHER_PUNCTUATION -> true;
            default -> false;
        };
    }

    // ---- WordPiece ----

    private static ObjectNode wordPiece(Map<String, Long> words, Options options) {
        List<String> special = List.of("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]");
        List<String> tokens = new ArrayList<>(special);
        Map<String, Long> letters = new TreeMap<>();
        words.keySet().removeIf(w -> w.codePointCount(0, w.length()) > MAX_WORD);
        words.forEach((word, n) -> {
            int i = 0;
            for (int c : word.codePoints().toArray())
                letters.merge((i++ == 0 ? "" : "##") + Character.toString(c), n, Long::sum);
        });
        letters.keySet().removeIf(special::contains);
        room(options, special.size() + 1);
        List<String> alphabet = new ArrayList<>(letters.keySet());
        int most = Math.max(1, Math.min(alphabet.size(), (options.vocabSize() - special.size()) * 3 / 4));
        if (alphabet.size() > most) { // rare characters give way
            alphabet.sort((a, b) -> letters.getOrDefault(a, 0L).equals(letters.getOrDefault(b, 0L))
                    ? a.compareTo(b)
                    : Long.compare(letters.getOrDefault(b, 0L), letters.getOrDefault(a, 0L)));
            alphabet = new ArrayList<>(alphabet.subList(0, most));
            alphabet.sort(null);
        }
        tokens.addAll(alphabet);
        Map<String, Integer> ids = ids(tokens);
        List<int[]> split = new ArrayList<>();
        List<Long> counts = new ArrayList<>();
        words.forEach((word, n) -> {
            List<Integer> pieces = new ArrayList<>();
            int i = 0;
            for (int c : word.codePoints().toArray()) {
                Integer id = ids.get((i++ == 0 ? "" : "##") + Character.toString(c));
                if (id == null) return;
                pieces.add(id);
            }
            split.add(pieces.stream().mapToInt(Integer::intValue).toArray());
            counts.add(n);
        });
        new PairMerger(tokens, split, longs(counts), "##").run(options.vocabSize(), options.minFrequency(), () -> true);
        ObjectNode json = skeleton(special, special.size());
        ObjectNode normalizer =
                json.putObject("normalizer").put("type", "BertNormalizer").put("clean_text", true);
        normalizer.put("handle_chinese_chars", true).putNull("strip_accents").put("lowercase", options.lowerCase());
        json.putObject("pre_tokenizer").put("type", "BertPreTokenizer");
        json.set(
                "post_processor",
                template(
                        List.of("[CLS]:0", "$A:0", "[SEP]:0"),
                        List.of("[CLS]:0", "$A:0", "[SEP]:0", "$B:1", "[SEP]:1"),
                        special));
        json.putObject("decoder").put("type", "WordPiece").put("prefix", "##").put("cleanup", true);
        ObjectNode model = json.putObject("model").put("type", "WordPiece").put("unk_token", "[UNK]");
        model.put("continuing_subword_prefix", "##").put("max_input_chars_per_word", MAX_WORD);
        vocab(model, tokens);
        return json;
    }

    // ---- byte-level BPE ----

    private static ObjectNode byteLevel(Map<String, Long> words, Options options) {
        List<String> special = List.of("<|endoftext|>");
        List<String> tokens = new ArrayList<>(special);
        char[] letter = byteLetters();
        List<String> alphabet = new ArrayList<>();
        for (char c : letter) alphabet.add(String.valueOf(c));
        alphabet.sort(null);
        tokens.addAll(alphabet);
        room(options, tokens.size());
        Map<String, Integer> ids = ids(tokens);
        List<int[]> split = new ArrayList<>();
        List<Long> counts = new ArrayList<>();
        words.forEach((word, n) -> {
            byte[] bytes = word.getBytes(StandardCharsets.UTF_8);
            int[] pieces = new int[bytes.length];
            for (int i = 0; i < bytes.length; i++)
                pieces[i] = ids.getOrDefault(String.valueOf(letter[bytes[i] & 0xFF]), 0);
            split.add(pieces);
            counts.add(n);
        });
        List<PairMerger.Merge> merges = new PairMerger(tokens, split, longs(counts), "")
                .run(options.vocabSize(), options.minFrequency(), () -> true);
        ObjectNode json = skeleton(special, special.size());
        json.putNull("normalizer");
        json.putObject("pre_tokenizer")
                .put("type", "ByteLevel")
                .put("add_prefix_space", false)
                .put("trim_offsets", true)
                .put("use_regex", true);
        json.putObject("post_processor")
                .put("type", "ByteLevel")
                .put("add_prefix_space", true)
                .put("trim_offsets", false)
                .put("use_regex", true);
        json.putObject("decoder")
                .put("type", "ByteLevel")
                .put("add_prefix_space", true)
                .put("trim_offsets", true)
                .put("use_regex", true);
        ObjectNode model =
                json.putObject("model").put("type", "BPE").putNull("dropout").putNull("unk_token");
        model.put("continuing_subword_prefix", "")
                .put("end_of_word_suffix", "")
                .put("fuse_unk", false)
                .put("byte_fallback", false);
        model.put("ignore_merges", false);
        vocab(model, tokens);
        ArrayNode list = model.putArray("merges");
        merges.forEach(m -> list.addArray().add(tokens.get(m.left())).add(tokens.get(m.right())));
        return json;
    }

    /** GPT-2's printable stand-ins for the 256 bytes (bytes_to_unicode). */
    private static char[] byteLetters() {
        char[] letters = new char[256];
        int extra = 0;
        for (int b = 0; b < 256; b++) {
            boolean printable = b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE;
            letters[b] = (char) (printable ? b : 256 + extra++);
        }
        return letters;
    }

    // ---- unigram ----

    private static ObjectNode unigram(Map<String, Long> words, Options options) {
        List<String> special = new ArrayList<>(List.of("<pad>", "</s>", "<unk>"));
        int pieces = options.vocabSize() - special.size() - options.sentinels();
        room(options, special.size() + options.sentinels() + 1);
        Map<String, Double> learnt = new UnigramTrainer(
                        new ArrayList<>(words.keySet()), longs(new ArrayList<>(words.values())), pieces)
                .run();
        ObjectNode json = skeleton(special, special.size());
        ObjectNode model =
                JSON.createObjectNode().put("type", "Unigram").put("unk_id", 2).put("byte_fallback", false);
        ArrayNode vocab = model.putArray("vocab");
        for (String token : special) vocab.addArray().add(token).add(0.0);
        learnt.forEach((piece, score) -> vocab.addArray().add(piece).add(score.doubleValue()));
        for (int i = options.sentinels() - 1; i >= 0; i--) { // the first sentinel has the last id
            addedToken(json, vocab.size(), "<extra_id_" + i + ">");
            vocab.addArray().add("<extra_id_" + i + ">").add(0.0);
        }
        ObjectNode normalizer = json.putObject("normalizer").put("type", "Sequence");
        ArrayNode normalizers = normalizer.putArray("normalizers");
        normalizers.addObject().put("type", "NFKC");
        ArrayNode pre = json.putObject("pre_tokenizer").put("type", "Sequence").putArray("pretokenizers");
        pre.addObject().put("type", "WhitespaceSplit");
        metaspace(pre.addObject());
        json.set(
                "post_processor",
                template(List.of("$A:0", "</s>:0"), List.of("$A:0", "</s>:0", "$B:0", "</s>:0"), special));
        metaspace(json.putObject("decoder"));
        json.set("model", model);
        return json;
    }

    private static void metaspace(ObjectNode node) {
        node.put("type", "Metaspace")
                .put("replacement", "\u2581")
                .put("prepend_scheme", "always")
                .put("split", true);
    }

    // ---- common parts ----

    private static void room(Options options, int least) {
        if (options.vocabSize() > least) return;
        throw new HeadstartException("tokenizer training: a vocabulary of " + options.vocabSize()
                + " tokens has no room beside the " + least + " that every "
                + options.kind().name().toLowerCase(Locale.ROOT) + " vocabulary has; ask for more");
    }

    private static Map<String, Integer> ids(List<String> tokens) {
        Map<String, Integer> ids = new LinkedHashMap<>();
        for (String token : tokens) ids.put(token, ids.size());
        return ids;
    }

    private static long[] longs(List<Long> list) {
        return list.stream().mapToLong(Long::longValue).toArray();
    }

    private static void vocab(ObjectNode model, List<String> tokens) {
        ObjectNode vocab = model.putObject("vocab");
        for (int i = 0; i < tokens.size(); i++) vocab.put(tokens.get(i), i);
    }

    private static ObjectNode skeleton(List<String> special, int count) {
        ObjectNode json = JSON.createObjectNode()
                .put("version", "1.0")
                .putNull("truncation")
                .putNull("padding");
        json.putArray("added_tokens");
        for (int i = 0; i < count; i++) addedToken(json, i, special.get(i));
        return json;
    }

    private static void addedToken(ObjectNode json, int id, String content) {
        if (!(json.get("added_tokens") instanceof ArrayNode list)) return;
        ObjectNode token =
                list.addObject().put("id", id).put("content", content).put("single_word", false);
        token.put("lstrip", false).put("rstrip", false).put("normalized", false).put("special", true);
    }

    private static ObjectNode template(List<String> single, List<String> pair, List<String> special) {
        ObjectNode node = JSON.createObjectNode().put("type", "TemplateProcessing");
        ObjectNode used = JSON.createObjectNode();
        for (boolean two : new boolean[] {false, true}) {
            ArrayNode list = node.putArray(two ? "pair" : "single");
            for (String piece : two ? pair : single) {
                String name = piece.substring(0, piece.length() - 2);
                int type = piece.charAt(piece.length() - 1) - '0';
                boolean sequence = name.startsWith("$");
                list.addObject()
                        .putObject(sequence ? "Sequence" : "SpecialToken")
                        .put("id", sequence ? name.substring(1) : name)
                        .put("type_id", type);
                if (sequence) continue;
                ObjectNode entry = used.putObject(name).put("id", name);
                entry.putArray("ids").add(special.indexOf(name));
                entry.putArray("tokens").add(name);
            }
        }
        node.set("special_tokens", used);
        return node;
    }

    private static ObjectNode config(Options options) {
        ObjectNode config = JSON.createObjectNode();
        switch (options.kind()) {
            case WORDPIECE -> {
                config.put("tokenizer_class", "BertTokenizer")
                        .put("do_lower_case", options.lowerCase())
                        .putNull("strip_accents");
                config.put("tokenize_chinese_chars", true)
                        .put("unk_token", "[UNK]")
                        .put("sep_token", "[SEP]");
                config.put("pad_token", "[PAD]").put("cls_token", "[CLS]").put("mask_token", "[MASK]");
            }
            case BPE -> {
                config.put("tokenizer_class", "GPT2Tokenizer")
                        .put("add_prefix_space", false)
                        .put("unk_token", "<|endoftext|>");
                config.put("bos_token", "<|endoftext|>").put("eos_token", "<|endoftext|>");
            }
            case UNIGRAM -> {
                config.put("tokenizer_class", "PreTrainedTokenizerFast")
                        .put("unk_token", "<unk>")
                        .put("pad_token", "<pad>")
                        .put("eos_token", "</s>");
                ArrayNode extra = config.putArray("additional_special_tokens");
                for (int i = 0; i < options.sentinels(); i++) extra.add("<extra_id_" + i + ">");
            }
        }
        if (options.maxLength() > 0) config.put("model_max_length", options.maxLength());
        return config;
    }
}
