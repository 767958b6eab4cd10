#!/usr/bin/env python3
"""Small image files of every kind that dev.headstart.vision decodes, with what Pillow makes of them (needs Pillow and numpy).
usage: make_images.py FOLDER     e.g. core/src/test/resources/vision
Writes the files, NAME.rgb (the upright RGB samples as Pillow gives them) and index.txt (NAME WIDTH HEIGHT TOLERANCE), and for the resampling
filters resized-FILTER-WxH.rgb made from scene.png."""
import struct, sys, zlib
from pathlib import Path
import numpy as np
from PIL import Image, ImageOps

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
W, H = 37, 23
y, x = np.mgrid[0:H, 0:W]
rng = np.random.default_rng(8)
rgb = np.stack([x * 255 // (W - 1), y * 255 // (H - 1), (x * y) % 256], -1).astype(np.uint8)
noisy = np.clip(rgb.astype(int) + rng.integers(-20, 21, rgb.shape), 0, 255).astype(np.uint8)
im = Image.fromarray(noisy)
smooth = Image.fromarray(rgb).resize((64, 48), Image.BICUBIC)
index = []


def ref(name, tolerance=0, pixels=None):
    got = pixels if pixels is not None else np.asarray(ImageOps.exif_transpose(Image.open(out / name)).convert("RGB"))
    (out / f"{name}.rgb").write_bytes(got.tobytes())
    index.append(f"{name} {got.shape[1]} {got.shape[0]} {tolerance}")


def save(name, image, tolerance=0, pixels=None, **kw):
    image.save(out / name, **kw)
    ref(name, tolerance, pixels)


save("scene.png", im)
save("grey.png", im.convert("L"))
save("grey-alpha.png", im.convert("LA"))
rgba = im.convert("RGBA")
rgba.putalpha(Image.fromarray((x * 6 % 256).astype(np.uint8)))
save("rgba.png", rgba)
save("palette.png", im.quantize(20))
save("palette-4bit.png", im.quantize(7), bits=4)
save("palette-transparent.png", im.quantize(20), transparency=3)
save("bilevel.png", im.convert("1"))
grey16 = (x * x * 45 + y).astype(np.uint16)
save("grey16.png", Image.fromarray(grey16))  # Pillow clips
# 16-bit RGB, which Pillow does not write
deep = (noisy.astype(np.uint16) << 8 | 7)
raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
chunk = lambda t, d: struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
(out / "rgb16.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 16, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
ref("rgb16.png", pixels=noisy)
save("rgb.bmp", im)
save("palette.bmp", im.quantize(20))
save("still.gif", im.quantize(30))
frames = [im.quantize(16), Image.fromarray(noisy[::-1].copy()).quantize(16)]
frames[0].save(out / "animated.gif", save_all=True, append_images=frames[1:])
ref("animated.gif")
for c in ("raw", "tiff_lzw", "tiff_deflate", "packbits"):
    save(f"rgb-{c}.tiff", im, compression=c)
save("cmyk.tiff", im.convert("CMYK"), 1)
save("grey16.tiff", Image.fromarray(grey16))
save("grey-int32.tiff", Image.fromarray(grey16.astype(np.int32) // 8 - 200))
save("grey-float.tiff", Image.fromarray(grey16.astype(np.float32) / 200 - 5))
save("lossless.webp", im, lossless=True)
save("lossless-alpha.webp", rgba, lossless=True, exact=True)
gradient = Image.fromarray(np.stack([x * 6, y * 10, 255 - x * 3 - y * 3], -1).clip(0, 255).astype(np.uint8)).resize((64, 48), Image.BICUBIC)
save("lossy.webp", gradient, quality=90)
save("lossy-edges.webp", im, quality=30)
save("lossy-fast.webp", gradient.crop((0, 0, 43, 40)), quality=10, method=0)
save("lossy-alpha.webp", Image.merge("RGBA", (*gradient.split(), gradient.convert("L"))), quality=70)
ring = Image.new("RGBA", (60, 50))  # the first frame is cut to what is not transparent
ring.paste(rgba.convert("RGB"), (14, 11))
ring.save(out / "animated.webp", save_all=True, append_images=[gradient.convert("RGBA").resize(ring.size)], quality=60)
ref("animated.webp")
save("photo-444.jpg", smooth, 3, quality=95, subsampling=0)
save("photo-420.jpg", smooth, 8, quality=90, subsampling=2)
save("progressive.jpg", smooth, 8, quality=90, progressive=True)
save("grey.jpg", smooth.convert("L"), 3, quality=95)
save("cmyk.jpg", smooth.convert("CMYK"), 6, quality=95)
for o in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = o
    save(f"exif-{o}.jpg", smooth, 3, quality=95, subsampling=0, exif=exif)
exif = Image.Exif()
exif[0x0112] = 6
save("exif-6.png", im, exif=exif)
save("exif-6.webp", im, exif=exif, lossless=True)
save("one-pixel.png", im.crop((5, 5, 6, 6)))
(out / "index.txt").write_text("\n".join(index) + "\n")
for name, f in dict(nearest=0, lanczos=1, bilinear=2, bicubic=3, box=4, hamming=5).items():
    for w, h in ((11, 9), (37, 9), (11, 23), (80, 51), (1, 1), (5, 60)):
        (out / f"resized-{name}-{w}x{h}.rgb").write_bytes(np.asarray(im.resize((w, h), f)).tobytes())
