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

from clinical_tl.data import icd10
from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.nearest_nodes import (
    assign_nodes,
    cosine_distances,
    mutual_neighbours,
)
from clinical_tl.schema import Note, Notes, as_notes
from clinical_tl.transfer.embeddings import embed

if TYPE_CHECKING:
    from clinical_tl.models.frozen_encoder import FrozenEncoder

LabelField = Literal["label", "codes", "spans"]

MAX_EXAMPLES = 200
"""Examples a label that its prototype is made of, at most (a seeded sample)."""


@dataclass(frozen=True)
class LabelPair:
    """A source and a target label, their distance, and whether it is small enough."""

    source: str
    target: str
    distance: float
    accepted: bool


@dataclass(frozen=True)
class LabelMatching:
    """Matched labels, nearest first; `limit` is the distance from which on a pair is rejected.

    `unmatched` target labels got no partner at all.
    """

    pairs: tuple[LabelPair, ...]
    unmatched: tuple[str, ...]
    limit: float

    @property
    def mapping(self) -> dict[str, tuple[str, ...]]:
        """Target label → its source label, accepted pairs only: `init_labels` of `fit`."""
        return {pair.target: (pair.source,) for pair in self.pairs if pair.accepted}

    def table(self) -> list[dict[str, object]]:
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
        return rows


@dataclass(frozen=True)
class NoteMatching:
    """Target notes with the label that their mutual neighbours among the source notes carry.

    `notes` are the labelled ones; their metadata says where the label came from
    (`silver`: source "matching", the neighbours' ids, the share of their weight that agrees).
    `unmatched` are the ids of target notes without a mutual neighbour.
    """

    notes: tuple[Note, ...]
    unmatched: tuple[str, ...]


def match_labels(
    source: Notes | Sequence[Note],
    target: Notes | Sequence[Note],
    encoder: str | Path | FrozenEncoder,
    *,
    field: LabelField,
    descriptions: Mapping[str, str] | None = None,
    one_to_many: bool = False,
    limit: float | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
) -> LabelMatching:
    """Match the labels of two annotated corpora by the distance of their prototypes.

    A prototype is the mean direction of a label's examples (notes for `label` and `codes`,
    mentions for `spans`) and, with equal weight, of its description where one is known: from
    `descriptions`, for ICD codes from the tabular list.

    Args:
        source: notes annotated with the source labels.
        target: notes annotated with the target labels.
        encoder: what examples and descriptions are embedded with.
        field: which annotation is meant.
        descriptions: label → what it means, for labels of either side.
        one_to_many: let a source label serve several target labels.
        limit: reject pairs at a greater distance; by default the median distance between
            different source labels, which are known to mean different things (with fewer than
            three source labels nothing is rejected).
        cache: as in `embed`.
        seed: of the sample of examples where a label has more than `MAX_EXAMPLES`.
        progress: show progress bars.

    Raises:
        TaskError: a side without any label of this kind.
        ConfigError: a field that does not exist.
        EncoderError: as `embed`.
    """
    if field not in get_args(LabelField):
        raise ConfigError(f"field {field!r}: choose 'label', 'codes' or 'spans'")
    sides = []
    for name, notes in (("source", source), ("target", target)):
        examples = _examples(as_notes(notes), field, seed)
        if not examples:
            raise TaskError(f"the {name} notes have no {field!r} to match; annotate some")
        sides.append(
            _prototypes(examples, encoder, descriptions or {}, field, cache, progress=progress)
        )
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
        for pair in assign_nodes(distances, one_to_many=one_to_many)
    ]
    matched = {pair.target for pair in pairs}
    return LabelMatching(
        tuple(sorted(pairs, key=lambda pair: (pair.distance, pair.target))),
        tuple(name for name in target_labels if name not in matched),
        limit,
    )


def match_notes(
    source: Notes | Sequence[Note],
    target: Notes | Sequence[Note] | Sequence[str],
    encoder: str | Path | FrozenEncoder,
    *,
    k: int = 5,
    cache: str | Path | None = None,
    progress: bool = True,
) -> NoteMatching:
    """Carry the labels of source notes to target notes that are their mutual neighbours.

    A source and a target note are mutual neighbours if each is among the other's `k` nearest
    by cosine distance, and if that is below 1: what has nothing in common is no neighbour,
    however few notes there are. The neighbours vote, each with 1 − distance; of equal sums the
    label that comes first by name wins. Notes without a word have no neighbours.

    Raises `TaskError` if the source notes have no labels, or k is below 1; else as `embed`.
    """
    source_notes, target_notes = as_notes(source), as_notes(target)
    unlabelled = sum(note.label is None for note in source_notes)
    if unlabelled or not source_notes:
        raise TaskError(
            f"{unlabelled} of {len(source_notes)} source notes have no label to carry over; leave "
            "them out"
        )
    source_nodes, target_nodes = (
        embed(encoder, notes, cache=cache, progress=progress).matrix
        for notes in (source_notes, target_notes)
    )
    votes: defaultdict[int, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
    neighbours: defaultdict[int, list[str]] = defaultdict(list)
    # A note without a token has no direction.
    ours, theirs = (np.flatnonzero(nodes.any(axis=1)) for nodes in (source_nodes, target_nodes))
    pairs = mutual_neighbours(source_nodes[ours], target_nodes[theirs], k=k) if len(theirs) else []
    for pair in pairs:
        if pair.distance < 1:
            note, number = source_notes[ours[pair.source]], int(theirs[pair.target])
            votes[number][str(note.label)] += 1 - pair.distance
            neighbours[number].append(note.note_id)
    labelled = []
    for number in sorted(votes):
        weights = votes[number]
        label = min(weights, key=lambda name: (-weights[name], name))
        share = weights[label] / sum(weights.values())
        silver = {"source": "matching", "from": neighbours[number], "score": round(share, 4)}
        note = target_notes[number]
        metadata = {**note.metadata, "silver": silver}
        labelled.append(replace(note, label=label, metadata=metadata))
    unmatched = tuple(n.note_id for i, n in enumerate(target_notes) if i not in votes)
    return NoteMatching(tuple(labelled), unmatched)


def _examples(notes: Sequence[Note], field: LabelField, seed: int) -> dict[str, list[str]]:
    """Label → texts that carry it, by name, a seeded sample where there are many."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for note in notes:
        if field == "label":
            if note.label is not None:
                found[note.label].append(note.text)
        elif field == "codes":
            for code in note.codes or ():
                found[code].append(note.text)
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
    descriptions: Mapping[str, str],
    field: LabelField,
    cache: str | Path | None,
    *,
    progress: bool,
) -> tuple[list[str], np.ndarray]:
    """Labels, and their prototypes, shape (labels, d)."""
    texts = sorted({text for some in examples.values() for text in some})
    means = {}
    for label in examples:
        meant = descriptions.get(label)
        # Codes of another system have no place in the tabular list.
        if meant is None and field == "codes" and icd10.is_listed(label):
            meant = icd10.description(label)
        if meant is not None:
            means[label] = meant
    every = texts + [means[label] for label in sorted(means)]
    vectors = embed(encoder, every, cache=cache, progress=progress).matrix
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, 1)
    row = {text: i for i, text in enumerate(texts)}
    described = {label: directions[len(texts) + i] for i, label in enumerate(sorted(means))}
    nodes = []
    for label, some in examples.items():
        node = directions[[row[text] for text in some]].mean(axis=0)
        if label in described:
            node = node / max(float(np.linalg.norm(node)), 1e-12) + described[label]
        nodes.append(node)
    return list(examples), np.stack(nodes)


def _median_distance(nodes: np.ndarray) -> float:
    """Median distance between different nodes; with fewer than three, more than any distance."""
    if len(nodes) < 3:
        return float("inf")
    distances = cosine_distances(nodes, nodes)
    return float(np.median(distances[np.triu_indices(len(nodes), 1)]))
