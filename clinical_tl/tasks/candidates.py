"""Candidate pairs as examples for the network, and as scores in a prediction."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError, shown_id, shown_ids
from clinical_tl.metrics.thresholds import tune_cut
from clinical_tl.schema import Note, Prediction, Relation, ScoredRelation
from clinical_tl.text.markers import mark_pair
from clinical_tl.text.pairs import Level, Pair, find_entities
from clinical_tl.text.words import Words

logger = logging.getLogger(__name__)

TASK = "relation extraction"

Ends = tuple[str, str]


class CandidateScores(Mapping[str, float]):
    """Candidate (`head → tail: likeliest label`) → probability that it is related.

    `relations` are all candidates of a note, those below the threshold included.
    """

    def __init__(self, relations: Sequence[ScoredRelation]) -> None:
        self.relations = tuple(relations)
        self._scores = {f"{r.head} → {r.tail}: {r.label}": r.score for r in relations}

    def __getitem__(self, name: str) -> float:
        return self._scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scores)

    def __len__(self) -> int:
        return len(self._scores)


@dataclass(frozen=True)
class NoteExamples:
    """The marked texts of a note's candidates, each a note of its own, and what they can't hold.

    `elided` examples leave out words between their mentions; `lost` gold relations can't be
    given by any (`lost_relations`).
    """

    examples: tuple[Note, ...]
    elided: int
    lost: int


def mark_candidates(
    note: Note, pairs: Sequence[Pair], *, mention_pairs: int, context: int
) -> NoteExamples:
    """An example a pair: its text, its relation (none, or one), its ends in the metadata."""
    words, gold = Words.of(note.text), gold_labels_of_pairs(note)
    examples, elided = [], 0
    for pair in pairs:
        ends = (pair.head.id, pair.tail.id)
        marked = mark_pair(note.text, words, pair, mention_pairs=mention_pairs, context=context)
        elided += bool(marked.elided)
        relations = tuple(Relation(*ends, label) for label in gold.get(ends, ())[:1])
        metadata = {"head": ends[0], "tail": ends[1]}
        examples.append(Note(note.note_id, marked.text, relations=relations, metadata=metadata))
    return NoteExamples(tuple(examples), elided, lost_relations(note, pairs))


def report_left_out(notes: Sequence[NoteExamples]) -> None:
    """Log what training examples leave out; counts alone."""
    lost = sum(own.lost for own in notes)
    if lost:
        logger.warning(
            "%s: %d gold relations can't be represented: their pair is no candidate (too far "
            "apart, or an entity with itself) or has another label already; they are left out of "
            "training and count as missed in scores",
            TASK,
            lost,
        )
    logger.info(
        "%s: %d candidates in training, %d of them with words left out between mentions",
        TASK,
        sum(len(own.examples) for own in notes),
        sum(own.elided for own in notes),
    )


def has_unrelated(note: Note, pairs: Sequence[Pair]) -> bool:
    """Whether one of the pairs has no gold relation."""
    related = {(r.head, r.tail) for r in note.relations or ()}
    return any((pair.head.id, pair.tail.id) not in related for pair in pairs)


def candidate_scores(prediction: Prediction) -> CandidateScores:
    """The scores of a prediction's candidates.

    Raises `TaskError` for a prediction without them: one of rules, or from a file.
    """
    if isinstance(prediction.scores, CandidateScores):
        return prediction.scores
    raise TaskError(
        f"note {shown_id(prediction.note_id)!r}: the prediction has no scores of its "
        "candidates; tune and decide on what TransferModel.predict() gives"
    )


@dataclass(frozen=True)
class ScoredCandidates:
    """All candidates of some notes: how sure each was, and whether it is right, shapes (n,).

    `gold` relations are to be found; those that no candidate can give count as missed.
    """

    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    gold: int

    def best_threshold(self) -> float | None:
        """The threshold of best micro F1 (`tune_cut`); `None` where no candidate is right."""
        return tune_cut(self.scores, self.right, missed=self.gold - int(self.right.sum()))


def scored_candidates(notes: Sequence[Note], predictions: Sequence[Prediction]) -> ScoredCandidates:
    """The candidates of predictions against the notes' gold.

    Raises `TaskError` for predictions without the scores of their candidates.
    """
    right: list[bool] = []
    scores: list[float] = []
    n_gold = 0
    for note, prediction in zip(notes, predictions, strict=True):
        gold = set(note.relations or ())
        n_gold += len(gold)
        for r in candidate_scores(prediction).relations:
            right.append(Relation(r.head, r.tail, r.label) in gold)
            scores.append(r.score)
    if not n_gold:
        logger.warning(
            "%s: the %d development notes have no relation, so no threshold can be tuned: "
            "candidates are related from a probability of one half",
            TASK,
            len(notes),
        )
    return ScoredCandidates(
        np.array(scores, dtype=np.float64), np.array(right, dtype=np.bool_), n_gold
    )


def lost_relations(note: Note, pairs: Sequence[Pair]) -> int:
    """How many of a note's gold relations no candidate can give.

    Their ends are none of the pairs, or the pair has a label already: a pair gets one.
    """
    candidates = {(pair.head.id, pair.tail.id) for pair in pairs}
    return sum(
        len(labels) - (ends in candidates) for ends, labels in gold_labels_of_pairs(note).items()
    )


def sample_unrelated(
    examples: Sequence[Sequence[Note]], *, per_related: float, seed: int
) -> list[list[Note]]:
    """All examples with a relation, and at random `per_related` times as many without."""
    unrelated = [
        (i, j)
        for i, own in enumerate(examples)
        for j, example in enumerate(own)
        if not example.relations
    ]
    related = sum(map(len, examples)) - len(unrelated)
    wanted = min(round(per_related * related), len(unrelated))
    drawn = np.random.default_rng(seed).choice(len(unrelated), size=wanted, replace=False)
    kept = {unrelated[number] for number in drawn.tolist()}
    return [
        [example for j, example in enumerate(own) if example.relations or (i, j) in kept]
        for i, own in enumerate(examples)
    ]


def gold_labels_of_pairs(note: Note) -> dict[Ends, tuple[str, ...]]:
    """(head, tail) → the distinct labels between them."""
    gold: dict[Ends, tuple[str, ...]] = {}
    for r in dict.fromkeys(note.relations or ()):
        gold[r.head, r.tail] = (*gold.get((r.head, r.tail), ()), r.label)
    return gold


def related_types(notes: Sequence[Note], level: Level) -> set[tuple[str, str]]:
    """The (head type, tail type) of the notes' relations.

    Raises `TaskError` for ends that no span of their note carries, or no relation at all.
    """
    types: set[tuple[str, str]] = set()
    loose: Counter[str] = Counter()
    for note in notes:
        labels: dict[str, list[str]] = {}
        for entity in find_entities(note, level):
            labels.setdefault(entity.id, []).append(entity.label)
        for relation in note.relations or ():
            if relation.head not in labels or relation.tail not in labels:
                loose[note.note_id] += 1
                continue
            types |= {(h, t) for h in labels[relation.head] for t in labels[relation.tail]}
    if loose:
        ends = "span ids" if level == "mention" else "concept ids"
        raise TaskError(
            f"{TASK}: {loose.total()} relations have a head or tail that none of "
            f"their note's spans carries, in notes {shown_ids(loose)}; with level={level!r} "
            f"the ends must be {ends}"
        )
    if not types:
        raise TaskError(f"{TASK}: the {len(notes)} training notes have no relation")
    return types
