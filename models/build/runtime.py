"""Two ways to run a committed model, behind one call: ONNX Runtime on a graph, NumPy on the same bytes.

Both take `(ids, positions, mask, past)`: ids and positions [b, s], mask [b, past + s] of 0 and 1 (right padding), past
a list of (key, value) a layer or None; both return logits [b, s, vocab] and the present list.
"""

import json

import numpy as np

from build import gpt2, llama, weights


def config_of(folder):
    """(reference module, its Config) that `config.json` describes."""
    raw = json.loads((folder / "config.json").read_text())
    if raw["model_type"] == "gpt2":
        return gpt2, gpt2.Config(vocab_size=raw["vocab_size"], hidden=raw["n_embd"], layers=raw["n_layer"], heads=raw["n_head"],
                                 context=raw["n_positions"], eps=raw["layer_norm_epsilon"])
    return llama, llama.Config(vocab_size=raw["vocab_size"], hidden=raw["hidden_size"], layers=raw["num_hidden_layers"],
                               heads=raw["num_attention_heads"], kv_heads=raw["num_key_value_heads"], head_dim=raw["head_dim"],
                               ffn=raw["intermediate_size"], context=raw["max_position_embeddings"],
                               rope_theta=raw["rope_theta"], eps=raw["rms_norm_eps"])


class Reference:
    """The reference implementation on the committed weights of one precision, in NumPy."""

    def __init__(self, folder, int8):
        self.module, self.cfg = config_of(folder)
        data = folder / "onnx" / ("model_int8.onnx_data" if int8 else "model.onnx_data")
        self.params = weights.read(data, self.module.init(self.cfg, 0), int8)

    def __call__(self, ids, positions, mask, past=None):
        s = ids.shape[1]
        causal = np.tril(np.ones((s, mask.shape[1]), bool), mask.shape[1] - s)
        return self.module.forward(self.params, self.cfg, ids, positions, causal[None] & (mask[:, None] == 1), past)


class Onnx:
    """One graph in ONNX Runtime on the CPU, its settings left at their defaults but for the threads."""

    def __init__(self, folder, graph, threads=2):
        import onnxruntime as ort
        _, self.cfg = config_of(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(str(folder / "onnx" / graph), options, providers=["CPUExecutionProvider"])
        self.inputs = {i.name for i in self.session.get_inputs()}

    def __call__(self, ids, positions, mask, past=None):
        empty = np.zeros((ids.shape[0], self.cfg.kv_heads, 0, self.cfg.head_dim), np.float32)
        past = past or [(empty, empty)] * self.cfg.layers
        feeds = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        feeds = {name: array.astype(np.int64) for name, array in feeds.items() if name in self.inputs}
        for i, (key, value) in enumerate(past):
            feeds |= {f"past_key_values.{i}.key": key, f"past_key_values.{i}.value": value}
        logits, *present = self.session.run(None, feeds)
        return logits, list(zip(present[::2], present[1::2]))


def run(model, ids, past=None):
    """One row without padding: ids is a list; returns (logits [s, vocab], present)."""
    start = past[0][0].shape[2] if past else 0
    positions = np.arange(start, start + len(ids))[None]
    logits, present = model(np.array([ids]), positions, np.ones((1, start + len(ids)), np.int64), past)
    return logits[0], present


def greedy(model, prompt, end, limit=80):
    """The tokens that `model` says after `prompt`, one at a time on its own past; the end token is included."""
    logits, past = run(model, prompt)
    said = [int(logits[-1].argmax())]
    while said[-1] != end and len(said) < limit and len(prompt) + len(said) < model.cfg.context:
        logits, past = run(model, said[-1:], past)
        said.append(int(logits[-1].argmax()))
    return said
