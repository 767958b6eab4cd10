#!/usr/bin/env python3
"""Small golden cases of ModernBERT and DeBERTa-v2 in the form of shared/golden, for what those leave out: every head with its loss, configurations as transformers 4 wrote them,
biases, windows, pooling kinds, untied and sparse masked-word heads; DeBERTa's convolution, separate keys, each kind of position term, long texts over log buckets, absolute
positions and segments, factorised embeddings, both masked-word heads. Made with transformers 5.23.0, torch 2.10.0.
usage: encoder_variants.py OUT_FOLDER [START_OF_NAME]       (core/src/test/resources/encoders)"""
import json, shutil, sys
from pathlib import Path
import torch
import transformers as T
from safetensors.torch import save_file

V = 53
ROOT = Path(sys.argv[1])
ONLY = sys.argv[2] if len(sys.argv) > 2 else ""


def batch(length=11, left=False, seed=0, rows=2):
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, V, (rows, length), generator=g)
    mask = torch.ones_like(ids)
    cut = slice(0, 3) if left else slice(length - 3, length)
    ids[1, cut] = 0
    mask[1, cut] = 0
    return dict(input_ids=ids, attention_mask=mask)


def choices(seed=0, left=False):
    b = [batch(7, left, seed + i) for i in range(3)]
    return {k: torch.stack([x[k] for x in b], 1) for k in b[0]}


def words(b, seed=1):
    g = torch.Generator().manual_seed(seed)
    labels = b["input_ids"].clone()
    labels[torch.rand(labels.shape, generator=g) > 0.4] = -100
    labels[b["attention_mask"] == 0] = -100
    return dict(b, labels=labels)


def tags(b, n):
    labels = b["input_ids"] % n
    labels[b["attention_mask"] == 0] = -100
    return dict(b, labels=labels)


def case(name, cls, config, inputs, edit=None, ignore=True, attentions=True, hidden=True):
    if not name.startswith(ONLY):
        return
    torch.manual_seed(len(name) * 7 + 3)
    config._attn_implementation = "eager"
    model = cls(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * (0.25 if p.dim() > 1 else 0.1) + (1.0 if p.dim() == 1 and p.mean() > 0.5 else 0.0))
    d = ROOT / name
    shutil.rmtree(d, ignore_errors=True)
    (d / "model").mkdir(parents=True)
    model.save_pretrained(d / "model")
    f = d / "model/config.json"
    if edit:
        c = json.loads(f.read_text())
        edit(c)
        f.write_text(json.dumps(c, indent=1) + "\n")
    model = cls.from_pretrained(d / "model", dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=hidden, output_attentions=attentions)
    flat = {}
    for k, v in out.items():
        if torch.is_tensor(v):
            flat[k] = v.contiguous().clone()
        elif isinstance(v, tuple) and torch.is_tensor(v[0]):
            flat.update({f"{k}.{i}": t.contiguous().clone() for i, t in enumerate(v)})
    save_file({k: v.contiguous() for k, v in inputs.items()}, d / "inputs.safetensors")
    save_file(flat, d / "outputs.safetensors")
    info = dict(family=config.model_type, architecture=cls.__name__)
    info["forward"] = dict(atol=2e-5, rtol=2e-4, ignore_padding=ignore, output_hidden_states=hidden, output_attentions=attentions)
    (d / "case.json").write_text(json.dumps(info) + "\n")
    print(name, sum(p.stat().st_size for p in d.rglob("*") if p.is_file()) // 1024, "KB")


# === ModernBERT ===

def modern(**kw):
    return T.ModernBertConfig(**(dict(vocab_size=V, hidden_size=16, intermediate_size=20, num_hidden_layers=4, num_attention_heads=2, max_position_embeddings=48, local_attention=5,
                                      pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2) | kw))


def old_names(c):  # as transformers 4 wrote it, and as answerdotai's checkpoints are
    del c["layer_types"], c["rope_parameters"]
    c.update(global_attn_every_n_layers=3, global_rope_theta=160000.0, local_rope_theta=500.0)


def null_local(c):  # local_rope_theta null: the default
    old_names(c)
    c["local_rope_theta"] = 10000.0
    c["rope_scaling"] = {"rope_type": "linear", "factor": 2.0}


positions = torch.tensor([[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], [0, 2, 4, 6, 8, 10, 12, 14, 0, 0, 0]])
case("modernbert-old-names", T.ModernBertModel, modern(), batch(), old_names)
case("modernbert-old-rope-scaling", T.ModernBertModel, modern(), batch(), null_local, attentions=False)
case("modernbert-biases-positions", T.ModernBertModel, modern(norm_bias=True, attention_bias=True, mlp_bias=True, hidden_activation="silu", norm_eps=1e-3), dict(batch(left=True), position_ids=positions))
case("modernbert-unmasked-embeds", T.ModernBertModel, modern(layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"]),
     dict(inputs_embeds=torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(5))), attentions=False)
case("modernbert-mlm-untied", T.ModernBertForMaskedLM, modern(tie_word_embeddings=False, decoder_bias=False, classifier_bias=True, classifier_activation="relu"), words(batch()), attentions=False)
case("modernbert-mlm-sparse", T.ModernBertForMaskedLM, modern(sparse_prediction=True), words(batch()), attentions=False, hidden=False, ignore=False)
case("modernbert-classification-mean", T.ModernBertForSequenceClassification, modern(classifier_pooling="mean", num_labels=3), dict(batch(left=True), labels=torch.tensor([2, 0])), attentions=False)
case("modernbert-classification-cls", T.ModernBertForSequenceClassification, modern(num_labels=1), dict(batch(), labels=torch.tensor([0.3, -1.0])), attentions=False)
case("modernbert-token-classification", T.ModernBertForTokenClassification, modern(num_labels=4), tags(batch(), 4), attentions=False)
case("modernbert-question-answering", T.ModernBertForQuestionAnswering, modern(), dict(batch(), start_positions=torch.tensor([2, 40]), end_positions=torch.tensor([5, 3])), attentions=False)
case("modernbert-multiple-choice", T.ModernBertForMultipleChoice, modern(), dict(choices(left=True), labels=torch.tensor([2, 0])), attentions=False, hidden=False, ignore=False)
case("modernbert-multiple-choice-mean", T.ModernBertForMultipleChoice, modern(classifier_pooling="mean"), dict(choices(3), labels=torch.tensor([1, 0])), attentions=False, hidden=False, ignore=False)

# === DeBERTa-v2 ===

def deberta(**kw):
    return T.DebertaV2Config(**(dict(vocab_size=V, hidden_size=16, intermediate_size=20, num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=48, relative_attention=True,
                                     position_buckets=6, norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type="p2c|c2p", position_biased_input=False, hidden_dropout_prob=0.0,
                                     attention_probs_dropout_prob=0.0) | kw))


segments = dict(token_type_ids=torch.tensor([[0] * 5 + [1] * 6] * 2))
case("deberta-v2-convolution", T.DebertaV2Model, deberta(conv_kernel_size=3, conv_act="gelu"), batch())
case("deberta-v2-convolution-groups", T.DebertaV2Model, deberta(conv_kernel_size=5, conv_groups=2), batch(left=True), attentions=False)
case("deberta-v2-separate-keys", T.DebertaV2Model, deberta(share_att_key=False), batch())
case("deberta-v2-c2p", T.DebertaV2Model, deberta(share_att_key=False, pos_att_type=["c2p"], norm_rel_ebd="none"), batch(), attentions=False)
case("deberta-v2-p2c-no-buckets", T.DebertaV2Model, deberta(pos_att_type=["p2c"], position_buckets=-1, max_relative_positions=7), batch(), attentions=False)
case("deberta-v2-long", T.DebertaV2Model, deberta(position_buckets=8, num_hidden_layers=1), batch(44), attentions=False)
case("deberta-v2-absolute", T.DebertaV2Model, deberta(relative_attention=False, position_biased_input=True, pos_att_type=None, type_vocab_size=2), dict(batch(), position_ids=positions, **segments))
case("deberta-v2-embedding-size", T.DebertaV2Model, deberta(embedding_size=8, type_vocab_size=2, position_biased_input=True), dict(batch(), **segments), attentions=False)
case("deberta-v2-unmasked-embeds", T.DebertaV2Model, deberta(), dict(inputs_embeds=torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(5))), attentions=False)
case("deberta-v2-mlm-legacy", T.DebertaV2ForMaskedLM, deberta(embedding_size=8), words(batch()), attentions=False)
case("deberta-v2-mlm-legacy-untied", T.DebertaV2ForMaskedLM, deberta(tie_word_embeddings=False), words(batch()), attentions=False)
case("deberta-v2-mlm-new", T.DebertaV2ForMaskedLM, deberta(legacy=False), words(batch()), attentions=False)
case("deberta-v2-classification-soft", T.DebertaV2ForSequenceClassification, deberta(num_labels=3, pooler_hidden_act="tanh"), dict(batch(), labels=torch.tensor([[0.2, 0.5, 0.3], [1.0, 0, 0]])), attentions=False)
case("deberta-v2-classification-partial", T.DebertaV2ForSequenceClassification, deberta(num_labels=3), dict(batch(), labels=torch.tensor([2, -1])), attentions=False)
case("deberta-v2-regression", T.DebertaV2ForSequenceClassification, deberta(num_labels=1), dict(batch(), labels=torch.tensor([0.3, -1.0])), attentions=False)
case("deberta-v2-multi-label", T.DebertaV2ForSequenceClassification, deberta(num_labels=3, problem_type="multi_label_classification"), dict(batch(), labels=torch.tensor([[1.0, 0, 1], [0, 1, 0]])),
     attentions=False)
case("deberta-v2-token-classification", T.DebertaV2ForTokenClassification, deberta(num_labels=4), tags(batch(), 4), attentions=False)
case("deberta-v2-question-answering", T.DebertaV2ForQuestionAnswering, deberta(), dict(batch(), start_positions=torch.tensor([2, 40]), end_positions=torch.tensor([5, 3])), attentions=False)
case("deberta-v2-multiple-choice", T.DebertaV2ForMultipleChoice, deberta(), dict(choices(), labels=torch.tensor([2, 0])), attentions=False, hidden=False, ignore=False)
