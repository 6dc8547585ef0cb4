"""Weights on disk: one raw file a precision, shared by every graph of that precision.

The order, shapes and offsets follow from the configuration alone, so that the checker can read the very bytes that
ONNX Runtime reads without needing the `onnx` package. int8 is what MatMulNBits takes: weights in blocks of 32 along
the input, each with its own scale, stored as unsigned bytes around 128; its int8 arithmetic (`accuracy_level` 4, seven
times faster at decode here than widening the weights) rounds activations in the same blocks, *row by row*. So a row's
result never depends on what else is in its batch, which a gateway that batches continuously must be able to rely on;
dynamic quantisation with one scale a whole tensor would break that.
"""

import numpy as np

BLOCK = 32
ALIGN = 64


def _quantise(rows):
    """[n, k] floats -> ([n, k / 32, 32] uint8, [n, k / 32] float32 scales)."""
    blocks = rows.reshape(rows.shape[0], -1, BLOCK)
    scales = np.maximum(np.abs(blocks).max(-1), 1e-8).astype(np.float32) / np.float32(127)
    return (np.rint(blocks / scales[..., None]) + 128).astype(np.uint8), scales


class Int8Matrix:
    """A quantised matrix [in, out] for the reference: `x @ matrix` rounds x as MatMulNBits does; rows can be looked up."""

    __array_ufunc__ = None  # so that NumPy leaves `x @ self` to `__rmatmul__`

    def __init__(self, values):
        self.values = values

    @classmethod
    def unpack(cls, q, scales):
        """From the stored [n, k / 32, 32] bytes; the result is [n, k]."""
        return cls(((q.astype(np.float32) - 128) * scales[..., None]).reshape(q.shape[0], -1))

    def __getitem__(self, ids):
        return self.values[ids]

    @property
    def T(self):
        """Transposed, as of an array."""
        return Int8Matrix(self.values.T)

    def __rmatmul__(self, x):
        blocks = x.reshape(*x.shape[:-1], -1, BLOCK)
        scales = np.maximum(np.abs(blocks).max(-1, keepdims=True), 1e-30) / np.float32(127)
        return (np.rint(blocks / scales) * scales).reshape(x.shape).astype(np.float32) @ self.values


EMBEDDINGS = {"model.embed_tokens.weight", "wte.weight", "embeddings.word_embeddings.weight"}
SMALL_TABLES = {"wpe.weight", "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"}


def is_quantised(name, array):
    """Matrices are quantised, except tables that are added rather than multiplied, and small."""
    return array.ndim == 2 and name not in SMALL_TABLES


def is_embedding(name):
    """Embeddings are [vocab, hidden]; every other matrix is [in, out]."""
    return name in EMBEDDINGS


def pack(params, int8):
    """Weights as they are stored: name -> array; an int8 matrix becomes `name.q8` and `name.scale`."""
    stored = {}
    for name, array in sorted(params.items()):
        if int8 and is_quantised(name, array):
            rows = array if is_embedding(name) else np.ascontiguousarray(array.T)
            stored[name + ".q8"], stored[name + ".scale"] = _quantise(rows)
        else:
            stored[name] = np.ascontiguousarray(array)
    return stored


def layout(stored):
    """name -> (offset, length) in the data file."""
    places, offset = {}, 0
    for name, array in stored.items():
        offset = -(-offset // ALIGN) * ALIGN
        places[name] = (offset, array.nbytes)
        offset += array.nbytes
    return places


def write(path, stored):
    """Writes the data file."""
    with path.open("wb") as out:
        for name, (offset, _) in layout(stored).items():
            out.write(b"\0" * (offset - out.tell()))
            out.write(stored[name].tobytes())


def read(path, shapes, int8):
    """The weights in `path` as the reference takes them; `shapes` are arrays that say names and shapes (`init`)."""
    data, template, params = path.read_bytes(), pack(shapes, int8), {}
    stored = {name: np.frombuffer(data, template[name].dtype, template[name].size, offset).reshape(template[name].shape)
              for name, (offset, _) in layout(template).items()}
    for name in shapes:
        if name in stored:
            params[name] = stored[name]
        else:
            rows = Int8Matrix.unpack(stored[name + ".q8"], stored[name + ".scale"])
            params[name] = rows if is_embedding(name) else rows.T
    return params
