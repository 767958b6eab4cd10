#!/usr/bin/env python3
"""Image tasks with their call arguments on tiny random checkpoints and what transformers' pipelines answer, in the form that check.py reads.
usage: vision_pipelines.py FOLDER [--only NAME]     (needs transformers 5.23, torch 2.10, torchvision, timm, Pillow)
Of a segment only score and label are compared here: masks are PNGs, whose bytes depend on the encoder (ImagePipelineTest compares the pixels)."""
import argparse, json, shutil
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
import transformers as t
from tiny_models import randomise

ap = argparse.ArgumentParser()
ap.add_argument("folder", type=Path)
ap.add_argument("--only", default="")
args = ap.parse_args()
torch.set_num_threads(1)
t.logging.set_verbosity_error()


def photo(w, h, seed):
    g = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    a = np.stack([np.sin(g.uniform(1, 12) * x + g.uniform(1, 12) * y + g.uniform(0, 6)) for _ in range(3)], -1)
    return Image.fromarray((127 + 110 * a + g.normal(0, 5, a.shape)).clip(0, 255).astype(np.uint8))


def images(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(50, 40, 1).save(folder / "a.png")
    photo(33, 61, 2).save(folder / "b.jpg", quality=95, subsampling=0, exif=exif)
    photo(40, 40, 3).convert("L").save(folder / "c.png")
    return ["a.png", "b.jpg", "c.png"]


def rounded(x):
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items() if k != "mask"}
    if isinstance(x, (list, tuple)):
        return [rounded(v) for v in x]
    return x


def case(name, task, model, processor, kwargs=None, tokenizer=None, files=None, **more):
    if args.only not in name:
        return
    folder = args.folder / "pipelines" / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    model.eval()
    randomise(model, 3, more.pop("scale", 1.0))
    model.save_pretrained(folder / "model")
    (folder / "model/preprocessor_config.json").write_text(json.dumps(processor))
    if tokenizer:
        for k, v in tokenizer.items():
            (folder / "model" / k).write_text(v)
    all_files = images(folder)
    use = files or all_files
    p = t.pipeline(task, model=str(folder / "model"), device="cpu")
    expected = [p(str(folder / f), **(kwargs or {})) for f in use]
    (folder / "case.json").write_text(json.dumps({"family": "pipelines", "pipeline": {"task": task, "kwargs": kwargs or {}, "inputs": use, "expected": rounded(expected), "atol": 1e-4, "rtol": 1e-3, **more}}))


vit = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=8)
vp = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}
names = {i: n for i, n in enumerate(["cat", "dog", "naïve café", "tench, Tinca tinca", "x", "y", "z"])}
C = lambda **k: t.ViTForImageClassification(t.ViTConfig(**vit, **{"id2label": names, **k}))
for label, kw in {"default": {}, "top-1": {"top_k": 1}, "top-50": {"top_k": 50}, "top-null": {"top_k": None}, "sigmoid": {"function_to_apply": "sigmoid", "top_k": 3},
                  "none": {"function_to_apply": "none"}, "softmax": {"function_to_apply": "SOFTMAX"}}.items():
    case(f"classification-{label}", "image-classification", C(), vp, kw)
case("classification-multi", "image-classification", C(problem_type="multi_label_classification"), vp)
case("classification-regression", "image-classification", C(problem_type="regression"), vp)
case("classification-one", "image-classification", t.ViTForImageClassification(t.ViTConfig(**vit, num_labels=1)), vp)
case("classification-1000", "image-classification", t.ViTForImageClassification(t.ViTConfig(**vit, num_labels=1000)), vp, {"top_k": 20})
case("classification-resnet", "image-classification", t.ResNetForImageClassification(t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], id2label=names)),
     {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 40, "crop_pct": 0.875, "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]})
case("classification-dinov2", "image-classification", t.Dinov2ForImageClassification(t.Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, num_labels=4)),
     {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 48}, "crop_size": {"height": 42, "width": 42}})
case("classification-swin", "image-classification", t.SwinForImageClassification(t.SwinConfig(image_size=32, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4, num_labels=4)), vp)
case("classification-mobilenet", "image-classification", t.MobileNetV2ForImageClassification(t.MobileNetV2Config(depth_multiplier=0.1, depth_divisible_by=4, min_depth=4, num_labels=4)),
     {"image_processor_type": "MobileNetV2ImageProcessor", "size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}})
case("classification-clip", "image-classification", t.CLIPForImageClassification(t.CLIPConfig(vision_config=dict(hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
     image_size=32, patch_size=8), text_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=50), num_labels=3)),
     {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}})
for label, kw in {"default": {}, "pool": {"pool": True}}.items():
    case(f"features-vit-{label}", "image-feature-extraction", t.ViTModel(t.ViTConfig(**vit)), vp, kw)
    case(f"features-resnet-{label}", "image-feature-extraction", t.ResNetModel(t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])), {**vp, "image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}}, kw)
    case(f"features-convnext-{label}", "image-feature-extraction", t.ConvNextModel(t.ConvNextConfig(num_stages=2, hidden_sizes=[8, 12], depths=[1, 1])), vp, kw)
    case(f"features-swin-{label}", "image-feature-extraction", t.SwinModel(t.SwinConfig(image_size=32, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4)), vp, kw)
    case(f"features-clip-{label}", "image-feature-extraction", t.CLIPVisionModel(t.CLIPVisionConfig(hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8)), vp, kw)
case("features-classifier", "image-feature-extraction", C(), vp)  # a classifier's checkpoint, without its head
seg = dict(num_encoder_blocks=2, depths=[1, 2], sr_ratios=[2, 1], hidden_sizes=[8, 12], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=10)
sp = {"feature_extractor_type": "SegformerFeatureExtractor", "size": 32, "reduce_labels": True}
case("segmentation", "image-segmentation", t.SegformerForSemanticSegmentation(t.SegformerConfig(**seg, id2label=names)), sp, scale=3.0)
case("segmentation-subtask", "image-segmentation", t.SegformerForSemanticSegmentation(t.SegformerConfig(**seg, id2label=names)), sp, {"subtask": "semantic", "threshold": 0.3}, scale=3.0)
case("segmentation-mobilenet", "image-segmentation", t.MobileNetV2ForSemanticSegmentation(t.MobileNetV2Config(depth_multiplier=0.1, depth_divisible_by=4, min_depth=4, num_labels=4)),
     {"image_processor_type": "MobileNetV2ImageProcessor", "size": {"shortest_edge": 40}, "crop_size": {"height": 33, "width": 33}}, scale=3.0)
y = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=[32, 32], patch_size=8, num_detection_tokens=5, num_labels=4, use_mid_position_embeddings=False)
for th in (0.0, 0.2, 0.9):
    case(f"detection-{th}", "object-detection", t.YolosForObjectDetection(t.YolosConfig(**y)), {"image_processor_type": "YolosImageProcessor", "size": {"shortest_edge": 48, "longest_edge": 64}}, {"threshold": th}, box_atol=1)

golden = Path(__file__).resolve().parents[1] / "../shared/golden/clip/model/model"
if golden.is_dir():
    tok = {f.name: f.read_text() for f in golden.glob("*") if f.name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")}
    cfg = json.loads((golden / "config.json").read_text())
    for label, kw in {"default": {"candidate_labels": ["a cat", "two dogs", "x"]}, "template": {"candidate_labels": ["cat", "dog"], "hypothesis_template": "a {} in the {}."[:6]},
                      "plain": {"candidate_labels": ["a photo", "b", "c", "d"], "hypothesis_template": "{}"}, "one": {"candidate_labels": ["cat"]}}.items():
        case(f"zero-shot-{label}", "zero-shot-image-classification", t.CLIPModel(t.CLIPConfig.from_dict(cfg)), json.loads((golden / "preprocessor_config.json").read_text()), kw, tokenizer=tok)
