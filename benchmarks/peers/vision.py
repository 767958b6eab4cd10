"""Peer of VisionBenchmark: image classifiers of torchvision and timm (channels-last) and of ONNX Runtime, random weights of the usual shapes.

Arguments: resnet50|vit-b16 FOLDER THREADS. Makes FOLDER (weights in timm's layout, 64 JPEGs) when it is not there. One line in, one line out:
  outputs KIND PIXELS LOGITS BATCH   reads and writes float32; answers "done"
  run KIND BATCH SECONDS             answers images a second
  classes KIND BATCH                 answers the best class of each JPEG
  files KIND BATCH SECONDS           decoding, resizing and the network over the JPEGs again and again; answers images a second
  loss PIXELS BATCH                  the loss of the first batch in evaluation, labels 0, 1, 2 ...
  loop KIND FORMAT WORKERS STEPS BATCH   steps as in torchvision's references/classification (Pillow, RandomResizedCrop, flip, DataLoader), after one that is not counted;
                                     FORMAT is nchw (its own) or nhwc; answers the seconds of STEPS steps
  train KIND STEPS                   steps on the batches of the last loss's file; answers their seconds
KIND is torch (fp32), autocast (bf16), ort (fp32) or ort-int8, whose ranges are measured on FOLDER/calibration.f32. What cannot be had is answered with "no REASON".
"""
import json, os, sys, time, warnings
from pathlib import Path
import numpy as np, torch, torchvision
from safetensors.torch import load_file, save_file
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision import transforms
from torchvision.transforms import v2
from PIL import Image

warnings.filterwarnings("ignore")
name, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
MEAN, STD, SIDE, FILES = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 224, 64


def new():
    if name == "resnet50":
        return torchvision.models.resnet50(num_classes=1000)
    import timm
    return timm.create_model("vit_base_patch16_224", num_classes=1000)


def make():
    torch.manual_seed(0)
    made = new()
    save_file({k: v.contiguous() for k, v in made.state_dict().items()}, folder / "model.safetensors")
    pretrained = {"input_size": [3, SIDE, SIDE], "interpolation": "bilinear", "crop_pct": 0.875, "mean": MEAN, "std": STD}
    architecture = "resnet50" if name == "resnet50" else "vit_base_patch16_224"
    (folder / "config.json").write_text(json.dumps({"architecture": architecture, "num_classes": 1000, "num_features": 2048 if name == "resnet50" else 768,
                                                    "pretrained_cfg": pretrained}))
    (folder / "images").mkdir(exist_ok=True)
    for i in range(FILES):  # of ImageNet's usual size
        coarse = torch.randint(0, 256, (3, 12, 16), generator=torch.Generator().manual_seed(i), dtype=torch.uint8)
        torchvision.io.write_jpeg(v2.functional.resize(coarse, [375, 500], antialias=True), str(folder / f"images/{i:02}.jpg"), quality=90)


folder.mkdir(parents=True, exist_ok=True)
if not (folder / "images" / f"{FILES - 1:02}.jpg").exists():
    make()
model = new()
model.load_state_dict(load_file(folder / "model.safetensors"))
model = model.eval().to(memory_format=torch.channels_last)
files = sorted((folder / "images").iterdir())
sessions, workers, optimizer, batches = {}, {}, None, []


def session(kind):
    if kind not in sessions:
        try:
            import onnxruntime
        except ImportError as e:
            raise ValueError(str(e))
        file = folder / f"{kind}.onnx"
        if not file.exists():
            plain = folder / "ort.onnx"
            if not plain.exists():
                torch.onnx.export(model, torch.randn(2, 3, SIDE, SIDE), str(plain), dynamo=False, opset_version=17, input_names=["x"], dynamic_axes={"x": {0: "b"}})
            if kind == "ort-int8":
                quantize(plain, file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        sessions[kind] = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return sessions[kind]


def quantize(plain, file):
    """Convolutions with measured ranges, Linears with each call's own: ONNX Runtime's advice for either kind of network."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static
    if name != "resnet50":
        return quantize_dynamic(plain, file, per_channel=True, weight_type=QuantType.QInt8)
    examples = np.fromfile(folder / "calibration.f32", "<f4").reshape(-1, 3, SIDE, SIDE)

    class Reader(CalibrationDataReader):
        rest = iter([{"x": examples[i:i + 8]} for i in range(0, len(examples), 8)])

        def get_next(self):
            return next(self.rest, None)

    from onnxruntime.quantization.shape_inference import quant_pre_process
    ready = folder / "ort-ready.onnx"
    quant_pre_process(plain, ready, skip_symbolic_shape=True)
    quantize_static(ready, file, Reader(), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def logits(kind, x):
    if kind.startswith("ort"):
        return session(kind).run(None, {"x": x.numpy()})[0]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
        return model(x.contiguous(memory_format=torch.channels_last)).float().numpy()


class Jpegs(torch.utils.data.Dataset):
    prepare = v2.Compose([v2.Resize(256, antialias=True), v2.CenterCrop(SIDE), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

    def __len__(self):
        return FILES

    def __getitem__(self, i):
        return self.prepare(decode_jpeg(read_file(str(files[i])), mode=ImageReadMode.RGB))


def passes(kind, processes, batch):
    return [int(c) for x in torch.utils.data.DataLoader(Jpegs(), batch_size=int(batch), num_workers=processes) for c in logits(kind, x).argmax(1)]


def seconds(work):
    t = time.perf_counter()
    work()
    return time.perf_counter() - t


def rate(images, limit, work):
    work()
    begin, n = time.perf_counter(), 0
    while n == 0 or time.perf_counter() - begin < limit:
        work()
        n += 1
    return images * n / (time.perf_counter() - begin)


def outputs(kind, pixels, result, batch):
    x = torch.from_numpy(np.fromfile(pixels, "<f4").reshape(int(batch), 3, SIDE, SIDE))
    logits(kind, x).astype("<f4").tofile(result)
    return "done"


def run(kind, batch, limit):
    x = torch.randn(int(batch), 3, SIDE, SIDE)
    if not kind.startswith("ort"):
        x = x.contiguous(memory_format=torch.channels_last)
    return rate(int(batch), float(limit), lambda: logits(kind, x))


def classes(kind, batch):
    return " ".join(map(str, passes(kind, 0, batch)))


def over_files(kind, batch, limit):
    if (kind, batch) not in workers:  # the best of decoding in this process and in others
        workers[kind, batch] = min((seconds(lambda: passes(kind, n, batch)), n) for n in (0, 1, threads))[1]
    return rate(FILES, float(limit), lambda: passes(kind, workers[kind, batch], batch))


def loss(pixels, batch):
    global batches
    x = torch.from_numpy(np.fromfile(pixels, "<f4").reshape(-1, 3, SIDE, SIDE))
    labels = torch.arange(len(x)) % 1000
    batches = [(x[i:i + int(batch)].contiguous(memory_format=torch.channels_last), labels[i:i + int(batch)]) for i in range(0, len(x), int(batch))]
    with torch.no_grad():
        return torch.nn.functional.cross_entropy(model.eval()(batches[0][0]), batches[0][1]).item()


def train(kind, steps):
    global optimizer
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, foreach=True)
    model.train()
    t = time.perf_counter()
    for i in range(int(steps)):
        x, y = batches[i % len(batches)]
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            value = torch.nn.functional.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        value.item()
    return time.perf_counter() - t


class Photographs(torch.utils.data.Dataset):
    """What ImageFolder and ClassificationPresetTrain do with its defaults, over the same files again and again."""
    prepare = transforms.Compose([transforms.RandomResizedCrop(SIDE, interpolation=transforms.InterpolationMode.BILINEAR, antialias=True),
                                  transforms.RandomHorizontalFlip(0.5), transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float),
                                  transforms.Normalize(mean=MEAN, std=STD)])

    def __len__(self):
        return 1 << 20

    def __getitem__(self, i):
        with open(files[i % FILES], "rb") as f:
            return self.prepare(Image.open(f).convert("RGB")), i % FILES % 8


def loop(kind, order, processes, steps, batch):
    layout = torch.channels_last if order == "nhwc" else torch.contiguous_format
    model.to(memory_format=layout).train()
    sgd = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    begin = 0
    for i, (x, y) in enumerate(torch.utils.data.DataLoader(Photographs(), batch_size=int(batch), shuffle=True, num_workers=int(processes))):
        x = x.contiguous(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
            value = torch.nn.functional.cross_entropy(model(x), y)
        sgd.zero_grad()
        value.backward()
        sgd.step()
        value.item()
        if i == 0:
            begin = time.perf_counter()
        if i == int(steps):
            break
    taken = time.perf_counter() - begin
    model.to(memory_format=torch.channels_last)
    return taken


COMMANDS = {"loop": loop, "outputs": outputs, "run": run, "classes": classes, "files": over_files, "loss": loss, "train": train}
if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        try:
            print(COMMANDS[command](*words), flush=True)
        except ValueError as e:
            print("no " + str(e).splitlines()[0], flush=True)
