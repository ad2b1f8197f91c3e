"""The page's sections: figures with what they mean, and what was not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import ceil
from typing import TYPE_CHECKING, Any

from clinical_tl.evaluation import plots
from clinical_tl.evaluation.confusions import MOST_LABELS
from clinical_tl.evaluation.definitions import COLUMNS, COUNTS, defined
from clinical_tl.evaluation.markup import Markup, element, joined
from clinical_tl.evaluation.mention_errors import OUTCOMES
from clinical_tl.evaluation.page_tables import Column, shown, table
from clinical_tl.saved.evaluations import LEAKAGE, leaks_of

if TYPE_CHECKING:
    from clinical_tl.evaluation.confusions import Confusions
    from clinical_tl.evaluation.estimates import Estimate
    from clinical_tl.evaluation.mention_errors import MentionErrors
    from clinical_tl.evaluation.provenance import EvaluatedModel
    from clinical_tl.evaluation.report import EvaluationReport

MOST_ROWS = 15
"""Of lists that show the worst cases."""


def paragraph(*parts: str | Markup | None, class_: str | None = None) -> Markup:
    """Some sentences."""
    return element("p", *parts, class_=class_)


def figure(drawn: Markup, title: str, *caption: str | Markup | None) -> Markup:
    """A plot with what it shows."""
    return element(
        "figure", element("figcaption", element("strong", title)), drawn, paragraph(*caption)
    )


def scores(report: EvaluationReport) -> Iterator[Markup]:
    """Every score with its interval and its definition; then the counts."""
    share = f"{100 * report.confidence:g} % interval"
    yield paragraph(
        f"{report.about_intervals.capitalize()}; from {report.resamples:,} bootstrap resamples of "
        f"the patients, seed {report.seed}. They tell how far a score would move on other patients "
        "like these, not on notes of another hospital. Scores without an interval do not add up "
        "over notes."
    )
    scored = {name: v for name, v in report.scores.items() if name not in COUNTS}
    columns = [
        Column("metric", "score"),
        Column("value", "value"),
        Column("interval", share),
        Column("mark", "0 to 1"),
        Column("meaning", "what it is"),
    ]
    rows = []
    for name, value in scored.items():
        found = report.intervals.get(name)
        named = element("strong", name) if name == report.metric else _together(name)
        rows.append(
            {
                "metric": named,
                "value": float(value),
                "interval": None if found is None else _limits(found),
                "mark": plots.interval_mark(found, value) if 0 <= value <= 1 else "",
                "meaning": defined(name),
            }
        )
    yield table(rows, columns)
    counted = [
        {"metric": name, "value": int(value), "meaning": defined(name)}
        for name, value in report.scores.items()
        if name in COUNTS
    ]
    if counted:
        yield table(counted, [Column("metric", "count"), *columns[1:2], columns[-1]])


def comparison(report: EvaluationReport) -> Iterator[Markup]:
    """The other model's scores, the differences, and what they mean."""
    found = report.comparison
    if found is None:
        return
    share = f"{100 * report.confidence:g} %"
    other = "The other model" if found.model is None else f"The other model: {_named(found.model)}"
    yield paragraph(
        f"{other}. Both are scored on the same notes and on the same {report.resamples:,} "
        "resamples of the patients (paired bootstrap), so what is hard for both cancels out. "
        f"Where the {share} interval of a difference leaves out 0, the models differ on notes like "
        "these. The more scores are looked at, the more of them leave out 0 by chance: read the "
        f"one that was meant to decide, here {report.metric}, first."
    )
    for said in leaks_of(
        {report.name: found.scores, LEAKAGE: {report.name: found.leakage}}
    ).values():
        yield paragraph(element("strong", f"The other model: {said}"), class_="warning")
    names = sorted(found.differences, key=lambda name: name != report.metric)
    reach = max(
        (max(abs(d.low), abs(d.high)) for d in found.differences.values()), default=0.0
    ) or 1.0  # fmt: skip
    rows = [
        {
            "metric": element("strong", name) if name == report.metric else name,
            "value": report.scores[name],
            "other": found.scores[name],
            "difference": f"{difference.value:+.3f}",
            "interval": _limits(difference, signed=True),
            "mark": plots.difference_mark(difference, reach),
            "said": verdict(difference),
        }
        for name in names
        for difference in [found.differences[name]]
    ]
    columns = [
        Column("metric", "score"),
        Column("value", "this model"),
        Column("other", "other model"),
        Column("difference", "difference"),
        Column("interval", f"{share} interval"),
        Column("mark", f"−{reach:.2g} to +{reach:.2g}"),
        Column("said", "in words"),
    ]
    yield table(rows, columns)


def verdict(difference: Estimate) -> str:
    """What the interval of a difference says."""
    if difference.low > 0:
        return "this model is better"
    if difference.high < 0:
        return "the other model is better"
    return "can't be told apart on these notes"


def errors(report: EvaluationReport) -> Iterator[Markup]:
    """What is taken for what, what is missed, and what is said for nothing."""
    if report.confusions is not None:
        yield from _confusions(report.confusions)
    if report.mentions is not None:
        yield from _mentions(report)
    if report.confusions is None and report.mentions is None:
        yield element("div", *_worst_labels(report), class_="beside")


def _confusions(found: Confusions) -> Iterator[Markup]:
    rows = found.table()
    if len(found.labels) <= MOST_LABELS:
        yield paragraph(
            "Confusion matrix, notes: rows are the gold labels, columns what was predicted; the "
            "share of the row is below the count. What is right lies on the diagonal."
        )
        yield _matrix(found)
    if rows:
        most = rows[:MOST_ROWS]
        yield element("h3", "The largest confusions")
        if len(rows) > len(most):
            yield paragraph(f"The {len(most)} largest of {len(rows):,} confusions.")
        yield table(
            most,
            [
                Column("gold", "gold"),
                Column("predicted", "predicted"),
                Column("notes", "notes"),
                Column("share of gold", "share of the gold label's notes"),
            ],
        )
    else:
        yield paragraph("There are no confusions: every label is right.")


def _matrix(found: Confusions) -> Markup:
    cells = {(gold, said): n for gold, said, n in found.counts}
    support = found.support
    head = [
        element("th", "gold \u2193 predicted \u2192", scope="col"),
        *(element("th", name, scope="col") for name in found.labels),
        element("th", "all", scope="col"),
    ]
    rows = []
    for gold in found.labels:
        line = [element("th", gold, scope="row")]
        for said in found.labels:
            n = cells.get((gold, said), 0)
            share = n / max(support[gold], 1)
            text = joined(f"{n:,}", element("small", f"{100 * share:.0f} %")) if n else "·"
            line.append(
                element(
                    "td", text, class_="right" if gold == said else None,
                    style=f"--share:{share:.2f}",
                )
            )  # fmt: skip
        rows.append(element("tr", *line, element("td", f"{support[gold]:,}")))
    matrix = element(
        "table",
        element("thead", element("tr", *head)),
        element("tbody", joined(*rows, by="\n")),
        class_="matrix",
    )
    return element("div", matrix, class_="wide")


def _mentions(report: EvaluationReport) -> Iterator[Markup]:
    found = report.mentions
    if found is None:
        return
    yield paragraph(
        "Every gold and every predicted mention has one outcome. ",
        element("strong", "right"), ": borders and type agree. ",
        element("strong", "wrong type"), ": the borders agree. ",
        element("strong", "wrong border"), ": it overlaps a prediction of its type. ",
        element("strong", "both wrong"), ": it overlaps one of another type. ",
        element("strong", "missed"), ": nothing overlaps it. ",
        element("strong", "spurious"), ": predicted where the gold has nothing, by the type "
        "predicted.",
    )  # fmt: skip
    heads = [Column("label", "type"), *(Column(name, name) for name in OUTCOMES)]
    yield table(found.table(), heads)
    parts = [_known_and_new(found)]
    if found.taken_for:
        rows = [
            {"gold": gold, "predicted": said, "mentions": n}
            for gold, said, n in found.taken_for[:MOST_ROWS]
        ]
        columns = [Column(name, name) for name in ("gold", "predicted", "mentions")]
        taken = element("h3", "Types taken for each other")
        parts.append(element("div", taken, table(rows, columns)))
    yield element("div", *parts, class_="beside")


def _known_and_new(found: MentionErrors) -> Markup:
    title = element("h3", "Mentions that training had, and new ones")
    if not found.novelty:
        said = "Not told apart: no training notes were given."
        return element("div", title, paragraph(said))
    said = (
        "Seen: the same words, in lower case, are marked somewhere in the training notes, as "
        "whatever type. What is much better on them was learnt by heart."
    )
    rows = table(
        [row.row() for row in found.novelty],
        [
            Column("mentions", "mentions"),
            Column("gold", "in gold"),
            Column("found", "found exactly"),
            Column("recall", "recall"),
            Column("low", "low"),
            Column("high", "high"),
        ],
    )
    return element("div", title, paragraph(said), rows)


def _worst_labels(report: EvaluationReport) -> Iterator[Markup]:
    coded = any("title" in row for row in report.labels)
    named = [Column("label", "code" if coded else "label")]
    named += [Column("title", "title")] if coded else []
    for key, title, counted, of in (
        ("fn", "Most often missed", "missed", "support"),
        ("fp", "Most often predicted and wrong", "wrong", "predicted"),
    ):
        wrong = [row for row in report.labels if row[key]]
        parts = [element("h3", title)]
        if not wrong:
            yield element("div", *parts, paragraph("None."))
            continue
        most = sorted(wrong, key=lambda row: (-row[key], row["label"]))[:MOST_ROWS]
        if len(wrong) > len(most):
            parts.append(paragraph(f"The first {len(most)} of {len(wrong):,}."))
        rows = [{**row, "predicted": row["tp"] + row["fp"]} for row in most]
        columns = [
            *named,
            Column(key, counted),
            Column(of, "in gold" if of == "support" else "predicted"),
        ]
        yield element("div", *parts, table(rows, columns))


def labels(report: EvaluationReport) -> Iterator[Markup]:
    """Every label's scores, the most frequent first."""
    if not report.labels:
        yield paragraph("None.")
        return
    yield paragraph(
        f"{len(report.labels):,} labels that are in the gold or were predicted, the most frequent "
        "first. ",
        f"{report.unused:,} more of the model's labels are in neither. " if report.unused else "",
        "Of few examples an interval shows little of what may happen: look at the support. A dash: "
        "one patient alone has the label, or F1 is the same in all resamples. ",
        element("span", "The headings say what they are and sort the rows.", class_="scripted"),
    )
    rows = [
        {
            **row,
            "interval": None
            if row["f1_low"] == row["f1_high"]
            else _together(f"{row['f1_low']:.3f} to {row['f1_high']:.3f}"),
        }
        for row in report.labels
    ]
    some = {name for row in rows for name, value in row.items() if value not in (None, "")}
    columns = [
        Column("label", "label"),
        Column("title", "title"),
        Column("support", "support", COLUMNS["support"]),
        Column("precision", "precision", COLUMNS["precision"]),
        Column("recall", "recall", COLUMNS["recall"]),
        Column("f1", "F1", COLUMNS["f1"]),
        Column("interval", f"F1, {100 * report.confidence:g} %\u00a0interval"),
        Column("tp", "right", COLUMNS["tp"]),
        Column("fp", "wrong", COLUMNS["fp"]),
        Column("fn", "missed", COLUMNS["fn"]),
        Column("threshold", "threshold", "given from this probability on"),
        Column("said", "remark"),
    ]
    yield table(rows, [column for column in columns if column.key in some], name="labels-table")


def probabilities(report: EvaluationReport) -> Iterator[Markup]:
    """Calibration, precision against recall, and the spread of the scores."""
    found = report.calibration
    drawn = []
    if found is None:
        yield paragraph("Not evaluated: there are no probabilities to compare with the gold.")
    else:
        left_out = (
            f" {found.left_out:,} gold labels have no probability, for the model does not know "
            "them, and are left out here."
            if found.left_out
            else ""
        )
        yield paragraph(
            f"Calibration is of {found.of}: how often what was said with a probability was right."
            f"{left_out}"
        )
        rows = list(found.table())
        names = ("ece", "mce", "brier")
        yield table(
            rows,
            [
                Column("probabilities", "probabilities"),
                *(Column(name, name, defined(name)) for name in names),
            ],
        )
        yield element(
            "dl", *(p for n in names for p in (element("dt", n), element("dd", defined(n))))
        )
        bins = found.scores.bins
        drawn.append(
            figure(
                plots.reliability_plot(bins),
                "Reliability",
                "On the dashed line a probability means what it says; below it the model is too "
                f"sure. {len(bins)} bins, each with Wilson's 95 % interval (as if statements were "
                "independent), and their counts below.",
                " Both scales are by the square root: most probabilities are small."
                if plots.is_crowded(bins)
                else None,
            )
        )
    curves = report.curves
    if curves is not None:
        drawn.append(
            figure(
                plots.precision_recall_plot(curves.precision_recall, report.decided),
                "Precision and recall at every threshold",
                f"Over {curves.precision_recall[0].positives:,} gold labels. A curve ends where "
                "nothing more has a score.",
            )
        )
        drawn.append(
            figure(
                plots.spread_plot(curves),
                "Spread of the scores",
                f"Scores of {curves.of}. The further the two lie apart, the better a threshold can "
                "tell them.",
            )
        )
    if drawn:
        yield element("div", *drawn, class_="plots")


def groups(report: EvaluationReport) -> Iterator[Markup]:
    """Groups of patients by the headline score."""
    if not report.subgroups:
        yield paragraph("Not compared: no metadata field was named.")
        return
    yield paragraph(
        f"By {report.metric}. Groups of fewer than ten patients are named without figures. A gap "
        "is between the groups that happened to be highest and lowest: a reason to look, not a "
        "test."
    )
    rows = report.subgroup_table()
    heads = dict.fromkeys(name for row in rows for name in row)
    yield table(rows, [Column(name, name) for name in heads])


def training(report: EvaluationReport) -> Iterator[Markup]:
    """How losses and the dev score went, epoch by epoch."""
    model = report.model
    if model is None or not plots.has_curve(model.epochs):
        yield paragraph("Not known: the model remembers no epochs of a training.")
        return
    settings = model.settings
    metric = str(settings.get("metric", "score"))
    steps = settings.get("steps")
    said = f" {steps:,} optimiser steps in" if isinstance(steps, int) else ""
    kept = f" The weights of epoch {model.best_epoch} were kept." if model.best_epoch else ""
    yield figure(
        plots.learning_plot(model.epochs, model.best_epoch, metric),
        "Learning curve",
        f"{said} {len(model.epochs)} epochs.{kept} Dev notes chose the epoch (and thresholds): "
        "scores on them are too good.",
    )


def making(report: EvaluationReport) -> Iterator[Markup]:
    """The model, its settings, the data and the versions."""
    made, model = report.provenance, report.model
    facts: list[tuple[str, object]] = [
        ("notes", f"{report.name}: {report.notes:,} notes of {report.patients:,} patients"),
    ]
    if made is not None:
        facts += [
            ("texts, SHA-256", made.notes_sha256),
            ("texts and gold, SHA-256", made.gold_sha256),
            ("report made", made.day),
            ("clinical_tl", made.version),
        ]
    if model is not None:
        facts += list(_model_facts(model))
    left, right = facts, []
    if model is not None:
        right = list(model.settings.items())
    parts = [_facts(left, "Model and data")]
    if right:
        half = ceil(len(right) / 2)
        parts.append(_facts(right[:half], "Settings of the model"))
        parts.append(_facts(right[half:], "Settings, continued"))
    else:
        parts.append(paragraph("Settings of training are not known."))
    yield element("div", *parts, class_="facts")


def _model_facts(model: EvaluatedModel) -> Iterator[tuple[str, object]]:
    yield "model", model.kind
    yield "model's folder or id", model.saved_as or "none: it was not loaded from a folder"
    yield "encoder", model.encoder or "not known"
    yield "encoder's revision", model.revision or "none: no revision of a Hub id was named"
    if model.encoder_sha256 is not None:
        yield "encoder's weights, SHA-256", model.encoder_sha256
    if model.threshold is not None:
        yield "threshold", f"{model.threshold:.4g}"
    elif model.thresholds:
        low, high = min(model.thresholds.values()), max(model.thresholds.values())
        yield "thresholds", f"one a label, {low:.3g} to {high:.3g}"
    else:
        yield "threshold", "none was tuned"
    applied = "none" if model.temperature is None else f"{model.temperature:.3g}"
    yield "temperature, chosen on dev notes and applied", applied


def _facts(rows: list[tuple[str, Any]], title: str) -> Markup:
    lines = [
        element(
            "tr", element("th", name.replace("_", " "), scope="row"), element("td", _plain(value))
        )
        for name, value in rows
    ]
    return element("table", element("caption", title), element("tbody", *lines), class_="pairs")


def _plain(value: object) -> Markup | str:
    return f"{value:.6g}" if isinstance(value, float) else shown(value)


def _named(model: EvaluatedModel) -> str:
    return f"{model.saved_as} ({model.kind})" if model.saved_as else model.kind


def _limits(found: Estimate, *, signed: bool = False) -> Markup:
    row: Mapping[str, float] = asdict(found)
    sign = "+" if signed else ""
    return _together(f"{row['low']:{sign}.3f} to {row['high']:{sign}.3f}")


def _together(text: str) -> Markup:
    """The text in one line."""
    return element("span", text, class_="together")
