package dev.headstart.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Finds a folder's tokenizer files and brings them, whatever their format, into one form. */
final class TokenizerFiles {
    private static final List<String> SENTENCE_PIECE =
            List.of("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "sentencepiece.model");
    private static final List<String> M2M100_LANGUAGES =
            List.of(("af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr"
                            + " fy ga gd gl gu ha he hi hr ht hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no"
                            + " ns oc or pa pl ps pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu")
                    .split(" "));

    /**
     * A tokenizer, ready.
     *
     * @param source splits the model's input
     * @param target splits what the model is to give, where that differs
     * @param inside the backend under {@code source} that has no template of its own
     * @param json the whole as a tokenizer.json; null where that form cannot hold it
     * @param owned what must be closed
     * @param files what {@code savePretrained} copies in place of a tokenizer.json
     */
    record Loaded(
            Vocabulary vocabulary,
            Backend source,
            Backend target,
            Backend inside,
            @Nullable TokenizerJson json,
            List<Path> files,
            List<Backend> owned) {}

    private TokenizerFiles() {}

    static Loaded load(Path folder, TokenizerConfig config) {
        Path vocabJson = folder.resolve("vocab.json");
        boolean plainVocab = Files.isRegularFile(vocabJson) && !Files.isRegularFile(folder.resolve("tokenizer.json"));
        if (Files.isRegularFile(folder.resolve("source.spm"))) return marian(folder, config);
        if (plainVocab && Files.isRegularFile(folder.resolve("sentencepiece.bpe.model"))) return m2m100(folder, config);
        if (plainVocab && config.family == TokenizerFamily.WAV2VEC2_CTC) return ctc(vocabJson, config);
        TokenizerJson json;
        Path file = folder.resolve("tokenizer.json");
        if (Files.isRegularFile(file)) {
            json = TokenizerJson.parse(read(file), file.toString());
            config.inferFamily(json.modelType(), json::hasToken);
            TokenizerOverrides.apply(json, config);
        } else {
            file = firstFile(folder);
            json = switch (file.getFileName().toString()) {
                case "vocab.txt" -> WordPieceVocab.convert(file, config);
                case "vocab.json" -> BpeFiles.convert(file, folder.resolve("merges.txt"), config);
                default -> sentencePiece(file, config);
            };
            TokenizerOverrides.bosAndEos(json, config);
        }
        addTokens(json, config);
        TokenizerOverrides.defaults(json, config);
        json.top.putNull("truncation");
        json.top.putNull("padding");
        NormalizedTokens normalized = new NormalizedTokens(json, file.toString());
        Vocabulary vocabulary =
                Vocabulary.of(json).unknown(config.special("unk_token")).spelled(normalized.spellings());
        Engine engine =
                new Engine(normalized.forLibrary(), file.toString(), vocabulary::spelling, normalized.decodedAs());
        Backend source = switch (config.family) {
            case MBART, MBART50, NLLB ->
                Languages.backend(
                        engine, vocabulary, config, config.raw.path("src_lang").asText(""));
            default -> engine;
        };
        Backend target = source == engine ? engine : Languages.backend(engine, vocabulary, config, target(config));
        return new Loaded(vocabulary, source, target, engine, json, List.of(), List.of(engine));
    }

    private static TokenizerJson sentencePiece(Path file, TokenizerConfig config) {
        SentencePieceModel model = SentencePieceModel.read(file);
        Set<String> pieces = new HashSet<>();
        model.pieces().forEach(p -> pieces.add(p.text()));
        // T5's own file lacks the sentinels by which its tokenizer.json is known
        if (model.unigram() && model.unkId() == 2 && !pieces.contains("<s>")) pieces.add("<extra_id_0>");
        config.inferFamily(model.unigram() ? "Unigram" : "BPE", pieces::contains);
        return SentencePieceConverter.convert(model, config, config.family);
    }

    private static Path firstFile(Path folder) {
        List<String> names = new ArrayList<>(List.of("vocab.txt"));
        names.addAll(SENTENCE_PIECE);
        for (String name : names) if (Files.isRegularFile(folder.resolve(name))) return folder.resolve(name);
        boolean vocab = Files.isRegularFile(folder.resolve("vocab.json"));
        boolean merges = Files.isRegularFile(folder.resolve("merges.txt"));
        if (vocab && merges) return folder.resolve("vocab.json");
        throw new HeadstartException(folder + ": "
                + (!Files.isDirectory(folder)
                        ? "there is no such folder"
                        : vocab || merges
                                ? "has " + (vocab ? "vocab.json without merges.txt" : "merges.txt without vocab.json")
                                        + "; a byte-pair tokenizer needs both"
                                : "no tokenizer found; looked for tokenizer.json, " + String.join(", ", names)
                                        + ", vocab.json with merges.txt, source.spm with target.spm and vocab.json"));
    }

    private static Loaded marian(Path folder, TokenizerConfig config) {
        Path vocabFile = need(folder, "vocab.json", "source.spm");
        Vocabulary vocabulary = vocabulary(vocabFile, config);
        if (vocabulary.unkId() < 0)
            throw new HeadstartException(
                    vocabFile + ": has no " + config.special("unk_token") + ", which a Marian vocabulary must have");
        String eos = config.special("eos_token") == null ? "</s>" : config.special("eos_token");
        List<Path> files = new ArrayList<>(List.of(vocabFile, folder.resolve("source.spm")));
        Vocabulary targetVocabulary = vocabulary;
        if (config.flag("separate_vocabs", false)) {
            Path targetFile = need(folder, "target_vocab.json", "separate_vocabs in tokenizer_config.json");
            targetVocabulary = vocabulary(targetFile, config);
            files.add(targetFile);
        }
        PieceBackend source = new PieceBackend(pieces(folder.resolve("source.spm"), config), vocabulary, true);
        Path targetSpm = need(folder, "target.spm", "source.spm");
        files.add(targetSpm);
        PieceBackend target = new PieceBackend(pieces(targetSpm, config), targetVocabulary, true);
        return new Loaded(
                vocabulary,
                new AffixBackend(source, vocabulary, List.of(), List.of(String.valueOf(eos))),
                new AffixBackend(target, targetVocabulary, List.of(), List.of(String.valueOf(eos))),
                source,
                null,
                files,
                List.of(source, target));
    }

    private static Loaded m2m100(Path folder, TokenizerConfig config) {
        Path vocabFile = folder.resolve("vocab.json");
        Path spm = folder.resolve("sentencepiece.bpe.model");
        Vocabulary vocabulary = vocabulary(vocabFile, config);
        int next = TokenizerConfig.object(vocabFile).size();
        for (String language :
                M2M100_LANGUAGES) { // special where special_tokens_map.json lists them, as published models do
            String token = "__" + language + "__";
            vocabulary.add(
                    token,
                    next++,
                    config.extra.stream()
                            .anyMatch(t -> TokenizerConfig.content(t).equals(token)));
        }
        PieceBackend inside = new PieceBackend(pieces(spm, config), vocabulary, false);
        return new Loaded(
                vocabulary,
                Languages.backend(
                        inside, vocabulary, config, config.raw.path("src_lang").asText("")),
                Languages.backend(inside, vocabulary, config, target(config)),
                inside,
                null,
                List.of(vocabFile, spm),
                List.of(inside));
    }

    /** The language of the targets; without one that of the sources, as transformers has it. */
    private static String target(TokenizerConfig config) {
        return config.raw.path("tgt_lang").asText(config.raw.path("src_lang").asText(""));
    }

    private static Loaded ctc(Path vocabFile, TokenizerConfig config) {
        Vocabulary vocabulary = vocabulary(vocabFile, config);
        CtcBackend backend = new CtcBackend(vocabulary, config);
        return new Loaded(vocabulary, backend, backend, backend, null, List.of(vocabFile), List.of(backend));
    }

    private static Path need(Path folder, String name, String because) {
        Path file = folder.resolve(name);
        if (Files.isRegularFile(file)) return file;
        throw new HeadstartException(file + ": not found, but " + because + " needs it; fetch the model again");
    }

    /** The SentencePiece program's own splitting; ids are the pieces' indexes. */
    private static Engine pieces(Path spm, TokenizerConfig config) {
        TokenizerJson json =
                SentencePieceConverter.convert(SentencePieceModel.read(spm), config, TokenizerFamily.GENERIC);
        addTokens(json, config);
        Vocabulary indexes = Vocabulary.of(json);
        return new Engine(json.toString(), spm.toString(), indexes::token);
    }

    private static Vocabulary vocabulary(Path file, TokenizerConfig config) {
        ObjectNode node = TokenizerConfig.object(file);
        if (!node.isEmpty() && node.iterator().next().isObject()) { // one vocabulary a language
            String language = config.raw.path("target_lang").asText("");
            if (!(node.get(language) instanceof ObjectNode chosen)) {
                List<String> known = new ArrayList<>();
                node.fieldNames().forEachRemaining(known::add);
                throw new HeadstartException(file + ": has one vocabulary a language, none for target_lang \""
                        + language + "\" of tokenizer_config.json; known are "
                        + String.join(", ", known.subList(0, Math.min(20, known.size()))));
            }
            node = chosen;
        }
        Map<String, Integer> map = new LinkedHashMap<>();
        for (var e : node.properties()) {
            JsonNode id = e.getValue();
            if (!id.isIntegralNumber() || !id.canConvertToInt() || id.asInt() < 0) {
                throw new HeadstartException(
                        file + ": the id of \"" + e.getKey() + "\" is " + id + ", expected a whole number");
            }
            map.put(e.getKey(), id.asInt());
        }
        Vocabulary vocabulary = new Vocabulary(map);
        config.added.forEach((id, t) ->
                vocabulary.add(TokenizerConfig.content(t), id, t.path("special").asBoolean()));
        config.special.values().forEach(t -> addTo(vocabulary, t));
        config.extra.forEach(t -> addTo(vocabulary, t));
        return vocabulary.unknown(config.special("unk_token"));
    }

    private static void addTo(Vocabulary vocabulary, ObjectNode token) {
        String content = TokenizerConfig.content(token);
        Integer id = vocabulary.id(content);
        vocabulary.add(content, id == null ? vocabulary.nextId() : id, true);
    }

    /** Adds the tokens that only the configuration names, in transformers' order: by id, then named, then extra ones. */
    private static void addTokens(TokenizerJson json, TokenizerConfig config) {
        config.added.values().forEach(t -> add(json, t));
        config.special.values().forEach(t -> add(json, t));
        config.extra.forEach(t -> add(json, t));
    }

    private static void add(TokenizerJson json, ObjectNode t) {
        json.addToken(
                TokenizerConfig.content(t),
                t.path("special").asBoolean(),
                t.path("normalized").asBoolean(),
                t.path("lstrip").asBoolean(),
                t.path("rstrip").asBoolean(),
                t.path("single_word").asBoolean());
    }

    /** A text file in UTF-8. */
    static String read(Path file) {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(Files.readAllBytes(file)))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new HeadstartException(file + ": is not UTF-8 text; the file is damaged, fetch it again", e);
        } catch (IOException e) {
            throw new HeadstartException(file + ": cannot be read (" + e.getMessage() + ")", e);
        }
    }

    static String or(@Nullable String value, String otherwise) {
        return value == null ? otherwise : value;
    }
}
