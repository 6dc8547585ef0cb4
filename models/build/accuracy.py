"""Measures accuracy: an answer is right when it is, word for word, the one written for the question, and ended.

The held-out questions are the committed file `heldout.jsonl`; the others are drawn by fixed seeds.
"""

import argparse
import json
import time
import urllib.request

from build import corpus
from build.venv import MODELS

CHAT, GPT2 = MODELS / "relay-chat", MODELS / "relay-gpt2"
AIMS = {"trained": 0.98, "held-out": 0.85, "long, trained": 0.98, "long, held-out": 0.85}
BEGIN, FINISH = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"


def sets(sample=None):
    """name -> cases; `sample` takes that many of each, evenly spread."""
    long = corpus.long_examination(corpus.LONG_SEED)
    every = {"trained": corpus.examination(41, 600, False), "held-out": corpus.heldout(), "long, trained": long[::2], "long, held-out": long[1::2]}
    return {name: cases[::max(1, len(cases) // sample)][:sample] if sample else cases for name, cases in every.items()}


def local_answerer(graph):
    """messages -> (text, ended, prompt tokens, answer tokens without the end), by the committed graph."""
    import jinja2
    from tokenizers import Tokenizer

    from build.runtime import Onnx, greedy
    tokenizer, model = Tokenizer.from_file(str(CHAT / "tokenizer.json")), Onnx(CHAT, graph)
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string((CHAT / "chat_template.jinja").read_text())
    end = json.loads((CHAT / "generation_config.json").read_text())["eos_token_id"]

    def answer(messages):
        prompt = tokenizer.encode(template.render(messages=messages, add_generation_prompt=True), add_special_tokens=False).ids
        said = greedy(model, prompt, end)
        ended = said[-1] == end
        return tokenizer.decode(said), ended, len(prompt), len(said) - ended

    return answer


def text_answerer(graph):
    """The same for the GPT-2-shaped model, which continues plain text and knows single questions only."""
    from tokenizers import Tokenizer

    from build.runtime import Onnx, greedy
    tokenizer, model = Tokenizer.from_file(str(GPT2 / "tokenizer.json")), Onnx(GPT2, graph)
    end = json.loads((GPT2 / "generation_config.json").read_text())["eos_token_id"]

    def answer(messages):
        prompt = tokenizer.encode(f"Question: {messages[-1]['content']}\nAnswer:").ids
        said = greedy(model, prompt, end)
        ended = said[-1] == end
        return tokenizer.decode(said), ended, len(prompt), len(said) - ended

    return answer


def relay_answerer(base_url, model):
    """The same through an OpenAI chat completions endpoint."""

    def answer(messages):
        body = json.dumps({"model": model, "messages": messages, "temperature": 0, "max_tokens": 80}).encode()
        request = urllib.request.Request(f"{base_url.rstrip('/')}/chat/completions", body,
                                         {"Content-Type": "application/json", "X-Tenant-Id": "accuracy"})
        with urllib.request.urlopen(request, timeout=120) as response:
            reply = json.load(response)
        choice, usage = reply["choices"][0], reply.get("usage") or {}
        return choice["message"]["content"], choice["finish_reason"] == "stop", usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)

    return answer


def examine(answer, cases):
    """(right, token counts of prompts, of answers, texts, [(question, wanted, got), ...] of the wrong ones)."""
    wrong, prompts, answers, texts = [], [], [], []
    for case in cases:
        text, ended, prompt_tokens, answer_tokens = answer(case["messages"])
        prompts.append(prompt_tokens)
        answers.append(answer_tokens)
        texts.append(text.strip() if ended else f"{text} [not ended]")
        if texts[-1] != case["answer"]:
            wrong.append((case["messages"][-1]["content"], case["answer"], texts[-1]))
    return len(cases) - len(wrong), prompts, answers, texts, wrong


def compared(said):
    """A line for each place after the first: how many of its answers are the first place's, right or wrong."""
    first, *others = said
    for place in others:
        same = sum(a == b for a, b in zip(said[first], said[place]))
        yield f"{same:,} of {len(said[first]):,} answers from {place} are, word for word, those of {first}.\n"


def write_card(folder, report):
    """Puts the report between the markers of the model card."""
    card = folder / "MODEL_CARD.md"
    head, rest = card.read_text().split(BEGIN)
    card.write_text(f"{head}{BEGIN}\n{report}{FINISH}{rest.split(FINISH)[1]}")


def places(args):
    """name -> what answers there: the graphs asked for, then Relay; the fp32 graph where nothing is named."""
    local = text_answerer if args.gpt2 else local_answerer
    graphs = args.graph or ([] if args.base_url else ["model.onnx"])
    return {graph: local(graph) for graph in graphs} | ({"Relay": relay_answerer(args.base_url, args.model)} if args.base_url else {})


def main():
    """Prints one row a set; exits 0 whatever was reached: the figures are a report, the checker is the test."""
    parser = argparse.ArgumentParser(description="Accuracy of the chat model, by the committed graphs and through Relay.")
    parser.add_argument("--base-url", help="an OpenAI endpoint, for example http://127.0.0.1:8000/v1")
    parser.add_argument("--model", default="relay-chat", help="the model's name at that endpoint")
    parser.add_argument("--graph", action="append", help="graphs under relay-chat/onnx (default: model.onnx, without --base-url)")
    parser.add_argument("--gpt2", action="store_true", help="the single questions as plain text, by relay-gpt2")
    parser.add_argument("--sample", type=int, help="questions of each set (default: all)")
    parser.add_argument("--wrong", action="store_true", help="print every wrong answer")
    parser.add_argument("--write-card", action="store_true", help="put the figures into the model card")
    args = parser.parse_args()
    if args.gpt2 and args.base_url:
        parser.error("--gpt2 reads graphs only: that model has no chat template to be asked with; leave --base-url out")
    questions = sets(args.sample)
    if args.gpt2:
        questions = {name: [c for c in questions[name] if len(c["messages"]) == 1] for name in ("trained", "held-out")}
    report = "| run on | wording | right | of | share | aim | prompt tokens | answer tokens |\n|---|---|---|---|---|---|---|---|\n"
    print(report, end="", flush=True)
    said = {}
    for place, answer in places(args).items():
        started = time.monotonic()
        for name, cases in questions.items():
            right, prompts, answers, texts, wrong = examine(answer, cases)
            said.setdefault(place, []).extend(texts)
            aim = "none" if args.gpt2 else f"{AIMS[name]:.0%}"
            row = (f"| {place} | {name} | {right} | {len(cases)} | {right / len(cases):.1%} | {aim} "
                   f"| {min(prompts)}–{max(prompts)} | {min(answers)}–{max(answers)} |\n")
            report += row
            print(row, end="", flush=True)
            for question, wanted, got in wrong if args.wrong else []:
                print(f"    {question!r}: wanted {wanted!r}, got {got!r}")
        print(f"({time.monotonic() - started:.0f} s)", flush=True)
    same = "".join(compared(said))
    print(same, end="")
    if args.write_card:
        write_card(GPT2 if args.gpt2 else CHAT, report + (f"\n{same}" if same else ""))
    return 0
