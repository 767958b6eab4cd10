package dev.headstart.models;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Offset.offset;
import static org.bytedeco.pytorch.global.torch.softmax;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.headstart.LoadOptions;
import dev.headstart.generation.Generation;
import dev.headstart.hub.ModelFolder;
import dev.headstart.io.Safetensors;
import dev.headstart.models.Gpt2.GPT2Block;
import dev.headstart.models.Gpt2.GPT2Body;
import dev.headstart.models.Gpt2.GPT2LMHeadModel;
import dev.headstart.nn.Attention;
import dev.headstart.nn.Trace;
import dev.headstart.testing.Shared;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.stream.StreamSupport;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A real GPT of three layers that was trained to sort six digits, and every value that its authors' implementation computes on the way. */
class GptNanoSortTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder = Path.of("");

    @Test
    void sortsAll729Inputs() throws IOException {
        try (GPT2LMHeadModel model = load()) {
            long[][] inputs = new long[729][6];
            for (int n = 0; n < inputs.length; n++) {
                for (int i = 0, rest = n; i < 6; i++, rest /= 3) {
                    inputs[n][i] = rest % 3;
                }
            }
            var out = Generation.of(model)
                    .prompt(inputs)
                    .with("max_new_tokens", 6)
                    .generate();
            for (int n = 0; n < inputs.length; n++) {
                long[] sorted = inputs[n].clone();
                Arrays.sort(sorted);
                assertThat(out.generated(n))
                        .as("sorting %s", Arrays.toString(inputs[n]))
                        .containsExactly(sorted);
            }
        }
    }

    @Test
    void everyIntermediateValueAgrees() throws IOException {
        JsonNode golden = JSON.readTree(data("gpt-nano-sort-t0-partials.json").toFile());
        try (GPT2LMHeadModel model = load();
                PointerScope scope = new PointerScope();
                NoGradGuard guard = new NoGradGuard()) {
            Tensor ids = tensor(golden.get("idx")).to(ScalarType.Long); // [3, 11]
            try (var out = model.forward(
                    Inputs.of(Map.of("input_ids", ids)).withHiddenStates(true).withAttentions(true))) {
                check(golden, "x", Objects.requireNonNull(out.hiddenStates()).get(0));
                check(
                        golden,
                        "block0",
                        Objects.requireNonNull(out.hiddenStates()).get(1));
                check(
                        golden,
                        "block1",
                        Objects.requireNonNull(out.hiddenStates()).get(2));
                check(golden, "ln_f", Objects.requireNonNull(out.hiddenStates()).get(3));
                check(golden, "attSm", Objects.requireNonNull(out.attentions()).get(0));
                check(golden, "lm_head", out.logits());
                check(golden, "probs", softmax(out.logits(), -1));
            }
            GPT2Body body = (GPT2Body) model.body();
            GPT2Block block = body.blocks.get(0);
            Tensor words = body.embed(ids);
            Tensor places = body.wpe.weight().tensor().narrow(0, 0, 11);
            check(golden, "tok_emb", words);
            check(golden, "pos_emb", places.unsqueeze(0));
            Tensor x = words.add(places);
            Tensor normed = block.ln1.forward(x);
            check(golden, "ln1", normed);
            Tensor qkv = block.attn.cAttn.forward(normed);
            check(golden, "qkv", qkv);
            Tensor q = Attention.splitHeads(qkv.narrow(2, 0, 48).contiguous(), 3);
            Tensor k = Attention.splitHeads(qkv.narrow(2, 48, 48).contiguous(), 3);
            Tensor v = Attention.splitHeads(qkv.narrow(2, 96, 48).contiguous(), 3);
            check(golden, "q", q);
            check(golden, "k", k);
            check(golden, "v", v);
            CausalMask mask = CausalMask.of(x, null, false);
            Tensor scores = q.matmul(k.transpose(2, 3))
                    .mul(new Scalar(block.attn.scale))
                    .add(Objects.requireNonNull(mask.of(0)));
            check(golden, "att", scores);
            Tensor y = Attention.mergeHeads(
                    Attention.attend(q, k, v, mask.of(0), block.attn.scale, block.attn.attnDropout, Trace.none()));
            check(golden, "y", y);
            Tensor projected = block.attn.forward(normed, torch.zeros_like(x), mask, null, Trace.none());
            check(golden, "yProj", projected);
            Tensor attended = x.add(projected);
            check(golden, "attnResid", attended);
            check(golden, "ln2", block.ln2.forward(attended));
            Tensor wide = block.cFc.forward(block.ln2.forward(attended));
            check(golden, "fc", wide);
            Tensor bent = block.activation.apply(wide);
            check(golden, "gelu", bent);
            check(golden, "mlp", block.cProj.forward(bent));
            check(golden, "mlpResid", attended.add(block.cProj.forward(bent)));
            Tensor last = x;
            for (GPT2Block b : body.blocks) {
                last = b.forward(last, mask, null, Trace.none());
            }
            check(golden, "block2", last);
        }
    }

    private static void check(JsonNode golden, String name, Tensor got) {
        float[] want = Tensors.floats(tensor(golden.get(name)));
        float[] have = Tensors.floats(got);
        assertThat(have.length).as(name).isEqualTo(want.length);
        for (int i = 0; i < want.length; i++) {
            boolean hidden = want[i] < -1e30f; // both write what a mask hides their own way
            if (hidden) {
                assertThat(have[i]).as("%s[%d]", name, i).isLessThan(-1e30f);
            } else {
                assertThat((double) have[i])
                        .as("%s[%d]", name, i)
                        .isCloseTo(want[i], offset(1e-4 + 1e-4 * Math.abs(want[i])));
            }
        }
    }

    /** Writes the checkpoint as Hugging Face has it: Linear weights of GPT-2 are stored transposed. */
    private GPT2LMHeadModel load() throws IOException {
        JsonNode json = JSON.readTree(data("gpt-nano-sort-model.json").toFile());
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (PointerScope scope = new PointerScope()) {
            json.properties().forEach(e -> {
                String name = e.getKey();
                if (!name.equals("config") && !name.endsWith(".attn.bias")) {
                    Tensor t = tensor(e.getValue());
                    boolean conv = name.contains(".c_") && name.endsWith(".weight");
                    tensors.put(name, conv ? t.transpose(0, 1).contiguous() : t);
                }
            });
            Safetensors.write(folder.resolve("model.safetensors"), tensors);
        }
        JsonNode c = json.get("config");
        var config = JSON.createObjectNode()
                .put("model_type", "gpt2")
                .put("tie_word_embeddings", false)
                .put("n_positions", c.get("block_size").asInt());
        for (String field : new String[] {"n_layer", "n_head", "n_embd", "vocab_size"}) {
            config.put(field, c.get(field).asInt());
        }
        config.putArray("architectures").add("GPT2LMHeadModel");
        Files.writeString(folder.resolve("config.json"), config.toString());
        return (GPT2LMHeadModel) Models.load(
                new ModelFolder("nano", folder, false),
                null,
                LoadOptions.defaults().withDevice("cpu"));
    }

    private static Path data(String file) {
        return Shared.require("data/weights-gpt-nano-sort/" + file);
    }

    private static Tensor tensor(JsonNode t) {
        byte[] bytes = Base64.getDecoder().decode(t.get("data").asText());
        float[] values = new float[bytes.length / 4];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
        return Tensors.float32(
                values,
                StreamSupport.stream(t.get("shape").spliterator(), false)
                        .mapToLong(JsonNode::asLong)
                        .toArray());
    }
}
