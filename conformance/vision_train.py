#!/usr/bin/env python3
"""Training steps of image models: losses and weights after as torch, transformers and peft compute them, in the form that check.py --train reads.
usage: vision_train.py FOLDER [--only NAME]     some of them are in train/src/test/resources/vision-train (needs transformers 5.23, torch 2.10, peft)
Each case is also run in float64: what the two runs disagree on, times 20, is the tolerance; weights whose gradient is noise alone are left out."""
import argparse, json, shutil
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
import transformers as t
from tiny_models import randomise, saved, steps

ap = argparse.ArgumentParser()
ap.add_argument("folder", type=Path)
ap.add_argument("--only", default="")
args = ap.parse_args()
torch.set_num_threads(1)
t.logging.set_verbosity_error()
STEPS = 5


def case(name, cls, config, batches, lora=None, seed=2, **spec):
    if args.only not in name:
        return
    spec = {"optimizer": "adamw", "lr": 2e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01, "max_grad_norm": None, **spec}
    spec.setdefault("lrs", [spec["lr"]] * len(batches))
    if spec["optimizer"] == "sgd":
        del spec["betas"], spec["eps"]
    folder = args.folder / name
    shutil.rmtree(folder, ignore_errors=True)
    model = getattr(t, cls)._from_config(config, attn_implementation="eager")
    randomise(model, seed)
    model.save_pretrained(folder / "model")
    if lora:
        import peft
        torch.manual_seed(seed)
        model = peft.get_peft_model(model, peft.LoraConfig(lora_dropout=0.0, **lora))
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "lora_B" in n:
                    p.copy_(0.1 * torch.randn(p.shape))
        model.save_pretrained(folder / "adapter_init")
    save_file({f"{k}.{i}": v.contiguous() for i, b in enumerate(batches) for k, v in b.items()}, folder / "batches.safetensors")
    one, losses, norms = steps(model, batches, spec, torch.float32)
    two, losses64, _ = steps(model, batches, spec, torch.float64)
    if lora:
        one.save_pretrained(folder / "adapter")
        after = load_file(folder / "adapter/adapter_model.safetensors")
        two.save_pretrained(folder / "adapter64")
        exact = load_file(folder / "adapter64/adapter_model.safetensors")
        shutil.rmtree(folder / "adapter64")
        for readme in folder.glob("*/README.md"):
            readme.unlink()
        spec.update(lora={**lora, "lora_dropout": 0.0, "init": "adapter_init", "adapter": "adapter"}, after="adapter/adapter_model.safetensors")
    else:
        after, exact = (saved(m, folder / "tmp") for m in (one, two))  # under the names of checkpoints, which are not the modules'
        save_file(after, folder / "after.safetensors")
        spec["after"] = "after.safetensors"
    noise = {k: float((v.double() - exact[k].double()).abs().max()) for k, v in after.items()}
    skip = [k for k, v in noise.items() if v > 2e-5]
    spec.update(batches="batches.safetensors", losses=losses, grad_norms=norms, loss_atol=1e-4, after_skip=skip,
                after_atol=max(1e-5, 20 * max([v for k, v in noise.items() if k not in skip] or [0])))
    print(name, "losses", [round(x, 4) for x in losses], "noise", max(abs(a - b) for a, b in zip(losses, losses64)), "after_atol", spec["after_atol"], "skip", len(skip))
    (folder / "case.json").write_text(json.dumps({"family": name.split("/")[0], "architecture": cls, "train": spec}, indent=1) + "\n")


def make(shape, labels, n=STEPS, seed=9):
    g = torch.Generator().manual_seed(seed)
    return [{"pixel_values": torch.randn(shape, generator=g), **labels(g)} for _ in range(n)]


cls = lambda n, b=4: lambda g: {"labels": torch.randint(0, n, (b,), generator=g)}
img = (4, 3, 16, 16)
r = dict(embedding_size=6, hidden_sizes=[8, 12], depths=[1, 2], num_labels=3)
case("resnet/basic-sgd-clip", "ResNetForImageClassification", t.ResNetConfig(**r, layer_type="basic"), make(img, cls(3)), optimizer="sgd", lr=0.02, momentum=0.9, weight_decay=5e-4, max_grad_norm=1.0,
     lrs=[0.0, 0.02, 0.015, 0.01, 0.005])
case("resnet/bottleneck-nesterov", "ResNetForImageClassification", t.ResNetConfig(**r, layer_type="bottleneck", downsample_in_bottleneck=True), make(img, cls(3)), optimizer="sgd", lr=0.02, momentum=0.9,
     nesterov=True, weight_decay=1e-4, no_decay=["resnet.embedder.embedder.normalization.weight", "resnet.embedder.embedder.normalization.bias", "classifier.1.bias"])
case("resnet/adamw-multi-label", "ResNetForImageClassification", t.ResNetConfig(**r, problem_type="multi_label_classification"),
     make(img, lambda g: {"labels": torch.randint(0, 2, (4, 3), generator=g).float()}))
case("mobilenet_v2/sgd", "MobileNetV2ForImageClassification", t.MobileNetV2Config(depth_multiplier=0.1, depth_divisible_by=4, min_depth=4, expand_ratio=2.0, finegrained_output=False, num_labels=3,
     classifier_dropout_prob=0.0), make((8, 3, 128, 128), cls(3, 8), 2), optimizer="sgd", lr=0.001, momentum=0.9, weight_decay=4e-5)
v = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=4)
case("vit/sgd", "ViTForImageClassification", t.ViTConfig(**v, num_labels=4), make(img, cls(4)), optimizer="sgd", lr=0.05, weight_decay=0.0)
case("vit/masked-image", "ViTForMaskedImageModeling", t.ViTConfig(**v, encoder_stride=4), make(img, lambda g: {"bool_masked_pos": torch.randint(0, 2, (4, 16), generator=g)}), max_grad_norm=0.5)
lo = dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
case("vit/lora", "ViTForImageClassification", t.ViTConfig(**v, num_labels=4), make(img, cls(4)), lora=lo, lr=0.01)
case("vit/lora-all-rslora", "ViTForImageClassification", t.ViTConfig(**v, num_labels=4), make(img, cls(4)), lora=dict(r=3, lora_alpha=6, target_modules="all-linear", use_rslora=True), lr=0.01)
case("dinov2/lora", "Dinov2ForImageClassification", t.Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=16, patch_size=4, num_labels=3), make(img, cls(3)),
     lora=dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj", "fc1"], modules_to_save=["classifier"]), lr=0.01)
case("dinov2/adamw", "Dinov2ForImageClassification", t.Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=16, patch_size=4, num_labels=3, use_mask_token=False), make((4, 3, 20, 12), cls(3)))
case("deit/adamw", "DeiTForImageClassification", t.DeiTConfig(**v, num_labels=3), make(img, cls(3)), max_grad_norm=1.0)
case("convnext/adamw", "ConvNextForImageClassification", t.ConvNextConfig(hidden_sizes=[6, 8], depths=[1, 2], num_stages=2, layer_scale_init_value=0.5, num_labels=3), make(img, cls(3)), max_grad_norm=1.0)
case("convnextv2/adamw", "ConvNextV2ForImageClassification", t.ConvNextV2Config(hidden_sizes=[6, 8], depths=[1, 2], num_stages=2, num_labels=3), make(img, cls(3)))
s = dict(image_size=16, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4, mlp_ratio=2.0, drop_path_rate=0.0)
case("swin/adamw", "SwinForImageClassification", t.SwinConfig(**s, num_labels=3), make(img, cls(3)), max_grad_norm=1.0)
case("swin/lora", "SwinForImageClassification", t.SwinConfig(**s, num_labels=3), make(img, cls(3)), lora=lo, lr=0.01)
case("segformer/adamw", "SegformerForSemanticSegmentation", t.SegformerConfig(num_encoder_blocks=2, depths=[1, 2], sr_ratios=[2, 1], hidden_sizes=[8, 12], patch_sizes=[7, 3], strides=[4, 2],
     num_attention_heads=[1, 2], mlp_ratios=[2, 2], decoder_hidden_size=10, num_labels=3, drop_path_rate=0.0, classifier_dropout_prob=0.0),
     make((2, 3, 32, 24), lambda g: {"labels": torch.where(torch.rand(2, 32, 24, generator=g) < 0.2, 255, torch.randint(0, 3, (2, 32, 24), generator=g))}))
case("clip/classification", "CLIPForImageClassification", t.CLIPConfig(vision_config=dict(v, projection_dim=8), text_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=50),
     num_labels=3), make(img, cls(3)))
case("clip/lora", "CLIPForImageClassification", t.CLIPConfig(vision_config=dict(v, projection_dim=8), text_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=50),
     num_labels=3), make(img, cls(3)), lora=dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"], bias="lora_only"), lr=0.01)
case("clip/one-image", "CLIPForImageClassification", t.CLIPConfig(vision_config=dict(v, projection_dim=8), text_config=dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=50),
     num_labels=3), make((1, 3, 16, 16), cls(3, 1)), optimizer="sgd", lr=0.05, weight_decay=0.0, max_grad_norm=0.5)
case("segformer/lora", "SegformerForSemanticSegmentation", t.SegformerConfig(num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 12], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2],
     mlp_ratios=[2, 2], decoder_hidden_size=10, num_labels=3, drop_path_rate=0.0, classifier_dropout_prob=0.0), make((2, 3, 32, 24), lambda g: {"labels": torch.randint(0, 3, (2, 32, 24), generator=g)}),
     lora=dict(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"]), lr=0.01)
