"""`TransferModel`: a pretrained encoder adapted to one clinical task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from clinical_tl.data.notes import Notes, NotesLike, as_notes
from clinical_tl.errors import ArtifactError, ConfigError, NoteError, shown_path
from clinical_tl.estimators.lexical_classifier import LexicalClassifier
from clinical_tl.estimators.note_novelty import fit_note_novelty, note_novelty
from clinical_tl.estimators.novelty import NoveltyDetector
from clinical_tl.models.open_codes import OpenCodes, opened
from clinical_tl.models.reader import CHUNK, Reader
from clinical_tl.network.adapter import Adapter
from clinical_tl.network.device import choose_device, reading_precision
from clinical_tl.network.encoder import EncoderSource, find_encoder, find_saved_encoder
from clinical_tl.network.frozen_encoder import encoder_windowing, pool_texts
from clinical_tl.network.lora import LoRA
from clinical_tl.network.network import Network, build_network
from clinical_tl.network.structure import base_model
from clinical_tl.network.weights import (
    HEAD_FILE,
    adapter_kind,
    carries_encoder,
    load_network,
    merged_model,
    merged_network,
    save_network,
)
from clinical_tl.saved.artifact import read_metrics, refuse_others, write_artifact
from clinical_tl.saved.encoder_licence import shareable_name
from clinical_tl.saved.evaluations import leak_of, record_scores
from clinical_tl.saved.hub import SavedFolder, find_saved
from clinical_tl.saved.said_language import LANGUAGE, said_language
from clinical_tl.saved.saved_task import saved_task
from clinical_tl.schema import Note, Prediction
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.processes import on_main_process
from clinical_tl.storage.replacement import replacing_folder, whole_folder
from clinical_tl.tasks.abilities import DescribesLabels
from clinical_tl.tasks.task_checks import check_order
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.windows import Windowing

if TYPE_CHECKING:
    from typing import Unpack

    import numpy.typing as npt

    from clinical_tl.data.seen_notes import SeenNotes
    from clinical_tl.estimators.novelty import NoveltyMethod
    from clinical_tl.metrics.scores import Scores
    from clinical_tl.network.precision import Precision
    from clinical_tl.release.push import PushOptions
    from clinical_tl.tasks.task import Task

_OTHERS = {
    "features": "a linear model on frozen features; load it with clinical_tl.FeatureModel",
    "onnx": "an exported model; load it with clinical_tl.models.OnnxModel",
}
"""What other classes save."""


class TransferModel:
    """An encoder, an adapter and a head for a task, with the tokenizer and windows they use.

    Build one with `from_pretrained`, train it with `clinical_tl.fit`, then `predict`,
    `evaluate`, `save_pretrained`; `load` brings it back.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        tokenizer: NoteTokenizer,
        windowing: Windowing,
        source: EncoderSource,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        self.network = network
        self.network.pad_with(tokenizer.pad_id)
        self.task = task
        self.tokenizer = tokenizer
        self.windowing = windowing
        self.source = source
        self.metrics = metrics or {}
        self.novelty: NoveltyDetector | None = None
        self.lexical: LexicalClassifier | None = None
        """What words add to the network's logits (`TrainingConfig.lexical`)."""
        self.open_codes: OpenCodes | None = None
        """Which codes it gives beyond those of training (`fit_open_codes`)."""
        self.start: dict[str, Any] = {}
        """What the weights were before any training, for a checkpoint to be known as this run's."""
        self.seen: SeenNotes | None = None
        self.saved_as: str | None = None
        """The name of the folder, or the Hub id, that it was loaded from."""

    @classmethod
    def from_pretrained(
        cls,
        encoder: str | Path,
        task: Task,
        *,
        adapter: Adapter | None = None,
        revision: str | None = None,
        window: int | None = None,
        overlap: int | None = None,
        seed: int = 0,
        pretrained: bool = True,
        device: str | torch.device | None = None,
    ) -> TransferModel:
        """A pretrained encoder made ready for a task, not yet trained.

        Args:
            encoder: a folder, `"hub:org/name"`, a Hub id in the local cache, or `"offline"`
                (extra `[offline]`).
            task: fitted on the training notes, e.g. `EntityRecognition.from_notes(train)`.
            adapter: `LoRA(...)` (the default), any peft config, `"full"` to train all
                weights, `"frozen"` to train the head alone.
            revision: of the Hub id.
            window: tokens a window, special ones included; by default 512, or what the
                encoder's positions allow if that is less.
            overlap: tokens that neighbouring windows share; by default 64, or an eighth of a
                window where that is less.
            seed: of the new weights (head, adapter).
            pretrained: `False` starts from random weights, the control of a transfer
                experiment.
            device: where the model computes; by default a GPU where there is one.

        Raises:
            EncoderError: the encoder can't be found, verified, loaded whole or adapted.
            ConfigError: windows longer than the encoder's positions, a wrong adapter, or a
                device that is not there.
        """
        place = choose_device(device)
        source = find_encoder(encoder, revision=revision)
        tokenizer = NoteTokenizer.from_pretrained(source.path)
        windowing = encoder_windowing(source, tokenizer, window, overlap)
        task = task.on_encoder(source)
        network = build_network(
            source, task.head_spec, adapter or LoRA(), seed=seed, pretrained=pretrained
        )
        model = cls(network.to(place), task, tokenizer, windowing, source)
        model.start = {"weights": "pretrained" if pretrained else "random", "weights seed": seed}
        texts = task.label_descriptions() if isinstance(task, DescribesLabels) else None
        if network.head is not None and texts is not None:
            network.head.initialise(model.embed_texts(texts))
        return model

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        revision: str | None = None,
        encoder: str | Path | None = None,
        device: str | torch.device | None = None,
    ) -> TransferModel:
        """The model that `save_pretrained` wrote, from its folder or pulled from the Hub.

        `folder` may be a Hub id (`"hub:org/name"`, or `"org/name"` for one in the local cache),
        `revision` then its branch, tag or commit. `encoder` names another place for the same
        encoder (a local copy behind a firewall); its weights must have the hash, and its config
        the settings, of those the model was trained on. `device` is where the model computes;
        by default a GPU where there is one.

        Raises `ArtifactError` for a folder that is damaged, incompatible, or whose encoder is
        not the one it was trained on; `EncoderError` if that can't be found; `HubError` for
        an id that can't be pulled; `ConfigError` for a device that is not there.
        """
        place = choose_device(device)
        saved = find_saved(folder, revision=revision)
        return cls.from_saved(saved, encoder=encoder, device=place)

    @classmethod
    def from_saved(
        cls,
        saved: SavedFolder,
        *,
        encoder: str | Path | None = None,
        device: str | torch.device | None = None,
    ) -> TransferModel:
        """As `load`, of a folder that was found and checked already."""
        place, folder, description = choose_device(device), saved.path, saved.description
        if description["adapter"] in _OTHERS:
            raise ArtifactError(
                f"{shown_path(folder)} holds {_OTHERS[description['adapter']]}.load()"
            )
        of = description["encoder"]
        needs_encoder = description["adapter"] == "peft" or (folder / HEAD_FILE).exists()
        task, windowing = saved_task(folder, description)
        if needs_encoder and description["adapter"] != "full":
            source = find_saved_encoder(of, folder, encoder=encoder, pulled=saved.pulled)
        else:
            source = EncoderSource(
                of["name"], str(folder), of["revision"], of["sha256"], of.get("settings", {})
            )
        network = load_network(source, task.head_spec, description["adapter"], folder)
        tokenizer = NoteTokenizer.from_pretrained(folder)
        model = cls(network.to(place), task, tokenizer, windowing, source, read_metrics(folder))
        if NoveltyDetector.is_saved(folder):
            model.novelty = NoveltyDetector.load(folder)
        if LexicalClassifier.is_saved(folder):
            model.lexical = LexicalClassifier.load(folder)
        if OpenCodes.is_saved(folder):
            model.open_codes = OpenCodes.load(folder)
        model.saved_as = saved.name
        model.network.eval()
        return model

    @property
    def reader(self) -> Reader:
        """What reads notes with the model as it is now."""
        return Reader(self.network, self.task, self.tokenizer, self.windowing, self.lexical)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.network.device

    def to(self, device: str | torch.device | None = None) -> TransferModel:
        """Move the model, in place, and return it; `None`: to a GPU where there is one.

        Raises `ConfigError` for a device that is not there.
        """
        self.network.to(choose_device(device))
        return self

    def save_pretrained(
        self, folder: str | Path, *, language: str | Sequence[str] | None = None
    ) -> Path:
        """Write the model as a plain folder (`clinical_tl.saved.artifact` lists its files).

        The folder is complete or not there at all; of several processes the first writes it.
        `language` says what the notes are in, for the card: a code of ISO 639 (`"de"`) or
        several; by default it is what `fit` detected. It stays with the model.

        Raises `ArtifactError` if the folder holds something else, `ConfigError` for a language
        that is no such code.
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
            save_network(self.network, draft)
            self.tokenizer.save_pretrained(draft)
            if self.novelty is not None:
                self.novelty.save(draft)
            if self.lexical is not None:
                self.lexical.save(draft)
            if self.open_codes is not None:
                self.open_codes.save(draft)

        # What carries its encoder needs no folder of this machine, and so names none.
        source = self._nameless_source() if carries_encoder(self.network) else self.source
        description = {
            "package_version": __version__,
            "task": self.task.to_dict(),
            "encoder": source.to_dict(),
            "adapter": adapter_kind(self.network),
            "auto_class": self.network.auto_class,
            "windowing": asdict(self.windowing),
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
        merge: bool = False,
        language: str | Sequence[str] | None = None,
        **options: Unpack[PushOptions],
    ) -> str:
        """Save the model and upload it in one commit, private by default; returns its address.

        Needs the network and a token. `options` are those of `clinical_tl.release.push_folder`
        (`private`, `revision`, `create_pr`, `tag`, `token`). The saved model stays in `folder`
        if that is given, and wherever it lies if the push fails. `merge` pushes `merged()`,
        for an encoder that nobody else has; a full fine-tune carries its encoder anyway.
        `language` is as for `save_pretrained`. Of several processes the first pushes.

        Raises:
            HubError: the Hub can't be reached or refuses; the message says how to go on.
            ReleaseError: the release gate refuses, as it always does an adapter of an encoder
                that is a local folder, or a novelty detector that holds single notes' embeddings.
        """
        from clinical_tl.release.push import push_saved

        def save(place: Path) -> None:
            (self.merged() if merge else self)._write(place)  # noqa: SLF001  (its own)

        self._say(language)
        options.setdefault("encoder", self.source.path)
        return push_saved(save, repo_id, folder=folder, **options)

    def merged(self) -> TransferModel:
        """A copy with the adapter folded into the weights: a full model, free of its encoder.

        Raises `ArtifactError` for a model with an open code set, which needs the encoder as it was.
        """
        self._refuse_open_codes()
        network = merged_network(self.network).eval()
        model = TransferModel(
            network,
            self.task,
            self.tokenizer,
            self.windowing,
            self._nameless_source(),
            self.metrics,
        )
        model.novelty, model.lexical, model.seen = self.novelty, self.lexical, self.seen
        return model

    def _refuse_open_codes(self) -> None:
        if self.open_codes is not None:
            raise ArtifactError(
                "the model has an open code set, which reads names with the encoder as it was "
                "before the adapter; save it with save_pretrained(), or merge it as it was before "
                "fit_open_codes()"
            )

    def _nameless_source(self) -> EncoderSource:
        """The encoder without the folder that it lies in here."""
        return replace(self.source, name=shareable_name(self.source.name))

    def merge(self, folder: str | Path) -> Path:
        """Write a plain transformers folder, the adapter folded into the weights.

        `transformers.pipeline` runs it; of a long note it reads what fits one window. Raises
        `ArtifactError` for a head of our own, for words or an open code set beside the network,
        or where `folder` holds anything else.
        """
        if self.lexical is not None:
            raise ArtifactError(
                "the model adds what words say to what the network does, which transformers can't; "
                "save it with save_pretrained(), or train without lexical to merge"
            )
        self._refuse_open_codes()
        folder = whole_folder(as_path(folder))
        merged = merged_model(self.network)
        with replacing_folder(folder) as draft:
            merged.save_pretrained(str(draft))
            self.tokenizer.save_pretrained(draft)
            refuse_others(folder, draft)
        return folder

    def predict(
        self,
        notes: NotesLike | Sequence[str],
        *,
        batch_tokens: int | None = None,
        precision: Precision = "no",
        progress: bool = True,
        with_novelty: bool = False,
    ) -> list[Prediction]:
        """One `Prediction` a note or text, in input order; notes may have any length.

        `batch_tokens` (padded tokens read at once) bounds memory; `None` chooses by the device.
        `precision` is fp32 by default, so that a threshold tuned on one machine holds on
        another; `"bf16"` trades exactness for speed, `"auto"` does so where the hardware
        computes it natively. LoRA weights are folded into a copy of the encoder's, which is
        kept: probabilities are within 1e-4 of the unfolded ones.
        `with_novelty` adds how unlike the training notes each note is, at the cost of a second
        reading; raises `TaskError` if no detector was fitted (`fit_novelty`), or if the
        encoder was trained since.
        """
        # Of a set that is mapped from disk no more is made than is being read.
        records = notes if isinstance(notes, Notes) else as_notes(notes)
        novelty = note_novelty(self.novelty, self._embed, records) if with_novelty else []
        predictions = self.predict_stream(
            records, batch_tokens=batch_tokens, precision=precision, progress=progress
        )
        if not with_novelty:
            return list(predictions)
        return [replace(p, novelty=n) for p, n in zip(predictions, novelty, strict=True)]

    def predict_stream(
        self,
        notes: Iterable[Note],
        *,
        batch_tokens: int | None = None,
        precision: Precision = "no",
        progress: bool = True,
        with_novelty: bool = False,
    ) -> Iterator[Prediction]:
        """As `predict`, one after the other in the notes' order, for more than memory holds.

        `notes` may be a stream too; some thousands of them (`reader.CHUNK`) are in memory at a
        time.
        """
        if with_novelty:
            stream = iter(notes)
            return (
                prediction
                for chunk in iter(lambda: list(islice(stream, CHUNK)), [])
                for prediction in self.predict(
                    chunk,
                    batch_tokens=batch_tokens,
                    precision=precision,
                    progress=progress,
                    with_novelty=True,
                )
            )

        def read(some: Iterable[Note]) -> Iterator[Prediction]:
            autocast = reading_precision(precision, self.network.device)
            return self.reader.predict(
                some, batch_tokens=batch_tokens, progress=progress, autocast=autocast
            )

        if self.open_codes is None:
            return read(notes)
        stream = iter(notes)
        return (
            prediction
            for chunk in iter(lambda: list(islice(stream, CHUNK)), [])
            for prediction in opened(self.open_codes, self, chunk, list(read(chunk)))
        )

    def losses(self, notes: NotesLike) -> npt.NDArray[np.float64]:
        """Each annotated note's mean loss over what is decided in it, shape (notes,).

        NaN where nothing is, or nothing with a label that training saw. Low for notes that were
        trained on, if the model remembers them: the release gate's audit asks for it.
        """
        return self.reader.losses(as_notes(notes))

    def fit_novelty(
        self,
        train: NotesLike,
        *,
        method: NoveltyMethod = "mahalanobis",
        seed: int = 0,
    ) -> NoveltyDetector:
        """Learn what the training notes look like to the encoder, for `predict(with_novelty=True)`.

        Call it after training, which changes the encoder. The detector (also in `novelty`) is
        saved with the model; `NoveltyDetector` tells the methods apart. Of them `knn` and
        `kde` keep the notes' embeddings, which are as confidential as the notes. Notes of a
        patient are held out together; `relative_mahalanobis` takes the notes' labels.

        Raises `TaskError` for too few notes, or for notes without the labels a method needs.
        """
        if self.metrics.get("training", {}).get("privacy"):
            raise ConfigError(
                "the model was trained with differential privacy, and a detector would keep "
                "statistics of its training notes without any noise; predict without novelty, or "
                "keep a NoveltyDetector of public notes beside the model"
            )
        self.novelty = fit_note_novelty(self._embed, as_notes(train), method=method, seed=seed)
        return self.novelty

    def _embed(self, texts: Sequence[str]) -> np.ndarray:
        return self.embed_texts(texts).cpu().numpy()

    def evaluate(
        self,
        notes: NotesLike,
        *,
        name: str = "test",
        train: NotesLike | None = None,
        predictions: Sequence[Prediction] | None = None,
        allow_leakage: bool = False,
        **predicting: Any,  # noqa: ANN401  (what predict takes)
    ) -> Scores:
        """Predict annotated notes and score them; the summary is kept in `metrics[name]`.

        Notes that share patients or texts with those that the model was trained or tuned on are
        an error, or with `allow_leakage` a mark in `metrics` and the card. A model that was
        loaded does not remember them: give `train`. `predictions` are the model's own of these
        notes, in order, where it has made them already.
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
            predictions = self.predict(records, **predicting)
        check_order(records, predictions)
        scores = self.task.score(records, predictions, self.tokenizer)
        record_scores(self.metrics, name, records, scores.summary(), leak=leak)
        return scores

    def summary(self) -> str:
        """One paragraph: encoder, task, windows, and how many parameters are trained."""
        total = sum(p.numel() for p in self.network.parameters())
        trained = self.trainable_parameters
        head = sum(
            p.numel() for n, p in self.network.trainable().items() if self.network.is_head(n)
        )
        return (
            f"{type(self.task).__name__} with {len(self.task.labels)} labels on "
            f"{self.source.name} ({adapter_kind(self.network)})\n"
            f"trainable parameters: {trained:,} of {total:,} ({100 * trained / total:.2f} %), "
            f"{head:,} of them in the head\n"
            f"windows: {self.windowing.length} tokens, overlapping by {self.windowing.overlap}"
        )

    @property
    def trainable_parameters(self) -> int:
        """How many numbers training changes."""
        return sum(p.numel() for p in self.network.trainable().values())

    def __repr__(self) -> str:
        return f"<TransferModel: {self.summary()}>"

    def embed_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Mean token states of the encoder's last layer for texts of any length, (texts, d)."""
        encoder = base_model(self.network.model)
        return pool_texts(encoder, self.tokenizer, self.windowing, texts)
