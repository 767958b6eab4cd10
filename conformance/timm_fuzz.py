#!/usr/bin/env python3
"""Tiny checkpoints in timm's hub layout of every kind that Headstart reads (ResNet variants, vision transformers, ConvNeXT), and torchvision's and timm's outputs,
in the form that check.py reads; nothing of it is committed but what vision_cases.py makes.
usage: timm_fuzz.py FOLDER [--only NAME]     (needs timm, torchvision, transformers, torch 2.10)
The features of cases whose name ends in -features are those of transformers' TimmWrapperModel (last_hidden_state, pooler_output)."""
import argparse, json, shutil
from pathlib import Path
import timm, torch, torchvision
from safetensors.torch import save_file
from tiny_models import randomise

ap = argparse.ArgumentParser()
ap.add_argument("folder", type=Path)
ap.add_argument("--only", default="")
args = ap.parse_args()
torch.set_num_threads(1)


def write(name, model, config, size, outputs, prefix=""):
    folder = args.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    save_file({prefix + k: v.contiguous().clone() for k, v in model.state_dict().items()}, folder / "model/model.safetensors")
    if config is not None:
        (folder / "model/config.json").write_text(json.dumps(config, indent=1))
    h, w = size
    x = torch.randn(2, model_channels(model), h, w, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        y = outputs(model, x)
    save_file({"pixel_values": x}, folder / "inputs.safetensors")
    save_file({k: v.contiguous().clone() for k, v in y.items()}, folder / "outputs.safetensors")
    (folder / "case.json").write_text(json.dumps({"family": "timm", "forward": {"atol": 1e-4, "rtol": 1e-3}}))


def model_channels(model):
    return next(p for p in model.parameters() if p.ndim == 4).shape[1]


def case(name, architecture, size=(32, 32), config=None, drop=(), prefix="", seed=5, **kw):
    if args.only not in name:
        return
    model = timm.create_model(architecture, **kw).eval()
    randomise(model, seed, ones=("weight", "gamma"))
    cfg = {"architecture": architecture, "num_classes": model.num_classes, "num_features": model.num_features, "model_args": {k: v for k, v in kw.items() if k not in drop},
           "pretrained_cfg": {"input_size": [3, *size], "interpolation": "bicubic", "crop_pct": 0.9, "mean": [0.5] * 3, "std": [0.5] * 3}, **(config or {})}
    if model.num_classes:
        write("timm/" + name, model, cfg, size, lambda m, x: {"logits": m(x)}, prefix)
    else:
        def features(m, x):
            last = m.forward_features(x)
            return {"last_hidden_state": last, "pooler_output": m.forward_head(last, pre_logits=True)}
        write("timm/" + name, model, cfg, size, features, prefix)


R = dict(num_classes=5, layers=[1, 1, 2, 1], channels=[8, 8, 12, 16])
for a in ["resnet18", "resnet34", "resnet26", "resnet50", "resnet101", "resnet10t", "resnet14t", "resnet18d", "resnet26t", "resnet26d", "resnet50c", "resnet50d", "resnet50s", "resnet50t",
          "resnet101d", "resnet200d"]:
    case(a, a, (40, 33), **R)
for a in ["resnext50_32x4d", "resnext50d_32x4d", "resnext101_32x8d"]:
    case(a, a, **{**R, "cardinality": 4, "base_width": 16})
case("wide_resnet101_2", "wide_resnet101_2", **{**R, "base_width": 128})
case("resnet-grey", "resnet18", in_chans=1, **R)
case("resnet-features", "resnet50d", (40, 32), **{**R, "num_classes": 0})
case("resnet-prefix", "resnet18d", prefix="timm_model.", config={"model_type": "timm_wrapper", "architectures": ["TimmWrapperForImageClassification"]}, **R)
case("resnet-wrapper", "resnet18", config={"model_type": "timm_wrapper", "architectures": ["TimmWrapperForImageClassification"], "label_names": list("abcde")}, **R)

V = dict(num_classes=4, embed_dim=16, depth=2, num_heads=2, img_size=32, patch_size=8)
case("vit", "vit_base_patch16_224", **V)
case("vit-no-img-size", "vit_base_patch16_224", drop=("img_size", "patch_size", "embed_dim", "depth"), **V)
case("vit-features", "vit_base_patch16_224", **{**V, "num_classes": 0})
case("vit-avg", "vit_base_patch16_224", global_pool="avg", **V)
case("vit-avg-features", "vit_base_patch16_224", global_pool="avg", **{**V, "num_classes": 0})
case("vit-avg-config", "vit_base_patch16_224", config={"global_pool": "avg"}, drop=("global_pool",), global_pool="avg", **V)
case("vit-avg-no-fc-norm", "vit_base_patch16_224", global_pool="avg", fc_norm=False, **V)
case("vit-no-class-token", "vit_base_patch16_224", global_pool="avg", class_token=False, **V)
case("vit-layer-scale", "vit_base_patch16_224", init_values=0.1, **V)
case("vit-no-bias", "vit_base_patch16_224", qkv_bias=False, **V)
case("vit-registers", "vit_base_patch16_224", reg_tokens=3, **V)
case("vit-registers-not-placed", "vit_base_patch16_224", reg_tokens=4, no_embed_class=True, **V)
case("vit-not-placed", "vit_base_patch16_224", no_embed_class=True, **V)
case("vit-rectangle", "vit_base_patch16_224", (24, 40), **{**V, "img_size": [24, 40]})
case("vit-rectangle-patch", "vit_base_patch16_224", (24, 40), **{**V, "img_size": [24, 40], "patch_size": [8, 4]})
case("vit-clip", "vit_base_patch16_clip_224", **V)
case("vit-quickgelu", "vit_base_patch16_clip_quickgelu_224", **V)
case("vit-dinov2", "vit_small_patch14_dinov2", **{**V, "num_classes": 0})
case("vit-dinov2-reg4", "vit_small_patch14_reg4_dinov2", **{**V, "num_classes": 0})
case("vit-dinov2-giant", "vit_giant_patch14_dinov2", **{**V, "num_classes": 0, "embed_dim": 24, "mlp_ratio": 4})
case("vit-grey", "vit_tiny_patch16_224", in_chans=1, **V)
case("deit", "deit_tiny_patch16_224", **V)
case("deit3", "deit3_small_patch16_224", **V)
case("deit-distilled", "deit_tiny_distilled_patch16_224", **V)
case("deit-distilled-features", "deit_tiny_distilled_patch16_224", **{**V, "num_classes": 0})

C = dict(num_classes=4, depths=[1, 2, 1, 1], dims=[6, 8, 10, 12])
for a in ["convnext_tiny", "convnext_atto", "convnext_base", "convnextv2_atto", "convnextv2_tiny", "convnext_tiny_hnf", "convnext_xxlarge", "convnext_large_mlp"]:
    more = {"head_hidden_size": 7} if a == "convnext_large_mlp" else {}
    case(a, a, (64, 40), **C, **more)
case("convnext-features", "convnext_tiny", (64, 64), **{**C, "num_classes": 0})
case("convnextv2-features", "convnextv2_tiny", (64, 64), **{**C, "num_classes": 0})

TV = torchvision.models.resnet
for name, model in {"resnet18": TV.ResNet(TV.BasicBlock, [1, 1, 1, 1], num_classes=4), "resnet50": TV.ResNet(TV.Bottleneck, [1, 1, 1, 1], num_classes=4),
                    "resnext": TV.ResNet(TV.Bottleneck, [1, 1, 1, 1], num_classes=4, groups=32, width_per_group=4),
                    "wide": TV.ResNet(TV.Bottleneck, [1, 1, 1, 1], num_classes=4, width_per_group=128)}.items():
    if args.only in "torchvision-" + name:
        randomise(model.eval(), 3, ones=("weight", "gamma"))
        write("torchvision/" + name, model, {}, (40, 32), lambda m, x: {"logits": m(x)})
