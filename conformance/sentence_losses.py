"""Losses of sentence-transformers on given vectors: train/src/test/resources/sentence-losses.json. Needs sentence_transformers.

    python conformance/sentence_losses.py > train/src/test/resources/sentence-losses.json
"""
import json

import torch
from sentence_transformers.sentence_transformer.losses import (CoSENTLoss, CosineSimilarityLoss,
                                                               MultipleNegativesRankingLoss)
from sentence_transformers.sentence_transformer.losses.matryoshka import shrink

torch.manual_seed(3)
a, p, n, m = (torch.randn(5, 8) for _ in range(4))
scores = torch.tensor([0.9, 0.1, 0.5, 0.5, 0.0])
DIMS = [8, 4, 2]


def of(loss, columns, labels=None):
    columns = [c.clone().requires_grad_() for c in columns]
    value = loss(columns, labels)
    value.backward()
    return {"loss": value.item(), "gradient": columns[0].grad.flatten().tolist()}


def matryoshka(loss):
    return lambda c, labels: sum(loss([shrink(x, d) for x in c], labels) for d in DIMS)


mnrl = MultipleNegativesRankingLoss(None).compute_loss_from_embeddings
cosent = CoSENTLoss(None).compute_loss_from_embeddings
cosine = CosineSimilarityLoss(None).compute_loss_from_embeddings
print(json.dumps({
    "columns": [c.flatten().tolist() for c in (a, p, n, m)], "scores": scores.tolist(), "dims": DIMS,
    "ranking_pairs": of(mnrl, [a, p]),
    "ranking_triplets": of(mnrl, [a, p, n]),
    "ranking_two_negatives": of(mnrl, [a, p, n, m]),
    "cosent": of(cosent, [a, p], scores),
    "cosine": of(cosine, [a, p], scores),
    "matryoshka_ranking": of(matryoshka(mnrl), [a, p, n]),
    "matryoshka_cosent": of(matryoshka(cosent), [a, p], scores),
}, indent=1))
