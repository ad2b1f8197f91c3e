"""The sections of a model card: Markdown from settings and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isclose, isfinite
from typing import Any

from clinical_tl.data.codes.known_systems import find_system
from clinical_tl.display.table import format_table
from clinical_tl.errors import count_words
from clinical_tl.saved.artifact import TASK_FILE
from clinical_tl.saved.card_details import CardDetails
from clinical_tl.saved.choice_rows import CHOICE, choice_rows, choice_verdict
from clinical_tl.saved.evaluations import EVALUATED, OPEN_CODES, leaks_of, scored_sets
from clinical_tl.saved.said_language import LANGUAGE, said_language
from clinical_tl.tasks.task import task_class

SAME = 1e-9
"""What rounding makes of one figure computed in two ways, at most."""
MOST_LABELS = 50
MOST_WORDS, LONGEST_LABEL = 8, 80
"""Of a label that is shown: no name of a condition or a section has more."""
_SETTINGS = {"batch_tokens": "batch (tokens a step)", "epochs": "epochs planned"}
_SHOWN = ("steps", "tokens", "best_epoch", "metric", "precision", "seed")
_TOLD = frozenset({"dp", "head_init", "lexical"})
"""Settings that sentences tell."""
_STARTS = {
    "probe": "the linear model on the encoder's frozen features",
    "random": "random weights",
    "source": "a source model's, where labels match",
    "earlier training": "its weights after an earlier training",
}
_READS = {
    "mean": "the mean of a window's tokens, with a head that clinical_tl alone loads",
    "max": "the maximum of a window's tokens, with a head that clinical_tl alone loads",
    "cls": "the first token of a window, with a head that clinical_tl alone loads",
    "stock": "what the architecture's own head reads, which plain peft and transformers load, too",
}
_BALANCES = {
    "balanced": "A class weighs the inverse of its frequency",
    "sqrt": "A class weighs the root of the inverse of its frequency",
    "own": "Classes have weights that were given",
    None: "All classes weigh the same",
}
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
    export = description.get("onnx")
    exported = ""
    if export:
        exported = (
            f"\n\nExported to ONNX, weights in {'8-bit integers' if export['int8'] else 'fp32'}, "
            f"{export['megabytes']:.1f} MB. Largest difference of a logit from the model exported: "
            f"{export['largest_logit_difference']:.2e}; of {export['notes']} notes compared, "
            f"{export['changed_notes']} are decided otherwise."
        )
    return (
        f"Trained with clinical_tl {description['package_version']} on the encoder {encoder} "
        f"(adapter: {description['adapter']}; weights' SHA-256 "
        f"{description['encoder']['sha256']}).{gives}{exported}"
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
    figures, task = metrics.get("training", {}), description["task"]
    n, division = figures.get("train_notes"), figures.get("division")
    support = task.get("labels", {}).get("support") or ()
    system, level = task.get("code_system", task_class(task["kind"]).code_system), task.get("level")
    title = find_system(system).title if system else ""
    facts = [
        f"{n} training notes." if n else "",
        f"A label has {min(support)} to {max(support)} training examples." if support else "",
        f"Labels are {title} codes{f' (level: {level})' if level else ''}." if title else "",
        f"Public datasets: {', '.join(details.datasets)}." if details.datasets else "",
        f"How the notes were divided: {division or 'not recorded'}.",
    ]
    parts = [" ".join([told, *filter(None, facts)]), _language(metrics, details)]
    return "\n\n".join([*parts, *_sets(metrics), *_supports(task.get("labels", {}))])


def languages(
    metrics: Mapping[str, Any], details: CardDetails
) -> tuple[list[str], Mapping[str, float] | None]:
    """The languages that were said, and those of the training notes with their shares.

    The second is `None` where they were not looked for.

    Raises `ConfigError` for a language that is no code of ISO 639.
    """
    said = details.language or metrics.get(LANGUAGE) or ()
    detected = metrics.get("training", {}).get("languages")
    return (said_language(said) if said else []), detected


def _language(metrics: Mapping[str, Any], details: CardDetails) -> str:
    said, detected = languages(metrics, details)
    if said:
        return f"Language: {', '.join(said)}, as its authors say."
    if detected is None:
        return "Language: not looked for in the training notes, and its authors do not say."
    if not detected:
        return "Language: can't be told from the training notes, and its authors do not say."
    found = ", ".join(f"{code} ({share:.0%})" for code, share in detected.items())
    mixed = "several, " if len(detected) > 1 else ""
    return f"Language: {mixed}detected in the training notes: {found}, by share of the letters."


def _sets(metrics: Mapping[str, Any]) -> Iterator[str]:
    """How many notes and patients each set has, as a table."""
    figures, sets = metrics.get("training", {}), metrics.get(EVALUATED) or {}
    counts = {"train": (figures.get("train_notes"), figures.get("train_patients"))}
    counts |= {name: (of.get("notes"), of.get("patients")) for name, of in sets.items()}
    rows = [
        {
            "notes of": name,
            "notes": _count(notes),
            "patients": "not known" if patients is None else _count(patients),
        }
        for name, (notes, patients) in counts.items()
        if notes is not None
    ]
    if rows:
        yield format_table(rows, style="markdown")


def _supports(labels: Mapping[str, Any]) -> Iterator[str]:
    """The labels with their training examples, the most frequent ones where there are many."""
    names, support = labels.get("names") or (), labels.get("support") or ()
    if not names or len(names) != len(support):
        return
    order = sorted(range(len(names)), key=lambda i: -support[i])
    rows = [
        {"label": _cell(names[i]), "training examples": _count(support[i])}
        for i in order[:MOST_LABELS]
    ]
    left = len(names) - len(rows)
    more = f"\n\n{left:,} rarer labels are listed in `{TASK_FILE}`." if left else ""
    yield format_table(rows, style="markdown") + more


def _cell(label: str) -> str:
    """A label for a table; text that was taken for one is described."""
    told = len(label) <= LONGEST_LABEL and count_words(label) <= MOST_WORDS and label.isprintable()
    return label if told else f"<label of {len(label)} characters>"


def choice(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What `best_transfer` compared it with, where it was chosen so."""
    found = metrics.get(CHOICE)
    if found:
        yield f"{choice_verdict(found)}\n\n{format_table(choice_rows(found), style='markdown')}"


def training(description: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """How it was trained, as a table, and what privacy it guarantees."""
    figures = metrics.get("training", {})
    rows = [{"setting": "adapter", "value": description["adapter"]}]
    rows += [
        {"setting": name if name == "adapted by" else f"adapter {name}", "value": _figure(value)}
        for name, value in _renamed(figures.get("adapter") or {}, {"kind": "adapted by"})
    ]
    windowing = description.get("windowing")
    if windowing:
        value = f"{windowing['length']} tokens, overlapping by {windowing['overlap']}"
        rows.append({"setting": "windows", "value": value})
    settings = figures.get("settings") or {}
    facts = {
        "trainable_parameters": figures.get("trainable_parameters"),
        **{_SETTINGS.get(name, name): value for name, value in settings.items()},
        "epochs run": _epochs_run(figures),
        **{name: figures.get(name) for name in _SHOWN if figures.get(name) is not None},
    }
    rows += [
        {"setting": name.replace("_", " "), "value": _figure(value)}
        for name, value in facts.items()
        if value is not None and name not in _TOLD
    ]
    privacy = figures.get("privacy") or {}
    told = " ".join(_ways(description["task"], figures))
    opened = _open_codes(metrics.get(OPEN_CODES) or {})
    return "\n\n".join(
        filter(None, [format_table(rows, style="markdown"), told, opened, privacy.get("statement")])
    )


def _open_codes(figures: Mapping[str, Any]) -> str:
    """What an open code set is worth on dev notes, and what counts in it."""
    if not figures:
        return ""
    union, alone = (
        ", ".join(f"{name} {value:.3f}" for name, value in figures[side].items())
        for side in ("union", "model")
    )
    rules = f" and {figures['rules']:,} rules" if figures["rules"] else ""
    rows = [
        {"what speaks for a code": name, "weight": f"{weight:.3g}"}
        for name, weight in figures["weights"].items()
    ]
    return (
        "It also gives codes that training never showed: candidates by the model, the names of "
        f"codes{rules} are weighed together. On {figures['dev_notes']:,} dev notes, by folds, that "
        f"has {union}, the model alone {alone}. Only clinical_tl does it.\n\n"
        + format_table(rows, style="markdown")
    )


def _ways(task: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    """Where the head started, what it reads, what classes weigh and what words say."""
    start = figures.get("head_start") or {}
    if start:
        strength = f" (inverse L2 strength {start['strength']:g})" if "strength" in start else ""
        yield f"The head started from {_STARTS[start['from']]}{strength}."
        if "window_pooling" in task and task["pooling"] in _READS:
            yield f"It reads {_READS[task['pooling']]}."
    if "class_balance" in figures and "class_weights" in task:
        yield f"{_BALANCES[figures['class_balance']]}."
    words = figures.get("lexical")
    if words:
        kept = (
            "they are hashed and can't be read, but a guess can be looked up"
            if words["hashed"]
            else f"they can be read in the model, and each is in the notes of {words['min_notes']} "
            "patients or more (in as many notes, where patients are not known)"
        )
        yield (
            f"What {_count(words['terms'])} words of the notes say is added to the logits with "
            f"weight {words['weight']:g}: {kept}. Only clinical_tl adds it."
        )


def _epochs_run(figures: Mapping[str, Any]) -> int | None:
    epochs = figures.get("epochs")
    return len(epochs) if isinstance(epochs, list | tuple) else figures.get("epochs_run")


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    yield from ((names.get(name, name), value) for name, value in row.items() if value is not None)


def _figure(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return _count(value) if isinstance(value, int) else str(value)


def _count(value: int) -> str:
    # In groups of three, so that a count of parameters does not look like a record's number.
    return f"{value:,}"


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
    apart = {
        name: f"The {name} notes were compared with the training notes: they share no patient and "
        "no text of 20 words or more."
        for name in scored_sets(metrics)
    }
    compared = "".join(f"\n\n{told}" for told in {**apart, **leaks_of(metrics)}.values())
    return format_table(rows, style="markdown") + said + compared


def subgroups(report: Mapping[str, Any]) -> str:
    """Scores by group of patients."""
    rows: Sequence[Mapping[str, object]] = report.get("subgroups") or ()
    if not rows:
        return "Not evaluated: gaps between groups of patients are not known."
    return format_table(rows, style="markdown")


def calibration(description: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Whether the probabilities mean what they say."""
    found, applied = report.get("calibration"), description["task"].get("temperature")
    shift = description["task"].get("shift")
    moved = f" and moves them by {shift:+.3g}" if shift else ""
    said = (
        "The model applies no temperature."
        if applied is None
        else f"The package divides the logits by a temperature of {applied:.3g}{moved}, chosen on "
        "the model's dev notes; other loaders do not."
    )
    if not found:
        return f"Not evaluated: do not read the scores as probabilities. {said}"
    temperature, scaled = found.get("temperature"), found.get("at_temperature") or {}
    rows = []
    for name, value in found.items():
        if name in ("temperature", "at_temperature"):
            continue
        row = {"metric": name, "value": f"{value:.4g}"}
        if name in scaled:
            row[f"at a further temperature {temperature:.3g}"] = f"{scaled[name]:.4g}"
        rows.append(row)
    table = format_table(rows, style="markdown")
    if temperature is None:
        return f"{table}\n\n{said} No further one was fitted in evaluation."
    return (
        f"{table}\n\n{said} A further one of {temperature:.3g}, fitted on dev notes in evaluation, "
        "would make the probabilities as sure as they should be on the whole; it is not applied."
    )


def comparison(report: Mapping[str, Any]) -> str:
    """What another model scored on the same notes."""
    rows: Sequence[Mapping[str, object]] = report.get("comparison") or ()
    if not rows:
        return "Not compared with another model."
    return (
        f"{format_table(rows, style='markdown')}\n\nAgainst another model on the same notes; "
        "the interval is of the difference (paired bootstrap over patients)."
    )


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
