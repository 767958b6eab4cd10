"""Peer of TrainingBenchmark: full fine-tuning steps by Python transformers and torch.optim.AdamW. Lines in: "loss", "run"."""
import contextlib, sys, time
import torch
from transformers import AutoModelForSequenceClassification

model_dir, file, precision, threads, batch = sys.argv[1:6]
batch = int(batch)
torch.set_num_threads(int(threads))
model = AutoModelForSequenceClassification.from_pretrained(model_dir, dtype=torch.float32)
rows = torch.tensor([[int(w) for w in line.split()] for line in open(file)])
labels = torch.arange(len(rows)) % 2
plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
ids = {id(p) for p in plain}
optimizer = torch.optim.AdamW(
    [{"params": plain, "weight_decay": 0.0}, {"params": [p for p in model.parameters() if id(p) not in ids], "weight_decay": 0.0}],
    lr=5e-5, fused=True)  # its best setting


def cast():
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def loss(at):
    return model(input_ids=rows[at:at + batch], attention_mask=torch.ones_like(rows[at:at + batch]), labels=labels[at:at + batch]).loss


print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "loss":
        model.eval()
        with torch.no_grad():
            print(loss(0).item(), flush=True)
    else:
        model.train()
        t = time.perf_counter()
        for at in range(0, len(rows), batch):
            with cast():
                value = loss(at)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            value.item()
        print(time.perf_counter() - t, flush=True)
