#!/usr/bin/env python3
"""Many small cases of the decoder families in the form of shared/golden: every class and configuration option, the spellings of older checkpoints, masks, positions and labels of
every kind, and generation with parameters alone and combined. Made with transformers 5.23.0, torch 2.10.0; run with shared/golden/check.py.
usage: decoder_variants.py OUT_FOLDER [--only SUBSTRING] [--fuzz N] [--seed S]
       decoder_variants.py core/src/test/resources/decoders --small      the few that the project's own tests keep"""
import argparse, json, os, random, shutil, warnings
from pathlib import Path
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
import torch
import transformers as T
from safetensors.torch import save_file, load_file

T.logging.set_verbosity_error()
T.utils.logging.disable_progress_bar()
warnings.filterwarnings("ignore")
ap = argparse.ArgumentParser()
ap.add_argument("out")
ap.add_argument("--only", default="")
ap.add_argument("--fuzz", type=int, default=12, help="generation cases with drawn parameters a family")
ap.add_argument("--seed", type=int, default=0)
ap.add_argument("--small", action="store_true")
A = ap.parse_args()
SMALL = {"gpt2/double-cls_index", "gpt2/lm-packed", "gpt2/published", "llama/lm-mask4d", "llama/old-dynamic", "qwen2/ForQuestionAnswering", "qwen3/window-old-on", "gemma2/lm-embeds", "gemma2/bidirectional", "gemma3/caps",
         "gpt2/fuzz-0-0", "mistral/fuzz-0-0", "gemma3/fuzz-0-0", "gpt2/gen-no-pad"}
ROOT = Path(A.out)
V = 67


def gen(seed):
    return torch.Generator().manual_seed(seed)


def ids(rows=2, length=9, seed=0):
    return torch.randint(3, V, (rows, length), generator=gen(seed))


def right(rows=2, length=9, seed=0, cut=3):
    i = ids(rows, length, seed)
    m = torch.ones_like(i)
    for r in range(1, rows):
        i[r, length - cut * r:] = 0
        m[r, length - cut * r:] = 0
    return dict(input_ids=i, attention_mask=m)


def left(rows=2, length=9, seed=0, cut=3):
    b = right(rows, length, seed, cut)
    return {k: v.flip(1).contiguous() for k, v in b.items()}


def labelled(b, seed=5):
    y = b["input_ids"].clone()
    y[b.get("attention_mask", torch.ones_like(y)) == 0] = -100
    y[torch.rand(y.shape, generator=gen(seed)) < 0.3] = -100
    return dict(b, labels=y)


def randomise(model, seed):
    g = gen(seed)
    with torch.no_grad():
        for n, p in model.named_parameters():
            p.copy_(torch.randn(p.shape, generator=g) * (0.25 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))


def flatten(out):
    flat = {}
    for k, v in out.items():
        if k == "past_key_values":
            continue
        if torch.is_tensor(v):
            flat[k] = v.detach().contiguous().clone()
        elif isinstance(v, tuple) and v and torch.is_tensor(v[0]):
            flat.update({f"{k}.{i}": t.detach().contiguous().clone() for i, t in enumerate(v)})
    return flat


COUNT = [0]


def case(name, cls, config, forwards=(), generate=(), edit=None, dtype=torch.float32, shard=None, rename=None, after=None):
    """forwards: (suffix, inputs, kwargs); each becomes a case of its own beside the same checkpoint"""
    if A.only not in name or A.small and not any(x.startswith(name) for x in SMALL):
        return
    COUNT[0] += 1
    family, _, short = name.partition("/")
    config._attn_implementation = "eager"
    torch.manual_seed(1)
    model = cls(config).eval()
    randomise(model, sum(map(ord, name)))
    first = None
    for n, (suffix, inputs, kwargs) in enumerate(list(forwards) or [("", None, {})]):
        d = ROOT / family / (short + ("-" + suffix if suffix else ""))
        if A.small:
            if f"{family}/{d.name}" not in SMALL:
                continue
            d = ROOT / f"{family}-{d.name}"
        shutil.rmtree(d, ignore_errors=True)
        d.mkdir(parents=True)
        if first is None:
            model.to(dtype).save_pretrained(d / "model", max_shard_size=shard or "5GB")
            f = d / "model/config.json"
            if edit:
                c = json.loads(f.read_text())
                edit(c)
                f.write_text(json.dumps(c, indent=1) + "\n")
            if rename:
                w = d / "model/model.safetensors"
                save_file(rename(load_file(w)), w, metadata=dict(format="pt"))
            if after:
                after(d / "model", model)
            first = d / "model"
            model = cls.from_pretrained(first, dtype=torch.float32, attn_implementation="eager").eval()
        else:
            (d / "model").symlink_to(first.resolve())
        info = dict(family=family, architecture=cls.__name__)
        if inputs is not None:
            kwargs = dict(kwargs)
            hidden, attention = kwargs.pop("hidden", True), kwargs.pop("attentions", True)
            with torch.no_grad():
                out = model(**inputs, **kwargs, output_hidden_states=hidden, output_attentions=attention)
            save_file({k: v.contiguous() for k, v in inputs.items()}, d / "inputs.safetensors")
            save_file(flatten(out), d / "outputs.safetensors")
            info["forward"] = dict(atol=2e-5, rtol=2e-4, ignore_padding=False, output_hidden_states=hidden, output_attentions=attention)
            if kwargs:
                info["forward"]["kwargs"] = kwargs
        info["generate"] = []
        for i, g in enumerate(generate if n == 0 or A.small else ()):
            g = dict(g)
            inp = g.pop("inputs", None) or left(2, 7, i, 2)
            if "seed" in g:
                torch.manual_seed(g["seed"])
            model = cls.from_pretrained(first, dtype=torch.float32, attn_implementation="eager").eval() if getattr(config, "rope_parameters", None) and "dynamic" in str(config.rope_parameters) else model
            try:
                with torch.no_grad():
                    seq = model.generate(**inp, **{k: v for k, v in g.items() if k != "seed"})
            except Exception as e:
                if A.fuzz < 0:
                    raise
                print("  transformers refuses", g, type(e).__name__, str(e).splitlines()[0][:150])
                continue
            info["generate"].append(dict(kwargs=g, inputs={k: v.tolist() for k, v in inp.items()}, sequences=seq.tolist()))
        (d / "case.json").write_text(json.dumps(info) + "\n")


# === configurations ===

small = dict(vocab_size=V, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=6, max_position_embeddings=32,
             bos_token_id=1, eos_token_id=2, pad_token_id=0)
nohead = {k: v for k, v in small.items() if k != "head_dim"}
gemma = dict(small, query_pre_attn_scalar=12, sliding_window=4)
g2 = dict(vocab_size=V, n_positions=40, n_embd=18, n_layer=3, n_head=2, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(kind="default", theta=10000.0, **kw):
    return dict(rope_type=kind, rope_theta=theta, **kw)


FAMILIES = dict(
    gpt2=("GPT2", T.GPT2Config, g2, "LMHeadModel"), llama=("Llama", T.LlamaConfig, small, "ForCausalLM"), mistral=("Mistral", T.MistralConfig, dict(small, sliding_window=4), "ForCausalLM"),
    qwen2=("Qwen2", T.Qwen2Config, nohead, "ForCausalLM"), qwen3=("Qwen3", T.Qwen3Config, small, "ForCausalLM"), gemma2=("Gemma2", T.Gemma2Config, gemma, "ForCausalLM"),
    gemma3=("Gemma3", T.Gemma3TextConfig, dict(gemma, sliding_window_pattern=2), "ForCausalLM"))


def lm(f):
    p, _, _, head = FAMILIES[f]
    return getattr(T, p + head)


def conf(f, **kw):
    _, c, base, _ = FAMILIES[f]
    return c(**{**base, **kw})


def width(f):
    return 18 if f == "gpt2" else 16


def inputs_of(f):
    b, l = labelled(right()), left()
    pos = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4], [3, 4, 5, 6, 7, 8, 9, 10, 11]])
    emb = torch.randn(2, 9, width(f), generator=gen(8))
    four = torch.zeros(2, 1, 9, 9)
    four.masked_fill_(torch.rand(2, 1, 9, 9, generator=gen(3)) < 0.4, torch.finfo(torch.float32).min)
    return [
        ("right-labels", b, {}), ("left-labels", labelled(l), {}), ("left-positions", dict(l, position_ids=(l["attention_mask"].cumsum(1) - 1).clamp_min(0)), {}),
        ("plain", dict(input_ids=ids(3, 11, 4)), {}), ("one", dict(input_ids=ids(1, 1, 4)), {}), ("positions", dict(input_ids=ids(2, 9, 6), position_ids=pos), {}),
        ("packed", dict(input_ids=ids(2, 9, 6), position_ids=pos), dict(use_cache=False)), ("packed-one", dict(input_ids=ids(1, 9, 6), position_ids=pos[:1]), dict(use_cache=False)), ("positions-mask", dict(right(), position_ids=pos), {}),
        ("embeds", dict(inputs_embeds=emb, attention_mask=l["attention_mask"]), {}), ("mask4d", dict(input_ids=ids(2, 9, 6), attention_mask=four), {}),
        ("hole", dict(input_ids=ids(2, 9, 6), attention_mask=torch.tensor([[1, 1, 0, 1, 1, 1, 0, 0, 1], [0, 1, 1, 1, 1, 1, 1, 1, 0]])), {}),
        ("keep", dict(input_ids=ids(2, 9, 6)), dict(logits_to_keep=2)), ("bool-mask", dict(right(), attention_mask=right()["attention_mask"].bool()), {}),
    ]


def all_forward():
    for f in FAMILIES:
        case(f"{f}/lm", lm(f), conf(f), inputs_of(f))
        p = FAMILIES[f][0]
        base = getattr(T, p + ("TextModel" if f == "gemma3" else "Model"))
        case(f"{f}/base", base, conf(f), [x for x in inputs_of(f) if x[0] in ("plain", "left-positions", "embeds")])
        heads = [x for x in ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering") if hasattr(T, p + x) and f != "gemma3"] + (["TextForSequenceClassification"] if f == "gemma3" else [])
        for h in heads:
            cls = getattr(T, p + h)
            if not h.endswith("SequenceClassification"):
                y = dict(labels=torch.where(right()["attention_mask"] > 0, ids() % 4, torch.tensor(-100))) if "Token" in h else dict(start_positions=torch.tensor([2, 14]), end_positions=torch.tensor([4, 3]))
                case(f"{f}/{h}", cls, conf(f, num_labels=2 if "Question" in h else 4), [("", dict(right(), **y), {}), ("left", left(), {})])
                continue
            mid = right(3, 9, 2, 2)
            mid["input_ids"][0, 3] = 0
            case(f"{f}/{h}", cls, conf(f, num_labels=3), [("", dict(mid, labels=torch.tensor([2, 0, 1])), {}), ("left", left(), {}), ("nomask", dict(input_ids=right()["input_ids"]), {}),
                 ("embeds", dict(inputs_embeds=torch.randn(1, 5, width(f), generator=gen(1))), {}), ("allpad", dict(input_ids=torch.zeros(2, 4, dtype=torch.long)), {})])
            case(f"{f}/{h}-regression", cls, conf(f, num_labels=1), [("", dict(mid, labels=torch.tensor([0.3, -1.0, 2.0])), {})])
            case(f"{f}/{h}-multi", cls, conf(f, num_labels=3, problem_type="multi_label_classification"), [("", dict(mid, labels=torch.tensor([[0., 1, 1], [1, 0, 0], [0, 0, 0]])), {})])
            case(f"{f}/{h}-nopad", cls, conf(f, num_labels=3, pad_token_id=None), [("", dict(input_ids=ids(1, 6)), {})])
            case(f"{f}/{h}-two-labels", cls, conf(f), [("", dict(mid, labels=torch.tensor([1, 0, 1])), {})])


def options():
    two = [("", labelled(right()), {}), ("left", left(), {})]
    short = [{"max_new_tokens": 9}, {"max_new_tokens": 7, "num_beams": 3}]
    for n, kw in dict(inner=dict(n_inner=30), inverse=dict(scale_attn_by_inverse_layer_idx=True, scale_attn_weights=False), upcast=dict(reorder_and_upcast_attn=True, scale_attn_by_inverse_layer_idx=True),
                      untied=dict(tie_word_embeddings=False), eps=dict(layer_norm_epsilon=1e-2), odd=dict(n_embd=15, n_head=5), one=dict(n_head=1)).items():
        case(f"gpt2/opt-{n}", T.GPT2LMHeadModel, conf("gpt2", **kw), two, short)
    for act in ("relu", "gelu", "gelu_new", "silu", "tanh", "quick_gelu", "gelu_pytorch_tanh", "gelu_fast", "relu2", "mish", "sigmoid", "gelu_python", "gelu_10", "laplace", "linear", "swish", "leaky_relu", "relu6", "gelu_accurate", "gelu_python_tanh"):
        case(f"gpt2/act-{act}", T.GPT2LMHeadModel, conf("gpt2", n_layer=1, activation_function=act), two[:1])
    case("gpt2/types", T.GPT2LMHeadModel, conf("gpt2"), [("", dict(labelled(left()), token_type_ids=ids(2, 9, 7)), {}), ("embeds", dict(inputs_embeds=torch.randn(2, 5, 18, generator=gen(2)), token_type_ids=ids(2, 5, 7), position_ids=torch.arange(3, 8)[None]), {})])
    for n, kw in dict(bias=dict(attention_bias=True, mlp_bias=True), tied=dict(tie_word_embeddings=True), mqa=dict(num_key_value_heads=1), mha=dict(num_key_value_heads=4), eps=dict(rms_norm_eps=1e-2), gelu=dict(hidden_act="gelu_pytorch_tanh"),
                      head10=dict(head_dim=10), head2=dict(head_dim=2), tp=dict(pretraining_tp=2), nopad=dict(pad_token_id=None), pad5=dict(pad_token_id=5)).items():
        for f in ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3"):
            if (n == "bias" and f in ("mistral", "qwen2")) or (n == "gelu" and f.startswith("gemma")):
                continue
            case(f"{f}/opt-{n}", lm(f), conf(f, **kw), two, short)
    ropes = dict(linear=rope("linear", factor=3.0), dynamic=rope("dynamic", factor=2.0), yarn=rope("yarn", factor=4.0, original_max_position_embeddings=8), llama3=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16),
                 yarn2=rope("yarn", factor=2.0, original_max_position_embeddings=16, beta_fast=16, beta_slow=2, attention_factor=1.3, truncate=False), yarn3=rope("yarn", factor=2.0, original_max_position_embeddings=16, mscale=0.7, mscale_all_dim=0.9), theta=rope(theta=500.0),
                 yarn4=rope("yarn", factor=4.0), longrope=rope("longrope", factor=2.0, original_max_position_embeddings=8, short_factor=[1.0, 1.1, 1.2], long_factor=[1.0, 2.0, 4.0]), longrope2=rope("longrope", original_max_position_embeddings=8, short_factor=[1.0, 1.1, 1.2], long_factor=[1.0, 2.0, 4.0], attention_factor=1.1))
    far = [("", dict(input_ids=ids(2, 20, 3)), {}), ("short", dict(input_ids=ids(2, 6, 3)), {}), ("positions", dict(input_ids=ids(1, 6, 3), position_ids=torch.arange(20, 26)[None], attention_mask=torch.ones(1, 6, dtype=torch.long)), {})]
    lg = [{"max_new_tokens": 14}, {"max_new_tokens": 12, "num_beams": 2}, {"inputs": dict(input_ids=ids(1, 14, 5), attention_mask=torch.ones(1, 14, dtype=torch.long)), "max_new_tokens": 10}]
    for n, r in ropes.items():
        for f in ("llama", "mistral", "qwen2", "qwen3"):
            hd = {} if f == "qwen2" else {}
            kw = dict(max_position_embeddings=16 if n == "dynamic" else 32)
            if f == "qwen2":
                kw.update(hidden_size=24, num_attention_heads=4)
            case(f"{f}/rope-{n}", lm(f), conf(f, rope_parameters=dict(r), **kw), far, lg)
    for n, r in ropes.items():
        if n not in ("linear", "yarn", "llama3", "dynamic"):
            continue

        def old(c, key="type"):
            r = c.pop("rope_parameters")
            c["rope_theta"] = r.pop("rope_theta")
            r[key] = r.pop("rope_type")
            c["rope_scaling"] = r
            c["torch_dtype"] = c.pop("dtype", "float32")
            c["transformers_version"] = "4.37.2"
            for k in ("layer_types",):
                c.pop(k, None)
        kw = dict(max_position_embeddings=16 if n == "dynamic" else 32)
        case(f"llama/old-{n}", lm("llama"), conf("llama", rope_parameters=dict(r), **kw), far, lg, edit=old)
        case(f"qwen3/old-{n}", lm("qwen3"), conf("qwen3", rope_parameters=dict(r), **kw), far, lg, edit=lambda c: old(c, "rope_type"))

    def oldest(c):
        """what the first published checkpoints say: little"""
        r = c.pop("rope_parameters")
        if r["rope_theta"] != 10000.0:
            c["rope_theta"] = r["rope_theta"]
        for k in ("head_dim", "num_key_value_heads", "attention_bias", "mlp_bias", "attention_dropout", "layer_types", "dtype", "tie_word_embeddings"):
            c.pop(k, None)
        c["torch_dtype"] = "float16"
        c["transformers_version"] = "4.28.1"
    case("llama/oldest", lm("llama"), T.LlamaConfig(**{**nohead, "num_key_value_heads": 4}), two, short, edit=oldest)

    def inv_freq(w):
        w = {k: v.contiguous() for k, v in w.items()}
        for i in range(3):
            w[f"model.layers.{i}.self_attn.rotary_emb.inv_freq"] = torch.rand(2)
        return w
    case("llama/inv-freq-buffers", lm("llama"), conf("llama"), two, rename=inv_freq)

    def gpt2_published(w):
        out = {k.removeprefix("transformer."): v.contiguous() for k, v in w.items() if k != "lm_head.weight"}
        for i in range(3):
            out[f"h.{i}.attn.bias"] = torch.tril(torch.ones(1, 1, 40, 40))
            out[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
        return out

    def gpt2_config(c):
        for k in ("n_inner", "dtype", "pad_token_id", "add_cross_attention", "tie_word_embeddings", "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "use_cache"):
            c.pop(k, None)
        c.update(n_ctx=40, task_specific_params={"text-generation": {"do_sample": True, "max_length": 50}})
    case("gpt2/published", lm("gpt2"), conf("gpt2"), two, short, edit=gpt2_config, rename=gpt2_published)

    def qwen_old(c):
        for k in ("layer_types", "dtype"):
            c.pop(k, None)
        c["rope_theta"] = c.pop("rope_parameters")["rope_theta"]
        c["torch_dtype"] = "bfloat16"
        c.update(seq_length=32)
    for f in ("qwen2", "qwen3"):
        for n, kw in dict(off=dict(use_sliding_window=False, sliding_window=3, max_window_layers=1), on=dict(use_sliding_window=True, sliding_window=3, max_window_layers=1), all=dict(use_sliding_window=True, sliding_window=3, max_window_layers=0)).items():
            case(f"{f}/window-{n}", lm(f), conf(f, **kw), two, short)
            case(f"{f}/window-old-{n}", lm(f), conf(f, **kw, rope_parameters=rope(theta=1e6)), two, short, edit=lambda c, kw=kw: (qwen_old(c), c.update(kw)))

    def mistral_old(c):
        for k in ("layer_types", "dtype", "head_dim", "attention_dropout"):
            c.pop(k, None)
        c["rope_theta"] = c.pop("rope_parameters")["rope_theta"]
        c["torch_dtype"] = "bfloat16"
    case("mistral/old", lm("mistral"), T.MistralConfig(**nohead, sliding_window=3), two, short, edit=mistral_old)
    case("mistral/old-nulls", lm("mistral"), T.MistralConfig(**nohead, sliding_window=None), two, short, edit=lambda c: (mistral_old(c), c.update(head_dim=None, sliding_window=None)))

    case("mistral/window-wide", lm("mistral"), conf("mistral", sliding_window=100), two, short)

    def gemma2_old(c):
        for k in ("layer_types", "dtype", "use_bidirectional_attention", "tie_word_embeddings"):
            c.pop(k, None)
        c["rope_theta"] = c.pop("rope_parameters")["rope_theta"]
        c.update(torch_dtype="float32", cache_implementation="hybrid", hidden_act="gelu_pytorch_tanh", transformers_version="4.42.0.dev0")
    case("gemma2/old", lm("gemma2"), conf("gemma2"), two, short, edit=gemma2_old)
    case("gemma2/nocaps", lm("gemma2"), conf("gemma2", attn_logit_softcapping=None, final_logit_softcapping=None), two, short)
    case("gemma2/types", lm("gemma2"), conf("gemma2", layer_types=["full_attention", "sliding_attention", "full_attention"]), two, short)
    case("gemma2/bidirectional", T.Gemma2Model, conf("gemma2", use_bidirectional_attention=True), [("", dict(left()), {})]) if hasattr(T.Gemma2Config(), "use_bidirectional_attention") else None
    case("gemma2/act", lm("gemma2"), conf("gemma2", hidden_activation="gelu"), two)

    def gemma3_old(c, **more):
        for k in ("layer_types", "dtype", "use_bidirectional_attention", "tie_word_embeddings", "_sliding_window_pattern"):
            c.pop(k, None)
        r = c.pop("rope_parameters")
        c.update(rope_theta=1000000.0, rope_local_base_freq=10000, rope_scaling=None, sliding_window_pattern=2, torch_dtype="bfloat16", cache_implementation="hybrid")
        c.update(more)
    case("gemma3/old", lm("gemma3"), conf("gemma3"), two, short, edit=gemma3_old)
    case("gemma3/old-scaled", lm("gemma3"), conf("gemma3", rope_scaling=dict(rope_type="linear", factor=8.0)), two, short, edit=lambda c: gemma3_old(c, rope_scaling=dict(rope_type="linear", factor=8.0)))
    case("gemma3/pattern-default", lm("gemma3"), T.Gemma3TextConfig(**{**gemma, "num_hidden_layers": 7}), two, short)
    case("gemma3/caps", lm("gemma3"), conf("gemma3", attn_logit_softcapping=2.0, final_logit_softcapping=3.0), two, short)
    case("gemma3/bias", lm("gemma3"), conf("gemma3", attention_bias=True), two, short)
    case("gemma3/bidirectional", T.Gemma3TextModel, conf("gemma3", use_bidirectional_attention=True), [x for x in inputs_of("gemma3") if x[0] in ("plain", "left-positions", "hole")])
    for f in FAMILIES:
        case(f"{f}/sharded-bf16", lm(f), conf(f), two, short, dtype=torch.bfloat16, shard="8KB")
        case(f"{f}/half", lm(f), conf(f), two[:1], dtype=torch.float16)

        def as_bin(d, model):
            torch.save(model.state_dict(), d / "pytorch_model.bin")
            (d / "model.safetensors").unlink()
        case(f"{f}/bin", lm(f), conf(f), two[:1], short[:1], after=as_bin)
        case(f"{f}/lm-from-base-names", lm(f), conf(f, tie_word_embeddings=True), two[:1], short[:1], rename=lambda w: {k.removeprefix("model.").removeprefix("transformer."): v.contiguous() for k, v in w.items()})
    if hasattr(T, "GPT2DoubleHeadsModel"):
        mc = torch.randint(3, V, (2, 3, 8), generator=gen(2))
        y = mc.clone()
        y[..., :3] = -100
        for n, kw in dict(cls_index={}, last=dict(summary_type="last"), first=dict(summary_type="first", summary_activation="tanh"), mean=dict(summary_type="mean", summary_use_proj=False), plain=dict(summary_proj_to_labels=False, num_labels=4)).items():
            case(f"gpt2/double-{n}", T.GPT2DoubleHeadsModel, conf("gpt2", **kw), [("", dict(input_ids=mc, mc_token_ids=torch.tensor([[7, 5, 7], [6, 7, 2]]), **({} if n in ("mean", "plain") else dict(labels=y, mc_labels=torch.tensor([1, 2])))), {}), ("nomc", dict(input_ids=mc, attention_mask=torch.ones_like(mc)), {})])


# === generation ===

def drawn(r):
    """random parameters that fit each other often enough"""
    kw = dict(max_new_tokens=r.choice([1, 5, 9, 14]))
    mode = r.choice(["greedy", "sample", "sample", "sample", "beam", "beam", "beamsample"])
    if "sample" in mode:
        kw.update(do_sample=True, seed=r.randrange(10 ** 6))
        pool = dict(temperature=lambda: r.choice([0.3, 0.7, 1.0, 1.5, 3.0]), top_k=lambda: r.choice([0, 1, 2, 5, 20, 100]), top_p=lambda: r.choice([0.1, 0.5, 0.9, 1.0]), min_p=lambda: r.choice([0.0, 0.02, 0.1, 0.6]),
                    typical_p=lambda: r.choice([0.2, 0.7, 0.95, 1.0]), epsilon_cutoff=lambda: r.choice([1e-4, 3e-4, 0.02, 0.1]), eta_cutoff=lambda: r.choice([3e-4, 2e-3, 0.1]), top_h=lambda: r.choice([0.2, 0.5, 1.0]))
        for k in r.sample(list(pool), r.choice([0, 1, 1, 2, 3, 5])):
            kw[k] = pool[k]()
    if "beam" in mode:
        kw["num_beams"] = r.choice([2, 3, 5])
        if r.random() < .5:
            kw["early_stopping"] = r.choice([True, False, "never"])
        if r.random() < .5:
            kw["length_penalty"] = r.choice([-1.0, 0.0, 0.5, 1.0, 2.0])
        if r.random() < .5:
            kw["num_return_sequences"] = r.randint(1, kw["num_beams"])
    elif mode == "sample" and r.random() < .4:
        kw["num_return_sequences"] = r.choice([2, 3])
    tok = lambda: r.randrange(1, V)
    pool = dict(repetition_penalty=lambda: r.choice([0.7, 1.2, 2.0]), encoder_repetition_penalty=lambda: r.choice([0.5, 1.5]), no_repeat_ngram_size=lambda: r.choice([1, 2, 3]), encoder_no_repeat_ngram_size=lambda: r.choice([1, 2]),
                bad_words_ids=lambda: [[tok() for _ in range(r.choice([1, 1, 2, 3]))] for _ in range(r.choice([1, 4, 10]))], sequence_bias=lambda: [[[tok() for _ in range(r.choice([1, 2]))], r.choice([-8.0, 4.0, -1.0])] for _ in range(3)],
                min_new_tokens=lambda: r.choice([1, 4, 8]), min_length=lambda: r.choice([3, 9, 12]), suppress_tokens=lambda: [tok() for _ in range(5)], begin_suppress_tokens=lambda: [tok() for _ in range(9)], forced_eos_token_id=lambda: r.choice([2, [3, 9], 40]),
                forced_bos_token_id=lambda: 7, exponential_decay_length_penalty=lambda: [r.choice([0, 2, 5]), r.choice([1.01, 1.5, 0.9])], renormalize_logits=lambda: True, remove_invalid_values=lambda: True,
                eos_token_id=lambda: r.choice([tok(), [tok() for _ in range(6)], list(range(3, 40))]), pad_token_id=lambda: r.choice([0, 5]))
    for k in r.sample(list(pool), r.choice([0, 1, 1, 2, 3, 4, 6])):
        kw[k] = pool[k]()
    if r.random() < .15:
        del kw["max_new_tokens"]
        kw["max_length"] = r.choice([8, 12, 16])
    rows = r.choice([1, 1, 2, 3])
    n = r.choice([1, 3, 6])
    kw["inputs"] = left(rows, n, r.randrange(1000), 1) if n > rows else dict(input_ids=ids(rows, n, r.randrange(1000)), attention_mask=torch.ones(rows, n, dtype=torch.long))
    if r.random() < .2:
        kw["inputs"] = {"input_ids": kw["inputs"]["input_ids"]}
    return kw


def generation():
    for f in FAMILIES:
        for half in range((A.fuzz + 11) // 12):
            r = random.Random(f"{f}{half}{A.seed}")
            case(f"{f}/fuzz-{A.seed}-{half}", lm(f), conf(f), (), [drawn(r) for _ in range(12)])

    def with_file(**kw):
        def write(d, model):
            (d / "generation_config.json").write_text(json.dumps(kw))
        return write
    case("llama/gen-file", lm("llama"), conf("llama"), (), [{"seed": 3}, {"max_new_tokens": 4, "do_sample": False}, {"top_k": None, "seed": 1}, {"num_beams": 2, "do_sample": False}],
         after=with_file(do_sample=True, temperature=0.6, top_p=0.9, top_k=7, eos_token_id=[2, 9], pad_token_id=0, bos_token_id=1, max_length=20, repetition_penalty=1.1))

    def in_config(c):
        c.update(do_sample=False, max_length=13, repetition_penalty=1.4, no_repeat_ngram_size=2)
    case("gpt2/gen-in-config", lm("gpt2"), conf("gpt2"), (), [{}, {"max_new_tokens": 6}, {"num_beams": 3, "num_return_sequences": 2}], edit=in_config, after=lambda d, m: (d / "generation_config.json").unlink())
    case("gpt2/gen-no-pad", lm("gpt2"), conf("gpt2", pad_token_id=None, eos_token_id=[4, 9, 30, 31, 32, 33]), (), [{"max_new_tokens": 8, "do_sample": True, "seed": i, "num_return_sequences": 3} for i in range(4)] + [{"max_new_tokens": 8, "num_beams": 3, "num_return_sequences": 3}])
    case("gpt2/gen-no-eos", lm("gpt2"), conf("gpt2", pad_token_id=None, eos_token_id=None, bos_token_id=None), (), [{"max_new_tokens": 8, "do_sample": True, "seed": 2, "num_return_sequences": 3}, {"max_new_tokens": 8, "num_beams": 3, "num_return_sequences": 3}, {}])


all_forward()
options()
generation()
print(COUNT[0], "checkpoints")
