"""Peer of TrainingBenchmark: full fine-tuning steps by Python transformers and torch.optim.AdamW. Lines in: "loss"; "run STEPS", answered by seconds and tokens. PEER_DEVICE=cuda: on the GPU."""
import contextlib, itertools, os, random, sys, time
import torch
from transformers import AutoModelForSequenceClassification

model_dir, file, precision, threads, batch, batching = sys.argv[1:7]
batch = int(batch)
device = os.environ.get("PEER_DEVICE", "cpu")
torch.set_num_threads(int(threads))
model = AutoModelForSequenceClassification.from_pretrained(model_dir, dtype=torch.float32).to(device)
rows = [[int(w) for w in line.split()] for line in open(file)]


def passes():
    """Batches of one pass after the other, the order made anew for each."""
    while True:
        yield from batches()


def batches():
    """Indexes of one pass: as given; shuffled, as transformers' Trainer does it by default; or by length (group_by_length)."""
    order = list(range(len(rows)))
    if batching != "given":
        random.shuffle(order)
    if batching == "grouped":
        order = [i for at in range(0, len(order), 50 * batch) for i in sorted(order[at:at + 50 * batch], key=lambda i: -len(rows[i]))]
    all = [order[at:at + batch] for at in range(0, len(order), batch)]
    if batching == "grouped":
        random.shuffle(all)
    return all


plain = [p for n, p in model.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
ids = {id(p) for p in plain}
optimizer = torch.optim.AdamW(
    [{"params": plain, "weight_decay": 0.0}, {"params": [p for p in model.parameters() if id(p) not in ids], "weight_decay": 0.0}],
    lr=5e-5, fused=True)  # its best setting


def cast():
    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def loss(indexes):
    width = max(len(rows[i]) for i in indexes)
    ids = torch.tensor([rows[i] + [0] * (width - len(rows[i])) for i in indexes])
    mask = torch.tensor([[1] * len(rows[i]) + [0] * (width - len(rows[i])) for i in indexes])
    labels = torch.tensor([i % 2 for i in indexes])
    return model(input_ids=ids.to(device), attention_mask=mask.to(device), labels=labels.to(device)).loss


endless = passes()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "loss":
        model.eval()
        with torch.no_grad():
            print(loss(list(range(batch))).item(), flush=True)
    else:
        model.train()
        t = time.perf_counter()
        tokens = 0
        for indexes in itertools.islice(endless, int(line.split()[1])):
            tokens += sum(len(rows[i]) for i in indexes)
            with cast():
                value = loss(indexes)
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            value.item()
        print(time.perf_counter() - t, tokens, flush=True)
