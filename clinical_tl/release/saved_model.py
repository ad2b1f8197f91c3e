"""A saved folder read for an audit: each note's loss under the model it holds.

The attack of Yeom et al. 2018 (arXiv 1709.01604), section 4.2, needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import ArtifactError
from clinical_tl.models.encoder import EncoderSource, find_saved_encoder
from clinical_tl.reader import Reader
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.schema import Note
from clinical_tl.tasks.task import NoteTask, task_class, task_from_dict
from clinical_tl.text.windows import Windowing

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task

Floats = npt.NDArray[np.float64]
NoteLosses = Callable[[Sequence[Note]], Floats]
"""Notes → the mean loss of the decisions in each, shape (notes,); NaN where there is none."""

LEAST_PROBABILITY = 1e-9


def annotated(folder: ReleaseFolder, notes: Sequence[Note]) -> list[Note]:
    """The notes that have what the folder's task decides."""
    fields = task_class(folder.description["task"]["kind"]).fields
    return [note for note in notes if all(getattr(note, name) is not None for name in fields)]


def saved_losses(folder: ReleaseFolder) -> NoteLosses:
    """The losses that a saved model has on notes; several calls load it once.

    Raises `ArtifactError` or `EncoderError` where it can't be loaded, and `ArtifactError` for
    entity recognition on frozen features, which has no loss of a note.
    """
    description = folder.description
    try:
        task: Any = task_from_dict(description["task"])
        windowing = Windowing(**description["windowing"])
        adapter, saved = description["adapter"], description["encoder"]
        name, revision, sha256 = saved["name"], saved["revision"], saved["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{folder.path}: task.json does not describe a task") from error
    if adapter not in ("peft", "full", "frozen", "features"):
        raise ArtifactError(
            f"{folder.path}: a model of the kind {adapter!r} has no losses to audit; audit the "
            "folder that it was exported from"
        )
    if adapter == "features":
        return _feature_losses(folder, task, name, revision)
    from clinical_tl.models.device import choose_device
    from clinical_tl.models.saved_network import HEAD_FILE, load_network
    from clinical_tl.text.tokenizer import NoteTokenizer

    own = adapter == "full" or (adapter == "frozen" and not (folder.path / HEAD_FILE).exists())
    source = (
        EncoderSource(name, str(folder.path), revision, sha256)
        if own
        else find_saved_encoder(saved, folder.path)
    )
    network = load_network(source, task.head_spec, adapter, folder.path).eval().to(choose_device())
    tokenizer = NoteTokenizer.from_pretrained(folder.path)
    return Reader(network, task, tokenizer, windowing).losses


def _feature_losses(
    folder: ReleaseFolder,
    task: Task,
    name: str,
    revision: str | None,
) -> NoteLosses:
    from clinical_tl.estimators.feature_classifier import FeatureClassifier
    from clinical_tl.models.frozen_encoder import FrozenEncoder

    if not isinstance(task, NoteTask):
        raise ArtifactError(f"{folder.path}: no loss of a note on frozen features")
    settings, windowing = folder.description["features"], folder.description["windowing"]
    encoder = FrozenEncoder.from_pretrained(
        name, revision=revision, window=windowing["length"], overlap=windowing["overlap"]
    )
    classifier = FeatureClassifier.load(folder.path)

    columns = classifier.classes_.astype(int)

    def losses(notes: Sequence[Note]) -> Floats:
        vectors = encoder.vectors(
            [note.text for note in notes], pooling=settings["pooling"], layer=settings["layer"]
        )
        every = np.zeros((len(notes), len(task.labels)))
        every[:, columns] = classifier.predict_proba(vectors)
        every = every.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        gold = task.gold(notes)
        if gold.ndim == 1:
            mine: Floats = -np.log(every[np.arange(len(notes)), gold])
            return np.where(gold >= 0, mine, np.nan)
        mean: Floats = -np.log(np.where(gold, every, 1 - every)).mean(axis=1)
        return mean

    return losses
