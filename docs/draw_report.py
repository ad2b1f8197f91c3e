"""Draws `docs/report.png`: the page of the README's report, on synthetic notes, in Chromium.

It runs the README's code up to the report (half a minute), so that the picture shows what the
README says. Needs `chromium` and the extra `[plots]`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from clinical_tl.evaluation.report import EvaluationReport

README = Path(__file__).parent.parent / "README.md"
PICTURE = Path(__file__).parent / "report.png"
SCORES = ("f1", "precision", "recall", "macro_f1")
WIDTH, HEIGHT = 1366, 1500
FEW_COLOURS = 64


def main() -> None:
    """Run the README up to its report and take the picture of its page."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    # As the README's tests compute: in another order of sums training ends elsewhere.
    torch.set_num_threads(1)
    names: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        while "report" not in names:
            exec(blocks.pop(0), names)  # noqa: S102  (this repository's own README)
        os.chdir(README.parent)
    draw_report(cast("EvaluationReport", names["report"]), PICTURE)


def draw_report(report: EvaluationReport, file: Path) -> None:
    """The top of the report's page; the file says in its metadata which figures it shows."""
    told = {name: round(report.intervals[name].value, 4) for name in SCORES}
    with tempfile.TemporaryDirectory() as folder:
        page = replace(report, name=f"synthetic {report.name}").save(Path(folder) / "report.html")
        taken = Path(folder) / "taken.png"
        photograph(page, taken, Path(folder) / "profile")
        with Image.open(taken) as picture:
            described = PngInfo()
            described.add_text("Description", json.dumps(told))
            few = picture.convert("RGB").quantize(FEW_COLOURS)
            few.save(file, optimize=True, pnginfo=described)


def photograph(page: Path, picture: Path, profile: Path) -> None:
    """Have Chromium, without a window and without the network, write the page as a PNG."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("chromium is not installed: install it, e.g. apt-get install chromium")
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--hide-scrollbars", f"--user-data-dir={profile}",
        f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}", page.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  (a page of our own)


if __name__ == "__main__":
    main()
