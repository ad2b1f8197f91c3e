"""Scores of named entity recognition, on characters and on tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clinical_tl.errors import TaskError
from clinical_tl.metrics.label_score import (
    LabelScore,
    NoteLabels,
    average,
    check_same_notes,
    label_scores,
    pool,
)
from clinical_tl.metrics.scores import Scores
from clinical_tl.schema import Span

Mention = tuple[int, int, str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, repr=False)
class EntityScores(Scores):
    """What `entity_scores` finds; see there for the conventions.

    `precision`, `recall` and `f1` are micro averages over exact mentions, `macro_f1` the mean
    over types in gold or predicted, `overlap_*` micro averages where sharing a character is
    enough. `gold` counts distinct mentions, `duplicate_gold` what was dropped to make them
    distinct, `lost` the gold mentions that the model's tag scheme can't express and
    `share_lost` their share of all gold mentions. `per_label` is exact, by name of the type.
    """

    notes: int
    gold: int
    predicted: int
    duplicate_gold: int
    lost: int
    share_lost: float
    precision: float
    recall: float
    f1: float
    macro_f1: float
    overlap_precision: float
    overlap_recall: float
    overlap_f1: float
    per_label: tuple[LabelScore, ...]

    def summary(self) -> dict[str, float]:
        """Metric name → value."""
        return {
            "f1": self.f1,
            "precision": self.precision,
            "recall": self.recall,
            "macro_f1": self.macro_f1,
            "overlap_f1": self.overlap_f1,
            "overlap_precision": self.overlap_precision,
            "overlap_recall": self.overlap_recall,
            "share_lost": self.share_lost,
            "notes": self.notes,
            "gold": self.gold,
            "predicted": self.predicted,
            "lost": self.lost,
        }


@dataclass(frozen=True, repr=False)
class SeqevalScores(Scores):
    """Token-level scores as seqeval's strict mode gives them: micro averages and macro F1."""

    precision: float
    recall: float
    f1: float
    macro_f1: float
    per_label: tuple[LabelScore, ...]

    def summary(self) -> dict[str, float]:
        """Metric name → value."""
        return {
            "seqeval_f1": self.f1,
            "seqeval_precision": self.precision,
            "seqeval_recall": self.recall,
            "seqeval_macro_f1": self.macro_f1,
        }


def entity_scores(
    gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]], *, lost: int = 0
) -> EntityScores:
    """Exact and overlap precision, recall and F1 against the notes' own annotations.

    Conventions:

    - `gold` is everything annotated on the notes, whether or not truncation, windows or the
      tag scheme kept it: what the model could not see or say counts as missed.
    - Exact: same start, end and label; of a discontinuous mention the same pieces too, so a
      stretch that merely covers one does not count as found.
    - A gold mention given twice (the same text annotated twice, with other concepts) is one
      mention to find. A mention predicted twice is right once; the copy is a false positive.
    - Overlap: same label and at least one shared character, matched one to one within the
      note so that as many as possible match (Hopcroft & Karp 1973; taking matches from left
      to right can miss some), so one long prediction can't find two mentions.

    Args:
        gold: the spans of n notes, empty for a note with none.
        predicted: the spans predicted for the same notes in the same order.
        lost: how many of the gold spans given the tag scheme can't express; reported, and
            part of what is missed, not added to it.

    Raises:
        TaskError: no notes, lengths that disagree, a note that is not annotated, `lost`
            outside 0 to the number of gold spans.

    Example:
        >>> gold = [[Span(0, 9, "Drug"), Span(26, 36, "Problem")], []]
        >>> found = [[Span(0, 9, "Drug"), Span(20, 36, "Problem")], []]
        >>> scores = entity_scores(gold, found)
        >>> scores.f1, scores.overlap_f1
        (0.5, 1.0)
        >>> scores.table()
        label    tp  fp  fn  precision  recall     f1  support
        -------  --  --  --  ---------  ------  -----  -------
        Drug      1   0   0      1.000   1.000  1.000        1
        Problem   0   1   1      0.000   0.000  0.000        1
    """
    check_same_notes(len(gold), len(predicted))
    for name, side in (("gold", gold), ("predicted", predicted)):
        for note, spans in enumerate(side):
            if not isinstance(spans, Sequence):
                raise TaskError(
                    f"the {name} spans of the note at position {note} are of type "
                    f"{type(spans).__name__}; allowed: a sequence of Span, empty for none. "
                    "Leave notes that are not annotated out of scoring"
                )
    given = sum(map(len, gold))
    if not 0 <= lost <= given:
        raise TaskError(f"lost is {lost}; allowed: 0 to {given}, the number of gold spans")

    gold_mentions = [list(dict.fromkeys(map(_mention, spans))) for spans in gold]
    predicted_mentions = [list(map(_mention, spans)) for spans in predicted]
    counts = label_scores(map(mention_labels, gold, predicted))
    averages, exact = average(counts), pool(counts)
    overlapping = _matched_by_overlap(gold_mentions, predicted_mentions)
    n_gold, n_predicted = exact.support, exact.tp + exact.fp
    overlap = LabelScore("overlap", overlapping, n_predicted - overlapping, n_gold - overlapping)
    return EntityScores(
        notes=len(gold),
        gold=n_gold,
        predicted=n_predicted,
        duplicate_gold=given - n_gold,
        lost=lost,
        share_lost=lost / max(given, 1),
        precision=averages.micro_precision,
        recall=averages.micro_recall,
        f1=averages.micro_f1,
        macro_f1=averages.macro_f1,
        overlap_precision=overlap.precision,
        overlap_recall=overlap.recall,
        overlap_f1=overlap.f1,
        per_label=counts,
    )


def mention_labels(gold: Sequence[Span], predicted: Sequence[Span]) -> NoteLabels:
    """Of one note: labels of the mentions found exactly, in gold (each once), predicted."""
    true = dict.fromkeys(map(_mention, gold))
    claimed = list(map(_mention, predicted))
    return (
        Counter(label for _, _, label, _ in true.keys() & set(claimed)),
        Counter(label for _, _, label, _ in true),
        Counter(label for _, _, label, _ in claimed),
    )


def strict_seqeval(
    gold_tags: Sequence[Sequence[str]], predicted_tags: Sequence[Sequence[str]]
) -> SeqevalScores:
    """Entity scores from IOB2 tags, equal to seqeval with `mode="strict", scheme=IOB2`.

    Strict, because by default seqeval reads `I-X` after `O` as the start of an entity and so
    gives full marks to tags that are not IOB2 at all. seqeval's own parser finds the entities;
    counting them here spares its warnings for types never predicted (0, its
    `zero_division=0`), and gives 0 where there is no entity whatever.

    Args:
        gold_tags: for each sentence or note, one of `O`, `B-<type>`, `I-<type>` a token.
        predicted_tags: the same for the predictions, of the same lengths.

    Raises:
        TaskError: nothing to score, lengths that disagree, a tag that is none of the three
            (its place is given, never the tag: it might be a word of the note).
    """
    from seqeval.scheme import IOB2, Entities

    check_same_notes(len(gold_tags), len(predicted_tags), unit="tag sequences")
    for i, (true, claimed) in enumerate(zip(gold_tags, predicted_tags, strict=True)):
        if len(true) != len(claimed):
            raise TaskError(
                f"sequence {i} has {len(true)} gold tags and {len(claimed)} predicted ones; give "
                "one tag a token for both"
            )
        for name, tags in (("gold", true), ("predicted", claimed)):
            for token, tag in enumerate(tags):
                if tag != "O" and not (tag[:2] in ("B-", "I-") and len(tag) > 2):
                    raise TaskError(
                        f"sequence {i}, token {token}: the {name} tag ({len(tag)} characters) is "
                        "not IOB2; allowed: O, B-<type>, I-<type>"
                    )

    entities = [
        {entity for sequence in Entities(tags, IOB2).entities for entity in sequence}
        for tags in (gold_tags, predicted_tags)
    ]
    found = Counter[str](entity.tag for entity in entities[0] & entities[1])
    in_gold, in_predicted = (Counter[str](e.tag for e in side) for side in entities)
    counts = label_scores([(found, in_gold, in_predicted)])
    averages = average(counts)
    return SeqevalScores(
        precision=averages.micro_precision,
        recall=averages.micro_recall,
        f1=averages.micro_f1,
        macro_f1=averages.macro_f1,
        per_label=counts,
    )


def _mention(span: Span) -> Mention:
    return (*span.key, span.fragments if span.is_discontinuous else ())


def _matched_by_overlap(
    gold: Sequence[Sequence[Mention]], predicted: Sequence[Sequence[Mention]]
) -> int:
    """Size of the largest one-to-one matching of mentions of a label that share a character."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    # All notes make one graph: no edge leaves a note, so one call solves each note on its own.
    gold_ends: list[int] = []
    predicted_ends: list[int] = []
    first_gold = first_predicted = 0
    for true, claimed in zip(gold, predicted, strict=True):
        for i, j in _overlaps(true, claimed):
            gold_ends.append(first_gold + i)
            predicted_ends.append(first_predicted + j)
        first_gold += len(true)
        first_predicted += len(claimed)
    if not gold_ends:
        return 0
    # Numbers of 32 bits are all that the matching takes in SciPy before 1.15.
    ends = np.array([gold_ends, predicted_ends], dtype=np.int32)
    edges = csr_array(
        (np.ones(len(gold_ends), dtype=np.int8), (ends[0], ends[1])),
        shape=(first_gold, first_predicted),
    )
    return int((maximum_bipartite_matching(edges, perm_type="column") >= 0).sum())


def _overlaps(gold: Sequence[Mention], predicted: Sequence[Mention]) -> list[tuple[int, int]]:
    """Index pairs of the mentions of one note with the same label and a character in common."""
    if not gold or not predicted:
        return []
    labels = {label: i for i, label in enumerate({mention[2] for mention in gold})}
    true = np.array([(start, end, labels[label]) for start, end, label, _ in gold])
    claimed = np.array([(start, end, labels.get(label, -1)) for start, end, label, _ in predicted])
    touching = (
        (true[:, None, 0] < claimed[None, :, 1])
        & (claimed[None, :, 0] < true[:, None, 1])
        & (true[:, None, 2] == claimed[None, :, 2])
    )
    return [
        (i, j)
        for i, j in np.argwhere(touching).tolist()
        # The gaps of a discontinuous mention are not part of it.
        if not (gold[i][3] or predicted[j][3]) or _share_a_character(gold[i], predicted[j])
    ]


def _share_a_character(one: Mention, other: Mention) -> bool:
    pieces = other[3] or (other[:2],)
    return any(
        start < other_end and other_start < end
        for start, end in one[3] or (one[:2],)
        for other_start, other_end in pieces
    )
