"""The Python of the README and of `docs/` runs as it stands, and gives what is shown under it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import clinical_tl as ctl
from clinical_tl.data.formats.known import FORMATS
from clinical_tl.evaluation.prediction_sets import SetScores
from clinical_tl.metrics.relations import RelationExtractionScores
from clinical_tl.schema import Relation, Span
from recipes.__main__ import main as clinical_tl_command

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
# The README first: the pages go on from it.
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DECIMAL = re.compile(r"\d+\.\d+")
RUN, NOT_RUN = "python", "python no-run"
NEAR = 0.1


def blocks(page, language):
    """(code, what is shown right under it) of each block in this language, in order."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    for i, block in enumerate(found):
        if block[1] != language:
            continue
        after = found[i + 1] if i + 1 < len(found) else None
        is_shown = after is not None and after[1] == "text"
        shown = is_shown and not text[block.end() : after.start()].strip()
        yield block[2], after[2] if shown else ""


def differs(shown, said):
    """Where two outputs differ: text and whole numbers are the same, decimals near.

    Another CPU adds up in another order, so its training ends elsewhere, and of a label with
    sixteen mentions one more or less is 0.06.
    """
    for line, other in zip(
        [*shown.splitlines(), "(the end)"], [*said.splitlines(), "(the end)"], strict=False
    ):
        alike = DECIMAL.split(line) == DECIMAL.split(other)
        for a, b in zip(DECIMAL.findall(line), DECIMAL.findall(other), strict=False):
            digits = len(a.partition(".")[2])
            alike &= len(b.partition(".")[2]) == digits and abs(float(a) - float(b)) < NEAR
        if not alike:
            return f"shown: {line}\nsaid:  {other}"
    return None


@pytest.fixture
def one_thread():
    """As `make test` has it: more threads wait for each other longer than they save here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("offline_encoder", "one_thread")
def test_the_python_blocks_give_what_is_shown_under_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first: dict[str, object] = {}
    for page in PAGES:
        shared = first if page == README else dict(first)
        for number, (code, shown) in enumerate(blocks(page, RUN), start=1):
            # The encoder for plain peft is a Hub id; here it must come from the disk.
            local = code.replace('"sentence-transformers/all-MiniLM-L6-v2"', "model.source.path")
            capsys.readouterr()
            exec(compile(local, f"{page.name}, block {number}", "exec"), shared)
            difference = differs(shown, capsys.readouterr().out)
            assert difference is None, f"{page.name}, block {number}\n{difference}"


def test_a_block_that_does_not_run_here_is_python_at_least():
    not_run = [code for page in PAGES for code, _ in blocks(page, NOT_RUN)]
    assert not_run
    for code in not_run:
        compile(code, "not run", "exec")


def test_outputs_are_compared():
    shown = "f1     0.84  12 notes\n"
    assert differs(shown, "f1     0.85  12 notes\n") is None
    for other in (
        "f1     0.95  12 notes",
        "f1     0.84  13 notes",
        "f1     0.84  12 notes\nmore",
        "",
    ):
        assert differs(shown, other)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_what_there_is(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\bctl\.([\w.]+\w)", text):
        found = ctl
        for part in name.split("."):
            found = getattr(found, part)
    for path in re.findall(r"\]\(([\w./]+)\)", text):
        assert (page.parent / path).exists(), path


def test_the_readme_is_short_and_names_the_two_commands_and_every_task():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 180
    assert text.index("make demo") < text.index("make test")
    for task in ("note", "label", "coding", "entity", "relation"):
        assert re.search(rf"^\| .*{task}", text, re.MULTILINE)


def test_the_recipes_are_listed_as_the_command_lists_them(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["clinical-tl", "recipes"])
    clinical_tl_command()
    ((_, shown),) = [
        block
        for block in blocks(ROOT / "docs/recipes.md", "sh")
        if "clinical-tl recipes" in block[0]
    ]
    assert capsys.readouterr().out == shown


def test_the_formats_are_those_that_are_read_and_written():
    page = (ROOT / "docs/formats.md").read_text(encoding="utf-8")
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"^\| .+", page, re.MULTILINE)[1:]]
    named = {row[1].strip("`"): row for row in rows}
    read = {name: known for name, known in FORMATS.items() if known.read is not None}
    assert set(named) == set(read)
    for name, (_, _, endings, _, writes, *_) in named.items():
        assert set(re.findall(r"`(.+?)`", endings)) == set(read[name].endings), name
        assert (endings.strip() == "a folder") == read[name].is_folder, name
        assert writes.strip() == ("no" if read[name].write is None else "yes"), name


def test_every_figure_of_an_evaluation_is_explained():
    likely = np.array([[0.9, 0.1], [0.2, 0.8]])
    spans = [[Span(0, 3, "A")], []]
    related = [[Relation("1", "2", "A")], []]
    metrics = ctl.metrics
    relations = metrics.relation_scores(related, related)
    found = [
        metrics.classification_scores(["A", "B"], ["A", "B"], ["A", "B"], likely),
        metrics.coding_scores([{"A"}, {"B"}], likely, likely > 0.5, ["A", "B"], {"A": 1, "B": 9}),
        metrics.entity_scores(spans, spans),
        RelationExtractionScores(relations, relations, candidates=1),
        metrics.calibration_scores([0, 1], likely),
        SetScores(coverage=1.0, set_size=1.0, empty_sets=0.0, single_labels=1.0),
    ]
    page = (ROOT / "docs/numbers.md").read_text(encoding="utf-8")
    names = {name.partition("_train_")[0] for scores in found for name in scores.summary()}
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_the_picture_shows_the_figures_of_the_readme():
    image = pytest.importorskip("PIL.Image", reason="the extra [plots] is not installed")
    picture = ROOT / "docs/report.png"
    assert picture.stat().st_size < 200_000
    (shown,) = [shown for code, shown in blocks(README, RUN) if "evaluation_report" in code]
    with image.open(picture) as opened:
        drawn = json.loads(opened.info["Description"])
    figures = {line.split()[0]: line.split()[1] for line in shown.splitlines() if line}
    for name, value in drawn.items():
        assert differs(figures[name], f"{value:.2f}") is None
