"""Predictions as files for people, programs and annotation tools, and as a table."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from clinical_tl.data.formats.packing import check_written_name, packed_output
from clinical_tl.data.notes import Notes, NotesLike
from clinical_tl.data.results.matched_notes import matched, note_set
from clinical_tl.data.results.note_nlp import NOTE_NLP, note_nlp_rows
from clinical_tl.data.results.predicted import predicted_notes
from clinical_tl.data.results.row_files import (
    RowWriter,
    write_csv,
    write_parquet,
    write_plain_csv,
    write_tsv,
    write_xlsx,
)
from clinical_tl.data.results.tidy_rows import TidyRows
from clinical_tl.data.writing import ENDINGS as NOTE_ENDINGS
from clinical_tl.data.writing import WRITERS as NOTE_WRITERS
from clinical_tl.data.writing import check_note_file_name, write_notes
from clinical_tl.display.table import Table
from clinical_tl.errors import ConfigError, shown_path, shown_value
from clinical_tl.schema import SAID_NAMES, Note, Prediction
from clinical_tl.storage.output import require_file, writing
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replacing_file

log = logging.getLogger(__name__)

JSON_LINES, OMOP = "json_lines", "omop"
TABLES: dict[str, RowWriter] = {
    "csv": write_csv,
    "tsv": write_tsv,
    "parquet": write_parquet,
    "xlsx": write_xlsx,
}
OMOP_TABLES: dict[str, RowWriter] = {".csv": write_plain_csv, ".parquet": write_parquet}
FORMATS = (JSON_LINES, *TABLES, OMOP)
# Whose writers pack a file whose name ends in `.gz`.
PACKING = (JSON_LINES, "csv", "tsv")
ENDINGS = {
    ".jsonl": JSON_LINES,
    ".jsonl.gz": JSON_LINES,
    ".ndjson": JSON_LINES,
    **{f".{name}": name for name in TABLES},
}


def write_predictions(
    predictions: Iterable[Prediction],
    path: str | os.PathLike[str],
    notes: NotesLike | None = None,
    format: str | None = None,  # noqa: A002  (the word everyone looks for)
    *,
    text: bool = False,
    titles: Callable[[str], str | None] | None = None,
) -> int:
    """Write predictions to a file; returns how many there were.

    - `json_lines` (`.jsonl`, `.jsonl.gz`): an object a prediction (`Prediction.to_dict`).
    - `csv`, `tsv`, `parquet`, `xlsx` (by their endings): a row for each class, code, mention or
      relation, and one for a note of which nothing is said; always the same columns. With
      `notes`, their patient ids and metadata too. CSV is UTF-8 with a byte order mark, which
      Excel needs; its cells stand as they are, also those that a spreadsheet would take for
      formulas (`=…`), which the log counts. In `.xlsx` text stays text.
    - `omop` (`.csv`, `.parquet`): rows of NOTE_NLP of the OMOP CDM 5.4; note ids are whole numbers.
    - what `write_notes` writes (`brat`, `conll`, …): the notes with the predictions as their
      annotations (`predicted_notes`), for annotation tools. It needs `notes`, and holds their
      text. They are written when the last prediction is there; until then the predictions are
      kept as JSON lines in `<path>.part.jsonl`. What a format has no room for (often scores and
      metadata) is counted in the log.

    The others are written as the predictions come. A file appears only when it is complete;
    what there is of it when an error ends the writing is kept as `<path>.part`.

    Args:
        predictions: a list, or a stream (`predict_stream`).
        path: where to; an existing file is replaced.
        notes: the notes that were predicted; best in the predictions' order. Metadata can be as
            confidential as text.
        format: where the ending does not say it, or `omop`.
        text: whether what mentions and evidence read in the notes goes into a table (a column
            `text`; `snippet` and `lexical_variant` of `omop`). No text of notes is written
            otherwise.
        titles: what codes are called in a table, `model.task.label_title`; by default as in
            ICD-10-CM.

    Raises:
        ConfigError: an unknown ending or format, a packed file's name for one that isn't packed
            so (JSON lines, CSV and TSV are, as `.gz`), one that needs `notes`, or `text`
            without them.
        NoteError: predictions of notes that are not among `notes`.
        MissingExtraError: `.xlsx` without the extra `[excel]`.
        OutputError: the file system refuses, or Excel has no room for it.
    """
    target = as_path(path)
    chosen = predictions_format(target, format, has_notes=notes is not None)
    if text and (notes is None or chosen == JSON_LINES):
        raise ConfigError(
            "text=True: JSON lines hold no text; write a table, e.g. .csv"
            if chosen == JSON_LINES
            else "text=True needs the notes that were predicted: notes=…"
        )
    counted = _Counted(predictions)
    if notes is not None and chosen not in FORMATS:
        _write_annotated(notes, counted, target, chosen)
        return counted.n
    # JSON lines say nothing of the notes but their ids.
    beside = None if notes is None or chosen == JSON_LINES else note_set(notes)
    with replacing_file(target, keep=target.with_name(f"{target.name}.part")) as draft:
        if chosen == JSON_LINES:
            with packed_output(draft) as stream:
                stream.writelines(map(_line, counted))
        elif chosen == OMOP:
            writer = OMOP_TABLES[target.suffix.lower()]
            writer(note_nlp_rows(_pairs(counted, beside), text=text), NOTE_NLP, draft)
        else:
            tidy = TidyRows(beside, text=text, titles=titles)
            rows = (row for said, note in _pairs(counted, beside) for row in tidy.of(said, note))
            TABLES[chosen](rows, tidy.columns, draft)
    return counted.n


class _Counted(Iterator[Prediction]):
    """Passes predictions on; `n` of them so far."""

    def __init__(self, predictions: Iterable[Prediction]) -> None:
        self.n = 0
        self._predictions = iter(predictions)

    def __next__(self) -> Prediction:
        prediction = next(self._predictions)
        self.n += 1
        return prediction


def predictions_format(target: Path, given: str | None, *, has_notes: bool) -> str:
    """The format that `write_predictions` will write, so that it can be refused in time.

    Raises `ConfigError` as `write_predictions`.
    """
    name = target.name.lower()
    # The longest ending: `.jsonl.gz` is not `.gz`.
    known = {**NOTE_ENDINGS, **ENDINGS}
    ending = max(filter(name.endswith, known), key=len, default="")
    chosen = given or known.get(ending)
    annotated = [name for name in NOTE_WRITERS if name not in FORMATS]
    if chosen is None:
        raise ConfigError(
            f"{shown_path(target.name)}: this ending does not tell the format; allowed: "
            f"{list(ENDINGS)}, or format=…: one of {list(FORMATS)}, and with notes=… of {annotated}"
        )
    if chosen not in (*FORMATS, *annotated):
        raise ConfigError(
            f"format={shown_value(chosen)}; allowed: {list(FORMATS)}, and with notes=… {annotated}"
        )
    if chosen in annotated and not has_notes:
        raise ConfigError(
            f"{chosen} holds the notes' text with the predictions in it, which have none; give the "
            "notes that were predicted: notes=…"
        )
    if chosen == OMOP and target.suffix.lower() not in OMOP_TABLES:
        raise ConfigError(
            f"{shown_path(target.name)}: NOTE_NLP is written as one of {list(OMOP_TABLES)}; name "
            "the file so"
        )
    if chosen in FORMATS:
        check_written_name(target, chosen, packs=chosen in PACKING)
    else:
        check_note_file_name(target, chosen)
    return chosen


def _pairs(
    predictions: Iterable[Prediction], notes: Notes | None
) -> Iterator[tuple[Prediction, Note | None]]:
    if notes is None:
        return ((prediction, None) for prediction in predictions)
    return ((prediction, note) for prediction, note in matched(predictions, notes))


def _line(prediction: Prediction) -> bytes:
    return json.dumps(prediction.to_dict(), ensure_ascii=False).encode() + b"\n"


def _write_annotated(
    notes: NotesLike, predictions: Iterable[Prediction], target: Path, chosen: str
) -> None:
    part = target.with_name(f"{target.name}.part.jsonl")
    require_file(part)
    try:
        with writing(part), part.open("wb") as stream:
            annotated = predicted_notes(notes, _kept(predictions, stream))
        write_notes(annotated, target, format=chosen, lossy=True)
    except BaseException:
        log.warning("%s is unfinished; what was predicted is in %s", target, part)
        raise
    part.unlink()


def _kept(predictions: Iterable[Prediction], stream: BinaryIO) -> Iterator[Prediction]:
    for prediction in predictions:
        stream.write(_line(prediction))
        yield prediction


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
