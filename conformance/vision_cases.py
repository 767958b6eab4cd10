#!/usr/bin/env python3
"""Golden cases of the vision families that shared/golden leaves out: tiny random checkpoints and what transformers computes for them.
usage: vision_cases.py FOLDER     e.g. core/src/test/resources/vision-golden (needs transformers 5.23, torch 2.10; with timm on the path also timm's)
A case is FOLDER/family/name with model/, inputs.safetensors, outputs.safetensors, case.json, in the form that check.py reads."""
import json, shutil, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
import transformers as t
from tiny_models import flat, randomise

out = Path(sys.argv[1])
torch.set_num_threads(1)


def write(folder, inputs, outputs, info):
    save_file({k: v.contiguous() for k, v in inputs.items()}, folder / "inputs.safetensors")
    save_file({k: v.detach().clone().contiguous() for k, v in outputs.items()}, folder / "outputs.safetensors")
    (folder / "case.json").write_text(json.dumps(info, indent=1) + "\n")


def case(name, cls, config, inputs, hidden=False, attn=False, kwargs=None, seed=1):
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    model = getattr(t, cls)._from_config(config, attn_implementation="eager") if attn else getattr(t, cls)(config)
    model.eval()
    randomise(model, seed)
    model.save_pretrained(folder / "model")
    g = torch.Generator().manual_seed(seed + 100)
    tensors = {}
    for k, v in inputs.items():
        if isinstance(v, torch.Tensor):
            tensors[k] = v
        else:
            tensors[k] = torch.randn(*v, generator=g)
    extra = dict(kwargs or {})
    call = dict(tensors)
    if "bool_masked_pos" in call:
        call["bool_masked_pos"] = call["bool_masked_pos"].bool()
    if hidden:
        extra["output_hidden_states"] = True
    if attn:
        extra["output_attentions"] = True
    with torch.no_grad():
        o = model(**call, **extra)
    write(folder, tensors, flat(o), {"family": name.split("/")[0], "architecture": cls,
          "forward": {"atol": 1e-4, "rtol": 1e-3, "output_hidden_states": hidden, "output_attentions": attn, "kwargs": kwargs or {}}})


def px(b, h, w, c=3):
    return {"pixel_values": (b, c, h, w)}


L = lambda *v: torch.tensor(v)
mask = lambda b, n: (torch.arange(b * n).reshape(b, n) % 3 == 0).to(torch.int64)

# --- ResNet
r = dict(embedding_size=6, hidden_sizes=[8, 12], depths=[1, 2])
case("resnet/bottleneck-early", "ResNetForImageClassification", t.ResNetConfig(**r, layer_type="bottleneck", downsample_in_bottleneck=True,
     downsample_in_first_stage=True, hidden_act="gelu", num_labels=3, num_channels=1), {**px(2, 33, 40, 1), "labels": L(0, 2)}, hidden=True)
case("resnet/regression", "ResNetForImageClassification", t.ResNetConfig(**r, layer_type="basic", num_labels=1), {**px(2, 32, 32), "labels": L(0.5, -1.0)})
case("resnet/multi-label", "ResNetForImageClassification", t.ResNetConfig(**r, layer_type="basic", num_labels=3, problem_type="multi_label_classification"),
     {**px(2, 32, 32), "labels": torch.tensor([[0.0, 1, 1], [1, 0, 0]])})
# --- ViT, DeiT
v = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=4)
case("vit/masked-image", "ViTForMaskedImageModeling", t.ViTConfig(**v, encoder_stride=4), {**px(2, 16, 16), "bool_masked_pos": mask(2, 16)}, hidden=True)
case("vit/interpolate", "ViTForImageClassification", t.ViTConfig(**v, qkv_bias=False, hidden_act="gelu_new", num_labels=4), {**px(2, 24, 20), "labels": L(1, 3)},
     hidden=True, attn=True, kwargs={"interpolate_pos_encoding": True})
case("vit/rectangle-pooler", "ViTModel", t.ViTConfig(**{**v, "image_size": [16, 24], "patch_size": [4, 8]}, pooler_output_size=10, pooler_act="relu"), px(1, 16, 24))
case("deit/model", "DeiTModel", t.DeiTConfig(**v), px(2, 16, 16), hidden=True, attn=True)
case("deit/classification", "DeiTForImageClassification", t.DeiTConfig(**v, num_labels=3), {**px(2, 24, 16), "labels": L(0, 2)}, kwargs={"interpolate_pos_encoding": True})
case("deit/masked-image", "DeiTForMaskedImageModeling", t.DeiTConfig(**v, encoder_stride=4), {**px(2, 16, 16), "bool_masked_pos": mask(2, 16)})
# --- DINOv2
d = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=16, patch_size=4)
case("dinov2/classification", "Dinov2ForImageClassification", t.Dinov2Config(**d, num_labels=3, use_mask_token=False), {**px(2, 16, 28), "labels": L(2, 0)}, hidden=True, attn=True)
case("dinov2/swiglu", "Dinov2Model", t.Dinov2Config(**d, use_swiglu_ffn=True, qkv_bias=False, layerscale_value=0.3), {**px(2, 20, 20), "bool_masked_pos": mask(2, 25)})
# --- ConvNeXT
c = dict(hidden_sizes=[6, 8, 10], depths=[1, 2, 1], num_stages=3)
case("convnext/no-scale", "ConvNextModel", t.ConvNextConfig(**c, layer_scale_init_value=0.0, patch_size=2, hidden_act="relu"), px(2, 17, 24), hidden=True)
case("convnextv2/classification", "ConvNextV2ForImageClassification", t.ConvNextV2Config(**c, num_labels=4), {**px(2, 32, 32), "labels": L(3, 1)}, hidden=True)
case("convnextv2/model", "ConvNextV2Model", t.ConvNextV2Config(**c), px(1, 40, 32), hidden=True)
# --- Swin
s = dict(image_size=32, patch_size=4, embed_dim=8, depths=[2, 2], num_heads=[2, 2], window_size=4, mlp_ratio=2.0, drop_path_rate=0.1)
case("swin/model", "SwinModel", t.SwinConfig(**s), px(2, 32, 32), hidden=True, attn=True)
case("swin/padded", "SwinForImageClassification", t.SwinConfig(**s, num_labels=3, qkv_bias=False), {**px(2, 54, 37), "labels": L(1, 2)}, hidden=True, attn=True)
case("swin/absolute", "SwinModel", t.SwinConfig(**s, use_absolute_embeddings=True), px(1, 48, 40), kwargs={"interpolate_pos_encoding": True})
case("swin/masked-image", "SwinForMaskedImageModeling", t.SwinConfig(**s, encoder_stride=8), {**px(2, 32, 32), "bool_masked_pos": mask(2, 64)})
# --- MobileNetV2
m = dict(depth_multiplier=0.1, depth_divisible_by=4, min_depth=4)
case("mobilenet_v2/model", "MobileNetV2Model", t.MobileNetV2Config(**m, finegrained_output=False, tf_padding=False, expand_ratio=2.0), px(1, 35, 48), hidden=True)
case("mobilenet_v2/segmentation", "MobileNetV2ForSemanticSegmentation", t.MobileNetV2Config(**m, finegrained_output=False, output_stride=8, num_labels=3, expand_ratio=2.0,
     first_layer_is_expansion=False), {**px(1, 33, 48), "labels": (torch.arange(33 * 48) % 4).reshape(1, 33, 48).where((torch.arange(33 * 48) % 4).reshape(1, 33, 48) < 3, torch.tensor(255))})
# --- CLIP
tc = dict(vocab_size=50, hidden_size=12, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=10, bos_token_id=48)
vc = dict(hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=4)
ids = torch.tensor([[48, 5, 9, 49, 49, 49], [48, 7, 49, 3, 49, 49]])
am = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]])
both = lambda eos: t.CLIPConfig(text_config=dict(tc, eos_token_id=eos, pad_token_id=1), vision_config=dict(vc, hidden_act="gelu"), projection_dim=8)
case("clip/loss", "CLIPModel", both(49), {**px(2, 16, 16), "input_ids": ids, "attention_mask": am}, hidden=True, attn=True, kwargs={"return_loss": True})
case("clip/eos-2", "CLIPModel", both(2), {**px(1, 24, 20), "input_ids": ids}, kwargs={"interpolate_pos_encoding": True})
case("clip/text", "CLIPTextModel", t.CLIPTextConfig(**tc, eos_token_id=49), {"input_ids": ids, "attention_mask": am}, hidden=True, attn=True)
case("clip/text-projection", "CLIPTextModelWithProjection", t.CLIPTextConfig(**tc, eos_token_id=49, projection_dim=7), {"input_ids": ids, "position_ids": torch.tensor([[1, 2, 3, 4, 5, 6]])})
case("clip/vision", "CLIPVisionModel", t.CLIPVisionConfig(**vc), px(2, 16, 16), hidden=True)
case("clip/classification", "CLIPForImageClassification", t.CLIPConfig(text_config=tc, vision_config=vc, num_labels=3), {**px(2, 16, 16), "labels": L(0, 1)})
# --- SegFormer
f = dict(num_encoder_blocks=2, depths=[1, 2], sr_ratios=[2, 1], hidden_sizes=[8, 12], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
         decoder_hidden_size=10)
case("segformer/model", "SegformerModel", t.SegformerConfig(**f), px(2, 32, 40), hidden=True, attn=True)
case("segformer/classification", "SegformerForImageClassification", t.SegformerConfig(**f, num_labels=3), {**px(2, 32, 32), "labels": L(2, 0)}, hidden=True)
case("segformer/flat", "SegformerForImageClassification", t.SegformerConfig(**f, num_labels=3, reshape_last_stage=False), px(2, 32, 32), hidden=True)
case("segformer/one-class", "SegformerForSemanticSegmentation", t.SegformerConfig(**f, num_labels=1), {**px(1, 32, 32), "labels": (torch.arange(1024) % 5 % 2).reshape(1, 32, 32)})
case("segformer/states", "SegformerForSemanticSegmentation", t.SegformerConfig(**f, num_labels=3), px(1, 32, 48), hidden=True, attn=True)

# --- YOLOS
y = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24, image_size=[16, 24], patch_size=4, num_detection_tokens=3)
case("yolos/mid-positions", "YolosForObjectDetection", t.YolosConfig(**y, num_labels=3), px(2, 24, 20), hidden=True, attn=True)
case("yolos/model", "YolosModel", t.YolosConfig(**y, use_mid_position_embeddings=False, qkv_bias=False), px(1, 16, 24))

# --- DETR
bb = lambda: t.ResNetConfig(embedding_size=6, hidden_sizes=[6, 8], depths=[1, 1], layer_type="basic", out_features=["stage2"])
q = dict(d_model=16, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=20, decoder_ffn_dim=24, encoder_attention_heads=2, decoder_attention_heads=4, num_queries=5)
pm = torch.ones(2, 40, 56, dtype=torch.int64)
pm[1, 30:], pm[1, :, 41:] = 0, 0
case("detr/model", "DetrModel", t.DetrConfig(**q, backbone_config=bb(), use_timm_backbone=False), {**px(2, 40, 56), "pixel_mask": pm}, hidden=True, attn=True)
case("detr/timm-names", "DetrForObjectDetection", t.DetrConfig(**q, backbone_config=bb(), use_timm_backbone=False, num_labels=3), px(1, 40, 56))
folder = out / "detr/timm-names/model"
import re
from safetensors.torch import load_file
names = {}
for k, v in load_file(folder / "model.safetensors").items():
    k = k.replace("embedder.embedder.convolution", "conv1").replace("embedder.embedder.normalization", "bn1")
    k = re.sub(r"encoder\.stages\.(\d)\.layers\.(\d)", lambda m: f"layer{int(m[1]) + 1}.{m[2]}", k) if "backbone" in k else k
    k = re.sub(r"layer\.(\d)\.convolution", lambda m: f"conv{int(m[1]) + 1}", k)
    k = re.sub(r"layer\.(\d)\.normalization", lambda m: f"bn{int(m[1]) + 1}", k)
    names[k.replace("shortcut.convolution", "downsample.0").replace("shortcut.normalization", "downsample.1")] = v
save_file(names, folder / "model.safetensors")
c = json.loads((folder / "config.json").read_text())
del c["backbone_config"]
(folder / "config.json").write_text(json.dumps({**c, "use_timm_backbone": True, "backbone": "resnet18"}, indent=1))

try:
    import timm
except ImportError:
    sys.exit("timm is not there: its cases are left as they are")


def timm_case(name, architecture, size, args, **cfg):
    folder = out / "timm" / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    model = timm.create_model(architecture, **args).eval()
    randomise(model, 5)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model" / "model.safetensors")
    (folder / "model" / "config.json").write_text(json.dumps({"architecture": architecture, "num_classes": model.num_classes, "model_args": args, "pretrained_cfg": {"input_size": [3, size, size], **cfg}}, indent=1))
    x = {"pixel_values": torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(7))}
    with torch.no_grad():
        y = model(x["pixel_values"])
    write(folder, x, {"logits": y}, {"family": "timm", "architecture": architecture, "forward": {"atol": 1e-4, "rtol": 1e-3}})


timm_case("resnext", "resnext50_32x4d", 32, dict(num_classes=3, layers=[1, 1, 1, 1], channels=[16, 16, 16, 16], cardinality=4, base_width=8))
timm_case("wide-resnet", "wide_resnet50_2", 32, dict(num_classes=3, layers=[1, 1, 2, 1], channels=[4, 4, 6, 6], base_width=128))
timm_case("vit", "vit_tiny_patch16_224", 32, dict(num_classes=4, embed_dim=16, depth=2, num_heads=2, img_size=32, patch_size=8))
timm_case("deit-distilled", "deit_tiny_distilled_patch16_224", 32, dict(num_classes=4, embed_dim=16, depth=2, num_heads=2, img_size=32, patch_size=8))
timm_case("convnext", "convnext_tiny", 32, dict(num_classes=4, depths=[1, 2, 1, 1], dims=[6, 8, 10, 12]))
timm_case("convnextv2", "convnextv2_atto", 32, dict(num_classes=4, depths=[1, 1, 1, 1], dims=[6, 8, 10, 12]))
