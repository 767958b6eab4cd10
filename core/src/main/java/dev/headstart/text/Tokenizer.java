package dev.headstart.text;

import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.hub.AdapterFolder;
import dev.headstart.hub.FileSelection;
import dev.headstart.hub.Hub;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Text to token ids and back, from the files of a checkpoint. Equal to transformers' {@code AutoTokenizer}: the same ids, segments, offsets,
 * truncation, padding and decoding. Thread-safe; {@link #close()} frees the native part.
 *
 * <pre>{@code
 * try (var tokenizer = Tokenizer.fromFolder(Path.of("bert-base-uncased"))) {
 *   tokenizer.encode("Artificial intelligence is revolutionizing industries.").tokens(); // [CLS], artificial, ...
 * }
 * }</pre>
 */
public final class Tokenizer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Tokenizer.class);

    private static final Pattern WHISPER_TIMESTAMP = Pattern.compile("<\\|\\d+\\.\\d+\\|>");

    /** Any of these means that a folder has a tokenizer of its own. */
    private static final List<String> FILES =
            List.of("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model");

    private final TokenizerConfig config;
    private final TokenizerFiles.Loaded loaded;
    private final Vocabulary vocabulary;
    private final ChatTemplates chat;
    private final Set<String> warned = ConcurrentHashMap.newKeySet();
    private final Backend source;
    private final Backend target;
    private final boolean owner;
    private final boolean firstKeepsBlank;

    private Tokenizer(
            TokenizerConfig config,
            TokenizerFiles.Loaded loaded,
            ChatTemplates chat,
            Backend source,
            Backend target,
            boolean owner) {
        this.config = config;
        this.loaded = loaded;
        this.chat = chat;
        this.vocabulary = loaded.vocabulary();
        this.source = source;
        this.target = target;
        this.owner = owner;
        TokenizerJson json = loaded.json();
        this.firstKeepsBlank = json != null && json.firstKeepsBlank();
    }

    /**
     * The tokenizer in a folder of Hugging Face layout: tokenizer.json; or vocab.txt; or vocab.json with merges.txt; or a SentencePiece
     * model; or Marian's, M2M100's and Wav2Vec2's files; with tokenizer_config.json and its companions where they exist.
     *
     * @throws HeadstartException when no tokenizer file is there, naming those looked for, or one is damaged
     */
    public static Tokenizer fromFolder(Path folder) {
        TokenizerConfig config = TokenizerConfig.read(folder);
        TokenizerFiles.Loaded loaded = TokenizerFiles.load(folder, config);
        return new Tokenizer(
                config, loaded, ChatTemplates.read(folder, config.raw), loaded.source(), loaded.target(), true);
    }

    /** As {@link #fromPretrained(String, LoadOptions)} with the defaults. */
    public static Tokenizer fromPretrained(String id) {
        return fromPretrained(id, LoadOptions.defaults());
    }

    /**
     * The tokenizer of a model.
     *
     * @param id a folder, or an id that is looked up as {@link Hub} says; of an adapter without a tokenizer, its base model's is taken
     * @throws HeadstartException when the model is not found, or has no tokenizer that can be read
     */
    public static Tokenizer fromPretrained(String id, LoadOptions options) {
        Path folder =
                Hub.standard().resolve(id, FileSelection.NO_WEIGHTS, options).path();
        if (AdapterFolder.is(folder) && FILES.stream().noneMatch(f -> Files.isRegularFile(folder.resolve(f)))) {
            return fromPretrained(
                    AdapterFolder.base(folder), options.withRevision(null).withSubfolder(null));
        }
        return fromFolder(folder);
    }

    // ---- other directions of the same tokenizer ----

    /**
     * This tokenizer for the texts that a translation model is to give (transformers {@code text_target=}): Marian's target vocabulary, or
     * the target language's tokens. The same tokenizer where there is no difference. Valid until this one is closed; closing it does nothing.
     */
    public Tokenizer asTarget() {
        return new Tokenizer(config, loaded, chat, target, target, false);
    }

    /**
     * This tokenizer with other languages (mBART, NLLB, M2M100). Valid until this one is closed; closing it does nothing.
     *
     * @param from language of the texts that are translated
     * @param to language that they are translated into
     * @throws HeadstartException when the model does not know one of them, listing those it knows
     */
    public Tokenizer withLanguages(String from, String to) {
        Languages.check(config.family, vocabulary, from);
        Languages.check(config.family, vocabulary, to);
        return new Tokenizer(
                config,
                loaded,
                chat,
                Languages.backend(loaded.inside(), vocabulary, config, from),
                Languages.backend(loaded.inside(), vocabulary, config, to),
                false);
    }

    /**
     * This tokenizer with fixed tokens around each text instead of its template, as Whisper's language and task tokens. Valid until this one
     * is closed; closing it does nothing.
     *
     * @throws HeadstartException when the vocabulary lacks one of the tokens
     */
    public Tokenizer withAffixes(List<String> before, List<String> after) {
        for (List<String> tokens : List.of(before, after)) {
            for (String token : tokens) {
                if (tokenToId(token).isEmpty())
                    throw new HeadstartException("the vocabulary has no token \"" + token + "\" to put around texts");
            }
        }
        Backend around = new AffixBackend(loaded.inside(), vocabulary, before, after);
        return new Tokenizer(config, loaded, chat, around, around, false);
    }

    /**
     * This tokenizer with another padding token (transformers {@code tokenizer.pad_token = ...}), also when it is saved. Valid until this one is
     * closed; closing it does nothing.
     *
     * @throws HeadstartException when the vocabulary lacks the token
     */
    public Tokenizer withPadToken(String token) {
        if (tokenToId(token).isEmpty())
            throw new HeadstartException("the vocabulary has no token \"" + token + "\" to pad with");
        return new Tokenizer(config.withSpecial("pad_token", token), loaded, chat, source, target, false);
    }

    /**
     * This tokenizer as transformers 4 had it, which gave models the segments (token_type_ids) of ALBERT's tokenizers and of those without a class of
     * their own too, unless tokenizer_config.json names the inputs. Valid until this one is closed; closing it does nothing.
     */
    public Tokenizer withSegments() {
        boolean had = config.family == TokenizerFamily.ALBERT || config.family == TokenizerFamily.GENERIC;
        if (!had || config.statesInputNames()) return this;
        return new Tokenizer(
                config.withInputNames(List.of("input_ids", "token_type_ids", "attention_mask")),
                loaded,
                chat,
                source,
                target,
                false);
    }

    /** Language codes of a multilingual translation model, sorted; empty for others. */
    public List<String> languages() {
        return Languages.known(config.family, vocabulary);
    }

    /** Id of a language's token, for {@code forced_bos_token_id}. */
    public OptionalInt languageId(String language) {
        return tokenToId(Languages.token(config.family, language));
    }

    // ---- encoding ----

    /** One text with its special tokens, neither cut nor padded. */
    public Encoding encode(String text) {
        return encode(text, null);
    }

    /** One text, or one pair where {@code pair} is not null, with its special tokens, neither cut nor padded. */
    public Encoding encode(String text, @Nullable String pair) {
        return encode(text, pair, EncodeOptions.DEFAULT);
    }

    /**
     * One text or pair.
     *
     * @throws HeadstartException when the options cannot be met (no room for special tokens, no padding token, ...)
     */
    public Encoding encode(String text, @Nullable String pair, EncodeOptions options) {
        return finish(List.of(source.encode(text, pair, options.addSpecialTokens())), pair != null, options)
                .get(0);
    }

    /** Several texts. */
    public BatchEncoding encode(List<String> texts, EncodeOptions options) {
        return encode(texts, null, options);
    }

    /**
     * Several texts or pairs.
     *
     * @param pairs the second texts, as many as there are first ones, or null
     */
    public BatchEncoding encode(List<String> texts, @Nullable List<String> pairs, EncodeOptions options) {
        if (pairs != null && pairs.size() != texts.size()) {
            throw new HeadstartException("encode: " + texts.size() + " first texts but " + pairs.size()
                    + " second texts; they must be as many");
        }
        return batch(finish(source.encode(texts, pairs, options.addSpecialTokens()), pairs != null, options));
    }

    /**
     * Several texts, as transformers' {@code tokenizer(texts, padding=..., truncation=..., max_length=...)}.
     *
     * @param padding whether the shorter texts are padded to the longest
     * @param truncation whether longer texts are cut
     * @param maxLength limit in tokens; 0 for the model's own
     */
    public BatchEncoding encode(List<String> texts, boolean padding, boolean truncation, int maxLength) {
        return encode(
                texts,
                EncodeOptions.DEFAULT
                        .withPadding(padding ? Padding.LONGEST : Padding.NONE)
                        .withTruncation(truncation ? Truncation.LONGEST_FIRST : Truncation.NONE)
                        .withMaxLength(maxLength));
    }

    /** A text that is already split into words, as token classification data is: {@link Encoding#wordIds()} index {@code words}. */
    public Encoding encodeWords(List<String> words, EncodeOptions options) {
        return encodeWords(words, null, options);
    }

    /** A pair of texts that are already split into words, or one where {@code pair} is null. */
    public Encoding encodeWords(List<String> words, @Nullable List<String> pair, EncodeOptions options) {
        return finish(List.of(source.encodeWords(words, pair, options.addSpecialTokens())), pair != null, options)
                .get(0);
    }

    /** Several texts that are already split into words. */
    public BatchEncoding encodeWordLists(List<List<String>> texts, EncodeOptions options) {
        List<Columns> rows = texts.stream()
                .map(words -> source.encodeWords(words, null, options.addSpecialTokens()))
                .toList();
        return batch(finish(rows, false, options));
    }

    private static BatchEncoding batch(List<Encoding> encodings) {
        List<Encoding> rows = new ArrayList<>();
        List<Integer> samples = new ArrayList<>();
        for (int i = 0; i < encodings.size(); i++) {
            rows.add(encodings.get(i));
            samples.add(i);
            for (Encoding piece : encodings.get(i).overflow()) {
                rows.add(piece);
                samples.add(i);
            }
        }
        return new BatchEncoding(
                rows, samples.stream().mapToInt(Integer::intValue).toArray());
    }

    /** Truncation and padding, in transformers' order. */
    private List<Encoding> finish(List<Columns> rows, boolean pair, EncodeOptions o) {
        int limit = o.maxLength() > 0 ? o.maxLength() : modelMaxLength();
        boolean cut = o.truncation() != Truncation.NONE && limit > 0;
        Padding padding = o.padding() == Padding.MAX_LENGTH && limit == 0 ? Padding.NONE : o.padding();
        String padToken = config.special("pad_token");
        OptionalInt padId = padId();
        if (padding != Padding.NONE && (padToken == null || padId.isEmpty())) {
            throw new HeadstartException(
                    "padding was asked for, but this tokenizer has no padding token;"
                            + " name one in tokenizer_config.json (\"pad_token\": often the eos_token), or encode texts one by one");
        }
        if (cut && padding != Padding.NONE && o.padToMultipleOf() > 0 && limit % o.padToMultipleOf() != 0) {
            throw new HeadstartException("the limit of " + limit + " tokens is no multiple of padToMultipleOf "
                    + o.padToMultipleOf() + "; make it one, or truncate without it");
        }
        Side cutSide = o.truncationSide() == null ? truncationSide() : o.truncationSide();
        List<List<Columns>> pieces = rows.stream()
                .map(row -> cut
                        ? new Truncator(row, firstKeepsBlank).cut(o.truncation(), limit, o.stride(), cutSide, pair)
                        : List.of(row))
                .toList();
        int length = padding == Padding.MAX_LENGTH
                ? limit
                : pieces.stream().mapToInt(p -> p.get(0).length()).max().orElse(0);
        if (o.padToMultipleOf() > 0)
            length = (length + o.padToMultipleOf() - 1) / o.padToMultipleOf() * o.padToMultipleOf();
        Side padSide = o.paddingSide() == null ? paddingSide() : o.paddingSide();
        boolean typeIds = modelInputNames().contains("token_type_ids");
        List<Encoding> encodings = new ArrayList<>(rows.size());
        for (List<Columns> row : pieces) {
            List<Encoding> padded = new ArrayList<>(row.size());
            for (Columns piece : o.overflow() ? row : row.subList(0, 1)) {
                Columns full = padding == Padding.NONE || padToken == null
                        ? piece
                        : piece.pad(length, padSide, padId.orElse(0), padTypeId(), padToken);
                padded.add(new Encoding(full, typeIds, List.of()));
            }
            encodings.add(new Encoding(padded.get(0).columns(), typeIds, padded.subList(1, padded.size())));
        }
        return encodings;
    }

    private int padTypeId() {
        return config.raw.path("pad_token_type_id").asInt(0);
    }

    // ---- chat ----

    /** The model's chat template by name ({@code default}, {@code tool_use}); null when it has none of that name. */
    public @Nullable ChatTemplate chatTemplate(String name) {
        return chat.get(name);
    }

    /**
     * A conversation as the text that the model was trained on (transformers {@code apply_chat_template}); with tools through the template for
     * tools, where there is one.
     *
     * <p>Variables that the template does not name change nothing; a warning says so, once for each.
     *
     * @param messages maps of {@code role} and {@code content}
     * @throws HeadstartException when the model has no chat template, or the template refuses the messages
     */
    public ChatTemplate.Rendered renderChat(List<? extends Map<String, ?>> messages, ChatTemplate.Options options) {
        ChatTemplate template = options.tools() == null ? null : chat.get("tool_use");
        if (template == null) template = chat.get("default");
        if (template == null) {
            throw new HeadstartException(
                    "this model has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json);"
                            + " use a model that is made for chat, or write the prompt yourself");
        }
        for (String variable : options.variables().keySet()) {
            if (!template.names(variable) && warned.add(variable)) {
                LOG.warn(
                        "the chat template knows no variable {}, so it changes nothing; see the model's card for those it has",
                        variable);
            }
        }
        Map<String, String> special = new LinkedHashMap<>();
        for (String name : TokenizerConfig.NAMED) {
            String token = config.special(name);
            if (token != null) special.put(name, token);
        }
        return template.render(messages, options, special);
    }

    /** A conversation as text. */
    public String applyChatTemplate(List<? extends Map<String, ?>> messages, ChatTemplate.Options options) {
        return renderChat(messages, options).text();
    }

    /** A conversation as tokens; the special tokens are those that the template writes. */
    public Encoding encodeChat(List<? extends Map<String, ?>> messages, ChatTemplate.Options options) {
        return encode(applyChatTemplate(messages, options), null, EncodeOptions.DEFAULT.withSpecialTokens(false));
    }

    // ---- decoding ----

    /**
     * Ids to text. Ids that the vocabulary does not have are left out.
     *
     * @param skipSpecialTokens whether [CLS], padding and their like are left out
     */
    public String decode(long[] ids, boolean skipSpecialTokens) {
        boolean bpe = loaded.json() != null
                && loaded.json().modelType().equals("BPE")
                && !config.flag("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", false);
        return decode(ids, skipSpecialTokens, config.flag("clean_up_tokenization_spaces", false) && !bpe);
    }

    /**
     * Ids to text, whatever tokenizer_config.json says of spaces.
     *
     * @param cleanUp whether spaces before punctuation and English contractions are taken out
     */
    public String decode(long[] ids, boolean skipSpecialTokens, boolean cleanUp) {
        String text = source.decode(ids, skipSpecialTokens);
        if (config.family == TokenizerFamily.CLIP)
            text = text.replace("</w>", " ").strip();
        if (config.family == TokenizerFamily.WHISPER)
            text = WHISPER_TIMESTAMP.matcher(text).replaceAll("");
        return cleanUp ? cleanUp(text) : text;
    }

    /** Several rows of ids to texts. */
    public List<String> batchDecode(long[][] ids, boolean skipSpecialTokens) {
        List<String> texts = new ArrayList<>(ids.length);
        for (long[] row : ids) texts.add(decode(row, skipSpecialTokens));
        return texts;
    }

    /**
     * Tokens as the vocabulary spells them to text (transformers {@code convert_tokens_to_string}); words put together before are
     * tokens too.
     */
    public String tokensToString(List<String> tokens) {
        TokenizerJson json = loaded.json();
        String decoded = json == null ? null : TokenDecoder.decode(json.top.path("decoder"), tokens);
        return decoded == null ? ofVocabulary(tokens) : decoded;
    }

    private String ofVocabulary(List<String> tokens) {
        StringBuilder text = new StringBuilder();
        List<Integer> run = new ArrayList<>();
        for (String token : tokens) {
            OptionalInt id = tokenToId(token);
            if (id.isPresent()) {
                run.add(id.getAsInt());
            } else {
                flush(run, text);
                text.append(text.isEmpty() ? "" : " ").append(token);
            }
        }
        flush(run, text);
        return text.toString();
    }

    private void flush(List<Integer> run, StringBuilder text) {
        if (!run.isEmpty()) {
            text.append(text.isEmpty() ? "" : " ")
                    .append(source.decode(
                            run.stream().mapToLong(Integer::longValue).toArray(), false));
            run.clear();
        }
    }

    /** Whether the vocabulary is of bytes, written as GPT-2 writes them. */
    boolean byteLevel() {
        TokenizerJson json = loaded.json();
        return json != null && json.top.toString().contains("\"ByteLevel\"");
    }

    /** Whether tokens that continue a word are marked so ({@code ##}), so that words can be told apart. */
    public boolean hasSubwordPrefix() {
        TokenizerJson json = loaded.json();
        return json != null
                && !json.model.path("continuing_subword_prefix").asText("").isEmpty();
    }

    /**
     * A piece of speech: a letter or a word, and the frames that it was heard in.
     *
     * @param text the letter or word
     * @param start first frame
     * @param end frame after the last
     */
    public record CtcUnit(String text, int start, int end) {}

    /**
     * The letters or words of a CTC model's best token per frame, with their frames (transformers {@code output_char_offsets},
     * {@code output_word_offsets}).
     *
     * @throws HeadstartException when this is no CTC tokenizer
     */
    public List<CtcUnit> ctcUnits(long[] ids, boolean words) {
        if (source instanceof CtcBackend ctc) return ctc.units(ids, words);
        throw new HeadstartException(
                "only CTC tokenizers (Wav2Vec2CTCTokenizer) know the frames of letters; this is no such tokenizer");
    }

    /** English punctuation moved to its word (transformers {@code clean_up_tokenization}). */
    static String cleanUp(String text) {
        return text.replace(" .", ".")
                .replace(" ?", "?")
                .replace(" !", "!")
                .replace(" ,", ",")
                .replace(" ' ", "'")
                .replace(" n't", "n't")
                .replace(" 'm", "'m")
                .replace(" 's", "'s")
                .replace(" 've", "'ve")
                .replace(" 're", "'re");
    }

    // ---- vocabulary ----

    /** The id of a token as the vocabulary spells it, added tokens included. */
    public OptionalInt tokenToId(String token) {
        Integer id = vocabulary.id(token);
        return id == null ? OptionalInt.empty() : OptionalInt.of(id);
    }

    /**
     * The token of an id; null when there is none. Added tokens that are looked for in the normalised text are spelled as that is ({@code new york} for
     * {@code New York} where letters become small), as tokenizers 0.23 has it.
     */
    public @Nullable String idToToken(int id) {
        return vocabulary.spelling(id);
    }

    /** Number of tokens, added ones included (Python's {@code len(tokenizer)}). */
    public int vocabSize() {
        return vocabulary.size();
    }

    /** Whether decoding may skip this id as a special token. */
    public boolean isSpecial(int id) {
        String token = vocabulary.token(id);
        return token != null && vocabulary.isSpecial(token);
    }

    /** A special token by its name in tokenizer_config.json: {@code "pad_token"}, {@code "mask_token"}, ...; null when there is none. */
    public @Nullable String specialToken(String name) {
        return config.special(name);
    }

    /** The id of a special token by its name in tokenizer_config.json. */
    public OptionalInt specialId(String name) {
        String token = config.special(name);
        return token == null ? OptionalInt.empty() : tokenToId(token);
    }

    /** Id of the padding token. */
    public OptionalInt padId() {
        return specialId("pad_token");
    }

    /** Id of the unknown token. */
    public OptionalInt unkId() {
        return specialId("unk_token");
    }

    /** Id of the classification token that starts a text. */
    public OptionalInt clsId() {
        return specialId("cls_token");
    }

    /** Id of the separator. */
    public OptionalInt sepId() {
        return specialId("sep_token");
    }

    /** Id of the mask token. */
    public OptionalInt maskId() {
        return specialId("mask_token");
    }

    /** Id of the token that begins a text. */
    public OptionalInt bosId() {
        return specialId("bos_token");
    }

    /** Id of the token that ends a text. */
    public OptionalInt eosId() {
        return specialId("eos_token");
    }

    /** The padding token; null when there is none. */
    public @Nullable String padToken() {
        return config.special("pad_token");
    }

    /** The unknown token; null when there is none. */
    public @Nullable String unkToken() {
        return config.special("unk_token");
    }

    /** The mask token; null when there is none. */
    public @Nullable String maskToken() {
        return config.special("mask_token");
    }

    /** The classification token; null when there is none. */
    public @Nullable String clsToken() {
        return config.special("cls_token");
    }

    /** The separator; null when there is none. */
    public @Nullable String sepToken() {
        return config.special("sep_token");
    }

    /** The token that begins a text; null when there is none. */
    public @Nullable String bosToken() {
        return config.special("bos_token");
    }

    /** The token that ends a text; null when there is none. */
    public @Nullable String eosToken() {
        return config.special("eos_token");
    }

    /** The model's limit in tokens; 0 when the files state none. */
    public int modelMaxLength() {
        return config.modelMaxLength();
    }

    /** The side that batches are padded on unless the options say otherwise. */
    public Side paddingSide() {
        return side("padding_side", config.family.paddingSide());
    }

    /** The side that long texts are cut on unless the options say otherwise. */
    public Side truncationSide() {
        return side("truncation_side", Side.RIGHT);
    }

    private Side side(String name, Side otherwise) {
        String value = TokenizerConfig.text(config.raw, name);
        return value == null ? otherwise : value.equals("left") ? Side.LEFT : Side.RIGHT;
    }

    /** The model's arguments that this tokenizer makes, by their Hugging Face names. */
    public List<String> modelInputNames() {
        return config.inputNames();
    }

    // ---- saving ----

    /**
     * The whole tokenizer as the text of a tokenizer.json, whatever format it was read from.
     *
     * @throws HeadstartException for Marian's, M2M100's and CTC tokenizers, which that format cannot hold
     */
    public String toJson() {
        if (loaded.json() != null) return loaded.json().toString();
        throw new HeadstartException("this kind of tokenizer (" + config.family
                + ") cannot be written as a tokenizer.json; savePretrained keeps its own files");
    }

    /**
     * Writes tokenizer_config.json and tokenizer.json, or the tokenizer's own files where that format cannot hold it.
     *
     * @throws HeadstartException when the folder cannot be written
     */
    public void savePretrained(Path folder) {
        try {
            Files.createDirectories(folder);
            if (loaded.json() != null)
                Files.writeString(
                        folder.resolve("tokenizer.json"), loaded.json().toString());
            for (Path file : loaded.files()) {
                Path copy = folder.resolve(file.getFileName());
                if (!Files.exists(copy) || !Files.isSameFile(file, copy))
                    Files.copy(file, copy, StandardCopyOption.REPLACE_EXISTING);
            }
            Files.writeString(folder.resolve("tokenizer_config.json"), config.toJson());
            chat.save(folder);
        } catch (IOException e) {
            throw new HeadstartException(
                    folder + ": the tokenizer cannot be written there (" + e.getMessage() + ")", e);
        }
    }

    @Override
    public void close() {
        if (owner) loaded.owned().forEach(Backend::close);
    }
}
