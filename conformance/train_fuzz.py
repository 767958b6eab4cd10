#!/usr/bin/env python3
"""Training steps of text models of every family and head, with optimizers, schedules, clipping, decay and adapters (LoRA) as drawn: losses and weights after as torch, transformers and
peft compute them, in the form that check.py --train reads. A case is FAMILY-SEED; what the reference refuses is left out. Each case also runs in float64: what the two runs disagree on,
times 20, is the tolerance; weights whose gradient is noise alone are left out. Made with transformers 5.23.0, torch 2.10.0, peft.
usage: train_fuzz.py OUT_FOLDER FAMILY|all FIRST_SEED COUNT [forward]        then check.py --root OUT_FOLDER --train        (forward: outputs and generated tokens in place of training)
       train_fuzz.py train/src/test/resources/text-train cases deberta-v2-203 gemma3-201 qwen3-202 roberta-208 mt5-204 bert-200 t5-204 m2m_100-202      what the tests keep"""
import json, random, shutil, sys, warnings
from pathlib import Path
import torch
import transformers as T
from safetensors.torch import save_file
from tiny_models import flat, training_case

warnings.filterwarnings("ignore")
T.logging.set_verbosity_error()
T.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
FORWARD = sys.argv[-1] == "forward"
if FORWARD:
    sys.argv.pop()
ROOT = Path(sys.argv[1])
V = 41
BERT = dict(vocab_size=V, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=14, max_position_embeddings=30, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout=0.0)
ENC = ["ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice"]
GPT = dict(vocab_size=V, hidden_size=12, intermediate_size=14, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=40, head_dim=4, attention_dropout=0.0, classifier_dropout=0.0,
           bos_token_id=1, eos_token_id=2, pad_token_id=0, sliding_window=4)
CAUSAL = ["ForCausalLM", "ForCausalLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"]
BART = dict(vocab_size=V, d_model=12, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=14, decoder_ffn_dim=16, max_position_embeddings=30, dropout=0.0,
            attention_dropout=0.0, activation_dropout=0.0, classifier_dropout=0.0)
S2S = ["ForConditionalGeneration", "ForConditionalGeneration", "ForSequenceClassification", "ForQuestionAnswering", "ForCausalLM"]
T5 = dict(vocab_size=V, d_model=12, d_kv=5, d_ff=14, num_layers=2, num_heads=2, relative_attention_num_buckets=8, dropout_rate=0.0, classifier_dropout=0.0, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
FAMILIES = {
    "bert": ("Bert", T.BertConfig, BERT, ENC + ["ForPreTraining", "ForNextSentencePrediction"]),
    "roberta": ("Roberta", T.RobertaConfig, dict(BERT, pad_token_id=1), ENC),
    "xlm-roberta": ("XLMRoberta", T.XLMRobertaConfig, dict(BERT, pad_token_id=1), ENC),
    "distilbert": ("DistilBert", T.DistilBertConfig, dict(vocab_size=V, dim=12, n_layers=2, n_heads=2, hidden_dim=14, max_position_embeddings=30, dropout=0.0, attention_dropout=0.0, qa_dropout=0.0, seq_classif_dropout=0.0), ENC),
    "electra": ("Electra", T.ElectraConfig, dict(BERT, embedding_size=8, summary_last_dropout=0.0), ENC + ["ForPreTraining"]),
    "albert": ("Albert", T.AlbertConfig, dict(BERT, embedding_size=8, classifier_dropout_prob=0.0), ENC + ["ForPreTraining"]),
    "mpnet": ("MPNet", T.MPNetConfig, {k: v for k, v in BERT.items() if k != "classifier_dropout"}, ENC),
    "deberta-v2": ("DebertaV2", T.DebertaV2Config, dict(BERT, relative_attention=True, position_buckets=6, pos_att_type=["p2c", "c2p"], share_att_key=True, norm_rel_ebd="layer_norm", position_biased_input=False, pooler_dropout=0.0,
                                                       type_vocab_size=0), ENC),
    "modernbert": ("ModernBert", T.ModernBertConfig, dict(vocab_size=V, hidden_size=12, intermediate_size=14, num_hidden_layers=3, num_attention_heads=2, local_attention=6, pad_token_id=0, bos_token_id=1, eos_token_id=2,
                                                         cls_token_id=1, sep_token_id=2, attention_dropout=0.0, embedding_dropout=0.0, mlp_dropout=0.0, classifier_dropout=0.0), ENC),
    "gpt2": ("GPT2", T.GPT2Config, dict(vocab_size=V, n_positions=40, n_embd=12, n_layer=2, n_head=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, summary_first_dropout=0.0, classifier_dropout=0.0, bos_token_id=1, eos_token_id=2,
                                       pad_token_id=0), ["LMHeadModel"] * 3 + CAUSAL[2:] + ["DoubleHeadsModel"]),
    "llama": ("Llama", T.LlamaConfig, {k: v for k, v in GPT.items() if k != "sliding_window"}, CAUSAL), "mistral": ("Mistral", T.MistralConfig, GPT, CAUSAL), "qwen2": ("Qwen2", T.Qwen2Config, {k: v for k, v in GPT.items() if k != "head_dim"} | dict(hidden_size=16), CAUSAL),
    "qwen3": ("Qwen3", T.Qwen3Config, GPT, CAUSAL), "gemma2": ("Gemma2", T.Gemma2Config, dict(GPT, query_pre_attn_scalar=5), CAUSAL[:4]), "gemma3": ("Gemma3", T.Gemma3TextConfig, dict(GPT, query_pre_attn_scalar=5), ["ForCausalLM"]),
    "t5": ("T5", T.T5Config, T5, S2S[:4] + ["ForTokenClassification"]), "mt5": ("MT5", T.MT5Config, T5, S2S[:4]), "bart": ("Bart", T.BartConfig, BART, S2S), "mbart": ("MBart", T.MBartConfig, BART, S2S),
    "marian": ("Marian", T.MarianConfig, dict(BART, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, forced_eos_token_id=2), ["MTModel"]),
    "pegasus": ("Pegasus", T.PegasusConfig, dict(BART, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0), S2S[:1]),
    "m2m_100": ("M2M100", T.M2M100Config, dict(BART, decoder_start_token_id=2), S2S[:1]),
}
MORE = {  # what else a configuration of the family may say
    "bert": lambda r: dict(hidden_act=r.choice(["gelu", "relu", "gelu_new"]), tie_word_embeddings=r.random() < 0.8), "roberta": lambda r: dict(tie_word_embeddings=r.random() < 0.8),
    "distilbert": lambda r: dict(sinusoidal_pos_embds=r.random() < 0.3), "electra": lambda r: dict(embedding_size=r.choice([8, 12]), summary_type=r.choice(["first", "last", "mean"])),
    "albert": lambda r: dict(num_hidden_groups=r.choice([1, 2]), inner_group_num=r.choice([1, 2])),
    "deberta-v2": lambda r: dict(share_att_key=r.random() < 0.5, position_biased_input=r.random() < 0.4, pos_att_type=r.choice([["c2p"], ["p2c"], ["c2p", "p2c"]]), type_vocab_size=r.choice([0, 2]), legacy=r.random() < 0.5,
                                 **r.choice([{}, dict(conv_kernel_size=3, conv_act="gelu")]), **r.choice([{}, dict(embedding_size=6)])),
    "modernbert": lambda r: dict(classifier_pooling=r.choice(["cls", "mean"]), norm_bias=r.random() < 0.3, mlp_bias=r.random() < 0.3, attention_bias=r.random() < 0.3, tie_word_embeddings=r.random() < 0.8,
                                 sparse_prediction=r.random() < 0.4, classifier_bias=r.random() < 0.3),
    "gpt2": lambda r: dict(tie_word_embeddings=r.random() < 0.8, scale_attn_by_inverse_layer_idx=r.random() < 0.3, reorder_and_upcast_attn=r.random() < 0.2, scale_attn_weights=r.random() < 0.8, n_inner=r.choice([None, 10])),
    "llama": lambda r: dict(tie_word_embeddings=r.random() < 0.4, attention_bias=r.random() < 0.3, mlp_bias=r.random() < 0.3, num_key_value_heads=r.choice([1, 2, 4])),
    "mistral": lambda r: dict(sliding_window=r.choice([None, 4]), tie_word_embeddings=r.random() < 0.3), "qwen2": lambda r: dict(tie_word_embeddings=r.random() < 0.5), "qwen3": lambda r: dict(tie_word_embeddings=r.random() < 0.5),
    "gemma2": lambda r: dict(tie_word_embeddings=r.random() < 0.8), "gemma3": lambda r: dict(tie_word_embeddings=r.random() < 0.8, sliding_window_pattern=2),
    "t5": lambda r: dict(feed_forward_proj=r.choice(["relu", "gated-gelu"]), tie_word_embeddings=r.random() < 0.6, num_decoder_layers=r.choice([1, 2])), "mt5": lambda r: dict(tie_word_embeddings=r.random() < 0.3),
    "bart": lambda r: dict(scale_embedding=r.random() < 0.4, tie_word_embeddings=r.random() < 0.8), "marian": lambda r: r.choice([{}, dict(share_encoder_decoder_embeddings=False, decoder_vocab_size=33), dict(scale_embedding=True)]),
    "pegasus": lambda r: dict(scale_embedding=r.random() < 0.5), "m2m_100": lambda r: dict(scale_embedding=r.random() < 0.5),
}


def batch_of(r, g, family, head, c):
    b, s, n = r.choice([1, 2, 3]), r.choice([5, 8, 11]), c.get("num_labels", 2)
    shape = (b, 3, s) if head in ("ForMultipleChoice", "DoubleHeadsModel") else (b, s)
    x = dict(input_ids=torch.randint(4, 33, shape, generator=g))
    pad = c.get("pad_token_id", 1 if family in ("bart", "mbart", "m2m_100") else 0)
    mask = torch.arange(s).expand(shape) < torch.randint(s // 2, s + 1, shape[:-1], generator=g)[..., None]
    if r.random() < 0.2 and "Sequence" not in head:
        mask = mask.flip(-1)
    x["input_ids"][~mask] = pad
    if family in ("bart", "mbart", "t5", "mt5") and head == "ForSequenceClassification":  # the state of the one end token counts
        x["input_ids"][torch.arange(b), mask.long().sum(-1) - 1] = c.get("eos_token_id", 2)
    if r.random() < 0.9:
        x["attention_mask"] = mask.long()
    if r.random() < 0.4 and family in ("bert", "electra", "albert"):
        x["token_type_ids"] = (torch.arange(s).expand(shape) > s // 2).long().clone()
    words = lambda: torch.where(mask & (torch.rand(shape, generator=g) < 0.7), torch.randint(4, 33, shape, generator=g), -100)
    if head in ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "ForPreTraining", "DoubleHeadsModel"):
        x["labels"] = words()
        x["labels"][..., 1] = 5
    if head == "ForPreTraining" and family == "electra":
        x["labels"] = torch.randint(0, 2, shape, generator=g)
    elif head == "ForPreTraining":
        x["next_sentence_label" if family == "bert" else "sentence_order_label"] = torch.randint(0, 2, (b,), generator=g)
    if head == "DoubleHeadsModel":
        x |= dict(mc_token_ids=mask.long().sum(-1) - 1, mc_labels=torch.randint(0, 3, (b,), generator=g))
    if head == "ForTokenClassification":
        x["labels"] = torch.where(mask, torch.randint(0, n, shape, generator=g), -100)
    if head == "ForSequenceClassification":
        p = c.get("problem_type")
        x["labels"] = torch.randn((b, n) if n > 1 else (b,), generator=g) if p == "regression" or n == 1 else (torch.rand(b, n, generator=g) > 0.5).float() if p == "multi_label_classification" else torch.randint(0, n, (b,), generator=g)
    if head in ("ForMultipleChoice", "ForNextSentencePrediction"):
        x["labels"] = torch.randint(0, 3 if head == "ForMultipleChoice" else 2, (b,), generator=g)
    if head == "ForQuestionAnswering":
        x |= dict(start_positions=torch.randint(0, s + 2, (b,), generator=g), end_positions=torch.randint(0, s, (b,), generator=g))
    if head in ("ForConditionalGeneration", "MTModel"):
        x["labels"] = torch.randint(4, 33, (b, r.choice([4, 7])), generator=g)
        x["labels"][-1, -1] = -100
    return x


ACTS = ["gelu", "relu", "gelu_new", "silu", "gelu_pytorch_tanh", "quick_gelu", "tanh", "mish", "relu2", "swish", "gelu_fast"]


def forward_case(d, family, head, model, r, g, x, what):
    """The outputs for one batch, with odder inputs than training has, and of heads over words what they generate."""
    d.mkdir(parents=True, exist_ok=True)
    c = model.config
    if r.random() < 0.3:
        x = {k: v for k, v in x.items() if "label" not in k and "positions" not in k}
    s2s = getattr(c, "is_encoder_decoder", False)
    rows, ids = x["input_ids"].shape[0], x["input_ids"]
    width = getattr(c, "hidden_size", None) or getattr(c, "d_model", None) or c.dim
    if s2s and "labels" not in x or s2s and head == "ForQuestionAnswering":
        if r.random() < 0.6 and head in ("ForConditionalGeneration", "MTModel"):
            n = r.choice([1, 3, 6])
            x["decoder_input_ids"] = torch.randint(4, 33, (rows, n), generator=g)
            if r.random() < 0.5:
                x["decoder_attention_mask"] = (torch.arange(n) < torch.randint(1, n + 1, (rows, 1), generator=g)).long()
        elif head in ("ForConditionalGeneration", "MTModel") and family not in ("bart", "mbart"):
            x["labels"] = torch.randint(4, 33, (rows, 4), generator=g)
    if r.random() < 0.15 and head not in ("ForSequenceClassification", "ForMultipleChoice", "DoubleHeadsModel") and not (s2s and head != "ForConditionalGeneration") and family not in ("bart", "mbart", "m2m_100"):
        x = dict(x, inputs_embeds=torch.randn(*ids.shape, getattr(c, "embedding_size", width), generator=g))
        del x["input_ids"]
    hidden, attentions = r.random() < 0.6, r.random() < 0.5
    model.save_pretrained(d / "model")
    info = dict(family=family, architecture=type(model).__name__, what=what, forward=dict(atol=2e-5, rtol=2e-4, output_hidden_states=hidden, output_attentions=attentions), generate=[])
    try:
        model = type(model).from_pretrained(d / "model", attn_implementation="eager").eval()
        with torch.no_grad():
            out = model(**x, output_hidden_states=hidden, output_attentions=attentions)
            if head in ("ForConditionalGeneration", "MTModel", "LMHeadModel", "ForCausalLM") and "input_ids" in x:
                gen = {k: v for k, v in x.items() if k in ("input_ids", "attention_mask")}
                if not s2s and "attention_mask" in gen:  # after padding on the right the reference continues the padding
                    left = torch.argsort(gen["attention_mask"], dim=1, stable=True)
                    gen = {k: v.gather(1, left) for k, v in gen.items()}
                elif not s2s:
                    gen = {"input_ids": gen["input_ids"].clamp(min=4)}
                for _ in range(3):
                    kw = dict(max_new_tokens=r.choice([3, 6, 9]), **r.choice([dict(do_sample=False), dict(do_sample=False, num_beams=2), dict(do_sample=False, num_beams=3, num_return_sequences=2, length_penalty=r.choice([0.5, 2.0])), dict(do_sample=False, repetition_penalty=1.3),
                              dict(do_sample=True, seed=r.randrange(999), top_k=r.choice([0, 5]), temperature=0.8), dict(do_sample=True, seed=r.randrange(999), num_beams=2)]))
                    if "seed" in kw:
                        torch.manual_seed(kw["seed"])
                    y = model.generate(**gen, **{k: v for k, v in kw.items() if k != "seed"})
                    info["generate"].append(dict(kwargs=kw, inputs={k: v.tolist() for k, v in gen.items()}, sequences=y.tolist()))
    except Exception as e:
        shutil.rmtree(d)
        return f"{d}: refused {type(e).__name__}: {str(e)[:150]}"
    save_file({k: v.clone().contiguous() for k, v in x.items()}, d / "inputs.safetensors")
    save_file({k: v.clone().contiguous() for k, v in flat(out).items() if not k.startswith("past_key_values")}, d / "outputs.safetensors")
    (d / "case.json").write_text(json.dumps(info) + "\n")
    return None


def case(family, seed):
    name, config_class, base, heads = FAMILIES[family]
    r = random.Random(f"{family}-{seed}")
    g = torch.Generator().manual_seed(seed)
    head = r.choice(heads)
    c = dict(base, **{})
    c.update(MORE.get(family, lambda r: {})(r))
    if head in ("ForSequenceClassification", "ForTokenClassification"):
        c["num_labels"] = r.choice([1, 3, 3] if family in ("bart", "mbart") else [1, 2, 3]) if "Sequence" in head else 3
        if "Sequence" in head and r.random() < 0.5:
            c["problem_type"] = r.choice(["regression", "multi_label_classification", "single_label_classification"] if c["num_labels"] > 1 else ["regression"])
    if name + head == "MarianMTModel" or hasattr(T, name + head):
        cls = getattr(T, name + head)
    else:
        return f"{family}-{seed}: no {name + head}"
    torch.manual_seed(seed)
    if FORWARD:
        for k in ("hidden_act", "activation", "activation_function", "hidden_activation"):
            if hasattr(config_class(), k) and r.random() < 0.5:
                c[k] = r.choice(ACTS)
        for k in ("layer_norm_eps", "rms_norm_eps", "norm_eps", "layer_norm_epsilon"):
            if hasattr(config_class(), k) and r.random() < 0.3:
                c[k] = r.choice([1e-3, 1e-6])
    config = config_class(**c)
    config._attn_implementation = "eager"
    model = cls(config)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if p.requires_grad:
                p.copy_(torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    if FORWARD:
        return forward_case(ROOT / family / str(seed), family, head, model.eval(), r, g, batch_of(r, g, family, head, c), str(c))
    n = r.randint(2, 5)
    return training_case(ROOT / family / str(seed), family, model, r, [batch_of(r, g, family, head, c) for _ in range(n)], str(c))


if sys.argv[2] == "cases":
    chosen = [(n.rpartition("-")[0], int(n.rpartition("-")[2])) for n in sys.argv[3:]]
else:
    chosen = [(f, s) for f in ([sys.argv[2]] if sys.argv[2] != "all" else FAMILIES) for s in range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[4]))]
made = 0
for family, seed in chosen:
    refused = case(family, seed)
    made += refused is None
    if refused:
        print(refused, flush=True)
print(made, "cases")
