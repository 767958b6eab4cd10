package dev.headstart.generation;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** A model whose logits are a table lookup: last[token] + before[token before it]; the same as in conformance/generation.py. */
final class ToyModel implements GenerativeModel {
    private final int vocab;
    private final float[] last;
    private final float[] before;
    int open;

    ToyModel(JsonNode golden) {
        vocab = golden.get("vocab").asInt();
        last = floats(golden.get("last"));
        before = floats(golden.get("before"));
    }

    private static float[] floats(JsonNode list) {
        float[] out = new float[list.size()];
        for (int i = 0; i < out.length; i++) {
            out[i] = (float) list.get(i).asDouble();
        }
        return out;
    }

    @Override
    public GenerationConfig generationConfig() {
        return GenerationConfig.empty();
    }

    @Override
    public boolean isEncoderDecoder() {
        return false;
    }

    @Override
    public int contextLength() {
        return 0;
    }

    @Override
    public boolean contextIsHard() {
        return false;
    }

    @Override
    public DecodingSession startDecoding(Map<String, Tensor> inputs, int rows, int capacity) {
        open++;
        return new DecodingSession() {
            private long[][] memory = new long[rows][2]; // the last two tokens of each row
            private int[] read = new int[rows];

            @Override
            public Tensor step(Tensor ids, int[] lengths) {
                long[] flat = Decoding.longs(ids);
                int width = flat.length / lengths.length;
                float[] logits = new float[lengths.length * vocab];
                for (int r = 0; r < lengths.length; r++) {
                    for (int i = 0; i < lengths[r]; i++) {
                        memory[r] = new long[] {memory[r][1], flat[r * width + i]};
                        read[r]++;
                    }
                    for (int v = 0; v < vocab; v++) {
                        float b = read[r] > 1 ? before[(int) memory[r][0] * vocab + v] : 0;
                        logits[r * vocab + v] = last[(int) memory[r][1] * vocab + v] + b;
                    }
                }
                return Tensor.create(logits, lengths.length, vocab);
            }

            @Override
            public void select(int[] sources) {
                long[][] m = new long[sources.length][];
                int[] n = new int[sources.length];
                for (int i = 0; i < sources.length; i++) {
                    m[i] = memory[sources[i]];
                    n[i] = read[sources[i]];
                }
                memory = m;
                read = n;
            }

            @Override
            public void close() {
                open--;
            }
        };
    }
}
