"""An evaluation report as one HTML file that needs nothing else: no font, no network.

Its few lines of script filter and sort the table of labels; without them it is all there.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_tl.evaluation import page_sections as sections
from clinical_tl.evaluation.markup import Markup, element, joined
from clinical_tl.evaluation.page_acceptance import acceptance
from clinical_tl.evaluation.page_choice import choice
from clinical_tl.storage.paths import as_path
from clinical_tl.storage.replacement import replace_text

if TYPE_CHECKING:
    from clinical_tl.evaluation.report import EvaluationReport

# What the page may load: nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_page(report: EvaluationReport, file: str | Path) -> Path:
    """Write the report as HTML: scores, errors, labels, probabilities, groups, how it was made.

    It shows names of labels and groups, never text of notes.
    """
    file = as_path(file)
    return replace_text(file, report_page(report))


def report_page(report: EvaluationReport) -> str:
    """The HTML of `write_page`."""
    parts = {
        "Scores": sections.scores(report),
        "Compared with another model": sections.comparison(report),
        "Errors": sections.errors(report),
        "Labels": sections.labels(report),
        "Probabilities": sections.probabilities(report),
        "Accept, or ask a human": acceptance(report),
        "Groups of patients": sections.groups(report),
        "How it was chosen": choice(report),
        "Training": sections.training(report),
        "How this was made": sections.making(report),
    }
    named = {title: list(part) for title, part in parts.items()}
    named = {title: part for title, part in named.items() if part}
    links = [element("a", title, href=f"#{_anchor(title)}") for title in named]
    body = joined(
        _header(report),
        element("nav", joined(*links, by=" ")),
        element("main", *(_section(title, part) for title, part in named.items())),
        by="\n",
    )
    head = joined(
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("title", report.title),
        element("style", _part("page.css")),
        by="\n",
    )
    script = element("script", _part("page.js"))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n'
        f"<head>\n{head}\n</head>\n<body>\n{body}\n{script}\n</body>\n</html>\n"
    )


def _header(report: EvaluationReport) -> Markup:
    said = [f"{report.notes:,} notes of {report.patients:,} patients"]
    model, made = report.model, report.provenance
    if model is not None:
        said.append(model.saved_as or model.kind)
        said.append(f"encoder {model.encoder}" if model.encoder else "")
    if made is not None:
        said += [made.day, f"clinical_tl {made.version}"]
    warned = [
        sections.paragraph(element("strong", leak), class_="warning") for leak in report.leaks
    ]
    line = sections.paragraph(" · ".join(filter(None, said)), class_="about")
    return element("header", element("h1", report.title), line, *warned)


def _section(title: str, parts: Iterable[Markup]) -> Markup:
    return element(
        "section", element("h2", title), joined(*parts, by="\n"), Markup("\n"), id=_anchor(title)
    )


def _anchor(title: str) -> str:
    return title.lower().replace(",", "").replace(" ", "-")


@cache
def _part(name: str) -> Markup:
    """A file of the package, as it is."""
    return Markup(files(__package__).joinpath(name).read_text(encoding="utf-8"))
