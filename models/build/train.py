"""Trains the two language models with JAX on the corpus as it is written, never storing it.

Small batches (6 rows of 128 tokens) learn fastest on two cores. A row of 1,024 tokens costs eight times as much, so
long conversations come only in the second half, one step in `LONG_EVERY`: enough for answers to stay right at the
end of one. Rows hold several conversations, kept apart by a segment mask and restarted positions, as if each were alone.
"""

import random
import time
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from build import corpus
from build.tokenizer import ASSISTANT, END, END_OF_TEXT, SYSTEM, USER

LONG_EVERY = 4


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. The rate falls to nothing at `steps`; the training ends after `last`, if that is earlier."""
    steps: int
    last: int | None = None
    peak: float = 3e-3
    warmup: int = 150
    decay: float = 0.02
    seed: int = 1


class ChatData:
    """Batches of chat conversations; only the assistant's words and its end-of-turn token are learned."""

    def __init__(self, tokenizer, seed, long_from):
        self.rng, self.tokenizer, self.long_from = random.Random(seed), tokenizer, long_from
        self.special = {name: tokenizer.token_to_id(name) for name in (SYSTEM, USER, ASSISTANT, END)}

    def _ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def _conversation(self, turns):
        """(ids, learned) of one conversation: `learned[i]` says whether token i is to be predicted."""
        s = self.special
        system, said = corpus.conversation(self.rng, turns)
        ids = [s[SYSTEM], *self._ids(system), s[END]] if system else []
        learned = [0.0] * len(ids)
        for asked, answered in said:
            prompt, answer = [s[USER], *self._ids(asked), s[END], s[ASSISTANT]], [*self._ids(answered), s[END]]
            ids, learned = ids + prompt + answer, learned + [0.0] * len(prompt) + [1.0] * len(answer)
        return ids, learned

    def _row(self, length, turns):
        ids, learned, positions, segments = [], [], [], []
        while len(ids) <= length:
            more, weight = self._conversation(turns if turns else self.rng.randint(1, 4))
            positions += range(len(more))
            segments += [len(ids)] * len(more)
            ids, learned = ids + more, learned + weight
        return ids[:length + 1], learned[1:length + 1], positions[:length], segments[:length]

    def batch(self, step):
        """ids [b, s + 1], learned, positions and segments [b, s]."""
        is_long = step >= self.long_from and step % LONG_EVERY == 0
        rows, length, turns = (1, 1024, 50) if is_long else (6, 128, None)
        return tuple(np.array(part) for part in zip(*(self._row(length, turns) for _ in range(rows))))


class TextData:
    """Batches of the same questions and answers as plain text, for a model that only continues text."""

    def __init__(self, tokenizer, seed):
        self.rng, self.tokenizer = random.Random(seed), tokenizer
        self.end = tokenizer.token_to_id(END_OF_TEXT)

    def batch(self, step):
        """Shapes as in `ChatData.batch`; every token is learned."""
        return tuple(np.array(part) for part in zip(*(self._row(128) for _ in range(8))))

    def _row(self, length):
        ids, positions, segments = [], [], []
        while len(ids) <= length:
            asked, answered = corpus.question(self.rng)
            more = [*self.tokenizer.encode(f"Question: {asked}\nAnswer: {answered}").ids, self.end]
            positions += range(len(more))
            segments += [len(ids)] * len(more)
            ids = ids + more
        return ids[:length + 1], [1.0] * length, positions[:length], segments[:length]


def make_step(forward, cfg, schedule):
    """One jitted step of AdamW: (params, m, v, t, batch) -> (params, m, v, loss)."""

    def loss_of(params, ids, learned, positions, segments):
        s = positions.shape[1]
        mask = (segments[:, :, None] == segments[:, None, :]) & jnp.tril(jnp.ones((s, s), bool))
        logits, _ = forward(params, cfg, ids[:, :-1], positions, mask, xp=jnp)
        chosen = jnp.take_along_axis(logits, ids[:, 1:, None], -1)[..., 0]
        return ((jax.nn.logsumexp(logits, -1) - chosen) * learned).sum() / learned.sum()

    @jax.jit
    def step(params, m, v, t, batch):
        loss, grads = jax.value_and_grad(loss_of)(params, *batch)
        norm = jnp.sqrt(sum((g * g).sum() for g in jax.tree.leaves(grads)))
        progress = jnp.clip((t - schedule.warmup) / (schedule.steps - schedule.warmup), 0, 1)
        rate = schedule.peak * jnp.minimum(t / schedule.warmup, 0.02 + 0.98 * (1 - progress))
        grads = jax.tree.map(lambda g: g * jnp.minimum(1, 1 / norm), grads)
        m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, grads)
        v = jax.tree.map(lambda a, g: 0.98 * a + 0.02 * g * g, v, grads)

        def update(p, a, b):
            moved = (a / (1 - 0.9 ** t)) / (jnp.sqrt(b / (1 - 0.98 ** t)) + 1e-8)
            return p - rate * (moved + (schedule.decay * p if p.ndim > 1 else 0))

        return jax.tree.map(update, params, m, v), m, v, loss

    return step


def train(model, cfg, data, schedule, on_progress=None, every=500):
    """Trains `model` (a module with `init` and `forward`); returns its weights as NumPy arrays."""
    params = {k: jnp.asarray(a) for k, a in model.init(cfg, schedule.seed).items()}
    m, v = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
    step, started, losses = make_step(model.forward, cfg, schedule), time.monotonic(), []
    last = schedule.last or schedule.steps
    print(f"{sum(a.size for a in params.values()):,} parameters, {last:,} steps", flush=True)
    for n in range(last):
        params, m, v, loss = step(params, m, v, jnp.float32(n + 1), data.batch(n))
        losses.append(loss)
        if (n + 1) % every == 0 or n + 1 == last:
            mean, spent = float(np.mean([float(x) for x in losses])), time.monotonic() - started
            print(f"step {n + 1:>6,}  loss {mean:.4f}  {spent:6.0f} s, about {spent / (n + 1) * (last - n - 1):5.0f} s left", flush=True)
            losses = []
            if on_progress:
                on_progress(n + 1, {k: np.asarray(a) for k, a in params.items()})
    return {k: np.asarray(a) for k, a in params.items()}
