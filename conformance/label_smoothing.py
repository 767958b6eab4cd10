"""Losses with smoothed labels as transformers' Trainer computes them (LabelSmoother), and the norm of their gradient: train/src/test/resources/label-smoothing.json, on models and inputs of
core/src/test/resources/seq2seq.

    python conformance/label_smoothing.py > train/src/test/resources/label-smoothing.json
"""
import json
from pathlib import Path

import torch
import transformers as T
from safetensors.torch import load_file
from transformers.trainer_pt_utils import LabelSmoother

T.logging.set_verbosity_error()
CASES = Path(__file__).resolve().parent.parent / "core/src/test/resources/seq2seq"


def of(name, epsilon):
    model = T.AutoModelForSeq2SeqLM.from_pretrained(CASES / name / "model", dtype=torch.float32).eval()
    inputs = load_file(CASES / name / "inputs.safetensors")
    labels = inputs.pop("labels").clone()
    labels[0, -1] = -100  # counts for nothing
    batch = {"input_ids": inputs["input_ids"], "attention_mask": inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))}
    decoder = model.prepare_decoder_input_ids_from_labels(labels=labels)
    loss = LabelSmoother(epsilon)(model(**batch, decoder_input_ids=decoder), labels)
    loss.backward()
    norm = torch.sqrt(sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None))
    return {"model": name, "epsilon": epsilon, "batch": {k: v.tolist() for k, v in batch.items()}, "labels": labels.tolist(), "loss": loss.item(), "gradient_norm": norm.item()}


print(json.dumps([of(name, e) for name in ("bart-searches", "t5-gated-silu-decoder-shallow", "marian-searches") for e in (0.1, 0.35)]))
