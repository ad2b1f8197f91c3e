"""Relation extraction: which of a note's entities are related, and how.

Every ordered pair of entities whose types were related in training is a candidate. It becomes
a short text, the words around its mentions with typed markers (`text.markers`), which the
stock sequence head classifies as one of the relations or as none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.plausibility import IDS, check_plausible
from clinical_tl.errors import ConfigError, TaskError, shown_ids, shown_value
from clinical_tl.metrics.calibration import dev_scaling, score_at_temperature
from clinical_tl.metrics.relations import RelationExtractionScores, relation_labels, relation_scores
from clinical_tl.schema import LabelSet, Note, Prediction, ScoredRelation
from clinical_tl.tasks.candidates import (
    TASK,
    CandidateScores,
    candidate_scores,
    has_unrelated,
    lost_relations,
    mark_candidates,
    related_types,
    report_left_out,
    sample_unrelated,
    scored_candidates,
)
from clinical_tl.tasks.task import Task
from clinical_tl.tasks.task_checks import check_annotated, check_foreign, check_order
from clinical_tl.text.pairs import Level, Pair, find_pairs
from clinical_tl.text.words import Words

if TYPE_CHECKING:
    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.network.heads import Head
    from clinical_tl.text.tokenizer import TokenisedNote

UNRELATED = "no relation"
UNTUNED_THRESHOLD = 0.5
SHOWN = 5


@dataclass(frozen=True)
class RelationExtraction(Task):
    """Directed relations between given entities.

    `type_pairs` are the (head type, tail type) that training relates; `unrelated` says whether
    some candidate of training had no relation (else each candidate gets a relation, which is
    how corpora of related pairs alone are scored). The other settings are `from_notes`'s.

    `temperature` divides the logits of the candidates' scores and `shift` moves them, so that they
    say how often such a relation is right (`dev_scaling`); which label is a pair's likeliest does
    not change. Tuned on dev notes, then the `threshold` of the scores so scaled.
    """

    type_pairs: tuple[tuple[str, str], ...]
    unrelated: bool
    level: Level = "mention"
    context: int = 32
    max_distance: int | None = 100
    mention_pairs: int = 3
    negatives_per_positive: float | None = None
    groups: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    threshold: float | None = None
    temperature: float | None = None
    shift: float = 0.0

    kind: ClassVar[str] = "relation_extraction"
    fields: ClassVar[tuple[str, ...]] = ("spans", "relations")
    needs: ClassVar[tuple[str, ...]] = ("spans",)
    monitor: ClassVar[str] = "f1"
    nothing: ClassVar[str | None] = UNRELATED
    example: ClassVar[str] = (
        '[ctl.Note("1", "The text of a note.", '
        'spans=(ctl.Span(0, 3, "A", id="1"), ctl.Span(4, 8, "B", id="2")))]'
    )

    def __post_init__(self) -> None:
        ratio = self.negatives_per_positive
        rules = {
            "level": (self.level in ("mention", "concept"), "'mention' or 'concept'"),
            "context": (self.context >= 0, "at least 0"),
            "max_distance": (
                self.max_distance is None or self.max_distance >= 0,
                "at least 0, or None",
            ),
            "mention_pairs": (self.mention_pairs >= 1, "at least 1"),
            "negatives_per_positive": (ratio is None or ratio > 0, "above 0, or None"),
        }
        wrong = [
            f"{name}={shown_value(getattr(self, name))} (allowed: {allowed})"
            for name, (ok, allowed) in rules.items()
            if not ok
        ]
        if wrong:
            raise ConfigError("RelationExtraction: " + "; ".join(wrong))
        if self.groups and not set(dict(self.groups)) & set(self.labels):
            raise ConfigError(
                "groups names none of the labels "
                f"{shown_ids(self.labels, 'label', at_most=SHOWN)}; it maps label to group"
            )

    @classmethod
    def from_notes(
        cls,
        notes: NotesLike,
        *,
        level: Level = "mention",
        context: int = 32,
        max_distance: int | None = 100,
        mention_pairs: int = 3,
        negatives_per_positive: float | None = None,
        groups: Mapping[str, str] | None = None,
        seed: int = 0,
        allow_implausible: bool = False,
    ) -> RelationExtraction:
        """Fit relation labels and related types on training notes (never on dev or test).

        Args:
            notes: with spans and relations.
            level: what a relation's ends are: ids of spans (`mention`), or concept ids, with
                all mentions of a concept taken together (`concept`).
            context: words shown on either side of a mention.
            max_distance: words that may stand between the closest mentions of a pair; pairs
                farther apart are no candidates, and their relations count as missed. `None`:
                no limit.
            mention_pairs: how many pairs of mentions, the closest ones, an example shows.
            negatives_per_positive: of the training candidates without a relation, keep so many
                for each one with; `None`: all. Dev and test keep all.
            groups: label → group, to be scored by group too.
            seed: of that sample.
            allow_implausible: take labels and ids that look like text and not like names.

        Raises:
            TaskError: notes without spans or relations, no relation at all, ends that no span
                carries, labels or ids that look like text, or one relation and no unrelated pair
                to tell it from.
            ConfigError: settings out of range.
        """
        records = as_notes(notes)
        check_annotated(records, "relations", TASK)
        check_annotated(records, "spans", TASK)
        check_plausible(records, "spans", "relations", *IDS, allow_implausible=allow_implausible)
        types = related_types(records, level)
        task = cls(
            labels=LabelSet.fitted(r.label for note in records for r in note.relations or ()),
            type_pairs=tuple(sorted(types)),
            unrelated=True,
            level=level,
            context=context,
            max_distance=max_distance,
            mention_pairs=mention_pairs,
            negatives_per_positive=negatives_per_positive,
            groups=tuple(sorted((groups or {}).items())),
            seed=seed,
        )
        if UNRELATED in task.labels:
            raise TaskError(
                f"{TASK}: {UNRELATED!r} can't be the label of a relation; leave unrelated pairs "
                "out of the notes' relations"
            )
        unrelated = any(has_unrelated(note, task.pairs(note)) for note in records)
        if not unrelated and len(task.labels) < 2:
            raise TaskError(
                f"{TASK}: the training notes have one relation only and no pair of the same types "
                "without it; there is nothing to tell apart"
            )
        return replace(task, unrelated=unrelated)

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a pair can be: no relation (where training has such pairs), or a label."""
        return (UNRELATED, *self.labels) if self.unrelated else self.labels.names

    @property
    def head_spec(self) -> Head:
        """A stock sequence-classification head."""
        from clinical_tl.network.heads import SequenceHead

        return SequenceHead(self.outputs)

    def pairs(self, note: Note) -> list[Pair]:
        """The candidates of a note, in the order of their heads, then tails."""
        words = Words.of(note.text)
        return list(find_pairs(note, words, self.level, self.type_pairs, self.max_distance))

    def examples(self, notes: Sequence[Note], *, training: bool) -> list[list[Note]]:
        """A marked text a candidate, with its relation where there is one.

        Raises `TaskError` for notes without spans and, in training, without relations, with
        ends that no span carries, or without any candidate.
        """
        if training:
            check_annotated(notes, "relations", TASK)
            related_types(notes, self.level)
        unannotated = [note for note in notes if note.spans is None]
        if unannotated:
            check_annotated(unannotated, "spans", TASK)
        marked = [
            mark_candidates(
                note, self.pairs(note), mention_pairs=self.mention_pairs, context=self.context
            )
            for note in notes
        ]
        examples = [list(own.examples) for own in marked]
        if not training:
            return examples
        if not any(examples):
            shown = [shown_ids(pair, "label") for pair in self.type_pairs[:SHOWN]]
            raise TaskError(
                f"{TASK}: no pair of the {len(notes)} training notes is a candidate; related types "
                f"are {', '.join(shown)}, at most max_distance={self.max_distance} words apart"
            )
        report_left_out(marked)
        if self.negatives_per_positive is None:
            return examples
        return sample_unrelated(examples, per_related=self.negatives_per_positive, seed=self.seed)

    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[int]:
        """The column of each example's relation; −1 for a label not seen in training."""
        del tokens
        columns = {name: i for i, name in enumerate(self.outputs)}
        return [
            columns.get(note.relations[0].label if note.relations else UNRELATED, -1)
            for note in notes
        ]

    def decode(self, note: Note, tokens: TokenisedNote, pieces: Sequence[np.ndarray]) -> Prediction:
        """An example's likeliest relation, with the probability that it has one.

        Where pairs may be unrelated that is 1 − P(no relation), else the label's own.
        """
        del tokens
        probabilities = pieces[0].astype(np.float64)
        first = int(self.unrelated)
        best = first + int(probabilities[first:].argmax())
        score = 1 - probabilities[0] if self.unrelated else probabilities[best]
        ends = note.metadata
        relation = ScoredRelation(ends["head"], ends["tail"], self.outputs[best], float(score))
        return Prediction(note.note_id, relations=(relation,))

    def joined(self, note: Note, predictions: Sequence[Prediction]) -> Prediction:
        """The relations of a note at or above the threshold, with all candidates' scores."""
        best: dict[tuple[str, str], ScoredRelation] = {}
        for relation in (r for p in predictions for r in p.relations or ()):
            # A concept mentioned under two types is in two pairs with the same ids.
            ends = (relation.head, relation.tail)
            if ends not in best or relation.score > best[ends].score:
                best[ends] = relation
        scores = CandidateScores(tuple(best.values()))
        return self.decided([note], [Prediction(note.note_id, scores=scores)])[0]

    def untuned(self) -> RelationExtraction:
        """The task without a temperature and a threshold of its own."""
        return replace(self, temperature=None, shift=0.0, threshold=None)

    def tuned(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> RelationExtraction:
        """The task with the temperature and then the threshold that these (dev) notes tell.

        The threshold is that of best F1. Neither where each candidate is related anyway, or no
        candidate is right.
        """
        if not self.unrelated:
            return self.untuned()
        check_order(notes, predictions)
        found = scored_candidates(notes, predictions)
        temperature, shift = dev_scaling(found.scores, found.right)
        calm = replace(self, temperature=temperature, shift=shift)
        scores = np.array([calm._scaled(score) for score in found.scores.tolist()])  # noqa: SLF001
        return replace(calm, threshold=replace(found, scores=scores).best_threshold())

    def decided(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> list[Prediction]:
        """The predictions with the candidates that reach this task's threshold as relations.

        Their scores are at its temperature.

        Raises `TaskError` for predictions without the scores of their candidates.
        """
        del notes
        decided = []
        for prediction in predictions:
            scores = candidate_scores(prediction)
            if self.temperature is not None:
                scaled = [replace(r, score=self._scaled(r.score)) for r in scores.relations]
                scores = CandidateScores(scaled)
            decided.append(replace(prediction, relations=self._related(scores), scores=scores))
        return decided

    def unread(self, note_id: str) -> Prediction:
        """No relation: there is no candidate."""
        return Prediction(note_id, relations=(), scores=CandidateScores(()))

    def gold_labels(self, notes: Sequence[Note]) -> Counter[str]:
        """The notes' relation labels, with how often they occur."""
        check_annotated(notes, "relations", TASK)
        return Counter(r.label for note in notes for r in note.relations or ())

    def evaluate(
        self, notes: NotesLike, predictions: Sequence[Prediction]
    ) -> RelationExtractionScores:
        """Scores of the predictions' relations, as they are, against all of the notes.

        Relations without a candidate are included in gold.
        """
        records = as_notes(notes)
        check_annotated(records, "relations", TASK)
        check_order(records, predictions)
        gold = [note.relations or () for note in records]
        predicted = [prediction.relations or () for prediction in predictions]
        check_foreign(
            TASK,
            Counter(r.label for relations in predicted for r in relations),
            {*self.labels, *(r.label for relations in gold for r in relations)},
        )
        pairs = [self.pairs(note) for note in records]
        lost = sum(map(lost_relations, records, pairs))
        grouped = (
            relation_scores(gold, predicted, groups=dict(self.groups)) if self.groups else None
        )
        return RelationExtractionScores(
            relation_scores(gold, predicted, lost=lost), grouped, sum(map(len, pairs))
        )

    def note_counts(
        self,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        *,
        labels: Collection[str] | None = None,
    ) -> NoteCounts:
        """Each note's relations found, in gold, predicted, by label."""
        from clinical_tl.metrics.note_counts import MICRO_AND_MACRO, count_labels

        counted = [
            relation_labels(note.relations or (), prediction.relations or ())
            for note, prediction in zip(notes, predictions, strict=True)
        ]
        return count_labels(counted, MICRO_AND_MACRO, labels=labels)

    def private_problem(self) -> str | None:
        """A sample of the candidates depends on all notes at once."""
        if self.negatives_per_positive is None:
            return None
        return "negatives_per_positive draws a note's examples by what other notes have; use None"

    def _scaled(self, score: float) -> float:
        if self.temperature is None:
            return score
        return score_at_temperature(score, self.temperature, self.shift)

    def _related(self, scores: CandidateScores) -> tuple[ScoredRelation, ...]:
        if not self.unrelated:
            return scores.relations
        threshold = UNTUNED_THRESHOLD if self.threshold is None else self.threshold
        return tuple(r for r in scores.relations if r.score >= threshold)
