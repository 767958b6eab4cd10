"""Peer of EncoderBenchmark: mean-pooled features by Python transformers, sorted by length, batches of 32. Lines in: "outputs FILE", "run"."""
import sys, time
import numpy as np, torch
from transformers import AutoModel, AutoTokenizer

model_dir, file, precision, threads = sys.argv[1:5]
torch.set_num_threads(int(threads))
tokenizer = AutoTokenizer.from_pretrained(model_dir)
model = AutoModel.from_pretrained(model_dir, dtype=torch.bfloat16 if precision == "bf16" else torch.float32).eval()
sentences = open(file, encoding="utf-8").read().splitlines()


def features():
    ids = tokenizer(sentences, truncation=True, max_length=512)
    order = sorted(range(len(sentences)), key=lambda i: -len(ids["input_ids"][i]))
    out = [None] * len(sentences)
    with torch.inference_mode():
        for at in range(0, len(order), 32):
            some = order[at:at + 32]
            batch = tokenizer.pad({k: [v[i] for i in some] for k, v in ids.items()}, return_tensors="pt")
            x = model(**batch).last_hidden_state.float()
            m = batch["attention_mask"].unsqueeze(-1).float()
            for i, v in zip(some, ((x * m).sum(1) / m.sum(1)).numpy()):
                out[i] = v
    return np.stack(out)


for line in sys.stdin:
    words = line.split()
    if words[0] == "outputs":
        y = features()
        y.astype("<f4").tofile(words[1])
        print(y.shape[1], flush=True)
    else:
        t = time.perf_counter()
        features()
        print(time.perf_counter() - t, flush=True)
