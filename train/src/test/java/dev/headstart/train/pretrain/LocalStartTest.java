package dev.headstart.train.pretrain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.headstart.HeadstartException;
import dev.headstart.LoadOptions;
import dev.headstart.models.Bert.BertModel;
import dev.headstart.models.ConfigJson;
import dev.headstart.models.DistilBert.DistilBertModel;
import dev.headstart.models.Inputs;
import dev.headstart.models.Models;
import dev.headstart.models.PreTrainedModel;
import dev.headstart.models.Roberta.RobertaModel;
import dev.headstart.models.Tensors;
import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LocalStartTest {
    private static final int S = 48;
    private static final int HEADS = 4;

    private static ObjectNode config(String type) {
        ObjectNode n = new ObjectMapper().createObjectNode().put("model_type", type);
        n.put("vocab_size", 500).put("pad_token_id", 0).put("max_position_embeddings", 64);
        if (type.equals("distilbert")) {
            return n.put("dim", 256).put("n_layers", 2).put("n_heads", HEADS).put("hidden_dim", 256);
        }
        return n.put("hidden_size", 256)
                .put("num_hidden_layers", 2)
                .put("num_attention_heads", HEADS)
                .put("intermediate_size", 512);
    }

    /** Of all tokens that have the neighbour, the part whose head attends most to it. */
    private static double[] onTheNeighbour(Tensor attention) { // [1, h, S, S]
        float[] a = Tensors.floats(attention);
        double[] share = new double[HEADS];
        for (int h = 0; h < HEADS; h++) {
            int offset = LocalStart.offset(h), all = 0, right = 0;
            for (int t = Math.max(0, -offset); t < Math.min(S, S - offset); t++) {
                int best = 0;
                for (int s = 1; s < S; s++) {
                    if (a[(h * S + t) * S + s] > a[(h * S + t) * S + best]) {
                        best = s;
                    }
                }
                all++;
                right += best == t + offset ? 1 : 0;
            }
            share[h] = (double) right / all;
        }
        return share;
    }

    @ParameterizedTest
    @CsvSource({"bert,BertModel", "roberta,RobertaModel", "distilbert,DistilBertModel"})
    void headsOfTheFirstLayerAttendToTheirNeighbour(String type, String architecture) {
        try (PreTrainedModel<?> model =
                        Models.fromConfig(new ConfigJson(config(type), "test"), architecture, LoadOptions.defaults());
                PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            SplittableRandom random = new SplittableRandom(1);
            long[] ids = random.longs(S, 5, 500).toArray();
            Inputs in = Inputs.of(Map.of("input_ids", Tensor.create(ids).view(1, S)))
                    .withAttentions(true);
            assertThat(Arrays.stream(onTheNeighbour(first(model, in))).max().orElseThrow())
                    .isLessThan(0.2);
            LocalStart.apply(model, HEADS, 0.02);
            assertThat(Arrays.stream(onTheNeighbour(first(model, in))).min().orElseThrow())
                    .isGreaterThan(0.8);
        }
    }

    private static Tensor first(PreTrainedModel<?> model, Inputs in) {
        var attentions = model instanceof BertModel b
                ? b.forward(in).attentions()
                : model instanceof RobertaModel r
                        ? r.forward(in).attentions()
                        : ((DistilBertModel) model).forward(in).attentions();
        return Objects.requireNonNull(attentions).get(0);
    }

    @Test
    void theFirstHeadsLookBackAndAhead() {
        assertThat(new int[] {
                    LocalStart.offset(0),
                    LocalStart.offset(1),
                    LocalStart.offset(2),
                    LocalStart.offset(3),
                    LocalStart.offset(4)
                })
                .containsExactly(-1, 1, -2, 2, -3);
    }

    @Test
    void refusesAModelWithoutSuchHeads() {
        ObjectNode gpt = new ObjectMapper()
                .createObjectNode()
                .put("model_type", "gpt2")
                .put("vocab_size", 100)
                .put("n_embd", 32)
                .put("n_layer", 1)
                .put("n_head", 2)
                .put("n_positions", 16);
        try (PreTrainedModel<?> model =
                Models.fromConfig(new ConfigJson(gpt, "test"), "GPT2Model", LoadOptions.defaults())) {
            assertThatThrownBy(() -> LocalStart.apply(model, 2, 0.02))
                    .isInstanceOf(HeadstartException.class)
                    .hasMessageContaining("--init local is for BERT");
        }
    }
}
