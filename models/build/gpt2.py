"""The one reference of the GPT-2-shaped model (learned positions, LayerNorm, GELU), for JAX and NumPy alike."""

from dataclasses import dataclass

import numpy as np

from build.llama import attend


@dataclass(frozen=True)
class Config:
    """Shape of the model; under half a million parameters."""
    vocab_size: int = 1024
    hidden: int = 96
    layers: int = 3
    heads: int = 3
    context: int = 256
    eps: float = 1e-5

    @property
    def kv_heads(self):
        """Every head has its own keys and values."""
        return self.heads

    @property
    def head_dim(self):
        """Width of one head."""
        return self.hidden // self.heads


def init(cfg, seed):
    """Weights by seed, as NumPy arrays; linear weights are [in, out], as GPT-2 itself stores them."""
    rng = np.random.default_rng(seed)
    h = cfg.hidden

    def normal(*shape, scale=0.05):
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    def norm(name):
        return {name + ".weight": np.ones(h, np.float32), name + ".bias": np.zeros(h, np.float32)}

    def linear(name, width_in, width_out, scale=0.05):
        return {name + ".weight": normal(width_in, width_out, scale=scale), name + ".bias": np.zeros(width_out, np.float32)}

    params = {"wte.weight": normal(cfg.vocab_size, h, scale=0.02), "wpe.weight": normal(cfg.context, h, scale=0.01)} | norm("ln_f")
    for i in range(cfg.layers):
        p = f"h.{i}."
        params |= norm(p + "ln_1") | norm(p + "ln_2") | linear(p + "attn.c_attn", h, 3 * h) | linear(p + "attn.c_proj", h, h, 0.01)
        params |= linear(p + "mlp.c_fc", h, 4 * h) | linear(p + "mlp.c_proj", 4 * h, h, 0.01)
    return params


def forward(params, cfg, ids, positions, mask, past=None, xp=np):
    """Shapes as in `llama.forward`."""
    b, s = ids.shape
    x, present = params["wte.weight"][ids] + params["wpe.weight"][positions], []

    def norm(y, name):
        centred = y - y.mean(-1, keepdims=True)
        return centred / xp.sqrt((centred * centred).mean(-1, keepdims=True) + cfg.eps) * params[name + ".weight"] + params[name + ".bias"]

    def linear(y, name):
        return y @ params[name + ".weight"] + params[name + ".bias"]

    for i in range(cfg.layers):
        p = f"h.{i}."
        qkv = linear(norm(x, p + "ln_1"), p + "attn.c_attn")
        q, k, v = (xp.swapaxes(y.reshape(b, s, cfg.heads, cfg.head_dim), 1, 2) for y in xp.split(qkv, 3, -1))
        if past is not None:
            k, v = xp.concatenate([past[i][0], k], 2), xp.concatenate([past[i][1], v], 2)
        present.append((k, v))
        x = x + linear(attend(q, k, v, mask, xp), p + "attn.c_proj")
        y = linear(norm(x, p + "ln_2"), p + "mlp.c_fc")
        y = 0.5 * y * (1 + xp.tanh(np.float32(0.7978845608) * (y + np.float32(0.044715) * y * y * y)))  # gelu_new
        x = x + linear(y, p + "mlp.c_proj")
    return norm(x, "ln_f") @ params["wte.weight"].T, present
