"""Statistics of T5's random_spans_noise_mask (Raffel et al. 2020), for SpanMaskTest.

The mask: round(length * density) noise tokens in round(noise / mean) spans; noise and kept tokens are each cut into that
many non-empty pieces, every cut alike (a shuffled row of booleans marks where pieces begin); pieces alternate, kept first.

    python conformance/span_noise.py > train/src/test/resources/pretrain/span-noise.json
"""

import json

import numpy as np

DRAWS = 20000


def pieces(rng, items, count):
    begins = np.arange(items - 1) < count - 1
    rng.shuffle(begins)
    return np.bincount(np.cumsum(np.concatenate([[0], begins])), minlength=count)


def mask(rng, length, density, mean):
    noise = min(max(int(np.round(length * density)), 1), length - 1)
    kept = length - noise
    spans = max(int(np.round(min(noise, kept) / mean)), 1)
    lengths = np.stack([pieces(rng, kept, spans), pieces(rng, noise, spans)], axis=1).reshape(-1)
    starts = np.zeros(length, dtype=int)
    starts[np.cumsum(lengths)[:-1]] = 1
    return np.cumsum(starts) % 2 == 1, noise, spans


def input_and_target_lengths(inputs_length, density, mean):
    def lengths(tokens):
        noise = int(round(tokens * density))
        spans = int(round(noise / mean))
        return tokens - noise + spans + 1, noise + spans + 1

    tokens = inputs_length
    while lengths(tokens + 1)[0] <= inputs_length:
        tokens += 1
    inputs, targets = lengths(tokens)
    return tokens, inputs, targets


def main():
    rng = np.random.default_rng(0)
    cases = []
    for length, density, mean in [(20, 0.15, 3.0), (64, 0.15, 3.0), (142, 0.15, 3.0), (100, 0.5, 4.0), (568, 0.15, 3.0)]:
        runs = np.zeros(length + 1, dtype=int)
        at = np.zeros(length, dtype=int)
        for _ in range(DRAWS):
            m, noise, spans = mask(rng, length, density, mean)
            at += m
            edges = np.flatnonzero(np.diff(np.concatenate([[0], m.astype(int), [0]])))
            np.add.at(runs, edges[1::2] - edges[::2], 1)
        cases.append(
            {
                "length": length,
                "density": density,
                "mean": mean,
                "noise": noise,
                "spans": spans,
                "draws": DRAWS,
                "span_lengths": np.trim_zeros(runs, "b").tolist(),
                "masked_at": at.tolist(),
            }
        )
    fitting = []
    for inputs_length in (32, 64, 114, 128, 512):
        fitting.append([inputs_length, *input_and_target_lengths(inputs_length, 0.15, 3.0)])
    print(json.dumps({"cases": cases, "fitting": fitting}))


if __name__ == "__main__":
    main()
