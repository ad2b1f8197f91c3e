"""Runs the notebooks and stores their outputs: `make notebooks`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))
# tqdm asks for widgets, which the notebooks draw no progress with; Python's own are left.
WITHOUT_WIDGETS = "ignore:IProgress not found"


def executed(file: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a new run, and nothing of the machine or the time."""
    notebook = nbformat.read(file, as_version=4)
    # From the root, so that it is this repository's package that they import.
    resources = {"metadata": {"path": str(file.parent.parent)}}
    client = NotebookClient(notebook, timeout=None, record_timing=False, resources=resources)
    with tempfile.TemporaryDirectory() as folder:
        own = {"TMPDIR": folder, "PYTHONWARNINGS": WITHOUT_WIDGETS}
        client.execute(env={**os.environ, **own})
    # Python's version.
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main() -> None:
    """Run every notebook, in fp32 as the tests do, and replace it."""
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    for file in NOTEBOOKS:
        nbformat.write(executed(file), file)


if __name__ == "__main__":
    main()
