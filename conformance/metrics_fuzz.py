#!/usr/bin/env python3
"""Metrics of odd predictions (one class, constants, ties, empty texts, other scripts) by "headstart evaluate" beside scikit-learn, scipy, seqeval, sacrebleu, rouge-score and SQuAD's measures.
usage: metrics_fuzz.py HEADSTART FIRST_SEED COUNT      (a HEADSTART that ends in .py has a function run(arguments, folder)); prints what differs"""
import importlib.util, json, math, random, subprocess, sys, tempfile, warnings
from pathlib import Path
import numpy as np
import sacrebleu
from rouge_score import rouge_scorer
from scipy import stats
from seqeval import metrics as seq
from sklearn import metrics as sk

warnings.filterwarnings("ignore")
BIN = sys.argv[1]
if BIN.endswith(".py"):
    spec = importlib.util.spec_from_file_location("bin_under_test", BIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
TMP = Path(tempfile.mkdtemp())
bad = done = 0


def evaluate(task, refs, preds, *more):
    for name, rows in (("r", refs), ("p", preds)):
        (TMP / f"{name}.jsonl").write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in rows), encoding="utf-8")
    args = ["evaluate", "--task", task, "--json", "--resamples", "0", "--references", str(TMP / "r.jsonl"), "--predictions", str(TMP / "p.jsonl"), *more]
    try:
        out = module.run(args, TMP) if BIN.endswith(".py") else subprocess.run([BIN] + args, capture_output=True, text=True, check=True).stdout
    except Exception as e:
        return {"error": getattr(e, "stderr", None) or str(e)}
    return json.loads(out)


def value(got, *names):
    for n in names:
        v = got.get("metrics", got).get(n)
        if v is not None:
            return v["value"] if isinstance(v, dict) else v
    return None


def compare(what, got, want, show):
    global bad, done
    done += 1
    for names, w in want.items():
        g = value(got, *names.split("|"))
        if g == "NaN":
            g = math.nan
        same = g is not None and (math.isnan(w) and (g != g) or abs(g - w) <= 1e-6 + 1e-6 * abs(w)) or g is None and math.isnan(w)
        if not same:
            bad += 1
            print(what, names, "got", g, "want", w, "|", str(show)[:400], "|", str(got)[:300])


WORDS = "the a cat dog sat on mat, and... (ran) 3.5 1,000 U.S. well-known said: “hello” don't naïve Straße 東京 🙂 e-mail #tag it's $5 running the the İ ﬁ".split()
sentence = lambda r, n: " ".join(r.choice(WORDS) for _ in range(n))
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + int(sys.argv[3])):
    r = random.Random(seed)
    names = [f"c{i}" for i in range(r.choice([1, 2, 2, 3, 5]))]
    n = r.choice([1, 2, 3, 10, 40])
    y = [r.choice(names if r.random() < 0.9 else names[:1]) for _ in range(n)]
    p = [t if r.random() < 0.6 else r.choice(names) for t in y]
    got = evaluate("text-classification", [{"label": t} for t in y], [{"label": t} for t in p])
    want = {"accuracy": sk.accuracy_score(y, p), "matthews_correlation|mcc": sk.matthews_corrcoef(y, p)}
    for avg in ("macro", "weighted"):
        a, b, c, _ = sk.precision_recall_fscore_support(y, p, average=avg, zero_division=0)
        want |= {f"f1_{avg}|{avg}_f1": c, f"precision_{avg}|{avg}_precision": a, f"recall_{avg}|{avg}_recall": b}
    compare(f"classification-{seed}", got, want, (y, p))
    x = [r.choice([0.0, 1.0, 2.5, -3.0, r.gauss(0, 1)]) for _ in range(n)]
    z = [v if r.random() < 0.3 else r.choice([0.0, 1.0, r.gauss(0, 1)]) for v in x]
    if r.random() < 0.2:
        z = [1.0] * n
    got = evaluate("regression", [{"label": v} for v in x], [{"score": v} for v in z])
    want = {"mse|mean_squared_error": sk.mean_squared_error(x, z), "mae|mean_absolute_error": sk.mean_absolute_error(x, z)}
    if n > 1:
        want |= {"r2": sk.r2_score(x, z), "pearson": stats.pearsonr(x, z)[0], "spearman|spearmanr": stats.spearmanr(x, z)[0]}
    compare(f"regression-{seed}", got, want, (x, z))
    tag = lambda: r.choice(["O", "O"] + [f"{a}-{b}" for a in "BIES" for b in ("PER", "LOC")])
    refs = [[tag() for _ in range(r.randint(1, 7))] for _ in range(r.randint(1, 6))]
    if r.random() < 0.2:
        refs = [["O"] * len(s) for s in refs]
    preds = [[t if r.random() < 0.6 else tag() for t in s] for s in refs]
    got = evaluate("token-classification", [{"tags": s} for s in refs], [{"tags": s} for s in preds])
    compare(f"tags-{seed}", got, {"precision": float(seq.precision_score(refs, preds, zero_division=0)), "recall": float(seq.recall_score(refs, preds, zero_division=0)), "f1": float(seq.f1_score(refs, preds, zero_division=0)),
                                  "accuracy": float(seq.accuracy_score(refs, preds))}, (refs, preds))
    m = r.choice([1, 2, 6])
    refs = [sentence(r, r.randint(1, 12)) for _ in range(m)]
    hyps = [r.choice(["", s, sentence(r, r.randint(1, 8)), " ".join(w for w in s.split() if r.random() < 0.8)]) for s in refs]
    got = evaluate("translation", [{"translation": s} for s in refs], [{"translation": s} for s in hyps])
    compare(f"translation-{seed}", got, {"bleu": sacrebleu.corpus_bleu(hyps, [refs]).score, "chrf": sacrebleu.corpus_chrf(hyps, [refs]).score}, (refs, hyps))
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"])
    s = [scorer.score(a, b) for a, b in zip(refs, hyps)]
    got = evaluate("summarization", [{"summary": t} for t in refs], [{"summary": t} for t in hyps])
    compare(f"summarization-{seed}", got, {k: float(np.mean([v[k].fmeasure for v in s])) for k in ("rouge1", "rouge2", "rougeL", "rougeLsum")}, (refs, hyps))
print(done, "comparisons,", bad, "values differ")
