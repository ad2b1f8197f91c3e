"""What a model card takes from `report.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_tl.artifact import REPORT_FILE
from clinical_tl.boundary import refusing
from clinical_tl.errors import ArtifactError
from clinical_tl.sealed_json import read_object


def card_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report's content as `model_card` takes it: intervals, rows of groups, calibration."""
    name, metric = report["name"], report["metric"]
    rows: list[dict[str, Any]] = []
    for group in report["subgroups"]:
        score = group["score"] or {"value": None, "low": None, "high": None}
        named = {
            "field": group["field"],
            "group": group["group"],
            "patients": "too few" if group["patients"] is None else group["patients"],
        }
        rows.append({**named, metric: score["value"], "low": score["low"], "high": score["high"]})
    for gap in report["gaps"]:
        found = gap["difference"]
        named = {"field": gap["field"], "group": f"gap: {gap['highest']} over {gap['lowest']}"}
        rows.append({**named, metric: found["value"], "low": found["low"], "high": found["high"]})
    shown: dict[str, Any] = {
        "intervals": {
            name: {
                metric: {"low": found["low"], "high": found["high"]}
                for metric, found in report["intervals"].items()
            }
        },
        "subgroups": rows,
    }
    calibration = report["calibration"]
    if calibration is not None:
        scores = calibration["scores"]
        shown["calibration"] = {key: scores[key] for key in ("ece", "mce", "brier")}
    return shown


def read_report(folder: Path) -> dict[str, Any] | None:
    """The card's part of a folder's `report.json`; `None` if it has none.

    Raises `ArtifactError` for one that is damaged.
    """
    file = folder / REPORT_FILE
    if not file.is_file():
        return None
    mend = "write it again with recipes/evaluate.py, or remove it"
    with refusing(ArtifactError, f"{file} is no evaluation report", mend):
        return card_report(read_object(file, mend=mend))
