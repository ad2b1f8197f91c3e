"""Which unlabelled notes to annotate next, with the model's answers in them to be corrected."""

from __future__ import annotations

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.errors import TaskError, shown_path
from clinical_tl.models.onnx_model import OnnxModel

from .claim import claim_predictions
from .command_line import run


def main(
    model: str,
    notes: str,
    output: str,
    n: int = 50,
    labelled: str | None = None,
    output_format: str | None = None,
    read: ReadOptions = ReadOptions(),
    encoder: str | None = None,
    device: str | None = None,
) -> list[str]:
    """Choose notes by the model's uncertainty and by their distance from what is known.

    Args:
        model: a folder written by a training recipe (…/model).
        notes: a file or folder of unlabelled notes.
        output: where the chosen notes go, with the model's predictions in them: .jsonl for ids and
            predictions alone, or what annotation tools open (see output_format), which holds
            the notes' text.
        n: how many notes.
        labelled: the annotated notes, which nothing chosen should be like.
        output_format: where the ending does not say it: "label_studio", "doccano", "brat", …
        read: how the notes are read, e.g. --read.columns.text letter.
        encoder: where the model's encoder lies, if not where it was in training.
        device: where to compute, e.g. "cpu" or "cuda:1"; by default a GPU where there is one.

    Returns:
        The ids of the chosen notes, in order.
    """
    claim_predictions(output, output_format)
    pool = read.read(notes)
    known = () if labelled is None else read.read(labelled)
    loaded = ctl.load(model, encoder=encoder, device=device)
    if isinstance(loaded, OnnxModel):
        raise TaskError(
            f"{shown_path(model)} is an exported model, which embeds no notes; give the one it was "
            "exported from"
        )
    chosen = ctl.transfer.choose_next(loaded, pool, n, labelled=known)
    print(chosen)
    ctl.data.write_predictions(
        chosen.predictions, output, notes=list(chosen.notes), format=output_format,
        titles=loaded.task.label_title,
    )  # fmt: skip
    print(f"{n} notes to annotate: {output}")
    return [note.note_id for note in chosen.notes]


if __name__ == "__main__":
    run(main)
