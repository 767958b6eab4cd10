"""Peer of VisionBenchmark: image classifiers by torch (channels-last) and ONNX Runtime, random weights of the usual shapes.

Arguments: resnet50|vit-b16 FOLDER THREADS. Makes FOLDER when it is not there. Lines in: "outputs PIXELS LOGITS BATCH", "run torch|autocast|ort BATCH SECONDS".
"""
import os, sys, time, warnings
import numpy as np, torch
from transformers import AutoModelForImageClassification, ResNetConfig, ViTConfig

warnings.filterwarnings("ignore")
name, folder, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(threads)
if not os.path.exists(os.path.join(folder, "model.safetensors")):
    torch.manual_seed(0)
    config = ResNetConfig(num_labels=1000) if name == "resnet50" else ViTConfig(num_labels=1000)
    AutoModelForImageClassification.from_config(config).save_pretrained(folder)
model = AutoModelForImageClassification.from_pretrained(folder).eval().to(memory_format=torch.channels_last)
session = None


class Logits(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(pixel_values=x).logits


def onnx():
    global session
    if session is None:
        import onnxruntime
        file = os.path.join(folder, "model.onnx")
        if not os.path.exists(file):
            torch.onnx.export(Logits(model).eval(), torch.randn(2, 3, 224, 224), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "b"}})
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return session


print("ready", flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "outputs":
        x = torch.from_numpy(np.fromfile(words[1], "<f4").reshape(int(words[3]), 3, 224, 224))
        with torch.inference_mode():
            model(pixel_values=x).logits.numpy().astype("<f4").tofile(words[2])
        print("done", flush=True)
        continue
    kind, batch, limit = words[1], int(words[2]), float(words[3])
    x = torch.randn(batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    plain = x.contiguous().numpy()

    def step():
        if kind == "ort":
            onnx().run(None, {"x": plain})
        else:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=kind == "autocast"):
                model(pixel_values=x)

    step()
    begin, n = time.perf_counter(), 0
    while time.perf_counter() - begin < limit:
        step()
        n += 1
    print(batch * n / (time.perf_counter() - begin), flush=True)
