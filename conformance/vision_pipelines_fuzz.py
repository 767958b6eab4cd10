#!/usr/bin/env python3
"""Random golden cases of the image pipelines in the form of shared/golden: tiny models of every family under processors with drawn settings, with drawn call arguments. A case is TASK/FAMILY-SEED.
Of a segment score and label are compared, not the PNG of its mask. Made with transformers 5.23.0, torch 2.10.0, torchvision.
usage: vision_pipelines_fuzz.py FOLDER FIRST_SEED COUNT      then check.py --bin conformance/one_jvm.py"""
import json, random, shutil, sys
from pathlib import Path
import torch
import transformers as t
OUT, FIRST, COUNT = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.argv = [sys.argv[0], str(OUT), "--only", "nothing of these"]
import vision_pipelines as V
from tiny_models import randomise

torch.set_num_threads(1)
VIT = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
SIZE = 32
FAMILIES = {
    "vit": (lambda k: t.ViTConfig(image_size=SIZE, patch_size=8, **VIT, **k), "ViT", "ViTImageProcessor"),
    "deit": (lambda k: t.DeiTConfig(image_size=SIZE, patch_size=8, **VIT, **k), "DeiT", "DeiTImageProcessor"),
    "dinov2": (lambda k: t.Dinov2Config(image_size=28, patch_size=14, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, **k), "Dinov2", "BitImageProcessor"),
    "dinov2_with_registers": (lambda k: t.Dinov2WithRegistersConfig(image_size=28, patch_size=14, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, **k), "Dinov2WithRegisters", "BitImageProcessor"),
    "resnet": (lambda k: t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], **k), "ResNet", "ConvNextImageProcessor"),
    "convnext": (lambda k: t.ConvNextConfig(num_stages=2, hidden_sizes=[8, 12], depths=[1, 1], **k), "ConvNext", "ConvNextImageProcessor"),
    "convnextv2": (lambda k: t.ConvNextV2Config(num_stages=2, hidden_sizes=[8, 12], depths=[1, 1], **k), "ConvNextV2", "ConvNextImageProcessor"),
    "swin": (lambda k: t.SwinConfig(image_size=SIZE, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4, **k), "Swin", "ViTImageProcessor"),
    "mobilenet_v2": (lambda k: t.MobileNetV2Config(depth_multiplier=0.1, depth_divisible_by=4, min_depth=4, **k), "MobileNetV2", "MobileNetV2ImageProcessor"),
    "segformer": (lambda k: t.SegformerConfig(num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 12], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=10, **k),
                  "Segformer", "SegformerImageProcessor"),
}


def processor(r, family):
    kind = FAMILIES[family][2]
    p = {"image_processor_type" if r.random() < 0.8 else "feature_extractor_type": kind}
    if "feature_extractor_type" in p:
        p["feature_extractor_type"] = kind.replace("ImageProcessor", "FeatureExtractor")
    fixed = family in ("vit", "deit", "swin")
    if kind == "ConvNextImageProcessor":
        p["size"] = {"shortest_edge": r.choice([32, 40, 384])}
        p["crop_pct"] = r.choice([0.875, 0.9, 1.0])
    elif kind in ("ViTImageProcessor", "SegformerImageProcessor"):
        p["size"] = {"height": SIZE, "width": SIZE} if r.random() < 0.7 or not fixed else SIZE
    elif family in ("dinov2", "dinov2_with_registers", "mobilenet_v2"):
        p["size"] = {"shortest_edge": r.choice([40, 33])}
        p["crop_size"] = {"height": 28, "width": 28}
    elif kind == "DeiTImageProcessor":
        p.update(size={"height": 40, "width": 40}, crop_size={"height": SIZE, "width": SIZE})
    for k, v in dict(do_normalize=lambda: r.random() < 0.5, do_rescale=lambda: True, rescale_factor=lambda: r.choice([1 / 255, 1 / 127.5]), image_mean=lambda: r.choice([[0.5, 0.5, 0.5], [0.48, 0.45, 0.4]]),
                     image_std=lambda: r.choice([[0.5, 0.5, 0.5], [0.2, 0.22, 0.25]]), resample=lambda: r.choice([0, 2, 3]) if r.random() < 0.8 else 1, do_convert_rgb=lambda: True).items():
        if r.random() < 0.35:
            p[k] = v()
    return p


def labels(r):
    n = r.choice([1, 2, 3, 7])
    kw = dict(num_labels=n) if r.random() < 0.4 else dict(id2label={i: x for i, x in enumerate(["cat", "dog", "naïve café", "tench, Tinca tinca", "x", "y", "z"][:n])})
    if r.random() < 0.3:
        kw["problem_type"] = r.choice(["multi_label_classification", "regression", "single_label_classification"])
    return kw


def one(task, family, seed):
    r = random.Random(f"{task}-{family}-{seed}")
    config, name, _ = FAMILIES[family]
    k = labels(r) if "feature" not in task else {}
    c = config(k)
    kw = {}
    if task == "image-classification":
        cls = getattr(t, name + "ForImageClassification")
        if r.random() < 0.6:
            kw["top_k"] = r.choice([1, 2, 5, 100, None])
        if r.random() < 0.5:
            kw["function_to_apply"] = r.choice(["softmax", "sigmoid", "none", "SOFTMAX", "None"])
    elif task == "image-feature-extraction":
        cls = getattr(t, name + "Model")
        if r.random() < 0.6:
            kw["pool"] = r.random() < 0.7
        if r.random() < 0.2:
            kw["return_tensors"] = False
    else:
        cls = getattr(t, name + "ForSemanticSegmentation")
        if r.random() < 0.5:
            kw["subtask"] = "semantic"
        for a, v in dict(threshold=0.4, mask_threshold=0.3, overlap_mask_area_threshold=0.6).items():
            if r.random() < 0.3:
                kw[a] = v
    d = OUT / task / f"{family}-{seed}"
    shutil.rmtree(d, ignore_errors=True)
    (d / "model").mkdir(parents=True)
    model = cls(c).eval()
    randomise(model, seed, r.choice([1.0, 3.0]))
    model.save_pretrained(d / "model")
    p = processor(r, family)
    (d / "model/preprocessor_config.json").write_text(json.dumps(p))
    files = V.images(d)
    pipe = t.pipeline(task, model=str(d / "model"), device="cpu")
    expected = [pipe(str(d / f), **kw) for f in files]
    (d / "case.json").write_text(json.dumps(dict(family=family, what=f"{kw} {p}", pipeline=dict(task=task, kwargs=kw, inputs=files, expected=V.rounded(expected), atol=2e-4, rtol=1e-3)), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    made = 0
    for task, families in {"image-classification": list(FAMILIES), "image-feature-extraction": list(FAMILIES), "image-segmentation": ["segformer", "mobilenet_v2"]}.items():
        for family in families:
            for seed in range(FIRST, FIRST + COUNT):
                try:
                    one(task, family, seed)
                    made += 1
                except Exception as e:
                    print(f"{task}/{family}-{seed}: refused: {type(e).__name__}: {str(e).strip()[:160]}")
                    shutil.rmtree(OUT / task / f"{family}-{seed}", ignore_errors=True)
    print(made, "cases")
