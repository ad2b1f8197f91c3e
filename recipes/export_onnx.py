"""Export a saved model to ONNX, for any ONNX runtime, and print how far it is from the model."""

from __future__ import annotations

import clinical_tl as ctl
from clinical_tl.integrations.onnx_export import export_onnx

from .command_line import run


def main(
    model: str,
    output: str,
    int8: bool = False,
    notes: str | None = None,
    format: str | None = None,
    columns: dict[str, str] | None = None,
    as_written: tuple[str, ...] = (),
    allow_implausible: bool = False,
    limit: int | None = 100,
    encoder: str | None = None,
) -> dict[str, float | int | None]:
    """Write a model's ONNX graphs and compare their predictions with the model's.

    Args:
        model: a folder written by one of the training recipes (…/model).
        output: folder for the exported model.
        int8: 8-bit weights: about a quarter of the size, less exact.
        notes: a file or folder of notes to compare on; synthetic ones if not given.
        format: of the notes, where the ending does not tell.
        columns: field to column, e.g. {"note_id": "ID", "text": "note"}.
        as_written: fields whose cells mean what they say, e.g. [label] where "NA" is a label.
        allow_implausible: take labels and ids that look like text and not like names.
        limit: compare at most so many notes.
        encoder: where the model's encoder lies, if not where it was in training.

    Returns:
        Size and differences, name to value.
    """
    if notes is None:
        read = ctl.data.generate_notes(20, seed=0)
    else:
        read = ctl.read_notes(
            notes, format=format, columns=columns, as_written=as_written,
            allow_implausible=allow_implausible,
        )  # fmt: skip
    if limit is not None:
        read = read[:limit]
    report = export_onnx(
        ctl.TransferModel.load(model, encoder=encoder), output, int8=int8, check=read
    )
    rows = report.to_dict()
    print(ctl.display.format_table([{"figure": k, "value": v} for k, v in rows.items()], digits=7))
    print(f"model: {report.folder}")
    return rows


if __name__ == "__main__":
    run(main)
