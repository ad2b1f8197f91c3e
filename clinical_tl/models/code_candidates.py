"""Candidates for the codes of a note, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.display.discreet import Discreet
from clinical_tl.errors import TaskError
from clinical_tl.rules.matcher import coded, is_denied
from clinical_tl.schema import Note, Prediction, Span, score_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from clinical_tl.estimators.features import Floats, Ints
    from clinical_tl.estimators.name_index import FoundNames, NameIndex, ReadText
    from clinical_tl.models.label_names import NamingTask
    from clinical_tl.rules.matcher import RuleMatcher

Embed = Callable[[Sequence[str]], "Floats"]
"""Texts → their vectors (texts, d)."""

FEATURES = (
    *("score", "trained"),
    *("similar", "similar, new"),
    *("named", "named, new", "in one piece", "in one piece, new", "whole"),
    *("mentioned", "denied"),
    *("kin", "notes"),
)
"""What is known of a candidate.

`score` is the logit of the model's probability, `trained` whether there is one, `notes` the
logarithm of 1 + the training notes that have the code. `similar` is the cosine of its likest name
and the likest piece of the note, `named` the share of its best name that stands in the note, `in
one piece` in one piece of it; each once for trained codes and once for `new` ones. `whole` says
that one piece has a whole name, `mentioned` and `denied` that a rule fired, divided among the codes
that it may mean. `kin` says of a new code that trained ones begin as it does (`KIN` characters, a
category of ICD): one of these may be meant.
"""
KIN = 3
# Probabilities are taken between this and its complement.
TINY = 1e-6
SCORED, NAMED, SOUGHT = 100, 50, 300
"""Candidates of a note: by the model's score, by names; and those whose names are sought piece by
piece. On CodiEsp's dev notes 10 to 200 by names differ by 0.002 in micro-F1."""
MOST_NAMES = 8
"""Of a code that are embedded, the first ones."""
CHUNK = 256
_WHOLE = 0.99


@dataclass(frozen=True, eq=False, repr=False)
class Candidates(Discreet):
    """The candidates of one note.

    `codes` are places in the open code set, `features` (candidates, features); `likest` is the
    piece of the text that each is likest to, `mentions` the rules' by code.
    """

    codes: Ints
    features: Floats
    read: ReadText
    found: FoundNames
    likest: Ints
    mentions: Mapping[str, Sequence[Span]]


def candidates(
    task: NamingTask,
    index: NameIndex,
    matcher: RuleMatcher,
    notes: Sequence[Note],
    predictions: Sequence[Prediction],
    embed: Embed,
    named: dict[str, Floats],
) -> Iterator[Candidates]:
    """The candidates of each note, by a model's predictions, an index of names and their rules.

    `named` are the vectors of names that are known; those of new ones join them.
    Raises `TaskError` for predictions that lack scores.
    """
    # Names are met again; pieces of notes are not, and are nobody's to keep.
    for start in range(0, len(notes), CHUNK):
        texts = [note.text for note in notes[start : start + CHUNK]]
        rows = score_rows(predictions[start : start + CHUNK], task.labels.names)
        if rows is None:
            raise TaskError(
                "open code set: the predictions lack the scores of some code; give what the "
                "model's predict() gives"
            )
        reads = [(text, index.read(text)) for text in texts]
        spans = [matcher.spans(text) for text in texts]
        chosen = [
            _chosen(index, read, row, coded(said))
            for (_, read), row, said in zip(reads, rows, spans, strict=True)
        ]
        codes_of = [codes for codes, _ in chosen]
        new = [t for t in dict.fromkeys(_texts(index, reads, codes_of)) if t not in named]
        vectors = named | dict(zip(new, embed(new), strict=True)) if new else named
        own = {text[a:b] for text, read in reads for a, b in read.pieces}
        named.update((text, vectors[text]) for text in new if text not in own)
        for (text, read), row, said, own_codes in zip(reads, rows, spans, chosen, strict=True):
            yield _described(task, index, text, read, row, said, own_codes, vectors)


def _chosen(
    index: NameIndex, read: ReadText, row: Floats, mentioned: Mapping[str, Any]
) -> tuple[Ints, Floats]:
    """The candidates of a note, as places in the open code set, and how much of each is named."""
    scored = _highest(row, SCORED)
    positions = index.positions
    ruled = [positions[code] for code in mentioned if code in positions]
    anywhere = index.coverage(read)
    sought = np.unique([*scored, *ruled, *_highest(anywhere, SOUGHT)]).astype(np.int64)
    together = index.found(read, sought).coverage
    by_name = [*_highest(anywhere, NAMED), *sought[_highest(together, NAMED)]]
    codes = np.unique([*scored, *ruled, *by_name]).astype(np.int64)
    return codes, anywhere[codes]


def _highest(values: npt.NDArray[np.floating], n: int) -> Ints:
    """Places of the `n` highest values above 0."""
    best = np.argpartition(-values, n - 1)[:n] if len(values) > n else np.arange(len(values))
    found: Ints = best[values[best] > 0]
    return found


def _texts(
    index: NameIndex, reads: Sequence[tuple[str, ReadText]], chosen: Sequence[Ints]
) -> Iterator[str]:
    """The texts whose vectors tell how like candidates and notes are."""
    for text, read in reads:
        yield from (text[start:end] for start, end in read.pieces)
    for code in np.unique(np.concatenate(chosen)).tolist():
        yield from (index.names[row] for row in _embedded(index, code))


def _embedded(index: NameIndex, code: int) -> range:
    first, stop = index.first_names[code : code + 2].tolist()
    return range(first, min(stop, first + MOST_NAMES))


def _described(
    task: NamingTask,
    index: NameIndex,
    text: str,
    read: ReadText,
    row: Floats,
    spans: Sequence[Span],
    chosen: tuple[Ints, Floats],
    vectors: Mapping[str, Floats],
) -> Candidates:
    """The candidates of a note with their features."""
    codes, anywhere = chosen
    n_trained = len(task.labels)
    trained = codes < n_trained
    columns = codes[trained]
    score, notes = np.zeros(len(codes)), np.zeros(len(codes))
    inside = row[columns].clip(TINY, 1 - TINY)
    score[trained] = np.log(inside / (1 - inside))
    names = [index.codes[code] for code in codes]
    begins = {label[:KIN] for label in task.labels}
    kin = np.array([name[:KIN] in begins for name in names], dtype=bool)
    notes[trained] = np.log1p(np.array(task.labels.support or [0] * n_trained)[columns])
    found = index.found(read, codes)
    similar, likest = _similar(index, text, read, codes, vectors)
    asserted, refused = (
        {code: max(1 / len(span.concepts) for span in own) for code, own in sides.items()}
        for sides in (
            _by_code(span for span in spans if is_denied(span) is denied)
            for denied in (False, True)
        )
    )
    features = np.stack(
        [
            score,
            trained,
            *(similar * trained, similar * ~trained),
            *(anywhere * trained, anywhere * ~trained),
            *(found.coverage * trained, found.coverage * ~trained),
            found.coverage > _WHOLE,
            np.array([asserted.get(name, 0.0) for name in names]),
            np.array([refused.get(name, 0.0) for name in names]),
            kin & ~trained,
            notes,
        ],
        axis=1,
    ).astype(np.float64)
    mentions = coded(span for span in spans if not is_denied(span))
    return Candidates(codes, features, read, found, likest, mentions)


def _by_code(spans: Iterable[Span]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for span in spans:
        for code in span.concepts:
            found.setdefault(code, []).append(span)
    return found


def _similar(
    index: NameIndex,
    text: str,
    read: ReadText,
    codes: Ints,
    vectors: Mapping[str, Floats],
) -> tuple[Floats, Ints]:
    """The cosine of each code's likest name and the likest piece, and which piece that is."""
    similar, likest = np.zeros(len(codes)), np.full(len(codes), -1, dtype=np.int64)
    rows = [list(_embedded(index, code)) for code in codes.tolist()]
    owners = np.repeat(np.arange(len(codes)), [len(own) for own in rows])
    if not len(owners) or not read.pieces:
        return similar, likest
    names = np.stack([vectors[index.names[row]] for own in rows for row in own])
    parts = np.stack([vectors[text[start:end]] for start, end in read.pieces])
    cosines = names @ parts.T
    best, where = cosines.max(axis=1), cosines.argmax(axis=1)
    order = np.argsort(best, kind="stable")
    similar[owners[order]], likest[owners[order]] = best[order], where[order]
    return similar, likest


def evidence_of(
    index: NameIndex,
    said: Prediction,
    pool: Candidates,
    place: int,
    code: str,
    sources: Sequence[str],
) -> Iterator[Span]:
    """Where what spoke for a code stands, source by source; no stretch twice."""
    seen: set[tuple[int, int]] = set()
    for source in sources:
        stretches: list[tuple[int, int, float | None]] = []
        if source == "model":
            stretches = [(s.start, s.end, s.score) for s in said.evidence.get(code, ())]
        elif source == "rules":
            stretches = [(s.start, s.end, s.score) for s in pool.mentions.get(code, ())[:1]]
        elif source == "name" and (bounds := index.evidence(pool.read, pool.found, place)):
            stretches = [(*bounds, float(pool.found.coverage[place]))]
        elif source == "similar" and pool.likest[place] >= 0:
            stretches = [(*pool.read.pieces[pool.likest[place]], None)]
        for start, end, score in stretches:
            if (start, end) not in seen:
                seen.add((start, end))
                yield Span(start, end, code, attributes=(("source", source),), score=score)
