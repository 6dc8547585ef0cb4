"""A thin layer over `onnx.helper`: nodes by function call, weights in one external file, linear layers by precision."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from build.weights import BLOCK, layout

TYPES = {np.dtype("float32"): TensorProto.FLOAT, np.dtype("uint8"): TensorProto.UINT8}
MICROSOFT = "com.microsoft"


class Graph:
    """Collects nodes and initialisers; every method returns the name of the value it makes."""

    def __init__(self, stored, data_name, int8):
        self.stored, self.data_name, self.int8 = stored, data_name, int8
        self.places, self.nodes, self.initializers, self.made = layout(stored), [], {}, 0

    def op(self, kind, *inputs, outputs=1, domain="", names=None, **attributes):
        """One node; `names` fixes the output names (graph outputs)."""
        self.made += 1
        names = names or [f"{kind}_{self.made}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, f"{kind}_{self.made}", domain=domain, **attributes))
        return names[0] if len(names) == 1 else names

    def const(self, values, dtype=np.int64):
        """A small constant kept in the graph itself; equal ones are shared."""
        array = np.array(values, dtype)
        name = f"const_{array.dtype}_{'x'.join(map(str, array.shape))}_{array.tobytes().hex()[:64]}"
        self.initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def table(self, name, array):
        """A larger constant kept in the graph (the rotary caches)."""
        self.initializers.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weight(self, name):
        """A weight in the external file."""
        if name not in self.initializers:
            array, (offset, length) = self.stored[name], self.places[name]
            tensor = TensorProto(name=name, data_type=TYPES[array.dtype], dims=array.shape, data_location=TensorProto.EXTERNAL)
            for key, value in (("location", self.data_name), ("offset", str(offset)), ("length", str(length))):
                tensor.external_data.add(key=key, value=value)
            self.initializers[name] = tensor
        return name

    def _matmul_int8(self, x, name):
        n, blocks, _ = self.stored[name + ".q8"].shape
        return self.op("MatMulNBits", x, self.weight(name + ".q8"), self.weight(name + ".scale"), domain=MICROSOFT,
                       K=blocks * BLOCK, N=n, bits=8, block_size=BLOCK, accuracy_level=4)

    def linear(self, x, name, bias=None):
        """x @ weight (+ bias)."""
        y = self._matmul_int8(x, name) if self.int8 else self.op("MatMul", x, self.weight(name))
        return self.op("Add", y, self.weight(bias)) if bias else y

    def embed(self, ids, name):
        """Rows of an embedding, [b, s] -> [b, s, hidden]."""
        if not self.int8:
            return self.op("Gather", self.weight(name), ids)
        rows = self.op("Cast", self.op("Gather", self.weight(name + ".q8"), ids), to=TensorProto.FLOAT)
        scales = self.op("Unsqueeze", self.op("Gather", self.weight(name + ".scale"), ids), self.const([-1]))
        rows = self.op("Mul", self.op("Sub", rows, self.const(128, np.float32)), scales)
        return self.op("Reshape", rows, self.const([0, 0, -1]))

    def tied_head(self, x, name):
        """Logits from the embedding matrix; the graph's output."""
        if self.int8:
            logits = self._matmul_int8(x, name)
        else:
            logits = self.op("MatMul", x, self.op("Transpose", self.weight(name), perm=[1, 0]))
        self.op("Identity", logits, names=["logits"])

    def save(self, path, inputs, outputs):
        """Writes the model; `inputs` and `outputs` are made by `tensor`."""
        graph = helper.make_graph(self.nodes, path.stem, inputs, outputs, list(self.initializers.values()))
        save(helper.make_model(graph, producer_name="relay", ir_version=10,
                               opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]), str(path))


def tensor(name, *shape, kind=TensorProto.FLOAT):
    """A graph input or output; a dimension is a number or the name of a free one."""
    return helper.make_tensor_value_info(name, kind, shape)


def save_language_model(graph, path, cfg, inputs):
    """Saves with the names that the Hugging Face exports use for ids, mask, past and present."""
    lengths = {"input_ids": "sequence_length", "attention_mask": "total_sequence_length", "position_ids": "sequence_length"}

    def cache(prefix, length):
        return [tensor(f"{prefix}.{i}.{part}", "batch_size", cfg.kv_heads, length, cfg.head_dim)
                for i in range(cfg.layers) for part in ("key", "value")]

    graph.save(path,
               [tensor(name, "batch_size", lengths[name], kind=TensorProto.INT64) for name in inputs]
               + cache("past_key_values", "past_sequence_length"),
               [tensor("logits", "batch_size", "sequence_length", cfg.vocab_size)] + cache("present", "total_sequence_length"))
