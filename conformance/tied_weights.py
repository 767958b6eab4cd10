#!/usr/bin/env python3
"""Checkpoints whose config.json ties tables of which the file holds several with different values: transformers 5 does not tie them then (tie_weights). Golden cases in the form of
shared/golden, made with transformers 5.23.0, torch 2.10.0.
usage: tied_weights.py OUT_FOLDER       (core/src/test/resources/tied)"""
import json, shutil, sys
from pathlib import Path
import torch
import transformers as T
from safetensors.torch import load_file, save_file
from tiny_models import flat, randomise

ROOT = Path(sys.argv[1])


def case(name, cls, config, own, **inputs):
    """own: the tables that the file holds beside the one they would be tied to"""
    d = ROOT / name
    shutil.rmtree(d, ignore_errors=True)
    model = cls(config)
    randomise(model, len(name))
    model.save_pretrained(d / "model")
    weights = load_file(d / "model/model.safetensors")
    g = torch.Generator().manual_seed(3)
    weights |= {k: 0.3 * torch.randn(model.state_dict()[k].shape, generator=g) for k in own}
    save_file(weights, d / "model/model.safetensors", metadata={"format": "pt"})
    model = cls.from_pretrained(d / "model", attn_implementation="eager").eval()
    with torch.no_grad():
        out = flat(model(**inputs, use_cache=False) if "Bert" not in cls.__name__ else model(**inputs))
    save_file(inputs, d / "inputs.safetensors")
    save_file({k: v.contiguous().clone() for k, v in out.items()}, d / "outputs.safetensors")
    (d / "case.json").write_text(json.dumps(dict(family=config.model_type, architecture=cls.__name__, forward=dict(atol=2e-5, rtol=2e-4))) + "\n")


ids = torch.randint(4, 20, (2, 6), generator=torch.Generator().manual_seed(1))
small = dict(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
case("llama-head", T.LlamaForCausalLM, T.LlamaConfig(**small, tie_word_embeddings=True), ["lm_head.weight"], input_ids=ids)
case("bert-head-and-bias", T.BertForMaskedLM, T.BertConfig(**small, max_position_embeddings=8), ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"], input_ids=ids)
case("modernbert-head", T.ModernBertForMaskedLM, T.ModernBertConfig(**small, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2), ["decoder.weight"], input_ids=ids)
t5 = dict(vocab_size=20, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
case("t5-encoder-table", T.T5ForConditionalGeneration, T.T5Config(**t5), ["encoder.embed_tokens.weight"], input_ids=ids, labels=ids[:, :4].clone())
bart = dict(vocab_size=20, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=8)
case("bart-decoder-table-and-head", T.BartForConditionalGeneration, T.BartConfig(**bart), ["model.decoder.embed_tokens.weight", "lm_head.weight"], input_ids=ids, labels=ids[:, :4].clone())
