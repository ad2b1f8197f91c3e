"""The code of a model card: how to load the folder with this package and without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinical_tl.tasks.abilities import DecidesNotes
from clinical_tl.tasks.task import task_class

FOLDER = "path/to/this/folder"
ENCODER = "path/to/the/encoder"


def load_with_package(description: Mapping[str, Any]) -> str:
    """A fenced snippet that loads the folder and uses it."""
    task = task_class(description["task"]["kind"])
    if description["adapter"] == "onnx":
        return _fenced(
            "from clinical_tl.models.onnx_model import OnnxModel",
            "",
            f'model = OnnxModel.load("{FOLDER}")',
            f"predictions = model.predict({task.example})",
        )
    if not issubclass(task, DecidesNotes):
        return _fenced(
            "import clinical_tl as ctl",
            "",
            f'vectors = ctl.network.embed("{FOLDER}", ["The text of a note."], progress=False)',
        )
    return _fenced(
        "import clinical_tl as ctl",
        "",
        f'model = ctl.load("{FOLDER}")',
        f"predictions = model.predict({task.example})",
    )


def load_without_package(description: Mapping[str, Any], base: str | None) -> str:
    """A fenced snippet in plain peft or transformers, or why there is none; how to read it."""
    found, row = _plain(description, base), description["task"]
    layout = task_class(row["kind"]).layout(row)
    return found if layout is None else f"{found}\n\n{layout}"


def _plain(description: Mapping[str, Any], base: str | None) -> str:
    adapter, auto = description["adapter"], description.get("auto_class")
    revision = description["encoder"].get("revision")
    at = f', revision="{revision}"' if revision else ""
    if adapter == "onnx":
        return (
            "Any ONNX runtime runs the graphs; windows and decoding are clinical_tl's "
            "(`clinical_tl.network.onnx_graph` lists the inputs)."
        )
    if adapter == "features":
        return "A linear model on frozen features: only clinical_tl loads it."
    if auto is None:
        return "The head is clinical_tl's own: other libraries can't load it."
    reading = (
        f'tokenizer = AutoTokenizer.from_pretrained("{FOLDER}")',
        'logits = model(**tokenizer("The text of a note.", return_tensors="pt")).logits',
    )
    if adapter != "peft":
        return _fenced(
            f"from transformers import {auto}, AutoTokenizer",
            "",
            f'model = {auto}.from_pretrained("{FOLDER}").eval()',
            *reading,
        )
    return _fenced(
        "from peft import PeftModel",
        f"from transformers import AutoConfig, {auto}, AutoTokenizer",
        "",
        f'config = AutoConfig.from_pretrained("{FOLDER}")',
        f'encoder = {auto}.from_pretrained("{base or ENCODER}", config=config{at})',
        f'model = PeftModel.from_pretrained(encoder, "{FOLDER}").eval()',
        *reading,
    )


def _fenced(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])
