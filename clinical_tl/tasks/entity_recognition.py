"""Named entity recognition: mentions with exact character offsets in notes of any length.

Gold spans become tags of units (`text.tag_layers`), each unit is decided in the window that shows
most of its context, and the note's tags are decoded together into a valid sequence.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.plausibility import IDS, check_plausible
from clinical_tl.errors import ConfigError, TaskError, shown_value
from clinical_tl.metrics.calibration import LEAST_STATEMENTS, dev_scaling, score_at_temperature
from clinical_tl.metrics.entities import (
    EntityScores,
    SeqevalScores,
    entity_scores,
    mention_labels,
    strict_seqeval,
)
from clinical_tl.metrics.label_score import LabelScore
from clinical_tl.metrics.scores import Scores
from clinical_tl.metrics.thresholds import steady_cut
from clinical_tl.schema import LabelSet, Note, Prediction, Span
from clinical_tl.tasks.annotation_style import (
    apart,
    consistent_labels,
    distinct_mentions,
    layers_for,
    units_for,
)
from clinical_tl.tasks.task_checks import check_annotated, check_foreign, check_order
from clinical_tl.tasks.unit_task import UnitTask
from clinical_tl.tasks.unsure import unsure_stretches
from clinical_tl.text.consistency import consistent_mentions
from clinical_tl.text.tag_layers import Layers, TagLayers, describe_lost
from clinical_tl.text.tags import OUTSIDE, Representation, Scheme
from clinical_tl.text.units import Units, UnitSize, find_units, text_units

if TYPE_CHECKING:
    import torch

    from clinical_tl.metrics.note_counts import NoteCounts
    from clinical_tl.network.heads import Head, NetworkOutput
    from clinical_tl.network.network import Network
    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote

logger = logging.getLogger(__name__)

# Tokens at which nothing is decided: the inside of units, and white space.
IGNORED = -100
MAX_LOST = 0.5
"""Training is refused where more than this share of the mentions can't be represented."""
# What a tagger that knows no last and no single tokens calls them.
BIO_PREFIXES = {"L": "I", "U": "B"}


@dataclass(frozen=True, repr=False)
class EntityRecognitionScores(Scores):
    """Character-level scores against the document's gold, and seqeval's on tags.

    `entities.share_lost` is the share of gold that tags can't represent; it costs recall.
    `seqeval` is strict IOB2 over the units of the text, in each layer of tags by itself.
    """

    entities: EntityScores
    seqeval: SeqevalScores

    @property
    def per_label(self) -> tuple[LabelScore, ...]:
        """Exact counts by type."""
        return self.entities.per_label

    def summary(self) -> dict[str, float]:
        """Metric name → value; seqeval's carry the prefix `seqeval_`."""
        return {**self.entities.summary(), **self.seqeval.summary()}


@dataclass(frozen=True)
class EntityRecognition(UnitTask):
    """Mentions of several types, tagged as BIO or BILOU.

    What mentions can begin and end with are `units` of words or of tokens (`text.units`).
    Training is refused where they can't represent more than the share `max_lost` of the
    mentions; 1 never refuses.

    With `layers="one"` a unit has one tag, and of overlapping mentions the longest is learnt and
    predicted. With `"by_type"` each type is tagged in a layer of its own (`text.tag_layers`), and
    mentions of different types may overlap; of one type they still may not. Each layer starts from
    how rare its mentions are among the `n_units` of the training notes: from random outputs, ten
    passes of LEAF's 60 notes and 49 types end with every layer saying "outside" (F1 0), from there
    with what the head's start from frozen features reaches.

    Mentions with a score below `threshold` are left out; it is tuned on dev notes, `None`
    until then. With `overlooked`, stretches that no mention was made of are predicted too where
    one is at least so likely: for a teacher to say what it is unsure of. It is not saved.

    `consistent` has the labels of which words that are a mention in most of their places in a note
    are made one in all of them (`text.consistency`): networks decide place by place, and
    annotators mostly don't.

    `temperature` divides the logits of the mentions' scores and `shift` moves them, so that they
    say how often such a mention is right (`dev_scaling`); no tag changes, so none of the mentions.
    Tuned as the threshold is, which is of the scores so scaled.
    """

    scheme: Scheme = "BIO"
    threshold: float | None = None
    overlooked: float | None = None
    units: UnitSize = "words"
    max_lost: float = MAX_LOST
    temperature: float | None = None
    shift: float = 0.0
    layers: Layers = "one"
    n_units: int = 0
    consistent: tuple[str, ...] = ()

    kind: ClassVar[str] = "entity_recognition"
    fields: ClassVar[tuple[str, ...]] = ("spans",)
    monitor: ClassVar[str] = "f1"
    nothing: ClassVar[str | None] = "O"

    def __post_init__(self) -> None:
        if self.units not in get_args(UnitSize):
            raise ConfigError(f"units={self.units!r}; allowed: {list(get_args(UnitSize))}")
        if self.layers not in get_args(Layers):
            raise ConfigError(f"layers={self.layers!r}; allowed: {list(get_args(Layers))}")
        if not 0 <= self.max_lost <= 1:
            raise ConfigError(f"max_lost={self.max_lost}; allowed: 0 to 1")
        if not isinstance(self.consistent, tuple) or not {*self.consistent} <= {*self.labels}:
            raise ConfigError(
                f"consistent={shown_value(self.consistent)}; allowed: a tuple of the task's labels"
            )

    @classmethod
    def from_notes(
        cls,
        notes: NotesLike,
        *,
        scheme: Scheme = "BIO",
        units: UnitSize | Literal["auto"] = "auto",
        layers: Layers | Literal["auto"] = "auto",
        max_lost: float = MAX_LOST,
        consistent: bool | Collection[str] | Literal["auto"] = "auto",
        allow_implausible: bool = False,
    ) -> EntityRecognition:
        """Fit the mention types on training notes (never on dev or test).

        With `units="auto"` the notes decide what mentions can begin and end with: words, or
        tokens where at least 1 % of the mentions need them, as those of compounds, of words with
        particles and of words run together do. With `layers="auto"` tags are in one layer a type
        where that brings back as large a share of the mentions, those that overlap a mention of
        another type, and else in one for all. With `consistent="auto"` the mentions of those labels
        are made consistent whose mentions in the notes are, in four of five places (the figures
        are those of `tasks.annotation_style`); with True those of all, with False of none.
        `allow_implausible` takes labels and ids that look like text and not like names.

        Raises `TaskError` for notes whose spans are not annotated, or without any span, and for
        labels or ids that look like text.
        """
        records = as_notes(notes)
        check_annotated(records, "spans", "entity recognition")
        check_plausible(records, "spans", *IDS, allow_implausible=allow_implausible)
        labels = LabelSet.fitted(span.label for note in records for span in note.spans or ())
        if not len(labels):
            raise TaskError(
                f"entity recognition: the {len(records)} training notes have no span at all"
            )
        if layers == "auto":
            # The smallest units hold most mentions, so that none hides behind another reason.
            layers = layers_for(records, labels, scheme, "tokens" if units == "auto" else units)
        if units == "auto":
            units = units_for(records, TagLayers(labels, scheme, layers))
        n_units = 0
        if layers == "by_type":
            n_units = sum(len(text_units(note.text, units)) for note in records)
        if consistent == "auto":
            consistent = consistent_labels(records, labels, layers)
        elif isinstance(consistent, bool):
            consistent = labels.names if consistent else ()
        elif isinstance(consistent, str):
            raise ConfigError(
                f"consistent={shown_value(consistent)}; allowed: True, False, 'auto', or labels"
            )
        return cls(
            labels,
            scheme,
            units=units,
            max_lost=max_lost,
            layers=layers,
            n_units=n_units,
            consistent=tuple(consistent),
        )

    @property
    def tag_set(self) -> TagLayers:
        """The tags of the labels under the scheme."""
        return TagLayers(self.labels, self.scheme, self.layers)

    @property
    def starts_from_probe(self) -> bool:
        """In one layer: of several the fit takes minutes, and the priors of `head_spec` do as well.

        LEAF, defaults, one seed: F1 0.656 from the linear model of each layer, which takes 292 s of
        CPU to fit, and 0.660 from the priors.
        """
        return self.layers == "one"

    @property
    def head_spec(self) -> Head:
        """A stock token-classification head over the tags, which knows how rare mentions are."""
        from clinical_tl.network.heads import TokenHead

        prior: list[float] = []
        if self.layers == "by_type" and self.n_units:
            width = self.tag_set.width
            for n in self.labels.support:
                share = min(n / self.n_units, 1 / width)
                prior += [1 - (width - 1) * share, *[share] * (width - 1)]
        return TokenHead(self.tag_set.names, prior=tuple(prior) or None)

    def targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> list[np.ndarray]:
        """One tag a token and layer, shape (tokens, layers), `IGNORED` where nothing is decided.

        So is what would be outside of mentions in the stretches that a silver note's teacher was
        unsure of (`metadata["silver"]["unsure"]`). What tags can't represent is counted and
        logged; mentions of a type not seen in training are left out here (and count as missed in
        `evaluate`).
        """
        check_annotated(notes, "spans", "entity recognition")
        represented = Representation()
        targets = []
        for note, note_tokens in zip(notes, tokens, strict=True):
            units, tags, found = self._encoded(note, note_tokens)
            represented += found
            for start, end in unsure_stretches(note):
                inside = (units.starts < end) & (units.ends > start)
                tags[inside[:, None] & (tags == OUTSIDE)] = IGNORED
            target = np.full((len(note_tokens), tags.shape[1]), IGNORED, dtype=np.int64)
            target[units.tokens] = tags
            targets.append(target)
        if represented.lost:
            logger.warning("entity recognition: %s", self._lost(represented))
        return targets

    def check_targets(self, notes: Sequence[Note], tokens: Sequence[TokenisedNote]) -> None:
        """Refuse training notes too many of whose mentions tags can't represent.

        Raises `TaskError` where those are more than the share `max_lost`.
        """
        check_annotated(notes, "spans", "entity recognition")
        represented = Representation()
        for note, note_tokens in zip(notes, tokens, strict=True):
            represented += self._encoded(note, note_tokens)[2]
        if represented.lost > self.max_lost * represented.gold:
            raise TaskError(
                f"entity recognition: {self._lost(represented)}. So much is not "
                f"left out of training unasked (max_lost={self.max_lost}); to train on the rest "
                "all the same: EntityRecognition.from_notes(notes, max_lost=1)"
            )

    def _encoded(
        self, note: Note, tokens: TokenisedNote
    ) -> tuple[Units, np.ndarray, Representation]:
        units, known = find_units(note.text, tokens, self.units), set(self.labels)
        spans = [span for span in distinct_mentions(note) if span.label in known]
        return (units, *self.tag_set.encode(units, spans))

    def _lost(self, represented: Representation) -> str:
        return describe_lost(represented, self.scheme, self.layers)

    def decisions(
        self, output: NetworkOutput, batch: WindowBatch, targets: Sequence[np.ndarray]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (units, outputs) of the units the batch decides, and their tags (units, layers).

        A layer's is `IGNORED` where it is left open.
        """
        import torch

        pieces = [
            targets[batch.notes[note]][window.own_start : window.own_stop]
            for note, window in zip(batch.note_index.tolist(), batch.windows, strict=True)
        ]
        gold = torch.from_numpy(np.concatenate(pieces)).to(output.logits.device)
        decided = (gold != IGNORED).any(dim=1)
        return output.logits[batch.owned][decided], gold[decided]

    def weight(self, target: np.ndarray, start: int, stop: int) -> float:
        """Units decided between two tokens."""
        return float((target[start:stop] != IGNORED).any(axis=1).sum())

    def losses(
        self, logits: torch.Tensor, gold: torch.Tensor, *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """The loss of each unit, shape (units,): the mean of its layers' cross-entropies."""
        from torch.nn import functional

        each = functional.cross_entropy(
            self._by_layer(logits).flatten(0, 1).float(),
            gold.flatten(),
            reduction="none",
            ignore_index=IGNORED,
            label_smoothing=label_smoothing,
        )
        return each.view(gold.shape).mean(dim=1)

    def divergence(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """That of each unit, shape (units,): the mean of its layers'."""
        return super().divergence(self._by_layer(first), self._by_layer(second)).mean(dim=1)

    def _by_layer(self, logits: torch.Tensor) -> torch.Tensor:
        tag_set = self.tag_set
        return logits.reshape(len(logits), len(tag_set.sets), tag_set.width)

    def collect(
        self, network: Network, output: NetworkOutput, batch: WindowBatch
    ) -> list[tuple[int, tuple[int, np.ndarray]]]:
        """For each window its first own token and the log-probabilities of its own tokens."""
        del network
        logits = output.logits[batch.owned].float()
        log_probabilities = self._by_layer(logits).log_softmax(dim=-1).flatten(1).cpu().numpy()
        collected = []
        first = 0
        for note, window in zip(batch.note_index.tolist(), batch.windows, strict=True):
            n = window.own_stop - window.own_start
            piece = (window.own_start, log_probabilities[first : first + n])
            collected.append((batch.notes[note], piece))
            first += n
        return collected

    def decode(
        self, note: Note, tokens: TokenisedNote, pieces: Sequence[tuple[int, np.ndarray]]
    ) -> Prediction:
        """The spans of the likeliest valid tag sequence over the whole note, as `decided`."""
        units, log_probabilities = self.unit_log_probabilities(note, tokens, pieces)
        spans = self.tag_set.decode(
            units, log_probabilities, np.exp(log_probabilities), least=self.overlooked
        )
        return self.decided([note], [Prediction(note.note_id, spans=spans)])[0]

    def unit_log_probabilities(
        self, note: Note, tokens: TokenisedNote, pieces: Sequence[tuple[int, np.ndarray]]
    ) -> tuple[Units, np.ndarray]:
        """The note's units, and their tags' (units, outputs), of a layer for itself."""
        units = find_units(note.text, tokens, self.units)
        ordered = [piece for _, piece in sorted(pieces, key=lambda piece: piece[0])]
        return units, np.concatenate(ordered)[units.tokens].astype(np.float64)

    def doubting(self, least: float) -> EntityRecognition:
        """Without a threshold, and with the stretches overlooked that are so likely a mention.

        What is so unlikely decides nothing elsewhere.
        """
        return replace(self.untuned(), overlooked=least, consistent=())

    def untuned(self) -> EntityRecognition:
        """The task without temperature and threshold: its predictions keep every mention."""
        return replace(self, temperature=None, shift=0.0, threshold=None)

    def tuned(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> EntityRecognition:
        """The task with the temperature of these (development) notes' mentions, and the threshold.

        That is the one of best exact-span F1, found by `steady_cut`; none where no mention is
        right, or fewer than `LEAST_STATEMENTS` are said, whose best threshold is that of a note or
        two. Mentions without a score are taken at any threshold, and tell no temperature.
        """
        check_order(notes, predictions)
        said: list[Span] = []
        right: list[bool] = []
        of_note: list[int] = []
        n_gold = np.zeros(len(notes))
        for i, (note, prediction) in enumerate(zip(notes, predictions, strict=True)):
            spans = note.spans or ()
            n_gold[i] = len({(*s.key, s.fragments) for s in spans})
            # A stretch that merely covers a discontinuous mention does not find it.
            left = {s.key for s in spans if not s.is_discontinuous}
            # A mention said twice is right once.
            for span in sorted(prediction.spans or (), key=_sureness, reverse=True):
                said.append(span)
                of_note.append(i)
                right.append(span.key in left)
                left.discard(span.key)
        if not n_gold.any():
            logger.warning(
                "entity recognition: the %d development notes have no mention, so no threshold "
                "can be tuned: every mention is kept",
                len(notes),
            )
        scored = [
            (s.score, found) for s, found in zip(said, right, strict=True) if s.score is not None
        ]
        rows = np.array(scored, dtype=np.float64).reshape(-1, 2)
        temperature, shift = dev_scaling(rows[:, 0], rows[:, 1])
        calm = replace(self, temperature=temperature, shift=shift)
        scores = [_sureness(span) for span in calm._scaled(said)]  # noqa: SLF001  (its own)
        if len(said) < LEAST_STATEMENTS:
            return replace(calm, threshold=None)
        return replace(calm, threshold=steady_cut(scores, right, of_note, n_gold))

    def decided(self, notes: Sequence[Note], predictions: Sequence[Prediction]) -> list[Prediction]:
        """The predictions' mentions that reach the threshold, scored at the temperature.

        Those that make them consistent are among them, and have to reach it, too.
        """
        check_order(notes, predictions)
        tuned = self.threshold is not None or self.temperature is not None
        least = 0.0 if self.threshold is None else self.threshold
        decided = []
        for note, prediction in zip(notes, predictions, strict=True):
            spans = self._consistent(note, prediction.spans or ())
            if tuned:
                spans = tuple(span for span in self._scaled(spans) if _sureness(span) >= least)
            decided.append(replace(prediction, spans=spans))
        return decided

    def _consistent(self, note: Note, spans: Sequence[Span]) -> tuple[Span, ...]:
        if not self.consistent:
            return tuple(spans)
        found = [
            span
            for own in apart(spans, self.layers)
            for span in consistent_mentions(note.text, own, labels=self.consistent)
        ]
        return tuple(sorted(found, key=lambda span: span.key))

    def _scaled(self, spans: Sequence[Span]) -> list[Span]:
        if self.temperature is None:
            return list(spans)
        scaling = self.temperature, self.shift
        return [
            s if s.score is None else replace(s, score=score_at_temperature(s.score, *scaling))
            for s in spans
        ]

    def gold_labels(self, notes: Sequence[Note]) -> Counter[str]:
        """The notes' mention types, with how many mentions they have."""
        check_annotated(notes, "spans", "entity recognition")
        return Counter(span.label for note in notes for span in note.spans or ())

    def evaluate(
        self,
        notes: NotesLike,
        predictions: Sequence[Prediction],
    ) -> EntityRecognitionScores:
        """Scores against all gold spans of the notes, those that tags can't hold included."""
        return self.score(as_notes(notes), predictions, None)

    def score(
        self,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        tokenizer: NoteTokenizer | None,
    ) -> EntityRecognitionScores:
        """As `evaluate`; `share_lost` also has what the tokenizer's tokens can't tell apart."""
        records = as_notes(notes)
        check_annotated(records, "spans", "entity recognition")
        check_order(records, predictions)
        tokens = [] if tokenizer is None else tokenizer.encode([note.text for note in records])
        gold = [note.spans or () for note in records]
        predicted = [prediction.spans or () for prediction in predictions]
        represented, gold_tags, predicted_tags = Representation(), [], []
        check_foreign(
            "entity recognition",
            Counter(span.label for spans in predicted for span in spans),
            {*self.labels, *(span.label for spans in gold for span in spans)},
        )
        said_labels = (span.label for spans in (*gold, *predicted) for span in spans)
        every_label = LabelSet.fitted((*self.labels, *said_labels))
        # What has layers in the model has layers here, so that nothing that overlaps is left out.
        tag_set, left_out = TagLayers(every_label, layers=self.layers), 0
        for i, (note, note_predicted) in enumerate(zip(records, predicted, strict=True)):
            units, note_gold = text_units(note.text, self.units), distinct_mentions(note)
            true, found = tag_set.encode(units, note_gold)
            if tokens:
                own_units = find_units(note.text, tokens[i], self.units)
                found = tag_set.encode(own_units, note_gold)[1]
            represented += found
            claimed, said = tag_set.encode(units, note_predicted)
            left_out += said.lost
            for layer, own in enumerate(tag_set.sets):
                # Where a type is neither annotated nor said there is nothing to count.
                if not layer or true[:, layer].any() or claimed[:, layer].any():
                    gold_tags.append([own.names[tag] for tag in true[:, layer]])
                    predicted_tags.append([own.names[tag] for tag in claimed[:, layer]])
        if left_out:
            logger.warning(
                "entity recognition: %d predicted mentions overlap others or are no whole words; "
                "the seqeval figures, which are of tags, leave them out, the others do not",
                left_out,
            )
        return EntityRecognitionScores(
            entity_scores(gold, predicted, lost=represented.lost),
            strict_seqeval(gold_tags, predicted_tags),
        )

    def note_counts(
        self,
        notes: Sequence[Note],
        predictions: Sequence[Prediction],
        *,
        labels: Collection[str] | None = None,
    ) -> NoteCounts:
        """Each note's mentions found exactly, in gold, predicted, by label."""
        from clinical_tl.metrics.note_counts import MICRO_AND_MACRO, count_labels

        counted = [
            mention_labels(note.spans or (), prediction.spans or ())
            for note, prediction in zip(notes, predictions, strict=True)
        ]
        return count_labels(counted, MICRO_AND_MACRO, labels=labels)

    def output_sources(
        self, output: str, found: Mapping[str, Sequence[str]], known: Collection[str]
    ) -> Sequence[str]:
        """Tags from the same tags of the source's labels, or from what its scheme calls them.

        Outside of a type's mentions starts as outside of all, where the source has one layer, and
        outside of all as the mean of outside of each type that is taken over.
        """
        prefix, dash, label = output.partition("-")
        names = found.get(label, ()) if dash else [n for own in found.values() for n in own]
        for tried in (prefix, BIO_PREFIXES.get(prefix, prefix)):
            tags = [f"{tried}-{name}" for name in names]
            if tags and all(tag in known for tag in tags):
                return tags
        if output == self.nothing or (prefix == self.nothing and names):
            return super().output_sources(prefix, {}, known)
        return []

    @classmethod
    def layout(cls, row: Mapping[str, Any]) -> str | None:
        """Of several layers, where they lie; and what is decided over a whole note."""
        told = []
        if row.get("layers", "one") != "one":
            tag_set = cls.from_dict(row).tag_set
            told.append(
                f"The outputs are {len(tag_set.sets)} layers of {tag_set.width}, one a type, side "
                "by side. The tags of a layer exclude one another; those of two layers don't, as "
                "mentions of two types may overlap. "
                f"`logits.unflatten(-1, (-1, {tag_set.width})).softmax(-1)` has their "
                "probabilities; a pipeline that takes the likeliest of all outputs misreads them."
            )
        if row.get("consistent"):
            told.append(
                "What is a mention in at least half of its places in a note is one in all of them "
                "in the package's predictions, and in its scores; the outputs alone don't tell."
            )
        return "\n\n".join(told) or None

    def to_dict(self) -> dict[str, Any]:
        """For `task.json`."""
        row = super().to_dict()
        del row["overlooked"]
        return row


def _sureness(span: Span) -> float:
    """A mention's score; one that has none was not doubted."""
    return 1.0 if span.score is None else float(span.score)
