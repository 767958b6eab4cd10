#!/usr/bin/env python3
"""Goldens of text generation, made with transformers 5.23.0 and torch 2.10.0: every logits processor through the model's own
_get_logits_processor, and whole generations of a toy model whose logits are a table lookup (last token, token before it).
usage: generation.py OUT_FOLDER        (core/src/test/resources/generation)"""
import json, sys
from pathlib import Path
import torch
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import CausalLMOutput

V = 23


class ToyConfig(PreTrainedConfig):
    model_type = "toy"

    def __init__(self, vocab_size=V, **kw):
        self.vocab_size = vocab_size
        super().__init__(**kw)


class Toy(PreTrainedModel, GenerationMixin):
    config_class = ToyConfig

    def __init__(self, config):
        super().__init__(config)
        g = torch.Generator().manual_seed(5)
        self.last = torch.nn.Parameter(torch.randn(V, V, generator=g) * 2)
        self.before = torch.nn.Parameter(torch.randn(V, V, generator=g))
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids=None, attention_mask=None, **kw):
        mask = attention_mask if attention_mask is not None else torch.ones_like(input_ids)
        before = torch.cat([torch.zeros_like(input_ids[:, :1]), input_ids[:, :-1]], 1)
        seen = torch.cat([torch.zeros_like(mask[:, :1]), mask[:, :-1]], 1)
        logits = self.last[input_ids] + self.before[before] * seen[:, :, None]
        return CausalLMOutput(logits=logits)


def toy():
    m = Toy(ToyConfig()).eval()
    m.generation_config = GenerationConfig()
    return m


def processors(m):
    g = torch.Generator().manual_seed(9)
    ids = torch.randint(0, V, (2, 9), generator=g)
    ids[1, :2] = 0
    mask = torch.ones_like(ids)
    mask[1, :2] = 0
    ids[0, 3:5] = ids[0, 7:9]
    scores = torch.randn(2, V, generator=g) * 2
    bad = [[int(ids[0, 8]), 4], [7], [2]]
    variants = [
        {"repetition_penalty": 1.4}, {"encoder_repetition_penalty": 1.7}, {"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 2}, {"no_repeat_ngram_size": 3},
        {"encoder_no_repeat_ngram_size": 2}, {"bad_words_ids": bad}, {"bad_words_ids": bad, "eos_token_id": 2},
        {"sequence_bias": [[[3], 1.5], [[int(ids[1, 8]), 11], -2.5], [[int(ids[0, 7]), int(ids[0, 8]), 5], 4.0]]},
        {"min_length": 12, "eos_token_id": [2, 6]}, {"min_length": 9, "eos_token_id": 2}, {"min_new_tokens": 4, "eos_token_id": 2}, {"min_new_tokens": 3, "eos_token_id": 2},
        {"forced_eos_token_id": 3, "max_length": 10}, {"forced_eos_token_id": [3, 8], "max_length": 10}, {"forced_eos_token_id": 3, "max_length": 11},
        {"remove_invalid_values": True}, {"exponential_decay_length_penalty": [1, 1.3], "eos_token_id": [2, 5]}, {"exponential_decay_length_penalty": [5, 1.3], "eos_token_id": 2},
        {"suppress_tokens": [1, 4, 9]}, {"begin_suppress_tokens": [1, 4]}, {"renormalize_logits": True},
        {"do_sample": True, "temperature": 0.6, "top_k": 0}, {"do_sample": True}, {"do_sample": True, "top_k": 5}, {"do_sample": True, "top_k": 0, "top_p": 0.7},
        {"do_sample": True, "top_k": 0, "min_p": 0.2}, {"do_sample": True, "top_k": 0, "typical_p": 0.6}, {"do_sample": True, "top_k": 0, "epsilon_cutoff": 0.05},
        {"do_sample": True, "top_k": 0, "eta_cutoff": 0.1}, {"do_sample": True, "top_k": 0, "top_h": 0.5},
        {"do_sample": True, "top_k": 1, "num_beams": 3}, {"do_sample": True, "top_k": 1, "num_beams": 3, "eos_token_id": [1, 2, 3]},
        {"do_sample": True, "top_k": 0, "top_p": 0.01, "num_beams": 3, "eos_token_id": 3}, {"do_sample": True, "top_k": 0, "min_p": 0.99, "num_beams": 2},
        {"do_sample": True, "top_k": 0, "typical_p": 0.01, "num_beams": 2}, {"do_sample": True, "top_k": 0, "epsilon_cutoff": 0.9, "num_beams": 2},
        {"do_sample": True, "top_k": 0, "eta_cutoff": 0.9, "num_beams": 2},
        {"do_sample": True, "temperature": 1.3, "top_h": 0.8, "top_k": 12, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.95, "epsilon_cutoff": 1e-3, "eta_cutoff": 1e-3,
         "repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "bad_words_ids": bad, "suppress_tokens": [1], "renormalize_logits": True},
    ]
    out = []
    for v in variants:
        c = GenerationConfig(**{k: val for k, val in v.items()})
        c.update(**{**GenerationConfig._get_default_generation_params()}, defaults_only=True)
        m._prepare_special_tokens(c, True, device="cpu", batch_size=2)
        if c.max_length == 20:
            c.max_length = 40
        prompt = 6
        if c.min_new_tokens is not None:
            c.min_length = c.min_new_tokens + prompt
        s = scores.clone()
        if v.get("remove_invalid_values"):
            s[0, 3], s[0, 4], s[1, 5] = float("nan"), float("inf"), float("-inf")
        length = 6 if "begin_suppress_tokens" in v else 9
        p = m._get_logits_processor(c, prompt, encoder_input_ids=ids[:, :prompt], device="cpu", model_kwargs={"attention_mask": mask[:, :prompt]})
        r = p(ids[:, :length], s)
        out.append(dict(config=v, max_length=c.max_length, prompt=prompt, length=length, padding=[0, 2], ids=ids.tolist(), scores=texts(s), expected=texts(r)))
    return out


def texts(t):
    """floats as strings: JSON has no infinities"""
    return [[repr(float(x)) for x in row] for row in t]


def generations(m):
    prompts = torch.tensor([[0, 0, 4, 7], [3, 9, 11, 2]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    cases = [
        {"max_new_tokens": 8}, {"max_new_tokens": 12, "eos_token_id": 6, "pad_token_id": 0}, {"max_length": 9, "eos_token_id": [6, 13]}, {},
        {"max_new_tokens": 10, "repetition_penalty": 1.5}, {"max_new_tokens": 10, "no_repeat_ngram_size": 2, "min_new_tokens": 5, "eos_token_id": 6},
        {"max_new_tokens": 10, "do_sample": True, "seed": 3}, {"max_new_tokens": 12, "do_sample": True, "seed": 4, "eos_token_id": [6, 1, 17], "pad_token_id": 0},
        {"max_new_tokens": 10, "do_sample": True, "seed": 5, "num_return_sequences": 3, "top_p": 0.9}, {"max_new_tokens": 10, "do_sample": True, "seed": 6, "min_p": 0.05, "typical_p": 0.8, "temperature": 1.5},
        {"max_new_tokens": 14, "do_sample": True, "seed": 8, "num_return_sequences": 4, "eos_token_id": [6, 1, 2, 3, 17], "pad_token_id": 0, "top_k": 0},
        {"max_new_tokens": 10, "num_beams": 3}, {"max_new_tokens": 10, "num_beams": 4, "num_return_sequences": 4, "eos_token_id": [6, 13], "pad_token_id": 1},
    ]
    for early in (True, False, "never"):
        for penalty in (0.0, 0.7, 2.0, -1.0):
            cases.append({"max_new_tokens": 12, "num_beams": 3, "num_return_sequences": 2, "early_stopping": early, "length_penalty": penalty, "eos_token_id": [6, 13, 1], "pad_token_id": 0})
    cases += [
        {"max_new_tokens": 12, "num_beams": 3, "do_sample": True, "seed": 11}, {"max_new_tokens": 12, "num_beams": 3, "do_sample": True, "seed": 12, "temperature": 0.8, "top_k": 6, "eos_token_id": [6, 13], "num_return_sequences": 3},
        {"max_new_tokens": 9, "num_beams": 2, "forced_eos_token_id": 2, "eos_token_id": 2}, {"max_new_tokens": 9, "num_beams": 5, "no_repeat_ngram_size": 2, "bad_words_ids": [[4], [7, 9]]},
        {"max_new_tokens": 9, "exponential_decay_length_penalty": [2, 1.4], "eos_token_id": 6}, {"max_new_tokens": 5, "do_sample": True, "seed": 2**40 + 3, "top_h": 0.6},
    ]
    out = []
    for c in cases:
        kw = {k: v for k, v in c.items() if k != "seed"}
        if "seed" in c:
            torch.manual_seed(c["seed"])
        r = m.generate(prompts, attention_mask=mask, use_cache=False, return_dict_in_generate=True, output_scores=True, **kw)
        case = dict(config=c, prompts=prompts.tolist(), mask=mask.tolist(), sequences=r.sequences.tolist())
        if kw.get("num_beams", 1) > 1:
            case["sequences_scores"] = r.sequences_scores.tolist()
        else:
            case["log_probabilities"] = texts(m.compute_transition_scores(r.sequences, r.scores, normalize_logits=True))
        out.append(case)
    return out


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    m = toy()
    with torch.no_grad():
        golden = dict(vocab=V, last=m.last.flatten().tolist(), before=m.before.flatten().tolist(), processors=processors(m), generations=generations(m))
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
