#!/usr/bin/env python3
"""Small goldens of text pipelines: zero-shot-classification and fill-mask (transformers 5.23.0), text-ranking, sentence-embedding and sentence-similarity (sentence-transformers
6.2.0): one folder a model, case.json holds runs of {task, inputs, kwargs, expected}.
usage: pipeline_cases.py OUT_FOLDER [START_OF_NAME]        (core/src/test/resources/pipelines)"""
import json, shutil, sys
from pathlib import Path
import torch
import transformers as T
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize, Pooling
from sentence_transformers.base.modules import Transformer

ROOT = Path(sys.argv[1])
ONLY = sys.argv[2] if len(sys.argv) > 2 else ""
WORDS = """[PAD] [UNK] [CLS] [SEP] [MASK] the a movie film was is good bad not paris france capital of politics sport this example about text . , : query passage i like do what cat
dog runs sat on mat ##s ##ing no yes""".split()
TEXTS = ["the movie was not good", "paris is the capital of france .", "a cat sat on the mat , the dog runs", "what ?", "film " * 40]


def tokenizer(**kw):
    return T.BertTokenizerFast(vocab={w: i for i, w in enumerate(WORDS)}, model_max_length=32, **kw)


def config(**kw):
    return T.BertConfig(**(dict(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20, max_position_embeddings=32,
                                hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0) | kw))


def rand(model, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (0.4 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    return model.eval()


def start(name):
    if not name.startswith(ONLY):
        return None
    d = ROOT / name
    shutil.rmtree(d, ignore_errors=True)
    d.mkdir(parents=True)
    return d


def done(d, runs):
    (d / "case.json").write_text(json.dumps(dict(runs=runs)) + "\n")
    for extra in list(d.rglob("README.md")) + list(d.rglob(".gitattributes")):
        extra.unlink()
    print(d.name, sum(p.stat().st_size for p in d.rglob("*") if p.is_file()) // 1024, "KB", len(runs), "runs")


def plain(d, cls, seed, **kw):
    rand(cls(config(**kw)), seed).save_pretrained(d / "model")
    tokenizer().save_pretrained(d / "model")
    return str(d / "model")


# === transformers' pipelines ===

def pipeline_case(name, cls, seed, task, calls, edit=None, **kw):
    d = start(name)
    if d is None:
        return
    m = plain(d, cls, seed, **kw)
    if edit:
        f = d / "model/config.json"
        c = json.loads(f.read_text())
        edit(c)
        f.write_text(json.dumps(c, indent=1) + "\n")
    p = T.pipeline(task, model=m)
    runs = []
    for inputs, kwargs in calls:
        out = [p(x, **kwargs) for x in inputs]
        runs.append(dict(task=task, inputs=inputs, kwargs=kwargs, expected=out))
    done(d, runs)


nli = dict(id2label={0: "ENTAILMENT", 1: "neutral", 2: "contradiction"}, label2id={"ENTAILMENT": 0, "neutral": 1, "contradiction": 2})
labels = ["politics", "sport", "film"]
pipeline_case("zero-shot-entailment-first", T.BertForSequenceClassification, 3, "zero-shot-classification", [
    (TEXTS, dict(candidate_labels=labels)),
    (TEXTS[:2], dict(candidate_labels="politics, sport,, film")),
    (TEXTS[:2], dict(candidate_labels=labels, multi_label=True)),
    (TEXTS[:2], dict(candidate_labels=["film"])),
    (TEXTS[:3], dict(candidate_labels=labels, hypothesis_template="the text is about {} .")),
    (TEXTS[:1], dict(candidate_labels=labels, hypothesis_template="{{a}} {0} {0}"))], **nli)
pipeline_case("zero-shot-no-entailment", T.BertForSequenceClassification, 4, "zero-shot-classification",
              [(TEXTS[:2], dict(candidate_labels=labels)), (TEXTS[:2], dict(candidate_labels=labels, multi_label=True))], num_labels=3)
masked = ["the [MASK] was good", "[MASK] is the [MASK] of [MASK]", "a cat [MASK] on the mat"]
pipeline_case("fill-mask", T.BertForMaskedLM, 5, "fill-mask", [
    (masked, dict(top_k=3)),
    (masked, dict(targets=["cat", "dog", "film"])),
    (masked[:2], dict(targets="movies", top_k=2)),
    (masked[:2], dict(targets=["cat", "unheard"], top_k=5))])

# === Cross-encoders ===

def rank_case(name, seed, edit=None, calls=({},), max_length=None, prompts=None, **kw):
    d = start(name)
    if d is None:
        return
    m = plain(d, T.BertForSequenceClassification, seed, **kw)
    f = d / "model/config.json"
    c = json.loads(f.read_text())
    if edit:
        edit(c)
    f.write_text(json.dumps(c, indent=1) + "\n")
    if prompts:
        ce = CrossEncoder(m, device="cpu", prompts=prompts, max_length=max_length)
        ce.save_pretrained(m)
    ce = CrossEncoder(m, device="cpu")
    runs = []
    inputs = [dict(query="what is the capital of france", documents=[TEXTS[1], TEXTS[0], TEXTS[4], TEXTS[2]]), dict(query="a cat", documents=TEXTS[:3])]
    for kwargs in calls:
        call = dict(kwargs)
        if call.get("activation_fn"):
            call["activation_fn"] = getattr(torch.nn, call["activation_fn"].split(".")[-1])()
        expected = []
        for x in inputs:
            r = ce.rank(x["query"], x["documents"], **call)
            expected.append([{"index": e.pop("corpus_id")} | e for e in r])
        runs.append(dict(task="text-ranking", inputs=inputs, kwargs=kwargs, expected=expected))
    done(d, runs)


rank_case("ranking-sigmoid", 7, num_labels=1, calls=[{}, dict(top_k=2), dict(return_documents=True), dict(activation_fn="torch.nn.Identity")])
rank_case("ranking-identity", 8, lambda c: c.update(sentence_transformers=dict(activation_fn="torch.nn.modules.linear.Identity", version="4.0.1")), num_labels=1)
rank_case("ranking-older-spelling", 9, lambda c: c.update(sbert_ce_default_activation_function="torch.nn.modules.linear.Identity"), num_labels=1)
rank_case("ranking-prompts", 10, num_labels=1, max_length=12, prompts={"web": "query : "}, calls=[{}, dict(prompt_name="web"), dict(prompt="the ")])

# === Sentence-transformers ===

def sentence_case(name, seed, modules, calls=({},), options=None, edit=None, similarity=None, model=None, **kw):
    d = start(name)
    if d is None:
        return
    enc = d / "encoder"
    rand(model or T.BertModel(config(**kw)), seed).save_pretrained(enc)
    tokenizer(**(dict(model_input_names=["input_ids", "attention_mask"]) if model else {})).save_pretrained(enc)
    torch.manual_seed(seed)
    parts = [Transformer(str(enc))] + modules()
    for p in parts[1:]:
        rand(p, seed + 1)
    st = SentenceTransformer(modules=parts, device="cpu", **(options or {}))
    st.save_pretrained(str(d / "model"))
    shutil.rmtree(enc)
    if edit:
        edit(d / "model")
    st = SentenceTransformer(str(d / "model"), device="cpu")
    runs = []
    for kwargs in calls:
        runs.append(dict(task="sentence-embedding", inputs=TEXTS, kwargs=kwargs, expected=st.encode(TEXTS, **kwargs).tolist()))
    pair = dict(source_sentence=TEXTS[0], sentences=TEXTS[1:4])
    for fn in [None] + (similarity or []):
        if fn:
            st.similarity_fn_name = fn
        e = st.encode([pair["source_sentence"]] + pair["sentences"])
        runs.append(dict(task="sentence-similarity", inputs=[pair], kwargs=dict(similarity_fn_name=fn) if fn else {}, expected=[st.similarity(e[:1], e[1:])[0].tolist()]))
    done(d, runs)


def config_of(folder, **kw):
    def edit(m):
        f = m / folder
        c = json.loads(f.read_text())
        c.update(kw)
        f.write_text(json.dumps(c, indent=1) + "\n")
    return edit


MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
sentence_case("sentence-all-modes", 11, lambda: [Pooling(16, MODES)], calls=[{}, dict(prompt="query : ")], similarity=["dot", "euclidean", "manhattan", "cosine"])
sentence_case("sentence-without-prompt", 12, lambda: [Pooling(16, MODES, include_prompt=False)],
              options=dict(prompts={"query": "query : ", "passage": "passage : "}, default_prompt_name="passage"),
              calls=[{}, dict(prompt_name="query"), dict(prompt_name="document"), dict(prompt="")])


def legacy(m):  # the flags that folders had before sentence-transformers 5, and its short module names
    f = m / "1_Pooling/config.json"
    f.write_text(json.dumps(dict(word_embedding_dimension=16, pooling_mode_cls_token=False, pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True,
                                 pooling_mode_mean_sqrt_len_tokens=True, pooling_mode_weightedmean_tokens=False, pooling_mode_lasttoken=True, include_prompt=True)))
    f = m / "modules.json"
    modules = json.loads(f.read_text())
    for e in modules:
        e["type"] = "sentence_transformers.models." + e["type"].split(".")[-1]
    f.write_text(json.dumps(modules))
    (m / "sentence_bert_config.json").write_text(json.dumps(dict(max_seq_length=9, do_lower_case=True)))


sentence_case("sentence-legacy-flags", 13, lambda: [Pooling(16, "mean"), Normalize()], edit=legacy)
sentence_case("sentence-dense-norm", 14, lambda: [Pooling(16, "mean"), Dense(16, 12, activation_function=torch.nn.GELU(), bias=False), LayerNorm(12), Dense(12, 12, use_residual=True),
                                                  Dense(12, 6, use_residual=True, activation_function=torch.nn.Identity()), Normalize()],
              options=dict(truncate_dim=4, similarity_fn_name="euclidean"), calls=[{}, dict(truncate_dim=2), dict(truncate_dim=100), dict(truncate_dim=3, normalize_embeddings=True)])


def beside(m):  # the encoder in a folder of its own, as the first versions of sentence-transformers wrote it
    (m / "0_Transformer").mkdir()
    for f in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json"]:
        (m / f).rename(m / "0_Transformer" / f)
    f = m / "modules.json"
    modules = json.loads(f.read_text())
    modules[0]["path"] = "0_Transformer"
    f.write_text(json.dumps(modules))


sentence_case("sentence-encoder-beside", 15, lambda: [Pooling(16, "cls")], edit=beside)
t5 = T.T5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=20, num_layers=2, num_heads=2, decoder_start_token_id=0, dropout_rate=0.0)
sentence_case("sentence-t5", 16, lambda: [Pooling(16, "mean"), Dense(16, 8, bias=False, activation_function=torch.nn.Identity()), Normalize()], model=T.T5ForConditionalGeneration(t5))
