"""Annotate notes with a saved model: reads notes, writes predictions for people and programs."""

from __future__ import annotations

from typing import Literal

import clinical_tl as ctl
from clinical_tl.storage.output import require_file

from .command_line import run


def main(
    model: str,
    notes: str,
    output: str,
    output_format: str | None = None,
    text: bool = False,
    format: str | None = None,
    columns: dict[str, str] | None = None,
    as_written: tuple[str, ...] = (),
    allow_implausible: bool = False,
    encoder: str | None = None,
    revision: str | None = None,
    device: str | None = None,
    batch_tokens: int | None = None,
    precision: Literal["auto", "no", "bf16"] = "no",
    with_novelty: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
) -> int:
    """Predict every note of a file or folder.

    Args:
        model: a folder written by a training recipe (…/model), or a Hub id ("hub:org/name").
        notes: a file or folder of notes (JSON lines, CSV, Parquet, BRAT, PubTator, …).
        output: the predictions' file: .jsonl, or a table with a row for each class, code,
            mention or relation and the notes' metadata: .csv, .tsv, .xlsx, .parquet. It appears
            when complete (what a failure leaves of it is <output>.part).
        output_format: where the ending does not say it: "omop" for rows of NOTE_NLP (.csv or
            .parquet), or a format of annotation tools ("brat", "conll", ...), which holds the
            notes' text with the predictions in it, to be corrected there.
        text: write into the table what mentions and evidence read in the notes, which is
            confidential; otherwise only offsets are written.
        format: of the notes, where the ending does not tell.
        columns: field to column, e.g. {"note_id": "ID", "text": "note"}.
        as_written: fields whose cells mean what they say, e.g. [label] where "NA" is a label.
        allow_implausible: take labels and ids that look like text and not like names.
        encoder: where the model's encoder lies, if not where it was in training.
        revision: of a Hub id: a branch, tag or commit.
        device: where to compute, e.g. "cpu" or "cuda:1"; by default a GPU where there is one.
        batch_tokens: bound on the tokens of a batch; by default chosen by the device.
        precision: "no" (fp32), so that thresholds tuned on one machine hold on another; "bf16"
            where the hardware is faster for it, "auto" to find out.
        with_novelty: say of each note how unlike the training notes it is (model.fit_novelty).
        on_error: stop at faulty notes, or skip them (listed in <notes>.rejected.jsonl).

    Returns:
        How many notes were predicted.
    """
    require_file(output)
    read = ctl.read_notes(
        notes,
        format=format,
        columns=columns,
        as_written=as_written,
        on_error=on_error,
        allow_implausible=allow_implausible,
    )
    transfer_model = ctl.TransferModel.load(
        model, encoder=encoder, revision=revision, device=device
    )
    predictions = transfer_model.predict_stream(
        read, batch_tokens=batch_tokens, precision=precision, with_novelty=with_novelty
    )
    # They are written as they come: neither memory nor a full disk at the end costs them all.
    n = ctl.data.write_predictions(predictions, output, notes=read, format=output_format, text=text)
    print(f"{n} predictions: {output}")
    return n


if __name__ == "__main__":
    run(main)
