"""Writes a trained model as a directory in the Hugging Face ONNX layout, with checksums and golden answers."""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np

from build import corpus, export_gpt2, export_llama, gpt2, llama, recipes, tokenizer, weights

MODELS = recipes.REPOSITORY / "models"
GOLDEN = MODELS / "build/golden"


def _json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def checksums(folder):
    """`SHA256SUMS` over everything that is loaded (the card is for reading), in the format of `sha256sum`."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    lines = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names if n not in ("SHA256SUMS", "MODEL_CARD.md")]
    (folder / "SHA256SUMS").write_text("".join(lines))


def _write_data(folder, params):
    """Both precisions' data files; returns {int8: (stored, name of the data file)}."""
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    written = {}
    for int8, name in ((False, "model.onnx_data"), (True, "model_int8.onnx_data")):
        stored = weights.pack(params, int8)
        weights.write(folder / "onnx" / name, stored)
        written[int8] = (stored, name)
    return written


def _golden(name, module, cfg, params, prompts, end):
    """What the trained JAX model itself says: greedy tokens, and the logits of the first one."""
    params = {k: jnp.asarray(v) for k, v in params.items()}
    length = 1024 if module is llama else 128

    @jax.jit
    def logits_at(ids, last):
        mask = jnp.tril(jnp.ones((1, length, length), bool))
        return module.forward(params, cfg, ids, jnp.arange(length)[None], mask, xp=jnp)[0][0, last]

    cases = []
    for prompt in prompts:
        ids, first = list(prompt), None
        while len(ids) < length and ids[len(prompt):][-1:] != [end]:
            row = logits_at(jnp.array([ids + [0] * (length - len(ids))]), len(ids) - 1)
            first = np.asarray(row) if first is None else first
            ids.append(int(row.argmax()))
        cases.append({"prompt": list(prompt), "tokens": ids[len(prompt):], "logits": [round(float(v), 4) for v in first[:16]]})
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


def export_chat():
    """`models/relay-chat` from the last training."""
    bpe, params = recipes.load("chat")
    cfg, folder = llama.Config(), MODELS / "relay-chat"
    for int8, (stored, data) in _write_data(folder, params).items():
        suffix = "_int8" if int8 else ""
        export_llama.export(stored, cfg, folder / f"onnx/model{suffix}.onnx", data, int8, plain=False)
        export_llama.export(stored, cfg, folder / f"onnx/model_plain{suffix}.onnx", data, int8, plain=True)
    pad, end = bpe.token_to_id(tokenizer.PAD), bpe.token_to_id(tokenizer.END)
    _json(folder / "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": cfg.vocab_size, "hidden_size": cfg.hidden,
        "intermediate_size": cfg.ffn, "num_hidden_layers": cfg.layers, "num_attention_heads": cfg.heads,
        "num_key_value_heads": cfg.kv_heads, "head_dim": cfg.head_dim, "max_position_embeddings": cfg.context,
        "rope_theta": cfg.rope_theta, "rope_scaling": None, "rms_norm_eps": cfg.eps, "hidden_act": "silu", "attention_bias": False,
        "mlp_bias": False, "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": end, "pad_token_id": pad,
        "torch_dtype": "float32", "use_cache": True})
    _json(folder / "generation_config.json", {"eos_token_id": end, "pad_token_id": pad, "do_sample": False, "max_length": cfg.context})
    _json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": cfg.context, "bos_token": None, "eos_token": tokenizer.END,
        "pad_token": tokenizer.PAD, "padding_side": "right", "clean_up_tokenization_spaces": False,
        "chat_template": tokenizer.CHAT_TEMPLATE})
    (folder / "chat_template.jinja").write_text(tokenizer.CHAT_TEMPLATE)
    bpe.save(str(folder / "tokenizer.json"))
    checksums(folder)
    cases = corpus.examination(11, 10, False) + corpus.examination(12, 10, True) + corpus.long_examination(13, 2)
    _golden("chat", llama, cfg, params, [bpe.encode(tokenizer.render(c["messages"])).ids for c in cases], end)


def export_gpt2_shaped():
    """`models/relay-gpt2` from the last training."""
    bpe, params = recipes.load("gpt2")
    cfg, folder = gpt2.Config(), MODELS / "relay-gpt2"
    for int8, (stored, data) in _write_data(folder, params).items():
        export_gpt2.export(stored, cfg, folder / f"onnx/model{'_int8' if int8 else ''}.onnx", data, int8)
    end = bpe.token_to_id(tokenizer.END_OF_TEXT)
    _json(folder / "config.json", {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": cfg.vocab_size, "n_embd": cfg.hidden,
        "n_layer": cfg.layers, "n_head": cfg.heads, "n_positions": cfg.context, "n_ctx": cfg.context, "n_inner": None,
        "activation_function": "gelu_new", "layer_norm_epsilon": cfg.eps, "tie_word_embeddings": True,
        "bos_token_id": end, "eos_token_id": end, "torch_dtype": "float32", "use_cache": True})
    _json(folder / "generation_config.json", {"bos_token_id": end, "eos_token_id": end, "do_sample": False, "max_length": cfg.context})
    _json(folder / "tokenizer_config.json", {
        "tokenizer_class": "GPT2TokenizerFast", "model_max_length": cfg.context, "bos_token": tokenizer.END_OF_TEXT,
        "eos_token": tokenizer.END_OF_TEXT, "unk_token": tokenizer.END_OF_TEXT, "add_prefix_space": False})
    bpe.save(str(folder / "tokenizer.json"))
    checksums(folder)
    cases = [c for c in corpus.examination(21, 20, False) if len(c["messages"]) == 1][:8]
    _golden("gpt2", gpt2, cfg, params, [bpe.encode(f"Question: {c['messages'][-1]['content']}\nAnswer:").ids for c in cases], end)
