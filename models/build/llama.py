"""The one reference of the Llama-shaped model, for JAX and for NumPy alike.

`xp` is the array module. Training differentiates this very function (`xp=jax.numpy`) and the checker runs it on the
committed weights (`xp=numpy`, no JAX installed): there is no second description that could drift from the first.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Config:
    """Shape of the model; under two million parameters."""
    vocab_size: int = 1536
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 32
    ffn: int = 512
    context: int = 1024
    rope_theta: float = 10_000.0
    eps: float = 1e-5


def init(cfg, seed):
    """Weights by seed, as NumPy arrays; linear weights are [in, out], as ONNX MatMul takes them."""
    rng = np.random.default_rng(seed)

    def normal(*shape, scale=0.02):
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    params = {"model.embed_tokens.weight": normal(cfg.vocab_size, cfg.hidden), "model.norm.weight": np.ones(cfg.hidden, np.float32)}
    out_scale = 0.02 / (2 * cfg.layers) ** 0.5
    for i in range(cfg.layers):
        p = f"model.layers.{i}."
        q, kv = cfg.heads * cfg.head_dim, cfg.kv_heads * cfg.head_dim
        params |= {
            p + "input_layernorm.weight": np.ones(cfg.hidden, np.float32),
            p + "self_attn.q_proj.weight": normal(cfg.hidden, q, scale=0.05),
            p + "self_attn.k_proj.weight": normal(cfg.hidden, kv, scale=0.05),
            p + "self_attn.v_proj.weight": normal(cfg.hidden, kv, scale=0.05),
            p + "self_attn.o_proj.weight": normal(q, cfg.hidden, scale=out_scale),
            p + "post_attention_layernorm.weight": np.ones(cfg.hidden, np.float32),
            p + "mlp.gate_proj.weight": normal(cfg.hidden, cfg.ffn, scale=0.05),
            p + "mlp.up_proj.weight": normal(cfg.hidden, cfg.ffn, scale=0.05),
            p + "mlp.down_proj.weight": normal(cfg.ffn, cfg.hidden, scale=out_scale),
        }
    return params


def rope_tables(cfg):
    """cos and sin of every position, each [context, head_dim / 2]: also the caches inside the ONNX graphs."""
    inverse = cfg.rope_theta ** (-np.arange(0, cfg.head_dim, 2, dtype=np.float64) / cfg.head_dim)
    angles = np.arange(cfg.context)[:, None] * inverse[None]
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def _rms(x, weight, eps, xp):
    return x / xp.sqrt(xp.mean(x * x, -1, keepdims=True) + eps) * weight


def _rotate(x, cos, sin, xp):
    """Rotary embedding, halves layout (not interleaved); x is [batch, heads, seq, head_dim]."""
    a, b = xp.split(x, 2, -1)
    return xp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def attend(q, k, v, mask, xp):
    """Grouped attention: q [b, heads, s, d]; k, v [b, kv_heads, t, d]; mask [b, s, t], true where a key may be seen."""
    b, heads, s, d = q.shape
    kv = k.shape[1]
    scores = q.reshape(b, kv, heads // kv, s, d) @ xp.swapaxes(k, -1, -2)[:, :, None] / np.float32(d) ** 0.5
    scores = xp.where(mask[:, None, None], scores, np.float32(-1e9))
    weights = xp.exp(scores - scores.max(-1, keepdims=True))
    weights = weights / weights.sum(-1, keepdims=True)
    return xp.swapaxes((weights @ v[:, :, None]).reshape(b, heads, s, d), 1, 2).reshape(b, s, heads * d)


def forward(params, cfg, ids, positions, mask, past=None, xp=np):
    """ids, positions [b, s]; mask [b, s, past + s]; past [(k, v)] a layer -> logits [b, s, vocab], present [(k, v)]."""
    cos, sin = (xp.asarray(table)[positions][:, None] for table in rope_tables(cfg))
    x, present = params["model.embed_tokens.weight"][ids], []
    b, s = ids.shape

    def heads(y, n):
        return xp.swapaxes(y.reshape(b, s, n, cfg.head_dim), 1, 2)

    for i in range(cfg.layers):
        w = {name: params[f"model.layers.{i}.{name}.weight"] for name in (
            "input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
            "post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")}
        h = _rms(x, w["input_layernorm"], cfg.eps, xp)
        q = _rotate(heads(h @ w["self_attn.q_proj"], cfg.heads), cos, sin, xp)
        k = _rotate(heads(h @ w["self_attn.k_proj"], cfg.kv_heads), cos, sin, xp)
        v = heads(h @ w["self_attn.v_proj"], cfg.kv_heads)
        if past is not None:
            k, v = xp.concatenate([past[i][0], k], 2), xp.concatenate([past[i][1], v], 2)
        present.append((k, v))
        x = x + attend(q, k, v, mask, xp) @ w["self_attn.o_proj"]
        h = _rms(x, w["post_attention_layernorm"], cfg.eps, xp)
        gate = h @ w["mlp.gate_proj"]
        x = x + (gate / (1 + xp.exp(-gate)) * (h @ w["mlp.up_proj"])) @ w["mlp.down_proj"]
    x = _rms(x, params["model.norm.weight"], cfg.eps, xp)
    return x @ params["model.embed_tokens.weight"].T, present
