#!/usr/bin/env python3
"""Random sentence-transformers folders and cross-encoders of every encoder family, in the form of shared/golden: pooling modes alone and together, prompts that count or not, dense layers, norms,
truncate_dim, max_seq_length, do_lower_case, similarity functions, the spellings of older versions. Made with sentence-transformers 6.2.0, transformers 5.23.0. A case is KIND/FAMILY-SEED.
usage: sentence_fuzz.py OUT_FOLDER TOKENIZERS_FOLDER FAMILY|all FIRST_SEED COUNT      (TOKENIZERS_FOLDER: core/src/test/resources/tokenizers)"""
import json, random, shutil, sys
from pathlib import Path
OUT, FIRST, COUNT, ONLY = Path(sys.argv[1]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[3]
import random_pipelines as P  # reads the first two arguments
import torch
import transformers as T
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Dropout, LayerNorm, Pooling

torch.set_num_threads(1)
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
FLAGS = dict(cls="cls_token", max="max_tokens", mean="mean_tokens", mean_sqrt_len_tokens="mean_sqrt_len_tokens", weightedmean="weightedmean_tokens", lasttoken="lasttoken")
NN = ["Tanh", "Identity", "ReLU", "GELU", "SiLU", "Sigmoid", "LeakyReLU", "ReLU6", "Mish", "ELU", "Softplus", "Softsign", "Hardtanh", "Hardswish", "SELU", "CELU", "LogSigmoid", "Tanhshrink", "Softmax"]


def edit(f, change):
    c = json.loads(f.read_text())
    change(c)
    f.write_text(json.dumps(c, indent=1, ensure_ascii=False) + "\n")


def sentence(r, d, family, seed):
    P.build(r, d, family, T.AutoModel, seed)
    (d / "model").rename(d / "encoder")
    kw = {}
    if r.random() < 0.4:
        kw["max_seq_length"] = r.choice([5, 9, 16, 500])
    enc = Transformer(str(d / "encoder"), **kw)
    dim = enc.get_embedding_dimension()
    modes = r.sample(MODES, r.choice([1, 1, 1, 2, 3]))
    parts = [enc, Pooling(dim, modes if len(modes) > 1 or r.random() < 0.3 else modes[0], include_prompt=r.random() < 0.6)]
    dim *= len(modes)
    for _ in range(r.choice([0, 0, 1, 2, 3])):
        kind = r.choice(["dense", "dense", "norm", "normalize", "dropout"])
        if kind == "dense":
            out = r.choice([dim, 5, 9])
            act = getattr(torch.nn, r.choice(NN[:9] if r.random() < 0.8 else NN))
            parts.append(Dense(dim, out, bias=r.random() < 0.7, activation_function=act() if act is not torch.nn.Softmax else act(dim=-1), **(dict(use_residual=True) if r.random() < 0.2 else {})))
            dim = out
        elif kind == "norm":
            parts.append(LayerNorm(dim))
        else:
            parts.append(Normalize() if kind == "normalize" else Dropout(0.3))
    for i, p in enumerate(parts[1:]):
        P.rand(p, seed + i)
    options = {}
    if r.random() < 0.5:
        options["prompts"] = r.choice([{"query": "query: ", "passage": "passage : "}, {"web": "x", "query": "Find é : "}, {"document": "the "}])
        if r.random() < 0.5:
            options["default_prompt_name"] = r.choice(list(options["prompts"]))
    if r.random() < 0.3:
        options["truncate_dim"] = r.choice([1, 3, 1000])
    if r.random() < 0.4:
        options["similarity_fn_name"] = r.choice(["cosine", "dot", "euclidean", "manhattan"])
    SentenceTransformer(modules=parts, device="cpu", **options).save_pretrained(str(d / "model"))
    shutil.rmtree(d / "encoder")
    m = d / "model"
    if r.random() < 0.3:  # as versions before 5 wrote it
        flags = {f"pooling_mode_{FLAGS[x]}": x in modes for x in MODES}
        f = m / "1_Pooling/config.json"
        edit(f, lambda c: (c.pop("pooling_mode", None), c.update(flags, word_embedding_dimension=c.pop("embedding_dimension", 8))))
        modes = [x for x in MODES if x in modes]
        edit(m / "modules.json", lambda c: [e.update(type="sentence_transformers.models." + e["type"].split(".")[-1]) for e in c])
        limits = {}
        if r.random() < 0.7:
            limits["max_seq_length"] = r.choice([6, 12, None])
        if r.random() < 0.6:
            limits["do_lower_case"] = r.random() < 0.6
        (m / "sentence_bert_config.json").write_text(json.dumps(limits))
    st = SentenceTransformer(str(m), device="cpu")
    texts = [P.text(r, 1, 12) for _ in range(3)] + [P.text(r, 50, 60)]
    kw = {}
    for k, pick in dict(prompt_name=lambda: r.choice(list(st.prompts) or [None]), prompt=lambda: r.choice(["", "pre ", "query: "]), truncate_dim=lambda: r.choice([2, 4]), normalize_embeddings=lambda: r.random() < 0.7).items():
        if r.random() < 0.25:
            kw[k] = pick()
    runs = [dict(task="sentence-embedding", inputs=texts, kwargs=kw, expected=st.encode(texts, **kw).tolist())]
    fn = r.choice([None, None, "cosine", "dot", "euclidean", "manhattan"])
    if fn:
        st.similarity_fn_name = fn
    e = st.encode(texts)
    runs.append(dict(task="sentence-similarity", inputs=[dict(source_sentence=texts[0], sentences=texts[1:])], kwargs=dict(similarity_fn_name=fn) if fn else {}, expected=[st.similarity(e[:1], e[1:])[0].tolist()]))
    return runs


def ranking(r, d, family, seed):
    P.build(r, d, family, T.AutoModelForSequenceClassification, seed, num_labels=1)
    m = str(d / "model")
    if r.random() < 0.6:
        options = {}
        if r.random() < 0.5:
            options["prompts"] = {"web": "query: ", "x": "é "}
            if r.random() < 0.5:
                options["default_prompt_name"] = "web"
        if r.random() < 0.4:
            options["max_length"] = r.choice([8, 14])
        if r.random() < 0.5:
            options["activation_fn"] = getattr(torch.nn, r.choice(NN[:6]))()
        CrossEncoder(m, device="cpu", **options).save_pretrained(m)
    elif r.random() < 0.5:
        edit(d / "model/config.json", lambda c: c.update(sentence_transformers=dict(activation_fn="torch.nn.modules.linear.Identity", version="4.1.0")) if r.random() < 0.5
             else c.update(sbert_ce_default_activation_function="torch.nn.modules.activation.Sigmoid"))
    ce = CrossEncoder(m, device="cpu")
    inputs = [dict(query=P.text(r, 1, 5), documents=[P.text(r, 1, 12) for _ in range(3)] + [P.text(r, 50, 60)]) for _ in range(2)]
    kw = {}
    if r.random() < 0.3:
        kw["top_k"] = r.choice([1, 2, 50])
    if r.random() < 0.3:
        kw["return_documents"] = True
    if r.random() < 0.2 and ce.prompts:
        kw["prompt_name"] = r.choice(list(ce.prompts))
    if r.random() < 0.2:
        kw["prompt"] = "pre "
    call = dict(kw)
    if r.random() < 0.3:
        kw["activation_fn"] = "torch.nn." + r.choice(NN[:6])
        call["activation_fn"] = getattr(torch.nn, kw["activation_fn"].split(".")[-1])()
    expected = [[{"index": e.pop("corpus_id")} | e for e in ce.rank(x["query"], x["documents"], **call)] for x in inputs]
    return [dict(task="text-ranking", inputs=inputs, kwargs=kw, expected=P.plain(expected))]


KINDS = dict(sentence=sentence, ranking=ranking)
if __name__ == "__main__":
    made = 0
    for kind, make in KINDS.items():
        for family in P.FAMILIES if ONLY == "all" else ONLY.split(","):
            for seed in range(FIRST, FIRST + COUNT):
                r = random.Random(f"{kind}-{family}-{seed}")
                d = OUT / kind / f"{family}-{seed}"
                shutil.rmtree(d, ignore_errors=True)
                try:
                    runs = make(r, d, family, seed)
                except Exception as e:
                    print(f"{kind}/{family}-{seed}: refused: {type(e).__name__}: {str(e).strip()[:200]}", flush=True)
                    shutil.rmtree(d, ignore_errors=True)
                    continue
                for extra in list(d.rglob("README.md")) + list(d.rglob(".gitattributes")):
                    extra.unlink()
                for i, run in enumerate(runs):  # check.py knows one pipeline a case
                    e = d if i == 0 else d.with_name(f"{d.name}-{i}")
                    if i:
                        shutil.rmtree(e, ignore_errors=True)
                        e.mkdir()
                        (e / "model").symlink_to((d / "model").resolve())
                    (e / "case.json").write_text(json.dumps(dict(family=family, architecture=kind, what=json.dumps(run["kwargs"]), pipeline=run), ensure_ascii=False) + "\n", encoding="utf-8")
                    made += 1
    print(made, "cases")
