"""The notebooks run from top to bottom, offline, and are stored with what they give."""

import base64
import re

import nbformat
import pytest

from notebooks.store_outputs import NOTEBOOKS, executed

MOST_CELLS = 13
MOST_BYTES = 150_000
DIGITS = re.compile(r"\d+")
HEADING = re.compile(r"<th>([^<\d]+)</th>")
# Of a machine, a time or a progress bar.
FOREIGN = re.compile(r"/(?:tmp|home|root|usr|private|Users)/|0x[0-9a-f]{6}|\d%\||\r|it/s")

every_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def seen(output):
    """What kind of output it is, and the headings of its tables or its first line, no numbers.

    Another CPU adds up in another order, so its training ends elsewhere.
    """
    data = output.get("data", {})
    said = HEADING.findall(data.get("text/html", ""))
    if not said:
        said = DIGITS.sub("0", data.get("text/plain", "")).splitlines()[:1]
    return output.output_type, output.get("name"), sorted(data), said


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("offline_encoder")
@every_notebook
def test_the_notebook_gives_what_it_is_stored_with(file):
    stored = code_cells(nbformat.read(file, as_version=4))
    for cell, again in zip(stored, code_cells(executed(file)), strict=True):
        shown, said = ([seen(output) for output in one.outputs] for one in (cell, again))
        # What is printed and what is logged come by two ways.
        assert sorted(said, key=str) == sorted(shown, key=str), cell.source


@every_notebook
def test_what_is_stored_is_of_one_run_and_of_no_machine(file):
    notebook = nbformat.read(file, as_version=4)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(cell.metadata for cell in cells)
    assert notebook.metadata.language_info == {"name": "python"}
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type in {"stream", "execute_result", "display_data"}
        data = dict(output.get("data", {}))
        picture = data.pop("image/png", "")
        assert len(base64.b64decode(picture)) < MOST_BYTES
        assert not FOREIGN.search("\n".join([output.get("text", ""), *data.values()]))


@every_notebook
def test_the_notebook_is_short_and_says_that_its_notes_are_synthetic(file):
    notebook = nbformat.read(file, as_version=4)
    assert len(notebook.cells) <= MOST_CELLS
    assert "synthetic" in notebook.cells[0].source
    sources = "\n".join(cell.source for cell in code_cells(notebook))
    assert "def " not in sources
    for step in (".to_csv(", "ctl.read_notes(", "columns=", "ctl.split_notes("):
        assert step in sources, step


def test_there_are_four_notebooks():
    assert [file.stem for file in NOTEBOOKS] == [
        "classify_notes",
        "code_diagnoses",
        "does_transfer_help",
        "find_entities",
    ]
