"""Megabytes of text a second that 70,000 rules read on one core.

Run with `make bench`. The lexicon is the one of the corpora's folder or, without it, made up;
so are the notes. The peer is the same phrase matcher behind spaCy's own tokenizer.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import statistics
import time
from pathlib import Path

import pytest

from clinical_tl.data.corpora import VARIABLE
from clinical_tl.rules.lexicon import from_lexicon
from clinical_tl.rules.matcher import RuleMatcher
from clinical_tl.schema import Note

ROUNDS = 5
BYTES = 2_000_000
NAMES = 70_000


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory):
    """(path, columns) of at least 70,000 names."""
    path = Path(os.environ.get(VARIABLE, "")) / "lexicons" / "diseases_mesh.tsv.gz"
    if path.exists():
        return path, {"name_column": "variant", "id_column": "mesh_id"}
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("lexicon") / "names.tsv"
    names = (f"{_word(rng)} {_word(rng)} {_word(rng)}\tD{i}\n" for i in range(NAMES))
    path.write_text("".join(names), encoding="utf-8")
    return path, {}


@pytest.fixture(scope="module")
def notes():
    """About 2 MB of case reports or, without them, of made-up words."""
    folder = Path(os.environ.get(VARIABLE, "")) / "unlabelled"
    texts, size = [], 0
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            for line in stream:
                if size < BYTES:
                    texts.append(json.loads(line)["text"])
                    size += len(texts[-1].encode())
    rng = random.Random(1)
    while size < BYTES:
        texts.append(" ".join(_word(rng) for _ in range(300)))
        size += len(texts[-1])
    return [Note(str(number), text) for number, text in enumerate(texts)]


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abdeilmnorst") for _ in range(rng.randint(3, 9)))


@pytest.mark.benchmark
@pytest.mark.parametrize("context", [False, True], ids=["without context", "with context"])
def test_rules_against_spacys_tokenizer(lexicon, notes, context):
    import spacy
    from spacy.matcher import PhraseMatcher

    path, columns = lexicon
    rules = from_lexicon(path, **columns)
    started = time.perf_counter()
    matcher = RuleMatcher(rules, context=context)
    compiled = time.perf_counter() - started
    language = spacy.blank("en")
    peer = PhraseMatcher(language.vocab, attr="LOWER")
    peer.add("name", list(language.tokenizer.pipe(rule.pattern for rule in rules)))
    texts = [note.text for note in notes]

    def read_by_peer():
        return sum(len(peer(doc)) for doc in language.tokenizer.pipe(texts))

    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(ROUNDS):
        for name, run in (("ours", lambda: matcher.predict(notes)), ("peer", read_by_peer)):
            started = time.process_time()
            run()
            seconds[name].append(time.process_time() - started)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    ours, theirs = (megabytes / statistics.median(seconds[name]) for name in ("ours", "peer"))
    mentions = sum(len(prediction.spans) for prediction in matcher.predict(notes))
    print(
        f"\n{len(rules)} rules compiled in {compiled:.1f} s; {mentions} mentions in "
        f"{megabytes:.1f} MB: ours {ours:.2f} MB/s, spaCy's tokenizer and matcher "
        f"{theirs:.2f} MB/s, ratio {ours / theirs:.2f}x"
    )
    assert len(rules) >= NAMES - 100
