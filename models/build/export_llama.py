"""The Llama-shaped graphs: one with GroupQueryAttention, one plain with past and present tensors."""

import numpy as np
from onnx import TensorProto

from build.graph import MICROSOFT, Graph, save_language_model
from build.llama import rope_tables

GQA_INPUTS = ["input_ids", "attention_mask"]
PLAIN_INPUTS = ["input_ids", "attention_mask", "position_ids"]


def _rms(g, x, name, eps, plain):
    """RMSNorm: ONNX Runtime's own operator beside its own attention, standard operators in the plain graph."""
    if not plain:
        return g.op("SimplifiedLayerNormalization", x, g.weight(name), axis=-1, epsilon=eps, stash_type=1)
    mean = g.op("ReduceMean", g.op("Mul", x, x), g.const([-1]), keepdims=1)
    root = g.op("Sqrt", g.op("Add", mean, g.const(eps, np.float32)))
    return g.op("Mul", g.op("Div", x, root), g.weight(name))


def causal_bias(g):
    """[b, 1, 1, s, t]: 0 where a key may be seen, -1e9 where it lies ahead or is padding."""
    def size(name):
        return g.op("Gather", g.op("Shape", name), g.const(1))

    total, sequence = size("attention_mask"), size("input_ids")
    keys = g.op("Range", g.const(0), total, g.const(1))
    queries = g.op("Add", g.op("Range", g.const(0), sequence, g.const(1)), g.op("Sub", total, sequence))
    seen = g.op("LessOrEqual", g.op("Unsqueeze", keys, g.const([0])), g.op("Unsqueeze", queries, g.const([1])))
    real = g.op("Unsqueeze", g.op("Cast", "attention_mask", to=TensorProto.BOOL), g.const([1]))
    allowed = g.op("Where", g.op("And", seen, real), g.const(0, np.float32), g.const(-1e9, np.float32))
    return g.op("Unsqueeze", allowed, g.const([1, 2]))


def heads(g, x, count, head_dim):
    """[b, s, count * d] -> [b, count, s, d]."""
    return g.op("Transpose", g.op("Reshape", x, g.const([0, 0, count, head_dim])), perm=[0, 2, 1, 3])


def plain_attention(g, i, cfg, q, k, v, bias):
    """Attention over past and new keys; q, k, v are [b, heads, s, d]; returns [b, s, heads * d]."""
    k = g.op("Concat", f"past_key_values.{i}.key", k, axis=2, names=[f"present.{i}.key"])
    v = g.op("Concat", f"past_key_values.{i}.value", v, axis=2, names=[f"present.{i}.value"])
    q = g.op("Reshape", q, g.const([0, cfg.kv_heads, cfg.heads // cfg.kv_heads, -1, cfg.head_dim]))
    k = g.op("Unsqueeze", g.op("Transpose", k, perm=[0, 1, 3, 2]), g.const([2]))
    scores = g.op("Mul", g.op("MatMul", q, k), g.const(cfg.head_dim ** -0.5, np.float32))
    weights = g.op("Softmax", g.op("Add", scores, bias), axis=-1)
    mixed = g.op("MatMul", weights, g.op("Unsqueeze", v, g.const([2])))
    mixed = g.op("Transpose", g.op("Reshape", mixed, g.const([0, cfg.heads, -1, cfg.head_dim])), perm=[0, 2, 1, 3])
    return g.op("Reshape", mixed, g.const([0, 0, -1]))


def _rotate(g, x, cos, sin):
    a, b = g.op("Split", x, axis=-1, num_outputs=2, outputs=2)
    left = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
    right = g.op("Add", g.op("Mul", b, cos), g.op("Mul", a, sin))
    return g.op("Concat", left, right, axis=-1)


def _gqa_lengths(g):
    """What the operator wants of the mask: last valid index of each row and the total length, both int32."""
    last = g.op("Sub", g.op("ReduceSum", "attention_mask", g.const([1]), keepdims=0), g.const(1))
    total = g.op("Gather", g.op("Shape", "attention_mask"), g.const(1))
    return g.op("Cast", last, to=TensorProto.INT32), g.op("Cast", total, to=TensorProto.INT32)


def export(stored, cfg, path, data_name, int8, plain):
    """Writes one graph beside its data file."""
    g = Graph(stored, data_name, int8)
    cos, sin = (g.table(n, a) for n, a in zip(("cos_cache", "sin_cache"), rope_tables(cfg)))
    if plain:
        bias = causal_bias(g)
        cos, sin = (g.op("Unsqueeze", g.op("Gather", table, "position_ids"), g.const([1])) for table in (cos, sin))
    else:
        last, total = _gqa_lengths(g)
    x = g.embed("input_ids", "model.embed_tokens.weight")
    for i in range(cfg.layers):
        p = f"model.layers.{i}."
        h = _rms(g, x, p + "input_layernorm.weight", cfg.eps, plain)
        q, k, v = (g.linear(h, f"{p}self_attn.{n}_proj.weight") for n in "qkv")
        if plain:
            q = _rotate(g, heads(g, q, cfg.heads, cfg.head_dim), cos, sin)
            k = _rotate(g, heads(g, k, cfg.kv_heads, cfg.head_dim), cos, sin)
            mixed = plain_attention(g, i, cfg, q, k, heads(g, v, cfg.kv_heads, cfg.head_dim), bias)
        else:
            mixed = f"attention_{i}"
            g.op("GroupQueryAttention", q, k, v, f"past_key_values.{i}.key", f"past_key_values.{i}.value", last, total, cos, sin,
                 names=[mixed, f"present.{i}.key", f"present.{i}.value"], domain=MICROSOFT,
                 num_heads=cfg.heads, kv_num_heads=cfg.kv_heads, do_rotary=1, rotary_interleaved=0)
        x = g.op("Add", x, g.linear(mixed, p + "self_attn.o_proj.weight"))
        h = _rms(g, x, p + "post_attention_layernorm.weight", cfg.eps, plain)
        gate = g.linear(h, p + "mlp.gate_proj.weight")
        gated = g.op("Mul", g.op("Mul", gate, g.op("Sigmoid", gate)), g.linear(h, p + "mlp.up_proj.weight"))
        x = g.op("Add", x, g.linear(gated, p + "mlp.down_proj.weight"))
    g.tied_head(_rms(g, x, "model.norm.weight", cfg.eps, plain), "model.embed_tokens.weight")
    save_language_model(g, path, cfg, PLAIN_INPUTS if plain else GQA_INPUTS)
