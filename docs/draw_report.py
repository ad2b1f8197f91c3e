"""Draws `docs/report.png`: the report of the README's example, on synthetic notes, as a picture.

It runs the README's code up to the report (half a minute), so that the picture shows what the
README says.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from clinical_tl.evaluation import EvaluationReport

README = Path(__file__).parent.parent / "README.md"
PICTURE = Path(__file__).parent / "report.png"
SCORES = ("f1", "precision", "recall", "macro_f1")
COLOUR = "#1f6feb"


def main() -> None:
    """Run the README up to its report and draw that."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        while "report" not in names:
            exec(blocks.pop(0), names)  # noqa: S102  (this repository's own README)
        report = names["report"]
        os.chdir(README.parent)
    assert isinstance(report, EvaluationReport)
    draw_report(report, PICTURE)
