#!/usr/bin/env python3
"""Random golden cases of the pipelines that generate text, in the form of shared/golden: text-generation (prompts and conversations; transformers 5.23.0), text2text-generation, summarization and
translation (transformers 4.57.3, run with its python), over the models and parameters of generation_fuzz.py. A case is TASK/FAMILY-SEED; what the reference refuses is left out.
usage: generation_pipelines_fuzz.py OUT_FOLDER TOKENIZERS FAMILY|all FIRST_SEED COUNT      then check.py --bin conformance/one_jvm.py"""
import json, random, shutil, sys
from pathlib import Path
import torch
import transformers as T
import generation_fuzz as G

TEXTS = ["The quick brown fox", "Das Haus ist wunderbar", " She sells sea shells by the sea shore; all happy families are alike.", "", "a", "日本語 and é 😀", "line\n\nbreak ", "Call me Ishmael . It 's , you know ?",
         "Hello  World\t!", "<s>x</s>", ">>de<< The quick fox"]
CHATS = ["{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
         "{% if tools %}{{ tools|tojson }}{% endif %}{% for m in messages %}{{ '[INST] ' + m['content'] + ' [/INST]' if m['role'] == 'user' else ' ' + m['content'] + ' ' }}{% endfor %}{% for d in documents or [] %}{{ d.title }}{% endfor %}"]
OLD = T.__version__[0] == "4"


def chat(r):
    ms = [dict(role="system", content=r.choice(TEXTS))] if r.random() < 0.3 else []
    for i in range(r.choice([1, 2, 3])):
        ms.append(dict(role="user" if i % 2 == 0 else "assistant", content=r.choice(TEXTS)))
    return ms


def generation_arguments(r, v, eos, both):
    kw = G.drawn(r, v, eos, both)
    for k in ("stop_strings", "output_scores", "output_logits", "return_dict_in_generate", "decoder_start_token_id"):
        kw.pop(k, None)
    if "max_length" in kw and r.random() < 0.5:
        kw["max_new_tokens"] = kw.pop("max_length")
    return kw


def text_generation(r, tok, v, eos, m):
    kw = generation_arguments(r, v, eos, False)
    inputs = [r.choice(TEXTS) for _ in range(2)]
    chats = r.random() < 0.4
    if chats:
        (m / "chat_template.jinja").write_text(r.choice(CHATS))
        inputs = [chat(r) for _ in range(2)]
        if r.random() < 0.3:
            kw["continue_final_message"] = r.random() < 0.5
        if r.random() < 0.3:
            kw["tools"] = [dict(type="function", function=dict(name="f", description="d é", parameters=dict(type="object", properties={})))]
        if r.random() < 0.3:
            kw["documents"] = [dict(title="T", text="x")]
        if r.random() < 0.2:
            kw["add_special_tokens"] = True
    elif r.random() < 0.3:
        kw["prefix"] = r.choice(["pre ", "The "])
    c = r.random()
    if c < 0.3:
        kw["return_full_text"] = r.random() < 0.3
    elif c < 0.4:
        kw["return_tensors"] = True
    elif c < 0.45:
        kw["return_text"] = True
    if not chats and r.random() < 0.2:
        kw["add_special_tokens"] = r.random() < 0.5
    if r.random() < 0.2:
        kw["clean_up_tokenization_spaces"] = r.random() < 0.7
    if r.random() < 0.2:
        kw["skip_special_tokens"] = r.random() < 0.5
    if r.random() < 0.15:
        kw["handle_long_generation"] = "hole"
    if not chats and r.random() < 0.15:
        kw["tokenizer_encode_kwargs"] = r.choice([dict(truncation=True, max_length=4), dict(add_special_tokens=False)])
    if not chats and r.random() < 0.1:
        kw |= dict(truncation=True)
    if r.random() < 0.15:
        kw["stop_sequence"] = r.choice(["e", "o", ["a", "zz"], "th"])
    return "text-generation", inputs, kw


def text2text(r, tok, v, eos, m, family):
    kw = generation_arguments(r, v, eos, True)
    task = r.choice(["text2text-generation", "summarization", "translation"])
    inputs = [r.choice(TEXTS) for _ in range(3)]
    if r.random() < 0.4:
        c = json.loads((m / "config.json").read_text())
        c["task_specific_params"] = {"summarization": dict(prefix="summarize: ", max_length=9, min_length=3, num_beams=2, length_penalty=2.0, no_repeat_ngram_size=2, early_stopping=True),
                                     "translation_en_to_de": dict(prefix="translate English to German: ", max_length=8, num_beams=2), "translation_en_to_fr": dict(prefix="translate English to French: ", max_length=6)}
        if r.random() < 0.3:
            c["prefix"] = "pre: "
        (m / "config.json").write_text(json.dumps(c))
        if task == "translation" and r.random() < 0.7:
            task = r.choice(["translation_en_to_de", "translation_en_to_fr", "translation_en_to_ro"])
    if task.startswith("translation") and family == "mbart":
        kw |= dict(src_lang=r.choice(["en_XX", "de_DE"]), tgt_lang=r.choice(["ro_RO", "fr_XX"]))
    if task.startswith("translation") and family == "m2m_100":
        names = [x for x in tok.lang_code_to_id] if hasattr(tok, "lang_code_to_id") else ["eng_Latn", "deu_Latn", "fra_Latn"]
        kw |= dict(src_lang=r.choice(names), tgt_lang=r.choice(names))
    c = r.random()
    if c < 0.15:
        kw["return_tensors"] = True
    if r.random() < 0.2:
        kw["clean_up_tokenization_spaces"] = r.random() < 0.7
    if r.random() < 0.15:
        kw["truncation"] = True
    if r.random() < 0.1 and not task.startswith("trans"):
        kw["stop_sequence"] = r.choice(["e", "th"])
    return task, inputs, kw


def plain(x):
    if torch.is_tensor(x):
        return x.tolist()
    return {k: plain(v) for k, v in x.items()} if isinstance(x, dict) else [plain(v) for v in x] if isinstance(x, list) else x


def case(family, seed):
    r = random.Random(f"pipeline-{family}-{seed}")
    d = G.ROOT / "pipeline" / f"{family}-{seed}"
    shutil.rmtree(d, ignore_errors=True)
    tok, v, pad, eos, gc = G.checkpoint(r, d / "model", family, seed)
    both = family in ("t5", "mt5", "bart", "mbart", "pegasus", "marian", "m2m_100")
    task, inputs, kw = text2text(r, tok, v, eos, d / "model", family) if both else text_generation(r, tok, v, eos, d / "model")
    try:
        p = T.pipeline(task, model=str(d / "model"), device="cpu")
        call = {k: x for k, x in kw.items() if k != "seed"}
        torch.manual_seed(kw.get("seed", 0))
        out = [p(x, **call) for x in inputs]  # one by one: torch's DataLoader would draw from the generator too
        out = [o[0] if both and kw.get("num_return_sequences", 1) == 1 else o for o in out]
    except Exception as e:
        print(f"{family}-{seed} {task} {kw}: {type(e).__name__}: {str(e).splitlines()[0][:150] if str(e) else ''}")
        shutil.rmtree(d)
        return 0
    if "seed" not in kw and (kw.get("do_sample") is not False if not both else p.model.generation_config.do_sample):
        shutil.rmtree(d)
        return 0
    (d / "case.json").write_text(json.dumps(dict(family=family, architecture=task, what=f"{json.dumps(kw, ensure_ascii=False)} generation_config.json {gc}",
                                                 pipeline=dict(task=task, inputs=inputs, kwargs=kw, expected=plain(out))), ensure_ascii=False) + "\n", encoding="utf-8")
    return 1


if __name__ == "__main__":
    made = 0
    for family in G.FAMILIES if sys.argv[3] == "all" else sys.argv[3].split(","):
        if (family in ("t5", "mt5", "bart", "mbart", "pegasus", "marian", "m2m_100")) == OLD:
            made += sum(case(family, s) for s in range(int(sys.argv[4]), int(sys.argv[4]) + int(sys.argv[5])))
    print(made, "cases")
