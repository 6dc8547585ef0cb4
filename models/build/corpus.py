"""Writes the corpus: questions with their one right answer, and conversations made of them.

Pure functions over a `random.Random`: the same seed gives the same corpus on every machine. An answer depends on
the question's content only, never on its wording, so "right" can mean *word for word*.
"""

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

from build import facts as f
from build import templates as t

HELDOUT_FILE = Path(__file__).with_name("heldout.jsonl")
HELDOUT_SEED, HELDOUT_SIZE, LONG_SEED = 20240, 600, 42
# Of all that users say in a set (`questions_digest`): what is asked was fixed before the first training and never moves.
LONG_QUESTIONS_SHA256 = "3a8f432a08baea818a8fbdaac3b692534c4e2a0804da53d9a060c9b094396211"
HELDOUT_QUESTIONS_SHA256 = "361f08f237b34b2ea26f49c4cbf70746e292e915ebdf5148ff11727fa45d232d"
# How many turns stand before each long question: drawn once, so that a conversation has about 870 tokens, and fixed,
# so that an answer worded anew moves no question.
LONG_TURNS = [38 + int(more) for more in (
    "5323437212726624411435313633435237563436465445253832317312536126435623334874315443068314324134313154"
    "3343475266536143475243121455711266726441535745627424445765114636535465765654542264336736512728552772")]


@dataclass(frozen=True)
class Item:
    """One thing that can be asked: the slots its wording needs and the answer."""
    kind: str
    slots: tuple
    answer: str


def _item(kind, answer, **slots):
    return Item(kind, tuple(slots.items()), answer)


def _facts():
    for country, value in f.COUNTRIES.items():
        capital, continent = value.split("/")
        yield _item("capital", f"The capital of {country} is {capital}.", x=country)
        yield _item("capital_of", f"{capital} is the capital of {country}.", x=capital)
        yield _item("continent", f"{country} is in {continent}.", x=country)
    for kind, table, form in (
            ("currency", f.CURRENCIES, "People in {k} pay with the {v}."), ("symbol", f.ELEMENTS, "The chemical symbol of {k} is {v}."),
            ("plural", f.PLURALS, "The plural of {k} is {v}."), ("past", f.PASTS, "The past tense of {k} is {v}."),
            ("young", f.YOUNG, "A young {k} is called a {v}."), ("legs", f.LEGS, "A {k} has {v} legs."),
            ("colour", f.COLOURS, "The colour of {k} is {v}."), ("sides", f.SIDES, "A {k} has {v} sides."), ("relay", f.RELAY, "{v}")):
        for k, v in table.items():
            yield _item(kind, form.format(k=k, v=v), x=k)
    pairs = f.OPPOSITES | {v: k for k, v in f.OPPOSITES.items() if v not in f.OPPOSITES}
    yield from (_item("opposite", f"The opposite of {k} is {v}.", x=k) for k, v in pairs.items())
    yield from (_item("unit", f"A {k} has {n} {part}.", x=k, y=part) for k, (n, part) in f.UNITS.items())
    yield from (_item("planet", f"Planet number {i} from the sun is {p}.", x=i) for i, p in enumerate(f.PLANETS, 1))


def _numbers():
    for a in range(13):
        for b in range(13):
            yield add(a, b)
            if a >= b:
                yield _item("sub", f"{a} minus {b} is {a - b}.", a=a, b=b)
            if a <= 10 and b <= 10:
                yield _item("mul", f"{a} times {b} is {a * b}.", a=a, b=b)
            if a != b:
                yield _item("larger", f"{max(a, b)} is larger than {min(a, b)}.", a=a, b=b)
            if a < b <= a + 6:
                yield _item("count", ", ".join(map(str, range(a, b + 1))) + ".", a=a, b=b)
    yield from (_item("parity", f"{a} is an {('even', 'odd')[a % 2]} number.", a=a) for a in range(31))


def add(a, b):
    """The item a + b: also what a chain of follow-ups is made of."""
    return _item("add", f"{a} plus {b} is {a + b}.", a=a, b=b)


def successor(kind, names, i):
    """The item "what comes after names[i]" (`day_after`, `month_after`)."""
    return _item(kind, f"After {names[i]} comes {names[(i + 1) % len(names)]}.", x=names[i])


def _calendar():
    for word, names in (("day", f.DAYS), ("month", f.MONTHS)):
        for i, name in enumerate(names):
            yield successor(f"{word}_after", names, i)
            yield _item(f"{word}_before", f"Before {name} comes {names[i - 1]}.", x=name)
    for i, (month, days) in enumerate(zip(f.MONTHS, f.MONTH_DAYS), 1):
        leap = ", or 29 in a leap year" if month == "February" else ""
        yield _item("month_days", f"{month} has {days} days{leap}.", x=month)
        yield _item("month_number", f"{month} is month number {i}.", x=month)


def _lists():
    for name, members in f.LISTS.items():
        words = members.split()
        for n in range(2, 7):
            said = f"{', '.join(words[:n - 1])} and {words[n - 1]}"
            yield _item("list", f"{f.NUMBER_WORDS[n].capitalize()} {name}: {said}.", n=f.NUMBER_WORDS[n], x=name)


def all_items():
    """Every item, by kind."""
    by_kind = {}
    for source in (_facts(), _numbers(), _calendar(), _lists()):
        for item in source:
            by_kind.setdefault(item.kind, []).append(item)
    return by_kind


def _name_answers(name):
    """To an introduction, and to "What is my name?"."""
    return f"Nice to meet you, {name}.", f"Your name is {name}."


ITEMS = all_items()
ITEM_WEIGHTS = {kind: len(items) ** 0.75 for kind, items in ITEMS.items()}


def every_answer():
    """All that the assistant may be expected to say."""
    yield from (item.answer for items in ITEMS.values() for item in items)
    yield from (*t.SOCIAL, *t.REFUSALS)
    for name in f.NAMES:
        yield from _name_answers(name)


def _capital(text):
    return text[:1].upper() + text[1:]


def wording(item, rng, held):
    """One wording of the item, from the trained or from the held-out templates."""
    kind = t.TEMPLATES[item.kind]
    if held:
        text = rng.choice(kind["held"])
    elif rng.random() < 0.5:
        text = rng.choice(t.WRAPPERS).replace("{np}", rng.choice(kind["np"]))
    else:
        text = rng.choice(kind["full"])
    return _capital(text.format(**dict(item.slots)))


def _sloppy(text, rng):
    """People type lower case and forget the question mark; trained wording does so now and then."""
    if rng.random() < 0.08:
        text = text.rstrip("?.!")
    if rng.random() < 0.04:
        text = text[:1].lower() + text[1:]
    return text


def invented_place(rng, held):
    """A name that no country has; held-out names end in syllables that trained ones never do."""
    ends = ("mor", "quil", "vash") if held else ("dor", "land", "nia", "ria", "stan", "via", "zia", "bar", "lon", "tis")
    starts = ("Zor", "Bel", "Kra", "Vel", "Mor", "Tal", "Quo", "Ely", "Gon", "Nar", "Fa", "Dru", "Atlan", "Ox", "Wak", "Pla", "Hy")
    return rng.choice(starts) + rng.choice(("", "a", "e", "o", "an", "i")) + rng.choice(ends)


def refusal(rng, held):
    """A question that the model must not try to answer."""
    answer = rng.choice(list(t.REFUSALS))
    text = rng.choice(t.REFUSALS[answer][held])
    return _capital(text.format(p=invented_place(rng, held), n=rng.randint(100, 9999), m=rng.randint(100, 9999),
                                t=rng.choice(t.TOPICS))), answer


def social(rng, held):
    """A greeting, a thank-you, a goodbye, a question about the model itself."""
    answer = rng.choice(list(t.SOCIAL))
    return rng.choice(t.SOCIAL[answer][held]), answer


def question(rng, held=False):
    """One question that stands alone, with its answer."""
    draw = rng.random()
    if draw < 0.06:
        return social(rng, held)
    if draw < 0.14:
        return refusal(rng, held)
    kind = rng.choices(list(ITEM_WEIGHTS), ITEM_WEIGHTS.values())[0]
    item = rng.choice(ITEMS[kind])
    return wording(item, rng, held), item.answer


def follow_up(rng, held=False):
    """Turns [(question, answer), ...] whose last one is understood only through the one before."""
    kind = rng.choice(list(t.FOLLOW_UPS))
    ask = rng.choice(t.FOLLOW_UPS[kind][held])
    if kind in ("capital", "opposite"):
        first, second = rng.sample(ITEMS[kind], 2)
        ask = ask.format(**dict(second.slots))
    elif kind in ("day_after", "month_after"):
        names = f.DAYS if kind == "day_after" else f.MONTHS
        i = rng.randrange(len(names))
        first, second = successor(kind, names, i), successor(kind, names, (i + 1) % len(names))
    elif kind == "add":
        total = rng.randint(0, 12)
        a, b = rng.randint(0, total), rng.randint(0, 12)
        first, second, ask = add(a, total - a), add(total, b), ask.format(b=b)
    elif kind == "its_continent":
        i = rng.randrange(len(ITEMS["capital"]))
        first, second = ITEMS["capital"][i], ITEMS["continent"][i]
    else:
        name = rng.choice(f.NAMES)
        intro = rng.choice(t.INTRODUCTIONS[held]).format(x=name)
        return list(zip((intro, ask), _name_answers(name)))
    return [(wording(first, rng, False), first.answer), (ask, second.answer)]


def exchange(rng, held=False):
    """The next turns of a conversation: mostly one question, one time in six a follow-up."""
    return follow_up(rng, held) if rng.random() < 1 / 6 else [question(rng, held)]


def conversation(rng, turns):
    """(system or None, [(question, answer), ...]) in trained wording."""
    system = rng.choice(t.SYSTEMS) if rng.random() < 0.3 else None
    said = []
    while len(said) < turns:
        said += [(_sloppy(q, rng), a) for q, a in exchange(rng)]
    return system, said


def messages(system, turns, last):
    """The OpenAI message list that ends with the user's `last`."""
    out = [{"role": "system", "content": system}] if system else []
    for asked, answered in turns:
        out += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return out + [{"role": "user", "content": last}]


def examination(seed, size, held):
    """`size` distinct cases {"messages", "answer"}: the sets by which accuracy is measured."""
    rng, seen, cases = random.Random(seed), set(), []
    while len(cases) < size:
        turns = exchange(rng, held)
        key = tuple(q for q, _ in turns)
        if key not in seen:
            seen.add(key)
            cases.append({"messages": messages(None, turns[:-1], turns[-1][0]), "answer": turns[-1][1]})
    return cases


def long_examination(seed, size=len(LONG_TURNS)):
    """Cases as above at the end of a conversation, about 900 tokens with the question; every second one is held out."""
    rng, cases = random.Random(seed), []
    for n in range(size):
        system, turns = conversation(rng, 1)
        while len(turns) < LONG_TURNS[n]:
            turns += exchange(rng)
        tail = exchange(rng, held=n % 2 == 1)
        cases.append({"messages": messages(system, turns + tail[:-1], tail[-1][0]), "answer": tail[-1][1]})
    return cases


def heldout():
    """The fixed held-out set, as committed."""
    return [json.loads(line) for line in HELDOUT_FILE.read_text().splitlines()]


def questions_digest(cases):
    """SHA-256 of what users say in `cases`."""
    said = (m["content"] for case in cases for m in case["messages"] if m["role"] == "user")
    return hashlib.sha256("".join(f"{line}\n" for line in said).encode()).hexdigest()


def write_heldout():
    """Writes the held-out set anew, after answers were worded anew; its questions must be the ones that were fixed."""
    cases = examination(HELDOUT_SEED, HELDOUT_SIZE, True)
    if questions_digest(cases) != HELDOUT_QUESTIONS_SHA256:
        raise SystemExit(f"{HELDOUT_FILE.name} is not written: its questions would move; undo what changes them in templates.py, facts.py or corpus.py")
    HELDOUT_FILE.write_text("".join(json.dumps(c) + "\n" for c in cases))
