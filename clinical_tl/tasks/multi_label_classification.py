"""Many labels a note, of any set: phenotypes, radiology findings, social determinants, codes.

Two heads: a sequence head with windows' logits pooled, and label-wise attention over every token
of every window (`network.label_attention`), which also says where in the note it looked. Codes of
a system, with its spelling and levels, are `DiagnosisCoding`.
"""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.plausibility import IDS, check_plausible
from clinical_tl.errors import ConfigError, TaskError, shown_ids, shown_value
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
from clinical_tl.tasks.note_task import NoteTask, scores_of_all, written
from clinical_tl.tasks.task_checks import check_annotated, check_foreign, check_order
from clinical_tl.tasks.unsure import unsure_codes

if TYPE_CHECKING:
    import torch

    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.network.encoder import EncoderSource
    from clinical_tl.network.heads import Head, NetworkOutput
    from clinical_tl.network.network import Network
    from clinical_tl.network.token_pooling import TokenPooling
    from clinical_tl.tasks.losses import Pooling
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import TokenisedNote

logger = logging.getLogger(__name__)

HeadKind = Literal["linear", "label_attention"]
Loss = Literal["bce", "bce_pos_weight", "asymmetric"]

ATTENTION_FROM = 50
"""From so many labels on `head="auto"` is label attention.

Where it has been shown to pay there are 50 labels (MIMIC-III's commonest codes, Mullenbach et al.
2018, arXiv 1802.05695) to thousands, each said somewhere in a long note. It starts anew with its
queries, while a sequence head with few labels starts from the linear model on frozen features.
"""
UNTUNED_THRESHOLD = 0.5
UNDECIDED = -1.0
# A label on 1 in 1,000 notes would otherwise weigh 1,000 times a negative.
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
    """What decoding needs of a note: probabilities (labels,) and, per label, attended tokens."""

    probabilities: np.ndarray
    attended: dict[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True)
class MultiLabelClassification(NoteTask):
    """Any number of labels a note, which stand in its `codes`.

    `pooling` says what a linear head reads of a window, as of `NoteClassification`, and
    `window_pooling` joins the logits of a long note's windows. `describe_labels` starts a
    label-attention head from what the labels mean, in words. `thresholds` are tuned on dev
    (`per_label_thresholds`: one a label, drawn toward the global one by `shrinkage`).
    """

    head: HeadKind = "linear"
    loss: Loss = "bce"
    pooling: TokenPooling | Literal["auto"] = "auto"
    window_pooling: Pooling = "max"
    describe_labels: bool = True
    per_label_thresholds: bool = False
    shrinkage: float = 10.0
    n_train: int = 0
    thresholds: Thresholds | None = None

    kind: ClassVar[str] = "multi_label_classification"
    fields: ClassVar[tuple[str, ...]] = ("codes",)
    multi_label: ClassVar[bool] = True
    monitor: ClassVar[str] = "map"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("head", ("linear", "label_attention")),
            ("loss", ("bce", "bce_pos_weight", "asymmetric")),
            ("pooling", ("auto", "mean", "max", "cls", "stock")),
            ("window_pooling", ("mean", "max")),
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
        head: HeadKind | Literal["auto"] = "auto",
        loss: Loss = "bce",
        pooling: TokenPooling | Literal["auto"] = "auto",
        window_pooling: Pooling = "max",
        describe_labels: bool = True,
        per_label_thresholds: bool = False,
        shrinkage: float = 10.0,
        allow_implausible: bool = False,
    ) -> Self:
        """Fit the labels on training notes (never on dev or test).

        Labels are what they are, but for outer blanks. `head="auto"` is the linear one below
        `ATTENTION_FROM` labels, and label attention from there on. `allow_implausible` takes labels
        and ids that look like text and not like names.

        Raises:
            TaskError: notes that are not annotated, no label at all, blank labels, or labels or
                ids that look like text.
        """
        records = cls._annotated(notes, allow_implausible=allow_implausible)
        names = [name for note in records for name in _as_written(note.codes or ())]
        alike = Counter(name.casefold() for name in set(names))
        if same := sorted(name for name in set(names) if alike[name.casefold()] > 1):
            logger.warning(
                "multi label classification: %d labels differ in capitals alone, e.g. %s; they "
                "are learnt as different ones (choose_labels merges)",
                len(same),
                shown_ids(same, "label"),
            )
        labels = cls._labels(names, records)
        if head == "auto":
            head = "linear" if len(labels) < ATTENTION_FROM else "label_attention"
        return cls(
            labels=labels,
            head=head,
            loss=loss,
            pooling=pooling,
            window_pooling=window_pooling,
            describe_labels=describe_labels,
            per_label_thresholds=per_label_thresholds,
            shrinkage=shrinkage,
            n_train=len(records),
        )

    @classmethod
    def _annotated(cls, notes: NotesLike, *, allow_implausible: bool) -> Sequence[Note]:
        records = as_notes(notes)
        title = cls.kind.replace("_", " ")
        check_annotated(records, "codes", title)
        check_plausible(records, "codes", *IDS, allow_implausible=allow_implausible)
        return records

    @classmethod
    def _labels(cls, names: Iterable[str], notes: Sequence[Note]) -> LabelSet:
        labels = LabelSet.fitted(names)
        if not len(labels):
            raise TaskError(
                f"{cls.kind.replace('_', ' ')}: the {len(notes)} training notes have no codes; "
                "give some that have"
            )
        return labels

    def own_labels(self, note: Note) -> tuple[str, ...]:
        """The note's labels as the task names them, each once."""
        return _as_written(note.codes or ())

    @property
    def positive_weights(self) -> tuple[float, ...]:
        """What `bce_pos_weight` multiplies the loss of a note's own labels by, one a label."""
        support = np.asarray(self.labels.support, dtype=np.float32)
        weights = np.clip((self.n_train - support) / support, 1.0, LARGEST_POS_WEIGHT)
        return tuple(float(weight) for weight in weights)

    @property
    def head_spec(self) -> Head:
        """A sequence head with independent outputs, or label attention."""
        from clinical_tl.network.heads import LabelAttentionHead, SequenceHead

        prior = None
        if self.n_train:
            prior = tuple(n / self.n_train for n in self.labels.support)
        if self.head == "label_attention":
            return LabelAttentionHead(self.labels.names, multi_label=True, prior=prior)
        pooling = "stock" if self.pooling == "auto" else self.pooling
        return SequenceHead(self.labels.names, multi_label=True, prior=prior, pooling=pooling)

    def on_encoder(self, source: EncoderSource) -> Self:
        """What a linear head reads of a window as suits the encoder, where that is left open."""
        from clinical_tl.network.token_pooling import advised_pooling

        if self.pooling != "auto" or self.head != "linear":
            return self
        return replace(self, pooling=advised_pooling(source))

    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[np.ndarray]:
        """The columns of each note's labels; those not seen in training have none.

        Of a silver note also the complements (~column) of the labels its teacher was unsure of.
        """
        del tokens
        check_annotated(notes, "codes", self.title)
        positions = self.labels.positions
        targets = []
        for note in notes:
            own = dict.fromkeys(self.own_labels(note))
            likely = self.own_labels(replace(note, codes=unsure_codes(note)))
            columns = [positions[code] for code in own if code in positions]
            # One subcategory taken and another likely: the category is there.
            columns += [~positions[c] for c in likely if c in positions and c not in own]
            targets.append(np.array(columns, dtype=np.int64))
        return targets

    def decisions(
        self, output: NetworkOutput, batch: WindowBatch, targets: Sequence[np.ndarray]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits and gold (0, 1 or `UNDECIDED`), both (notes, labels)."""
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
        """The mean over labels of each note's loss, nothing for undecided ones, shape (notes,)."""
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
        """Each note's probabilities and, under label attention, where its labels looked."""
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
        """The labels at or above their threshold, likeliest first, with their evidence."""
        coded = pieces[0]
        prediction = self.predicted(note.note_id, coded.probabilities)
        evidence = {
            code: code_evidence(note.text, tokens, code, coded.attended[code])
            for code in prediction.codes or ()
            if code in coded.attended
        }
        return replace(prediction, evidence=evidence)

    def predicted(self, note_id: str, probabilities: np.ndarray) -> Prediction:
        """The labels whose probability, shape (labels,), reaches their threshold, best first."""
        return Prediction(
            note_id,
            codes=self._assigned(probabilities),
            scores=LabelScores(self.labels.names, probabilities),
        )

    def _assigned(self, probabilities: np.ndarray) -> tuple[str, ...]:
        assigned = np.flatnonzero(self._thresholds.apply(probabilities[None])[0])
        order = assigned[np.argsort(-probabilities[assigned], kind="stable")]
        return tuple(self.labels.names[i] for i in order)

    def untuned(self) -> Self:
        """The task without a temperature and thresholds of its own."""
        return replace(self, temperature=None, thresholds=None)

    def tuned(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> Self:
        """The task with its temperature, then thresholds, tuned on these (development) notes.

        The threshold is the mean of those with the best micro F1 on resamples of the notes
        (`tune_thresholds(steady=True)`). None where the notes have none of the task's labels. Of
        blank notes, which get none, all labels are missed at any threshold. Raises `TaskError` for
        predictions that lack the scores of some label.
        """
        check_order(notes, predictions)
        gold, unseen = self.gold_matrix(notes)
        read = written(notes)
        truth, rows = gold[read], self._score_matrix(predictions)[read]
        calm = replace(self, temperature=dev_temperature(rows, truth))
        thresholds = None
        if read.any():
            thresholds = tune_thresholds(
                truth,
                calm.scaled(rows),
                per_label=self.per_label_thresholds,
                shrinkage=self.shrinkage,
                unseen_gold=unseen + int(gold[~read].sum()),
                steady=True,
            )
        if thresholds is None:
            logger.warning(
                "%s: the %d development notes have none of the task's %d labels, so no threshold "
                "can be tuned: labels are given from a probability of one half",
                self.title,
                len(notes),
                len(self.labels),
            )
        return replace(calm, thresholds=thresholds)

    def decided(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> list[Prediction]:
        """The predictions with the labels that reach this task's thresholds, and their evidence.

        A label that had not reached the thresholds of before has no evidence; blank notes stay as
        they are. Raises `TaskError` for predictions that lack the scores of some label.
        """
        decided = []
        scaled = super().decided(notes, predictions)
        read = written(notes)
        for p, row, is_read in zip(scaled, self._score_matrix(scaled), read, strict=True):
            if not is_read:
                decided.append(p)
                continue
            codes = self._assigned(row)
            evidence = {code: p.evidence[code] for code in codes if code in p.evidence}
            decided.append(replace(p, codes=codes, evidence=evidence))
        return decided

    def unread(self, note_id: str) -> Prediction:
        """No label, and the labels' shares of the training notes as scores."""
        return Prediction(note_id, codes=(), scores=LabelScores(self.labels.names, self.shares))

    @property
    def shares(self) -> np.ndarray:
        """How many of the training notes have each label, shape (labels,); 0 where unknown."""
        support = np.array(self.labels.support or [0] * len(self.labels), dtype=np.float64)
        return np.minimum(support / max(self.n_train, 1), float(self.n_train > 0)).astype(
            np.float32
        )

    def gold_labels(self, notes: Sequence[Note]) -> Counter[str]:
        """The notes' labels as the task names them, with how often they occur."""
        check_annotated(notes, "codes", self.title)
        return Counter(code for note in notes for code in self.own_labels(note))

    def said(self, prediction: Prediction) -> tuple[str, ...]:
        """The labels."""
        return prediction.codes or ()

    def labelled(self, note: Note, labels: Sequence[str]) -> Note:
        """The note with the labels."""
        return replace(note, codes=tuple(labels))

    def gold(self, notes: Sequence[Note]) -> np.ndarray:
        """Which notes have which labels, 0 or 1, shape (notes, labels)."""
        return self.gold_matrix(notes)[0].astype(np.int64)

    def loss_weights(self) -> tuple[float, ...] | None:
        """Those of `bce_pos_weight`; the other losses are the network's alone, which is logged."""
        if self.loss == "bce_pos_weight":
            return self.positive_weights
        if self.loss != "bce":
            logger.warning("loss=%r is the network's: a linear model has the plain loss", self.loss)
        return None

    def label_descriptions(self) -> list[str] | None:
        """A text a label for label attention to start from; `None` where it starts anew."""
        if not self.describe_labels or self.head == "linear":
            return None
        return self.descriptions() or list(self.labels)

    def label_names(self) -> Mapping[str, Sequence[str]]:
        """Every label that a note could have, and what it is called; none where nothing says so."""
        return {}

    def gold_matrix(self, notes: Sequence[Note]) -> tuple[np.ndarray, int]:
        """Which notes have which labels, bool, (notes, labels); how many are no column's."""
        check_annotated(notes, "codes", self.title)
        if opened := sum(len(unsure_codes(note)) for note in notes):
            logger.warning(
                "%s: %d labels that silver notes leave open are taken as absent here",
                self.title,
                opened,
            )
        gold = self._gold(notes)
        columns = set(self.labels)
        unseen = sum(code not in columns for n in notes for code in set(self.own_labels(n)))
        return gold, unseen

    def evaluate(self, notes: NotesLike, predictions: Sequence[Prediction]) -> CodingScores:
        """Scores of the predictions' labels, as they are, against all labels of the notes.

        Gold labels not seen in training count as missed where no open code set gives them; what is
        predicted of labels that neither the task nor the notes have is wrong. AUROC, P@k,
        R-precision and MAP are of the predictions' scores, where all of them have all labels'.
        """
        records = as_notes(notes)
        check_annotated(records, "codes", self.title)
        check_order(records, predictions)
        positions = self.labels.positions
        if not any(p.codes is not None or p.scores for p in predictions):
            raise TaskError(
                f"{self.title}: none of the {len(predictions)} predictions has codes; score "
                "what a model of the task predicts (codes=() for none)"
            )
        gold = [self.own_labels(note) for note in records]
        candidates = {code for other in self._others(predictions) for code in other.scores}
        check_foreign(
            f"{self.title}{self._at_level}",
            Counter(code for p in predictions for code in p.codes or ()),
            {*positions, *candidates, *(code for codes in gold for code in codes)},
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
        """Each note's labels found, in gold, predicted, and its ranking figures."""
        from clinical_tl.metrics.note_counts import counts_at

        names = self.labels.names
        kept = [i for i, code in enumerate(names) if labels is None or code in labels]
        own = [
            {code for code in self.own_labels(note) if labels is None or code in labels}
            for note in notes
        ]
        gold, claimed = self._gold(notes)[:, kept], self._claimed(predictions)[:, kept]
        rows, places = np.nonzero(gold | claimed)
        true, said = gold[rows, places], claimed[rows, places]
        counts = np.stack([true & said, ~true & said, true & ~said], axis=1).astype(np.float64)
        # Labels without a column stand behind the others.
        others = [other.among(labels) for other in self._others(predictions)]
        own_others = [codes - self.labels.positions.keys() for codes in own]
        unseen = sorted(set().union(*own_others, *(other.given for other in others)))
        beside = {code: len(kept) + i for i, code in enumerate(unseen)}
        found = [
            (
                row,
                beside[code],
                (code in codes and code in other.given, code not in codes, code not in other.given),
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
            [*rows.tolist(), *(row for row, _, _ in found)],
            [*places.tolist(), *(place for _, place, _ in found)],
            np.concatenate([counts, np.reshape([own for _, _, own in found], (-1, 3))]),
            (len(notes), max(len(kept) + len(unseen), 1)),
            {name: name for name in _AVERAGES},
            means,
            labels=[*(names[i] for i in kept), *unseen],
        )

    def _gold(self, notes: Sequence[Note]) -> np.ndarray:
        positions = self.labels.positions
        gold = np.zeros((len(notes), len(self.labels)), dtype=bool)
        for row, note in enumerate(notes):
            gold[row, [positions[c] for c in self.own_labels(note) if c in positions]] = True
        return gold

    def _claimed(self, predictions: Sequence[Prediction]) -> np.ndarray:
        positions = self.labels.positions
        claimed = np.zeros((len(predictions), len(self.labels)), dtype=bool)
        for row, prediction in enumerate(predictions):
            own = [positions[code] for code in prediction.codes or () if code in positions]
            claimed[row, own] = True
        return claimed

    def _others(self, predictions: Sequence[Prediction]) -> list[OtherCodes]:
        """What is predicted of labels that are not the task's (`models.open_codes`)."""
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
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; what was saved before tokens were pooled has the stock head."""
        if "window_pooling" not in row:
            row = {**row, "pooling": "stock", "window_pooling": row["pooling"]}
        task = super().from_dict({**row, "thresholds": None})
        found = row["thresholds"]
        return replace(task, thresholds=None if found is None else Thresholds.from_dict(found))

    def likely(self, prediction: Prediction, share: float) -> set[str]:
        """The labels whose probability reaches `share` of their threshold."""
        rows = self._score_matrix([prediction]) / share
        return {self.labels.names[i] for i in np.flatnonzero(self._thresholds.apply(rows)[0])}

    @property
    def _at_level(self) -> str:
        return ""

    @property
    def _thresholds(self) -> Thresholds:
        return self.thresholds or Thresholds(UNTUNED_THRESHOLD)

    def note_logits(self, output: NetworkOutput, batch: WindowBatch) -> torch.Tensor:
        """Label attention's logits, or the windows', pooled as the task says."""
        from clinical_tl.tasks.losses import pool_windows

        if output.states is not None:
            return output.logits
        return pool_windows(
            output.logits.float(), batch.note_index, batch.n_notes, self.window_pooling
        )

    def _score_matrix(self, predictions: Sequence[Prediction]) -> np.ndarray:
        rows = score_rows(predictions, self.labels.names)
        if rows is not None:
            return rows
        names = self.labels.names
        lacking = [p.note_id for p in predictions if score_rows([p], names) is None]
        raise TaskError(
            f"{self.title}: {len(lacking)} of {len(predictions)} predictions lack the score of "
            f"some label, e.g. of the notes {shown_ids(lacking)}; tune and decide on what a "
            "model's predict() gives"
        )


def _mean(losses: torch.Tensor, decided: torch.Tensor) -> torch.Tensor:
    # Over all codes: that others are left open must not make a decided one weigh more.
    return (losses * decided).mean(dim=-1)


def _as_written(names: Sequence[str]) -> tuple[str, ...]:
    # One name, however its accents are stored: files from macOS have them apart.
    return tuple(dict.fromkeys(unicodedata.normalize("NFC", name.strip()) for name in names))
