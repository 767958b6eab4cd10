#!/usr/bin/env python3
"""Image files of many formats and the RGB samples that transformers' load_image (Pillow) makes of them, as preprocess cases of a processor that changes nothing.
usage: decoder_fuzz.py FOLDER [--only NAME]     (needs transformers 5.23, Pillow, numpy)
Allowed are 2 grey levels, and 0.5 in the mean."""
import argparse, json, shutil, struct, zlib
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers.image_utils import load_image
from tiny_models import photo

ap = argparse.ArgumentParser()
ap.add_argument("folder", type=Path)
ap.add_argument("--only", default="")
args = ap.parse_args()
CONFIG = {"image_processor_type": "ViTImageProcessor", "do_resize": False, "do_rescale": False, "do_normalize": False}


def case(name, file, make, atol=2.0, mean=0.5):
    if args.only not in name:
        return
    folder = args.folder / "decode" / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "model").mkdir(parents=True)
    make(folder / file)
    (folder / "model/preprocessor_config.json").write_text(json.dumps(CONFIG))
    (folder / "model/config.json").write_text(json.dumps({"model_type": "vit"}))
    rgb = np.asarray(load_image(str(folder / file)))
    save_file({"pixel_values": torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float().contiguous()}, folder / "preprocessed.safetensors")
    (folder / "case.json").write_text(json.dumps({"family": "decode", "preprocess": {"input": [file], "outputs": "preprocessed.safetensors", "atol": atol, "mean_atol": mean, "rtol": 0}}))


def tiff(samples, kind):
    """A grey TIFF of one strip, of kinds of samples (1 unsigned, 2 signed, 3 float) that Pillow does not write."""
    h, w = samples.shape
    tags = [(256, 4, w), (257, 4, h), (258, 3, 8 * samples.itemsize), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, h), (279, 4, samples.nbytes), (339, 3, kind)]
    return (b"II*\0" + struct.pack("<I", 8 + samples.nbytes) + samples.tobytes() + struct.pack("<H", len(tags))
            + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags) + bytes(4))


a, b = photo(160, 117, 1), photo(97, 131, 2)
rgba = a.convert("RGBA")
rgba.putalpha(b.resize(a.size).convert("L"))
for q in (30, 75, 95):
    for s in (0, 1, 2):
        case(f"jpeg-q{q}-s{s}", "x.jpg", lambda f: a.save(f, quality=q, subsampling=s))
        case(f"jpeg-progressive-q{q}-s{s}", "x.jpg", lambda f: b.save(f, quality=q, subsampling=s, progressive=True, optimize=True))
case("jpeg-grey", "x.jpg", lambda f: a.convert("L").save(f, quality=80))
case("jpeg-odd", "x.jpg", lambda f: a.crop((0, 0, 33, 17)).save(f, quality=85))
case("jpeg-one", "x.jpg", lambda f: a.crop((40, 40, 41, 41)).save(f, quality=85))
case("jpeg-restart", "x.jpg", lambda f: a.save(f, quality=85, restart_marker_rows=1))
case("jpeg-cmyk", "x.jpg", lambda f: a.convert("CMYK").save(f, quality=90))
case("jpeg-rgb", "x.jpg", lambda f: a.save(f, quality=90, keep_rgb=True))
case("jpeg-icc", "x.jpg", lambda f: a.save(f, quality=90, icc_profile=__import__("PIL.ImageCms").ImageCms.ImageCmsProfile(__import__("PIL.ImageCms").ImageCms.createProfile("sRGB")).tobytes()))
for o in range(1, 9):
    e = Image.Exif()
    e[0x0112] = o
    case(f"jpeg-exif-{o}", "x.jpg", lambda f: a.save(f, quality=95, subsampling=0, exif=e))
for n, k in {"lossless": dict(lossless=True), "q90": dict(quality=90), "q50": dict(quality=50), "q90-exact": dict(quality=90, method=6)}.items():
    case(f"webp-{n}", "x.webp", lambda f: a.save(f, **k))
for q in (1, 10, 25, 40, 60, 70, 80, 99, 100):
    for m in (0, 4):
        case(f"webp-q{q}-m{m}", "x.webp", lambda f: photo(33 + q, 97 - q // 3, q).save(f, quality=q, method=m))
case("webp-soft", "x.webp", lambda f: photo(160, 120, 5, 0).save(f, quality=80))
case("webp-odd", "x.webp", lambda f: a.crop((0, 0, 51, 33)).save(f, quality=80))
case("webp-alpha", "x.webp", lambda f: rgba.save(f, quality=90))
case("webp-alpha-lossless", "x.webp", lambda f: rgba.save(f, lossless=True))
case("webp-animated", "x.webp", lambda f: a.save(f, save_all=True, append_images=[a.rotate(90).resize(a.size)], lossless=True))
for n, k in {"lossy": dict(quality=60), "mixed": dict(quality=80, allow_mixed=True)}.items():
    case(f"webp-animated-{n}", "x.webp", lambda f: a.save(f, save_all=True, append_images=[a.rotate(90).resize(a.size)], **k))
wide = Image.new("RGBA", (201, 151))
wide.paste(a, (22, 14))
case("webp-animated-offset", "x.webp", lambda f: wide.save(f, save_all=True, append_images=[rgba.resize(wide.size)], quality=75))
case("webp-animated-alpha", "x.webp", lambda f: rgba.save(f, save_all=True, append_images=[rgba.rotate(180)], quality=75))
for n, im in {"rgb": a, "grey": a.convert("L"), "la": rgba.convert("LA"), "rgba": rgba, "p": a.quantize(200), "p16": a.quantize(16), "p2": a.quantize(2), "1": a.convert("1")}.items():
    case(f"png-{n}", "x.png", lambda f: im.save(f))
case("png-p-transparency", "x.png", lambda f: a.quantize(30).save(f, transparency=5))
case("png-p-alphas", "x.png", lambda f: a.quantize(30).save(f, transparency=bytes(range(0, 240, 8))))
case("png-rgb-trns", "x.png", lambda f: a.save(f, transparency=(10, 20, 30)))
case("png-grey-trns", "x.png", lambda f: a.convert("L").save(f, transparency=77))
grey16 = np.asarray(a.convert("L")).astype(np.uint16) * 257
dim16 = np.asarray(a.convert("L")).astype(np.uint16) * 2 - 40  # Pillow does not scale, it clips at 255
case("png-grey16", "x.png", lambda f: Image.fromarray(grey16).save(f))
case("png-grey16-dim", "x.png", lambda f: Image.fromarray(dim16).save(f))
case("tiff-grey16-dim", "x.tiff", lambda f: Image.fromarray(dim16).save(f))
case("tiff-grey16-lzw", "x.tiff", lambda f: Image.fromarray(dim16).save(f, compression="tiff_lzw"))
case("tiff-grey16-big-endian", "x.tiff", lambda f: Image.frombytes("I;16B", (160, 117), dim16.astype(">u2").tobytes()).save(f))
case("tiff-int16", "x.tiff", lambda f: f.write_bytes(tiff(dim16.astype("<i2"), 2)))
case("tiff-uint32", "x.tiff", lambda f: f.write_bytes(tiff(dim16.astype("<u4"), 1)))
case("tiff-float-wide", "x.tiff", lambda f: Image.fromarray(dim16.astype(np.float32) * 1.37 - 30).save(f))


def png(w, h, depth, kind, rows, interlace=0):
    """A PNG that Pillow does not write: 16 bits, interlaced. rows: bytes of each pass's lines without filters."""
    chunk = lambda t, d: struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlace)) + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b"")


px = np.asarray(a)
case("png-rgb16", "x.png", lambda f: f.write_bytes(png(160, 117, 16, 2, [r.astype(">u2").tobytes() for r in px.astype(np.uint16) * 257])))
case("png-rgba16", "x.png", lambda f: f.write_bytes(png(160, 117, 16, 6, [r.astype(">u2").tobytes() for r in np.asarray(rgba).astype(np.uint16) * 257])))
case("png-la16", "x.png", lambda f: f.write_bytes(png(160, 117, 16, 4, [r.astype(">u2").tobytes() for r in np.asarray(rgba.convert("LA")).astype(np.uint16) * 257])))
adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
case("png-interlaced", "x.png", lambda f: f.write_bytes(png(160, 117, 8, 2, [r.tobytes() for y, x, dy, dx in adam7 for r in px[y::dy, x::dx]], 1)))
case("png-grey-interlaced", "x.png", lambda f: f.write_bytes(png(160, 117, 8, 0, [r.tobytes() for y, x, dy, dx in adam7 for r in np.asarray(a.convert("L"))[y::dy, x::dx]], 1)))
for depth in (2, 4):
    g = np.asarray(a.convert("L")) >> (8 - depth)
    packed = [np.packbits(np.unpackbits(r[:, None], axis=1)[:, -depth:].reshape(-1)).tobytes() for r in g]
    case(f"png-grey{depth}", "x.png", lambda f: f.write_bytes(png(160, 117, depth, 0, packed)))
for n, (im, k) in {"raw": (a, {}), "lzw": (a, dict(compression="tiff_lzw")), "deflate": (a, dict(compression="tiff_deflate")), "adobe-deflate": (a, dict(compression="tiff_adobe_deflate")),
                   "packbits": (a, dict(compression="packbits")), "grey": (a.convert("L"), {}), "grey-lzw": (a.convert("L"), dict(compression="tiff_lzw")), "1": (a.convert("1"), {}),
                   "g4": (a.convert("1"), dict(compression="group4")), "g3": (a.convert("1"), dict(compression="group3")), "p": (a.quantize(64), {}), "rgba": (rgba, {}), "la": (rgba.convert("LA"), {}), "cmyk": (a.convert("CMYK"), {}),
                   "jpeg": (a, dict(compression="jpeg", quality=95)), "grey16": (Image.fromarray(grey16), {}), "pages": (a.convert("P"), dict(save_all=True, append_images=[b.convert("P")])), "lab": (a.convert("LAB"), {}),
                   "float": (a.convert("F"), {}), "ycbcr": (a.convert("YCbCr"), {}), "int32": (a.convert("I"), {})}.items():
    try:
        case(f"tiff-{n}", "x.tiff", lambda f: im.save(f, **k))
    except Exception as e:
        print("tiff", n, e)
e = Image.Exif()
e[0x0112] = 6
case("tiff-exif", "x.tiff", lambda f: a.save(f, exif=e))
case("png-exif", "x.png", lambda f: a.save(f, exif=e))
case("webp-exif", "x.webp", lambda f: a.save(f, exif=e, lossless=True))
for n, im in {"rgb": a, "grey": a.convert("L"), "p": a.quantize(100), "1": a.convert("1"), "rgba": rgba}.items():
    case(f"bmp-{n}", "x.bmp", lambda f: im.save(f))
case("gif", "x.gif", lambda f: a.save(f))
case("gif-interlaced", "x.gif", lambda f: a.quantize(60).save(f, interlace=1))
case("gif-grey", "x.gif", lambda f: a.convert("L").save(f))
case("gif-transparent", "x.gif", lambda f: a.quantize(60).save(f, transparency=4))
case("gif-animated", "x.gif", lambda f: a.save(f, save_all=True, append_images=[a.rotate(180), a], duration=50, loop=0))
case("gif-disposal", "x.gif", lambda f: a.quantize(60).save(f, save_all=True, append_images=[a.rotate(180).quantize(60)], disposal=2, transparency=0))
