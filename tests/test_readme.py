"""The Python of the README and of `docs/` runs as it stands, and gives what is shown under it."""

import ast
import re
from pathlib import Path

import pytest

import clinical_tl as ctl
from recipes.__main__ import recipes

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
# The README first: the pages go on from it.
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DECIMAL = re.compile(r"\d+\.\d+")
NOT_RUN = "python no-run"


def blocks(page):
    """(language, content) of each fenced block, in order."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


def examples(page):
    """(code, what is shown right under it) of each block that runs."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    for i, block in enumerate(found):
        if block[1] != "python":
            continue
        after = found[i + 1] if i + 1 < len(found) else None
        is_shown = after is not None and after[1] == "text"
        shown = is_shown and not text[block.end() : after.start()].strip()
        yield block[2], after[2] if shown else ""


def differs(shown, said):
    """Where two outputs differ: text is the same, a decimal is so but for one in its last digit.

    Another CPU adds up in another order.
    """
    for line, other in zip(
        [*shown.splitlines(), "(the end)"], [*said.splitlines(), "(the end)"], strict=False
    ):
        alike = DECIMAL.split(line) == DECIMAL.split(other)
        for a, b in zip(DECIMAL.findall(line), DECIMAL.findall(other), strict=False):
            digits = len(a.partition(".")[2])
            last = 1.5 * 10**-digits
            alike &= len(b.partition(".")[2]) == digits and abs(float(a) - float(b)) < last
        if not alike:
            return f"shown: {line}\nsaid:  {other}"
    return None


@pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers")
@pytest.mark.usefixtures("offline_encoder")
def test_the_python_blocks_give_what_is_shown_under_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first: dict[str, object] = {}
    for page in PAGES:
        shared = first if page == README else dict(first)
        for number, (code, shown) in enumerate(examples(page), start=1):
            # The encoder for plain peft is a Hub id; here it must come from the disk.
            local = code.replace('"sentence-transformers/all-MiniLM-L6-v2"', "model.source.path")
            capsys.readouterr()
            exec(compile(local, f"{page.name}, block {number}", "exec"), shared)
            difference = differs(shown, capsys.readouterr().out)
            assert difference is None, f"{page.name}, block {number}\n{difference}"
