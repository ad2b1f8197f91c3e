"""Export a saved model to ONNX, for any ONNX runtime, and print how far it is from the model."""

from __future__ import annotations

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.integrations.onnx_export import export_onnx

from .command_line import run


def main(
    model: str,
    output: str,
    int8: bool = False,
    notes: str | None = None,
    read: ReadOptions = ReadOptions(),
    limit: int | None = 100,
    encoder: str | None = None,
) -> dict[str, float | int | None]:
    """Write a model's ONNX graphs and compare their predictions with the model's.

    Args:
        model: a folder written by one of the training recipes (…/model).
        output: folder for the exported model.
        int8: 8-bit weights: about a quarter of the size, less exact.
        notes: a file or folder of notes to compare on; synthetic ones if not given.
        read: how the notes are read, e.g. --read.columns.text letter.
        limit: compare at most so many notes.
        encoder: where the model's encoder lies, if not where it was in training.

    Returns:
        Size and differences, name to value.
    """
    compared = ctl.data.generate_notes(20, seed=0) if notes is None else read.read(notes)
    report = export_onnx(
        ctl.TransferModel.load(model, encoder=encoder), output, int8=int8, check=compared[:limit]
    )
    rows = report.to_dict()
    print(ctl.display.format_table([{"figure": k, "value": v} for k, v in rows.items()], digits=7))
    print(f"model: {report.folder}")
    return rows


if __name__ == "__main__":
    run(main)
