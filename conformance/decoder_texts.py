#!/usr/bin/env python3
"""Small cases of what decoders do with texts, in the form of shared/golden: tokenizers in the style of GPT-2, Llama 1 to 3, Mistral, Qwen and Gemma (tokenizer.json, or the older files alone),
the text-generation pipeline with its arguments, conversations, and steps of training, plain and with LoRA adapters. Made with transformers 5.23.0, torch 2.10.0, peft.
usage: decoder_texts.py OUT_FOLDER [--only SUBSTRING]
       decoder_texts.py core/src/test/resources/pipelines --small        the few that the project's own tests keep"""
import argparse, io, json, os, random, shutil, warnings
from pathlib import Path
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
import torch
import transformers as T
import tokenizers as tk
import sentencepiece as spm
from safetensors.torch import save_file
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors, trainers

T.logging.set_verbosity_error()
T.utils.logging.disable_progress_bar()
warnings.filterwarnings("ignore")
ap = argparse.ArgumentParser()
ap.add_argument("out")
ap.add_argument("--only", default="")
ap.add_argument("--small", action="store_true")
A = ap.parse_args()
SMALL = {"gpt2/added": "text-generation-gpt2", "llama/json-prepend-LlamaTokenizer": "text-generation-llama"}
ROOT = Path(A.out)
CORPUS = """The quick brown fox jumps over the lazy dog. A journey of a thousand miles begins with a single step.
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.
She sells sea shells by the sea shore; the shells she sells are surely sea shells, I'm sure.
Das Haus ist wunderbar, und der Garten auch. Über allen Gipfeln ist Ruh. Le café est très bon à Paris, n'est-ce pas?
All happy families are alike; every unhappy family is unhappy in its own way. 1903, 1911, 42 and 3.14 are numbers.
def f(x):\n    return x + 1\n\n\tprint("done")
""".splitlines() * 3
TEXTS = ["The quick brown fox.", "", " ", "  leading and   inner  blanks  ", "Über café naïve", "日本語 text 漢字かな", "emoji 😀 and 👍🏽! 👨‍👩‍👧", "it's don't WE'LL they've", "tabs\tand\nnew\r\n\r\nlines\n", "12345 3.14 a1b2 1000000",
         "zero\u200bwidth nb\u00a0sp", "e\u0301 combining Å Å ﬁ", "def f(x):\n        return x  +  1\n\n\n", "<s>literal</s> <unk> <|endoftext|>", "<s> a <s>b</s>c", "x<|im_start|>user\nhi<|im_end|>\n", "▁under ▁ ▁▁ line", "a" * 60,
         "\n", "\t\t", "Ωμέγα шесть עברית العربية हिन्दी", "<0x41> <0x0A>", "<pad><bos>q<eos>", "  <|eot_id|>  ", "\u0000a\u0007", "<extra> x<extra>y < extra>", "ends with space ", "The The the", "…—“quoted”", "<start_of_turn>user\nhi<end_of_turn>"]
V4 = {}


def bytelevel(special, pattern=None, size=420):
    t = tk.Tokenizer(models.BPE())
    bl = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    t.pre_tokenizer = bl if pattern is None else pre_tokenizers.Sequence([pre_tokenizers.Split(tk.Regex(pattern), "isolated", invert=False), bl])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    return t


def sp(size=420, **kw):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=out, model_type="bpe", vocab_size=size, character_coverage=1.0, hard_vocab_limit=False, minloglevel=2, num_threads=1,
                                   **{**dict(unk_id=0, bos_id=1, eos_id=2, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False), **kw})
    return out.getvalue()


def spbpe(model, specials=()):
    """a sentencepiece BPE model as the vocabulary and merges of tokenizers"""
    p = spm.SentencePieceProcessor(model_proto=model)
    pieces = [p.id_to_piece(i) for i in range(p.get_piece_size())]
    rank = {x: i for i, x in enumerate(pieces)}
    merges = []
    for x in pieces:
        for i in range(1, len(x)):
            if x[:i] in rank and x[i:] in rank and not x.startswith("<"):
                merges.append((x[:i], x[i:], rank[x], rank[x[:i]], rank[x[i:]]))
    merges.sort(key=lambda m: m[2:])
    return rank, [(a, b) for a, b, *_ in merges]


def wanted(name):
    return name in SMALL if A.small else not A.only or name.startswith(A.only) or A.only.startswith(name)


def folder(name, config=None, **files):
    f = ROOT / SMALL.get(name, name) if A.small else ROOT / name
    if not wanted(name):
        return f
    shutil.rmtree(f, ignore_errors=True)
    (f / "model").mkdir(parents=True)
    if config is not None:
        (f / "model/tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for k, v in files.items():
        p = f / "model" / k.replace("__", ".")
        p.write_bytes(v) if isinstance(v, bytes) else p.write_text(v, encoding="utf-8")
    return f


def added(i, content, special=True, **kw):
    return {str(i): dict(dict(content=content, special=special, lstrip=False, rstrip=False, single_word=False, normalized=not special), **kw)}


def tokenize(tok, texts=TEXTS, pairs=False):
    out = []
    for t in texts + ([("The quick", "brown fox"), ("é", "😀 x")] if pairs else []):
        a, b = t if isinstance(t, tuple) else (t, None)
        e = tok(a, b, return_offsets_mapping=tok.is_fast) if b is not None else tok(a, return_offsets_mapping=tok.is_fast)
        d = dict(text=a, text_pair=b, input_ids=e["input_ids"], tokens=tok.convert_ids_to_tokens(e["input_ids"]))
        if tok.is_fast:
            d["offsets"] = [list(o) for o in e["offset_mapping"]]
        out.append(d)
    return out


def tiny(tok, cls=T.LlamaForCausalLM, seed=3, vocab=None, **kw):
    torch.manual_seed(seed)
    n = vocab or len(tok)
    ids = dict(bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id)
    if cls is T.GPT2LMHeadModel:
        c = T.GPT2Config(vocab_size=n, n_positions=400, n_embd=16, n_layer=2, n_head=2, **{**ids, **kw})
    else:
        c = cls.config_class(vocab_size=n, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=400, **{**(dict(head_dim=4) if cls is not T.Qwen2ForCausalLM else {}), **ids, **kw})
    c._attn_implementation = "eager"
    m = cls(c).eval()
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in m.parameters():
            p.copy_(torch.randn(p.shape, generator=g) * (0.4 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    return m


def plain(x):
    if isinstance(x, list):
        return [plain(y) for y in x]
    return {k: plain(v) for k, v in x.items()} if isinstance(x, dict) else x


def pipelines(f, calls, **info):
    """one case a call beside the same model"""
    model = T.AutoModelForCausalLM.from_pretrained(f / "model", attn_implementation="eager").eval()
    runs = []
    for i, (inputs, kw) in enumerate(calls):
        if A.only and A.only not in f"{f.parent.name}/{f.name}-{i}":
            continue
        pipe = T.pipeline("text-generation", model=model, tokenizer=str(f / "model"))
        call = {k: v for k, v in kw.items() if k not in ("seed", "generate_kwargs")}
        call.update({k: v for k, v in kw.get("generate_kwargs", {}).items() if k != "seed"})
        if (s := kw.get("seed", kw.get("generate_kwargs", {}).get("seed"))) is not None:
            torch.manual_seed(s)
        if "bad" in call:
            continue
        try:
            out = plain([pipe(json.loads(x) if x.startswith("[{") else x, **call) for x in inputs])  # a list in one call would draw from torch's generator for its loader
        except Exception as e:
            print("  transformers refuses", f.name, i, kw, type(e).__name__, str(e).splitlines()[0][:200])
            continue
        if A.small:
            runs.append(dict(task="text-generation", inputs=list(inputs), kwargs=kw, expected=out))
            continue
        d = f.parent / f"{f.name}-{i}"
        shutil.rmtree(d, ignore_errors=True)
        d.mkdir()
        (d / "model").symlink_to((f / "model").resolve())
        (d / "case.json").write_text(json.dumps(dict(family=f.parent.name, pipeline=dict(task="text-generation", inputs=list(inputs), kwargs=kw, expected=out), **info), ensure_ascii=False) + "\n", encoding="utf-8")
    if A.small:
        (f / "case.json").write_text(json.dumps(dict(runs=runs), ensure_ascii=False) + "\n", encoding="utf-8")


def stops(f, tok):
    """generations that end at a string: pieces of what comes without one, across tokens and inside characters"""
    model = T.AutoModelForCausalLM.from_pretrained(f / "model", attn_implementation="eager").eval()
    info = json.loads((f / "case.json").read_text())
    info["generate"] = []
    r = random.Random(str(f.name))
    old = tok.padding_side
    tok.padding_side = "left"
    pad = tok.pad_token_id
    inp = tok(P[:1] if pad is None else P[:2], return_tensors="pt", padding=pad is not None)
    tok.padding_side = old
    inp = {k: v for k, v in inp.items() if k in ("input_ids", "attention_mask")}
    n = inp["input_ids"].shape[1]
    for seed in range(8):
        kw = dict(do_sample=True, max_new_tokens=24, top_k=0) if seed % 3 else dict(do_sample=False, max_new_tokens=24)
        if seed % 3 == 2:
            kw = dict(do_sample=False, max_new_tokens=20, num_beams=2)
        torch.manual_seed(seed)
        text = tok.decode(model.generate(**inp, **kw)[0, n:])
        a = r.randrange(max(1, len(text) - 6))
        want = [x for x in (text[a:a + r.randint(1, 5)], text[:2], r.choice(["e", "zq", " t"])) if x and "\ufffd" not in x][:r.randint(1, 3)] or ["e"]
        torch.manual_seed(seed)
        seq = model.generate(**inp, **kw, stop_strings=want, tokenizer=tok)
        info["generate"].append(dict(kwargs=dict(kw, seed=seed, stop_strings=want), inputs={k: v.tolist() for k, v in inp.items()}, sequences=seq.tolist()))
    (f / "case.json").write_text(json.dumps(info, ensure_ascii=False) + "\n", encoding="utf-8")


def case(name, f, cls=T.LlamaForCausalLM, calls=(), texts=TEXTS, pairs=False, vocab=None, template=None, generation=None, **kw):
    if not wanted(name):
        return
    if template:
        (f / "model/chat_template.jinja").write_text(template, encoding="utf-8")
    tok = T.AutoTokenizer.from_pretrained(f / "model")
    if calls:
        tiny(tok, cls, vocab=vocab, **kw).save_pretrained(f / "model")
        tok = T.AutoTokenizer.from_pretrained(f / "model")  # which class it is depends on the model's config.json too
    (f / "case.json").write_text(json.dumps(dict(family=name.split("/")[0], what=type(tok).__name__, tokenize=tokenize(tok, texts, pairs)), ensure_ascii=False) + "\n", encoding="utf-8")
    if calls:
        if generation:
            (f / "model/generation_config.json").write_text(json.dumps(generation))
        pipelines(f, calls)
        if not A.small:
            stops(f, tok)
    print(name, type(tok).__name__, len(tok))


QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CHATML = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
P = ["The quick brown", "Über café", "She sells sea"]
GREEDY = dict(do_sample=False, max_new_tokens=7)
CALLS = [
    (P, GREEDY), (P[:1], dict(GREEDY, return_full_text=False)), (P, dict(max_new_tokens=6, seed=4)), (P[:2], dict(max_new_tokens=6, seed=4, do_sample=True, num_return_sequences=3, top_p=0.9)),
    (P[:1], dict(GREEDY, return_tensors=True)), (P[:2], dict(GREEDY, prefix="Once upon a time ")), (P[:1], dict(do_sample=False, max_length=12)), (P[:1], dict(do_sample=False, max_length=14, prefix="Ab ")), (P[:2], dict(GREEDY, num_beams=3, num_return_sequences=2)),
    (P[:2], dict(GREEDY, add_special_tokens=False)), (P[:2], dict(GREEDY, add_special_tokens=True)), (P[:2], dict(GREEDY, skip_special_tokens=False)), (P[:2], dict(do_sample=False, max_new_tokens=30, stop_sequence="e")), 
    (P[:2], dict(generate_kwargs=dict(do_sample=False, max_new_tokens=5, repetition_penalty=1.5))), (P[:1], dict(seed=1, max_new_tokens=40)), (P[:1], dict(seed=1)), (["The quick brown fox jumps over the lazy dog. " * 2], dict(GREEDY, truncation=True, max_length=12)),
    (P[:1], dict(GREEDY, return_full_text=True, clean_up_tokenization_spaces=True)), (P[:1], dict(GREEDY, handle_long_generation="hole")), (P[:1], dict(do_sample=True, temperature=0.5, seed=9, max_new_tokens=8, top_k=5)), (P[:1], dict(GREEDY, eos_token_id=[40, 60, 80, 100])),
    (["  two  blanks ", "line\nbreak"], GREEDY), (P[:1], dict(GREEDY, min_new_tokens=3, bad_words_ids=[[5], [9, 10]])), (P[:1], dict(GREEDY, return_text=True)), (P[:1], dict(GREEDY, tokenizer_encode_kwargs=dict(add_special_tokens=False))),
]
M = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}]
TALK = [([json.dumps(M[1:])], GREEDY), ([json.dumps(M), json.dumps(M[1:])], GREEDY), ([json.dumps(M)], dict(GREEDY, return_full_text=False)), ([json.dumps(M + [{"role": "assistant", "content": "The sea"}])], GREEDY),
        ([json.dumps(M + [{"role": "assistant", "content": "The sea"}])], dict(GREEDY, continue_final_message=False)), ([json.dumps(M + [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "And?"}])], dict(max_new_tokens=5, seed=2, do_sample=True, num_return_sequences=2)),
        ([json.dumps(M)], dict(GREEDY, add_special_tokens=True)), ([json.dumps(M)], dict(GREEDY, return_tensors=True))]


def vocabulary(t):
    j = json.loads(t.to_str())["model"]
    return json.dumps(j["vocab"], ensure_ascii=False), "#version: 0.2\n" + "".join((m if isinstance(m, str) else " ".join(m)) + "\n" for m in j["merges"])


def texts():
    g = bytelevel(["<|endoftext|>"])
    v, m = vocabulary(g)
    base = dict(tokenizer_class="GPT2Tokenizer", bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", model_max_length=128)
    case("gpt2/files", folder("gpt2/files", base, vocab__json=v, merges__txt=m), T.GPT2LMHeadModel, CALLS, pairs=True, pad_token_id=None)
    case("gpt2/prefix-space", folder("gpt2/prefix-space", dict(base, add_prefix_space=True), vocab__json=v, merges__txt=m), T.GPT2LMHeadModel, CALLS[:2])
    case("gpt2/add-bos", folder("gpt2/add-bos", dict(base, add_bos_token=True, pad_token="<|endoftext|>"), vocab__json=v, merges__txt=m), T.GPT2LMHeadModel, CALLS[:4] + CALLS[9:13], pairs=True)
    more = {}
    for i, (c, kw) in enumerate([("<|im_start|>", {}), ("<|im_end|>", {}), ("<extra>", dict(special=False, lstrip=True)), ("The", dict(special=False, single_word=True)), ("<pad>", dict(rstrip=True))]):
        more.update(added(420 + i, c, **kw))
    case("gpt2/added", folder("gpt2/added", dict(base, added_tokens_decoder=more, pad_token="<pad>", chat_template=CHATML), vocab__json=v, merges__txt=m), T.GPT2LMHeadModel, CALLS[:4] + CALLS[5:8] + CALLS[15:17] + TALK, vocab=432, pad_token_id=424)
    t = bytelevel(["<|endoftext|>"])
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    case("gpt2/json", folder("gpt2/json", base, tokenizer__json=t.to_str()), T.GPT2LMHeadModel, CALLS[:3], pairs=True)
    t.post_processor = processors.ByteLevel(trim_offsets=True)
    case("gpt2/json-fast-class", folder("gpt2/json-fast-class", dict(base, tokenizer_class="PreTrainedTokenizerFast"), tokenizer__json=t.to_str()), T.GPT2LMHeadModel, CALLS[:3], pairs=True)
    case("gpt2/vocab-larger", folder("gpt2/vocab-larger", base, vocab__json=v, merges__txt=m), T.GPT2LMHeadModel, CALLS[:4], vocab=448, pad_token_id=None)
    # Qwen
    q = bytelevel(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], QWEN)
    q.normalizer = normalizers.NFC()
    qb = dict(tokenizer_class="Qwen2Tokenizer", eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None, bos_token=None, add_prefix_space=False, model_max_length=128, errors="replace", chat_template=CHATML,
              added_tokens_decoder={**added(0, "<|endoftext|>"), **added(1, "<|im_start|>"), **added(2, "<|im_end|>")})
    case("qwen2/json", folder("qwen2/json", qb, tokenizer__json=q.to_str()), T.Qwen2ForCausalLM, CALLS[:4] + CALLS[9:14] + TALK, bos_token_id=0, eos_token_id=2, pad_token_id=0)
    v, m = vocabulary(q)
    case("qwen2/files", folder("qwen2/files", qb, vocab__json=v, merges__txt=m), T.Qwen3ForCausalLM, CALLS[:4] + TALK[:2], bos_token_id=0, eos_token_id=2, pad_token_id=0, generation=dict(do_sample=True, temperature=0.6, top_k=20, top_p=0.95, eos_token_id=[2, 0], pad_token_id=0))
    # Llama 3
    l3 = bytelevel(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"], LLAMA3)
    l3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1", special_tokens=[("<|begin_of_text|>", 0)])])
    tmpl = "{% for message in messages %}{{ (bos_token if loop.first else '') + '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    for cls in ("PreTrainedTokenizerFast", "TokenizersBackend"):
        n = f"llama/three-{cls}"
        case(n, folder(n, dict(tokenizer_class=cls, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", clean_up_tokenization_spaces=True, model_input_names=["input_ids", "attention_mask"], model_max_length=131072), tokenizer__json=l3.to_str()),
             T.LlamaForCausalLM, CALLS[:4] + CALLS[9:14] + TALK, pairs=True, template=tmpl, pad_token_id=None, eos_token_id=[1, 2])
    j = json.loads(l3.to_str())
    j["model"]["ignore_merges"] = True
    case("llama/three-ignore-merges", folder("llama/three-ignore-merges", dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|begin_of_text|>", eos_token="<|eot_id|>"), tokenizer__json=json.dumps(j)), T.LlamaForCausalLM, ())
    # Llama 1, 2 and Mistral: sentencepiece
    model = sp()
    for n, kw in dict(plain={}, legacy=dict(legacy=True), modern=dict(legacy=False), eos=dict(add_eos_token=True), nobos=dict(add_bos_token=False), noprefix=dict(add_prefix_space=False, legacy=False), pad=dict(pad_token="</s>", padding_side="left"), spaces=dict(clean_up_tokenization_spaces=True, spaces_between_special_tokens=False)).items():
        case(f"llama/model-{n}", folder(f"llama/model-{n}", dict(dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=True, add_eos_token=False), **kw), tokenizer__model=model), T.LlamaForCausalLM, CALLS[:6] + CALLS[9:16] + CALLS[23:24], pairs=True)
    case("llama/model-objects", folder("llama/model-objects", dict(tokenizer_class="LlamaTokenizer", bos_token=dict(__type="AddedToken", content="<s>", lstrip=False, normalized=True, rstrip=False, single_word=False), eos_token=dict(__type="AddedToken", content="</s>", lstrip=False, normalized=True, rstrip=False, single_word=False), unk_token=dict(__type="AddedToken", content="<unk>", lstrip=False, normalized=True, rstrip=False, single_word=False), add_bos_token=True, add_eos_token=False, sp_model_kwargs={}, clean_up_tokenization_spaces=False), tokenizer__model=model), T.LlamaForCausalLM, CALLS[:2])
    vocab, merges = spbpe(model)

    def spjson(kind, bos=True, specials=("<unk>", "<s>", "</s>")):
        t = tk.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
        if kind == "prepend":
            t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        elif kind == "metaspace":
            t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
        else:
            t.normalizer = normalizers.Replace(" ", "▁")
            t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + ([decoders.Strip(" ", 1, 0)] if kind != "gemma" else []))
        if bos:
            b = specials[1] if kind != "gemma" else "<bos>"
            t.post_processor = processors.TemplateProcessing(single=f"{b} $A", pair=f"{b} $A {b}:1 $B:1", special_tokens=[(b, t.token_to_id(b))])
        return t
    for kind in ("prepend", "metaspace"):
        for cls in ("LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast"):
            n = f"llama/json-{kind}-{cls}"
            case(n, folder(n, dict(tokenizer_class=cls, bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=True, add_eos_token=False, legacy=False), tokenizer__json=spjson(kind).to_str()), T.MistralForCausalLM, CALLS[:4] + CALLS[10:13] + CALLS[15:16] + CALLS[23:24], pairs=True)
    inst = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<<SYS>>' + message['content'] + '<</SYS>> ' }}{% elif message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    case("mistral/both", folder("mistral/both", dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=True, chat_template=inst, added_tokens_decoder={**added(0, "<unk>"), **added(1, "<s>"), **added(2, "</s>")}), tokenizer__model=model, tokenizer__json=spjson("prepend").to_str()), T.MistralForCausalLM, CALLS[:2] + TALK, pairs=True)
    # Gemma
    gm = sp(440, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", bos_piece="<bos>", eos_piece="<eos>", user_defined_symbols=["<start_of_turn>", "<end_of_turn>", "\n\n", "▁▁", "▁▁▁"])
    gconf = dict(tokenizer_class="GemmaTokenizer", bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>", add_bos_token=True, add_eos_token=False, clean_up_tokenization_spaces=False, spaces_between_special_tokens=False)
    gt = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{% set role = 'user' %}{% elif message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
    case("gemma2/model", folder("gemma2/model", dict(gconf, chat_template=gt), tokenizer__model=gm), T.Gemma2ForCausalLM, CALLS[:6] + CALLS[9:14] + TALK, pairs=True)
    vocab, merges = spbpe(gm)
    t = spjson("gemma", specials=("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"))
    for cls in ("GemmaTokenizer", "GemmaTokenizerFast"):
        case(f"gemma3/json-{cls}", folder(f"gemma3/json-{cls}", dict(gconf, tokenizer_class=cls, chat_template=gt), tokenizer__json=t.to_str()), T.Gemma3ForCausalLM, CALLS[:4] + CALLS[9:14] + TALK, pairs=True)


# === training ===

def batches(n, vocab, rows=3, length=10, seed=1):
    g = torch.Generator().manual_seed(seed)
    out = []
    for i in range(n):
        ids = torch.randint(3, vocab, (rows, length), generator=g)
        mask = torch.ones_like(ids)
        mask[1, length - 2:] = 0
        ids[1, length - 2:] = 0
        labels = ids.masked_fill(mask == 0, -100)
        labels[2, :4] = -100
        out.append(dict(input_ids=ids, attention_mask=mask, labels=labels))
    return out


def train(name, model, steps=5, lr=1e-2, betas=(0.9, 0.999), eps=1e-6, decay=0.01, norm=None, lrs=None, lora=None, optimizer="adamw", momentum=0.0, classes=None):
    if A.only and A.only not in name:
        return
    import peft
    d = ROOT / name
    shutil.rmtree(d, ignore_errors=True)
    d.mkdir(parents=True)
    model.config.use_cache = False
    for k in ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"):
        if hasattr(model.config, k):
            setattr(model.config, k, 0.0)
    model.save_pretrained(d / "model")
    model = type(model).from_pretrained(d / "model", attn_implementation="eager")
    data = batches(steps, model.config.vocab_size)
    if classes:
        for i, b in enumerate(data):
            b["labels"] = torch.tensor([i % classes, 1, 0])
    save_file({f"{k}.{i}": v.contiguous() for i, b in enumerate(data) for k, v in b.items()}, d / "batches.safetensors")
    probe = {k: v for k, v in data[0].items()}
    save_file(probe, d / "inputs.safetensors")
    info = dict(family=name.split("/")[0], architecture=type(model).__name__)
    t = dict(optimizer=optimizer, lr=lr, betas=list(betas), eps=eps, weight_decay=decay, max_grad_norm=norm, schedule="given", lrs=lrs or [lr] * steps, steps=steps, batches="batches.safetensors", loss_atol=1e-4)
    if optimizer == "sgd":
        t["momentum"] = momentum
    if lora:
        model = peft.get_peft_model(model, peft.LoraConfig(**lora))
        torch.manual_seed(5)
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "lora_" in n:
                    p.copy_(torch.randn_like(p) * 0.1)
        model.save_pretrained(d / "adapter_init")
    model.train()
    no = [n for n, p in model.named_parameters() if p.requires_grad and (n.endswith("bias") or "norm" in n.lower() or ".ln_" in n)]
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [dict(params=[p for n, p in named if n not in no], weight_decay=decay), dict(params=[p for n, p in named if n in no], weight_decay=0.0)]
    opt = torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps) if optimizer == "adamw" else torch.optim.SGD(groups, lr=lr, momentum=momentum)
    losses = []
    for i, b in enumerate(data):
        for gr in opt.param_groups:
            gr["lr"] = t["lrs"][i]
        loss = model(**b).loss
        loss.backward()
        if norm:
            torch.nn.utils.clip_grad_norm_([p for _, p in named], norm)
        opt.step()
        opt.zero_grad()
        losses.append(loss.item())
    t["no_decay"] = no
    t["losses"] = losses
    model.eval()
    if lora:
        model.save_pretrained(d / "adapter")
        t["after"] = "adapter/adapter_model.safetensors"
        t["lora"] = dict({k: v for k, v in lora.items() if k in ("r", "lora_alpha", "target_modules", "lora_dropout", "use_rslora", "fan_in_fan_out", "modules_to_save", "bias", "layers_to_transform", "rank_pattern", "alpha_pattern")}, init="adapter_init", adapter="adapter")
        info["forward"] = dict(adapter="adapter", atol=1e-4, rtol=1e-3)
    else:
        sd = {n: p.detach().contiguous().clone() for n, p in model.named_parameters()}
        save_file(sd, d / "after.safetensors")
        t["after"] = "after.safetensors"
        info["forward"] = dict(atol=1e-4, rtol=1e-3)
    # the gradient of a key's bias is nought but for rounding, which Adam makes steps of
    t["after_skip"] = [n for n, _ in named if n.endswith("c_attn.bias")] if optimizer == "adamw" else []
    t["after_atol"] = 1e-4 if optimizer == "sgd" else 2e-3
    if lora:
        with torch.no_grad():
            out = model(**probe)
    else:
        with torch.no_grad():
            out = type(model).from_pretrained(d / "model", attn_implementation="eager").eval()(**probe)
    save_file({k: v.detach().contiguous().clone() for k, v in out.items() if torch.is_tensor(v)}, d / "outputs.safetensors")
    info["train"] = t
    (d / "case.json").write_text(json.dumps(info) + "\n")
    print(name)


def training():
    class Tok:
        bos_token_id, eos_token_id, pad_token_id = 1, 2, 0
    def mk(cls, **kw):
        return tiny(Tok, cls, vocab=61, **kw)
    warm = [2e-3, 4e-3, 6e-3, 4e-3, 1e-3]
    zero = dict(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    train("gpt2/train-tied-clip", mk(T.GPT2LMHeadModel, **zero), norm=0.5, lrs=warm)
    train("gpt2/train-untied-decay", mk(T.GPT2LMHeadModel, tie_word_embeddings=False, **zero), decay=0.1, betas=(0.9, 0.95))
    train("gpt2/train-sgd", mk(T.GPT2LMHeadModel, **zero), optimizer="sgd", momentum=0.9, lr=5e-3)
    train("llama/train-tied", mk(T.LlamaForCausalLM, tie_word_embeddings=True), norm=1.0, lrs=warm)
    train("llama/train-untied", mk(T.LlamaForCausalLM), norm=1.0, lrs=warm, decay=0.1)
    train("mistral/train-window", mk(T.MistralForCausalLM, sliding_window=4), lrs=warm)
    train("qwen2/train", mk(T.Qwen2ForCausalLM, tie_word_embeddings=True), lrs=warm)
    train("qwen3/train", mk(T.Qwen3ForCausalLM), norm=0.3)
    train("gemma2/train", mk(T.Gemma2ForCausalLM, sliding_window=4, query_pre_attn_scalar=4), norm=1.0, lr=3e-3)
    train("gemma3/train", mk(T.Gemma3ForCausalLM, sliding_window=4, query_pre_attn_scalar=4, sliding_window_pattern=2), norm=1.0, lr=3e-3)
    train("gpt2/train-classifier", mk(T.GPT2ForSequenceClassification, num_labels=3, **zero), classes=3)
    lora = dict(r=4, lora_alpha=8, lora_dropout=0.0)
    train("gpt2/lora-conv1d", mk(T.GPT2LMHeadModel, **zero), lora=dict(lora, target_modules=["c_attn"], fan_in_fan_out=True), norm=1.0)
    train("gpt2/lora-conv1d-all", mk(T.GPT2LMHeadModel, **zero), lora=dict(lora, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True), lrs=warm)
    train("llama/lora-qkvo", mk(T.LlamaForCausalLM), lora=dict(lora, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]))
    train("llama/lora-mlp-rslora", mk(T.LlamaForCausalLM, tie_word_embeddings=True), lora=dict(lora, target_modules=["gate_proj", "up_proj", "down_proj"], use_rslora=True), lrs=warm)
    train("qwen3/lora-linear", mk(T.Qwen3ForCausalLM), lora=dict(lora, target_modules="all-linear", task_type="CAUSAL_LM"))
    train("llama/lora-head", mk(T.LlamaForCausalLM), lora=dict(lora, target_modules=["q_proj", "lm_head"]))
    train("llama/lora-some-layers", mk(T.LlamaForCausalLM), lora=dict(lora, target_modules=["q_proj", "v_proj"], layers_to_transform=[1], alpha_pattern={"v_proj": 2}, rank_pattern={"q_proj": 2}))
    train("gpt2/lora-classifier", mk(T.GPT2ForSequenceClassification, num_labels=3, **zero), lora=dict(lora, target_modules=["c_attn"], fan_in_fan_out=True, task_type="SEQ_CLS"), classes=3)
    train("gemma2/lora", mk(T.Gemma2ForCausalLM, sliding_window=4, query_pre_attn_scalar=4), lora=dict(lora, target_modules=["q_proj", "v_proj"]))


texts()
if not A.small:
    training()
