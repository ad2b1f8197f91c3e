"""What a model card takes from `report.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_tl.errors import ArtifactError, refusing
from clinical_tl.saved.artifact import REPORT_FILE
from clinical_tl.storage.sealed_json import read_object

SHARED = "on shared labels"
CALIBRATION = ("ece", "mce", "brier")


def card_report(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report's content as `model_card` takes it: intervals, rows of groups, calibration."""
    name, metric = report["name"], report["metric"]
    # Said where it tells something else than the group's own score.
    partial = {gap["field"] for gap in report["gaps"] if gap["labels"] < gap["of_labels"]}
    rows: list[dict[str, Any]] = []
    for group in report["subgroups"]:
        named = {
            "field": group["field"],
            "group": group["group"],
            "patients": "too few" if group["patients"] is None else group["patients"],
        }
        row = {**named, **_figures(metric, group["score"])}
        if partial:
            of_field = group["shared"] if group["field"] in partial else group["score"]
            row[SHARED] = None if of_field is None else of_field["value"]
        rows.append(row)
    for gap in report["gaps"]:
        on = f" on the {gap['labels']} of {gap['of_labels']} labels that all groups have"
        found = f"gap: {gap['highest']} over {gap['lowest']}"
        if gap["difference"] is None:
            found = "gap: can't be told, there is no label that all groups have"
        elif gap["field"] in partial:
            found += on
        named = {"field": gap["field"], "group": found}
        rows.append({**named, **_figures(metric, gap["difference"])})
    shown: dict[str, Any] = {
        "confidence": report["confidence"],
        "intervals": {
            name: {
                metric: {key: found[key] for key in ("value", "low", "high")}
                for metric, found in report["intervals"].items()
            }
        },
        "subgroups": rows,
    }
    calibration = report["calibration"]
    if calibration is not None:
        scores = calibration["scores"]
        shown["calibration"] = {key: scores[key] for key in CALIBRATION}
        if calibration.get("temperature") is not None:
            shown["calibration"]["temperature"] = calibration["temperature"]
            scaled = calibration.get("scaled") or {}
            at = {key: scaled[key] for key in CALIBRATION if key in scaled}
            shown["calibration"]["at_temperature"] = at
    compared = report.get("comparison")
    if compared is not None:
        shown["comparison"] = [
            {
                "metric": metric,
                "value": report["scores"][metric],
                "other": compared["scores"][metric],
                "difference": found["value"],
                "low": found["low"],
                "high": found["high"],
            }
            for metric, found in compared["differences"].items()
        ]
    return shown


def _figures(metric: str, found: Mapping[str, float] | None) -> dict[str, float | None]:
    if found is None:
        return {metric: None, "low": None, "high": None}
    return {metric: found["value"], "low": found["low"], "high": found["high"]}


def read_report(folder: Path) -> dict[str, Any] | None:
    """The card's part of a folder's `report.json`; `None` if it has none.

    Raises `ArtifactError` for one that is damaged.
    """
    file = folder / REPORT_FILE
    if not file.is_file():
        return None
    mend = "write it again with the recipe evaluate, or remove it"
    with refusing(ArtifactError, f"{file} is no evaluation report", mend):
        return card_report(read_object(file, mend=mend))
