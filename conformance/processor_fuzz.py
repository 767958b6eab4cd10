#!/usr/bin/env python3
"""Image processors with many settings on image files of many kinds, and what transformers (torchvision backend) and timm make of them, in the form that check.py
reads; nothing of it is committed.
usage: processor_fuzz.py FOLDER [--seed N] [--count N] [--only NAME]     (needs transformers 5.23, torch 2.10, torchvision, timm, Pillow)
Allowed are 2/255 before normalisation, and 0.5/255 in the mean. lanczos, box and hamming, which torchvision has not, are compared with the Pillow backend."""
import argparse, json, random, shutil, sys
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
import transformers as t
from transformers.image_utils import load_image
from tiny_models import photo, some

ap = argparse.ArgumentParser()
ap.add_argument("folder", type=Path)
ap.add_argument("--seed", type=int, default=1)
ap.add_argument("--count", type=int, default=10, help="cases a processor")
ap.add_argument("--only", default="")
args = ap.parse_args()
torch.set_num_threads(1)
t.logging.set_verbosity_error()


def kinds(im, r):
    """(suffix, writer) of a file of some kind with this picture."""
    k = r.choice(["png"] * 4 + ["jpg", "grey.png", "rgba.png", "la.png", "p.png", "ptrans.png", "bmp", "gif", "tiff", "tifflzw", "webp", "1.png", "cmyk.tiff", "exif"])
    rgba = im.convert("RGBA")
    rgba.putalpha(im.convert("L"))
    return {
        "png": lambda f: im.save(f + ".png"), "jpg": lambda f: im.save(f + ".jpg", quality=95, subsampling=0), "grey.png": lambda f: im.convert("L").save(f + ".png"),
        "rgba.png": lambda f: rgba.save(f + ".png"), "la.png": lambda f: rgba.convert("LA").save(f + ".png"), "p.png": lambda f: im.quantize(64).save(f + ".png"),
        "ptrans.png": lambda f: im.quantize(64).save(f + ".png", transparency=3), "bmp": lambda f: im.save(f + ".bmp"), "gif": lambda f: im.save(f + ".gif"),
        "tiff": lambda f: im.save(f + ".tiff"), "tifflzw": lambda f: im.save(f + ".tif", compression="tiff_lzw"), "webp": lambda f: im.save(f + ".webp", lossless=True),
        "1.png": lambda f: im.convert("1").save(f + ".png"), "cmyk.tiff": lambda f: im.convert("CMYK").save(f + ".tiff"),
        "exif": lambda f: im.save(f + ".jpg", quality=95, subsampling=0, exif=orientation(r.randint(1, 8))),
    }[k]


def orientation(o):
    e = Image.Exif()
    e[0x0112] = o
    return e


def side(r):
    return r.choice([16, 24, 31, 48, 64])


def hw(r):
    return r.choice([side(r), {"height": side(r), "width": side(r)}, [side(r), side(r)]])


MEAN = [[0.485, 0.456, 0.406], [0.5, 0.5, 0.5], [0.2, 0.4, 0.6], [0.0, 0.0, 0.0]]
STD = [[0.229, 0.224, 0.225], [0.5, 0.5, 0.5], [1.0, 1.0, 1.0], [0.3, 0.2, 0.1]]
COMMON = lambda r: some(r, dict(resample=r.choice([0, 2, 3]), image_mean=r.choice(MEAN), image_std=r.choice(STD), rescale_factor=r.choice([1 / 255, 1 / 127.5, 0.01]),
                                do_rescale=r.random() < 0.6, do_normalize=r.random() < 0.6), 0.3)
SIZES = {
    "ViT": lambda r: some(r, dict(size=lambda: hw(r), do_resize=lambda: r.random() < 0.7), 0.7),
    "DeiT": lambda r: {"size": hw(r), **some(r, dict(crop_size=lambda: hw(r), do_center_crop=lambda: r.random() < 0.5))},
    "CLIP": lambda r: {"size": r.choice([side(r), {"shortest_edge": side(r)}, {"height": side(r), "width": side(r)}, {"shortest_edge": side(r), "longest_edge": side(r) + 30}]),
                       "crop_size": hw(r), **some(r, dict(do_center_crop=lambda: r.random() < 0.5, do_resize=lambda: r.random() < 0.7, default_to_square=True), 0.3)},
    "Bit": lambda r: {"size": r.choice([side(r), {"shortest_edge": side(r)}, {"height": side(r), "width": side(r)}]), "crop_size": hw(r), **some(r, dict(do_center_crop=False), 0.3)},
    "ConvNext": lambda r: {"size": r.choice([side(r), {"shortest_edge": side(r)}, {"shortest_edge": r.choice([384, 400])}]),
                           **some(r, dict(crop_pct=r.choice([0.875, 0.95, 0.9, 1.0, 0.5])), 0.7), **some(r, dict(do_center_crop=True, crop_size=hw(r)) if r.random() < 0.2 else {}, 1)},
    "MobileNetV2": lambda r: {"size": r.choice([side(r), {"shortest_edge": side(r)}]), "crop_size": hw(r), **some(r, dict(do_center_crop=False), 0.3)},
    "MobileNetV1": lambda r: {"size": r.choice([side(r), {"shortest_edge": side(r)}]), "crop_size": hw(r)},
    "Segformer": lambda r: {"size": hw(r), **some(r, dict(do_resize=False, do_reduce_labels=True), 0.3)},
    "Siglip": lambda r: {"size": r.choice([{"height": side(r), "width": side(r)}, side(r)])},
    "EfficientNet": lambda r: {"size": hw(r), **some(r, dict(crop_size=hw(r), do_center_crop=True, rescale_offset=True, include_top=False), 0.5)},
    "Beit": lambda r: {"size": hw(r), **some(r, dict(crop_size=hw(r), do_center_crop=True), 0.5)},
    "Blip": lambda r: {"size": {"height": side(r), "width": side(r)}},
    "Pvt": lambda r: {"size": hw(r)},
    "Detr": lambda r: {"size": r.choice([{"shortest_edge": side(r), "longest_edge": side(r) + 40}, {"height": side(r), "width": side(r)}, {"max_height": side(r), "max_width": side(r)}]),
                       **some(r, dict(do_pad=False), 0.2)},
    "Yolos": lambda r: {"size": r.choice([{"shortest_edge": side(r), "longest_edge": side(r) + 40}, {"height": side(r), "width": side(r)}])},
    "RTDetr": lambda r: {"size": {"height": side(r), "width": side(r)}},
}


def write(name, config, model_config, images, run, std):
    folder = args.folder / "preprocess" / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    if config is not None:
        (folder / "model/preprocessor_config.json").write_text(json.dumps(config, indent=1))
    (folder / "model/config.json").write_text(json.dumps(model_config))
    files = []
    for i, save in enumerate(images):
        save(str(folder / f"image{i}"))
        files.append(next(folder.glob(f"image{i}.*")).name)
    try:
        out, scale = run(folder / "model", [load_image(str(folder / f)) for f in files])
    except Exception as e:
        shutil.rmtree(folder)
        raise ValueError(f"{type(e).__name__}: {e}")
    save_file({k: v.contiguous().clone() for k, v in out.items()}, folder / "preprocessed.safetensors")
    grey = scale / min(std)
    (folder / "case.json").write_text(json.dumps({"family": "preprocess", "settings": config, "sizes": [Image.open(folder / f).size for f in files],
        "preprocess": {"input": files, "outputs": "preprocessed.safetensors", "atol": 2.02 * grey, "rtol": 0, "mean_atol": 0.5 * grey}}, indent=1))


def hf(r):
    def run(model, images):
        p = t.AutoImageProcessor.from_pretrained(str(model))
        o = p(images=images, return_tensors="pt")
        return {k: v for k, v in o.items() if torch.is_tensor(v)}, p.rescale_factor if p.do_rescale else 1.0
    return run


for name, sizes in SIZES.items():
    made = tried = 0
    while made < args.count and tried < args.count * 8 and args.only in name:
        seed = args.seed * 1000 + tried
        tried += 1
        r = random.Random(f"{name}{seed}")
        suffix = r.choice(["ImageProcessor", "ImageProcessor", "ImageProcessorFast", "FeatureExtractor"])
        config = {("feature_extractor_type" if suffix == "FeatureExtractor" else "image_processor_type"): name + suffix, **COMMON(r), **sizes(r)}
        n = 1 if r.random() < 0.5 else 2
        images = [kinds(photo(r.choice([17, 40, 64, 90, 150]), r.choice([13, 40, 64, 77, 130]), seed + i), r) for i in range(n)]
        std = config.get("image_std", [0.224] if name in ("Segformer", "Detr", "Yolos", "Pvt") else [0.26] if name in ("CLIP", "Bit", "Blip") else [0.5])
        if config.get("do_normalize") is False or name == "RTDetr":
            std = [1.0]
        if name == "EfficientNet" and config.get("include_top", True):
            std = [min(config.get("image_std", [0.5])) ** 2]
        try:
            write(f"{name.lower()}-{seed}", config, {"model_type": "vit"}, images, hf(r), std)
            made += 1
        except (ValueError, OSError) as e:
            print(f"{name} {seed}: drawn again: {str(e)[:140]}", file=sys.stderr)
    if args.only in name:
        print(name, made)

if args.only in "timm":
    import timm
    for seed in range(args.seed * 1000, args.seed * 1000 + 3 * args.count):
        r = random.Random(f"timm{seed}")
        size = r.choice([(32, 32), (32, 32), (64, 64), (24, 40), (48, 32)])
        cfg = {"input_size": [3, *size], "interpolation": r.choice(["bilinear", "bicubic", "lanczos", "nearest", "box", "hamming"]), "crop_pct": r.choice([0.875, 0.9, 0.95, 1.0, 0.5, 0.965]),
               "mean": r.choice(MEAN), "std": r.choice(STD), **some(r, dict(crop_mode=r.choice(["center", "squash", "border"])), 0.6)}
        std = cfg["std"]
        images = [kinds(photo(r.choice([17, 40, 64, 91, 150]), r.choice([13, 40, 65, 77, 130]), seed + i), r) for i in range(r.randint(1, 2))]

        def run(model, images):
            d = timm.data.resolve_data_config(cfg, model=None, verbose=False)
            f = timm.data.create_transform(**d, is_training=False)
            return {"pixel_values": torch.stack([f(im) for im in images])}, 1 / 255
        write(f"timm-{seed}", None, {"architecture": "resnet18", "num_classes": 3, "pretrained_cfg": cfg}, images, run, std)
    print("timm", 3 * args.count)
