#!/usr/bin/env python3
"""Random tokenizers as checkpoints bring them, and what transformers makes of odd texts, as "tokenize" cases in the form of shared/golden; nothing of it is committed. A case is
files/NAME-SEED (the files of core/src/test/resources/tokenizers under the settings that their classes know, spelled as transformers 4 and 5 write them) or json/SEED (a tokenizer.json put
together from every kind of part). What the reference refuses is left out. Made with transformers 5.23.0.
usage: fuzz.py OUT_FOLDER TOKENIZERS_FOLDER files|json FIRST_SEED COUNT        then check.py --root OUT_FOLDER"""
import json, random, shutil, sys, warnings
from pathlib import Path
import tokenizers as tk
import transformers as T
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

warnings.filterwarnings("ignore")
T.logging.set_verbosity_error()
ROOT, SOURCE = Path(sys.argv[1]), Path(sys.argv[2])
PIECES = ["Paris", "is", "the", "capital", "of", ".", ",", "!", "don't", "café", "naïve", "Über", "😀", "👍🏽", "日本語", "Москва", "مرحبا", "e\u0301", "ﬁne", "A", "x1", "3.14", "New-York", "(brackets)", "happy", "shells",
          "Ishmael", "sells", "sea", "``quoted''", "nb\u00a0sp", "zero\u200bwidth", "ＦＵＬＬ", "<b>", "[x]", "#tag", "𝔘nicode", "İstanbul", "ß", "…", "—", "\u00ad", "<s>", "</s>", "<unk>", "[SEP]", "[CLS]", "<mask>", "[MASK]",
          "<new>", "NEW", "<|endoftext|>", "<extra_id_0>", "12345", "tests tested testing", "HELLO", "ǅ", "\x07", "a\u0327\u0301"]
SPACES = [" ", " ", " ", " ", " ", "  ", "\n", "\t", "", "", " \u3000", "\r\n"]


def text(r, most=12):
    return r.choice(["", "", " ", "  "]) + "".join(r.choice(PIECES) + r.choice(SPACES) for _ in range(r.randint(0, most)))


NEW = ["<new>", "café", "New-York", "😀", "[E1]", "sells shells", "A", "NEW", "the"]


def flags(r):
    return dict(lstrip=r.random() < 0.3, rstrip=r.random() < 0.3, single_word=r.random() < 0.3, normalized=r.random() < 0.3)


def settings(r, name):
    """What the tokenizer_config.json of such a class may say."""
    b = lambda: r.random() < 0.5
    every = {}
    if r.random() < 0.3:
        every["model_max_length"] = r.choice([12, 64, int(1e30)])
    if r.random() < 0.2:
        every["padding_side"] = r.choice(["left", "right"])
    if r.random() < 0.2:
        every["clean_up_tokenization_spaces"] = b()
    if r.random() < 0.2:
        every[r.choice(["additional_special_tokens", "extra_special_tokens"])] = r.sample(NEW, 2)
    kinds = {
        "bert": lambda: dict(do_lower_case=b(), strip_accents=r.choice([None, True, False]), tokenize_chinese_chars=b(), cls_token=r.choice(["[CLS]", "[SEP]"]), mask_token=r.choice(["[MASK]", dict(content="[MASK]", lstrip=True, rstrip=False, single_word=False, normalized=False, __type="AddedToken")]),
                             never_split=r.choice([None, ["Paris"]]), do_basic_tokenize=True),
        "roberta": lambda: dict(add_prefix_space=b(), trim_offsets=b(), errors="replace", mask_token=r.choice(["<mask>", dict(content="<mask>", lstrip=True, rstrip=False, single_word=False, normalized=r.random() < 0.5, __type="AddedToken")])),
        "gpt2": lambda: dict(add_prefix_space=b(), add_bos_token=b(), pad_token=r.choice([None, "<|endoftext|>", "<pad>"]), errors="replace"),
        "qwen2": lambda: dict(add_prefix_space=b(), add_bos_token=False, split_special_tokens=b(), eos_token="<|endoftext|>", bos_token=None),
        "clip": lambda: dict(do_lower_case=b(), pad_token=r.choice(["<|endoftext|>", "!"])),
        "t5": lambda: dict(extra_ids=r.choice([0, 3, 100]), legacy=b(), add_prefix_space=b(), sp_model_kwargs={}),
        "xlm-roberta": lambda: dict(sp_model_kwargs={}, add_prefix_space=b()), "camembert": lambda: dict(add_prefix_space=b()),
        "mbart": lambda: dict(src_lang=r.choice(["de_DE", "en_XX", "fr_XX"]), tgt_lang=r.choice([None, "fr_XX"])),
        "albert": lambda: dict(do_lower_case=b(), keep_accents=b(), remove_space=b(), add_prefix_space=b()), "deberta-v2": lambda: dict(do_lower_case=b(), split_by_punct=b(), add_prefix_space=b()),
        "pegasus": lambda: dict(offset=r.choice([103, 103, 5])), "llama": lambda: dict(add_bos_token=b(), add_eos_token=b(), legacy=b(), add_prefix_space=b(), use_default_system_prompt=False),
        "marian": lambda: dict(separate_vocabs=False), "m2m100": lambda: dict(src_lang=r.choice(["fr", "de", "en"]), num_madeup_words=8), "nllb": lambda: dict(src_lang=r.choice(["deu_Latn", "eng_Latn"]), legacy_behaviour=b()),
    }
    own = kinds.get(name, lambda: {})()
    return {k: v for k, v in own.items() if r.random() < 0.5} | every


KIND = {"bert-accents": "bert", "bert-added": "bert", "distilbert": "bert", "gpt2-bos": "gpt2", "gpt2-added": "gpt2", "roberta-prefix": "roberta", "xlm-roberta-added": "xlm-roberta", "llama-json": "llama",
        "llama-json-legacy": "llama", "llama-json-noprefix": "llama", "nllb-legacy": "nllb"}
MODEL = {"bert": "bert", "roberta": "roberta", "gpt2": "gpt2", "qwen2": "qwen2", "clip": "clip", "t5": "t5", "xlm-roberta": "xlm-roberta", "camembert": "camembert", "mbart": "mbart", "albert": "albert",
         "deberta-v2": "deberta-v2", "pegasus": "pegasus", "llama": "llama", "marian": "marian", "m2m100": "m2m_100", "nllb": "m2m_100"}


def from_files(r, m, name):
    shutil.copytree(SOURCE / name, m, dirs_exist_ok=True, ignore=shutil.ignore_patterns("golden.json"))
    f = m / "tokenizer_config.json"
    kind = KIND.get(name, name)
    c = json.loads(f.read_text()) | settings(r, kind)
    if name == "distilbert" and r.random() < 0.3 or kind not in MODEL:
        pass
    elif r.random() < 0.15:  # config.json alone says what it is
        c.pop("tokenizer_class")
    elif r.random() < 0.3:
        c["tokenizer_class"] += "Fast"
    (m / "config.json").write_text(json.dumps({"model_type": "distilbert" if name == "distilbert" else MODEL.get(kind, kind)}))
    f.write_text(json.dumps(c, ensure_ascii=False))
    how = r.random()
    if how < 0.2:  # as older checkpoints have it
        (m / "special_tokens_map.json").write_text(json.dumps({k: v for k, v in c.items() if k in ("mask_token", "pad_token", "additional_special_tokens")}, ensure_ascii=False))
    elif how < 0.5:
        tok = T.AutoTokenizer.from_pretrained(str(m))
        tok.add_tokens([T.AddedToken(w, **flags(r)) for w in r.sample(NEW, r.randint(1, 3))], special_tokens=r.random() < 0.4)
        for old in m.iterdir():
            if old.name != "config.json":
                old.unlink()
        tok.save_pretrained(m)
        if r.random() < 0.5:  # as transformers 4 wrote it
            c = json.loads(f.read_text())
            c.pop("backend", None), c.pop("is_local", None), c.pop("local_files_only", None)
            f.write_text(json.dumps(c, ensure_ascii=False))


CORPUS = ["Paris is the capital of France. New-York sells happy shells by the sea shore, don't they?", "café naïve Über Ishmael tests tested testing 12345 3.14 hello HELLO the of is"] * 4


def from_parts(r, m):
    kind = r.choice(["wordpiece", "bpe", "bpe", "unigram", "wordlevel"])
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bytes_ = kind == "bpe" and r.random() < 0.5
    if kind == "wordpiece":
        prefix = r.choice(["##", "@@"])
        t, trainer = tk.Tokenizer(models.WordPiece(unk_token="[UNK]", continuing_subword_prefix=prefix, max_input_chars_per_word=r.choice([100, 6]))), trainers.WordPieceTrainer(vocab_size=160, special_tokens=special, show_progress=False, continuing_subword_prefix=prefix)
        decoder = decoders.WordPiece(prefix=prefix, cleanup=r.random() < 0.5)
    elif kind == "bpe":
        more = {} if bytes_ else r.choice([{}, dict(end_of_word_suffix="</w>"), dict(continuing_subword_prefix="##")])
        extra = {} if bytes_ else r.choice([{}, dict(fuse_unk=True), dict(byte_fallback=True)])
        t = tk.Tokenizer(models.BPE(unk_token=None if bytes_ else "[UNK]", **more, **extra, ignore_merges=r.random() < 0.2))
        trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=special, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if bytes_ else [], **more)
        decoder = decoders.ByteLevel() if bytes_ else decoders.BPEDecoder() if "end_of_word_suffix" in more else decoders.Fuse()
    elif kind == "unigram":
        t, trainer = tk.Tokenizer(models.Unigram()), trainers.UnigramTrainer(vocab_size=160, special_tokens=special, unk_token="[UNK]", show_progress=False)
        decoder = decoders.Metaspace()
    else:
        t, trainer = tk.Tokenizer(models.WordLevel(unk_token="[UNK]")), trainers.WordLevelTrainer(vocab_size=90, special_tokens=special, show_progress=False)
        decoder = None
    norm = [normalizers.NFC, normalizers.NFD, normalizers.NFKC, normalizers.NFKD, normalizers.Lowercase, normalizers.StripAccents, normalizers.Nmt, lambda: normalizers.Strip(left=r.random() < 0.5, right=r.random() < 0.5),
            lambda: normalizers.Replace(r.choice(["e", tk.Regex(r"\s+"), tk.Regex("[0-9]")]), r.choice(["E", " ", "0", ""])), lambda: normalizers.BertNormalizer(clean_text=r.random() < 0.5, handle_chinese_chars=r.random() < 0.5,
            strip_accents=r.choice([None, True, False]), lowercase=r.random() < 0.5), lambda: normalizers.Prepend("▁")]
    chosen = [f() for f in r.sample(norm, r.choice([0, 1, 2, 3]))]
    if chosen:
        t.normalizer = normalizers.Sequence(chosen) if len(chosen) > 1 or r.random() < 0.3 else chosen[0]
    pres = [pre_tokenizers.BertPreTokenizer, pre_tokenizers.Whitespace, pre_tokenizers.WhitespaceSplit, lambda: pre_tokenizers.Metaspace(prepend_scheme=r.choice(["always", "never", "first"]), split=r.random() < 0.7),
            lambda: pre_tokenizers.Digits(individual_digits=r.random() < 0.5), lambda: pre_tokenizers.Punctuation(r.choice(["isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"])), pre_tokenizers.UnicodeScripts,
            lambda: pre_tokenizers.CharDelimiterSplit("-"), lambda: pre_tokenizers.Split(r.choice([" ", tk.Regex(r"\s+|\w+"), tk.Regex(r"'s|'t|\p{L}+|\p{N}{1,3}|[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")]),
            r.choice(["isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"]), invert=r.random() < 0.3)]
    chosen = [f() for f in r.sample(pres, r.choice([0, 1, 1, 2, 3] if kind in ("bpe", "unigram") else [1, 1, 2]))]
    if bytes_:
        chosen.append(pre_tokenizers.ByteLevel(add_prefix_space=r.random() < 0.5, trim_offsets=r.random() < 0.5, use_regex=r.random() < 0.7))
    if chosen:
        t.pre_tokenizer = pre_tokenizers.Sequence(chosen) if len(chosen) > 1 or r.random() < 0.2 else chosen[0]
    t.train_from_iterator(CORPUS, trainer)
    if decoder is not None:
        t.decoder = decoder
    ids = {s: t.token_to_id(s) for s in special}
    template = lambda: processors.TemplateProcessing(single=r.choice(["[CLS] $A [SEP]", "$A [SEP]", "[CLS]:1 $A:1 [SEP]:1", "$A"]), pair=r.choice(["[CLS] $A [SEP] $B:1 [SEP]:1", "$A $B", "$B:1 [SEP] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]"]),
                                                     special_tokens=[(s, ids[s]) for s in ("[CLS]", "[SEP]")])
    posts = [None, template, template, lambda: processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"])), lambda: processors.RobertaProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]), trim_offsets=r.random() < 0.5, add_prefix_space=r.random() < 0.5)]
    post = r.choice(posts)
    if post is not None:
        t.post_processor = post()
    if bytes_ and r.random() < 0.4:
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=r.random() < 0.5), template()]) if r.random() < 0.5 else processors.ByteLevel(trim_offsets=r.random() < 0.5)
    added = [tk.AddedToken(w, **(flags(r) | (dict(normalized=False) if w != "<new>" else {}))) for w in r.sample(NEW, r.randint(0, 3))]
    if added:
        (t.add_special_tokens if r.random() < 0.4 else t.add_tokens)(added)
    if r.random() < 0.2:
        t.enable_truncation(8, stride=r.choice([0, 2]), direction=r.choice(["left", "right"]))
    if r.random() < 0.2:
        t.enable_padding(length=r.choice([None, 20]), pad_id=ids["[PAD]"], pad_token="[PAD]", direction=r.choice(["left", "right"]))
    t.save(str(m / "tokenizer.json"))
    c = dict(tokenizer_class=r.choice(["PreTrainedTokenizerFast", "TokenizersBackend"]), unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    if r.random() < 0.3:
        c["model_input_names"] = r.choice([["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]])
    if r.random() < 0.3:
        c["model_max_length"] = r.choice([10, 512])
    if r.random() < 0.2:
        c["add_prefix_space"] = r.random() < 0.5
    (m / "tokenizer_config.json").write_text(json.dumps(c, ensure_ascii=False))
    if r.random() < 0.5:
        (m / "config.json").write_text(json.dumps({"model_type": r.choice(["bert", "modernbert", "llama"])}))


def case(kind, name, seed):
    r = random.Random(f"{kind}-{name}-{seed}")
    d = ROOT / kind / (f"{name}-{seed}" if name else str(seed))
    shutil.rmtree(d, ignore_errors=True)
    (d / "model").mkdir(parents=True)
    try:
        from_files(r, d / "model", name) if name else from_parts(r, d / "model")
        tok = T.AutoTokenizer.from_pretrained(str(d / "model"))
        out = []
        for _ in range(14):
            a, b = text(r), text(r, 6) if r.random() < 0.3 else None
            if b is not None and not b:
                b = None
            e = tok(a, b, return_offsets_mapping=tok.is_fast) if b is not None else tok(a, return_offsets_mapping=tok.is_fast)
            out.append(dict(text=a, text_pair=b, input_ids=e["input_ids"], token_type_ids=e.get("token_type_ids"), tokens=tok.convert_ids_to_tokens(e["input_ids"]),
                            offsets=[list(o) for o in e["offset_mapping"]] if tok.is_fast else None))
    except BaseException as e:  # the tokenizers' panics are no Exceptions
        if isinstance(e, KeyboardInterrupt):
            raise
        shutil.rmtree(d)
        return f"{kind}/{name}-{seed}: refused: {type(e).__name__}: {str(e).strip()[:150]}"
    (d / "case.json").write_text(json.dumps(dict(family=kind, architecture=type(tok).__name__, tokenize=out), ensure_ascii=False) + "\n", encoding="utf-8")
    return None


made = 0
for name in sorted(p.name for p in SOURCE.iterdir() if p.name != "wav2vec2") if sys.argv[3] == "files" else [""]:
    for seed in range(int(sys.argv[4]), int(sys.argv[4]) + int(sys.argv[5])):
        refused = case(sys.argv[3], name, seed)
        made += refused is None
        if refused:
            print(refused, flush=True)
print(made, "cases")
