"""Scores of diagnosis coding: many codes a note, thousands of labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, field

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import TaskError
from clinical_tl.metrics.auroc import auroc, macro_auroc
from clinical_tl.metrics.label_score import LabelScore, average, pool
from clinical_tl.metrics.matrix import bool_matrix, column_names, score_matrix
from clinical_tl.metrics.ranking import NAMES as RANKING
from clinical_tl.metrics.ranking import NO_RANKING, RankingScores, ranking_scores
from clinical_tl.metrics.scores import Scores

# Lower ends of the bands of training frequency; each ends where the next begins.
BAND_STARTS = (0, 1, 6, 21, 101)


@dataclass(frozen=True)
class BandScore:
    """Scores over the codes whose number of training notes lies in one band.

    `band` reads `0`, `1-5`, `6-20`, `21-100` or `101+`; `codes` counts the codes of the band
    that occur in gold or among the predictions, `support` their gold occurrences.
    """

    band: str
    codes: int
    support: int
    micro_f1: float
    macro_f1: float

    def row(self) -> dict[str, str | int | float]:
        """One row for `format_table` or JSON."""
        return {
            "train_notes": self.band,
            "codes": self.codes,
            "support": self.support,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
        }


@dataclass(frozen=True, repr=False)
class CodingScores(Scores):
    """What `coding_scores` finds; see there for the conventions.

    `macro_f1` is over codes in gold or predicted, `macro_f1_gold` over codes in gold alone.
    `unseen_codes` counts the distinct gold codes without a column, `unseen_gold` their
    occurrences, found or not. `auroc_*` and `ranking` are `None` where undefined;
    `auroc_labels` says over how many labels the macro AUROC is. `per_label` has the codes in gold
    or predicted, in column order, the unseen ones last; `bands` is empty without training counts.
    """

    notes: int
    notes_without_gold: int
    unseen_codes: int
    unseen_gold: int
    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    macro_f1_gold: float
    auroc_micro: float | None
    auroc_macro: float | None
    auroc_labels: int
    ranking: RankingScores
    per_label: tuple[LabelScore, ...]
    bands: tuple[BandScore, ...]

    def summary(self) -> dict[str, float]:
        """Metric name → value; undefined metrics and empty bands are left out."""
        figures: dict[str, float | None] = {
            "micro_f1": self.micro_f1,
            "micro_precision": self.micro_precision,
            "micro_recall": self.micro_recall,
            "macro_f1": self.macro_f1,
            "macro_precision": self.macro_precision,
            "macro_recall": self.macro_recall,
            "macro_f1_gold": self.macro_f1_gold,
            "auroc_micro": self.auroc_micro,
            "auroc_macro": self.auroc_macro,
            **dict(zip(RANKING, astuple(self.ranking), strict=True)),
        }
        figures |= {f"micro_f1_train_{band.band}": band.micro_f1 for band in self.bands}
        figures |= {
            "notes": self.notes,
            "notes_without_gold": self.notes_without_gold,
            "unseen_codes": self.unseen_codes,
            "unseen_gold": self.unseen_gold,
        }
        return {name: value for name, value in figures.items() if value is not None}


@dataclass(frozen=True)
class OtherCodes:
    """What is predicted of a note's codes that have no column: those given, and their scores."""

    given: frozenset[str] = frozenset()
    scores: Mapping[str, float] = field(default_factory=dict)

    def among(self, labels: Collection[str] | None) -> OtherCodes:
        """What of it is of these labels; all for `None`."""
        if labels is None:
            return self
        return OtherCodes(
            frozenset(code for code in self.given if code in labels),
            {code: score for code, score in self.scores.items() if code in labels},
        )


NO_OTHERS = OtherCodes()


def ranked_together(
    gold_matrix: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.float64],
    gold: Sequence[Collection[str]],
    others: Sequence[OtherCodes],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Gold and scores, both (n, k), with columns more for the other codes of each note.

    A note's j-th other code stands in the j-th of them, whatever it is: ranks do not ask.
    """
    width = max((len(other.scores) for other in others), default=0)
    if not width:
        return gold_matrix, scores
    is_gold = np.zeros((len(gold), width), dtype=np.bool_)
    own = np.full((len(gold), width), -np.inf)
    for note, (codes, other) in enumerate(zip(gold, others, strict=True)):
        wanted = set(codes)
        own[note, : len(other.scores)] = list(other.scores.values())
        is_gold[note, : len(other.scores)] = [code in wanted for code in other.scores]
    return np.hstack([gold_matrix, is_gold]), np.hstack([scores, own])


def coding_scores(
    gold: Sequence[Collection[str]],
    scores: npt.ArrayLike | None,
    predicted: npt.ArrayLike,
    labels: Sequence[str],
    train_support: Mapping[str, int] | None = None,
    others: Sequence[OtherCodes] | None = None,
) -> CodingScores:
    """Micro and macro precision, recall and F1, AUROC, P@k, R-precision, MAP, F1 by frequency.

    Conventions:

    - A gold code without a column can't be predicted but from an open code set (`others`) and
      else counts as missed: a false negative in micro, a label of F1 = 0 in macro, one more in
      the denominator of recall, R-precision and MAP. AUROC needs scores and is over the model's
      labels alone.
    - Macro F1 is the mean of the codes' F1s, over codes that occur in gold or among the
      predictions. Edin et al. (2023, arXiv 2304.10909) showed that averaging over every label
      of the model, those that never occur in the evaluated notes included, halves the figure
      for reasons that have nothing to do with the model, and averaged over codes in gold
      alone. That figure is `macro_f1_gold` (compare it with theirs); `macro_f1` is never
      higher, because a code that is predicted but never right costs it something. Neither is
      the harmonic mean of macro precision and macro recall, which earlier work reported.
    - Notes without gold are scored for F1 and AUROC (every code predicted there is wrong) but
      left out of P@k, R-precision and MAP, and counted.

    Args:
        gold: the codes of n notes; a code given twice counts once.
        scores: (n, k), higher is likelier; logits will do. They may disagree with `predicted`
            where that was not the model's decision. `None` leaves AUROC, P@k, R-precision and
            MAP out.
        predicted: (n, k) booleans, the codes assigned.
        labels: the model's k codes, in the order of the columns.
        train_support: code → number of training notes, for `bands`; codes it lacks have 0.
        others: what is predicted of codes without a column, one a note; they are ranked among
            the model's.

    Raises:
        TaskError: no notes, lengths or shapes that disagree, labels given twice, a note whose
            codes are not annotated or are a single string.

    Example:
        >>> gold = [{"I10", "E11.9"}, {"I10"}, {"Z99.0"}]
        >>> likely = np.array([[0.7, 0.9], [0.2, 0.8], [0.6, 0.1]])
        >>> scores = coding_scores(gold, likely, likely >= 0.5, labels=["E11.9", "I10"])
        >>> round(scores.micro_f1, 3), round(scores.macro_f1, 3), scores.unseen_codes
        (0.75, 0.556, 1)
        >>> scores.table()
        label  tp  fp  fn  precision  recall     f1  support
        -----  --  --  --  ---------  ------  -----  -------
        E11.9   1   1   0      0.500   1.000  0.667        1
        I10     2   0   0      1.000   1.000  1.000        2
        Z99.0   0   0   1      0.000   0.000  0.000        1
    """
    names = column_names(labels)
    shape = (len(gold), len(names))
    score = None if scores is None else score_matrix(scores, name="scores", shape=shape)
    assigned = bool_matrix(predicted, name="predicted", shape=shape)
    is_gold, unseen = _gold_matrix(gold, names)
    beyond = [NO_OTHERS] * len(gold) if others is None else others
    found, wrong = Counter[str](), Counter[str]()
    for own, other in zip(gold, beyond, strict=True):
        found.update(code for code in other.given if code in own)
        wrong.update(code for code in other.given if code not in own)

    tp = (assigned & is_gold).sum(axis=0).tolist()
    in_predicted = assigned.sum(axis=0).tolist()
    in_gold = is_gold.sum(axis=0).tolist()
    counts = [
        LabelScore(name, tp=right, fp=claimed - right, fn=true - right)
        for name, right, claimed, true in zip(names, tp, in_predicted, in_gold, strict=True)
        if claimed or true
    ]
    counts += [
        LabelScore(code, tp=found[code], fp=wrong[code], fn=unseen.get(code, 0) - found[code])
        for code in sorted({*unseen, *wrong})
    ]
    averages = average(counts)
    gold_per_note = np.array([len(set(codes)) for codes in gold])
    auroc_micro, auroc_macro, auroc_labels, ranking = None, None, 0, NO_RANKING
    if score is not None:
        auroc_micro = auroc(is_gold, score)
        auroc_macro, auroc_labels = macro_auroc(is_gold, score)
        ranking = ranking_scores(*ranked_together(is_gold, score, gold, beyond), gold_per_note)
    return CodingScores(
        notes=len(gold),
        notes_without_gold=int((gold_per_note == 0).sum()),
        unseen_codes=len(unseen),
        unseen_gold=sum(unseen.values()),
        micro_precision=averages.micro_precision,
        micro_recall=averages.micro_recall,
        micro_f1=averages.micro_f1,
        macro_precision=averages.macro_precision,
        macro_recall=averages.macro_recall,
        macro_f1=averages.macro_f1,
        macro_f1_gold=average([label for label in counts if label.support]).macro_f1,
        auroc_micro=auroc_micro,
        auroc_macro=auroc_macro,
        auroc_labels=auroc_labels,
        ranking=ranking,
        per_label=tuple(counts),
        bands=() if train_support is None else _bands(counts, train_support),
    )


def _gold_matrix(
    gold: Sequence[Collection[str]], names: tuple[str, ...]
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Gold as (n, k) booleans, and how often each code without a column occurs."""
    column = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(gold), len(names)), dtype=np.bool_)
    unseen: dict[str, int] = {}
    for note, codes in enumerate(gold):
        if isinstance(codes, str) or not isinstance(codes, Collection):
            raise TaskError(
                f"the gold codes of the note at position {note} are of type "
                f"{type(codes).__name__}; allowed: a collection of codes, empty for a note that "
                "needs none. Leave notes that are not annotated out of scoring"
            )
        for code in set(codes):
            if code in column:
                matrix[note, column[code]] = True
            else:
                unseen[code] = unseen.get(code, 0) + 1
    return matrix, unseen


def _bands(counts: Sequence[LabelScore], train_support: Mapping[str, int]) -> tuple[BandScore, ...]:
    """The bands in which some code occurs in gold or among the predictions, rarest first."""
    members: dict[int, list[LabelScore]] = {start: [] for start in BAND_STARTS}
    for label in counts:
        seen = train_support.get(label.label, 0)
        members[max(start for start in BAND_STARTS if start <= seen)].append(label)
    bands = []
    for start, following in zip(BAND_STARTS, (*BAND_STARTS[1:], None), strict=True):
        if not members[start]:
            continue
        if following is None:
            name = f"{start}+"
        else:
            name = str(start) if following == start + 1 else f"{start}-{following - 1}"
        averages = average(members[start])
        bands.append(
            BandScore(
                name,
                codes=len(members[start]),
                support=pool(members[start]).support,
                micro_f1=averages.micro_f1,
                macro_f1=averages.macro_f1,
            )
        )
    return tuple(bands)
