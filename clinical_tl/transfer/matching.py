"""Matching source and target by their nearest nodes: labels by prototypes, notes by neighbours.

A label is a node where its examples lie; labels of two corpora that mean the same lie near
each other whatever they are called. What is matched starts a target head from source weights
(`fit(..., init_labels=match_labels(...).mapping)`), or labels target notes that nobody has
labelled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from clinical_tl.data.codes.code_system import CodeSystem, Level
from clinical_tl.data.codes.known_systems import SystemName, find_system
from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.display.discreet import Discreet
from clinical_tl.display.table import Table, Tabular
from clinical_tl.errors import (
    ConfigError,
    MissingExtraError,
    NoteError,
    TaskError,
    shown_id,
    shown_ids,
    shown_value,
)
from clinical_tl.estimators.nearest_nodes import (
    assign_nodes,
    cosine_distances,
    mutual_neighbours,
)
from clinical_tl.network.embeddings import embed
from clinical_tl.schema import Note
from clinical_tl.text.visible import has_text

if TYPE_CHECKING:
    from clinical_tl.network.frozen_encoder import FrozenEncoder

LabelField = Literal["label", "codes", "spans"]

MAX_EXAMPLES = 200
"""Examples a label that its prototype is made of, at most (a seeded sample)."""


@dataclass(frozen=True, eq=False, repr=False)
class LabelPair(Discreet):
    """A source and a target label, their distance, and whether it is small enough."""

    source: str
    target: str
    distance: float
    accepted: bool


@dataclass(frozen=True, eq=False, repr=False)
class LabelMatching(Tabular, Discreet):
    """Matched labels, nearest first; `limit` is the distance from which on a pair is rejected.

    `unmatched` target labels got no partner at all.
    """

    pairs: tuple[LabelPair, ...]
    unmatched: tuple[str, ...]
    limit: float

    @property
    def mapping(self) -> dict[str, tuple[str, ...]]:
        """Target label → its source labels, accepted pairs only: `init_labels` of `fit`."""
        found: dict[str, tuple[str, ...]] = {}
        for pair in self.pairs:
            if pair.accepted:
                found[pair.target] = (*found.get(pair.target, ()), pair.source)
        return found

    def table(self) -> Table:
        """Rows for `format_table`, rejected pairs and unmatched labels included."""
        rows: list[dict[str, object]] = [
            {
                "target": pair.target,
                "source": pair.source,
                "distance": pair.distance,
                "accepted": "yes" if pair.accepted else f"no (above {self.limit:.3f})",
            }
            for pair in self.pairs
        ]
        rows.extend(
            {"target": name, "source": None, "distance": None, "accepted": "no partner"}
            for name in self.unmatched
        )
        return Table(rows, names=("target", "source"))


@dataclass(frozen=True, eq=False, repr=False)
class NoteMatching(Discreet):
    """Target notes with the label that their mutual neighbours among the source notes carry.

    `notes` are the labelled ones; their metadata says where the label came from
    (`silver`: source "matching", the neighbours' ids, the share of their weight that agrees).
    `unmatched` are the ids of target notes without a mutual neighbour, or of codes without one
    that half of the votes are for.
    """

    notes: tuple[Note, ...]
    unmatched: tuple[str, ...]


def match_labels(
    source: NotesLike,
    target: NotesLike,
    encoder: str | Path | FrozenEncoder,
    *,
    field: LabelField,
    level: Level = "code",
    code_system: SystemName = "icd10cm",
    descriptions: Mapping[str, str] | None = None,
    one_to_many: bool = False,
    many_to_one: bool = False,
    limit: float | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
) -> LabelMatching:
    """Match the labels of two annotated corpora by the distance of their prototypes.

    A prototype is the mean direction of a label's examples (notes for `label` and `codes`,
    mentions for `spans`) and, with equal weight, of its description where one is known: from
    `descriptions`, for codes from their system's list. Codes are taken in their one spelling and at
    `level`, as `DiagnosisCoding` takes them; those that are not the system's as they are.

    Args:
        source: notes annotated with the source labels.
        target: notes annotated with the target labels.
        encoder: what examples and descriptions are embedded with.
        field: which annotation is meant.
        level: of codes: that of the tasks that are to be matched.
        code_system: of codes: that of the tasks.
        descriptions: label → what it means, for labels of either side.
        one_to_many: let a source label serve several target labels; each gets its nearest.
        many_to_one: let a target label have several source labels; each goes to its nearest.
        limit: reject pairs at a greater distance; by default the median distance between
            different source labels, which are known to mean different things (with fewer than
            three source labels nothing is rejected).
        cache: as in `embed`.
        seed: of the sample of examples where a label has more than `MAX_EXAMPLES`.
        progress: show progress bars.

    Raises:
        TaskError: a side without any label of this kind, or with codes that have no such level.
        ConfigError: a field or level that does not exist, one to many and many to one at once.
        EncoderError: as `embed`.
    """
    if field not in get_args(LabelField):
        raise ConfigError(f"field {shown_value(field)}: choose 'label', 'codes' or 'spans'")
    if one_to_many and many_to_one:
        raise ConfigError("one_to_many and many_to_one exclude one another; choose one")
    sides = []
    for name, notes in (("source", source), ("target", target)):
        records = as_notes(notes)
        codes = _Codes.of(records, level, code_system) if field == "codes" else None
        examples = _examples(records, field, codes, seed)
        if not examples:
            raise TaskError(
                f"the {name} notes have no {shown_value(field)} to match; annotate some"
            )
        meanings = {
            label: meant
            for label in examples
            if (meant := (descriptions or {}).get(label) or (codes and codes.meaning(label)))
        }
        sides.append(_prototypes(examples, encoder, meanings, cache, progress=progress))
    (source_labels, source_nodes), (target_labels, target_nodes) = sides
    if limit is None:
        limit = _median_distance(source_nodes)
    distances = cosine_distances(source_nodes, target_nodes)
    pairs = [
        LabelPair(
            source_labels[pair.source],
            target_labels[pair.target],
            pair.distance,
            pair.distance <= limit,
        )
        for pair in (
            [pair.turned() for pair in assign_nodes(distances.T, one_to_many=True)]
            if many_to_one
            else assign_nodes(distances, one_to_many=one_to_many)
        )
    ]
    matched = {pair.target for pair in pairs}
    return LabelMatching(
        tuple(sorted(pairs, key=lambda pair: (pair.distance, pair.target))),
        tuple(name for name in target_labels if name not in matched),
        limit,
    )


def match_notes(
    source: NotesLike,
    target: NotesLike | Sequence[str],
    encoder: str | Path | FrozenEncoder,
    *,
    field: Literal["label", "codes"] = "label",
    level: Level = "code",
    code_system: SystemName = "icd10cm",
    k: int = 5,
    cache: str | Path | None = None,
    progress: bool = True,
) -> NoteMatching:
    """Carry the labels of source notes to target notes that are their mutual neighbours.

    A source and a target note are mutual neighbours if each is among the other's `k` nearest
    by cosine distance, and if that is below 1: what has nothing in common is no neighbour,
    however few notes there are. The neighbours vote, each with 1 − distance; of equal sums the
    label that comes first by name wins. Of codes (`field="codes"`) each is carried over that at
    least half of the votes are for; those with fewer are `silver.unsure_codes`,
    not known to be absent; both at `level`, see `match_labels`. Notes without a word have no
    neighbours.

    Raises:
        TaskError: source notes without this field, or with codes that have no such level, or k
            below 1.
        NoteError: target notes that have it already: silver never takes the place of gold.
        ConfigError: another field or level.
        EncoderError: as `embed`.
    """
    if field not in ("label", "codes"):
        raise ConfigError(f"field {shown_value(field)}: notes carry their 'label' or their 'codes'")
    source_notes, target_notes = as_notes(source), as_notes(target)
    unlabelled = sum(getattr(note, field) is None for note in source_notes)
    if unlabelled or not source_notes:
        raise TaskError(
            f"{unlabelled} of {len(source_notes)} source notes have no {shown_value(field)} to "
            "carry over; leave them out"
        )
    known = [note.note_id for note in target_notes if getattr(note, field) is not None]
    if known:
        raise NoteError(
            f"{len(known)} of {len(target_notes)} target notes have a {shown_value(field)} "
            f"already, e.g. {shown_ids(known)}; give only notes without ({field}=None), so that no "
            "gold is lost"
        )
    source_nodes, target_nodes = (
        embed(encoder, notes, cache=cache, progress=progress).matrix
        for notes in (source_notes, target_notes)
    )
    codes = _Codes.of(source_notes, level, code_system) if field == "codes" else None
    votes: defaultdict[int, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    weights: defaultdict[int, float] = defaultdict(float)
    neighbours: defaultdict[int, list[str]] = defaultdict(list)
    # A note without a token has no direction.
    ours, theirs = (
        np.array([i for i, note in enumerate(notes) if has_text(note.text) and nodes[i].any()], int)
        for nodes, notes in ((source_nodes, source_notes), (target_nodes, target_notes))
    )
    pairs = (
        mutual_neighbours(source_nodes[ours], target_nodes[theirs], k=k)
        if len(ours) and len(theirs)
        else []
    )
    for pair in pairs:
        if pair.distance < 1:
            note, number = source_notes[ours[pair.source]], int(theirs[pair.target])
            weights[number] += 1 - pair.distance
            for name in [str(note.label)] if codes is None else codes.of_note(note):
                votes[number][name] += 1 - pair.distance
            neighbours[number].append(note.note_id)
    labelled, done = [], set[int]()
    for number in sorted(votes):
        shares = {name: n / weights[number] for name, n in sorted(votes[number].items())}
        chosen = (
            [max(shares, key=lambda name: shares[name])]
            if field == "label"
            else [name for name, share in shares.items() if share >= 0.5]
        )
        if not chosen:
            continue
        done.add(number)
        score = min(shares[name] for name in chosen)
        silver: dict[str, object] = {
            "source": "matching",
            "from": neighbours[number],
            "score": round(score, 4),
        }
        note = target_notes[number]
        if field == "label":
            labelled.append(_silver(replace(note, label=chosen[0]), silver))
            continue
        silver["scores"] = {name: round(shares[name], 4) for name in chosen}
        silver["unsure_codes"] = [name for name in shares if name not in chosen]
        labelled.append(_silver(replace(note, codes=tuple(chosen)), silver))
    unmatched = tuple(note.note_id for i, note in enumerate(target_notes) if i not in done)
    return NoteMatching(tuple(labelled), unmatched)


@dataclass(frozen=True)
class _Codes:
    """How the codes of some notes are read: as a system's at a level, or as `foreign` ones."""

    system: CodeSystem
    level: Level
    foreign: bool

    @classmethod
    def of(cls, notes: Sequence[Note], level: Level, code_system: SystemName) -> _Codes:
        """Raises `ConfigError` for an unknown system or level."""
        system = find_system(code_system)
        system.check_level(level)
        given = [code for note in notes for code in note.codes or ()]
        return cls(system, level, any(True for _ in system.foreign(given)))

    def of_note(self, note: Note) -> tuple[str, ...]:
        """The note's codes, each once. Raises `TaskError` for one that has no such level."""
        if self.level == "code":
            return tuple(dict.fromkeys(map(self._spelt, note.codes or ())))
        try:
            return self.system.roll_up(note.codes or (), self.level)
        except NoteError as error:
            raise TaskError(
                f"note {shown_id(note.note_id)!r} has a code without a {self.level}: {error}"
            ) from error

    def meaning(self, code: str) -> str | None:
        """What the system's list says of a code, or of a chapter."""
        # Codes of another system have no place in the list, whatever is spelt alike.
        if self.foreign:
            return None
        try:
            return self.system.describe(code)
        except (NoteError, MissingExtraError):
            return None

    def _spelt(self, code: str) -> str:
        if self.foreign:
            return code
        try:
            return self.system.normalise(code)
        except NoteError:
            return code


def _silver(note: Note, silver: dict[str, object]) -> Note:
    return replace(note, metadata={**note.metadata, "silver": silver})


def _examples(
    notes: Sequence[Note], field: LabelField, codes: _Codes | None, seed: int
) -> dict[str, list[str]]:
    """Label → texts that carry it, by name, a seeded sample where there are many."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for note in notes:
        if codes is not None:
            for code in codes.of_note(note):
                found[code].append(note.text)
        elif field == "label":
            if note.label is not None:
                found[note.label].append(note.text)
        else:
            for span in note.spans or ():
                found[span.label].append(note.text[span.start : span.end])
    rng = np.random.default_rng(seed)
    chosen = {}
    for label in sorted(found):
        texts = sorted(set(found[label]))
        if len(texts) > MAX_EXAMPLES:
            kept = rng.choice(len(texts), MAX_EXAMPLES, replace=False)
            texts = [texts[i] for i in sorted(kept.tolist())]
        chosen[label] = texts
    return chosen


def _prototypes(
    examples: Mapping[str, Sequence[str]],
    encoder: str | Path | FrozenEncoder,
    means: Mapping[str, str],
    cache: str | Path | None,
    *,
    progress: bool,
) -> tuple[list[str], np.ndarray]:
    """Labels, and their prototypes, shape (labels, d); `means` says of some what they mean."""
    texts = sorted({text for some in examples.values() for text in some})
    every = texts + [means[label] for label in sorted(means)]
    vectors = embed(encoder, every, cache=cache, progress=progress).matrix
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, 1)
    directions[[not has_text(text) for text in every]] = 0
    row = {text: i for i, text in enumerate(texts)}
    described = {label: directions[len(texts) + i] for i, label in enumerate(sorted(means))}
    nodes, blank = [], []
    for label, some in examples.items():
        node = directions[[row[text] for text in some]].mean(axis=0)
        if label in described:
            node = node / max(float(np.linalg.norm(node)), 1e-12) + described[label]
        if not node.any():
            blank.append(label)
        nodes.append(node)
    if blank:
        raise TaskError(
            f"{len(blank)} labels have neither a description nor an example with a word in it, "
            f"{shown_ids(blank, 'label')}; leave them out, or describe them"
        )
    return list(examples), np.stack(nodes)


def _median_distance(nodes: np.ndarray) -> float:
    """Median distance between different nodes; with fewer than three, more than any distance."""
    if len(nodes) < 3:
        return float("inf")
    distances = cosine_distances(nodes, nodes)
    return float(np.median(distances[np.triu_indices(len(nodes), 1)]))
