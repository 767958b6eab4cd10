#!/usr/bin/env python3
"""Small golden cases of encoder-decoder models in the form of shared/golden, for what those leave out: the classifying, answering and decoder-only classes with their losses,
mBART, gated and odd T5 configurations, separate vocabularies (Marian), padding on either side, embeddings given, and generation with several beams, penalties, n-grams of target
and source, forced, suppressed and banned tokens, minimum lengths, sampling by seed. Made with transformers 5.23.0, torch 2.10.0.
usage: seq2seq.py OUT_FOLDER [START_OF_NAME ...]       (core/src/test/resources/seq2seq)"""
import json, shutil, sys
from pathlib import Path
import torch
import transformers as T
from safetensors.torch import save_file

V = 43
ROOT = Path(sys.argv[1])
ONLY = tuple(sys.argv[2:]) or ("",)


def batch(pad, eos, length=9, side="right", seed=0, rows=2, eos_times=1):
    """Texts that end in eos, the second three tokens shorter."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, V, (rows, length), generator=g)
    mask = torch.ones_like(ids)
    ids[:, -1] = eos
    if eos_times > 1:
        ids[:, 2] = eos
    if rows > 1:
        ids[1] = torch.cat([ids[1, 3:], torch.full((3,), pad)]) if side == "right" else torch.cat([torch.full((3,), pad), ids[1, 3:]])
        if eos_times > 1:
            ids[1, 2] = eos
        mask[1] = (ids[1] != pad).long()
    return dict(input_ids=ids, attention_mask=mask)


def target(length=6, seed=5, ignored=True, rows=2):
    g = torch.Generator().manual_seed(seed)
    t = torch.randint(4, V, (rows, length), generator=g)
    if ignored:
        t[1, -2:] = -100
    return t


def plain(t):
    return {k: v.tolist() for k, v in t.items()}


def case(name, cls, config, inputs, edit=None, attentions=False, hidden=True, ignore=False, generate=(), tune=None, scale=0.35, forward=True, what=""):
    if not name.startswith(ONLY):
        return
    torch.manual_seed(len(name) * 7 + 3)
    config._attn_implementation = "eager"
    model = cls(config).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "sinusoid" in n or (("embed_positions" in n) and config.model_type in ("marian", "pegasus")):
                continue
            p.copy_(torch.randn_like(p) * (scale if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
        for n, b in model.named_buffers():
            if n == "final_logits_bias":
                b.copy_(torch.randn_like(b) * 0.3)
    if tune:
        tune(model)
    d = ROOT / name
    shutil.rmtree(d, ignore_errors=True)
    (d / "model").mkdir(parents=True)
    model.save_pretrained(d / "model")
    if edit:
        f = d / "model/config.json"
        c = json.loads(f.read_text())
        edit(c)
        f.write_text(json.dumps(c, indent=1) + "\n")
    model = cls.from_pretrained(d / "model", dtype=torch.float32, attn_implementation="eager").eval()
    info = dict(family=config.model_type, architecture=cls.__name__, what=what)
    if forward:
        with torch.no_grad():
            out = model(**inputs, output_hidden_states=hidden, output_attentions=attentions)
        flat = {}
        for k, v in out.items():
            if torch.is_tensor(v):
                flat[k] = v.contiguous().clone()
            elif isinstance(v, tuple) and v and torch.is_tensor(v[0]):
                flat.update({f"{k}.{i}": t.contiguous().clone() for i, t in enumerate(v)})
        save_file({k: v.contiguous().clone() for k, v in inputs.items()}, d / "inputs.safetensors")
        save_file(flat, d / "outputs.safetensors")
        info["forward"] = dict(atol=2e-5, rtol=2e-4, ignore_padding=ignore, output_hidden_states=hidden, output_attentions=attentions)
    info["generate"] = []
    for ins, kwargs in generate:
        k = dict(kwargs)
        seed = k.pop("seed", None)
        if seed is not None:
            torch.manual_seed(seed)
        with torch.no_grad():
            s = model.generate(**ins, **k)
        info["generate"].append(dict(kwargs=kwargs, inputs=plain(ins), sequences=s.tolist()))
    (d / "case.json").write_text(json.dumps(info) + "\n")
    lengths = [len(set(map(tuple, g["sequences"]))) for g in info["generate"]]
    print(name, sum(p.stat().st_size for p in d.rglob("*") if p.is_file()) // 1024, "KB", lengths, flush=True)


GREEDY = dict(max_new_tokens=8, do_sample=False)


def searches(ins, eos, more=()):
    """Generation settings; ins has two rows."""
    one = {k: v[:1] for k, v in ins.items()}
    return [
        (ins, GREEDY),
        (ins, dict(max_new_tokens=8, num_beams=2, num_return_sequences=2, do_sample=False)),
        (ins, dict(max_new_tokens=10, num_beams=5, num_return_sequences=3, length_penalty=-0.5, do_sample=False)),
        (ins, dict(max_new_tokens=10, num_beams=4, length_penalty=2.0, early_stopping="never", do_sample=False)),
        (ins, dict(max_new_tokens=10, num_beams=3, early_stopping=True, no_repeat_ngram_size=2, min_length=5, do_sample=False)),
        (ins, dict(max_length=9, num_beams=3, encoder_no_repeat_ngram_size=1, do_sample=False)),
        (ins, dict(max_new_tokens=7, encoder_no_repeat_ngram_size=2, repetition_penalty=1.3, do_sample=False)),
        (ins, dict(max_new_tokens=7, encoder_repetition_penalty=1.6, min_new_tokens=4, do_sample=False)),
        (ins, dict(max_new_tokens=7, suppress_tokens=[7, 11, 20, 21, 22], begin_suppress_tokens=[5, 6, 30], do_sample=False)),
        (ins, dict(max_new_tokens=7, num_beams=3, bad_words_ids=[[9], [10, 12], [30]], forced_eos_token_id=eos, do_sample=False)),
        (ins, dict(max_new_tokens=6, forced_bos_token_id=13, num_beams=2, renormalize_logits=True, do_sample=False)),
        (ins, dict(max_new_tokens=9, num_beams=3, exponential_decay_length_penalty=[3, 1.4], do_sample=False)),
        (ins, dict(max_new_tokens=8, eos_token_id=[eos, 12, 17, 29], num_beams=2, do_sample=False)),
        (ins, dict(max_new_tokens=8, sequence_bias=[[[8], -4.0], [[14], 3.0]], do_sample=False)),
        (ins, dict(max_new_tokens=8, do_sample=True, seed=11, temperature=0.8, top_k=12)),
        (ins, dict(max_new_tokens=8, do_sample=True, seed=3, top_p=0.85, num_return_sequences=2)),
        (ins, dict(max_new_tokens=7, do_sample=True, seed=5, num_beams=3, top_k=0)),
        (one, dict(max_new_tokens=6, do_sample=True, seed=7, typical_p=0.7, repetition_penalty=1.2)),
        ({k: v for k, v in ins.items() if k == "input_ids"}, dict(max_new_tokens=5, num_beams=2, do_sample=False)),
        (dict(ins, decoder_input_ids=torch.tensor([[15, 16], [18, 19]])), dict(max_new_tokens=5, do_sample=False)),
        (dict(ins, decoder_input_ids=torch.tensor([[15, 16], [18, 19]])), dict(max_new_tokens=5, num_beams=3, forced_bos_token_id=13, begin_suppress_tokens=[20], do_sample=False)),
    ] + list(more)


# === T5 and mT5 ===

def t5(**kw):
    return T.T5Config(**(dict(vocab_size=V, d_model=16, d_kv=5, d_ff=20, num_layers=2, num_heads=3, relative_attention_num_buckets=8, relative_attention_max_distance=20, dropout_rate=0.0,
                              decoder_start_token_id=0, pad_token_id=0, eos_token_id=1) | kw))


right, left = batch(0, 1), batch(0, 1, side="left", seed=2)
case("t5-classification", T.T5ForSequenceClassification, t5(num_labels=3), dict(right, labels=torch.tensor([2, 0])), attentions=True)
case("t5-classification-two-ends", T.T5ForSequenceClassification, t5(num_labels=1), dict(batch(0, 1, eos_times=2), labels=torch.tensor([0.3, -1.0])))
case("t5-token-classification", T.T5ForTokenClassification, t5(num_labels=4, num_decoder_layers=1), dict(left, labels=left["input_ids"] % 4), attentions=True)
case("t5-question-answering", T.T5ForQuestionAnswering, t5(), dict(right, start_positions=torch.tensor([2, 40]), end_positions=torch.tensor([5, 3])))
case("t5-gated-silu-decoder-shallow", T.T5ForConditionalGeneration, t5(feed_forward_proj="gated-silu", num_decoder_layers=1, tie_word_embeddings=False, layer_norm_epsilon=1e-4), dict(left, labels=target()),
     attentions=True, generate=searches(left, 1))
case("t5-searches", T.T5ForConditionalGeneration, t5(), dict(right, labels=target()), generate=searches(right, 1), hidden=False)
case("t5-long-distances", T.T5Model, t5(relative_attention_max_distance=12), dict(input_ids=batch(0, 1, 40)["input_ids"], decoder_input_ids=target(33, ignored=False),
     decoder_attention_mask=(torch.arange(33) < torch.tensor([[33], [20]])).long()))
case("t5-embeds", T.T5ForConditionalGeneration, t5(), dict(inputs_embeds=torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(5)),
     decoder_inputs_embeds=torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(6))))
case("mt5-classification", T.MT5ForSequenceClassification, T.MT5Config(vocab_size=V, d_model=16, d_kv=5, d_ff=20, num_layers=2, num_heads=3, num_labels=2), right)
case("mt5-searches", T.MT5ForConditionalGeneration, T.MT5Config(vocab_size=V, d_model=16, d_kv=5, d_ff=20, num_layers=2, num_heads=3, tie_word_embeddings=False, feed_forward_proj="relu"),
     dict(left, labels=target()), generate=searches(left, 1)[:6])

# === BART and its kin ===

def bart(cls, **kw):
    return cls(**(dict(vocab_size=V, d_model=16, encoder_layers=3, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=20, decoder_ffn_dim=24, max_position_embeddings=24,
                       dropout=0.0, attention_dropout=0.0) | kw))


b, bl = batch(1, 2), batch(1, 2, side="left", seed=2)
case("bart-classification", T.BartForSequenceClassification, bart(T.BartConfig, num_labels=3), dict(b, labels=torch.tensor([2, 0])), attentions=True)
case("bart-classification-default-labels", T.BartForSequenceClassification, bart(T.BartConfig), batch(1, 2, eos_times=2))
case("bart-question-answering", T.BartForQuestionAnswering, bart(T.BartConfig), dict(b, start_positions=torch.tensor([2, 40]), end_positions=torch.tensor([5, 3])), attentions=True)
short = {k: v[:, :5] for k, v in bl.items()}  # padding before the second text, which the decoder alone counts among the positions
padded = [(short, GREEDY), (short, dict(max_new_tokens=6, num_beams=3, num_return_sequences=2, do_sample=False)), (short, dict(max_new_tokens=8, do_sample=True, seed=4, num_return_sequences=2)),
          (dict(input_ids=short["input_ids"]), GREEDY)]
case("bart-causal", T.BartForCausalLM, bart(T.BartConfig, scale_embedding=True), dict(b, labels=b["input_ids"]), attentions=True,
     generate=[(dict(input_ids=b["input_ids"][:, :4]), GREEDY), (dict(input_ids=b["input_ids"][:, :4]), dict(max_new_tokens=6, num_beams=3, do_sample=False))] + padded)
case("bart-causal-encoder-states", T.BartForCausalLM, bart(T.BartConfig), dict(input_ids=b["input_ids"], encoder_hidden_states=torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(5)),
     encoder_attention_mask=torch.tensor([[1] * 6, [1] * 4 + [0] * 2])), attentions=True)
case("bart-searches", T.BartForConditionalGeneration, bart(T.BartConfig, scale_embedding=True, activation_function="relu"), dict(bl, labels=target()), generate=searches(bl, 2), attentions=True)
case("mbart-searches", T.MBartForConditionalGeneration, bart(T.MBartConfig, decoder_start_token_id=7), dict(b, labels=target(ignored=False)), attentions=True, generate=searches(b, 2)[:8])
case("mbart-shifted-source", T.MBartModel, bart(T.MBartConfig), b)
case("mbart-classification", T.MBartForSequenceClassification, bart(T.MBartConfig, num_labels=2), dict(b, labels=torch.tensor([1, 0])))
case("mbart-question-answering", T.MBartForQuestionAnswering, bart(T.MBartConfig), b)
case("mbart-causal", T.MBartForCausalLM, bart(T.MBartConfig), dict(b, labels=b["input_ids"]), generate=[(dict(input_ids=b["input_ids"][:, :4]), GREEDY)])
m, ml = batch(0, 2), batch(0, 2, side="left", seed=2)
marian = dict(pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, bos_token_id=3, forced_eos_token_id=2)
case("marian-separate-vocabularies", T.MarianMTModel, bart(T.MarianConfig, **marian, share_encoder_decoder_embeddings=False, decoder_vocab_size=37, scale_embedding=True, activation_function="swish",
     bad_words_ids=[[0]]), dict(m, labels=target(ignored=False) % 37), generate=searches({k: v for k, v in m.items()}, 2)[:12])
case("marian-searches", T.MarianMTModel, bart(T.MarianConfig, **marian, activation_function="swish"), dict(ml, labels=target()), generate=searches(ml, 2), attentions=True)
case("marian-causal", T.MarianForCausalLM, bart(T.MarianConfig, **marian), dict(m, labels=m["input_ids"]), generate=[({k: v[:, :5] for k, v in ml.items()}, GREEDY)])
case("pegasus-searches", T.PegasusForConditionalGeneration, bart(T.PegasusConfig, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, activation_function="relu", scale_embedding=True),
     dict(right, labels=target()), generate=searches(right, 1), attentions=True)
case("pegasus-causal", T.PegasusForCausalLM, bart(T.PegasusConfig, pad_token_id=0, eos_token_id=1), dict(right, labels=right["input_ids"]))
case("m2m_100-searches", T.M2M100ForConditionalGeneration, bart(T.M2M100Config, decoder_start_token_id=2, scale_embedding=True), dict(b, labels=target()), generate=searches(b, 2), attentions=True)
case("m2m_100-untied", T.M2M100ForConditionalGeneration, bart(T.M2M100Config, decoder_start_token_id=2, tie_word_embeddings=False), dict(b, labels=target()), generate=[(b, GREEDY)])
case("bart-untied", T.BartForConditionalGeneration, bart(T.BartConfig, tie_word_embeddings=False), dict(b, labels=target()), generate=[(b, GREEDY)])
case("m2m_100-left-padded-embeds", T.M2M100Model, bart(T.M2M100Config, decoder_start_token_id=2), dict(bl, decoder_input_ids=torch.tensor([[2, 5, 6, 7], [2, 9, 1, 1]])))
