"""Feature extraction: a frozen encoder with a regularised linear model on top, for every task.

What fine-tuning has to beat, and often all that a few notes can feed. Notes are embedded
once; the linear model is fitted in seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.data.seen_notes import SeenNotes
from clinical_tl.data.ties import related_notes
from clinical_tl.errors import ArtifactError, NoteError, TaskError, refusing, shown_ids, shown_path
from clinical_tl.estimators.feature_classifier import STRENGTHS, ClassWeight, FeatureClassifier
from clinical_tl.estimators.lexical_classifier import LexicalClassifier
from clinical_tl.estimators.unit_length import unit_length
from clinical_tl.models.lexical_part import (
    check_lexical,
    fit_lexical,
    lexical_facts,
    weigh_words,
    with_words,
)
from clinical_tl.models.linear_tagger import (
    UNIT_STRENGTHS,
    UNSEEN,
    check_of_notes,
    fit_tagger,
    said_mentions,
)
from clinical_tl.models.open_codes import OpenCodes, opened
from clinical_tl.network.embeddings import LAST, embed
from clinical_tl.saved.artifact import read_metrics, write_artifact
from clinical_tl.saved.evaluations import leak_of, record_scores
from clinical_tl.saved.hub import SavedFolder, find_saved
from clinical_tl.saved.said_language import LANGUAGE, said_language
from clinical_tl.saved.saved_task import saved_task
from clinical_tl.saved.training_notes import training_notes
from clinical_tl.schema import Note, Prediction
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.processes import on_main_process
from clinical_tl.tasks.note_task import NoteTask
from clinical_tl.tasks.task_checks import check_notes, check_order
from clinical_tl.tasks.unit_task import UnitTask
from clinical_tl.text.visible import can_be_read, has_text, tell_unread, written_notes

if TYPE_CHECKING:
    from typing import Unpack

    import numpy.typing as npt
    import torch

    from clinical_tl.metrics.scores import Scores
    from clinical_tl.models.lexical_part import Lexical
    from clinical_tl.network.frozen_encoder import FrozenEncoder, VectorPooling
    from clinical_tl.release.push import PushOptions
    from clinical_tl.text.tokenizer import NoteTokenizer

logger = logging.getLogger(__name__)

ADAPTER = "features"


@dataclass(frozen=True)
class FeatureModel:
    """A task solved by a linear model on an encoder's features.

    One vector a note for classification and coding, one a unit (word or token) for
    entity recognition, whose tags are then decoded into a valid sequence.
    """

    task: NoteTask | UnitTask
    encoder: FrozenEncoder
    classifier: FeatureClassifier
    layer: int | None = None
    pooling: VectorPooling = "mean"
    cache: Path | None = None
    lexical: LexicalClassifier | None = None
    open_codes: OpenCodes | None = None
    """Which codes it gives beyond those of training (`fit_open_codes`)."""
    unit_length: bool = True
    """Whether a note's vector is divided by its length, as those of all but older models are."""
    metrics: dict[str, Any] = field(default_factory=dict)
    seen: SeenNotes | None = field(default=None, repr=False, compare=False)
    saved_as: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def fit(
        cls,
        encoder: str | Path | FrozenEncoder,
        task: NoteTask | UnitTask,
        train: NotesLike,
        dev: NotesLike | None = None,
        *,
        layer: int | None = None,
        pooling: VectorPooling = "mean",
        cache: str | Path | None = None,
        lexical: Lexical = False,
        strengths: Sequence[float] | None = None,
        folds: int = 5,
        seed: int = 0,
        progress: bool = True,
        allow_leakage: bool = False,
    ) -> FeatureModel:
        """Embed the training notes and fit the linear model, its strength chosen on folds of them.

        Folds never divide a patient, nor copies of a text. With `dev` the task's temperature
        and thresholds are tuned there. `cache` keeps notes' vectors (see `embed`); `lexical` adds
        what the notes' words say, as `TrainingConfig.lexical` does;
        `strengths` (by default its own, of units `UNIT_STRENGTHS`), `folds` and `seed` are those of
        `FeatureClassifier`. The task's
        `class_weights`, or a coding task's `loss="bce_pos_weight"`, weigh the linear model's
        loss too; its other losses are the network's alone, which is logged. Dev notes that share
        patients or texts with the training notes are an error, or with `allow_leakage` a mark in
        `metrics`. `layer` is that of the states; by default the last where notes are decided, and
        what `embed_units` joins where units are.

        Raises:
            TaskError: notes without annotation, with labels that the task was not fitted on, or
                with text and all of one label; a task that has no linear form.
            TrainingError: no training notes, or an empty dev set.
            NoteError: training and dev notes share patients or texts.
            ConfigError: strengths, folds or a seed that can't work; a pooling of notes for words.
            EncoderError, ConfigError, NoteError: as `embed`.
        """
        from clinical_tl.network.frozen_encoder import FrozenEncoder

        if not isinstance(task, NoteTask | UnitTask):
            raise TaskError(
                f"{type(task).__name__} has no linear form on frozen features; allowed: tasks that "
                "label notes or tag their units (NoteClassification, MultiLabelClassification, "
                "DiagnosisCoding, EntityRecognition)"
            )
        task, records = task.untuned(), as_notes(train)
        dev_records = None if dev is None else as_notes(dev)
        check_notes(task, records, dev_records)
        written = written_notes(records)
        by_default = UNIT_STRENGTHS if isinstance(task, UnitTask) else STRENGTHS
        classifier = FeatureClassifier(
            strengths=by_default if strengths is None else strengths,
            folds=folds,
            seed=seed,
            class_weight=class_weight(task, written),
            block=task.tag_set.width if isinstance(task, UnitTask) else 1,
        )
        classifier.check_settings()
        check_lexical(lexical)
        if layer is None and isinstance(task, NoteTask):
            layer = LAST
        seen, leak = SeenNotes.of(records, dev_records, allow_leakage=allow_leakage)
        if isinstance(encoder, str | Path):
            encoder = FrozenEncoder.from_pretrained(encoder)
        cache = None if cache is None else as_path(cache)
        if isinstance(task, UnitTask):
            check_of_notes(pooling, cache)
            classifier = fit_tagger(
                classifier, task, encoder, records, layer=layer, progress=progress
            )
        else:
            if not task.multi_label and len(labels := task.gold_labels(written)) < 2:
                raise TaskError(
                    f"{task.title}: the {len(written)} training notes with text all have the label "
                    f"{shown_ids(labels, 'label')}; give notes of two labels at least"
                )
            features = embed(
                encoder, written, layer=layer, pooling=pooling, cache=cache, progress=progress
            ).matrix
            classifier.fit(
                _of_unit_length(features), task.gold(written), related_notes(written).tolist()
            )
            if task.chooses_weights:
                task = task.weighted(classifier.balance_)
        trained = {
            **training_notes(train, records),
            "adapter": {"kind": "linear model on frozen features"},
            "settings": {
                "strength": float(classifier.strength_),
                "layer": "embeddings and middle layer" if layer is None else layer,
                "pooling": pooling,
            },
            "seed": seed,
            "class_balance": task.balance if isinstance(task, NoteTask) else None,
            "lexical": None,
        }
        metrics = {"training": trained}
        model = cls(task, encoder, classifier, layer, pooling, cache, metrics=metrics, seen=seen)
        words = fit_lexical(task, written, lexical) if lexical else None
        predictions: list[Prediction] = []
        if dev_records is not None:
            predictions = model.predict(dev_records, progress=progress)
        if words is not None and isinstance(task, NoteTask):
            if dev_records is not None:
                predictions = weigh_words(task, words, dev_records, predictions)
            trained["lexical"] = lexical_facts(words)
            model = replace(model, lexical=words)
        if dev_records is None:
            return model
        tuned = task.tuned(dev_records, predictions)
        decided = tuned.decided(dev_records, predictions)
        scores = tuned.score(dev_records, decided, model.tokenizer).summary()
        record_scores(model.metrics, "dev", dev_records, scores, leak=leak)
        return replace(model, task=tuned)

    @property
    def tokenizer(self) -> NoteTokenizer:
        """The encoder's."""
        return self.encoder.tokenizer

    def predict(
        self, notes: NotesLike | Sequence[str], *, progress: bool = True
    ) -> list[Prediction]:
        """One `Prediction` a note or text, in input order; notes may have any length.

        A note with nothing to read (blank) gets no label, code or mention, and the labels'
        shares in training as its scores; a warning names such notes.
        """
        records = as_notes(notes)
        if not records:
            return []
        if isinstance(self.task, UnitTask):
            return self._predict_units(self.task, records, progress=progress)
        features, probabilities = self._note_probabilities(self.task, records, progress=progress)
        # What says nothing has no vector, or that of its tokens for nothing.
        unread = [
            not (has_text(note.text) and row.any())
            for note, row in zip(records, features, strict=True)
        ]
        tell_unread(note for note, blank in zip(records, unread, strict=True) if blank)
        predictions = [
            self.task.unread(note.note_id) if blank else self.task.predicted(note.note_id, row)
            for note, row, blank in zip(
                records, self.task.scaled(probabilities.astype(np.float32)), unread, strict=True
            )
        ]
        return opened(self.open_codes, self, records, predictions)

    def embed_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """The encoder's vectors of texts, as the model pools them, (texts, d)."""
        vectors: npt.NDArray[np.float32] = embed(
            self.encoder,
            texts,
            layer=self.layer,
            pooling=self.pooling,
            cache=self.cache,
            progress=False,
        ).matrix
        return vectors

    def losses(self, notes: NotesLike) -> npt.NDArray[np.float64]:
        """Each annotated note's loss, shape (notes,): the mean over labels where there are many.

        NaN for a note whose label training did not see. See `TransferModel.losses`.

        Raises `TaskError` for a task that tags units, which has no loss of a note here.
        """
        if not isinstance(self.task, NoteTask):
            raise TaskError(
                f"{self.task.title} on frozen features has no loss of a note; allowed: tasks that "
                "label notes"
            )
        records = as_notes(notes)
        _, every = self._note_probabilities(self.task, records, progress=False)
        every = every.clip(UNSEEN, 1 - UNSEEN)
        gold = self.task.gold(records)
        if gold.ndim == 1:
            own = -np.log(every[np.arange(len(records)), gold])
            return np.where(gold >= 0, own, np.nan)
        mean: npt.NDArray[np.float64] = -np.log(np.where(gold, every, 1 - every)).mean(axis=1)
        return mean

    def evaluate(
        self,
        notes: NotesLike,
        *,
        name: str = "test",
        train: NotesLike | None = None,
        predictions: Sequence[Prediction] | None = None,
        allow_leakage: bool = False,
        progress: bool = True,
    ) -> Scores:
        """Predict annotated notes and score them; the summary is kept in `metrics[name]`.

        Leakage is looked for, and `predictions` are taken, as by `TransferModel.evaluate`.
        """
        records = as_notes(notes)
        if not records:
            raise NoteError("there are no notes to evaluate; give at least one annotated note")
        leak = leak_of(
            self.metrics,
            self.seen,
            records,
            name,
            train=None if train is None else as_notes(train),
            allow_leakage=allow_leakage,
        )
        if predictions is None:
            predictions = self.predict(records, progress=progress)
        check_order(records, predictions)
        scores = self.task.score(records, predictions, self.tokenizer)
        record_scores(self.metrics, name, records, scores.summary(), leak=leak)
        return scores

    def save_pretrained(
        self, folder: str | Path, *, language: str | Sequence[str] | None = None
    ) -> Path:
        """Write task, linear model and tokenizer as a plain folder; the encoder is named in it.

        Of several processes the first writes it. `language` is that of the notes, as
        `TransferModel.save_pretrained` takes it.
        """
        folder = as_path(folder)
        self._say(language)
        on_main_process(lambda: self._write(folder))
        return folder

    def _say(self, language: str | Sequence[str] | None) -> None:
        if language is not None:
            self.metrics[LANGUAGE] = said_language(language)

    def _write(self, folder: Path) -> None:
        from clinical_tl.saved.card import model_card
        from clinical_tl.version import __version__

        def write_files(draft: Path) -> None:
            self.classifier.save(draft)
            if self.lexical is not None:
                self.lexical.save(draft)
            if self.open_codes is not None:
                self.open_codes.save(draft)
            self.encoder.tokenizer.save_pretrained(draft)

        windowing = self.encoder.windowing
        description = {
            "package_version": __version__,
            "task": self.task.to_dict(),
            "encoder": self.encoder.source.to_dict(),
            "adapter": ADAPTER,
            "windowing": {"length": windowing.length, "overlap": windowing.overlap},
            "features": {
                "layer": self.layer,
                "pooling": self.pooling,
                "unit_length": self.unit_length,
            },
        }
        write_artifact(
            folder,
            description,
            metrics=self.metrics,
            card=model_card(description, self.metrics),
            write_files=write_files,
        )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        folder: str | Path | None = None,
        language: str | Sequence[str] | None = None,
        **options: Unpack[PushOptions],
    ) -> str:
        """Save the model and upload it in one commit, private by default; returns its address.

        As `TransferModel.push_to_hub`; the encoder must be one that others can have. Of several
        processes the first pushes.
        """
        from clinical_tl.release.push import push_saved

        self._say(language)
        options.setdefault("encoder", self.encoder.source.path)
        return push_saved(self._write, repo_id, folder=folder, **options)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        revision: str | None = None,
        encoder: str | Path | None = None,
        device: str | torch.device | None = None,
    ) -> FeatureModel:
        """The model that `save_pretrained` wrote, from its folder or a Hub id at `revision`.

        `encoder` names another place of the same encoder, `device` where it computes; by default
        a GPU where there is one.

        Raises `ArtifactError` for a folder that is damaged, of another kind, or whose encoder
        is not the one it was fitted on; `HubError` for an id that can't be pulled.
        """
        saved = find_saved(folder, revision=revision)
        return cls.from_saved(saved, encoder=encoder, device=device)

    @classmethod
    def from_saved(
        cls,
        saved: SavedFolder,
        *,
        encoder: str | Path | None = None,
        device: str | torch.device | None = None,
    ) -> FeatureModel:
        """As `load`, of a folder that was found and checked already."""
        from clinical_tl.network.encoder import find_saved_encoder
        from clinical_tl.network.frozen_encoder import FrozenEncoder

        folder, description = saved.path, saved.description
        if description["adapter"] != ADAPTER:
            raise ArtifactError(
                f"{shown_path(folder)} holds a fine-tuned model; load it with TransferModel.load()"
            )
        task, windowing = saved_task(folder, description)
        if not isinstance(task, NoteTask | UnitTask):
            raise ArtifactError(
                f"{shown_path(folder)}: {task.title} has no linear form on features; save it again"
            )
        of = description["encoder"]
        loaded = FrozenEncoder.of_source(
            find_saved_encoder(of, folder, encoder=encoder, pulled=saved.pulled),
            window=windowing.length,
            overlap=windowing.overlap,
            device=device,
        )
        with refusing(
            ArtifactError, f"{shown_path(folder)}: no features are described", "save it again"
        ):
            features = description["features"]
            layer, pooling = features["layer"], features["pooling"]
            of_unit_length = features.get("unit_length", False)
        classifier = FeatureClassifier.load(folder)
        return cls(
            task,
            loaded,
            classifier,
            layer,
            pooling,
            lexical=LexicalClassifier.load(folder) if LexicalClassifier.is_saved(folder) else None,
            open_codes=OpenCodes.load(folder) if OpenCodes.is_saved(folder) else None,
            unit_length=of_unit_length,
            metrics=read_metrics(folder),
            saved_as=saved.name,
        )

    def _note_probabilities(
        self, task: NoteTask, notes: Sequence[Note], *, progress: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """The notes' vectors, (notes, d), and every label's probability, (notes, labels)."""
        features = embed(
            self.encoder,
            notes,
            layer=self.layer,
            pooling=self.pooling,
            cache=self.cache,
            progress=progress,
        ).matrix
        every = np.zeros((len(notes), len(task.labels)))
        read = _of_unit_length(features) if self.unit_length else features
        every[:, self.classifier.classes_.astype(int)] = self.classifier.predict_proba(read)
        if self.lexical is not None:
            every = with_words(task, self.lexical, notes, every).astype(np.float64)
        return features, every

    def _predict_units(
        self, task: UnitTask, notes: Sequence[Note], *, progress: bool
    ) -> list[Prediction]:
        tokens = self.tokenizer.encode([note.text for note in notes])
        unread = [not can_be_read(note.text, own) for note, own in zip(notes, tokens, strict=True)]
        tell_unread(note for note, blank in zip(notes, unread, strict=True) if blank)
        found = [task.unread(note.note_id) for note in notes]
        numbers = np.flatnonzero(~np.array(unread)).tolist()
        said = said_mentions(
            task,
            self.encoder,
            self.classifier,
            [notes[number] for number in numbers],
            layer=self.layer,
            progress=progress,
        )
        for number, spans in zip(numbers, said, strict=True):
            found[number] = Prediction(notes[number].note_id, spans=spans)
        return task.decided(notes, found)


def _of_unit_length(vectors: np.ndarray) -> np.ndarray:
    """The vectors of notes, shape (notes, d), divided by their lengths.

    How long a mean vector is says more of how long the note is. On held-out notes of
    MTS-Dialog's training set (balanced classes, means of five draws) macro-F1 / accuracy were
    0.080 / 0.321 with 10 notes as they came and 0.092 / 0.363 at unit length, 0.167 / 0.482 and
    0.168 / 0.512 with 30, 0.348 / 0.623 and 0.355 / 0.639 with 300.
    """
    return unit_length(vectors).astype(np.float32)


def class_weight(task: NoteTask | UnitTask, notes: Sequence[Note]) -> ClassWeight:
    """What the task weighs its loss by, as scikit-learn says it; classes are columns."""
    if isinstance(task, NoteTask) and task.chooses_weights:
        return "auto"
    weights = task.loss_weights() if isinstance(task, NoteTask) else None
    if weights is None or isinstance(task, UnitTask):
        return None
    if task.multi_label:
        return [{0: 1.0, 1: weight} for weight in weights]
    return {column: weights[column] for column in np.unique(task.gold(notes)).tolist()}
