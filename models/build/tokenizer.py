"""Byte-level BPE tokenizers, trained on the corpus, and the chat template.

Numbers are split off whole ("12" is one token, whatever stands before it): sums on small numbers are then learned
between single tokens. Byte-level means that any text can be encoded, also what training never saw.
"""

import random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from build import corpus

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
CHAT_SPECIALS = [PAD, END, SYSTEM, USER, ASSISTANT]
END_OF_TEXT = "<|endoftext|>"
ANSWER_TOKENS = (5, 80)  # shortest and longest answer, not counting the end token

# One line, so that no stray white space reaches the model. A conversation has no begin token: a role opens it.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{ raise_exception('Only the roles system, user and assistant are supported.') }}"
    "{%- endif -%}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}\n"
)


def sample_texts(seed=7, conversations=12_000):
    """Plain texts of the corpus, for the tokenizer to learn its merges from."""
    rng = random.Random(seed)
    for _ in range(conversations):
        system, turns = corpus.conversation(rng, 3)
        yield from filter(None, [system])
        for asked, answered in turns:
            yield asked
            yield answered


def train_bpe(vocab_size, specials):
    """A byte-level BPE tokenizer whose first ids are `specials`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\d{1,3}"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=specials, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(sample_texts(), trainer)
    off = sorted(answers_off_length(tokenizer))
    if off:
        raise SystemExit(f"{len(off)} answers are not {ANSWER_TOKENS[0]} to {ANSWER_TOKENS[1]} tokens, {off[0]!r} for one: "
                         "word them anew in facts.py, templates.py or corpus.py")
    return tokenizer


def answers_off_length(tokenizer):
    """The answers of the corpus, the held-out ones included, that are shorter or longer than `ANSWER_TOKENS`."""
    shortest, longest = ANSWER_TOKENS
    answers = {*corpus.every_answer(), *(case["answer"] for case in corpus.heldout())}
    return {a for a in answers if not shortest <= len(tokenizer.encode(a, add_special_tokens=False).ids) <= longest}


def render(messages):
    """The prompt that the chat template writes, in plain Python (the checker compares it with the template)."""
    return "".join(f"<|{m['role']}|>{m['content']}{END}" for m in messages) + ASSISTANT
