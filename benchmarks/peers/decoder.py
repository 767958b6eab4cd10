"""Peer of DecoderBenchmark: greedy text of a decoder by transformers, CTranslate2 or llama.cpp.

gguf FOLDER PRECISION: writes FOLDER/model-PRECISION.gguf for llama.cpp.
make gpt2|t5 FOLDER: writes a GPT-2 of the published 124M shape, or a T5-small, with random weights (seed 0).
transformers in int8 is torch's dynamic quantization, done by hand; torchao, quanto and bitsandbytes are what transformers itself offers (quantization_config).
PEER FOLDER PRECISION THREADS: answers lines "generate N BEAMS;id id ...;id id ..." with "seconds;id id ...;id id ...". PEER_DEVICE=cuda: transformers on the GPU.
"""
import json, os, sys, time

if sys.argv[1] == "make":
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration
    torch.manual_seed(0)
    shape, folder = sys.argv[2:4]
    if shape == "gpt2":
        model = GPT2LMHeadModel(GPT2Config())
    else:  # t5-small
        model = T5ForConditionalGeneration(T5Config(decoder_start_token_id=0))
    with torch.no_grad():  # larger than new weights are, so that the best token is clear and peers agree on it
        for p in model.parameters():
            if p.dim() == 2 and shape == "gpt2":
                p.mul_(3)
    model.save_pretrained(folder)
    # CTranslate2's converter asks for a tokenizer; only the number of entries matters
    n = model.config.vocab_size
    unknown, end = ("<|endoftext|>", "<|endoftext|>") if shape == "gpt2" else ("<unk>", "</s>")
    vocab = {f"t{i}": i for i in range(n)}
    if shape == "gpt2":
        del vocab["t50256"]
        vocab[end] = 50256
    else:
        for i, word in enumerate(["<pad>", "</s>", "<unk>"]):
            del vocab[f"t{i}"]
            vocab[word] = i
    json.dump({"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": vocab, "unk_token": unknown}},
              open(folder + "/tokenizer.json", "w"))
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": unknown, "bos_token": end, "eos_token": end, "pad_token": end},
              open(folder + "/tokenizer_config.json", "w"))
    sys.exit()

if sys.argv[1] == "gguf":  # gguf FOLDER PRECISION: the GPT-2 of FOLDER as llama.cpp reads it (pip install gguf llama-cpp-python)
    import gguf
    from gguf import GGMLQuantizationType as Type
    from safetensors.numpy import load_file
    folder, precision = sys.argv[2:4]
    c = json.load(open(folder + "/config.json"))
    out = gguf.GGUFWriter(f"{folder}/model-{precision}.gguf", "gpt2")
    out.add_context_length(c["n_positions"])
    out.add_embedding_length(c["n_embd"])
    out.add_block_count(c["n_layer"])
    out.add_feed_forward_length(4 * c["n_embd"])
    out.add_head_count(c["n_head"])
    out.add_layer_norm_eps(c["layer_norm_epsilon"])
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list([f"t{i}" for i in range(c["vocab_size"])])
    out.add_token_merges(["t 0"])
    out.add_bos_token_id(50256)
    out.add_eos_token_id(50256)
    # 4 bits as Headstart's own files have them: the table, which is the output layer too, in 8
    types = {"fp32": (Type.F32, Type.F32), "bf16": (Type.BF16, Type.BF16), "int8": (Type.Q8_0, Type.Q8_0), "int4": (Type.Q4_0, Type.Q8_0)}
    layer, table = types[precision]
    names = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
             "mlp.c_proj": "ffn_down"}
    weights = load_file(folder + "/model.safetensors")
    for name, t in weights.items():
        part = name.removeprefix("transformer.").split(".")
        kind = Type.F32
        if part[0] == "h":
            ours = f"blk.{part[1]}.{names['.'.join(part[2:-1])]}.{part[-1]}"
            if t.ndim == 2:
                t, kind = t.T.copy(), layer
        else:
            ours = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}[part[0]] + "." + part[-1]
            kind = table if part[0] == "wte" else kind
        t = t if kind == Type.F32 else gguf.quants.quantize(t, kind)
        out.add_tensor(ours, t, raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    sys.exit()

peer, folder, precision, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
seq2seq = json.load(open(folder + "/config.json")).get("is_encoder_decoder", False)

if peer in ("transformers", "torchao", "quanto", "bitsandbytes"):
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    torch.set_num_threads(threads)
    device = os.environ.get("PEER_DEVICE", "cpu")
    kind = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    options = {}
    if peer != "transformers":
        import transformers
        if peer == "torchao":
            from torchao.quantization import Int8DynamicActivationInt8WeightConfig
            config = transformers.TorchAoConfig(Int8DynamicActivationInt8WeightConfig())
        elif peer == "quanto":
            config = transformers.QuantoConfig(weights="int8")
        else:
            config = transformers.BitsAndBytesConfig(load_in_8bit=True)
        options = {"quantization_config": config, "device_map": device}
    model = kind.from_pretrained(folder, dtype=torch.bfloat16 if precision == "bf16" else torch.float32, **options).eval()
    model = model if options else model.to(device)
    if precision == "int8" and not options:
        from transformers.pytorch_utils import Conv1D
        for parent in list(model.modules()):  # torch's dynamic int8 knows nn.Linear alone
            for name, layer in list(parent.named_children()):
                if isinstance(layer, Conv1D):
                    linear = torch.nn.Linear(layer.weight.shape[0], layer.weight.shape[1])
                    linear.weight, linear.bias = torch.nn.Parameter(layer.weight.t().contiguous()), layer.bias
                    setattr(parent, name, linear)
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

    def generate(rows, n, beams):
        with torch.inference_mode():
            x = torch.tensor(rows, device=device)
            out = model.generate(x, attention_mask=torch.ones_like(x), max_new_tokens=n, min_new_tokens=n, num_beams=beams, do_sample=False,
                                 pad_token_id=0)
        return out[:, 1 if seq2seq else x.shape[1]:].tolist()
elif peer == "ctranslate2":
    import ctranslate2
    types = {"fp32": "float32", "bf16": "bfloat16", "int8": "int8"}
    stored = folder + "-ct2"
    if not os.path.exists(stored + "/model.bin"):
        ctranslate2.converters.TransformersConverter(folder).convert(stored, force=True)
    kind = ctranslate2.Translator if seq2seq else ctranslate2.Generator
    model = kind(stored, device="cpu", compute_type=types[precision], inter_threads=1, intra_threads=threads)

    def generate(rows, n, beams):
        texts = [[f"t{i}" for i in ids] for ids in rows]
        if seq2seq:
            result = model.translate_batch(texts, max_decoding_length=n, min_decoding_length=n, beam_size=beams)
            return [[int(t[1:]) if t[0] == "t" else 0 for t in r.hypotheses[0]] for r in result]
        result = model.generate_batch(texts, max_length=n, min_length=n, beam_size=beams, include_prompt_in_result=False)
        return [r.sequences_ids[0] for r in result]
else:
    from llama_cpp import Llama
    model = Llama(model_path=f"{folder}/model-{precision}.gguf", n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False)

    def generate(rows, n, beams):
        model.reset()
        out = []
        for token in model.generate(rows[0], temp=0.0, repeat_penalty=1.0):
            out.append(token)
            if len(out) == n:
                return [out]

print("ready", flush=True)
for line in sys.stdin:
    head, *rows = line.strip().split(";")
    _, n, beams = head.split()
    rows = [[int(w) for w in r.split()] for r in rows]
    t = time.perf_counter()
    out = generate(rows, int(n), int(beams))
    print(time.perf_counter() - t, *[" ".join(map(str, r)) for r in out], sep=";", flush=True)
