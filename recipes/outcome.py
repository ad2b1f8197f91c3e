"""What a training recipe ends with: scores, a report, a table of the predictions, the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import clinical_tl as ctl
from clinical_tl.data.corpora import Splits
from clinical_tl.data.split_record import SplitRecord
from clinical_tl.saved.evaluations import leaks_of
from clinical_tl.schema import Note, Prediction
from clinical_tl.storage.processes import on_main_process
from clinical_tl.tasks.task import Task

RESAMPLES = 1000


def score_and_save(
    model: ctl.TransferModel, splits: Splits, output: str, *, allow_leakage: bool
) -> Any:  # noqa: ANN401  (the task's scores)
    """Score the test notes, predicted once; write what a person opens, and the model.

    In the folder `output`: `report.html` (and `report.json`), `predictions.csv` (a row for each
    thing said of a test note, with the notes' ids and metadata, without text), `model` and
    `model.split.json` (which notes were on which side).
    """
    test = splits["test"]
    with saved_at_last(model, splits, output):
        predictions = model.predict(test)
        scores = model.evaluate(test, predictions=predictions, allow_leakage=allow_leakage)
        report = ctl.evaluation_report(
            model, test, predictions=predictions, train=splits["train"], resamples=RESAMPLES,
            allow_leakage=allow_leakage,
        )  # fmt: skip
        for said in leaks_of(model.metrics).values():
            print(said)
        on_main_process(lambda: _write(report, model.task, predictions, test, Path(output)))
    return scores


@contextmanager
def saved_at_last(
    model: ctl.TransferModel | ctl.FeatureModel, splits: Splits, output: str
) -> Iterator[None]:
    """Save the model and its split once it is scored; if scoring fails, without scores."""
    try:
        yield
    finally:
        folder = model.save_pretrained(f"{output}/model")
        SplitRecord.of(splits, splits.origin).save(folder)
        print(f"model: {folder}")


def _write(
    report: ctl.evaluation.EvaluationReport,
    task: Task,
    predictions: Sequence[Prediction],
    test: ctl.Notes,
    output: Path,
) -> None:
    report.save(output / "report.json")
    print(f"report: {report.save(output / 'report.html')}")
    table = output / "predictions.csv"
    gold = [_with_gold(note) for note in test]
    ctl.data.write_predictions(predictions, table, notes=gold, titles=task.label_title)
    print(f"predictions of the test notes: {table}")


def _with_gold(note: Note) -> Note:
    """The note with its gold class or codes as a column, to be compared with what was said."""
    gold = {"gold_label": note.label, "gold_codes": note.codes and "; ".join(note.codes)}
    told = {name: value for name, value in gold.items() if value is not None}
    return replace(note, metadata={**note.metadata, **told})


def push(
    model: ctl.TransferModel, splits: Splits, push_to: str | None, data_use: str | None
) -> None:
    """Push the model, private, if an address is given."""
    if push_to:
        address = model.push_to_hub(
            push_to, data_use=data_use, train=splits["train"], held_out=splits["test"]
        )
        print(f"pushed: {address}")
