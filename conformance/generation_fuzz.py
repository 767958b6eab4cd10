#!/usr/bin/env python3
"""Random golden cases of generation in the form of shared/golden: tiny models of every decoder and encoder-decoder family with a tokenizer, generation_config.json of every kind (none, odd, several end
tokens, fields that are null), stop strings taken from what the model says, prompts padded on either side or not at all, begun decoder texts, and parameters of generate() alone and combined. A case is
FAMILY-SEED. What the reference refuses is left out. Made with transformers 5.23.0, torch 2.10.0; run with shared/golden/check.py (--bin conformance/one_jvm.py).
usage: generation_fuzz.py OUT_FOLDER TOKENIZERS FAMILY|all FIRST_SEED COUNT [GENERATIONS]      (TOKENIZERS: core/src/test/resources/tokenizers)"""
import json, random, shutil, sys, warnings
from pathlib import Path
import torch
import transformers as T

warnings.filterwarnings("ignore")
T.logging.set_verbosity_error()
T.logging.disable_progress_bar()
torch.set_num_threads(1)
ROOT, TOKENIZERS = Path(sys.argv[1]), Path(sys.argv[2])
SMALL = dict(hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
GEMMA = dict(SMALL, head_dim=6, query_pre_attn_scalar=12, sliding_window=4)
BART = dict(d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=20, decoder_ffn_dim=24, max_position_embeddings=64)
T5 = dict(d_model=16, d_kv=5, d_ff=20, num_layers=2, num_heads=3, relative_attention_num_buckets=8, relative_attention_max_distance=20, decoder_start_token_id=0)
# family: class, configuration, its fields, tokenizers
FAMILIES = {
    "gpt2": (T.GPT2LMHeadModel, T.GPT2Config, dict(n_positions=64, n_embd=16, n_layer=2, n_head=2), ["gpt2", "gpt2-bos"]),
    "llama": (T.LlamaForCausalLM, T.LlamaConfig, SMALL, ["llama", "llama-json"]),
    "mistral": (T.MistralForCausalLM, T.MistralConfig, dict(SMALL, sliding_window=4), ["llama-json", "llama-json-legacy"]),
    "qwen2": (T.Qwen2ForCausalLM, T.Qwen2Config, SMALL, ["qwen2"]),
    "qwen3": (T.Qwen3ForCausalLM, T.Qwen3Config, dict(SMALL, head_dim=6), ["qwen2"]),
    "gemma2": (T.Gemma2ForCausalLM, T.Gemma2Config, GEMMA, ["llama-json-noprefix"]),
    "gemma3": (T.Gemma3ForCausalLM, T.Gemma3TextConfig, dict(GEMMA, sliding_window_pattern=2), ["llama-json"]),
    "bart-causal": (T.BartForCausalLM, T.BartConfig, BART, ["roberta"]),
    "t5": (T.T5ForConditionalGeneration, T.T5Config, T5, ["t5"]),
    "mt5": (T.MT5ForConditionalGeneration, T.MT5Config, dict(T5, tie_word_embeddings=False), ["t5"]),
    "bart": (T.BartForConditionalGeneration, T.BartConfig, BART, ["roberta"]),
    "mbart": (T.MBartForConditionalGeneration, T.MBartConfig, BART, ["mbart"]),
    "pegasus": (T.PegasusForConditionalGeneration, T.PegasusConfig, BART, ["pegasus"]),
    "marian": (T.MarianMTModel, T.MarianConfig, BART, ["marian"]),
    "m2m_100": (T.M2M100ForConditionalGeneration, T.M2M100Config, BART, ["m2m100", "nllb"]),
}


def rand(model, seed, scale):
    torch.manual_seed(seed)
    with torch.no_grad():
        for n, p in model.named_parameters():
            p.copy_(torch.randn_like(p) * (scale if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    return model.eval()


def file_of(r, v, eos, pad, both):
    """generation_config.json, or None for none"""
    tok = lambda: r.randrange(3, v)
    if r.random() < 0.3:
        return None
    c = {"transformers_version": r.choice(["4.31.0", "5.23.0"])}
    if r.random() < 0.3:
        c["_from_model_config"] = True
    pool = dict(max_length=lambda: r.choice([12, 20, 40]), max_new_tokens=lambda: r.choice([3, 6, None]), do_sample=lambda: False, num_beams=lambda: r.choice([1, 2, 3, None]), temperature=lambda: r.choice([0.7, 1.0, None]),
                top_k=lambda: r.choice([0, 5, 50, None]), top_p=lambda: r.choice([0.8, None]), eos_token_id=lambda: r.choice([eos, [eos, tok(), tok()], [tok() for _ in range(r.randint(1, v // 4))], None]),
                pad_token_id=lambda: r.choice([pad, tok(), None]), bos_token_id=lambda: r.choice([tok(), None]), repetition_penalty=lambda: r.choice([1.3, 1.0, None]), no_repeat_ngram_size=lambda: r.choice([0, 2, None]),
                early_stopping=lambda: r.choice([True, False, "never", None]), length_penalty=lambda: r.choice([2.0, -1.0, None]), min_length=lambda: r.choice([0, 8, None]), suppress_tokens=lambda: r.choice([[tok()], [], None]),
                begin_suppress_tokens=lambda: r.choice([[tok(), tok()], None]), forced_eos_token_id=lambda: r.choice([eos, None]), bad_words_ids=lambda: r.choice([[[tok()], [tok(), tok()]], None]),
                cache_implementation=lambda: r.choice(["hybrid", None]) if False else None, use_cache=lambda: r.choice([True, False]), renormalize_logits=lambda: r.choice([True, False]), num_return_sequences=lambda: 1)
    if both:
        pool |= dict(forced_bos_token_id=lambda: r.choice([tok(), None]))
        if r.random() < 0.95:
            c["decoder_start_token_id"] = r.choice([pad, eos, tok()])
    for k in r.sample(list(pool), r.randint(0, 7)):
        c[k] = pool[k]()
    return c


def drawn(r, v, eos, both):
    tok = lambda: r.randrange(1, v)
    kw = {}
    lengths = r.random()
    if lengths < 0.75:
        kw["max_new_tokens"] = r.choice([1, 4, 8, 12])
    elif lengths < 0.9:
        kw["max_length"] = r.choice([9, 14, 20])
    mode = r.choice(["greedy", "sample", "sample", "beam", "beam", "beamsample"])
    if "sample" in mode:
        kw.update(do_sample=True, seed=r.randrange(10 ** 6))
        pool = dict(temperature=lambda: r.choice([0.3, 0.7, 1.5, 3.0]), top_k=lambda: r.choice([0, 1, 5, 20, 1000]), top_p=lambda: r.choice([0.0, 0.1, 0.5, 0.9]), min_p=lambda: r.choice([0.0, 0.02, 0.1, 0.6]),
                    typical_p=lambda: r.choice([0.2, 0.7, 0.95]), epsilon_cutoff=lambda: r.choice([3e-4, 0.02]), eta_cutoff=lambda: r.choice([3e-4, 0.1]), top_h=lambda: r.choice([0.2, 0.5]))
        for k in r.sample(list(pool), r.choice([0, 1, 1, 2, 3])):
            kw[k] = pool[k]()
        if mode == "sample" and r.random() < 0.4:
            kw["num_return_sequences"] = r.choice([2, 3])
        kw["num_beams"] = 1
    elif r.random() < 0.5:
        kw["do_sample"] = False
    if "beam" in mode:
        kw["num_beams"] = r.choice([2, 3, 4])
        if r.random() < .6:
            kw["early_stopping"] = r.choice([True, False, "never"])
        if r.random() < .6:
            kw["length_penalty"] = r.choice([-2.0, 0.0, 0.6, 1.0, 2.0])
        if r.random() < .5:
            kw["num_return_sequences"] = r.randint(1, kw["num_beams"])
    pool = dict(repetition_penalty=lambda: r.choice([0.7, 1.2, 2.0]), encoder_repetition_penalty=lambda: r.choice([0.5, 1.5]), no_repeat_ngram_size=lambda: r.choice([1, 2, 3]), encoder_no_repeat_ngram_size=lambda: r.choice([1, 2, 3]),
                bad_words_ids=lambda: [[tok() for _ in range(r.choice([1, 1, 2, 3]))] for _ in range(r.choice([1, 5]))], sequence_bias=lambda: [[[tok() for _ in range(r.choice([1, 2]))], r.choice([-8.0, 4.0, -1.0])] for _ in range(3)],
                min_new_tokens=lambda: r.choice([1, 4, 20]), min_length=lambda: r.choice([3, 9, 30]), suppress_tokens=lambda: [tok() for _ in range(r.choice([1, v // 2]))], begin_suppress_tokens=lambda: [tok() for _ in range(9)],
                forced_eos_token_id=lambda: r.choice([eos, [eos, tok()], None]), forced_bos_token_id=lambda: r.choice([tok(), None]), exponential_decay_length_penalty=lambda: [r.choice([0, 2, 5]), r.choice([1.01, 1.5, 3.0])],
                renormalize_logits=lambda: True, remove_invalid_values=lambda: True, eos_token_id=lambda: r.choice([tok(), [tok() for _ in range(r.randint(1, v // 3))], eos]), pad_token_id=lambda: tok(), use_cache=lambda: False,
                stop_strings=lambda: "later", output_scores=lambda: True, output_logits=lambda: True, return_dict_in_generate=lambda: False)
    if both:
        pool |= dict(decoder_start_token_id=lambda: tok())
    for k in r.sample(list(pool), r.choice([0, 1, 1, 2, 3, 5])):
        kw[k] = pool[k]()
    if kw.get("output_logits") or kw.get("output_scores"):
        kw.pop("return_dict_in_generate", None)
    return kw


def inputs(r, v, pad, both, family=""):
    rows, n = r.choice([1, 2, 3]), r.choice([1, 3, 6, 9])
    i = torch.tensor([[r.randrange(4, v) for _ in range(n)] for _ in range(rows)])
    m = torch.ones_like(i)
    for row in range(rows):
        cut = r.randint(0, n - 1) if r.random() < 0.6 else 0
        if cut:
            part = slice(0, cut) if not both or r.random() < 0.3 else slice(n - cut, n)
            i[row, part] = pad
            m[row, part] = 0
    out = dict(input_ids=i)
    if r.random() < 0.75:
        out["attention_mask"] = m
    if both and r.random() < 0.2:
        out["decoder_input_ids"] = torch.tensor([[r.randrange(4, v) for _ in range(r.choice([1, 3]))]] * rows)
        if r.random() < 0.3:
            out["decoder_attention_mask"] = torch.ones_like(out["decoder_input_ids"])
    if r.random() < 0.1:
        out["inputs_embeds"] = torch.randn(rows, n, 16, generator=torch.Generator().manual_seed(r.randrange(99)))
        if both or r.random() < 0.6:
            del out["input_ids"]
    if family == "gpt2" and r.random() < 0.15:
        out["token_type_ids"] = torch.tensor([[r.randrange(4, v) for _ in range(n)] for _ in range(rows)])
    if not both and r.random() < 0.1:
        out["position_ids"] = (m.cumsum(1) - 1).clamp_min(0) if r.random() < 0.5 else torch.arange(3, 3 + n).expand(rows, n)
    return out


def checkpoint(r, m, family, seed):
    """A random model with its tokenizer in a folder; the tokenizer, the vocabulary's size, padding, end token and generation_config.json's content."""
    cls, config_class, fields, tokenizers = FAMILIES[family]
    m.mkdir(parents=True)
    shutil.copytree(TOKENIZERS / r.choice(tokenizers), m, dirs_exist_ok=True, ignore=shutil.ignore_patterns("golden.json"))
    tok = T.AutoTokenizer.from_pretrained(str(m))
    v = max(tok.get_vocab().values()) + 1 + (120 if family == "m2m_100" and "m2m" in type(tok).__name__.lower() else 0)
    pad = tok.pad_token_id if tok.pad_token_id is not None else r.choice([0, None])
    eos = tok.eos_token_id if tok.eos_token_id is not None else 2
    late = {}
    config = config_class(vocab_size=v, pad_token_id=pad, eos_token_id=eos if r.random() < 0.7 else r.choice([[eos, 5], None]) if "decoder_start_token_id" not in fields else eos,
                          bos_token_id=tok.bos_token_id, **fields, **(dict(forced_eos_token_id=None) if family == "bart-causal" else {}))
    both = bool(config.is_encoder_decoder) and family != "bart-causal"
    if both and family not in ("t5", "mt5"):
        config.decoder_start_token_id = r.choice([pad if pad is not None else 0, eos])
        late = dict(forced_eos_token_id=eos) if r.random() < 0.3 else {}
    torch.manual_seed(seed)
    model = cls(config)
    model.generation_config = T.GenerationConfig()
    rand(model, seed, r.choice([0.2, 0.35, 0.6])).save_pretrained(m)
    (m / "generation_config.json").unlink(missing_ok=True)
    gc = file_of(r, v, eos, pad if pad is not None else 0, both)
    if late:
        c = json.loads((m / "config.json").read_text())
        (m / "config.json").write_text(json.dumps(c | late))
    if gc is not None:
        (m / "generation_config.json").write_text(json.dumps(gc))
    elif r.random() < 0.5:  # as transformers 4 wrote it
        c = json.loads((m / "config.json").read_text())
        c.update({k: x for k, x in (file_of(r, v, eos, pad or 0, both) or {}).items() if k not in ("transformers_version", "_from_model_config", "cache_implementation")})
        (m / "config.json").write_text(json.dumps(c))
    return tok, v, pad, eos, gc


def case(family, seed, many):
    r = random.Random(f"{family}-{seed}")
    d = ROOT / family / str(seed)
    shutil.rmtree(d, ignore_errors=True)
    m, cls = d / "model", FAMILIES[family][0]
    tok, v, pad, eos, gc = checkpoint(r, m, family, seed)
    both = cls.__name__.endswith("ConditionalGeneration") or family == "marian"
    try:
        model = cls.from_pretrained(m, attn_implementation="eager").eval()
    except Exception as e:
        print(f"{family}-{seed}: not loaded: {type(e).__name__}: {str(e).splitlines()[0][:150]}")
        shutil.rmtree(d)
        return 0
    done = []
    for _ in range(many):
        kw, ins = drawn(r, v, eos, both), inputs(r, v, pad if pad is not None else 0, both, family)
        more = {}
        try:
            with torch.no_grad():
                if kw.get("stop_strings"):
                    torch.manual_seed(kw.get("seed", 0))
                    said = model.generate(**ins, **{k: x for k, x in kw.items() if k not in ("seed", "stop_strings", "output_scores", "output_logits", "return_dict_in_generate")})
                    said = tok.decode(said[0, 0 if both or "input_ids" not in ins else ins["input_ids"].shape[1]:])
                    at = r.randrange(max(len(said), 1))
                    kw["stop_strings"] = r.choice([said[at:at + r.choice([1, 2, 4])] or "e", [said[at:at + 3] or "a", "zz"], ["no such text"]])
                    more = dict(tokenizer=tok)
                torch.manual_seed(kw.get("seed", 0))
                out = model.generate(**ins, **{k: x for k, x in kw.items() if k != "seed"}, **more)
        except Exception as e:
            REFUSED.append(f"{family}-{seed} {kw}: {type(e).__name__}: {str(e).splitlines()[0][:150] if str(e) else ''}")
            continue
        seq = out if torch.is_tensor(out) else out.sequences
        if model.generation_config.do_sample and "do_sample" not in kw:
            continue
        done.append(dict(kwargs=kw, inputs={k: x.tolist() for k, x in ins.items()}, sequences=seq.tolist()))
    (d / "case.json").write_text(json.dumps(dict(family=family, architecture=cls.__name__, what=f"generation_config.json {gc}", generate=done), ensure_ascii=False) + "\n", encoding="utf-8")
    return len(done)


REFUSED = []
if __name__ == "__main__":
    made = 0
    for family in FAMILIES if sys.argv[3] == "all" else sys.argv[3].split(","):
        for seed in range(int(sys.argv[4]), int(sys.argv[4]) + int(sys.argv[5])):
            made += case(family, seed, int(sys.argv[6]) if len(sys.argv) > 6 else 12)
    print("\n".join(REFUSED))
    print(made, "generations,", len(REFUSED), "refused by the reference")
