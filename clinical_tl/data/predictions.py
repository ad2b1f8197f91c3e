"""Predictions as JSON lines and as a table: ids, labels, offsets and scores, never text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

from clinical_tl.display.table import Table
from clinical_tl.schema import SAID_NAMES, Prediction
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replacing_file


def write_predictions(predictions: Iterable[Prediction], path: str | os.PathLike[str]) -> int:
    """Write one JSON object a prediction (`Prediction.to_dict`); returns how many.

    The file appears only when it is complete; what there is of it when an error ends the writing
    is kept as `<path>.part`.
    Raises `OutputError` where the file system refuses.
    """
    target = as_path(path)
    n = 0
    part = target.with_name(f"{target.name}.part")
    with (
        replacing_file(target, keep=part) as draft,
        draft.open("w", encoding="utf-8", newline="\n") as stream,
    ):
        for prediction in predictions:
            stream.write(json.dumps(prediction.to_dict(), ensure_ascii=False) + "\n")
            n += 1
    return n


def predictions_table(predictions: Iterable[Prediction]) -> Table:
    """The rows of several predictions (`Prediction.table`), in order; `to_pandas()` for pandas.

    >>> from clinical_tl.schema import Span
    >>> found = [
    ...     Prediction("n1", spans=(Span(0, 9, "Drug", score=0.98), Span(20, 24, "Problem"))),
    ...     Prediction("n2", spans=(Span(4, 11, "Drug", score=0.85),)),
    ... ]
    >>> predictions_table(found)
    note_id  start  end  label    score
    -------  -----  ---  -------  -----
    n1           0    9  Drug     0.980
    n1          20   24  Problem      –
    n2           4   11  Drug     0.850
    >>> predictions_table(found).to_pandas().groupby("label").size().to_dict()
    {'Drug': 2, 'Problem': 1}
    """
    return Table((row for one in predictions for row in one.table()), names=SAID_NAMES)
