package dev.headstart.pipeline;

import com.fasterxml.jackson.databind.JsonNode;
import dev.headstart.HeadstartException;
import dev.headstart.models.AutoModelForMaskedLM;
import dev.headstart.models.Tensors;
import dev.headstart.text.EncodeOptions;
import dev.headstart.text.Encoding;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Words for masked places (transformers FillMaskPipeline). Call arguments: {@code top_k} (default 5), {@code targets} (words to choose from). */
public final class FillMaskPipeline extends TextPipeline {
    private static final Logger LOG = LoggerFactory.getLogger(FillMaskPipeline.class);

    /**
     * A word for a masked place.
     *
     * @param score probability
     * @param token its id
     * @param tokenStr the word
     * @param sequence the text with the word put in
     */
    public record Fill(double score, int token, String tokenStr, String sequence) {}

    private final int maskId;

    FillMaskPipeline(String id, PipelineOptions options) {
        super(id, () -> AutoModelForMaskedLM.fromPretrained(id, options.load()), options);
        OptionalInt mask = tokenizer.maskId();
        if (mask.isEmpty()) {
            close();
            throw new HeadstartException(id + ": its tokenizer has no mask_token, so it cannot fill masks");
        }
        maskId = mask.getAsInt();
    }

    /** The five best words for each masked place of a text, places in order. */
    public List<List<Fill>> apply(String text) {
        return apply(List.of(text), 5, null).get(0);
    }

    /**
     * The best words for each masked place of each text.
     *
     * @param topK how many
     * @param targets words to choose from; null for the whole vocabulary
     */
    public List<List<List<Fill>>> apply(List<String> texts, int topK, @Nullable List<String> targets) {
        return apply(texts, topK, targets, TokenizerArguments.NONE);
    }

    private List<List<List<Fill>>> apply(
            List<String> texts, int topK, @Nullable List<String> targets, TokenizerArguments arguments) {
        int[] targetIds = targets == null ? null : targetIds(targets);
        List<Encoding> rows = encode(texts, null, arguments);
        for (int i = 0; i < rows.size(); i++) {
            if (places(rows.get(i).ids()).length == 0) {
                throw new HeadstartException("text " + (i + 1) + " has no " + tokenizer.maskToken() + " to fill"
                        + (rows.get(i).length() >= limit() ? " within the model's " + limit() + " tokens" : ""));
            }
        }
        List<List<List<Fill>>> results = new ArrayList<>(Collections.nCopies(rows.size(), List.of()));
        infer(rows, (some, out) -> {
            Tensor logits = field(out, "logits"); // [B, S, V]
            for (int r = 0; r < some.length; r++) {
                long[] ids = rows.get(some[r]).ids();
                int[] places = places(ids);
                List<List<Fill>> filled = new ArrayList<>();
                for (int place : places) {
                    double[] p =
                            Scores.softmax(Tensors.floats(logits.select(0, r).select(0, place))); // [V]
                    filled.add(best(p, targetIds, topK, ids, place, places.length == 1));
                }
                results.set(some[r], filled);
            }
        });
        return results;
    }

    private int[] places(long[] ids) {
        return IntStream.range(0, ids.length).filter(i -> ids[i] == maskId).toArray();
    }

    private List<Fill> best(double[] p, int @Nullable [] targets, int topK, long[] ids, int place, boolean only) {
        int[] candidates =
                targets != null ? targets : IntStream.range(0, p.length).toArray();
        long pad = tokenizer.padId().orElse(-1);
        return IntStream.of(candidates)
                .boxed()
                .sorted((a, b) -> Double.compare(p[b], p[a]))
                .limit(topK)
                .map(token -> {
                    long[] whole = ids.clone();
                    whole[place] = token;
                    long[] shown =
                            java.util.Arrays.stream(whole).filter(t -> t != pad).toArray();
                    return new Fill(
                            p[token],
                            token,
                            tokenizer.decode(new long[] {token}, false),
                            tokenizer.decode(shown, only));
                })
                .toList();
    }

    private int[] targetIds(List<String> targets) {
        TreeSet<Integer> ids = new TreeSet<>();
        for (String target : targets) {
            OptionalInt id = tokenizer.tokenToId(target);
            if (id.isPresent()) {
                ids.add(id.getAsInt());
                continue;
            }
            long[] pieces = tokenizer
                    .encode(target, null, EncodeOptions.DEFAULT.withSpecialTokens(false))
                    .ids();
            if (pieces.length == 0) {
                LOG.warn("target \"{}\" is not in the vocabulary and is left out", target);
            } else {
                LOG.warn(
                        "target \"{}\" is not in the vocabulary, its first piece \"{}\" stands for it",
                        target,
                        tokenizer.idToToken((int) pieces[0]));
                ids.add((int) pieces[0]);
            }
        }
        if (ids.isEmpty()) {
            throw new HeadstartException("targets: none of " + targets + " is in the vocabulary");
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    @Override
    public List<?> run(List<String> inputs, JsonNode kwargs) {
        Integer topK = Scores.topK(kwargs, 5);
        JsonNode targets = kwargs.path("targets");
        List<String> words = null;
        if (targets.isTextual()) {
            words = List.of(targets.asText());
        } else if (targets.isArray()) {
            words = Pipeline.texts(kwargs, "targets", "[\"good\", \"bad\"]");
        }
        TokenizerArguments arguments = TokenizerArguments.of(kwargs.path("tokenizer_kwargs"));
        return apply(inputs, topK == null ? Integer.MAX_VALUE : topK, words, arguments).stream()
                .map(places -> places.size() == 1 ? places.get(0) : places)
                .toList();
    }
}
