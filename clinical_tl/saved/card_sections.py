"""The sections of a model card: Markdown from settings and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isclose, isfinite
from typing import Any

from clinical_tl.display.table import format_table
from clinical_tl.saved.artifact import TASK_FILE
from clinical_tl.saved.card_details import CardDetails
from clinical_tl.saved.evaluations import leaks_of, scored_sets

SAME = 1e-9
"""What rounding makes of one figure computed in two ways, at most."""
CONFIDENCE = 0.95
"""Of the intervals of a report that does not say."""


def score_rows(
    metrics: Mapping[str, Any], report: Mapping[str, Any]
) -> Iterator[tuple[str, str, float, Mapping[str, float]]]:
    """(set of notes, metric, value, its interval or nothing).

    An interval around another value is one of another evaluation, and not shown.
    """
    for split in scored_sets(metrics):
        found = report.get("intervals", {}).get(split, {})
        for name, value in metrics[split].items():
            if isinstance(value, int | float) and isfinite(value):
                interval = found.get(name, {})
                own = isclose(interval.get("value", value), value, abs_tol=SAME)
                yield split, name, value, interval if own else {}


def introduction(description: Mapping[str, Any], base: str | None) -> str:
    """What it is and where it comes from."""
    encoder = f"`{base}`" if base else "a local folder"
    labels = description["task"].get("labels")
    gives = f" It gives {len(labels['names'])} labels, listed in `{TASK_FILE}`." if labels else ""
    return (
        f"Trained with clinical_tl {description['package_version']} on the encoder {encoder} "
        f"(adapter: {description['adapter']}; weights' SHA-256 "
        f"{description['encoder']['sha256']}).{gives}"
    )


def use(details: CardDetails) -> str:
    """Intended use and limits."""
    meant = details.intended_use or (
        "To be completed by its authors: for whom and for which notes it is meant."
    )
    limits = details.limits or "To be completed by its authors: where it must not be used."
    return (
        f"{meant}\n\n{limits} It is no medical device: its output has to be reviewed before it "
        "touches care. On notes of another hospital, specialty, language or time its scores "
        "may be far lower than those below."
    )


def training_data(
    description: Mapping[str, Any], metrics: Mapping[str, Any], details: CardDetails
) -> str:
    """What it was trained on: described, never quoted."""
    told = details.training_data or "To be completed by its authors (described, never quoted)."
    n = metrics.get("training", {}).get("train_notes")
    support = description["task"].get("labels", {}).get("support") or ()
    facts = [
        f"{n} training notes." if n else "",
        f"A label has {min(support)} to {max(support)} training examples." if support else "",
        f"Public datasets: {', '.join(details.datasets)}." if details.datasets else "",
    ]
    return " ".join([told, *filter(None, facts)])


def training(description: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """How it was trained, as a table, and what privacy it guarantees."""
    figures = metrics.get("training", {})
    rows = [{"setting": "adapter", "value": description["adapter"]}]
    windowing = description.get("windowing")
    if windowing:
        value = f"{windowing['length']} tokens, overlapping by {windowing['overlap']}"
        rows.append({"setting": "windows", "value": value})
    shown = ("trainable_parameters", "steps", "tokens", "best_epoch", "metric", "precision", "seed")
    rows += [
        {"setting": name.replace("_", " "), "value": _figure(figures[name])}
        for name in shown
        if figures.get(name) is not None
    ]
    table = format_table(rows, style="markdown")
    privacy = figures.get("privacy")
    return f"{table}\n\n{privacy['statement']}" if privacy else table


def _figure(value: object) -> str:
    # In groups of three, so that a count of parameters does not look like a record's number.
    return f"{value:,}" if isinstance(value, int) else str(value)


def scores(metrics: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """All scores, with their intervals where there are any."""
    rows = []
    for split, name, value, interval in score_rows(metrics, report):
        row: dict[str, object] = {"notes": split, "metric": name, "value": f"{value:.4g}"}
        if report.get("intervals"):
            row[f"{100 * report.get('confidence', CONFIDENCE):g} % interval"] = (
                f"{interval['low']:.4g} to {interval['high']:.4g}" if interval else ""
            )
        rows.append(row)
    if not rows:
        return "None."
    said = "" if report.get("intervals") else "\n\nNo intervals were computed."
    leaks = "".join(f"\n\n{sentence}" for sentence in leaks_of(metrics).values())
    return format_table(rows, style="markdown") + said + leaks


def subgroups(report: Mapping[str, Any]) -> str:
    """Scores by group of patients."""
    rows: Sequence[Mapping[str, object]] = report.get("subgroups") or ()
    if not rows:
        return "Not evaluated: gaps between groups of patients are not known."
    return format_table(rows, style="markdown")


def calibration(report: Mapping[str, Any]) -> str:
    """Whether the probabilities mean what they say."""
    found = report.get("calibration")
    if not found:
        return "Not evaluated: do not read the scores as probabilities."
    rows = [{"metric": name, "value": f"{value:.4g}"} for name, value in found.items()]
    return format_table(rows, style="markdown")


def cost(metrics: Mapping[str, Any]) -> str:
    """Measured seconds and the device."""
    figures = metrics.get("training", {})
    if "seconds" not in figures:
        return "Not measured."
    device = figures.get("device", "not recorded")
    return (
        f"{figures['seconds']:.0f} seconds of training, measured (device: {device}). Energy was "
        "not measured; the encoder's pretraining is not included."
    )


def licence(details: CardDetails, known: str | None) -> str:
    """The model's licence and the encoder's."""
    if details.licence:
        return f"{details.licence}. The encoder's own licence: {known or 'look it up'}."
    if known:
        return f"The encoder is under {known}; its authors may state another for this model."
    return "To be completed by its authors; the encoder's licence has to be looked up."
