#!/usr/bin/env python3
"""Random golden cases of the encoder families in the form of shared/golden: any head, odd configurations, every way of giving masks, positions, segments and embeddings, every kind of
labels, and checkpoints as they lie about (16 bit, sharded, pickled, old names, with or without the base's prefix). A case is a number: FAMILY-SEED. What the reference refuses is left out.
Made with transformers 5.23.0, torch 2.10.0.
usage: random_encoders.py OUT_FOLDER FAMILY|all FIRST_SEED COUNT [CASE...]        then check.py --root OUT_FOLDER
       random_encoders.py OUT_FOLDER cases FAMILY-SEED...                         those alone"""
import json, random, shutil, sys, warnings
from pathlib import Path
import torch
import transformers as T
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
T.logging.set_verbosity_error()
T.logging.disable_progress_bar()
ROOT = Path(sys.argv[1])
ACTS = ["gelu", "gelu", "relu", "gelu_new", "silu", "gelu_pytorch_tanh", "quick_gelu", "tanh", "gelu_python", "gelu_fast", "swish", "mish", "relu2", "relu6", "gelu_10", "gelu_accurate",
        "hardswish", "leaky_relu", "sigmoid", "linear", "laplace", "sqrtsoftplus", "gelu_python_tanh"]


def bertish(r, **kw):
    heads = r.choice([1, 2, 4])
    return dict(vocab_size=r.randint(30, 60), hidden_size=heads * r.choice([2, 4, 6]), num_hidden_layers=r.randint(1, 3), num_attention_heads=heads, intermediate_size=r.randint(5, 24),
                hidden_act=r.choice(ACTS), max_position_embeddings=r.randint(24, 40), type_vocab_size=r.choice([1, 2, 2, 3]), layer_norm_eps=r.choice([1e-12, 1e-5, 1e-3]),
                pad_token_id=r.choice([0, 0, 1, 3, None]), classifier_dropout=r.choice([None, 0.3]), tie_word_embeddings=r.choice([True, True, False]),
                **r.choice([{}, {}, {}, dict(chunk_size_feed_forward=2), dict(position_embedding_type="relative_key"), dict(position_embedding_type="absolute", gradient_checkpointing=True)])) | kw


def roberta(r):
    return bertish(r, pad_token_id=r.choice([0, 1, 1, 3]))


def albert(r):
    c = bertish(r, embedding_size=r.randint(4, 12), num_hidden_layers=r.randint(1, 6), inner_group_num=r.choice([1, 1, 2, 3]), classifier_dropout_prob=r.choice([0, 0.1]))
    c["num_hidden_groups"] = r.randint(1, c["num_hidden_layers"])
    return c


def distil(r):
    b = bertish(r)
    return dict(vocab_size=b["vocab_size"], dim=b["hidden_size"], n_heads=b["num_attention_heads"], n_layers=b["num_hidden_layers"], hidden_dim=b["intermediate_size"],
                activation=r.choice(ACTS), max_position_embeddings=b["max_position_embeddings"], pad_token_id=b["pad_token_id"], sinusoidal_pos_embds=r.random() < 0.3,
                tie_word_embeddings=b["tie_word_embeddings"])


def electra(r):
    b = bertish(r)
    return b | dict(embedding_size=r.choice([b["hidden_size"], r.randint(3, 12)]), summary_type=r.choice(["first", "last", "mean", "cls_index"]), summary_use_proj=r.random() < 0.6,
                    summary_activation=r.choice(["gelu", "tanh", "relu", ""]), summary_proj_to_labels=r.choice([True, False]))


def mpnet(r):
    b = bertish(r, relative_attention_num_buckets=r.choice([32, 32, 40]), max_position_embeddings=r.choice([40, 180]))
    b.pop("type_vocab_size"), b.pop("classifier_dropout")
    return b


def modern(r):
    heads, layers = r.choice([1, 2, 4]), r.randint(1, 5)
    c = dict(vocab_size=r.randint(30, 60), hidden_size=heads * r.choice([2, 4, 6]), intermediate_size=r.randint(5, 20), num_hidden_layers=layers, num_attention_heads=heads,
             hidden_activation=r.choice(ACTS), max_position_embeddings=r.choice([24, 64]), norm_eps=r.choice([1e-5, 1e-3]), norm_bias=r.random() < 0.3, pad_token_id=r.choice([0, 3, None]),
             bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, attention_bias=r.random() < 0.3, local_attention=r.choice([2, 4, 5, 8, 128]), mlp_bias=r.random() < 0.3,
             decoder_bias=r.random() < 0.6, classifier_pooling=r.choice(["cls", "mean"]), classifier_bias=r.random() < 0.3, classifier_activation=r.choice(["gelu", "relu", "silu", "tanh"]),
             sparse_prediction=r.random() < 0.3, tie_word_embeddings=r.choice([True, True, False]))
    if r.random() < 0.4:
        c["layer_types"] = [r.choice(["full_attention", "sliding_attention"]) for _ in range(layers)]
    if r.random() < 0.3:
        c["rope_parameters"] = {k: dict(rope_type="default", rope_theta=r.choice([100.0, 10000.0, 160000.0])) for k in ["full_attention", "sliding_attention"]}
        if r.random() < 0.5:
            c["rope_parameters"]["full_attention"] |= dict(rope_type="linear", factor=2.0)
    return c


def deberta(r):
    c = bertish(r, relative_attention=r.random() < 0.8, position_buckets=r.choice([-1, 4, 6, 8, 256]), max_relative_positions=r.choice([-1, -1, 7, 20]), norm_rel_ebd=r.choice(["none", "layer_norm"]),
                share_att_key=r.random() < 0.6, pos_att_type=r.choice(["p2c|c2p", ["c2p"], ["p2c"], "c2p", ["c2p", "p2c"], []]), position_biased_input=r.random() < 0.4,
                type_vocab_size=r.choice([0, 0, 2, 3]), legacy=r.random() < 0.6, pooler_hidden_act=r.choice(["gelu", "tanh", "relu"]), pooler_dropout=0, pad_token_id=r.choice([0, 0, 1]))
    c.pop("classifier_dropout")
    if r.random() < 0.4:
        c |= dict(conv_kernel_size=r.choice([1, 3, 5]), conv_groups=r.choice([1, 2]), conv_act=r.choice(["tanh", "gelu", "relu"]))
    if r.random() < 0.3:
        c["embedding_size"] = r.randint(4, 12)
    if r.random() < 0.2:
        c["attention_head_size"] = c["hidden_size"] // c["num_attention_heads"]
    if r.random() < 0.3:
        c["pooler_hidden_size"] = c["hidden_size"]
    if r.random() < 0.3:
        c |= dict(cls_dropout=0.2)
    return c


HEADS = ["Model", "ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice"]
FAMILIES = {
    "bert": ("Bert", bertish, HEADS + ["ForPreTraining", "ForNextSentencePrediction"], "bert"),
    "roberta": ("Roberta", roberta, HEADS, "roberta"),
    "xlm-roberta": ("XLMRoberta", roberta, HEADS, "roberta"),
    "distilbert": ("DistilBert", distil, HEADS, "distilbert"),
    "electra": ("Electra", electra, HEADS + ["ForPreTraining"], "electra"),
    "albert": ("Albert", albert, HEADS + ["ForPreTraining"], "albert"),
    "mpnet": ("MPNet", mpnet, HEADS, "mpnet"),
    "modernbert": ("ModernBert", modern, HEADS, "model"),
    "deberta-v2": ("DebertaV2", deberta, HEADS, "deberta"),
}


def labels_of(r, g, head, shape, config, hidden):
    """(arguments, extra configuration) of a random kind that fits the head"""
    b, s, n = shape[0], shape[-1], config.get("num_labels", 2)
    if r.random() < 0.15:
        return {}
    if head in ("ForMaskedLM", "ForPreTraining", "ForTokenClassification"):
        top = config["vocab_size"] if head != "ForTokenClassification" else n
        l = torch.randint(0, top, (b, s), generator=g)
        l[torch.rand(b, s, generator=g) < 0.4] = -100
        if r.random() < 0.1:
            l[:] = -100  # the mean of nothing
        return dict(labels=l)
    if head == "ForSequenceClassification":
        kind = config.get("problem_type") or r.choice(["class", "many"])
        if n == 1 and not config.get("problem_type") or kind == "regression":
            return dict(labels=torch.randn(*((b,) if n == 1 else (b, n)), generator=g))
        if kind in ("many", "multi_label_classification"):
            return dict(labels=(torch.rand(b, n, generator=g) > 0.5).float())
        l = torch.randint(0, n, (b,), generator=g)
        if r.random() < 0.3:
            l[0] = -100
        return dict(labels=l.view(-1, 1) if r.random() < 0.2 else l)
    if head == "ForQuestionAnswering":
        p = lambda: torch.randint(-2, s + 4, (b,), generator=g).view((b, 1) if r.random() < 0.2 else (b,))
        return dict(start_positions=p(), end_positions=p())
    if head == "ForMultipleChoice":
        return dict(labels=torch.randint(0, shape[1], (b,), generator=g))
    if head == "ForNextSentencePrediction":
        return dict(labels=torch.randint(0, 2, (b,), generator=g))
    return {}


def inputs_of(r, g, family, head, c, config):
    choice = head == "ForMultipleChoice"
    most = c.get("max_position_embeddings", 40) - ((c.get("pad_token_id") or 1) + 1 if family in ("roberta", "xlm-roberta", "mpnet") else 0)
    s = r.choice([1, 2, 7, 9, 13, min(most, 24), 80 if family == "modernbert" else min(most, 170)])
    b = r.choice([1, 2, 3])
    shape = (b, r.choice([1, 2, 4]), s) if choice else (b, s)
    i = dict(input_ids=torch.randint(4, c["vocab_size"], shape, generator=g))
    pad = c.get("pad_token_id")
    kind = r.choice(["none", "right", "right", "left", "holes", "ones", "float4", "bool4", "int3", "bool", "float", "row"])
    lead = shape[:-1]
    n = torch.randint(1, s + 1, lead, generator=g)
    at = torch.arange(s).expand(shape)
    mask = None
    if kind == "right":
        mask = at < n[..., None]
    elif kind == "left":
        mask = at >= (s - n[..., None])
    elif kind == "holes":
        mask = torch.rand(shape, generator=g) > 0.3
    elif kind in ("ones", "bool", "float"):
        mask = torch.ones(shape) > 0 if kind == "ones" else torch.rand(shape, generator=g) > 0.3
    elif kind == "row" and not choice:
        mask = torch.ones(shape) > 0
        mask[-1] = False  # nothing may be seen
    if mask is not None:
        if pad is not None and r.random() < 0.8:
            i["input_ids"][~mask] = pad
        mask = mask if kind == "bool" else mask.float() if kind == "float" else mask.long()
    if kind in ("float4", "bool4") and not choice and family != "deberta-v2":
        mask = torch.tril(torch.ones(s, s)).expand(b, 1, s, s).clone() > 0
        mask = mask if kind == "bool4" else torch.where(mask, 0.0, torch.finfo(torch.float32).min)
    if kind == "int3" and not choice:
        mask = torch.tril(torch.ones(s, s)).expand(b, s, s).clone().long()
    if mask is not None:
        i["attention_mask"] = mask
    types = c.get("type_vocab_size", 2)
    if r.random() < 0.5 and types > 0 and family != "modernbert":
        i["token_type_ids"] = torch.randint(0, types, shape, generator=g) if r.random() < 0.7 else (at > s // 2).long().clamp(max=types - 1).clone()
    if r.random() < 0.25 and c.get("max_position_embeddings", 0) > s + 3:
        i["position_ids"] = torch.randint(0, c["max_position_embeddings"], shape, generator=g) if r.random() < 0.5 else (torch.arange(s) + 2).view(1, s).expand(shape).clone()
    if r.random() < 0.2:
        w = c.get("embedding_size") or c.get("hidden_size") or c.get("dim")
        i.pop("input_ids")
        i["inputs_embeds"] = torch.randn(*shape, w, generator=g)
    if r.random() < 0.1:
        i = {k: v.int() if v.dtype == torch.long and k != "attention_mask" else v for k, v in i.items()}
    return i, shape


def store(r, model, cls, prefix, d, head):
    """saves the model in one of the ways that people do; what it was"""
    kind = r.choice(["plain", "plain", "plain", "half", "bfloat16", "sharded", "pickle", "legacy-pickle", "gamma", "prefix", "sharded-pickle"])
    model.save_pretrained(d)
    w = d / "model.safetensors"
    t = load_file(w)
    meta = {"format": "pt"}
    if kind in ("half", "bfloat16"):
        dt = torch.float16 if kind == "half" else torch.bfloat16
        save_file({k: v.to(dt) if v.is_floating_point() else v for k, v in t.items()}, w, metadata=meta)
        c = json.loads((d / "config.json").read_text())
        c["dtype" if r.random() < 0.5 else "torch_dtype"] = str(dt).split(".")[1]
        (d / "config.json").write_text(json.dumps(c))
    elif kind == "sharded":
        w.unlink()
        model.save_pretrained(d, max_shard_size="2KB")
    elif kind in ("pickle", "legacy-pickle"):
        w.unlink()
        state = model.state_dict() if r.random() < 0.5 else t  # with the tied tables, or without
        torch.save(state, d / "pytorch_model.bin", _use_new_zipfile_serialization=kind == "pickle")
    elif kind == "sharded-pickle":
        w.unlink()
        names, where = list(t), {}
        for j in range(2):
            part = {k: t[k] for k in names[j::2]}
            f = f"pytorch_model-0000{j + 1}-of-00002.bin"
            torch.save(part, d / f)
            where |= {k: f for k in part}
        (d / "pytorch_model.bin.index.json").write_text(json.dumps(dict(metadata=dict(total_size=1), weight_map=where)))
    elif kind == "gamma":
        old = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v for k, v in t.items()}
        save_file(old, w, metadata=meta)
    elif kind == "prefix" and head == "Model":  # of a checkpoint with a head
        save_file({f"{prefix}.{k}": v for k, v in t.items()} | {"cls.predictions.bias": torch.zeros(3), "classifier.weight": torch.zeros(2, 2)}, w, metadata=meta)
    return kind


def case(family, seed):
    name, draw, heads, prefix = FAMILIES[family]
    r = random.Random(f"{family}-{seed}")
    g = torch.Generator().manual_seed(seed * 1000 + len(family))
    head = r.choice(heads)
    cls = getattr(T, name + head)
    c = draw(r)
    config = dict(c)
    if head in ("ForSequenceClassification", "ForTokenClassification"):
        config["num_labels"] = r.choice([1, 2, 3, 5])
        if head == "ForSequenceClassification" and r.random() < 0.5:
            config["problem_type"] = r.choice(["regression", "single_label_classification", "multi_label_classification"])
    torch.manual_seed(seed)
    try:
        config_object = getattr(T, name + "Config")(**config)
    except Exception as e:
        return f"{family}-{seed}: no such configuration: {str(e).strip().splitlines()[-1][:110]}"
    config_object._attn_implementation = "eager"
    model = cls(config_object).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    d = ROOT / family / str(seed)
    shutil.rmtree(d, ignore_errors=True)
    (d / "model").mkdir(parents=True)
    kind = store(r, model, cls, prefix, d / "model", head)
    inputs, shape = inputs_of(r, g, family, head, c, config)
    inputs |= labels_of(r, g, head, shape, config, None)
    if head == "ForPreTraining":
        if family == "electra":
            inputs["labels"] = torch.randint(0, 2, shape, generator=g)
        elif "labels" in inputs and r.random() < 0.9:
            inputs["next_sentence_label" if family == "bert" else "sentence_order_label"] = torch.randint(0, 2, shape[:1], generator=g)
    hidden, attentions = r.random() < 0.5, r.random() < 0.4
    try:
        model, info = cls.from_pretrained(d / "model", dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        model.eval()
        missing = [k for k in info["missing_keys"] if "position_ids" not in k]
        if missing:
            raise ValueError(f"missing {missing[:3]} ({kind})")
        with torch.no_grad():
            out = model(**inputs, output_hidden_states=hidden, output_attentions=attentions)
    except Exception as e:
        shutil.rmtree(d)
        return f"{family}-{seed}: refused: {type(e).__name__}: {str(e).strip().splitlines()[0][:110] if str(e).strip() else ''}"
    flat = {}
    for k, v in out.items():
        if torch.is_tensor(v):
            flat[k] = v.contiguous().clone()
        elif isinstance(v, tuple) and v and torch.is_tensor(v[0]):
            flat.update({f"{k}.{i}": t.contiguous().clone() for i, t in enumerate(v)})
    save_file({k: v.contiguous().clone() for k, v in inputs.items()}, d / "inputs.safetensors")
    save_file(flat, d / "outputs.safetensors")
    what = f"{kind}; " + ", ".join(f"{k} {list(v.shape)} {str(v.dtype)[6:]}" for k, v in inputs.items()) + f"; {config}"
    info = dict(family=family, architecture=cls.__name__, what=what, forward=dict(atol=3e-5, rtol=3e-4, output_hidden_states=hidden, output_attentions=attentions))
    (d / "case.json").write_text(json.dumps(info) + "\n")
    return None


if sys.argv[2] == "cases":
    chosen = [(n.rpartition("-")[0], int(n.rpartition("-")[2])) for n in sys.argv[3:]]
else:
    first, count = int(sys.argv[3]), int(sys.argv[4])
    chosen = [(f, s) for f in ([sys.argv[2]] if sys.argv[2] != "all" else FAMILIES) for s in range(first, first + count)]
made = 0
for family, seed in chosen:
    refused = case(family, seed)
    made += refused is None
    if refused:
        print(refused)
print(made, "cases")
