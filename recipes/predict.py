"""Annotate notes with a saved model: reads notes, writes predictions for people and programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.errors import ConfigError, shown_path
from clinical_tl.evaluation.evaluating import Predictor
from clinical_tl.schema import Note, Prediction

from .claim import claim_predictions
from .command_line import run

PART = 1000
"""Notes that a model without a stream predicts at a time."""


def main(
    model: str,
    notes: str,
    output: str,
    output_format: str | None = None,
    text: bool = False,
    read: ReadOptions = ReadOptions(),
    encoder: str | None = None,
    revision: str | None = None,
    device: str | None = None,
    batch_tokens: int | None = None,
    precision: Literal["auto", "no", "bf16"] = "no",
    with_novelty: bool = False,
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
        read: how the notes are read, e.g. --read.columns.text letter.
        encoder: where the model's encoder lies, if not where it was in training.
        revision: of a Hub id: a branch, tag or commit.
        device: where to compute, e.g. "cpu" or "cuda:1"; by default a GPU where there is one.
        batch_tokens: bound on the tokens of a batch; by default chosen by the device.
        precision: "no" (fp32), so that thresholds tuned on one machine hold on another; "bf16"
            where the hardware is faster for it, "auto" to find out.
        with_novelty: say of each note how unlike the training notes it is (model.fit_novelty).

    Returns:
        How many notes were predicted.
    """
    claim_predictions(output, output_format)
    given = read.read(notes)
    loaded = ctl.load(model, encoder=encoder, revision=revision, device=device)
    if hasattr(loaded, "predict_stream"):
        predictions = loaded.predict_stream(
            given, batch_tokens=batch_tokens, precision=precision, with_novelty=with_novelty
        )
    elif with_novelty or batch_tokens is not None or precision != "no":
        raise ConfigError(
            f"{shown_path(model)} is a {type(loaded).__name__}, which has no with_novelty, "
            "batch_tokens or precision; leave them out"
        )
    else:
        predictions = _in_parts(loaded, given)
    # They are written as they come: neither memory nor a full disk at the end costs them all.
    n = ctl.data.write_predictions(
        predictions, output, notes=given, format=output_format, text=text,
        titles=loaded.task.label_title,
    )  # fmt: skip
    print(f"{n} predictions: {output}")
    return n


def _in_parts(model: Predictor, notes: Iterable[Note]) -> Iterator[Prediction]:
    stream = iter(notes)
    while part := list(islice(stream, PART)):
        yield from model.predict(part)


if __name__ == "__main__":
    run(main)
