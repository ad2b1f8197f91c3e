"""`OnnxModel`: a model exported to ONNX, run by ONNX Runtime on a CPU.

Windows, batches and decoding are the ones of `TransferModel`; only the network is another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.errors import ArtifactError, refusing, shown_path
from clinical_tl.models.reader import Reader
from clinical_tl.saved.artifact import read_artifact
from clinical_tl.saved.saved_task import saved_task
from clinical_tl.schema import Prediction
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import whole_folder
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.text.windows import Windowing

if TYPE_CHECKING:
    from clinical_tl.estimators.lexical_classifier import LexicalClassifier
    from clinical_tl.network.network import Network
    from clinical_tl.tasks.task import Task

ONNX = "onnx"


class OnnxModel:
    """The graphs with the task, tokenizer and windows they were exported with.

    `export` is what `OnnxReport.to_dict` said when the folder was written.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        tokenizer: NoteTokenizer,
        windowing: Windowing,
        export: Mapping[str, Any],
    ) -> None:
        self.network = network
        self.task = task
        self.tokenizer = tokenizer
        self.windowing = windowing
        self.export = export
        self.lexical: LexicalClassifier | None = None
        self.saved_as: str | None = None
        """The name of the folder that it was loaded from."""

    @classmethod
    def load(cls, folder: str | Path, *, threads: int | None = None) -> OnnxModel:
        """The model that `export_onnx` wrote, to run on `threads` threads (`None`: all cores).

        Raises `ArtifactError` for a folder that is damaged or holds no exported model,
        `MissingExtraError` without the extra `[onnx]`.
        """
        from clinical_tl.estimators.lexical_classifier import LexicalClassifier
        from clinical_tl.network.onnx_graph import load_graphs

        folder = whole_folder(as_path(folder))
        description = read_artifact(folder)
        if description["adapter"] != ONNX:
            raise ArtifactError(
                f"{shown_path(folder)} holds no exported model but one for "
                "clinical_tl.TransferModel.load() or FeatureModel.load(); export a TransferModel "
                "with export_onnx()"
            )
        task, windowing = saved_task(folder, description)
        with refusing(
            ArtifactError,
            f"{shown_path(folder)}: the exported model can't be loaded",
            "export it again with this version",
            own=True,
        ):
            network = load_graphs(folder, task.head_spec, threads=threads)
        tokenizer = NoteTokenizer.from_pretrained(folder)
        model = cls(network, task, tokenizer, windowing, description[ONNX])
        if LexicalClassifier.is_saved(folder):
            model.lexical = LexicalClassifier.load(folder)
        model.saved_as = folder.resolve().name
        return model

    def predict(
        self,
        notes: NotesLike | Sequence[str],
        *,
        batch_tokens: int | None = None,
        progress: bool = True,
    ) -> list[Prediction]:
        """One `Prediction` a note or text, in input order; notes may have any length.

        `batch_tokens` bounds memory. In int8 a note's scores depend a little on its batch,
        as activations are scaled by the batch.
        """
        reader = Reader(self.network, self.task, self.tokenizer, self.windowing, self.lexical)
        return list(reader.predict(as_notes(notes), batch_tokens=batch_tokens, progress=progress))
