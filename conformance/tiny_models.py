"""What the scripts that make vision cases share: random weights, flattened outputs, pictures."""
import numpy as np
import torch
from PIL import Image


def randomise(model, seed, scale=1.0, ones=("weight",)):
    """Weights whose outputs are neither all alike nor large. ones: how the names of vectors end that multiply, and so lie about 1."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in list(model.named_parameters()) + list(model.named_buffers()):
            if not p.is_floating_point():
                continue
            if name.endswith("running_var"):
                p.copy_(torch.rand(p.shape, generator=g) + 0.5)
            elif p.ndim <= 1 and name.endswith(ones):
                p.copy_(1 + 0.2 * torch.randn(p.shape, generator=g))
            else:
                fan = max(1, p[0].numel()) if p.ndim > 1 else 25
                p.copy_(scale * torch.randn(p.shape, generator=g) * min(0.5, fan ** -0.5))


def flat(o, prefix=""):
    """The tensors of a ModelOutput under the names that case files use: tuples by index, outputs inside by a dot."""
    res = {}
    for k, v in o.items():
        if torch.is_tensor(v):
            res[prefix + k] = v
        elif isinstance(v, (tuple, list)):
            res.update({f"{prefix}{k}.{i}": x for i, x in enumerate(v) if torch.is_tensor(x)})
        elif hasattr(v, "items"):
            res.update(flat(v, f"{prefix}{k}."))
    return res


def some(r, d, p=0.5):
    """A random part of the given fields."""
    return {k: v() if callable(v) else v for k, v in d.items() if r.random() < p}


def photo(w, h, seed, noise=4):
    """Soft shapes, coloured discs with hard edges and some noise, as photographs have them."""
    g = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    a = np.zeros((h, w, 3))
    for c in range(3):
        for _ in range(4):
            a[..., c] += np.sin(g.uniform(0, 14) * x + g.uniform(0, 14) * y + g.uniform(0, 6.3))
    for _ in range(4):
        cx, cy, r = g.uniform(0.1, 0.9, 3)
        a[(x - cx) ** 2 + (y - cy) ** 2 < (r / 6) ** 2] = g.uniform(-3, 3, 3)
    return Image.fromarray((127 + 35 * a + g.normal(0, noise, a.shape)).clip(0, 255).astype(np.uint8))
