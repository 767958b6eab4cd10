"""Writes the small weight files that the tests of dev.headstart.io read, each with what must come out of it as safetensors.

    python conformance/make_weight_formats.py core/src/test/resources/weight-formats --shared ../shared

Needs torch 2.10, transformers 5.23, safetensors, numpy. The same seed gives the same numbers; archives hold time stamps of 1980.
"""

import argparse
import collections
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel


def tiny_bert():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=11, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12, max_position_embeddings=6
    )
    model = BertModel(config, add_pooling_layer=True).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


def onnx(folder):
    """As optimum and sentence-transformers export: anonymous, transposed weights of Linear layers."""
    model = tiny_bert()
    model.config._attn_implementation = "eager"

    class Traced(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embeddings, self.encoder, self.pooler = model.embeddings, model.encoder, model.pooler

        def forward(self, input_ids, token_type_ids):
            x = self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
            x = self.encoder(x).last_hidden_state
            return x, self.pooler(x)

    # The last step of the exporter only serves custom operators, and would need the package onnx.
    from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

    onnx_proto_utils._add_onnxscript_fn = lambda model_bytes, custom_opsets: model_bytes
    ids = torch.tensor([[1, 2, 3]])
    torch.onnx.export(
        Traced().eval(),
        (ids, torch.zeros_like(ids)),
        str(folder / "tiny-bert.onnx"),
        input_names=["input_ids", "token_type_ids"],
        opset_version=14,
        dynamo=False,
        do_constant_folding=True,
    )
    save_file({k: v.contiguous() for k, v in model.state_dict().items() if "position_ids" not in k}, folder / "tiny-bert.safetensors")


def pickles(folder):
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(4, 6, generator=generator)
    state = collections.OrderedDict(
        weight=base,
        transposed=base.t(),
        row=base[1],
        column=base[:, 2],
        strided=base[::2, 1::3],
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(3, generator=generator)),
        expanded=torch.tensor([1.0, 2.0]).expand(3, 2),
        half=torch.randn(3, generator=generator).half(),
        bfloat=torch.randn(3, generator=generator).bfloat16(),
        double=torch.randn(3, generator=generator, dtype=torch.float64),
        long=torch.arange(5),
        int=torch.arange(5, dtype=torch.int32),
        short=torch.arange(5, dtype=torch.int16),
        char=torch.arange(-2, 3, dtype=torch.int8),
        byte=torch.arange(5, dtype=torch.uint8),
        bool=torch.tensor([True, False, True]),
    )
    save_file({k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in state.items()}, folder / "pickle.safetensors")
    checkpoint = {
        "epoch": 200,
        "best_prec1": np.float64(92.5),
        "arch": "resnet20",
        "finished": True,
        "loss": 0.25,
        "nothing": None,
        "shape": torch.Size([2, 3]),
        "dtype": torch.float16,
        "betas": (0.9, 0.999),
        "history": [1, 2, 70000, -5, 2**40],
        "state_dict": state,
    }
    for name, legacy in ("zip.pt", False), ("legacy.pth", True):
        torch.save(state, folder / f"flat-{name}", _use_new_zipfile_serialization=not legacy)
        torch.save(checkpoint, folder / f"nested-{name}", _use_new_zipfile_serialization=not legacy)
    deflated_big_endian(folder / "flat-zip.pt", folder / "deflated-big-endian.pt", state)
    torch.save(state, folder / "protocol4.pt", pickle_protocol=4)
    torch.save(list(state.values())[:1], folder / "no-state-dict.pt")


def deflated_big_endian(source, target, state):
    """The archive of a big-endian machine, packed again by an ordinary zip program."""
    order = iter(dict.fromkeys(t.untyped_storage()._cdata for t in state.values()))
    width = {}
    for number, cdata in enumerate(order):
        width[str(number)] = next(t.element_size() for t in state.values() if t.untyped_storage()._cdata == cdata)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            name = entry.filename.split("/", 1)[1]
            if name == "byteorder":
                data = b"big"
            elif name.startswith("data/"):
                data = np.frombuffer(data, f"u{width[name[5:]]}").byteswap().tobytes()
            new.writestr(zipfile.ZipInfo(entry.filename), data, zipfile.ZIP_DEFLATED)


def shared_checksums(shared, target):
    """CRC-32 of the bytes of every tensor of the pickled weights of the shared data, as torch.load gives them."""
    checksums = {}
    for path in sorted(p for folder in shared.glob("data/weights-*") for p in folder.rglob("*") if p.suffix in (".th", ".pt", ".pth")):
        loaded = torch.load(path, weights_only=True, map_location="cpu")
        state = loaded.get("state_dict", loaded)
        checksums[str(path.relative_to(shared))] = {
            name: zlib.crc32(tensor.contiguous().numpy().tobytes()) for name, tensor in state.items()
        }
    target.write_text(json.dumps(checksums, indent=0, separators=(",", ":")) + "\n")


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def hostile(folder):
    torch.save({"weight": torch.ones(2), "evil": Evil()}, folder / "evil-zip.pt")
    torch.save({"weight": torch.ones(2), "evil": Evil()}, folder / "evil-legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shared", type=Path, help="the shared data, for the checksums of its weights")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    onnx(folder)
    pickles(folder)
    hostile(folder)
    if arguments.shared:
        shared_checksums(arguments.shared, folder / "shared-weights.json")
