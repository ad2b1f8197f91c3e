"""Predictions as JSON lines: ids, labels, offsets and scores, never text."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from clinical_tl.paths import as_path
from clinical_tl.replacement import replacing_file
from clinical_tl.schema import LabelScores, Prediction, Span

SHOWN_SCORES = 20


def write_predictions(predictions: Iterable[Prediction], path: str | os.PathLike[str]) -> int:
    """Write one JSON object a prediction; returns how many.

    Of a coding model's scores the 20 highest and those of the codes given are kept. The file
    appears only when it is complete; what there is of it when an error ends the writing is kept
    as `<path>.part`.
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
            stream.write(json.dumps(prediction_record(prediction), ensure_ascii=False) + "\n")
            n += 1
    return n


def prediction_record(prediction: Prediction) -> dict[str, Any]:
    """A prediction as JSON values; what the task doesn't give is left out."""
    record: dict[str, Any] = {"note_id": prediction.note_id}
    if prediction.label is not None:
        record["label"] = prediction.label
    if prediction.codes is not None:
        record["codes"] = list(prediction.codes)
    if prediction.spans is not None:
        record["spans"] = [_span(span) for span in prediction.spans]
    if prediction.relations is not None:
        record["relations"] = [vars(relation) for relation in prediction.relations]
    if prediction.scores:
        scores = prediction.scores
        record["scores"] = (
            _shown(scores, prediction.codes or ())
            if isinstance(scores, LabelScores)
            else dict(scores)
        )
    if prediction.evidence:
        record["evidence"] = {
            code: [_span(span) for span in spans] for code, spans in prediction.evidence.items()
        }
    if prediction.novelty is not None:
        record["novelty"] = prediction.novelty
    return record


def _shown(scores: LabelScores, codes: Iterable[str]) -> dict[str, float]:
    # With a threshold for each code one that is given may score less than many that are not.
    return scores.top(SHOWN_SCORES) | {code: scores[code] for code in codes if code in scores}


def _span(span: Span) -> dict[str, Any]:
    return {"start": span.start, "end": span.end, "label": span.label, "score": span.score}
