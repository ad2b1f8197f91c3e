"""Exporting a model to ONNX, and measuring what that changes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.errors import ConfigError, EncoderError, NoteError, shown_path
from clinical_tl.saved.artifact import write_artifact
from clinical_tl.saved.encoder_licence import shareable_name
from clinical_tl.schema import Note, Prediction
from clinical_tl.storage.output import require_replaceable, writing
from clinical_tl.storage.paths import as_path

if TYPE_CHECKING:
    from clinical_tl.models.transfer_model import TransferModel
    from clinical_tl.network.network import Network
    from clinical_tl.text.batches import WindowBatch

# Rounding differs between libraries by 1e-6 or so of a logit; a wrong graph by far more.
TOLERANCE = 1e-3
# Sizes (windows, length) other than those the graphs were traced with.
_TRIALS = ((1, 24), (3, 40))
_TRIAL_SEED = 0


@dataclass(frozen=True)
class OnnxReport:
    """An exported folder, and how far it is from the model it came from.

    `megabytes` is the size of the graphs with their weights (10⁶ bytes).
    `largest_logit_difference` is over random tokens and all of `notes` compared notes;
    `largest_score_difference` over the notes' probabilities (labels, codes, relations, and the
    mentions that both found), `None` without any; `changed_notes` counts notes whose label,
    codes, mentions or relations are no longer the same.
    """

    folder: Path
    int8: bool
    megabytes: float
    notes: int
    largest_logit_difference: float
    largest_score_difference: float | None
    changed_notes: int

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values, without the folder."""
        row = asdict(self)
        del row["folder"]
        return row


def export_onnx(
    model: TransferModel,
    folder: str | Path,
    *,
    int8: bool = False,
    check: NotesLike | Sequence[str] | None = None,
) -> OnnxReport:
    """Write the model as ONNX graphs with dynamic sizes, the adapter folded into the weights.

    `OnnxModel.load(folder).predict(notes)` runs the whole of it; the graphs
    (`clinical_tl.network.onnx_graph` lists their inputs) run in any ONNX runtime.

    Args:
        model: of any task, with a stock head or label attention.
        folder: where to write; an earlier artifact there is replaced.
        int8: weights of the encoder as 8-bit integers: about a quarter of the size, and less
            exact.
        check: notes to predict with both, to be compared in the report.

    Raises:
        MissingExtraError: the extra `[onnx]` is not installed.
        EncoderError: an architecture that ONNX can't hold, or whose graph, before any
            quantising, gives other numbers than the model (by more than `TOLERANCE`).
        ArtifactError: `folder` holds something else.
        ConfigError: a model with an open code set, which reads names beside its graph.
        NoteError: `check` is empty.
        OutputError: `folder` can't be written; found out before the work begins.
    """
    from clinical_tl.network.onnx_graph import load_graphs, quantise, write_graphs

    folder = as_path(folder)
    notes = None if check is None else as_notes(check)
    if notes is not None and not notes:
        raise NoteError("check: there are no notes to compare; give at least one, or None")
    if model.open_codes is not None:
        raise ConfigError(
            "the model has an open code set, which reads notes beside the graph; export it as it "
            "was before fit_open_codes()"
        )
    require_replaceable(folder)
    with tempfile.TemporaryDirectory() as name, writing(Path(name) / "model.onnx"):
        draft = Path(name)
        write_graphs(model.network, draft)
        exported = load_graphs(draft, model.task.head_spec)
        difference = _trial_difference(model, exported)
        if not difference <= TOLERANCE:
            raise EncoderError(
                f"the ONNX graph of {shown_path(model.source.name)!r} gives logits that differ by "
                f"up to {difference:.3g} from the model's (allowed: {TOLERANCE}); it was not "
                "written. Use save_pretrained() or merge(), or another encoder"
            )
        if int8:
            quantise(draft)
            exported = load_graphs(draft, model.task.head_spec)
            difference = _trial_difference(model, exported)
        scores, changed = None, 0
        if notes is not None:
            difference = max(difference, _note_difference(model, exported, notes))
            before = model.predict(notes, progress=False)
            scores, changed = compare_predictions(before, _predict(model, exported, notes))
        if model.lexical is not None:
            model.lexical.save(draft)
        files = sorted(draft.iterdir())
        report = OnnxReport(
            folder,
            int8,
            sum(file.stat().st_size for file in files) / 1e6,
            0 if notes is None else len(notes),
            difference,
            scores,
            changed,
        )
        _write(model, report, files)
    return report


def compare_predictions(
    first: Sequence[Prediction], second: Sequence[Prediction]
) -> tuple[float | None, int]:
    """The largest difference of a probability, and how many notes are decided otherwise.

    Probabilities that only one side gives (of a mention that the other did not find) have
    nothing to differ from: their notes count as decided otherwise. `None` where no
    probability is given by both.
    """
    largest: float | None = None
    changed = 0
    for one, other in zip(first, second, strict=True):
        scores, other_scores = _probabilities(one), _probabilities(other)
        for key in scores.keys() & other_scores.keys():
            largest = max(largest or 0.0, abs(scores[key] - other_scores[key]))
        changed += _decision(one) != _decision(other)
    return largest, changed


def _probabilities(prediction: Prediction) -> dict[Any, float]:
    scores: dict[Any, float] = dict(prediction.scores)
    scores.update({span.key: span.score or 0.0 for span in prediction.spans or ()})
    return scores


def _decision(prediction: Prediction) -> tuple[Any, ...]:
    return (
        prediction.label,
        frozenset(prediction.codes or ()),
        frozenset(span.key for span in prediction.spans or ()),
        frozenset((r.head, r.tail, r.label) for r in prediction.relations or ()),
    )


def _trial_difference(model: TransferModel, exported: Network) -> float:
    """Largest difference of a logit over windows of random tokens, some of them padded."""
    import torch

    from clinical_tl.text.batches import WindowBatch
    from clinical_tl.text.windows import Window

    rng = np.random.default_rng(_TRIAL_SEED)
    vocabulary = len(model.tokenizer.tokenizer)
    largest = 0.0
    for rows, length in (*_TRIALS, (2, model.windowing.length)):
        ids = rng.integers(0, vocabulary, (rows, length))
        ids[ids == model.tokenizer.pad_id] = model.tokenizer.suffix_ids[-1]
        mask = np.ones_like(ids)
        mask[1:, length // 2 :] = 0
        ids[mask == 0] = model.tokenizer.pad_id
        batch = WindowBatch(
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            torch.from_numpy(mask == 1),
            torch.arange(rows),
            tuple(range(rows)),
            tuple(Window(0, int(n), 0, int(n)) for n in mask.sum(axis=1)),
        )
        largest = max(largest, _logit_difference(model.network, exported, batch))
    return largest


def _note_difference(model: TransferModel, exported: Network, notes: Sequence[Note]) -> float:
    """Largest difference of a logit over the notes' own windows."""
    from clinical_tl.network.device import CPU_TOKENS

    batches = model.reader.encode(notes).windowed.batches(CPU_TOKENS)
    return max(
        (_logit_difference(model.network, exported, batch) for batch in batches), default=0.0
    )


def _logit_difference(network: Network, exported: Network, batch: WindowBatch) -> float:
    import torch

    mode = network.training
    network.eval()
    try:
        with torch.inference_mode():
            expected = network(batch.to(network.device)).logits.cpu()
            found = exported(batch).logits
    finally:
        network.train(mode)
    if expected.ndim == 3:
        # Of padding and special tokens nothing is read.
        expected, found = expected[batch.owned], found[batch.owned]
    return float((expected - found).abs().max()) if expected.numel() else 0.0


def _predict(model: TransferModel, exported: Network, notes: Sequence[Note]) -> list[Prediction]:
    reader = replace(model.reader, network=exported)
    return list(reader.predict(notes, progress=False))


def _write(model: TransferModel, report: OnnxReport, files: Sequence[Path]) -> None:
    from clinical_tl.models.onnx_model import ONNX
    from clinical_tl.saved.card import model_card
    from clinical_tl.version import __version__

    def write_files(draft: Path) -> None:
        for file in files:
            shutil.copyfile(file, draft / file.name)
        model.tokenizer.save_pretrained(draft)

    description = {
        "package_version": __version__,
        "task": model.task.to_dict(),
        # The graphs carry it: the folder that it lies in here is nobody's business.
        "encoder": replace(model.source, name=shareable_name(model.source.name)).to_dict(),
        "adapter": ONNX,
        "windowing": asdict(model.windowing),
        ONNX: report.to_dict(),
    }
    write_artifact(
        report.folder,
        description,
        metrics=model.metrics,
        card=model_card(description, model.metrics),
        write_files=write_files,
    )
