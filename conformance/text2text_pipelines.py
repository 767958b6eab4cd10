#!/usr/bin/env python3
"""Small goldens of the pipelines text2text-generation, summarization and translation, which transformers 5 removed: made with transformers 4.57.3 and torch 2.10.0. One folder a model
(random weights, a tokenizer of core/src/test/resources/tokenizers), case.json holds runs of {task, inputs, kwargs, expected}.
usage: text2text_pipelines.py TOKENIZERS OUT_FOLDER [START_OF_NAME]        (core/src/test/resources/tokenizers core/src/test/resources/pipelines)"""
import json, shutil, sys
from pathlib import Path
import torch
import transformers as T

assert T.__version__.startswith("4.57"), T.__version__
TOKENIZERS, ROOT = Path(sys.argv[1]), Path(sys.argv[2])
ONLY = sys.argv[3] if len(sys.argv) > 3 else ""
TEXTS = ["The quick brown fox jumps over the lazy dog.", "Das Haus ist wunderbar", "She sells sea shells by the sea shore; all happy families are alike."]
SIZES = dict(d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=20, decoder_ffn_dim=20, max_position_embeddings=80)


def plain(x):
    if torch.is_tensor(x):
        return x.tolist()
    return {k: plain(v) for k, v in x.items()} if isinstance(x, dict) else [plain(v) for v in x] if isinstance(x, list) else x


def case(name, tokenizer, cls, config, runs, edit=None):
    if not name.startswith(ONLY):
        return
    d = ROOT / name
    shutil.rmtree(d, ignore_errors=True)
    torch.manual_seed(len(name))
    model = cls(config).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "embed_positions" not in n or config.model_type == "bart":
                p.copy_(torch.randn_like(p) * (0.35 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    model.save_pretrained(d / "model")
    for f in (TOKENIZERS / tokenizer).iterdir():
        if f.name != "golden.json":
            shutil.copy(f, d / "model" / f.name)
    if edit:
        f = d / "model/config.json"
        c = json.loads(f.read_text())
        edit(c)
        f.write_text(json.dumps(c, indent=1) + "\n")
    done = []
    for task, inputs, kwargs in runs:
        p = T.pipeline(task, model=str(d / "model"), device="cpu")
        done.append(dict(task=task, inputs=inputs, kwargs=kwargs, expected=plain(p(list(inputs), **kwargs))))
    (d / "case.json").write_text(json.dumps(dict(runs=done), ensure_ascii=False) + "\n")
    print(name, sum(p.stat().st_size for p in d.rglob("*") if p.is_file()) // 1024, "KB", [r["expected"][0] for r in done][:2], flush=True)


def size(name):
    return len(T.AutoTokenizer.from_pretrained(str(TOKENIZERS / name)))


SHORT = dict(max_new_tokens=6, num_beams=1)
COMMON = [({}), SHORT, dict(max_new_tokens=6, num_beams=3, num_return_sequences=2), dict(SHORT, return_tensors=True), dict(SHORT, clean_up_tokenization_spaces=True)]


def prefixes(c):
    c["task_specific_params"] = {"summarization": {"prefix": "summarize: ", "max_length": 9, "num_beams": 3, "length_penalty": 2.0, "no_repeat_ngram_size": 2, "early_stopping": True},
                                 "translation_en_to_de": {"prefix": "translate English to German: ", "max_length": 7, "num_beams": 2}}


t5 = T.T5Config(vocab_size=size("t5"), d_model=16, d_kv=5, d_ff=20, num_layers=2, num_heads=3, decoder_start_token_id=0)
case("text2text-t5", "t5", T.T5ForConditionalGeneration, t5,
     [(t, TEXTS, k) for t in ("summarization", "translation_en_to_de", "translation") for k in ({}, SHORT)] + [("text2text-generation", TEXTS, dict(k, max_new_tokens=6)) for k in COMMON], prefixes)
bart = dict(SIZES, forced_eos_token_id=2)
case("text2text-bart", "roberta", T.BartForConditionalGeneration, T.BartConfig(vocab_size=size("roberta"), pad_token_id=1, bos_token_id=0, eos_token_id=2, **bart),
     [("summarization", TEXTS, dict(k, max_new_tokens=k.get("max_new_tokens", 8))) for k in COMMON] + [("summarization", [" ".join(TEXTS * 3)], dict(SHORT, truncation=True))])
case("text2text-pegasus", "pegasus", T.PegasusForConditionalGeneration, T.PegasusConfig(vocab_size=size("pegasus"), **SIZES), [("summarization", TEXTS, dict(SHORT, min_length=4)), ("text2text-generation", TEXTS, SHORT)])
n = size("marian")
pad = json.loads((TOKENIZERS / "marian/vocab.json").read_text())["<pad>"]
case("text2text-marian", "marian", T.MarianMTModel, T.MarianConfig(vocab_size=n, pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, forced_eos_token_id=0, bad_words_ids=[[pad]], **SIZES),
     [("translation", TEXTS + [">>de<< The quick fox"], k) for k in (SHORT, dict(max_new_tokens=6, num_beams=4))] + [("translation_en_to_de", TEXTS, SHORT)])
case("text2text-m2m100", "m2m100", T.M2M100ForConditionalGeneration, T.M2M100Config(vocab_size=size("m2m100") + 120, **SIZES),
     [("translation", TEXTS, dict(SHORT, src_lang="en", tgt_lang="de")), ("translation_de_to_fr", TEXTS, SHORT), ("translation", TEXTS, dict(max_new_tokens=5, num_beams=3, src_lang="zh", tgt_lang="ja"))])
case("text2text-mbart", "mbart", T.MBartForConditionalGeneration, T.MBartConfig(vocab_size=size("mbart") + 8, **SIZES),
     [("translation", TEXTS, dict(SHORT, src_lang="en_XX", tgt_lang="ro_RO")), ("translation", TEXTS, dict(max_new_tokens=5, num_beams=3, src_lang="de_DE", tgt_lang="fr_XX"))])
for name in ("nllb", "nllb-legacy"):
    case("text2text-" + name, name, T.M2M100ForConditionalGeneration, T.M2M100Config(vocab_size=size(name), **SIZES),
         [("translation", TEXTS, dict(SHORT, src_lang="eng_Latn", tgt_lang="deu_Latn")), ("translation", TEXTS, dict(max_new_tokens=5, num_beams=3, src_lang="fra_Latn", tgt_lang="zho_Hans"))])
