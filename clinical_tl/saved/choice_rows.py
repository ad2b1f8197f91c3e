"""The rungs that `best_transfer` compared, as a table: for its result, the card and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CHOICE = "choice"
"""The key in `metrics.json`."""


def choice_rows(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a rung, of what `TransferChoice.to_dict` said."""
    rows = []
    for rung in choice["rungs"]:
        score, gain = rung["score"] or {}, rung["gain"] or {}
        rows.append(
            {
                "rung": rung["name"],
                choice["metric"]: score.get("value"),
                "low": score.get("low"),
                "high": score.get("high"),
                "gain": gain.get("value"),
                "gain low": gain.get("low"),
                "gain high": gain.get("high"),
                "folds": rung["folds"],
                "seconds": round(rung["seconds"], 1),
                "": "chosen" if rung["name"] == choice["chosen"] else rung["left_out"] or "",
            }
        )
    return rows


def choice_verdict(choice: Mapping[str, Any]) -> str:
    """What was found, in a sentence or two."""
    metric, estimate, transfer = choice["metric"], choice["estimate"], choice["transfer"]
    worth = "; of a single fold, what such a choice is worth on new notes is not known"
    if estimate:
        worth = f"; such a choice is worth {_shown(estimate)} {metric} on new notes"
    chosen = f"Chosen: {choice['chosen']}{worth}."
    if not transfer:
        without = "with" if choice["best_free"] else "without"
        return f"Nothing {without} the encoder was climbed, so what it adds is not known. {chosen}"
    against = f"{_shown(transfer)} {metric} against {choice['best_free']}"
    if transfer["low"] > 0:
        return f"Transfer helps here: {against}. {chosen}"
    if transfer["high"] < 0:
        return f"Transfer does not help here: {against}. {chosen}"
    return f"Whether transfer helps can't be told from {choice['notes']} notes: {against}. {chosen}"


def _shown(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
