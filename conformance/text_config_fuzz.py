#!/usr/bin/env python3
"""Random configurations of the decoder and encoder-decoder families in the form of shared/golden: any class, every legal field drawn, rope of every kind, windows, ties, old spellings of config.json, inputs
padded on either side, given as embeddings, with labels; and two generations. A case is FAMILY-SEED; what the reference refuses is left out. Made with transformers 5.23.0, torch 2.10.0.
usage: text_config_fuzz.py OUT_FOLDER FAMILY|all FIRST_SEED COUNT      then check.py --bin conformance/one_jvm.py --root OUT_FOLDER"""
import json, random, shutil, sys, warnings
from pathlib import Path
import torch
import transformers as T
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
T.logging.set_verbosity_error()
T.logging.disable_progress_bar()
torch.set_num_threads(1)
ROOT = Path(sys.argv[1])
ACTS = ["gelu", "relu", "gelu_new", "silu", "gelu_pytorch_tanh", "quick_gelu", "tanh", "gelu_python", "gelu_fast", "swish", "mish", "relu2", "relu6", "gelu_10", "gelu_accurate", "hardswish", "leaky_relu",
        "sigmoid", "linear", "laplace"]


def some(r, p, **kw):
    return {k: v() for k, v in kw.items() if r.random() < p}


def rope(r, dim, most):
    theta = r.choice([10000.0, 500.0, 1e6])
    kind = r.choice(["default", "linear", "dynamic", "yarn", "llama3", "longrope"])
    p = dict(rope_type=kind, rope_theta=theta)
    if kind in ("linear", "dynamic", "yarn", "llama3"):
        p["factor"] = r.choice([1.0, 2.0, 3.5, 8.0])
    original = r.choice([4, 8, 16])
    if kind in ("yarn", "llama3", "longrope"):
        p["original_max_position_embeddings"] = original
    if kind == "yarn":
        p.update(some(r, 0.3, beta_fast=lambda: r.choice([8, 16]), beta_slow=lambda: 2, attention_factor=lambda: 1.2, truncate=lambda: False, mscale=lambda: 0.7, mscale_all_dim=lambda: r.choice([0.9, 0.0])))
    if kind == "llama3":
        p.update(low_freq_factor=r.choice([1.0, 2.0]), high_freq_factor=r.choice([4.0, 8.0]))
    if kind == "longrope":
        n = dim // 2
        p.update(short_factor=[round(1 + 0.1 * i, 2) for i in range(n)], long_factor=[round(1 + 0.9 * i, 2) for i in range(n)])
        p.update(some(r, 0.4, factor=lambda: 4.0, attention_factor=lambda: 1.1))
    return p


def llamaish(r, family):
    heads = r.choice([1, 2, 4])
    kv = r.choice([h for h in (1, 2, 4) if heads % h == 0])
    head = r.choice([2, 4, 6, 8])
    most = r.choice([16, 32, 64])
    layers = r.randint(1, 4)
    c = dict(vocab_size=r.randint(30, 60), hidden_size=heads * head if r.random() < 0.5 or family == "qwen2" else r.choice([8, 12]), intermediate_size=r.randint(5, 24), num_hidden_layers=layers, num_attention_heads=heads,
             num_key_value_heads=kv, max_position_embeddings=most, pad_token_id=r.choice([0, 0, 3, None]), bos_token_id=1, eos_token_id=2)
    if c["hidden_size"] != heads * head:
        c["head_dim"] = head
    elif r.random() < 0.3 and family != "qwen2":
        c["head_dim"] = head
    act = "hidden_activation" if family.startswith("gemma") else "hidden_act"
    c.update(some(r, 0.3, **{act: lambda: r.choice(ACTS), "rms_norm_eps": lambda: r.choice([1e-2, 1e-5]), "tie_word_embeddings": lambda: r.random() < 0.5, "initializer_range": lambda: 0.1}))
    if family in ("llama", "qwen3", "gemma2", "gemma3"):
        c.update(some(r, 0.3, attention_bias=lambda: True))
    if family == "llama":
        c.update(some(r, 0.3, mlp_bias=lambda: True, pretraining_tp=lambda: 2))
    if family == "mistral":
        c["sliding_window"] = r.choice([None, 2, 3, 5, 100])
    if family in ("qwen2", "qwen3"):
        c.update(some(r, 0.5, use_sliding_window=lambda: True, sliding_window=lambda: r.choice([2, 4, None]), max_window_layers=lambda: r.choice([0, 1, 2])))
    if family.startswith("gemma"):
        c.update(query_pre_attn_scalar=r.choice([4, 16, 256]), sliding_window=r.choice([2, 4, 64]))
        c.update(some(r, 0.3, attn_logit_softcapping=lambda: r.choice([None, 2.0]), final_logit_softcapping=lambda: r.choice([None, 3.0]), use_bidirectional_attention=lambda: True))
    if family == "gemma3" and r.random() < 0.5:
        c["sliding_window_pattern"] = r.choice([1, 2, 3])
    if family in ("qwen2", "qwen3", "gemma2", "gemma3") and r.random() < 0.3:
        c["layer_types"] = [r.choice(["full_attention", "sliding_attention"]) for _ in range(layers)]
    dim = c.get("head_dim") or (c["hidden_size"] // heads if not family.startswith("gemma") and family != "qwen3" else None)
    if dim is None:
        c["head_dim"] = dim = head
    if family != "gemma3" and r.random() < 0.6:
        c["rope_parameters"] = rope(r, dim, most)
    elif family == "gemma3" and r.random() < 0.5:
        c["rope_parameters"] = dict(sliding_attention=dict(rope_type="default", rope_theta=r.choice([100.0, 10000.0])), full_attention=r.choice([dict(rope_type="linear", rope_theta=1e6, factor=8.0), dict(rope_type="default", rope_theta=1e5)]))
    return c


def gpt2(r, family):
    heads = r.choice([1, 2, 3])
    return dict(vocab_size=r.randint(30, 60), n_positions=r.choice([24, 40]), n_embd=heads * r.choice([4, 5]), n_layer=r.randint(1, 4), n_head=heads, pad_token_id=r.choice([0, None, 3]), bos_token_id=1, eos_token_id=2,
                **some(r, 0.35, n_inner=lambda: r.choice([7, None]), activation_function=lambda: r.choice(ACTS), scale_attn_weights=lambda: False, scale_attn_by_inverse_layer_idx=lambda: True, reorder_and_upcast_attn=lambda: True,
                       layer_norm_epsilon=lambda: 1e-2, tie_word_embeddings=lambda: False, add_cross_attention=lambda: False, use_cache=lambda: False))


def t5(r, family):
    return dict(vocab_size=r.randint(30, 60), d_model=r.choice([8, 12]), d_kv=r.choice([3, 4, 8]), d_ff=r.randint(5, 20), num_layers=r.randint(1, 3), num_heads=r.choice([1, 2, 3]), pad_token_id=0, eos_token_id=1, decoder_start_token_id=0,
                **some(r, 0.4, num_decoder_layers=lambda: r.randint(1, 3), relative_attention_num_buckets=lambda: r.choice([4, 8, 32]), relative_attention_max_distance=lambda: r.choice([8, 20, 128]), layer_norm_epsilon=lambda: 1e-3,
                       feed_forward_proj=lambda: r.choice(["relu", "gated-gelu", "gated-silu", "gelu", "gated-relu", "silu", "gelu_new", "gated-gelu_new"]), tie_word_embeddings=lambda: r.random() < 0.5, scale_decoder_outputs=lambda: r.random() < 0.5,
                       dense_act_fn=lambda: r.choice(ACTS), is_gated_act=lambda: True))


def bart(r, family):
    heads = r.choice([1, 2, 4])
    pad, eos = r.choice([(1, 2), (0, 1), (0, 2)])
    return dict(vocab_size=r.randint(30, 60), d_model=4 * r.choice([2, 3]), encoder_layers=r.randint(1, 3), decoder_layers=r.randint(1, 3), encoder_attention_heads=r.choice([1, 2, 4]), decoder_attention_heads=heads,
                encoder_ffn_dim=r.randint(5, 20), decoder_ffn_dim=r.randint(5, 20), max_position_embeddings=r.choice([24, 40]), pad_token_id=pad, eos_token_id=eos, bos_token_id=0, decoder_start_token_id=r.choice([eos, pad]),
                **some(r, 0.35, activation_function=lambda: r.choice(ACTS), scale_embedding=lambda: True, tie_word_embeddings=lambda: r.random() < 0.5, classifier_dropout=lambda: 0.2, encoder_layerdrop=lambda: 0.3,
                       **({} if family != "marian" else dict(share_encoder_decoder_embeddings=lambda: True))))


CAUSAL = ["Model", "ForCausalLM", "ForCausalLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]
FAMILIES = {
    "gpt2": ("GPT2", T.GPT2Config, gpt2, ["Model", "LMHeadModel", "LMHeadModel", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]),
    "llama": ("Llama", T.LlamaConfig, llamaish, CAUSAL), "mistral": ("Mistral", T.MistralConfig, llamaish, CAUSAL), "qwen2": ("Qwen2", T.Qwen2Config, llamaish, CAUSAL), "qwen3": ("Qwen3", T.Qwen3Config, llamaish, CAUSAL),
    "gemma2": ("Gemma2", T.Gemma2Config, llamaish, CAUSAL[:5]), "gemma3": ("Gemma3", T.Gemma3TextConfig, llamaish, ["TextModel", "ForCausalLM", "TextForSequenceClassification"]),
    "t5": ("T5", T.T5Config, t5, ["Model", "ForConditionalGeneration", "ForConditionalGeneration", "EncoderModel", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]),
    "mt5": ("MT5", T.MT5Config, t5, ["Model", "ForConditionalGeneration", "EncoderModel", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]),
    "bart": ("Bart", T.BartConfig, bart, ["Model", "ForConditionalGeneration", "ForConditionalGeneration", "ForSequenceClassification", "ForQuestionAnswering", "ForCausalLM"]),
    "mbart": ("MBart", T.MBartConfig, bart, ["Model", "ForConditionalGeneration", "ForSequenceClassification", "ForQuestionAnswering", "ForCausalLM"]),
    "marian": ("Marian", T.MarianConfig, bart, ["Model", "MTModel", "MTModel", "ForCausalLM"]),
    "pegasus": ("Pegasus", T.PegasusConfig, bart, ["Model", "ForConditionalGeneration", "ForConditionalGeneration", "ForCausalLM"]),
    "m2m_100": ("M2M100", T.M2M100Config, bart, ["Model", "ForConditionalGeneration", "ForConditionalGeneration"]),
}


def rand(model, g):
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=g) * (0.4 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.numel() and p.mean() > 0.5 else 0.0))


def flatten(out):
    flat = {}
    for k, v in out.items():
        if torch.is_tensor(v):
            flat[k] = v.detach().contiguous().clone()
        elif isinstance(v, tuple) and v and torch.is_tensor(v[0]):
            flat.update({f"{k}.{i}": t.detach().contiguous().clone() for i, t in enumerate(v) if t is not None})
    return flat


def inputs(r, g, c, cls, both, pad, eos):
    v, b, s = c["vocab_size"], r.randint(1, 3), r.choice([1, 4, 7, 12, 15])
    ids = torch.randint(3, v, (b, s), generator=g)
    m = torch.ones_like(ids)
    side = r.choice(["left", "right", "right", "none"])
    for row in range(b):
        cut = r.randint(0, s - 1) if side != "none" else 0
        if cut:
            part = slice(0, cut) if side == "left" else slice(s - cut, s)
            ids[row, part] = pad if pad is not None else 0
            m[row, part] = 0
    if both and "SequenceClassification" in cls:
        for row in range(b):
            ids[row, int(m[row].nonzero().max())] = eos
    x = dict(input_ids=ids)
    if r.random() < 0.75:
        x["attention_mask"] = m
    if r.random() < 0.12 and not (both and "SequenceClassification" in cls):
        width = c.get("hidden_size") or c.get("d_model") or c.get("n_embd")
        x["inputs_embeds"] = torch.randn(b, s, width, generator=g)
        del x["input_ids"]
    n = c.get("num_labels", 2)
    if cls.endswith(("CausalLM", "LMHeadModel")) and r.random() < 0.5 and "input_ids" in x:
        y = ids.clone()
        y[(torch.rand(y.shape, generator=g) < 0.3) | (m == 0)] = -100
        x["labels"] = y
    if "SequenceClassification" in cls and r.random() < 0.5:
        x["labels"] = torch.randint(0, n, (b,), generator=g) if n > 1 else torch.randn(b, generator=g)
    if "TokenClassification" in cls and r.random() < 0.5:
        x["labels"] = torch.randint(0, n, (b, s), generator=g)
    if "QuestionAnswering" in cls and r.random() < 0.5:
        x.update(start_positions=torch.randint(0, s + 2, (b,), generator=g), end_positions=torch.randint(0, s + 2, (b,), generator=g))
    if not both and "input_ids" in x and r.random() < 0.15:
        x["position_ids"] = (m.cumsum(1) - 1).clamp_min(0) if r.random() < 0.6 else torch.arange(2, 2 + s).expand(b, s).contiguous()
    if both and cls.endswith(("Model", "Generation")) and not cls.endswith("EncoderModel"):
        d = r.choice([1, 3, 6])
        y = torch.randint(3, v, (b, d), generator=g)
        if cls.endswith(("Generation", "MTModel")) and r.random() < 0.5:
            y[torch.rand(y.shape, generator=g) < 0.2] = -100
            x["labels"] = y
        elif "input_ids" not in x or r.random() < 0.85 or cls.startswith(("T5", "MT5")):
            x["decoder_input_ids"] = y
            if r.random() < 0.3:
                dm = torch.ones_like(y)
                dm[0, r.randint(1, d):] = 0
                x["decoder_attention_mask"] = dm
    return x


def old(r, c):
    """config.json as transformers 4 wrote it"""
    p = c.pop("rope_parameters", None)
    if p and "rope_theta" in p:
        c["rope_theta"] = p.pop("rope_theta")
        if p.get("rope_type") != "default":
            p[r.choice(["type", "rope_type"])] = p.pop("rope_type")
            c["rope_scaling"] = p
        elif r.random() < 0.5:
            c["rope_scaling"] = None
    elif p:
        c["rope_parameters"] = p
    c["torch_dtype"] = c.pop("dtype", "float32")
    c["transformers_version"] = "4.40.0"
    if r.random() < 0.5 and "sliding_window_pattern" not in str(c.get("_sliding_window_pattern", "")):
        c.pop("layer_types", None)


def case(family, seed):
    r, g = random.Random(f"config-{family}-{seed}"), torch.Generator().manual_seed(seed)
    d = ROOT / family / str(seed)
    shutil.rmtree(d, ignore_errors=True)
    prefix, config_class, draw, heads = FAMILIES[family]
    cls = prefix + r.choice(heads)
    kw = draw(r, family)
    if "Classification" in cls:
        kw["num_labels"] = r.choice([1, 2, 3, 5])
    kw["attn_implementation"] = "eager"
    both = family in ("t5", "mt5", "bart", "mbart", "marian", "pegasus", "m2m_100") and not cls.endswith("CausalLM")
    try:
        config = config_class(**kw)
        torch.manual_seed(seed)
        model = getattr(T, cls)(config)
        rand(model, g)
        model.save_pretrained(d / "model")
        f = d / "model/config.json"
        c = json.loads(f.read_text())
        if r.random() < 0.3:
            old(r, c)
        f.write_text(json.dumps(c, indent=1))
        model = getattr(T, cls).from_pretrained(d / "model", attn_implementation="eager").eval()
        x = inputs(r, g, kw, cls, both, kw.get("pad_token_id"), kw.get("eos_token_id"))
        hidden, attention = r.random() < 0.6, r.random() < 0.5
        more = dict(use_cache=False) if r.random() < 0.2 and not cls.endswith("EncoderModel") and "input_ids" in x else {}
        with torch.no_grad():
            out = flatten(model(**x, **more, output_hidden_states=hidden, output_attentions=attention))
        if not out or not all(v.isfinite().all() for v in out.values()):
            raise ValueError("not finite")
        made = []
        if cls.endswith(("CausalLM", "LMHeadModel", "Generation", "MTModel")) and "input_ids" in x and not kw.get("use_bidirectional_attention"):
            for gen in (dict(max_new_tokens=r.choice([3, 7])), dict(max_new_tokens=5, num_beams=3, do_sample=False)):
                ins = {k: v for k, v in x.items() if k in ("input_ids", "attention_mask")}
                if not both:
                    ins = {k: v.flip(1) for k, v in ins.items()} if "attention_mask" in ins and (ins["attention_mask"][:, -1] == 0).any() else ins
                    if (ins["attention_mask"][:, -1] == 0).any() if "attention_mask" in ins else (ins["input_ids"][:, -1] == kw["pad_token_id"]).any():
                        continue  # a prompt that is padded on the right
                model = getattr(T, cls).from_pretrained(d / "model", attn_implementation="eager").eval()
                with torch.no_grad():
                    made.append(dict(kwargs=gen, inputs={k: v.tolist() for k, v in ins.items()}, sequences=model.generate(**ins, **gen).tolist()))
    except Exception as e:
        shutil.rmtree(d, ignore_errors=True)
        print(f"{family}-{seed} {cls}: refused: {type(e).__name__}: {str(e).strip().splitlines()[0][:160] if str(e) else ''}")
        return 0
    save_file({k: v.contiguous() for k, v in x.items()}, d / "inputs.safetensors")
    save_file(out, d / "outputs.safetensors")
    (d / "case.json").write_text(json.dumps(dict(family=family, architecture=cls, what=str(kw), forward=dict(atol=3e-5, rtol=3e-4, ignore_padding=False, output_hidden_states=hidden, output_attentions=attention, kwargs=more),
                                                 generate=made)) + "\n")
    return 1


if __name__ == "__main__":
    made = sum(case(f, s) for f in (FAMILIES if sys.argv[2] == "all" else sys.argv[2].split(",")) for s in range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[4])))
    print(made, "cases")
