"""The checker: each committed graph in ONNX Runtime against the reference implementation, and the files themselves.

The reference is the function that was trained, run by NumPy on the same bytes that the graph reads; that lets any
prompt, batch or split be compared, not only recorded ones. What the trained JAX model said is recorded too
(`golden/`), so that weights which were exported wrongly, but consistently, cannot pass.
"""

import hashlib
import json
from collections import namedtuple

import numpy as np
from tokenizers import Tokenizer

from build import corpus, templates
from build.runtime import Onnx, Reference, config_of, greedy, run
from build.tokenizer import ANSWER_TOKENS, END, END_OF_TEXT, answers_off_length, render
from build.venv import MODELS

# Largest difference of any logit (they range over tens). fp32: sums in another order. int8: the reference rounds
# activations as the operator does, but a sum that differs in its last bit can round to the next step.
TOLERANCES = {False: 5e-4, True: 0.5}
GOLDEN_TOLERANCE = 1e-2  # JAX against NumPy, logits recorded to four decimals
SIZE_LIMIT = 15_000_000
PARAMETER_LIMIT = 2_000_000

Graph = namedtuple("Graph", "folder file int8")
GRAPHS = [Graph("relay-chat", "model.onnx", False), Graph("relay-chat", "model_plain.onnx", False),
          Graph("relay-chat", "model_int8.onnx", True), Graph("relay-chat", "model_plain_int8.onnx", True),
          Graph("relay-gpt2", "model.onnx", False), Graph("relay-gpt2", "model_int8.onnx", True)]


def _worst(got, wanted):
    return float(np.abs(got - wanted).max())


def _prompts(folder, count=16):
    """(token ids of `count` prompts, the end token), as the model's users would write them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    cases = corpus.examination(31, count, False) + corpus.examination(32, count, True)
    if (folder / "chat_template.jinja").exists():
        return [tokenizer.encode(render(c["messages"])).ids for c in cases], tokenizer.token_to_id(END)
    texts = [f"Question: {c['messages'][-1]['content']}\nAnswer:" for c in cases]
    return [tokenizer.encode(t).ids for t in texts], tokenizer.token_to_id(END_OF_TEXT)


def _long_prompt(cfg):
    return [5 + (i * 7919) % (cfg.vocab_size - 5) for i in range(cfg.context)]


def _padded(model, prompts, next_tokens):
    """Two prompts, padded right, in one batch: logits of each, then of one more token each on the padded past."""
    lengths, width = [len(p) for p in prompts], max(map(len, prompts))
    ids = np.array([p + [0] * (width - len(p)) for p in prompts])
    mask = (np.arange(width)[None] < np.array(lengths)[:, None]).astype(np.int64)
    first, past = model(ids, np.broadcast_to(np.arange(width), ids.shape), mask)
    grouped = "position_ids" not in model.inputs
    # GroupQueryAttention writes the new key behind each row's own last one; a plain graph appends it for all rows.
    grown = (np.arange(width + 1)[None] <= np.array(lengths)[:, None]).astype(np.int64) if grouped else np.c_[mask, [1, 1]]
    second, _ = model(np.array(next_tokens)[:, None], np.array(lengths)[:, None], grown, past)
    return [np.r_[first[r, :lengths[r]], second[r]] for r in range(2)]


def check_graph(graph):
    """Rows (what, passed, detail) for one graph."""
    folder = MODELS / graph.folder
    reference, model = Reference(folder, graph.int8), Onnx(folder, graph.file)
    prompts, end = _prompts(folder)
    tolerance = TOLERANCES[graph.int8]
    whole = [run(reference, p)[0] for p in prompts]

    diff = max(_worst(run(model, p)[0], w) for p, w in zip(prompts, whole))
    yield f"logits of {len(prompts)} prompts", diff <= tolerance, f"max diff {diff:.1e}, at most {tolerance:g}"

    answers = [(greedy(model, p, end, 40), greedy(reference, p, end, 40)) for p in prompts]
    equal = sum(a == b for a, b in answers)
    yield "greedy tokens", equal == len(answers), f"{equal} of {len(answers)} answers equal, {sum(len(a) for a, _ in answers)} tokens"

    def split(p):
        first, past = run(model, p[:len(p) // 2])
        return np.r_[first, run(model, p[len(p) // 2:], past)[0]]

    diff = max(_worst(split(p), w) for p, w in zip(prompts, whole))
    yield "with a past of half the prompt", diff <= tolerance, f"max diff {diff:.1e}"

    longest, past, rows = max(prompts, key=len), None, []
    for token in longest:
        logits, past = run(model, [token], past)
        rows.append(logits[0])
    diff = _worst(np.array(rows), whole[prompts.index(longest)])
    yield f"token by token, {len(longest)} tokens", diff <= tolerance, f"max diff {diff:.1e}"

    pair, following = [min(prompts, key=len), longest], [7, 9]
    alone = [run(reference, p + [t])[0] for p, t in zip(pair, following)]
    diff = max(_worst(b, a) for b, a in zip(_padded(model, pair, following), alone))
    yield f"two rows of {len(pair[0])} and {len(pair[1])}, padded right, and a step", diff <= tolerance, f"max diff {diff:.1e}"

    prompt = _long_prompt(model.cfg)
    diff = _worst(run(model, prompt)[0], run(reference, prompt)[0])
    yield f"full context of {len(prompt)}", diff <= tolerance, f"max diff {diff:.1e}"


def check_golden(folder, name):
    """The reference on the committed weights against what the trained JAX model said."""
    reference, end = Reference(folder, False), _prompts(folder, 1)[1]
    cases = json.loads((MODELS / f"build/golden/{name}.json").read_text())
    diff = max(_worst(run(reference, c["prompt"])[0][-1, :16], np.array(c["logits"])) for c in cases)
    limit = max(len(c["tokens"]) for c in cases)
    equal = sum(greedy(reference, c["prompt"], end, limit) == c["tokens"] for c in cases)
    return "reference against the trained JAX model", equal == len(cases) and diff <= GOLDEN_TOLERANCE, \
        f"{equal} of {len(cases)} answers equal, max diff {diff:.1e}"


def check_files(folder):
    """Checksums and parameter count of one model directory."""
    lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    right = sum(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for digest, name in lines)
    yield "checksums", right == len(lines) > 0, f"{right} of {len(lines)} files"
    module, cfg = config_of(folder)
    count = sum(a.size for a in module.init(cfg, 0).values())
    yield "parameters", count <= PARAMETER_LIMIT, f"{count:,}"


def check_answer_lengths(folder):
    """Every answer of the corpus and of the held-out set is of the length promised, by the committed tokenizer."""
    off = answers_off_length(Tokenizer.from_file(str(folder / "tokenizer.json")))
    return f"answers of {ANSWER_TOKENS[0]} to {ANSWER_TOKENS[1]} tokens", not off, f"{len(off)} off" + (f", {min(off)!r} for one" if off else "")


def check_template(folder):
    """The committed chat template writes what training rendered."""
    import jinja2
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string((folder / "chat_template.jinja").read_text())
    cases = corpus.long_examination(33, 5)
    equal = sum(template.render(messages=c["messages"], add_generation_prompt=True) == render(c["messages"]) for c in cases)
    return "chat template", equal == len(cases), f"{equal} of {len(cases)} conversations"


def check_split():
    """What is asked is what was fixed before the first training, and no held-out wording is a trained one."""
    heldout, long = corpus.heldout(), corpus.long_examination(corpus.LONG_SEED)
    for name, cases, digest in (("held-out", heldout, corpus.HELDOUT_QUESTIONS_SHA256), ("long", long, corpus.LONG_QUESTIONS_SHA256)):
        yield f"{name} questions unmoved", corpus.questions_digest(cases) == digest, f"{len(cases)} questions"
    same = corpus.examination(corpus.HELDOUT_SEED, corpus.HELDOUT_SIZE, True) == heldout
    yield "held-out answers as the corpus words them", same, f"{len(heldout)} answers"
    shared = [text for kind in templates.TEMPLATES.values() for text in kind["held"]
              if text in kind["full"] or text in {w.replace("{np}", np_) for w in templates.WRAPPERS for np_ in kind["np"]}]
    shared += [text for trained, held in [*templates.SOCIAL.values(), *templates.REFUSALS.values(), *templates.FOLLOW_UPS.values(),
                                          templates.INTRODUCTIONS] for text in held if text in trained]
    yield "held-out wording never trained", not shared, f"{len(shared)} shared"


def rows():
    """Every check, as (subject, what, passed, detail)."""
    for row in check_split():
        yield ("corpus", *row)
    for name in ("relay-chat", "relay-gpt2"):
        folder = MODELS / name
        for row in (*check_files(folder), check_answer_lengths(folder), check_golden(folder, name.removeprefix("relay-"))):
            yield (name, *row)
    yield ("relay-chat", *check_template(MODELS / "relay-chat"))
    for graph in GRAPHS:
        for row in check_graph(graph):
            yield (f"{graph.folder}/{graph.file}", *row)
    size = sum(p.stat().st_size for n in ("relay-chat", "relay-gpt2") for p in (MODELS / n).rglob("*") if p.is_file())
    yield "both models", "committed size", size < SIZE_LIMIT, f"{size / 1e6:.1f} MB, under {SIZE_LIMIT / 1e6:.0f}"


def main():
    """Prints the table; returns the exit status."""
    passed = failed = 0
    for subject, what, ok, detail in rows():
        print(f"{'ok  ' if ok else 'FAIL'}  {subject:<32} {what:<46} {detail}", flush=True)
        passed, failed = passed + ok, failed + (not ok)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
