"""A peer of EncoderBenchmark: vectors of texts by transformers, sentence-transformers or ONNX Runtime, sorted by length.

Arguments: transformers|sentence-transformers|onnxruntime FOLDER fp32|bf16|int8 THREADS WORK. One line in, one line out:
  texts FILE      the texts to work on, one a line; finds this peer's best settings for them by trying (one turn each); answers those
  outputs FILE    writes the vectors as float32; answers their size
  bulk            answers the seconds that all texts took together, tokenization included
  single N        answers the seconds of each of the first N texts, one call a text
PEER_DEVICE=cuda in the environment: on the GPU, in larger batches.
"""
import json, os, subprocess, sys, time, warnings
import numpy as np

warnings.filterwarnings("ignore")
peer, folder, precision, threads, work = sys.argv[1:6]  # or: export FOLDER PRECISION THREADS FILE
threads = int(threads)
device = os.environ.get("PEER_DEVICE", "cpu")
modules = os.path.join(folder, "modules.json")
normalise = os.path.exists(modules) and any("Normalize" in m["type"] for m in json.load(open(modules)))
limit = 512
if os.path.exists(os.path.join(folder, "sentence_bert_config.json")):
    limit = json.load(open(os.path.join(folder, "sentence_bert_config.json")))["max_seq_length"]


class Plain:
    """Tokenize all, sort, batch, take the mean over the real positions."""

    def __init__(self):
        from transformers import AutoTokenizer
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def vectors(self, texts, batch):
        ids = self.tokenizer(texts, truncation=True, max_length=limit)
        order = sorted(range(len(texts)), key=lambda i: -len(ids["input_ids"][i]))
        out = [None] * len(texts)
        for at in range(0, len(order), batch):
            some = order[at:at + batch]
            for i, v in zip(some, self.pooled(self.tokenizer.pad({k: [v[i] for i in some] for k, v in ids.items()}, return_tensors=self.kind))):
                out[i] = v
        return np.stack(out)


class Transformers(Plain):
    kind = "pt"
    variants = ["sdpa", "eager"]

    def __init__(self):
        super().__init__()
        import torch
        from transformers import AutoModel
        self.torch = torch
        torch.set_num_threads(threads)
        model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16 if precision == "bf16" else torch.float32).eval().to(device)
        self.model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8) if precision == "int8" else model

    def use(self, attention):
        self.model.set_attn_implementation(attention)

    def pooled(self, batch):
        with self.torch.inference_mode():
            batch = {k: v.to(device) for k, v in batch.items()}
            x = self.model(**batch).last_hidden_state.float()
            m = batch["attention_mask"].unsqueeze(-1).float()
            y = (x * m).sum(1) / m.sum(1)
            return (self.torch.nn.functional.normalize(y, dim=1) if normalise else y).cpu().numpy()


class SentenceTransformers:
    variants = ["sdpa", "eager"]

    def __init__(self):
        if precision == "int8":
            raise ValueError("sentence-transformers has int8 by ONNX alone, which is the other peer")
        import torch
        from sentence_transformers import SentenceTransformer
        torch.set_num_threads(threads)
        self.model = SentenceTransformer(folder, device=device, model_kwargs={"dtype": torch.bfloat16 if precision == "bf16" else torch.float32})

    def use(self, attention):
        self.model[0].auto_model.set_attn_implementation(attention)

    def vectors(self, texts, batch):  # sorts by length itself
        import torch
        return self.model.encode(texts, batch_size=batch, convert_to_tensor=True, show_progress_bar=False).float().cpu().numpy()


class OnnxRuntime(Plain):
    kind = "np"
    variants = ["fused"]

    def __init__(self):
        if precision == "bf16":
            raise ValueError("ONNX Runtime has no bf16 on this processor")
        super().__init__()
        import onnxruntime
        name = "-".join(os.path.realpath(folder).split(os.sep)[-2:])
        file = os.path.join(work, f"{name}-{precision}.onnx")
        if not os.path.exists(file):  # by a process of its own: what exporting needs does not count as the peer's memory
            subprocess.run([sys.executable, __file__, "export", folder, precision, str(threads), file], check=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.names = [i.name for i in self.session.get_inputs()]

    def use(self, variant):
        pass

    def pooled(self, batch):
        x = self.session.run(None, {n: batch[n].astype(np.int64) for n in self.names})[0]
        m = batch["attention_mask"][:, :, None].astype(np.float32)
        y = (x * m).sum(1) / m.sum(1)
        return y / np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1e-12) if normalise else y


def export(file):
    """Writes the model as ONNX with ONNX Runtime's own fusions, in int8 with a scale a channel."""
    import onnx, torch
    from transformers import AutoModel
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

    class Last(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.inner(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state

    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = (torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long), torch.zeros(2, 8, dtype=torch.long))
    raw = file + ".raw.onnx"
    torch.onnx.export(Last().eval(), example, raw, dynamo=False, opset_version=17, input_names=names, output_names=["x"],
                      dynamic_axes={n: {0: "b", 1: "s"} for n in names + ["x"]})
    c = model.config
    fused = optimizer.optimize_model(raw, model_type="bert", num_heads=c.num_attention_heads, hidden_size=c.hidden_size, opt_level=1)
    counts = fused.get_fused_operator_statistics()
    if counts.get("Attention", 0) + counts.get("MultiHeadAttention", 0) < c.num_hidden_layers:
        print("ONNX Runtime's optimizer fused", counts, file=sys.stderr)
    if precision == "int8":
        fused.save_model_to_file(raw)
        quantize_dynamic(raw, file + ".new", per_channel=True, weight_type=QuantType.QInt8,
                         extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    else:
        fused.save_model_to_file(file + ".new")
    os.remove(raw)
    os.rename(file + ".new", file)


if peer == "export":
    export(work)
    sys.exit()
try:
    side = {"transformers": Transformers, "sentence-transformers": SentenceTransformers, "onnxruntime": OnnxRuntime}[peer]()
except ValueError as e:
    print("no " + str(e), flush=True)
    sys.exit()
print("ready", flush=True)
texts, batch = [], 32


def seconds(some):
    t = time.perf_counter()
    side.vectors(some, batch)
    return time.perf_counter() - t


for line in sys.stdin:
    words = line.split()
    if words[0] == "texts":
        texts = open(words[1], encoding="utf-8").read().splitlines()
        part = sorted(texts, key=len)[::max(1, len(texts) // 24)]  # enough to choose the variant
        tried = {}
        for variant in side.variants:
            side.use(variant)
            seconds(part[:8])
            tried[seconds(part)] = variant
        best = tried[min(tried)]
        side.use(best)
        sizes = {}
        for batch in (8, 16, 32) if device == "cpu" else (32, 64, 128, 256):
            sizes[seconds(sorted(texts, key=len)[::3])] = batch
        batch = sizes[min(sizes)]
        print(f"batches of {batch}, {best}", flush=True)
    elif words[0] == "outputs":
        y = side.vectors(texts, batch)
        y.astype("<f4").tofile(words[1])
        print(y.shape[1], flush=True)
    elif words[0] == "bulk":
        print(seconds(texts), flush=True)
    elif words[0] == "single":
        print(*[seconds([t]) for t in texts[:int(words[1])]], flush=True)
