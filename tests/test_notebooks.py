"""Every notebook runs from top to bottom, offline, and says what is stored in it."""

import re
from itertools import zip_longest
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
DECIMAL = re.compile(r"-?\d+\.\d+")
RULE = re.compile(r"-+")
# Another CPU adds up in another order, so its training ends elsewhere.
NEAR = 0.15


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(cell):
    """What a cell printed, without warnings."""
    return "".join(
        output.text
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )


def differs(stored, new):
    """The first words of two outputs that differ; decimals may lie near each other."""
    words = ([word for word in text.split() if not RULE.fullmatch(word)] for text in (stored, new))
    for one, other in zip_longest(*words):
        if one == other:
            continue
        if not all(word is not None and DECIMAL.fullmatch(word) for word in (one, other)):
            return one, other
        if abs(float(one) - float(other)) >= NEAR:
            return one, other
    return None


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("offline_encoder")
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_gives_what_is_stored_in_it(file, tmp_path):
    notebook = nbformat.read(file, as_version=4)
    stored = [said(cell) for cell in code_cells(notebook)]
    # Seconds each on an idle machine.
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    for number, (before, cell) in enumerate(zip(stored, code_cells(notebook), strict=True)):
        assert differs(before, said(cell)) is None, f"cell {number}"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_stored_as_it_ran(file):
    cells = code_cells(nbformat.read(file, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert ".to_csv(" in cells[0].source
    outputs = [output for cell in cells for output in cell.outputs]
    # Nothing of the machine that it ran on.
    assert {(output.output_type, output.name) for output in outputs} == {("stream", "stdout")}
    assert not any(place in output.text for output in outputs for place in ("/tmp", "/home"))


def test_there_is_one_notebook_a_question():
    assert [file.stem for file in NOTEBOOKS] == [
        "classify_notes",
        "code_diagnoses",
        "does_transfer_help",
        "find_entities",
    ]


def test_outputs_are_compared():
    stored = "metric  low\n------  -----\nf1      -0.03\n"
    assert differs(stored, "metric  low\n------  ----\nf1      0.02\n") is None
    for other in ("metric low f1 0.32", "metric low f2 -0.03", "metric low f1", stored + "more"):
        assert differs(stored, other)
