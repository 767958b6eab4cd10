#!/usr/bin/env python3
"""Many tiny image models with randomly drawn configurations and what transformers computes for them, in the form that check.py reads; nothing of it is committed.
usage: vision_fuzz.py FOLDER [--seed N] [--count N] [--only family] [--train]    (needs transformers 5.23, torch 2.10)
then   check.py --bin ./headstart --root FOLDER
A configuration that the reference itself cannot build or run is drawn again, so every case has an answer."""
import argparse, json, random, shutil, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
import transformers as t
from tiny_models import flat, randomise, some, training_case

ap = argparse.ArgumentParser()
ap.add_argument("folder", type=Path)
ap.add_argument("--seed", type=int, default=1)
ap.add_argument("--count", type=int, default=12, help="cases a family")
ap.add_argument("--only", default="")
ap.add_argument("--train", action="store_true", help="training steps in place of outputs")
args = ap.parse_args()
torch.set_num_threads(1)
t.logging.set_verbosity_error()
ACTS = ["gelu", "gelu_new", "relu", "silu", "quick_gelu", "gelu_pytorch_tanh", "mish", "tanh", "relu6", "leaky_relu"]


def write(name, cls, config, inputs, hidden, attn, kwargs, seed):
    if args.train:
        return train(name, cls, config, inputs, kwargs, seed)
    model = getattr(t, cls)._from_config(config, attn_implementation="eager") if attn else getattr(t, cls)(config)
    model.eval()
    randomise(model, seed)
    g = torch.Generator().manual_seed(seed + 100)
    tensors = {k: v if isinstance(v, torch.Tensor) else torch.randn(*v, generator=g) for k, v in inputs.items()}
    call = {k: v.bool() if k == "bool_masked_pos" else v for k, v in tensors.items()}
    extra = dict(kwargs)
    if hidden:
        extra["output_hidden_states"] = True
    if attn:
        extra["output_attentions"] = True
    with torch.no_grad():
        outputs = flat(model(**call, **extra))
    if not all(v.isfinite().all() for v in outputs.values()):
        raise ValueError("not finite")
    folder = args.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder / "model")
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "inputs.safetensors")
    save_file({k: v.clone().contiguous() for k, v in outputs.items()}, folder / "outputs.safetensors")
    (folder / "case.json").write_text(json.dumps({"family": name.split("/")[0], "architecture": cls, "inputs": {k: list(v.shape) for k, v in tensors.items()},
        "forward": {"atol": 1e-4, "rtol": 1e-3, "output_hidden_states": hidden, "output_attentions": attn, "kwargs": kwargs}}, indent=1) + "\n")


def train(name, cls, config, inputs, kwargs, seed):
    if kwargs or not ("labels" in inputs or "bool_masked_pos" in inputs and "For" in cls):
        raise ValueError("no loss")
    for c in [config] + [getattr(config, x) for x in ("vision_config", "text_config") if hasattr(config, x)]:
        for k in vars(c):
            if "drop" in k and isinstance(getattr(c, k), float):
                setattr(c, k, 0.0)
    model = getattr(t, cls)._from_config(config, attn_implementation="eager") if cls not in ("ResNetForImageClassification",) else getattr(t, cls)(config)
    randomise(model, seed)
    r, g = random.Random(seed), torch.Generator().manual_seed(seed)
    batches = [{k: v if isinstance(v, torch.Tensor) else torch.randn(*v, generator=g) for k, v in inputs.items()} for _ in range(r.randint(2, 4))]
    why = training_case(args.folder / name, name.split("/")[0], model, r, batches, str(config))
    if why:
        raise ValueError(why)


def labels(r, b, config):
    """Labels of every kind, or none; sets the configuration's problem."""
    kind = r.choice(["none", "single", "multi", "regression", "one"])
    n = config.num_labels
    if kind == "single":
        return {"labels": torch.tensor([r.randrange(n) for _ in range(b)])} if n > 1 else {}
    if kind == "multi" and n > 1:
        if r.random() < 0.5:
            config.problem_type = "multi_label_classification"
        return {"labels": torch.tensor([[float(r.randrange(2)) for _ in range(n)] for _ in range(b)])}
    if kind == "regression":
        config.problem_type = "regression"
        return {"labels": torch.randn(b, n) if n > 1 else torch.randn(b)}
    return {}


def names(r):
    n = r.choice([1, 2, 3, 5])
    return dict(num_labels=n)


def px(b, h, w, c):
    return {"pixel_values": (b, c, h, w)}


def mask(r, b, n):
    m = torch.tensor([[r.randrange(2) for _ in range(n)] for _ in range(b)])
    m[:, 0] = 1
    return m


def resnet(r):
    n = r.randint(1, 4)
    c = t.ResNetConfig(embedding_size=r.choice([4, 6, 8]), hidden_sizes=[4 * r.randint(1, 4) for _ in range(n)], depths=[r.randint(1, 2) for _ in range(n)],
        layer_type=r.choice(["basic", "bottleneck"]), num_channels=(k := r.choice([1, 3, 4])), **some(r, dict(hidden_act=r.choice(ACTS),
        downsample_in_first_stage=True, downsample_in_bottleneck=True), 0.4), **names(r))
    cls = r.choice(["ResNetModel", "ResNetForImageClassification"])
    b = r.randint(1, 3)
    return cls, c, {**px(b, r.randint(8, 60), r.randint(8, 60), k), **(labels(r, b, c) if "For" in cls else {})}, r.random() < 0.6, False, {}


def transformer(r, config, families, prefix, **more):
    ph, pw = r.choice([(4, 4), (4, 4), (8, 8), (4, 8), (7, 7), (2, 4)])
    gh, gw = r.choice([(4, 4), (3, 3), (2, 5), (4, 3), (1, 1)])
    square = ph == pw and r.random() < 0.5 or more.pop("square", False)
    if square:
        pw, gw = ph, gh
    k = r.choice([1, 3, 3, 2])
    heads = r.choice([1, 2, 4])
    c = config(hidden_size=heads * r.choice([4, 6, 8]), num_hidden_layers=r.randint(1, 3), num_attention_heads=heads, num_channels=k,
        image_size=ph * gh if square else [ph * gh, pw * gw], patch_size=ph if square else [ph, pw],
        **some(r, dict(hidden_act=r.choice(ACTS), qkv_bias=False, layer_norm_eps=r.choice([1e-3, 1e-6]), hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1), 0.35),
        **{a: v() for a, v in more.items()}, **names(r))
    return c, ph, pw, gh, gw, k


def vit_like(r, family):
    config = dict(vit=t.ViTConfig, deit=t.DeiTConfig)[family]
    name = dict(vit="ViT", deit="DeiT")[family]
    classes = ["Model", "ForImageClassification", "ForMaskedImageModeling"] + (["ForImageClassificationWithTeacher"] if family == "deit" else [])
    cls = name + r.choice(classes)
    c, ph, pw, gh, gw, k = transformer(r, config, None, None, intermediate_size=lambda: r.choice([8, 12, 20]))
    if "Masked" in cls:
        c.image_size, c.patch_size, gw, pw, gh = ph * 3, ph, 3, ph, 3
        c.encoder_stride = ph
    if cls == name + "Model" and r.random() < 0.3:
        c.pooler_output_size, c.pooler_act = 5, r.choice(["tanh", "relu", "gelu"])
    h, w, kw, b = ph * gh, pw * gw, {}, r.randint(1, 2)
    if r.random() < 0.4 and "Masked" not in cls:
        kw = {"interpolate_pos_encoding": True}
        h, w = ph * r.randint(1, 6) + r.choice([0, 0, 1]), pw * r.randint(1, 6) + r.choice([0, 0, 1])
    x = px(b, h, w, k)
    if "Masked" in cls and r.random() < 0.8:
        x["bool_masked_pos"] = mask(r, b, gh * gw)
    if cls.endswith("ForImageClassification"):
        x.update(labels(r, b, c))
    return cls, c, x, r.random() < 0.6, r.random() < 0.5, kw


def dinov2_like(r, name, config, more):
    cls = name + r.choice(["Model", "ForImageClassification"])
    c, ph, pw, gh, gw, k = transformer(r, config, None, None, mlp_ratio=lambda: r.choice([1, 2, 4]), **more)
    for a, v in some(r, dict(use_swiglu_ffn=True, layerscale_value=0.5, drop_path_rate=0.2, use_mask_token=False), 0.3).items():
        if hasattr(c, a):
            setattr(c, a, v)
    b = r.randint(1, 2)
    h, w = (ph * gh, pw * gw) if r.random() < 0.4 else (ph * r.randint(1, 6) + r.choice([0, 0, 1]), pw * r.randint(1, 6) + r.choice([0, 0, 1]))
    x = px(b, h, w, k)
    if cls.endswith("Model") and getattr(c, "use_mask_token", True) and r.random() < 0.4:
        x["bool_masked_pos"] = mask(r, b, (h // ph) * (w // pw))
    if "For" in cls:
        x.update(labels(r, b, c))
    return cls, c, x, r.random() < 0.6, r.random() < 0.5, {}


def convnext(r, v2=False):
    n = r.randint(1, 4)
    more = some(r, dict(hidden_act=r.choice(ACTS), layer_norm_eps=1e-3, drop_path_rate=0.3, patch_size=r.choice([2, 3, 4])), 0.35)
    if not v2 and r.random() < 0.3:
        more["layer_scale_init_value"] = r.choice([0.0, 0.5])
    c = (t.ConvNextV2Config if v2 else t.ConvNextConfig)(num_stages=n, hidden_sizes=[r.choice([4, 6, 10]) for _ in range(n)], depths=[r.randint(1, 2) for _ in range(n)],
        num_channels=(k := r.choice([1, 3])), **more, **names(r))
    cls = ("ConvNextV2" if v2 else "ConvNext") + r.choice(["Model", "ForImageClassification"])
    b = r.randint(1, 2)
    return cls, c, {**px(b, r.randint(32, 50), r.randint(32, 60), k), **(labels(r, b, c) if "For" in cls else {})}, r.random() < 0.6, False, {}


def swin(r):
    n = r.randint(1, 3)
    heads = [r.choice([1, 2]) for _ in range(n)]
    size = r.choice([16, 24, 32, [16, 32], [24, 40]])
    c = t.SwinConfig(image_size=size, patch_size=r.choice([2, 4, 4]), embed_dim=r.choice([4, 8, 12]), depths=[r.randint(1, 3) for _ in range(n)], num_heads=heads,
        window_size=r.choice([2, 3, 4, 7]), mlp_ratio=r.choice([1.0, 2.0, 2.5, 4.0]), num_channels=(k := r.choice([1, 3])),
        **some(r, dict(hidden_act=r.choice(ACTS), qkv_bias=False, drop_path_rate=0.3, layer_norm_eps=1e-3, use_absolute_embeddings=True, hidden_dropout_prob=0.1), 0.3), **names(r))
    cls = "Swin" + r.choice(["Model", "ForImageClassification", "ForMaskedImageModeling"])
    h, w = size if isinstance(size, list) else (size, size)
    kw, b = {}, r.randint(1, 2)
    if "Masked" in cls:
        h = w = size = 32
        c.image_size = 32
        c.encoder_stride = c.patch_size * 2 ** (n - 1)
    elif r.random() < 0.5:
        h, w = r.randint(9, 60), r.randint(9, 60)
        if c.use_absolute_embeddings:
            kw = {"interpolate_pos_encoding": True}
    x = px(b, h, w, k)
    if "Masked" in cls:
        x["bool_masked_pos"] = mask(r, b, (32 // c.patch_size) ** 2)
    if cls.endswith("ForImageClassification"):
        x.update(labels(r, b, c))
    return cls, c, x, r.random() < 0.6, r.random() < 0.5, kw


def segments(r, b, h, w, n):
    x = torch.randint(0, max(n, 2), (b, h, w), generator=torch.Generator().manual_seed(r.randrange(999)))
    x[torch.rand(b, h, w, generator=torch.Generator().manual_seed(r.randrange(999))) < 0.2] = 255
    return {"labels": x}


def mobilenet_v2(r):
    c = t.MobileNetV2Config(depth_multiplier=r.choice([0.1, 0.25, 0.35]), depth_divisible_by=r.choice([2, 4, 8]), min_depth=r.choice([2, 4, 8]), num_channels=(k := r.choice([1, 3])),
        **some(r, dict(expand_ratio=r.choice([1.0, 2.0, 3.5]), output_stride=r.choice([8, 16, 32]), first_layer_is_expansion=False, finegrained_output=False, hidden_act=r.choice(ACTS),
        tf_padding=False, layer_norm_eps=1e-5), 0.45), **names(r))
    cls = "MobileNetV2" + r.choice(["Model", "ForImageClassification", "ForSemanticSegmentation"])
    h, w, b = r.randint(16, 70), r.randint(16, 70), r.randint(1, 2)
    x = px(b, h, w, k)
    if "Semantic" in cls and r.random() < 0.6 and c.num_labels > 1:
        x.update(segments(r, b, h, w, c.num_labels))
    elif "Classification" in cls:
        x.update(labels(r, b, c))
    return cls, c, x, r.random() < 0.6, False, {}


def segformer(r):
    n = r.randint(1, 4)
    heads = [r.choice([1, 2]) for _ in range(n)]
    c = t.SegformerConfig(num_encoder_blocks=n, depths=[r.randint(1, 2) for _ in range(n)], sr_ratios=[r.choice([1, 2, 4]) for _ in range(n)],
        hidden_sizes=[h * r.choice([4, 6]) for h in heads], patch_sizes=[r.choice([3, 5, 7]) for _ in range(n)], strides=[r.choice([4, 2]) if i == 0 else r.choice([1, 2]) for i in range(n)],
        num_attention_heads=heads, mlp_ratios=[r.choice([1, 2, 4]) for _ in range(n)], decoder_hidden_size=r.choice([8, 12]), num_channels=(k := r.choice([1, 3])),
        **some(r, dict(hidden_act=r.choice(ACTS), semantic_loss_ignore_index=r.choice([0, 255]), reshape_last_stage=False), 0.3), **names(r))
    cls = "Segformer" + r.choice(["Model", "ForImageClassification", "ForSemanticSegmentation", "ForSemanticSegmentation"])
    h, w, b = r.randint(32, 70), r.randint(32, 70), r.randint(1, 2)
    if not c.reshape_last_stage:
        h = w = 32
    x = px(b, h, w, k)
    if "Semantic" in cls and r.random() < 0.6:
        x.update(segments(r, b, h, w, c.num_labels))
    elif "Classification" in cls:
        x.update(labels(r, b, c))
    return cls, c, x, r.random() < 0.6, r.random() < 0.5, {}


def clip(r):
    p = r.choice([4, 8, 7])
    size = p * r.randint(1, 4)
    k = r.choice([1, 3])
    vh, th = r.choice([1, 2, 4]), r.choice([1, 2, 4])
    proj = r.choice([4, 6])
    vc = dict(hidden_size=vh * r.choice([4, 6]), intermediate_size=r.choice([8, 20]), num_hidden_layers=r.randint(1, 2), num_attention_heads=vh, image_size=size, patch_size=p, num_channels=k,
              projection_dim=proj, **some(r, dict(hidden_act=r.choice(ACTS), layer_norm_eps=1e-3, attention_dropout=0.1), 0.3))
    eos = r.choice([2, 49, 30, 49407 % 50])
    tc = dict(vocab_size=50, hidden_size=th * r.choice([4, 6]), intermediate_size=r.choice([8, 20]), num_hidden_layers=r.randint(1, 2), num_attention_heads=th, max_position_embeddings=9,
              eos_token_id=eos, bos_token_id=0, pad_token_id=1, projection_dim=proj, **some(r, dict(hidden_act=r.choice(ACTS), layer_norm_eps=1e-3), 0.3))
    cls = r.choice(["CLIPModel", "CLIPModel", "CLIPTextModel", "CLIPTextModelWithProjection", "CLIPVisionModel", "CLIPVisionModelWithProjection", "CLIPForImageClassification"])
    b, n, s = r.randint(1, 3), r.randint(1, 3), r.randint(2, 9)
    x, kw = {}, {}
    if "Text" not in cls:
        h, w = size, size
        if r.random() < 0.4 and "Classif" not in cls:
            kw = {"interpolate_pos_encoding": True}
            h, w = p * r.randint(1, 5), p * r.randint(1, 5)
        x.update(px(b, h, w, k))
    if "Text" in cls or cls == "CLIPModel":
        ids = torch.randint(3, 50, (n, s), generator=torch.Generator().manual_seed(r.randrange(999)))
        for row in ids:
            if r.random() < 0.8:
                row[r.randrange(s)] = eos
        x["input_ids"] = ids
        if r.random() < 0.5:
            m = torch.ones(n, s, dtype=torch.long)
            for row in m:
                row[r.randint(1, s):] = 0
            x["attention_mask"] = m
        if r.random() < 0.2:
            x["position_ids"] = torch.arange(s).flip(0)[None]
    if cls == "CLIPModel" and b == n and r.random() < 0.7:
        kw = {**kw, "return_loss": True}
    if "Text" in cls:
        c = t.CLIPTextConfig(**tc)
    elif "Vision" in cls:
        c = t.CLIPVisionConfig(**vc)
    else:
        c = t.CLIPConfig(text_config=tc, vision_config=vc, projection_dim=proj, **names(r))
        if "For" in cls:
            x.update(labels(r, b, c))
    return cls, c, x, r.random() < 0.6, r.random() < 0.5, kw


FAMILIES = {
    "resnet": resnet, "vit": lambda r: vit_like(r, "vit"), "deit": lambda r: vit_like(r, "deit"),
    "dinov2": lambda r: dinov2_like(r, "Dinov2", t.Dinov2Config, {}),
    "dinov2_with_registers": lambda r: dinov2_like(r, "Dinov2WithRegisters", t.Dinov2WithRegistersConfig, dict(num_register_tokens=lambda: r.choice([1, 4]))),
    "convnext": convnext, "convnextv2": lambda r: convnext(r, True), "swin": swin, "mobilenet_v2": mobilenet_v2, "segformer": segformer, "clip": clip,
}
for family, draw in FAMILIES.items():
    if args.only not in family:
        continue
    made = tried = 0
    while made < args.count and tried < 10 * args.count:
        seed = args.seed * 1000 + tried
        tried += 1
        r = random.Random(f"{family}{seed}")
        torch.manual_seed(seed)
        try:
            write(f"{family}/{seed}", *draw(r), seed)
            made += 1
        except (ValueError, RuntimeError, TypeError, ZeroDivisionError, IndexError, AttributeError) as e:
            print(f"{family}/{seed}: drawn again: {type(e).__name__}: {str(e).splitlines()[0][:150] if str(e) else ''}", file=sys.stderr)
    print(f"{family}: {made} cases")
