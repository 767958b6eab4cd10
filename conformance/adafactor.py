#!/usr/bin/env python3
"""Weights after three steps of transformers' Adafactor: train/src/test/resources/adafactor.json.
usage: adafactor.py FILE     (needs transformers 5.23, torch 2.10)"""
import json, math, sys
import torch
from transformers.optimization import Adafactor

RATES, SHAPES, DECAY = [1e-2, 2e-2, 5e-3], {"matrix": (12, 8), "vector": (8,)}, 0.1


def values(shape, seed):
    n = math.prod(shape)
    return torch.tensor([math.sin(seed + 0.7 * i) for i in range(n)], dtype=torch.float32).view(shape)


cases = []
for scale in (True, False):
    weights = {name: torch.nn.Parameter(values(shape, k)) for k, (name, shape) in enumerate(SHAPES.items())}
    optimizer = Adafactor(weights.values(), lr=1.0, scale_parameter=scale, relative_step=False, weight_decay=DECAY)
    for step, lr in enumerate(RATES):
        optimizer.param_groups[0]["lr"] = lr
        for k, (name, w) in enumerate(weights.items()):
            w.grad = values(SHAPES[name], 10 * (step + 1) + k) * 0.1
        optimizer.step()
    cases.append({"scale_parameter": scale, "weight_decay": DECAY, "rates": RATES, **{n: w.detach().flatten().tolist() for n, w in weights.items()}})
json.dump(cases, open(sys.argv[1], "w"), indent=1)
