"""Goldens of the ranking metrics, from scikit-learn, and of the reciprocal rank as sentence-transformers' CrossEncoderRerankingEvaluator computes it.

pip install scikit-learn
python conformance/ranking_goldens.py train/src/test/resources/metrics/ranking.json
"""
import json
import sys

import numpy as np
from sklearn.metrics import average_precision_score, ndcg_score

rng = np.random.default_rng(3)
cases = []
for n, digits in [(5, 6), (20, 6), (20, 1), (40, 1), (3, 0)]:
    scores = rng.random(n).round(digits)
    relevant = rng.random(n) < 0.3
    relevant[int(rng.integers(n))] = True
    graded = np.where(relevant, rng.random(n), 0)
    order = np.argsort(-scores, kind="stable")
    first = next((1 / (i + 1) for i, k in enumerate(order[:10]) if relevant[k]), 0)
    cases.append({
        "scores": scores.tolist(), "relevant": relevant.tolist(), "graded": graded.tolist(),
        "average_precision": average_precision_score(relevant, scores), "mrr@10": first,
        "ndcg@10": ndcg_score([relevant.astype(float)], [scores], k=10), "ndcg@3_graded": ndcg_score([graded], [scores], k=3)})
with open(sys.argv[1], "w", encoding="utf-8") as f:
    f.write(json.dumps(cases, separators=(",", ":")) + "\n")
