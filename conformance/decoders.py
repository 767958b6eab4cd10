#!/usr/bin/env python3
"""Small golden cases of the decoder families in the form of shared/golden, for what those leave out: every kind of rope scaling in both spellings, windows by layer, sharded
bf16 checkpoints, classifiers, sampling and beam variants. Made with transformers 5.23.0, torch 2.10.0.
usage: decoders.py OUT_FOLDER        (core/src/test/resources/decoders)"""
import json, shutil, sys
from pathlib import Path
import torch
import transformers as T
from safetensors.torch import save_file

V = 61
ROOT = Path(sys.argv[1])
small = dict(vocab_size=V, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=32,
             bos_token_id=1, eos_token_id=2, pad_token_id=0)
gemma = dict(small, query_pre_attn_scalar=12, sliding_window=3)


def batch(rows=2, length=9, pad=True, seed=0):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, V, (rows, length), generator=g)
    mask = torch.ones_like(ids)
    if pad:
        ids[1, length - 3:] = 0
        mask[1, length - 3:] = 0
    return dict(input_ids=ids, attention_mask=mask)


def left(rows, length, seed):
    b = batch(rows, length, False, seed)
    if rows > 1:
        b["input_ids"][0, :2] = 0
        b["attention_mask"][0, :2] = 0
    return b


def case(name, cls, config, inputs=None, generate=(), edit=None, dtype=torch.float32, shard=None, ignore=True, attentions=False, prompt=None):
    torch.manual_seed(len(name) * 7 + 3)
    config._attn_implementation = "eager"
    model = cls(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (0.25 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    d = ROOT / name
    shutil.rmtree(d, ignore_errors=True)
    (d / "model").mkdir(parents=True)
    model.to(dtype).save_pretrained(d / "model", max_shard_size=shard or "5GB")
    f = d / "model/config.json"
    if edit:
        c = json.loads(f.read_text())
        edit(c)
        f.write_text(json.dumps(c, indent=1) + "\n")
    model = cls.from_pretrained(d / "model", dtype=torch.float32, attn_implementation="eager").eval()
    info = dict(family=config.model_type, architecture=cls.__name__)
    if inputs is not None:
        with torch.no_grad():
            out = model(**inputs, output_hidden_states=True, output_attentions=attentions, use_cache=False)
        flat = {}
        for k, v in out.items():
            if torch.is_tensor(v):
                flat[k] = v.contiguous().clone()
            elif isinstance(v, tuple) and torch.is_tensor(v[0]):
                flat.update({f"{k}.{i}": t.contiguous().clone() for i, t in enumerate(v)})
        save_file({k: v.contiguous() for k, v in inputs.items()}, d / "inputs.safetensors")
        save_file(flat, d / "outputs.safetensors")
        info["forward"] = dict(atol=2e-5, rtol=2e-4, ignore_padding=ignore, output_hidden_states=True, output_attentions=attentions)
    info["generate"] = []
    for i, kw in enumerate(generate):
        kw = dict(kw)
        inp = prompt or left(2, 7, i)
        call = {k: v for k, v in kw.items() if k != "seed"}
        if "seed" in kw:
            torch.manual_seed(kw["seed"])
        with torch.no_grad():
            seq = model.generate(**inp, **call)
        info["generate"].append(dict(kwargs=kw, inputs={k: v.tolist() for k, v in inp.items()}, sequences=seq.tolist()))
    (d / "case.json").write_text(json.dumps(info) + "\n")
    print(name, sum(p.stat().st_size for p in d.rglob("*") if p.is_file()) // 1024, "KB")


greedy = [{"max_new_tokens": 8, "do_sample": False}]
long = dict(input_ids=torch.randint(3, V, (1, 28), generator=torch.Generator().manual_seed(2)), attention_mask=torch.ones(1, 28, dtype=torch.long))


def rope(kind, **kw):
    return dict(rope_type=kind, rope_theta=10000.0, **kw)


def old_rope(c):
    r = c.pop("rope_parameters")
    c["rope_theta"] = r.pop("rope_theta")
    r["type"] = r.pop("rope_type")
    c["rope_scaling"] = r
    c["torch_dtype"] = c.pop("dtype")


L = T.LlamaForCausalLM
case("llama-rope-llama3-sharded-bf16", L, T.LlamaConfig(**small, rope_parameters=rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)),
     batch(), greedy, dtype=torch.bfloat16, shard="6KB")
case("llama-rope-linear-old-names", L, T.LlamaConfig(**small, attention_bias=True, mlp_bias=True, rope_parameters=rope("linear", factor=4.0)), batch(), greedy, edit=old_rope)
case("llama-rope-dynamic", L, T.LlamaConfig(**{**small, "max_position_embeddings": 16}, rope_parameters=rope("dynamic", factor=2.0)), dict(long), [{"max_new_tokens": 6}], prompt=long)
case("llama-rope-yarn", L, T.LlamaConfig(**small, tie_word_embeddings=True, rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=8)), batch(), greedy, attentions=True)
case("qwen2-windows-by-layer", T.Qwen2ForCausalLM, T.Qwen2Config(**{k: v for k, v in small.items() if k != "head_dim"}, use_sliding_window=True, sliding_window=3, max_window_layers=1), batch(), greedy)
case("qwen3-bias-sampling", T.Qwen3ForCausalLM, T.Qwen3Config(**small, attention_bias=True), batch(), [
    {"max_new_tokens": 10, "do_sample": True, "seed": 1, "min_p": 0.1, "top_k": 0}, {"max_new_tokens": 10, "do_sample": True, "seed": 2, "typical_p": 0.7, "temperature": 1.3},
    {"max_new_tokens": 10, "do_sample": True, "seed": 3, "epsilon_cutoff": 0.02, "eta_cutoff": 0.02, "top_k": 0}, {"max_new_tokens": 10, "do_sample": True, "seed": 4, "top_h": 0.5, "top_p": 0.95},
    {"max_new_tokens": 10, "do_sample": True, "seed": 5, "num_return_sequences": 3, "repetition_penalty": 1.3}, {"max_new_tokens": 12, "do_sample": True, "seed": 6, "eos_token_id": list(range(3, 20)), "top_k": 0, "num_return_sequences": 2},
    {"max_new_tokens": 10, "do_sample": True, "seed": 7, "num_beams": 3}, {"max_new_tokens": 10, "do_sample": True, "seed": 8, "num_beams": 4, "num_return_sequences": 2, "temperature": 0.7, "top_k": 8},
    {"max_new_tokens": 10, "num_beams": 4, "early_stopping": "never", "length_penalty": 1.5, "eos_token_id": list(range(3, 12)), "num_return_sequences": 4},
    {"max_new_tokens": 10, "num_beams": 3, "early_stopping": True, "eos_token_id": list(range(3, 30)), "pad_token_id": 0}, {"max_new_tokens": 10, "bad_words_ids": [[5], [9, 12]], "no_repeat_ngram_size": 3},
    {"max_new_tokens": 10, "sequence_bias": [[[7], 3.0], [[8, 9], -5.0]], "suppress_tokens": [4, 6]}, {"max_length": 12, "forced_eos_token_id": 2}, {"min_length": 14, "max_length": 16, "eos_token_id": list(range(3, 40))},
    {"max_new_tokens": 9, "exponential_decay_length_penalty": [3, 1.5], "begin_suppress_tokens": [10, 11]}, {"max_new_tokens": 8, "encoder_repetition_penalty": 1.5, "encoder_no_repeat_ngram_size": 2}, {}])
case("mistral-no-window-classifier", T.MistralForSequenceClassification, T.MistralConfig(**small, sliding_window=None, num_labels=3), dict(batch(), labels=torch.tensor([2, 0])))
case("llama-token-classifier", T.LlamaForTokenClassification, T.LlamaConfig(**small, num_labels=4), dict(batch(), labels=torch.randint(0, 4, (2, 9), generator=torch.Generator().manual_seed(1))))
case("llama-question-answering", T.LlamaForQuestionAnswering, T.LlamaConfig(**small), dict(batch(), start_positions=torch.tensor([1, 2]), end_positions=torch.tensor([3, 3])))
case("gemma2-caps", T.Gemma2ForCausalLM, T.Gemma2Config(**gemma, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, attention_bias=True), batch(), greedy, attentions=True)
case("gemma3-scaled-global", T.Gemma3ForCausalLM, T.Gemma3TextConfig(**{**gemma, "num_hidden_layers": 3}, layer_types=["sliding_attention", "full_attention", "sliding_attention"], final_logit_softcapping=5.0,
     rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6), sliding_attention=dict(rope_type="default", rope_theta=1e4))), batch(), greedy)
case("gemma3-both-ways", T.Gemma3TextModel, T.Gemma3TextConfig(**gemma, use_bidirectional_attention=True), batch())
g2 = dict(vocab_size=V, n_positions=32, n_embd=16, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2, pad_token_id=0)
case("gpt2-scaled-by-layer", T.GPT2LMHeadModel, T.GPT2Config(**g2, scale_attn_by_inverse_layer_idx=True, activation_function="relu", tie_word_embeddings=False),
     dict(batch(), token_type_ids=torch.randint(0, V, (2, 9), generator=torch.Generator().manual_seed(4)), labels=batch()["input_ids"]), greedy)
case("gpt2-token-classifier", T.GPT2ForTokenClassification, T.GPT2Config(**g2, num_labels=3), dict(batch(), labels=torch.randint(0, 3, (2, 9), generator=torch.Generator().manual_seed(6))))


def perplexity(window, stride):
    """the procedure of transformers' guide "Perplexity of fixed-length models" """
    ids = torch.tensor([[3 + (i * i + 5 * i) % 58 for i in range(100)]])
    model = T.GPT2LMHeadModel.from_pretrained(ROOT / "gpt2-scaled-by-layer/model").eval()
    nll, tokens, previous = 0.0, 0, 0
    for begin in range(0, ids.shape[1], stride):
        end = min(begin + window, ids.shape[1])
        target = ids[:, begin:end].clone()
        target[:, :-(end - previous)] = -100
        with torch.no_grad():
            loss = model(ids[:, begin:end], labels=target).loss
        valid = (target != -100).sum().item()
        counted = valid - (0 if target[0, 0] == -100 else 1)
        nll, tokens, previous = nll + loss.item() * counted, tokens + counted, end
        if end == ids.shape[1]:
            break
    return float(torch.exp(torch.tensor(nll / tokens, dtype=torch.float64)))


for w, s in ((32, 8), (32, 16), (20, 20)):
    print("perplexity", w, s, perplexity(w, s))
