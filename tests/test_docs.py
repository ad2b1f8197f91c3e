"""The documentation builds without a warning, offline, and has every public name."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUBS = sorted((ROOT / "clinical_tl").rglob("__init__.pyi"))
LOADED = re.compile(r'<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)="([^"]*)"')
OUTSIDE = re.compile(r"(?:[a-z]+:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """As `make docs` builds it."""
    pytest.importorskip("furo", reason="the extra [docs] is not installed")
    folder = tmp_path_factory.mktemp("docs")
    (flags,) = re.findall(
        r"-m sphinx (.*?) -d build/doctrees", (ROOT / "Makefile").read_text(), re.DOTALL
    )
    options = flags.replace("\\\n", " ").split()
    command = [sys.executable, "-m", "sphinx", *options, "-d", folder / "doctrees", ROOT]
    done = subprocess.run(
        [*command, folder / "html"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--fail-on-warning" in options
    assert "--nitpicky" in options
    return folder / "html"


def test_the_reference_has_every_public_name(site):
    missing = []
    for stub in STUBS:
        room = ".".join(stub.parent.relative_to(ROOT).parts)
        page = (site / "docs" / "reference" / f"{room}.html").read_text(encoding="utf-8")
        missing += [
            f"{room}.{alias.name}"
            for line in ast.parse(stub.read_text(encoding="utf-8")).body
            if isinstance(line, ast.ImportFrom) and line.module is not None
            for alias in line.names
            if alias.name != "__version__" and f'id="{room}.{alias.name}"' not in page
        ]
    assert missing == []


def test_a_reader_needs_no_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        loaded = LOADED.findall(page.read_text(encoding="utf-8"))
        assert [it for it in loaded if OUTSIDE.match(it)] == [], page.name
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\(\W?(?:https?:)?//", text), style.name


def test_the_first_page_leads_to_every_other(site):
    first = (site / "docs" / "index.html").read_text(encoding="utf-8")
    assert "docs/index.html" in (site / "index.html").read_text(encoding="utf-8")
    for page in [*ROOT.glob("docs/*.md"), ROOT / "README.md"]:
        assert f'{page.stem}.html"' in first or page.stem == "index", page.name
