#!/usr/bin/env python3
"""Random golden cases of text pipelines and tokenizers in the form of shared/golden: tiny models of every encoder family over tokenizers of every kind, odd texts (emoji, accents, other scripts, long, blank
places), and the pipelines' call arguments. A case is TASK/FAMILY-SEED. question-answering needs transformers 4.57.3 (PYTHONPATH), the others 5.23.0.
usage: random_pipelines.py OUT_FOLDER TOKENIZERS_FOLDER TASK|all FIRST_SEED COUNT      (TOKENIZERS_FOLDER: core/src/test/resources/tokenizers)"""
import json, random, shutil, sys, warnings
from pathlib import Path
import numpy as np
import torch
import transformers as T

warnings.filterwarnings("ignore")
T.logging.set_verbosity_error()
getattr(T.logging, "disable_progress_bar", lambda: None)()
ROOT, TOKENIZERS = Path(sys.argv[1]), Path(sys.argv[2])
# family: configuration class, tokenizers that go with it
FAMILIES = {
    "bert": (T.BertConfig, ["bert", "bert-accents"]), "distilbert": (T.DistilBertConfig, ["distilbert"]), "electra": (T.ElectraConfig, ["bert"]), "roberta": (T.RobertaConfig, ["roberta", "roberta-prefix"]),
    "xlm-roberta": (T.XLMRobertaConfig, ["xlm-roberta"]), "albert": (T.AlbertConfig, ["albert"]), "deberta-v2": (T.DebertaV2Config, ["deberta-v2"]), "mpnet": (T.MPNetConfig, ["bert-mpnet"]),
    "modernbert": (T.ModernBertConfig, ["roberta"]), "camembert": (T.XLMRobertaConfig, ["camembert"]),
}
PIECES = ["Paris", "is", "the", "capital", "of", "France", ".", ",", "!", "don't", "café", "naïve", "Über", "😀", "👍🏽", "👨‍👩‍👧", "日本語", "Москва", "مرحبا", "e\u0301", "ﬁne", "A", "a", "x1", "3.14",
          "New-York", "U.S.A.", "(brackets)", "happy", "families", "shells", "Ishmael", "sells", "sea", "shore", "it's", "``quoted''", "nb\u00a0sp", "zero\u200bwidth", "ＦＵＬＬ", "<b>", "[x]", "#tag", "@me",
          "𝔘nicode", "İstanbul", "ß", "…", "—", "\u00ad", "very" * 6, "..", "''", "%", "$5"]
SPACES = [" ", " ", " ", " ", " ", " ", "  ", "\n", "\t", "", " \u3000"]


def text(r, least=1, most=14):
    out = ""
    for i in range(r.randint(least, most)):
        out += (r.choice(SPACES) if i else r.choice(["", "", "", " "])) + r.choice(PIECES)
    return out if out.strip() else "a"


def config(r, family, size, pad, **kw):
    heads = r.choice([1, 2])
    h, layers, most = heads * 4, r.randint(1, 2), r.choice([40, 64, 130]) if family not in ("deberta-v2", "modernbert", "mpnet") else 160  # which have no end, or count only what is not padding
    places = 24 if family in ("deberta-v2", "modernbert") else most  # relative and rotary positions have no end: the tokenizer's limit alone counts
    common = dict(vocab_size=size, hidden_size=h, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=9, max_position_embeddings=places, pad_token_id=pad)
    cls = FAMILIES[family][0]
    if family == "distilbert":
        common = dict(vocab_size=size, dim=h, n_layers=layers, n_heads=heads, hidden_dim=9, max_position_embeddings=most, pad_token_id=pad)
    if family == "modernbert":
        common |= dict(local_attention=8, bos_token_id=0, eos_token_id=2, cls_token_id=0, sep_token_id=2)
    if family == "deberta-v2":
        common |= dict(relative_attention=True, position_buckets=8, pos_att_type="p2c|c2p", share_att_key=True, norm_rel_ebd="layer_norm", position_biased_input=False)
    if family in ("electra", "albert"):
        common |= dict(embedding_size=6)
    return cls(**common, **kw), most


def rand(model, seed, scale=0.5):
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (scale if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    return model.eval()


def build(r, d, family, auto, seed, **kw):
    """model and tokenizer in a folder; the tokenizer as transformers loads it from there"""
    source = r.choice(FAMILIES[family][1])
    m = d / "model"
    m.mkdir(parents=True)
    shutil.copytree(TOKENIZERS / source.replace("bert-mpnet", "bert"), m, dirs_exist_ok=True, ignore=shutil.ignore_patterns("golden.json"))
    if r.random() < 0.5 or source == "bert-mpnet" or family == "modernbert" or T.__version__[0] == "4":  # as a tokenizer.json
        tok = T.AutoTokenizer.from_pretrained(str(m))
        for f in m.iterdir():
            f.unlink()
        tok.save_pretrained(m)
    c = json.loads((m / "tokenizer_config.json").read_text())
    offset = 2 if family in ("roberta", "xlm-roberta", "camembert", "mpnet") else 0
    tok = T.AutoTokenizer.from_pretrained(str(m))
    cfg, most = config(r, family, len(tok), tok.pad_token_id if family != "mpnet" else 1, **kw)
    c["model_max_length"] = most - 2 if offset else most
    if offset and tok.pad_token_id and tok.pad_token_id > 1:
        c["model_max_length"] = most - tok.pad_token_id - 1
    (m / "tokenizer_config.json").write_text(json.dumps(c, ensure_ascii=False))
    model = auto.from_config(cfg)
    rand(model, seed, r.choice([0.3, 0.6, 1.0])).save_pretrained(m)
    return T.AutoTokenizer.from_pretrained(str(m)), c["model_max_length"]


def plain(x):
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    return x.item() if isinstance(x, (np.generic, torch.Tensor)) else x


def labels(r, n, ner=False):
    if ner and r.random() < 0.7:
        names = ["O"] + [f"{b}-{t}" for t in ["PER", "LOC", "X-Y"] for b in "BI"][:max(n - 1, 1)]
        return dict(id2label={i: names[i % len(names)] for i in range(n)}, label2id={names[i % len(names)]: i for i in range(n)}) if n <= len(names) else dict(num_labels=n)
    return dict(num_labels=n)


def text_classification(r, d, family, seed):
    n = r.choice([1, 2, 3, 5])
    kw = dict(num_labels=n)
    if r.random() < 0.5:
        kw["problem_type"] = r.choice(["regression", "multi_label_classification"] + (["single_label_classification"] if n > 1 else []))
    build(r, d, family, T.AutoModelForSequenceClassification, seed, **kw)
    inputs = [text(r) if r.random() < 0.6 else dict(text=text(r), text_pair=text(r)) if r.random() < 0.8 else dict(text=text(r)) for _ in range(3)]
    args = {}
    if r.random() < 0.5:
        args["top_k"] = r.choice([None, 1, 2, 10])
    if r.random() < 0.4:
        args["function_to_apply"] = r.choice(["softmax", "sigmoid", "none", "SIGMOID"])
    if r.random() < 0.3:
        args |= dict(truncation=True, max_length=r.choice([6, 9])) if r.random() < 0.7 else dict(truncation=True)
        if r.random() < 0.5:
            inputs.append(text(r, 60, 90))
    p = T.pipeline("text-classification", model=str(d / "model"))
    out = []
    for x in inputs:
        y = p(x, **args)
        out.append(y[0] if "top_k" not in args and isinstance(y, list) else y)
    return inputs, args, out, {}


def token_classification(r, d, family, seed):
    tok, most = build(r, d, family, T.AutoModelForTokenClassification, seed, **labels(r, r.choice([2, 3, 5, 7]), True))
    inputs = [text(r, 1, 20) for _ in range(3)]
    args = {}
    if r.random() < 0.85:
        args["aggregation_strategy"] = r.choice(["none", "simple", "first", "average", "max", "AVERAGE"])
    if r.random() < 0.3:
        args["ignore_labels"] = r.choice([[], ["O", "PER", "B-PER"], ["LABEL_0"]])
    if r.random() < 0.5:
        inputs.append(text(r, 70, 90))
        if args.get("aggregation_strategy", "none") != "none":
            args["stride"] = r.choice([0, 3, 10])
    p = T.pipeline("token-classification", model=str(d / "model"))
    return inputs, args, [p(x, **args) for x in inputs], {}


def fill_mask(r, d, family, seed):
    tok, most = build(r, d, family, T.AutoModelForMaskedLM, seed)
    inputs = []
    for _ in range(3):
        words = text(r, 2, 8).split(" ")
        for _ in range(r.choice([1, 1, 2, 3])):
            words.insert(r.randint(0, len(words)), tok.mask_token)
        inputs.append(" ".join(words) if r.random() < 0.8 else "".join(words))
    args = {}
    if r.random() < 0.6:
        args["top_k"] = r.choice([1, 3, 8])
    if r.random() < 0.4:
        vocab = sorted(tok.get_vocab())
        args["targets"] = r.choice([r.sample(vocab, 3), ["happy", "unheard-of", "happy"], "sea", ["a", "b", " the"]])
    if r.random() < 0.25:
        args["tokenizer_kwargs"] = dict(truncation=True)
        inputs.append(tok.mask_token + " " + text(r, 80, 90))
    p = T.pipeline("fill-mask", model=str(d / "model"))
    return inputs, args, [p(x, **args) for x in inputs], {}


def zero_shot(r, d, family, seed):
    names = r.choice([["entailment", "neutral", "contradiction"], ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], ["contradiction", "entailment_yes"], ["LABEL_0", "LABEL_1", "LABEL_2"], ["not_entailment", "entailment"]])
    build(r, d, family, T.AutoModelForSequenceClassification, seed, id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)})
    inputs = [text(r, 1, 10) for _ in range(2)] + ([text(r, 80, 90)] if r.random() < 0.3 else [])
    args = dict(candidate_labels=r.choice([["politics", "sport", "film"], "politics, sport", ["café 😀"], ["a", "b", "c", "d"]]))
    if r.random() < 0.5:
        args["multi_label"] = r.random() < 0.7
    if r.random() < 0.4:
        args["hypothesis_template"] = r.choice(["The text is about {}.", "{}", "Das ist {}!"])
    p = T.pipeline("zero-shot-classification", model=str(d / "model"))
    return inputs, args, [p(x, **args) for x in inputs], {}


def feature_extraction(r, d, family, seed):
    build(r, d, family, T.AutoModel, seed)
    inputs = [text(r) for _ in range(2)]
    args = {}
    if r.random() < 0.3:
        inputs.append(text(r, 80, 90))
        args = r.choice([dict(truncation=True), dict(tokenize_kwargs=dict(truncation=True, max_length=7)), dict(truncation=True, tokenize_kwargs=dict(max_length=5))])
    p = T.pipeline("feature-extraction", model=str(d / "model"))
    return inputs, args, [p(x, **args) for x in inputs], {}


def question_answering(r, d, family, seed):
    build(r, d, family, T.AutoModelForQuestionAnswering, seed)
    inputs = []
    for _ in range(3):
        c = text(r, 5, 30) if r.random() < 0.6 else text(r, 60, 120)
        inputs.append(dict(question=" ".join(r.sample(["who", "is", "in", "Paris", "a", "sea", "café"], r.randint(1, 3))) + " ?", context=c))
    args = {}
    if r.random() < 0.7:
        args["top_k"] = r.choice([1, 2, 5, 20])
    if r.random() < 0.4:
        args["handle_impossible_answer"] = True
    if r.random() < 0.4:
        args["max_answer_len"] = r.choice([1, 3, 40])
    if r.random() < 0.4:
        args["max_seq_len"] = r.choice([36, 40])
        args["doc_stride"] = r.choice([2, 5])
    if r.random() < 0.3:
        args["align_to_words"] = False
    if r.random() < 0.2:
        args["max_question_len"] = r.choice([5, 8])
    p = T.pipeline("question-answering", model=str(d / "model"))
    return inputs, args, [p(x, **args) for x in inputs], dict(source="transformers " + T.__version__)


def tokenize(r, d, family, seed):
    """ids, segments, tokens and offsets of odd texts; a vocabulary alone with BERT's options, added tokens"""
    m = d / "model"
    m.mkdir(parents=True)
    source = r.choice(FAMILIES[family][1]).replace("bert-mpnet", "bert")
    shutil.copytree(TOKENIZERS / source, m, dirs_exist_ok=True, ignore=shutil.ignore_patterns("golden.json"))
    f = m / "tokenizer_config.json"
    c = json.loads(f.read_text())
    if family in ("bert", "distilbert", "electra"):
        for k, v in dict(do_lower_case=[True, False], strip_accents=[None, True, False], tokenize_chinese_chars=[True, False]).items():
            if r.random() < 0.6:
                c[k] = r.choice(v)
    if family in ("roberta", "modernbert") and r.random() < 0.4:
        c |= dict(add_prefix_space=r.random() < 0.5, trim_offsets=r.random() < 0.5)
    if family == "albert" and r.random() < 0.5:
        c |= dict(do_lower_case=r.random() < 0.5, keep_accents=r.random() < 0.5, remove_space=r.random() < 0.5)
    if family == "deberta-v2" and r.random() < 0.5:
        c |= dict(do_lower_case=r.random() < 0.5, split_by_punct=r.random() < 0.5)
    f.write_text(json.dumps(c, ensure_ascii=False))
    added = []
    if r.random() < 0.5:
        tok = T.AutoTokenizer.from_pretrained(str(m))
        for w in r.sample(["<new>", "café", "New-York", "😀", "[E1]", "sells shells", "A"], r.randint(1, 3)):
            added.append(w)
            normalized = r.random() < 0.5 and w in ("<new>", "😀", "sells shells")  # the library names others by their normalised form
            tok.add_tokens([T.AddedToken(w, lstrip=r.random() < 0.3, rstrip=r.random() < 0.3, single_word=r.random() < 0.3, normalized=normalized)], special_tokens=r.random() < 0.4)
        tok.save_pretrained(m)
        if r.random() < 0.3:  # as transformers 4 wrote it
            c = json.loads(f.read_text())
            if "added_tokens_decoder" in c:
                (m / "added_tokens.json").write_text(json.dumps({v["content"]: int(k) for k, v in c["added_tokens_decoder"].items()}, ensure_ascii=False))
                f.write_text(json.dumps(c, ensure_ascii=False))
    tok = T.AutoTokenizer.from_pretrained(str(m))
    specials = [tok.mask_token, tok.sep_token, tok.unk_token] + added
    lines = []
    for _ in range(8):
        a = text(r, 1, 12)
        while r.random() < 0.4:
            i = r.randint(0, len(a))
            a = a[:i] + r.choice(specials) + a[i:]
        b = text(r, 1, 8) if r.random() < 0.4 else None
        e = tok(a, b, return_offsets_mapping=True, return_token_type_ids=True) if b is not None else tok(a, return_offsets_mapping=True, return_token_type_ids=True)
        lines.append(dict(text=a, text_pair=b, input_ids=e["input_ids"], token_type_ids=e["token_type_ids"], tokens=tok.convert_ids_to_tokens(e["input_ids"]), offsets=[list(o) for o in e["offset_mapping"]]))
    (m / "config.json").write_text(json.dumps(dict(model_type="bert" if family == "camembert" else family)))
    return None, {k: c[k] for k in c if k not in ("added_tokens_decoder",)}, lines, {}


TASKS = {"text-classification": text_classification, "token-classification": token_classification, "fill-mask": fill_mask, "zero-shot-classification": zero_shot,
         "feature-extraction": feature_extraction, "question-answering": question_answering, "tokenize": tokenize}


def case(task, family, seed):
    r = random.Random(f"{task}-{family}-{seed}")
    d = ROOT / task / f"{family}-{seed}"
    shutil.rmtree(d, ignore_errors=True)
    try:
        inputs, args, expected, more = TASKS[task](r, d, family, seed)
    except BaseException as e:  # the tokenizers' panics are no Exceptions
        if isinstance(e, KeyboardInterrupt):
            raise
        shutil.rmtree(d, ignore_errors=True)
        return f"{task}/{family}-{seed}: refused: {type(e).__name__}: {str(e).strip()[:150]}"
    info = dict(family=family, architecture=task, what=json.dumps(args, ensure_ascii=False))
    if task == "tokenize":
        info["tokenize"] = expected
    else:
        info["pipeline"] = dict(task=task, inputs=inputs, kwargs=args, expected=plain(expected), **more)
    (d / "case.json").write_text(json.dumps(info, ensure_ascii=False) + "\n", encoding="utf-8")
    return None


if __name__ == "__main__":
    made = 0
    for task in TASKS if sys.argv[3] == "all" else [sys.argv[3]]:
        for family in FAMILIES:
            for seed in range(int(sys.argv[4]), int(sys.argv[4]) + int(sys.argv[5])):
                refused = case(task, family, seed)
                made += refused is None
                if refused:
                    print(refused)
    print(made, "cases")
