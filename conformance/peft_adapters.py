"""Adapters written by Python peft, with what it computes: core/src/test/resources/peft. Needs torch, transformers 5.23 and peft.

    python conformance/peft_adapters.py core/src/test/resources/peft [NAME ...]     writes the golden
    python conformance/peft_adapters.py --check FOLDER                    loads FOLDER/{bert,gpt2,llama}/java with peft and compares with expected.safetensors
"""
import sys
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, LlamaConfig,
                          LlamaForCausalLM)

TIED = dict(vocab_size=40, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, max_position_embeddings=24, tie_word_embeddings=True)
CASES = {
    "bert": (BertForSequenceClassification,
             BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                        max_position_embeddings=24, num_labels=3),
             LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=6, target_modules=["query", "value"], use_rslora=True,
                        rank_pattern={"1.attention.self.query": 2})),
    "gpt2": (GPT2LMHeadModel,
             GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=2, n_positions=24, bos_token_id=0, eos_token_id=0),
             LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=5, target_modules=["c_attn", "mlp.c_fc"],
                        fan_in_fan_out=True)),
    "llama": (LlamaForCausalLM,  # over the output layer, whose own weights PEFT then saves too
              LlamaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                          max_position_embeddings=24),
              LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=5, target_modules=["q_proj", "lm_head"])),
    # of two that share a table one is saved whole, or both: each then has a table of its own
    "tied-head": (LlamaForCausalLM, LlamaConfig(**TIED), LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["v_proj"], modules_to_save=["lm_head"])),
    "tied-words": (LlamaForCausalLM, LlamaConfig(**TIED), LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["v_proj"], modules_to_save=["embed_tokens"], exclude_modules=".*0.self.*")),
    "tied-both": (LlamaForCausalLM, LlamaConfig(**TIED), LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["v_proj"], modules_to_save=["embed_tokens", "lm_head"])),
    "tied-kept": (LlamaForCausalLM, LlamaConfig(**TIED), LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["v_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True)),
}


def inputs():
    ids = torch.randint(1, 40, (2, 9), generator=torch.Generator().manual_seed(5))
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def write(root, names):
    for name, (cls, config, lora) in CASES.items():
        if names and name not in names:
            continue
        torch.manual_seed(1)
        folder = root / name
        base = cls(config).eval()
        base.save_pretrained(folder / "base")
        model = get_peft_model(base, lora).eval()
        for n, p in model.named_parameters():
            if "lora_" in n or "modules_to_save" in n:
                p.data.normal_(0, 0.3)
        model.peft_config["default"].base_model_name_or_path = "BASE"
        model.save_pretrained(folder / "adapter")
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        with torch.no_grad():
            out = {"adapted": model(**inputs()).logits}
            out["merged"] = model.merge_and_unload()(**inputs()).logits
            out["base"] = cls.from_pretrained(folder / "base").eval()(**inputs()).logits
        save_file({**inputs(), **{k: v.contiguous() for k, v in out.items()}}, folder / "expected.safetensors")


def check(root, written):
    for name, (cls, config, lora) in CASES.items():
        expected = load_file(root / name / "expected.safetensors")
        model = PeftModel.from_pretrained(cls.from_pretrained(root / name / "base"), written / name / "java").eval()
        with torch.no_grad():
            found = model(**inputs()).logits
        print(name, "largest difference", (found - expected["adapted"]).abs().max().item())
        assert torch.allclose(found, expected["adapted"], atol=1e-5), name


if sys.argv[1] == "--check":
    check(Path("core/src/test/resources/peft"), Path(sys.argv[2]))
else:
    write(Path(sys.argv[1]), sys.argv[2:])
