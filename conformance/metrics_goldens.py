"""Goldens of the evaluation metrics, from the reference implementations.

pip install scikit-learn scipy seqeval sacrebleu rouge-score transformers==4.57.3
python conformance/metrics_goldens.py train/src/test/resources/metrics
"""
import json
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import sacrebleu
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer
from scipy import stats
from seqeval import metrics as seq
from seqeval import scheme as schemes
from sklearn import metrics as sk
from transformers.data.metrics import squad_metrics

warnings.filterwarnings("ignore")
out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(7)
random.seed(7)


def save(name, data):
    (out / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def ece(conf, correct, bins=15):
    edges = np.linspace(0, 1, bins + 1)
    total = 0.0
    for lo, hi in zip(edges[:-1], edges[1:]):
        inside = (conf > lo) & (conf <= hi)
        if inside.any():
            total += inside.mean() * abs(conf[inside].mean() - correct[inside].mean())
    return total


cases = []
for classes, n, absent in [(2, 60, False), (5, 120, False), (5, 40, True), (2, 10, False)]:
    y = rng.integers(0, classes - 1 if absent else classes, n)
    y[: classes - 1] = np.arange(classes - 1)
    logits = rng.normal(size=(n, classes)) + 1.2 * np.eye(classes)[y]
    if absent:
        logits[:, -1] = -50
    probs = softmax(logits)
    p = probs.argmax(-1)
    case = {"classes": classes, "references": y.tolist(), "predictions": p.tolist(), "probabilities": probs.tolist(),
            "accuracy": sk.accuracy_score(y, p), "mcc": sk.matthews_corrcoef(y, p),
            "ece": ece(probs[np.arange(n), p], (p == y).astype(float))}
    for avg in ["macro", "micro", "weighted"]:
        a, b, c, _ = sk.precision_recall_fscore_support(y, p, average=avg, zero_division=0)
        case[avg] = [a, b, c]
    if classes == 2:
        case["auc"] = sk.roc_auc_score(y, probs[:, 1])
        case["auc_ties"] = sk.roc_auc_score(y, probs[:, 1].round(1))
    elif not absent:
        case["auc_ovr"] = sk.roc_auc_score(y, probs, multi_class="ovr")
        case["auc_ovr_weighted"] = sk.roc_auc_score(y, probs, multi_class="ovr", average="weighted")
    cases.append(case)
multi_y = rng.random((50, 6)) < 0.3
multi_p = multi_y ^ (rng.random((50, 6)) < 0.2)
multi_y[:, 5] = False
multi = {"references": multi_y.astype(int).tolist(), "predictions": multi_p.astype(int).tolist(), "subset_accuracy": sk.accuracy_score(multi_y, multi_p)}
for avg in ["macro", "micro", "weighted"]:
    multi[avg] = list(sk.precision_recall_fscore_support(multi_y, multi_p, average=avg, zero_division=0)[:3])
x = rng.normal(size=80)
z = 0.7 * x + rng.normal(size=80)
zr = z.round(0)
reg = {"references": x.tolist(), "predictions": z.tolist(), "ties": zr.tolist(), "pearson": stats.pearsonr(x, z)[0], "spearman": stats.spearmanr(x, z)[0],
       "spearman_ties": stats.spearmanr(x, zr)[0], "mse": sk.mean_squared_error(x, z), "mae": sk.mean_absolute_error(x, z), "r2": sk.r2_score(x, z)}
save("classification", {"single": cases, "multi": multi, "regression": reg})

# Tag sequences of every prefix, so that broken sequences are common.
seqs = []
for scheme, prefixes in [(None, "BIESO"), (None, "BIO"), ("IOB1", "BIO"), ("IOB2", "BIO"), ("IOE1", "IEO"), ("IOE2", "IEO"), ("IOBES", "BIOES"), ("BILOU", "BILOU")]:
    def tag():
        c = random.choice(prefixes + "OO")
        return "O" if c == "O" else c + "-" + random.choice(["PER", "LOC", "MISC-X"])
    ref = [[tag() for _ in range(random.randint(1, 9))] for _ in range(25)]
    pred = [[t if random.random() < 0.6 else tag() for t in s] for s in ref]
    kw = {} if scheme is None else {"mode": "strict", "scheme": getattr(schemes, scheme)}
    case = {"scheme": scheme or "default", "references": ref, "predictions": pred}
    for avg in ["macro", "micro", "weighted"]:
        case[avg] = [float(f(ref, pred, average=avg, zero_division=0, **kw)) for f in (seq.precision_score, seq.recall_score, seq.f1_score)]
    report = seq.classification_report(ref, pred, output_dict=True, zero_division=0, **kw)
    case["types"] = {k: [float(v["precision"]), float(v["recall"]), float(v["f1-score"]), int(v["support"])] for k, v in report.items() if not k.endswith("avg")}
    seqs.append(case)
save("seqeval", seqs)

answers = [("the Cat.", ["A cat"]), ("", ["x"]), ("", []), ("something", []), ("U.S.A.", ["USA", "America"]), ("in the year 1990", ["1990", "year 1990"]),
           ("The the an", ["a"]), ("Ångström’s théâtre", ["theatre", "ångström’s théâtre"]), ("a-b c", ["ab c"]), ("two two three", ["two three three two"]),
           ("an_other the_x", ["other x"]), ("  spaced\u00a0out  ", ["spaced out"]), ("another thesis", ["other sis"])]
squad = []
for pred, golds in answers:
    g = golds or [""]
    squad.append({"prediction": pred, "answers": golds, "normalized": squad_metrics.normalize_answer(pred),
                  "em": max(squad_metrics.compute_exact(a, pred) for a in g), "f1": float(max(squad_metrics.compute_f1(a, pred) for a in g))})
save("squad", squad)

words = "the a cat dog sat on mat, and... (ran) 3.5 1,000 U.S. well-known 1990-95 said: “hello” don't 50% &amp; naïve Straße 東京 🙂 e-mail @user #tag it's $5 running quickly.".split()


def sentence(n):
    return " ".join(random.choice(words) for _ in range(n))


def noisy(s):
    w = s.split()
    return " ".join(random.choice(words) if random.random() < 0.25 else t for t in w if random.random() > 0.1)


mt = []
for size, nrefs in [(30, 1), (12, 3), (1, 1), (4, 1), (2, 2)]:
    refs = [[sentence(random.randint(1, 18)) for _ in range(size)]]
    hyps = [noisy(s) for s in refs[0]]
    for _ in range(nrefs - 1):
        refs.append([noisy(s) for s in refs[0]])
    if size == 12:
        hyps[3] = ""
        hyps[4] = " tail\u00a0space \u2003 and-\nbreak &quot;x&quot; &lt;b&gt; <skipped>\t "
    mt.append({"hypotheses": hyps, "references": [list(r) for r in zip(*refs)], "bleu": sacrebleu.corpus_bleu(hyps, refs).score, "chrf": sacrebleu.corpus_chrf(hyps, refs).score,
               "tokens": [sacrebleu.tokenizers.tokenizer_13a.Tokenizer13a()(h.rstrip()) for h in hyps]})
mt.append({"hypotheses": ["x y"], "references": [["a b"]], "bleu": sacrebleu.corpus_bleu(["x y"], [["a b"]]).score, "chrf": sacrebleu.corpus_chrf(["x y"], [["a b"]]).score, "tokens": ["x y"]})
save("translation", mt)

vocab = "policeman policemen generously generalization running ran happily skies dying news innings organisation electricity relational agreed hopping falling fizzed communism analogies geology theologian fully hopefulness possibly y yes a the of it 42 x1 naïve".split()
rouge = []
for i in range(40):
    lines = [" ".join(random.choice(vocab) for _ in range(random.randint(1, 10))) for _ in range(random.randint(1, 4))]
    ref = "\n".join(lines)
    random.shuffle(lines)
    pred = "\n".join(" ".join(random.choice(vocab) if random.random() < 0.3 else w for w in l.split()) for l in lines)
    if i == 0:
        pred = ""
    if i == 1:
        pred, ref = "?!", "...\n\n--"
    if i == 2:
        pred = pred.replace("\n", "\n\n") + "\n"
    case = {"reference": ref, "prediction": pred}
    for stem in [False, True]:
        s = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=stem).score(ref, pred)
        case["stem" if stem else "plain"] = {k: [float(v.precision), float(v.recall), float(v.fmeasure)] for k, v in s.items()}
    rouge.append(case)
save("rouge", rouge)

stems = ["aeiou", "tr", "hop", "fil", "yell", "troubl", "oat", "geo", "archaeo", "sky", "enjo", "cr", "univers", "conform", "syzyg", "gener", "abc", "w", "bol"]
ends = "s es ies sses ss ed eed ied ing y ational tional enci anci izer abli bli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent sion tion ion ou ism ate iti ous ive ize e ll lle ating bling izing lled ssing zzed pping".split()
vocabulary = sorted({a + b for a in stems for b in ends} | {"skies", "sky", "dying", "lying", "tying", "news", "innings", "inning", "outings", "outing", "cannings", "canning", "howe", "proceed", "exceed", "succeed", "spied", "died", "flies", "fly", "say", "by", "yyyyy", "x", "is", "4s", "1990s", "b2b"})
stemmer = PorterStemmer()
save("porter", {w: stemmer.stem(w) for w in vocabulary})

# sacrebleu's other tokenizers, lower case, chrF++; scripts of several kinds
mixed = "Das Haus, das „alte“, kostet 1.000,50 € (ca. $1,100)! 我们在北京看到了3只猫。 Это дом; а там—река? ¿Qué tal? ½ кг №5 U+2028:\u2028x ☃snow ①② ｗｉｄｅ １２ 😀face 'tis it's e-mail 3-4 v2.0.".split(" ")
settings = []
for lowercase, nrefs in [(False, 1), (True, 1), (False, 3), (True, 2)]:
    refs = [[" ".join(random.choice(mixed + words) for _ in range(random.randint(1, 14))) for _ in range(14)]]
    hyps = [" ".join(random.choice(mixed) if random.random() < 0.2 else (w.upper() if random.random() < 0.1 else w) for w in s.split(" ") if random.random() > 0.1) for s in refs[0]]
    for _ in range(nrefs - 1):
        refs.append([noisy(s) for s in refs[0]])
    hyps[2] = ""
    case = {"hypotheses": hyps, "references": [list(r) for r in zip(*refs)], "lowercase": lowercase, "bleu": {}, "tokens": {},
            "chrf": sacrebleu.CHRF(lowercase=lowercase).corpus_score(hyps, refs).score, "chrf++": sacrebleu.CHRF(word_order=2, lowercase=lowercase).corpus_score(hyps, refs).score}
    for name in ["13a", "intl", "char", "zh", "none"]:
        metric = sacrebleu.BLEU(tokenize=name, lowercase=lowercase)
        case["bleu"][name] = metric.corpus_score(hyps, refs).score
        case["tokens"][name] = [" ".join(metric._preprocess_segment(h).split()) for h in hyps]
    settings.append(case)
save("translation-settings", settings)
