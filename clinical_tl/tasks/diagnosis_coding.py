"""Diagnosis coding: many ICD-10-CM codes a note, thousands of labels, long notes.

Two heads: the stock sequence head with windows' logits pooled, and label-wise attention over
every token of every window (`models.label_attention`), which also says where in the note it
looked.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from clinical_tl.data.codes.icd10cm import ICD9_MEND, check_codes, description, roll_up
from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.plausibility import IDS, check_plausible
from clinical_tl.errors import ConfigError, NoteError, TaskError, shown_id, shown_ids, shown_value
from clinical_tl.metrics.calibration import dev_temperature
from clinical_tl.metrics.coding import (
    CodingScores,
    OtherCodes,
    coding_scores,
    ranked_together,
)
from clinical_tl.metrics.ranking import NAMES as RANKING
from clinical_tl.metrics.ranking import note_rankings
from clinical_tl.metrics.thresholds import Thresholds, tune_thresholds
from clinical_tl.schema import LabelScores, LabelSet, Note, Prediction, score_rows
from clinical_tl.tasks.evidence import code_evidence
from clinical_tl.tasks.task import (
    NoteTask,
    check_annotated,
    check_foreign,
    check_order,
    scores_of_all,
    unsure,
)

if TYPE_CHECKING:
    import torch

    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.network.heads import Head, NetworkOutput
    from clinical_tl.network.network import Network
    from clinical_tl.tasks.losses import Pooling
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import TokenisedNote

logger = logging.getLogger(__name__)

HeadKind = Literal["linear", "label_attention"]
Loss = Literal["bce", "bce_pos_weight", "asymmetric"]
Level = Literal["code", "category", "chapter"]

UNTUNED_THRESHOLD = 0.5
UNDECIDED = -1.0
OTHER_SYSTEM = (
    ". That is most of them: codes of another system would get the categories and descriptions of "
    "ICD-10-CM codes spelt alike, so look at what the codes are"
)
# A code on 1 in 1,000 notes would otherwise weigh 1,000 times a negative.
LARGEST_POS_WEIGHT = 50.0
EVIDENCE_SPANS = 3
_AVERAGES = (
    "micro_f1",
    "micro_precision",
    "micro_recall",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "macro_f1_gold",
)


@dataclass(frozen=True)
class _Coded:
    """What decoding needs of a note: probabilities (codes,) and, per code, attended tokens."""

    probabilities: np.ndarray
    attended: dict[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True)
class DiagnosisCoding(NoteTask):
    """Any number of codes a note.

    `level` rolls codes up to three-character categories or chapters, in training and in
    gold. `pooling` joins windows under the linear head. `describe_labels` starts a
    label-attention head from the encoded ICD descriptions. `thresholds` are tuned on dev
    (`per_label_thresholds`: one a code, drawn toward the global one by `shrinkage`).
    """

    head: HeadKind = "label_attention"
    loss: Loss = "bce"
    level: Level = "code"
    pooling: Pooling = "max"
    describe_labels: bool = True
    per_label_thresholds: bool = False
    shrinkage: float = 10.0
    n_train: int = 0
    thresholds: Thresholds | None = None

    kind: ClassVar[str] = "diagnosis_coding"
    fields: ClassVar[tuple[str, ...]] = ("codes",)
    multi_label: ClassVar[bool] = True
    monitor: ClassVar[str] = "map"
    code_system: ClassVar[str | None] = "ICD-10-CM"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("head", ("linear", "label_attention")),
            ("loss", ("bce", "bce_pos_weight", "asymmetric")),
            ("level", ("code", "category", "chapter")),
            ("pooling", ("mean", "max")),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"{name} {shown_value(getattr(self, name))}: choose one of {', '.join(allowed)}"
                )
        if not self.shrinkage >= 0:
            raise ConfigError(f"shrinkage {self.shrinkage}: allowed: 0 or more")

    @classmethod
    def from_notes(
        cls,
        notes: NotesLike,
        *,
        head: HeadKind = "label_attention",
        loss: Loss = "bce",
        level: Level = "code",
        pooling: Pooling = "max",
        describe_labels: bool = True,
        per_label_thresholds: bool = False,
        shrinkage: float = 10.0,
        allow_implausible: bool = False,
    ) -> DiagnosisCoding:
        """Fit the codes on training notes (never on dev or test).

        Codes are normalised (`i2510` is `I25.10`); those absent from the tabular list are
        kept, counted and logged. `allow_implausible` takes codes and ids that look like text
        and not like names.

        Raises:
            TaskError: notes that are not coded, no code at all, malformed codes, or codes or ids
                that look like text.
        """
        records = as_notes(notes)
        check_annotated(records, "codes", "diagnosis coding")
        check_plausible(records, "codes", *IDS, allow_implausible=allow_implausible)
        report = check_codes(code for note in records for code in note.codes or ())
        if wrong := sorted({*report.malformed, *report.icd9}):
            raise TaskError(
                f"diagnosis coding: {len(wrong)} of {report.rows} codes are no "
                f"ICD-10-CM codes (a letter, a digit, then 1 to 5 letters or digits), e.g. "
                f"{shown_ids(wrong, 'code')}, in notes "
                f"{shown_ids(_notes_of_rows(records, wrong))}; correct them (where a cell "
                "holds several: separator=… when reading)"
                + (f". Of {len(report.icd9)} of them: {ICD9_MEND}" if report.icd9 else "")
            )
        if report.absent:
            logger.warning(
                "diagnosis coding: %d of %d distinct codes are not in the ICD-10-CM tabular list; "
                "they are kept, without description%s",
                len(report.absent),
                len(report.absent) + len(report.listed),
                OTHER_SYSTEM if len(report.absent) > len(report.listed) else "",
            )
        labels = LabelSet.fitted(code for note in records for code in _rolled(note, level))
        if not len(labels):
            raise TaskError(f"diagnosis coding: the {len(records)} training notes have no code")
        return cls(
            labels=labels,
            head=head,
            loss=loss,
            level=level,
            pooling=pooling,
            describe_labels=describe_labels,
            per_label_thresholds=per_label_thresholds,
            shrinkage=shrinkage,
            n_train=len(records),
        )

    @property
    def positive_weights(self) -> tuple[float, ...]:
        """What `bce_pos_weight` multiplies the loss of a note's own codes by, one a code."""
        support = np.asarray(self.labels.support, dtype=np.float32)
        weights = np.clip((self.n_train - support) / support, 1.0, LARGEST_POS_WEIGHT)
        return tuple(float(weight) for weight in weights)

    @property
    def head_spec(self) -> Head:
        """A stock sequence head with independent outputs, or label attention."""
        from clinical_tl.network.heads import LabelAttentionHead, SequenceHead

        head = SequenceHead if self.head == "linear" else LabelAttentionHead
        prior = None
        if self.n_train:
            prior = tuple(n / self.n_train for n in self.labels.support)
        return head(self.labels.names, multi_label=True, prior=prior)

    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[np.ndarray]:
        """The columns of each note's codes; codes not seen in training have none.

        Of a silver note also the complements (~column) of the codes its teacher was unsure of.
        """
        del tokens
        check_annotated(notes, "codes", "diagnosis coding")
        positions = self.labels.positions
        targets = []
        for note in notes:
            own = dict.fromkeys(_rolled(note, self.level))
            likely = _rolled(replace(note, codes=tuple(unsure(note, "unsure_codes"))), self.level)
            columns = [positions[code] for code in own if code in positions]
            # One subcategory taken and another likely: the category is there.
            columns += [~positions[c] for c in likely if c in positions and c not in own]
            targets.append(np.array(columns, dtype=np.int64))
        return targets

    def decisions(
        self, output: NetworkOutput, batch: WindowBatch, targets: Sequence[np.ndarray]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and gold (0, 1 or `UNDECIDED`), both (notes, codes)."""
        import torch

        logits = self.note_logits(output, batch)
        gold = torch.zeros(len(logits), len(self.labels), dtype=torch.float32)
        for row, note in enumerate(batch.notes):
            target = targets[note]
            gold[row, target[target >= 0]] = 1.0
            gold[row, ~target[target < 0]] = UNDECIDED
        return logits, gold.to(logits.device)

    def losses(
        self, logits: torch.Tensor, gold: torch.Tensor, *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """The mean over codes of each note's loss, nothing for undecided ones, shape (notes,)."""
        from torch.nn import functional

        from clinical_tl.tasks.losses import asymmetric_loss

        logits = logits.float()
        decided = gold != UNDECIDED
        gold = gold.clamp(min=0)
        if label_smoothing:
            gold = gold * (1 - label_smoothing) + label_smoothing / 2
        if self.loss == "asymmetric":
            return _mean(asymmetric_loss(logits, gold), decided)
        weight = None
        if self.loss == "bce_pos_weight":
            weight = logits.new_tensor(self.positive_weights)
        losses = functional.binary_cross_entropy_with_logits(
            logits, gold, pos_weight=weight, reduction="none"
        )
        return _mean(losses, decided)

    def collect(
        self, network: Network, output: NetworkOutput, batch: WindowBatch
    ) -> list[tuple[int, _Coded]]:
        """Each note's probabilities and, under label attention, where its codes looked."""
        import torch

        own = torch.sigmoid(self.note_logits(output, batch).float()).cpu().numpy()
        probabilities = self.scaled(own)
        assigned = self._thresholds.apply(probabilities)
        collected = []
        for row, note in enumerate(batch.notes):
            attended: dict[str, tuple[tuple[int, float], ...]] = {}
            codes = np.flatnonzero(assigned[row])
            if network.head is not None and output.states is not None and len(codes):
                columns = torch.from_numpy(codes).to(output.logits.device)
                attention = network.head.attention(output.states, row, columns)
                best = attention.topk(min(EVIDENCE_SPANS, attention.shape[1]), dim=-1)
                for code, positions, weights in zip(
                    codes, best.indices.tolist(), best.values.tolist(), strict=True
                ):
                    pairs = tuple(zip(positions, weights, strict=True))
                    attended[self.labels.names[code]] = pairs
            collected.append((note, _Coded(probabilities[row], attended)))
        return collected

    def decode(self, note: Note, tokens: TokenisedNote, pieces: Sequence[_Coded]) -> Prediction:
        """The codes at or above their threshold, likeliest first, with their evidence."""
        coded = pieces[0]
        prediction = self.predicted(note.note_id, coded.probabilities)
        evidence = {
            code: code_evidence(note.text, tokens, code, coded.attended[code])
            for code in prediction.codes or ()
            if code in coded.attended
        }
        return replace(prediction, evidence=evidence)

    def predicted(self, note_id: str, probabilities: np.ndarray) -> Prediction:
        """The codes whose probability, shape (codes,), reaches their threshold, best first."""
        return Prediction(
            note_id,
            codes=self._assigned(probabilities),
            scores=LabelScores(self.labels.names, probabilities),
        )

    def _assigned(self, probabilities: np.ndarray) -> tuple[str, ...]:
        assigned = np.flatnonzero(self._thresholds.apply(probabilities[None])[0])
        order = assigned[np.argsort(-probabilities[assigned], kind="stable")]
        return tuple(self.labels.names[i] for i in order)

    def untuned(self) -> DiagnosisCoding:
        """The task without a temperature and thresholds of its own."""
        return replace(self, temperature=None, thresholds=None)

    def tuned(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> DiagnosisCoding:
        """The task with its temperature, then thresholds, tuned on these (development) notes.

        None where the notes have none of the task's codes. Raises `TaskError` for predictions
        that lack the scores of some code.
        """
        check_order(notes, predictions)
        gold, unseen = self.gold_matrix(notes)
        rows = self._score_matrix(predictions)
        calm = replace(self, temperature=dev_temperature(rows, gold))
        thresholds = tune_thresholds(
            gold,
            calm.scaled(rows),
            per_label=self.per_label_thresholds,
            shrinkage=self.shrinkage,
            unseen_gold=unseen,
        )
        if thresholds is None:
            logger.warning(
                "diagnosis coding: the %d development notes have none of the task's %d codes, so "
                "no threshold can be tuned: codes are given from a probability of one half",
                len(notes),
                len(self.labels),
            )
        return replace(calm, thresholds=thresholds)

    def decided(self, predictions: Sequence[Prediction]) -> list[Prediction]:
        """The predictions with the codes that reach this task's thresholds, and their evidence.

        A code that had not reached the thresholds of before has no evidence. Raises `TaskError`
        for predictions that lack the scores of some code.
        """
        decided = []
        scaled = super().decided(predictions)
        for p, row in zip(scaled, self._score_matrix(scaled), strict=True):
            codes = self._assigned(row)
            evidence = {code: p.evidence[code] for code in codes if code in p.evidence}
            decided.append(replace(p, codes=codes, evidence=evidence))
        return decided

    def unread(self, note_id: str) -> Prediction:
        """No code, and the codes' shares of the training notes as scores."""
        return Prediction(note_id, codes=(), scores=LabelScores(self.labels.names, self.shares))

    @property
    def shares(self) -> np.ndarray:
        """How many of the training notes have each code, shape (codes,); 0 where unknown."""
        support = np.array(self.labels.support or [0] * len(self.labels), dtype=np.float64)
        return np.minimum(support / max(self.n_train, 1), float(self.n_train > 0)).astype(
            np.float32
        )

    def gold_labels(self, notes: Sequence[Note]) -> Counter[str]:
        """The notes' codes at the task's level, with how often they occur."""
        check_annotated(notes, "codes", "diagnosis coding")
        return Counter(code for note in notes for code in _rolled(note, self.level))

    def said(self, prediction: Prediction) -> tuple[str, ...]:
        """The codes."""
        return prediction.codes or ()

    def labelled(self, note: Note, labels: Sequence[str]) -> Note:
        """The note with the codes."""
        return replace(note, codes=tuple(labels))

    def gold(self, notes: Sequence[Note]) -> np.ndarray:
        """Which notes have which codes, 0 or 1, shape (notes, codes)."""
        return self.gold_matrix(notes)[0].astype(np.int64)

    def loss_weights(self) -> tuple[float, ...] | None:
        """Those of `bce_pos_weight`; the other losses are the network's alone, which is logged."""
        if self.loss == "bce_pos_weight":
            return self.positive_weights
        if self.loss != "bce":
            logger.warning("loss=%r is the network's: a linear model has the plain loss", self.loss)
        return None

    def label_descriptions(self) -> list[str] | None:
        """What the tabular list says of each code; `None` where labels are not described."""
        if not self.describe_labels or self.head == "linear":
            return None
        return self.descriptions() or list(self.labels)

    def descriptions(self) -> list[str] | None:
        """What the tabular list says of each code, `None` of chapters."""
        if self.level == "chapter":
            return None
        return [description(code) or code for code in self.labels]

    def gold_matrix(self, notes: Sequence[Note]) -> tuple[np.ndarray, int]:
        """Which notes have which codes, bool of shape (notes, codes); how many are no column's."""
        check_annotated(notes, "codes", "diagnosis coding")
        if opened := sum(len(unsure(note, "unsure_codes")) for note in notes):
            logger.warning(
                "diagnosis coding: %d codes that silver notes leave open are taken as absent here",
                opened,
            )
        gold = self._gold(notes)
        columns = set(self.labels)
        unseen = sum(code not in columns for n in notes for code in set(_rolled(n, self.level)))
        return gold, unseen

    def evaluate(self, notes: NotesLike, predictions: Sequence[Prediction]) -> CodingScores:
        """Scores of the predictions' codes, as they are, against all codes of the notes.

        Gold codes not seen in training count as missed. AUROC, P@k, R-precision and MAP are of
        the predictions' scores, where all of them have all codes'.
        """
        records = as_notes(notes)
        check_annotated(records, "codes", "diagnosis coding")
        check_order(records, predictions)
        positions = self.labels.positions
        if not any(p.codes is not None or p.scores for p in predictions):
            raise TaskError(
                f"diagnosis coding: none of the {len(predictions)} predictions has codes; score "
                "what a coder predicts (codes=() for none)"
            )
        gold = [_rolled(note, self.level) for note in records]
        check_foreign(
            self.title,
            Counter(code for p in predictions for code in p.codes or ()),
            {*positions, *(code for codes in gold for code in codes), *_candidates(predictions)},
        )
        return coding_scores(
            gold,
            scores_of_all(self, predictions),
            self._claimed(predictions),
            self.labels.names,
            dict(zip(self.labels.names, self.labels.support, strict=True)),
            self._others(predictions),
        )

    def note_counts(
        self,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        *,
        labels: Collection[str] | None = None,
    ) -> NoteCounts:
        """Each note's codes found, in gold, predicted, and its ranking figures."""
        from clinical_tl.metrics.note_counts import counts_at

        names = self.labels.names
        kept = [i for i, code in enumerate(names) if labels is None or code in labels]
        own = [
            {code for code in _rolled(note, self.level) if labels is None or code in labels}
            for note in notes
        ]
        gold, claimed = self._gold(notes)[:, kept], self._claimed(predictions)[:, kept]
        rows, places = np.nonzero(gold | claimed)
        true, said = gold[rows, places], claimed[rows, places]
        counts = np.stack([true & said, ~true & said, true & ~said], axis=1).astype(np.float64)
        # Codes without a column stand behind the others.
        others = [
            OtherCodes(
                frozenset(code for code in other.given if labels is None or code in labels),
                {c: score for c, score in other.scores.items() if labels is None or c in labels},
            )
            for other in self._others(predictions)
        ]
        own_others = [codes - self.labels.positions.keys() for codes in own]
        unseen = sorted(set().union(*own_others, *(other.given for other in others)))
        beside = {code: len(kept) + i for i, code in enumerate(unseen)}
        places_beside = [
            (
                row,
                beside[code],
                [
                    float(code in codes and code in other.given),
                    float(code not in codes),
                    float(code not in other.given),
                ],
            )
            for row, (codes, other) in enumerate(zip(own_others, others, strict=True))
            for code in sorted(codes | other.given)
        ]
        means: dict[str, np.ndarray] = {}
        scores = score_rows(predictions, names)
        if scores is not None:
            together = ranked_together(gold, scores[:, kept], own, others)
            ranked = note_rankings(*together, np.array([len(codes) for codes in own]))
            means = dict(zip(RANKING, ranked.T, strict=True))
        return counts_at(
            [*rows.tolist(), *(row for row, _, _ in places_beside)],
            [*places.tolist(), *(place for _, place, _ in places_beside)],
            np.concatenate([counts, np.reshape([found for _, _, found in places_beside], (-1, 3))]),
            (len(notes), max(len(kept) + len(unseen), 1)),
            {name: name for name in _AVERAGES},
            means,
            labels=[*(names[i] for i in kept), *unseen],
        )

    def _gold(self, notes: Sequence[Note]) -> np.ndarray:
        positions = self.labels.positions
        gold = np.zeros((len(notes), len(self.labels)), dtype=bool)
        for row, note in enumerate(notes):
            gold[row, [positions[c] for c in _rolled(note, self.level) if c in positions]] = True
        return gold

    def _claimed(self, predictions: Sequence[Prediction]) -> np.ndarray:
        positions = self.labels.positions
        claimed = np.zeros((len(predictions), len(self.labels)), dtype=bool)
        for row, prediction in enumerate(predictions):
            own = [positions[code] for code in prediction.codes or () if code in positions]
            claimed[row, own] = True
        return claimed

    def _others(self, predictions: Sequence[Prediction]) -> list[OtherCodes]:
        """What is predicted of codes that are not the task's (`models.open_codes`)."""
        positions = self.labels.positions
        return [
            OtherCodes(
                frozenset(code for code in p.codes or () if code not in positions),
                p.scores.others if isinstance(p.scores, LabelScores) else {},
            )
            for p in predictions
        ]

    def to_dict(self) -> dict[str, Any]:
        """For `task.json`."""
        row = {"kind": self.kind, **asdict(self)}
        row["thresholds"] = None if self.thresholds is None else self.thresholds.to_dict()
        return row

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> DiagnosisCoding:
        """The inverse of `to_dict`."""
        task = super().from_dict({**row, "thresholds": None})
        found = row["thresholds"]
        return replace(task, thresholds=None if found is None else Thresholds.from_dict(found))

    def likely(self, prediction: Prediction, share: float) -> set[str]:
        """The codes whose probability reaches `share` of their threshold."""
        rows = self._score_matrix([prediction]) / share
        return {self.labels.names[i] for i in np.flatnonzero(self._thresholds.apply(rows)[0])}

    @property
    def _thresholds(self) -> Thresholds:
        return self.thresholds or Thresholds(UNTUNED_THRESHOLD)

    def note_logits(self, output: NetworkOutput, batch: WindowBatch) -> torch.Tensor:
        """Label attention's logits, or the windows', pooled as the task says."""
        from clinical_tl.tasks.losses import pool_windows

        if output.states is not None:
            return output.logits
        return pool_windows(output.logits.float(), batch.note_index, batch.n_notes, self.pooling)

    def _score_matrix(self, predictions: Sequence[Prediction]) -> np.ndarray:
        rows = score_rows(predictions, self.labels.names)
        if rows is not None:
            return rows
        names = self.labels.names
        lacking = [p.note_id for p in predictions if score_rows([p], names) is None]
        raise TaskError(
            f"diagnosis coding: {len(lacking)} of {len(predictions)} predictions lack the score "
            f"of some code, e.g. of the notes {shown_ids(lacking)}; tune and decide on what a "
            "model's predict() gives"
        )


def _candidates(predictions: Sequence[Prediction]) -> set[str]:
    """Codes that predictions have scores of without being the task's."""
    return {c for p in predictions if isinstance(p.scores, LabelScores) for c in p.scores.others}


def _mean(losses: torch.Tensor, decided: torch.Tensor) -> torch.Tensor:
    # Over all codes: that others are left open must not make a decided one weigh more.
    return (losses * decided).mean(dim=-1)


def _rolled(note: Note, level: Level) -> tuple[str, ...]:
    try:
        return roll_up(note.codes or (), level)
    except NoteError as error:
        raise TaskError(f"note {shown_id(note.note_id)!r}: {error}") from error


def _notes_of_rows(notes: Sequence[Note], rows: Sequence[int]) -> list[str]:
    owners = [note.note_id for note in notes for _ in note.codes or ()]
    return sorted({owners[row] for row in rows})
