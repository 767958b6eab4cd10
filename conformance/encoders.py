#!/usr/bin/env python3
"""Small golden cases of BERT's relatives in the form of shared/golden, for what those leave out: every head, untied output tables, inputs_embeds, positions that are given or counted from
another padding token, shared layer groups, summaries, long texts. Made with transformers 5.23.0, torch 2.10.0.
usage: encoders.py OUT_FOLDER        (core/src/test/resources/encoders)"""
import json, shutil, sys
from pathlib import Path
import torch
import transformers as T
from safetensors.torch import load_file, save_file

V, C, S = 29, 3, 9
ROOT = Path(sys.argv[1])
small = dict(vocab_size=V, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16, pad_token_id=1, layer_norm_eps=1e-5)
types = dict(small, type_vocab_size=2)
G = torch.Generator()


def batch(pad=1, rows=2, length=S, seed=0, types=False):
    """the second row is shorter; the first has a padding token inside that the mask lets pass"""
    G.manual_seed(seed)
    ids = torch.randint(4, V, (rows, length), generator=G)
    mask = torch.ones_like(ids)
    if rows > 1:
        ids[1, length - 3:] = pad
        mask[1, length - 3:] = 0
    ids[0, 4] = pad
    b = dict(input_ids=ids, attention_mask=mask)
    if types:
        b["token_type_ids"] = (torch.arange(length) > length // 2).long().expand(rows, length).clone()
    return b


def choices(types=False, pad=1):
    a, b = batch(pad, 2, S, 3, types), batch(pad, 2, S, 4, types)
    return {k: torch.stack([a[k], b[k], a[k].flip(0)], 1) for k in a} | dict(labels=torch.tensor([2, 0]))


def embeds(width, *lead):
    G.manual_seed(5)
    return torch.randn(*lead, S, width, generator=G)


def words(seed=6, rows=2):
    G.manual_seed(seed)
    l = torch.randint(0, V, (rows, S), generator=G)
    l[:, ::2] = -100
    return l


def classes(seed=7):
    G.manual_seed(seed)
    l = torch.randint(0, C, (2, S), generator=G)
    l[1, -3:] = -100
    return l


def case(name, cls, config, inputs, what, hidden=False, attentions=False, drop=None, edit=None, tie=True):
    torch.manual_seed(sum(map(ord, name)))
    config._attn_implementation = "eager"
    config.tie_word_embeddings = tie
    model = cls(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (0.4 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    d = ROOT / name
    shutil.rmtree(d, ignore_errors=True)
    (d / "model").mkdir(parents=True)
    model.save_pretrained(d / "model")
    f, w = d / "model/config.json", d / "model/model.safetensors"
    if edit:
        c = json.loads(f.read_text())
        edit(c)
        f.write_text(json.dumps(c, indent=1) + "\n")
    if drop:
        save_file({k: t for k, t in load_file(w).items() if not k.startswith(drop)}, w, metadata={"format": "pt"})
    model = cls.from_pretrained(d / "model", attn_implementation="eager").eval()
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=hidden, output_attentions=attentions)
    flat = {}
    for k, v in out.items():
        if torch.is_tensor(v):
            if not (drop and k == "pooler_output"):
                flat[k] = v.contiguous().clone()
        elif isinstance(v, tuple) and v and torch.is_tensor(v[0]):
            flat.update({f"{k}.{i}": t.contiguous().clone() for i, t in enumerate(v)})
    save_file({k: v.contiguous() for k, v in inputs.items()}, d / "inputs.safetensors")
    save_file(flat, d / "outputs.safetensors")
    info = dict(family=config.model_type, architecture=cls.__name__, what=what,
                forward=dict(atol=2e-5, rtol=2e-4, output_hidden_states=hidden, output_attentions=attentions))
    (d / "case.json").write_text(json.dumps(info) + "\n")
    print(name, sum(p.stat().st_size for p in d.rglob("*") if p.is_file()) // 1024, "KB", sorted(flat)[:4])


spans = dict(start_positions=torch.tensor([1, 40]), end_positions=torch.tensor([3, 5]))
many = torch.tensor([[1.0, 0, 1], [0, 0, 1]])

# === BERT ===
B = T.BertConfig(**dict(types, pad_token_id=0))
case("bert-masked-lm-untied", T.BertForMaskedLM, B, dict(batch(0), labels=words()), "output table and bias of its own", tie=False)
case("bert-choices-embeds", T.BertForMultipleChoice, B, dict(inputs_embeds=embeds(8, 2, 3), labels=torch.tensor([1, 2])), "inputs_embeds [batch, choices, length, width]")

# === RoBERTa ===
R = lambda **kw: T.RobertaConfig(**{**types, **kw})
case("roberta-base-positions", T.RobertaModel, R(pad_token_id=3), batch(3, types=True), "positions count from another padding token, and skip it inside the text", hidden=True, attentions=True)
case("roberta-base-given-positions", T.RobertaModel, R(), dict(batch(), position_ids=torch.arange(S).flip(0).expand(2, S).contiguous()), "position_ids given")
case("roberta-base-embeds", T.RobertaModel, R(hidden_act="relu"), dict(inputs_embeds=embeds(8, 2), attention_mask=batch()["attention_mask"]), "inputs_embeds; no pooler in the file", drop="pooler")
case("roberta-masked-lm-untied", T.RobertaForMaskedLM, R(), dict(batch(), labels=words()), "output table and bias of its own", tie=False)
case("roberta-classification-many", T.RobertaForSequenceClassification, R(num_labels=C), dict(batch(), labels=many), "several labels at once, chosen by the labels' type")
case("roberta-classification-regression", T.RobertaForSequenceClassification, R(num_labels=1), dict(batch(), labels=torch.tensor([0.3, -1.2])), "regression")
case("roberta-token-classification", T.RobertaForTokenClassification, R(num_labels=C), dict(batch(), labels=classes()), "labels -100")
case("roberta-question-answering", T.RobertaForQuestionAnswering, R(), dict(batch(), **spans), "one answer outside the text")
case("roberta-multiple-choice", T.RobertaForMultipleChoice, R(), choices(True), "[batch, choices, length] inputs", hidden=True)
case("roberta-choices-embeds", T.RobertaForMultipleChoice, R(), dict(inputs_embeds=embeds(8, 2, 3), labels=torch.tensor([1, 2])), "inputs_embeds [batch, choices, length, width]")

# === XLM-RoBERTa ===
X = lambda **kw: T.XLMRobertaConfig(**{**types, "type_vocab_size": 1, **kw})
case("xlm-roberta-masked-lm", T.XLMRobertaForMaskedLM, X(), dict(batch(), labels=words()), "tied output table")
case("xlm-roberta-token-classification", T.XLMRobertaForTokenClassification, X(num_labels=C), dict(batch(), labels=classes()), "labels -100")
case("xlm-roberta-question-answering", T.XLMRobertaForQuestionAnswering, X(), dict(batch(), **spans), "one answer outside the text")
case("xlm-roberta-multiple-choice", T.XLMRobertaForMultipleChoice, X(), choices(), "[batch, choices, length] inputs")

# === DistilBERT ===
distil = dict(vocab_size=V, dim=8, hidden_dim=12, n_layers=2, n_heads=2, max_position_embeddings=16, pad_token_id=0)
D = lambda **kw: T.DistilBertConfig(**{**distil, **kw})
case("distilbert-base-sinusoids", T.DistilBertModel, D(sinusoidal_pos_embds=True, activation="relu"), dict(batch(0), token_type_ids=torch.zeros(2, S, dtype=torch.long)), "token_type_ids are ignored", hidden=True)
case("distilbert-masked-lm", T.DistilBertForMaskedLM, D(activation="gelu_new"), dict(batch(0), labels=words()), "head with the layers' activation")
case("distilbert-masked-lm-untied", T.DistilBertForMaskedLM, D(), dict(batch(0), labels=words()), "output table of its own", tie=False)
case("distilbert-classification-many", T.DistilBertForSequenceClassification, D(num_labels=C), dict(batch(0), labels=many), "several labels at once")
case("distilbert-token-classification", T.DistilBertForTokenClassification, D(num_labels=C), dict(batch(0), labels=classes()), "labels -100")
case("distilbert-question-answering", T.DistilBertForQuestionAnswering, D(), dict(batch(0), **spans), "one answer outside the text")
case("distilbert-multiple-choice", T.DistilBertForMultipleChoice, D(), choices(pad=0), "[batch, choices, length] inputs")
case("distilbert-choices-embeds", T.DistilBertForMultipleChoice, D(), dict(inputs_embeds=embeds(8, 2, 3), labels=torch.tensor([1, 2])), "inputs_embeds [batch, choices, length, width]")

# === ELECTRA ===
E = lambda **kw: T.ElectraConfig(**{**types, "pad_token_id": 0, "embedding_size": 6, **kw})
e = batch(0, types=True)
case("electra-base-same-size", T.ElectraModel, E(embedding_size=8), e, "no embeddings_project", hidden=True)
case("electra-pretraining-no-mask", T.ElectraForPreTraining, E(hidden_act="gelu_new"), dict(input_ids=e["input_ids"], labels=(e["input_ids"] % 2)), "the loss counts every position")
case("electra-masked-lm", T.ElectraForMaskedLM, E(hidden_act="relu"), dict(e, labels=words()), "the head always has GELU")
case("electra-masked-lm-untied", T.ElectraForMaskedLM, E(), dict(e, labels=words()), "output table of its own", tie=False)
case("electra-classification", T.ElectraForSequenceClassification, E(num_labels=C), dict(e, labels=torch.tensor([2, 0])), "dense, GELU, out_proj")
case("electra-token-classification", T.ElectraForTokenClassification, E(num_labels=C), dict(e, labels=classes()), "labels -100")
case("electra-question-answering", T.ElectraForQuestionAnswering, E(), dict(e, **spans), "one answer outside the text")
case("electra-multiple-choice", T.ElectraForMultipleChoice, E(), choices(True, 0), "summary: first token, GELU")
case("electra-multiple-choice-mean", T.ElectraForMultipleChoice, E(summary_type="mean", summary_use_proj=False, summary_activation="tanh"), choices(True, 0), "summary: mean, no projection")
case("electra-multiple-choice-last", T.ElectraForMultipleChoice, E(summary_type="cls_index"), dict(inputs_embeds=embeds(6, 2, 3), labels=torch.tensor([1, 2])), "summary: cls_index, which is the last; inputs_embeds of the embeddings' size")

# === ALBERT ===
A = lambda **kw: T.AlbertConfig(**{**types, "pad_token_id": 0, "embedding_size": 6, "num_hidden_layers": 3, **kw})
case("albert-base-groups", T.AlbertModel, A(num_hidden_layers=5, num_hidden_groups=3, inner_group_num=2), e, "5 layers in 3 groups of 2", hidden=True, attentions=True)
case("albert-pretraining", T.AlbertForPreTraining, A(), dict(e, labels=words(), sentence_order_label=torch.tensor([1, 0])), "masked words + sentence order, summed loss")
case("albert-masked-lm-untied", T.AlbertForMaskedLM, A(hidden_act="gelu"), dict(e, labels=words()), "output table and bias of its own", tie=False)
case("albert-classification", T.AlbertForSequenceClassification, A(num_labels=C), dict(e, labels=torch.tensor([2, 0])), "pooler and classifier")
case("albert-token-classification", T.AlbertForTokenClassification, A(num_labels=C), dict(e, labels=classes()), "labels -100")
case("albert-question-answering", T.AlbertForQuestionAnswering, A(), dict(e, **spans), "one answer outside the text")
case("albert-multiple-choice", T.AlbertForMultipleChoice, A(), choices(True, 0), "[batch, choices, length] inputs")

# === MPNet ===
M = lambda **kw: T.MPNetConfig(**{**small, **kw})
case("mpnet-base-long", T.MPNetModel, M(max_position_embeddings=180, num_hidden_layers=1, relative_attention_num_buckets=40), batch(length=170, rows=2), "distances beyond 128; more buckets than are used")
case("mpnet-base-pad", T.MPNetModel, M(pad_token_id=3), dict(batch(1), token_type_ids=torch.ones(2, S, dtype=torch.long)), "positions count from 1 whatever pad_token_id says; token_type_ids are ignored", hidden=True, attentions=True)
case("mpnet-masked-lm-untied", T.MPNetForMaskedLM, M(hidden_act="relu"), dict(batch(), labels=words()), "output table and bias of its own; the head always has GELU", tie=False)
case("mpnet-classification", T.MPNetForSequenceClassification, M(num_labels=C), dict(batch(), labels=torch.tensor([2, 0])), "dense, tanh, out_proj")
case("mpnet-token-classification", T.MPNetForTokenClassification, M(num_labels=C), dict(batch(), labels=classes()), "labels -100")
case("mpnet-question-answering", T.MPNetForQuestionAnswering, M(), dict(batch(), **spans), "one answer outside the text")
case("mpnet-multiple-choice", T.MPNetForMultipleChoice, M(), choices(), "[batch, choices, length] inputs")
case("mpnet-choices-embeds", T.MPNetForMultipleChoice, M(), dict(inputs_embeds=embeds(8, 2, 3), labels=torch.tensor([1, 2])), "inputs_embeds [batch, choices, length, width]")
