"""The GPT-2-shaped graph: plain, with past and present tensors, learned positions and fused qkv."""

from build.export_llama import PLAIN_INPUTS, causal_bias, heads, plain_attention
from build.graph import Graph, save_language_model


def export(stored, cfg, path, data_name, int8):
    """Writes the graph beside its data file."""
    g = Graph(stored, data_name, int8)
    bias = causal_bias(g)
    x = g.op("Add", g.embed("input_ids", "wte.weight"), g.op("Gather", g.weight("wpe.weight"), "position_ids"))

    def norm(y, name):
        return g.op("LayerNormalization", y, g.weight(name + ".weight"), g.weight(name + ".bias"), axis=-1, epsilon=cfg.eps)

    def linear(y, name):
        return g.linear(y, name + ".weight", name + ".bias")

    for i in range(cfg.layers):
        p = f"h.{i}."
        q, k, v = (heads(g, part, cfg.heads, cfg.head_dim)
                   for part in g.op("Split", linear(norm(x, p + "ln_1"), p + "attn.c_attn"), axis=-1, num_outputs=3, outputs=3))
        x = g.op("Add", x, linear(plain_attention(g, i, cfg, q, k, v, bias), p + "attn.c_proj"))
        y = g.op("Gelu", linear(norm(x, p + "ln_2"), p + "mlp.c_fc"), approximate="tanh")
        x = g.op("Add", x, linear(y, p + "mlp.c_proj"))
    g.tied_head(norm(x, "ln_f"), "wte.weight")
    save_language_model(g, path, cfg, PLAIN_INPUTS)
