"""What the scripts that make cases share: random weights, flattened outputs, pictures, training steps."""
import copy, json, shutil

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file


def randomise(model, seed, scale=1.0, ones=("weight",)):
    """Weights whose outputs are neither all alike nor large. ones: how the names of vectors end that multiply, and so lie about 1."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in list(model.named_parameters()) + list(model.named_buffers()):
            if not p.is_floating_point():
                continue
            if name.endswith("running_var"):
                p.copy_(torch.rand(p.shape, generator=g) + 0.5)
            elif p.ndim <= 1 and name.endswith(ones):
                p.copy_(1 + 0.2 * torch.randn(p.shape, generator=g))
            else:
                fan = max(1, p[0].numel()) if p.ndim > 1 else 25
                p.copy_(scale * torch.randn(p.shape, generator=g) * min(0.5, fan ** -0.5))


def flat(o, prefix=""):
    """The tensors of a ModelOutput under the names that case files use: tuples by index, outputs inside by a dot."""
    res = {}
    for k, v in o.items():
        if torch.is_tensor(v):
            res[prefix + k] = v
        elif isinstance(v, (tuple, list)):
            res.update({f"{prefix}{k}.{i}": x for i, x in enumerate(v) if torch.is_tensor(x)})
        elif hasattr(v, "items"):
            res.update(flat(v, f"{prefix}{k}."))
    return res


def some(r, d, p=0.5):
    """A random part of the given fields."""
    return {k: v() if callable(v) else v for k, v in d.items() if r.random() < p}


def photo(w, h, seed, noise=4):
    """Soft shapes, coloured discs with hard edges and some noise, as photographs have them."""
    g = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    a = np.zeros((h, w, 3))
    for c in range(3):
        for _ in range(4):
            a[..., c] += np.sin(g.uniform(0, 14) * x + g.uniform(0, 14) * y + g.uniform(0, 6.3))
    for _ in range(4):
        cx, cy, r = g.uniform(0.1, 0.9, 3)
        a[(x - cx) ** 2 + (y - cy) ** 2 < (r / 6) ** 2] = g.uniform(-3, 3, 3)
    return Image.fromarray((127 + 35 * a + g.normal(0, noise, a.shape)).clip(0, 255).astype(np.uint8))


def steps(model, batches, spec, dtype):
    model = copy.deepcopy(model).to(dtype).train()
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    no = set(spec.get("no_decay", []))
    groups = [{"params": [p for n, p in named.items() if n not in no], "weight_decay": spec["weight_decay"]}, {"params": [p for n, p in named.items() if n in no], "weight_decay": 0.0}]
    groups = [g for g in groups if g["params"]]
    if spec["optimizer"] == "sgd":
        o = torch.optim.SGD(groups, lr=spec["lr"], momentum=spec.get("momentum", 0), dampening=spec.get("dampening", 0), nesterov=spec.get("nesterov", False))
    else:
        o = torch.optim.AdamW(groups, lr=spec["lr"], betas=spec["betas"], eps=spec["eps"])
    losses, norms = [], []
    for lr, b in zip(spec["lrs"], batches):
        for g in o.param_groups:
            g["lr"] = lr
        o.zero_grad()
        loss = model(**{k: v.to(dtype) if v.is_floating_point() else v.bool() if k == "bool_masked_pos" else v for k, v in b.items()}).loss
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(named.values(), spec["max_grad_norm"] or 1e30)))
        o.step()
        losses.append(loss.item())
    return model, losses, norms


def saved(model, folder):
    model.save_pretrained(folder)
    result = load_file(folder / "model.safetensors")
    shutil.rmtree(folder)
    return result


def adapter_of(r, model):
    """A random LoraConfig for the model, as arguments."""
    from transformers.pytorch_utils import Conv1D
    linear = sorted({n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, (torch.nn.Linear, Conv1D)) and ("layer" in n or ".h." in n or "block" in n)})
    c = dict(r=r.choice([1, 2, 4]), lora_alpha=r.choice([1, 4, 6]), target_modules=r.choice(["all-linear", r.sample(linear, r.randint(1, min(3, len(linear)))), r.sample(linear, 1), ".*1.*(" + "|".join(r.sample(linear, 1)) + ")"]))
    heads = [n for n, m in model.named_children() if n in ("classifier", "score", "qa_outputs", "head", "cls", "lm_head", "pre_classifier", "sop_classifier", "classification_head")]
    if heads and r.random() < 0.6 and c["target_modules"] != "all-linear":
        c["modules_to_save"] = r.sample(heads, r.randint(1, len(heads)))
    c |= r.choice([{}, {}, dict(bias="all"), dict(bias="lora_only"), dict(use_rslora=True), dict(layers_to_transform=[1]), dict(layers_to_transform=0), dict(rank_pattern={linear[0]: 3}), dict(alpha_pattern={"1.*" + linear[0]: 9}),
                   dict(exclude_modules=[linear[0]]), dict(exclude_modules=".*0.*"), dict(ensure_weight_tying=True)])
    if isinstance(c["target_modules"], str):
        c.pop("layers_to_transform", None)
    return c


def training_case(d, family, model, r, batches, what):
    """Writes a case of training steps with a random optimizer, schedule and perhaps an adapter; why the reference refuses it, or None. The tolerance is 20 times what runs in fp32 and
    float64 disagree on, or a hundredth of what moved; weights whose gradient is noise alone are left out."""
    shutil.rmtree(d, ignore_errors=True)
    model.save_pretrained(d / "model")
    sgd = r.random() < 0.3
    n = len(batches)
    lr = r.choice([1e-3, 5e-3] if not sgd else [0.01, 0.05])
    spec = dict(optimizer="sgd" if sgd else "adamw", lr=lr, weight_decay=r.choice([0.0, 0.01, 0.1]), max_grad_norm=r.choice([None, 0.3, 1.0]), lrs=r.choice([[lr] * n, [lr * i / n for i in range(n)], [lr * (n - i) / n for i in range(n)]]))
    spec |= dict(momentum=r.choice([0, 0.9]), dampening=0, nesterov=False) if sgd else dict(betas=r.choice([[0.9, 0.999], [0.8, 0.95]]), eps=r.choice([1e-8, 1e-6]))
    if sgd and spec["momentum"]:
        spec |= r.choice([{}, dict(nesterov=True), dict(dampening=0.1)])
    architecture = type(model).__name__
    try:
        lora = adapter_of(r, model) if r.random() < 0.4 else None
        if lora:
            import peft
            model = peft.get_peft_model(model, peft.LoraConfig(lora_dropout=0.0, **lora))
            with torch.no_grad():
                for k, p in model.named_parameters():
                    if "lora_B" in k:
                        p.copy_(0.1 * torch.randn(p.shape))
            model.save_pretrained(d / "adapter_init")
        names = [k for k, p in model.named_parameters() if p.requires_grad]
        spec["no_decay"] = r.choice([[], [k for k in names if k.endswith("bias") or "norm" in k.lower()], r.sample(names, len(names) // 3)])
        save_file({f"{k}.{i}": v.clone().contiguous() for i, b in enumerate(batches) for k, v in b.items()}, d / "batches.safetensors")
        one, losses, norms = steps(model, batches, spec, torch.float32)
        two, losses64, _ = steps(model, batches, spec, torch.float64)
    except Exception as e:
        shutil.rmtree(d)
        return f"{d}: {architecture}: {type(e).__name__}: {str(e)[:150]}"
    if not all(abs(x) < 1e9 for x in losses):
        shutil.rmtree(d)
        return f"{d}: no finite loss"
    if lora:
        one.save_pretrained(d / "adapter")
        two.save_pretrained(d / "adapter64")
        before, after, exact = (load_file(d / f / "adapter_model.safetensors") for f in ("adapter_init", "adapter", "adapter64"))
        shutil.rmtree(d / "adapter64")
        for readme in d.glob("*/README.md"):
            readme.unlink()
        spec.update(lora={**lora, "lora_dropout": 0.0, "init": "adapter_init", "adapter": "adapter"}, after="adapter/adapter_model.safetensors")
    else:
        before = load_file(d / "model/model.safetensors")
        after, exact = (saved(m, d / "tmp") for m in (one, two))
        save_file(after, d / "after.safetensors")
        spec["after"] = "after.safetensors"
    noise = {k: float((v.double() - exact[k].double()).abs().max()) for k, v in after.items()}
    move = max([float((v - before[k]).abs().max()) for k, v in after.items() if k in before and not k.endswith("num_batches_tracked")] or [0])
    none = ("qa_outputs.bias",) + (("classifier.bias",) if architecture.endswith("ForMultipleChoice") else ())  # what adds to every score alike
    skip = [k for k, v in noise.items() if v > 2e-5 or k.endswith(none)]
    spec.update(batches="batches.safetensors", losses=losses, grad_norms=norms, loss_atol=max(1e-5, 20 * max(abs(a - b) for a, b in zip(losses, losses64))), after_skip=skip,
                after_atol=max(2e-6, 20 * max([v for k, v in noise.items() if k not in skip] or [0]), 0.01 * move))
    (d / "case.json").write_text(json.dumps(dict(family=family, architecture=architecture, what=what, train=spec)) + "\n")
    return None
