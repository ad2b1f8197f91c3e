"""Every notebook runs from top to bottom, offline, and draws what it promises."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))

# Its story can be read without running it; the notes in it are synthetic.
STORED_EXECUTED = "does_transfer_help"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("offline_encoder")
@pytest.mark.parametrize(
    "file",
    [
        # Minutes of training: with `make real-tests`.
        pytest.param(file, marks=[pytest.mark.real] if file.stem == STORED_EXECUTED else [])
        for file in NOTEBOOKS
    ],
    ids=lambda file: file.stem,
)
def test_the_notebook_runs_and_plots(file):
    notebook = nbformat.read(file, as_version=4)
    if file.stem != STORED_EXECUTED:
        assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    NotebookClient(notebook, timeout=None, resources={"metadata": {"path": file.parent}}).execute()
    kinds = {
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    }
    assert "image/png" in kinds


def test_there_is_one_notebook_a_task_and_one_on_transfer():
    assert {file.stem for file in NOTEBOOKS} == {
        "note_classification",
        "diagnosis_coding",
        "entity_recognition",
        "relation_extraction",
        "does_transfer_help",
    }


def test_the_story_of_transfer_is_stored_with_its_outputs():
    file = next(file for file in NOTEBOOKS if file.stem == STORED_EXECUTED)
    cells = [c for c in nbformat.read(file, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {
        "stream",
        "execute_result",
        "display_data",
    }
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    # Nothing of the machine it ran on.
    texts = [
        output.get("text") or str(output.get("data", {}).get("text/plain")) for output in outputs
    ]
    assert all(output.get("name") != "stderr" for output in outputs)
    assert not any("/tmp" in text or "/home" in text for text in texts)
