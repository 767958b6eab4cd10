#!/usr/bin/env python3
"""Makes core/src/test/resources/tokenizers: small tokenizers in every file format, and what transformers does with them.

usage: make_goldens.py OUTPUT_FOLDER [nllb|added|blanks|roberta-prefix]      (needs transformers==5.23.0, sentencepiece, protobuf; no network)

One folder a tokenizer: its files, and golden.json with
  encode:  text, pair -> ids, type_ids, offsets (code points, absent where the reference has none)
  batch:   options (transformers' argument names), texts, pairs -> rows of ids, type_ids, mask, offsets, sample
  words:   words -> ids, word_ids
  decode:  ids, skip -> text
"""
import io, json, random, shutil, sys
from pathlib import Path

import sentencepiece as spm
import tokenizers as tk
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = Path(sys.argv[1])
CORPUS = """The quick brown fox jumps over the lazy dog. A journey of a thousand miles begins with a single step.
It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness.
She sells sea shells by the sea shore; the shells she sells are surely sea shells, I'm sure.
In the beginning the universe was created. This has made a lot of people very angry and been widely regarded as a bad move.
Das Haus ist wunderbar, und der Garten auch. Über allen Gipfeln ist Ruh. Le café est très bon à Paris, n'est-ce pas?
All happy families are alike; every unhappy family is unhappy in its own way. 1903, 1911, 42 and 3.14 are numbers.
Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse.
""".splitlines() * 3

TEXTS = [
    "The quick brown fox.", "", " ", "  leading and   inner  blanks  ", "Über café naïve", "日本語 text", "emoji 😀 and 👍🏽!", "it's don't we'll",
    "tabs\tand\nnew\r\nlines", "UPPER lower MiXed", "12345 3.14 a1b2", "zero\u200bwidth nb\u00a0sp", "full ｗｉｄｔｈ ①②", "e\u0301 combining",
    "(brackets) [and] {braces} <tags>", "a" * 120, "``quoted'' text", "sells shells sells shells",
]
PAIRS = [("The quick fox", "jumps over"), ("", "second only"), ("first only", ""), ("Über 😀", "café 👍🏽 x"), ("Call me", "Ishmael. Some years ago, never mind")]
LONG = "All happy families are alike; every unhappy family is unhappy in its own way."


def plain(x):
    return x.tolist() if hasattr(x, "tolist") else x


def golden(folder, batches=True, words=True, pairs=True, extra_texts=(), skip_offsets=False, **load):
    tok = transformers.AutoTokenizer.from_pretrained(str(folder), **load)
    fast = tok.is_fast and not skip_offsets
    g = dict(made_with=f"transformers {transformers.__version__}, {type(tok).__name__}", encode=[], batch=[], words=[], decode=[])
    g["special"] = {k: [str(v), tok.convert_tokens_to_ids(str(v))] for k, v in tok.special_tokens_map.items() if isinstance(v, str)}
    g["padding_side"], g["size"] = tok.padding_side, len(tok)
    g["input_names"] = tok.model_input_names

    def enc(text, pair=None):
        e = tok(text, pair, return_offsets_mapping=fast, return_token_type_ids=True) if pair is not None else tok(text, return_offsets_mapping=fast, return_token_type_ids=True)
        d = dict(text=text, pair=pair, ids=e["input_ids"], type_ids=e["token_type_ids"])
        if fast:
            d["offsets"] = [list(o) for o in e["offset_mapping"]]
        return d

    for t in list(TEXTS) + list(extra_texts):
        g["encode"].append(enc(t))
    if pairs:
        for a, b in PAIRS:
            if b:  # transformers takes an empty second text for none
                g["encode"].append(enc(a, b))
    seen = 0
    for e in g["encode"]:
        for skip in (False, True):
            if len(e["ids"]) < 60:
                g["decode"].append(dict(ids=e["ids"], skip=skip, text=tok.decode(e["ids"], skip_special_tokens=skip)))
    if batches:
        a, b = [LONG, "Call me Ishmael.", "x"], ["the age of wisdom, it was", LONG, "y"]
        opts = []
        for side in ("right", "left"):
            for strategy in ("longest_first", "only_first"):
                for n in (5, 8, 13):
                    opts.append(dict(truncation=strategy, max_length=n, truncation_side=side))
            opts.append(dict(truncation=True, max_length=10, stride=3, return_overflowing_tokens=True, truncation_side=side))
            opts.append(dict(truncation=True, max_length=10, stride=2, return_overflowing_tokens=True, padding="max_length", padding_side=side, truncation_side=side))
            opts.append(dict(padding=True, padding_side=side))
            opts.append(dict(padding="max_length", max_length=30, padding_side=side))
            opts.append(dict(padding=True, pad_to_multiple_of=8, padding_side=side))
            opts.append(dict(padding=True, truncation=True, max_length=16, pad_to_multiple_of=8, padding_side=side, truncation_side=side))
            opts.append(dict(add_special_tokens=False, truncation=True, max_length=6, padding=True, padding_side=side))
        if tok.pad_token is None:
            opts = [o for o in opts if "padding" not in o]
        for o in opts:
            for two in (False, True):
                variants = [o] if not (two and o.get("truncation") == "only_first") else [o, dict(o, truncation="only_second", max_length=60)]
                for v in variants:
                    v = dict(v)
                    if two and v.get("truncation") == "only_first":
                        v["max_length"] = 60
                    if two and v.get("return_overflowing_tokens"):
                        v["max_length"] = 20
                    args = dict(v)
                    tok.truncation_side = args.pop("truncation_side", "right")
                    overflow = args.get("return_overflowing_tokens", False)
                    try:
                        e = tok(a, b if two else None, return_offsets_mapping=True, return_token_type_ids=True, **args)
                    except Exception as x:
                        g["batch"].append(dict(options=v, texts=a, pairs=b if two else None, error=str(x).splitlines()[0][:200]))
                        continue
                    g["batch"].append(dict(options=v, texts=a, pairs=b if two else None, rows=dict(ids=e["input_ids"], type_ids=e["token_type_ids"],
                        mask=e["attention_mask"], offsets=[[list(o) for o in r] for r in e["offset_mapping"]],
                        sample=[int(i) for i in e["overflow_to_sample_mapping"]] if overflow else list(range(len(a))))))
                    tok.truncation_side = "right"
    if words:
        for w in (["Call", "me", "Ishmael", "."], ["Über", "😀x", "shells"], ["one"]):
            e = tok(w, is_split_into_words=True, return_offsets_mapping=True)
            g["words"].append(dict(words=w, pair=None, ids=e["input_ids"], word_ids=e.word_ids(), offsets=[list(o) for o in e["offset_mapping"]]))
        e = tok(["Call", "me"], ["some", "years", "😀ago"], is_split_into_words=True, return_offsets_mapping=True)
        g["words"].append(dict(words=["Call", "me"], pair=["some", "years", "😀ago"], ids=e["input_ids"], word_ids=e.word_ids(), offsets=[list(o) for o in e["offset_mapping"]]))
    (folder / "golden.json").write_text(json.dumps(g, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(folder.name, type(tok).__name__, len(tok), len(g["encode"]), len(g["batch"]))
    return tok


def folder(name, config, **files):
    f = OUT / name
    shutil.rmtree(f, ignore_errors=True)
    f.mkdir(parents=True)
    if config is not None:
        (f / "tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for k, v in files.items():
        p = f / k.replace("__", ".")
        p.write_bytes(v) if isinstance(v, bytes) else p.write_text(v, encoding="utf-8")
    return f


def sp(kind, size, **kw):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=out, model_type=kind, vocab_size=size, character_coverage=1.0,
                                   hard_vocab_limit=False, minloglevel=2, num_threads=1, **kw)
    return out.getvalue()


def wordpiece():
    t = tk.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    return "".join(w + "\n" for w, _ in sorted(t.get_vocab().items(), key=lambda x: x[1]))


def bytelevel(special, suffix=None, size=400):
    t = tk.Tokenizer(models.BPE(end_of_word_suffix=suffix) if suffix else models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if suffix:
        t.normalizer = normalizers.Lowercase()
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(tk.Regex(r"'s|'t|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=size + (256 if suffix else 0), special_tokens=special, initial_alphabet=alphabet, show_progress=False, **(dict(end_of_word_suffix=suffix) if suffix else {})))
    j = json.loads(t.to_str())["model"]
    merges = "#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in j["merges"])
    return json.dumps(j["vocab"], ensure_ascii=False), merges


def main():
    random.seed(0)
    vt = wordpiece()
    golden(folder("bert", dict(tokenizer_class="BertTokenizer", model_max_length=64), vocab__txt=vt))
    golden(folder("bert-accents", dict(tokenizer_class="BertTokenizer", do_lower_case=True, strip_accents=False, tokenize_chinese_chars=False), vocab__txt=vt), batches=False)
    golden(folder("distilbert", dict(tokenizer_class="DistilBertTokenizer", clean_up_tokenization_spaces=True), vocab__txt=vt), batches=False)
    v, m = bytelevel(["<|endoftext|>"])
    golden(folder("gpt2", dict(tokenizer_class="GPT2Tokenizer", model_max_length=64), vocab__json=v, merges__txt=m), words=False)
    golden(folder("gpt2-bos", dict(tokenizer_class="GPT2Tokenizer", add_bos_token=True, pad_token="<|pad|>", padding_side="left"), vocab__json=v, merges__txt=m), words=False)
    golden(folder("qwen2", dict(tokenizer_class="Qwen2Tokenizer", added_tokens_decoder={"400": dict(content="<|im_start|>", special=True, lstrip=False, rstrip=False, single_word=False, normalized=False)}),
                  vocab__json=v, merges__txt=m), words=False, batches=False, extra_texts=["<|im_start|>user hi<|endoftext|>"])
    v, m = bytelevel(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    golden(folder("roberta", dict(tokenizer_class="RobertaTokenizer", model_max_length=64), vocab__json=v, merges__txt=m), extra_texts=["a <mask> b"], words=False)
    golden(folder("roberta-prefix", dict(tokenizer_class="RobertaTokenizer", add_prefix_space=True), vocab__json=v, merges__txt=m))
    v, m = bytelevel(["<|startoftext|>", "<|endoftext|>"], "</w>")
    golden(folder("clip", dict(tokenizer_class="CLIPTokenizer", model_max_length=16), vocab__json=v, merges__txt=m), words=False, batches=False)
    t5 = sp("unigram", 260, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="nmt_nfkc")
    golden(folder("t5", dict(tokenizer_class="T5Tokenizer", extra_ids=0), spiece__model=t5))
    roberta = sp("unigram", 260, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, normalization_rule_name="identity")
    golden(folder("xlm-roberta", dict(tokenizer_class="XLMRobertaTokenizer", model_max_length=64), sentencepiece__bpe__model=roberta))
    golden(folder("camembert", dict(tokenizer_class="CamembertTokenizer"), sentencepiece__bpe__model=roberta), batches=False)
    golden(folder("mbart", dict(tokenizer_class="MBartTokenizer", src_lang="de_DE", tgt_lang="en_XX"), sentencepiece__bpe__model=roberta), batches=False)
    albert = sp("unigram", 260, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"], normalization_rule_name="identity")
    golden(folder("albert", dict(tokenizer_class="AlbertTokenizer"), spiece__model=albert), batches=False)
    deberta = sp("unigram", 260, pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", normalization_rule_name="identity")
    golden(folder("deberta-v2", dict(tokenizer_class="DebertaV2Tokenizer"), spm__model=deberta), batches=False)
    pegasus = sp("unigram", 260, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_name="identity")
    f = folder("pegasus", dict(tokenizer_class="PegasusTokenizer", mask_token="<mask_2>", mask_token_sent="<mask_1>"), spiece__model=pegasus)
    golden(f, batches=False)
    g = json.loads((f / "golden.json").read_text())
    del g["special"]["mask_token"]  # published models have <mask_1> at 2 and <mask_2> at 3; this version of transformers swaps them
    (f / "golden.json").write_text(json.dumps(g, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    llama = sp("bpe", 420, unk_id=0, bos_id=1, eos_id=2, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False)
    golden(folder("llama", dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, legacy=False, pad_token="<unk>"), tokenizer__model=llama))
    # the tokenizer.json that transformers 4 made of such a model: LlamaTokenizer of version 5 builds its own parts instead
    j = json.loads(transformers.AutoTokenizer.from_pretrained(str(OUT / "llama"))._tokenizer.to_str())
    j["normalizer"] = dict(type="Sequence", normalizers=[dict(type="Prepend", prepend="▁"), dict(type="Replace", pattern=dict(String=" "), content="▁")])
    j["pre_tokenizer"] = None
    chat = ["<s>[INST] hi [/INST] sea</s><s>x", " <unk> a", "a<s> b"]
    for name, more in (("llama-json", {}), ("llama-json-legacy", dict(legacy=True, add_bos_token=True, add_eos_token=True)), ("llama-json-noprefix", dict(add_prefix_space=False))):
        golden(folder(name, dict(tokenizer_class="LlamaTokenizer", unk_token="<unk>", bos_token="<s>", eos_token="</s>", **more), tokenizer__json=json.dumps(j, ensure_ascii=False)), batches=False, words=False, extra_texts=chat)
    s, t = sp("unigram", 200, unk_id=1, eos_id=0, bos_id=-1, pad_id=-1, normalization_rule_name="identity"), sp("unigram", 150, unk_id=1, eos_id=0, bos_id=-1, pad_id=-1, normalization_rule_name="identity")
    pieces = []
    for m in (s, t):
        p = spm.SentencePieceProcessor(model_proto=m)
        pieces += [p.id_to_piece(i) for i in range(p.get_piece_size())]
    pieces = list(dict.fromkeys(pieces))
    rest = [p for p in pieces if p not in ("</s>", "<unk>")]
    random.shuffle(rest)
    vocab = {p: i for i, p in enumerate(["</s>", "<unk>"] + rest[:-6] + [">>de<<", "<pad>"])}
    f = folder("marian", dict(tokenizer_class="MarianTokenizer", source_lang="en", target_lang="de"), vocab__json=json.dumps(vocab, ensure_ascii=False), source__spm=s, target__spm=t)
    tok = golden(f, batches=False, words=False, extra_texts=[">>de<< The quick fox", ">>xx<< hi", "a </s> b"])
    g = json.loads((f / "golden.json").read_text())
    g["target"] = [dict(text=x, ids=tok(text_target=x)["input_ids"]) for x in TEXTS]
    (f / "golden.json").write_text(json.dumps(g, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    b = sp("bpe", 300, unk_id=0, bos_id=1, eos_id=2, normalization_rule_name="identity")
    p = spm.SentencePieceProcessor(model_proto=b)
    vocab = {q: i for i, q in enumerate(["<s>", "<pad>", "</s>", "<unk>"] + [p.id_to_piece(i) for i in range(3, p.get_piece_size())][::-1])}
    f = folder("m2m100", dict(tokenizer_class="M2M100Tokenizer", src_lang="fr", tgt_lang="en"), vocab__json=json.dumps(vocab, ensure_ascii=False), sentencepiece__bpe__model=b)
    tok = golden(f, batches=False, words=False)
    g = json.loads((f / "golden.json").read_text())
    del g["size"]  # transformers leaves the language codes out
    g["target"] = [dict(text=x, ids=tok(text_target=x)["input_ids"]) for x in TEXTS]
    (f / "golden.json").write_text(json.dumps(g, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    letters = {t: i for i, t in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|"] + list("ETAONIHSRDLUMWCFGYPBVK'XJQZ"))}
    f = folder("wav2vec2", dict(tokenizer_class="Wav2Vec2CTCTokenizer", do_lower_case=False, word_delimiter_token="|"), vocab__json=json.dumps(letters))
    tok = transformers.AutoTokenizer.from_pretrained(str(f))
    frames = [0, 0, 11, 11, 5, 0, 15, 0, 15, 15, 8, 4, 4, 0, 18, 8, 13, 15, 14, 0, 0, 4, 3, 2]
    g = dict(encode=[dict(text=t, ids=tok(t)["input_ids"]) for t in ("HELLO WORLD", "Über X", "", "IT'S  TWO")],
             decode=[dict(ids=frames, skip=s, text=tok.decode(frames, skip_special_tokens=s)) for s in (False, True)], ctc=[])
    for what in ("char", "word"):
        o = tok.decode(frames, **{f"output_{what}_offsets": True})
        g["ctc"].append(dict(ids=frames, words=what == "word", units=[[x[what], int(x["start_offset"]), int(x["end_offset"])] for x in o[f"{what}_offsets"]]))
    (f / "golden.json").write_text(json.dumps(g, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def nllb():
    """Language codes before the text, or behind it (legacy_behaviour), around the same tokenizer.json."""
    b = sp("bpe", 300, unk_id=0, bos_id=1, eos_id=2, normalization_rule_name="nmt_nfkc")
    codes = ["deu_Latn", "eng_Latn", "fra_Latn", "zho_Hans"]
    made = transformers.NllbTokenizer.from_pretrained(str(folder("nllb", None, sentencepiece__bpe__model=b)), extra_special_tokens=codes)
    made.save_pretrained(str(OUT / "nllb"))
    j = (OUT / "nllb" / "tokenizer.json").read_text()
    for name, more in (("nllb", dict(tgt_lang="deu_Latn")), ("nllb-legacy", dict(legacy_behaviour=True))):
        f = folder(name, dict(tokenizer_class="NllbTokenizer", src_lang="fra_Latn", additional_special_tokens=codes, bos_token="<s>", eos_token="</s>", sep_token="</s>", cls_token="<s>", unk_token="<unk>",
                              pad_token="<pad>", mask_token="<mask>", **more), tokenizer__json=j)
        tok = golden(f, batches=False, words=False, extra_texts=["eng_Latn in the text"])
        g = json.loads((f / "golden.json").read_text())
        g["target"] = [dict(text=x, ids=tok(text_target=x)["input_ids"]) for x in TEXTS]
        (f / "golden.json").write_text(json.dumps(g, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def added():
    """Added tokens that are looked for in the normalised text ("normalized": true), where their own spelling is normalised too, beside those that are looked for in the text as it is."""
    wanted = [("Café", dict(normalized=True)), ("SHELLS", dict(normalized=True, single_word=True)), ("New  York", dict(normalized=True, lstrip=True)), ("naïve", dict(normalized=False)), ("<Tag>", dict(normalized=False)),
              ("ｗｉｄｔｈ", dict(normalized=True)), ("Über Alles", dict(normalized=True, rstrip=True))]
    texts = ["café Café CAFÉ cafe\u0301 cafés Cafe", "shells SHELLS seashells sells Shells,", "in new  york New York NEW  YORK now", "naïve NAÏVE naive", "<tag> <Tag>x", "ｗｉｄｔｈ width WIDTH", "über alles Über Alles  x uber alles", "café😀Café"]
    for name in ("bert", "xlm-roberta", "gpt2"):
        tok = transformers.AutoTokenizer.from_pretrained(str(OUT / name))
        tok.add_tokens([tk.AddedToken(t, **flags) for t, flags in wanted])
        f = folder(name + "-added", None)
        tok.save_pretrained(str(f))
        tok = golden(f, batches=False, words=False, extra_texts=texts)
        g = json.loads((f / "golden.json").read_text())
        for e in g["encode"]:
            e["tokens"] = tok.convert_ids_to_tokens(e["ids"])
        (f / "golden.json").write_text(json.dumps(g, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def blanks():
    """Texts that end in what is white but no blank, and masks after blanks, added to the goldens of tokenizers without a tokenizer.json."""
    texts = ["shells \u3000", "\u3000 shells\r\n", "the <mask> shore", "sea  <mask>  <mask>", "\x07 sea\t"]
    for name in ("camembert", "mbart", "xlm-roberta", "m2m100", "marian"):
        tok = transformers.AutoTokenizer.from_pretrained(str(OUT / name))
        g = json.loads((OUT / name / "golden.json").read_text())
        g["encode"] = [e for e in g["encode"] if e["text"] not in texts]
        for t in texts:
            e = tok(t, return_offsets_mapping=tok.is_fast, return_token_type_ids=True)
            g["encode"].append(dict(text=t, pair=None, ids=e["input_ids"], type_ids=e["token_type_ids"], **(dict(offsets=[list(o) for o in e["offset_mapping"]]) if tok.is_fast else {})))
        (OUT / name / "golden.json").write_text(json.dumps(g, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


selected = {"nllb": nllb, "added": added, "blanks": blanks, "roberta-prefix": lambda: golden(OUT / "roberta-prefix")}
if sys.argv[2:]:
    selected[sys.argv[2]]()
else:
    main(), nllb(), added(), blanks()
