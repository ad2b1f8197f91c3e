"""The code of a model card: how to load the folder with this package and without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FOLDER = "path/to/this/folder"
ENCODER = "path/to/the/encoder"

_AUTO_CLASS = {
    "note_classification": "AutoModelForSequenceClassification",
    "diagnosis_coding": "AutoModelForSequenceClassification",
    "relation_extraction": "AutoModelForSequenceClassification",
    "entity_recognition": "AutoModelForTokenClassification",
    "masked_language": "AutoModelForMaskedLM",
}


def load_with_package(description: Mapping[str, Any]) -> str:
    """A fenced snippet that loads the folder and uses it."""
    kind = description["task"]["kind"]
    if kind == "masked_language":
        return _fenced(
            "import clinical_tl as ctl",
            "",
            f'vectors = ctl.embed("{FOLDER}", ["The text of a note."], progress=False)',
        )
    name = "FeatureModel" if description["adapter"] == "features" else "TransferModel"
    if kind == "relation_extraction":
        return _fenced(
            f"from clinical_tl import Note, Span, {name}",
            "",
            f'model = {name}.load("{FOLDER}")',
            'spans = (Span(0, 3, "A", id="1"), Span(4, 8, "B", id="2"))',
            'predictions = model.predict([Note("1", "The text of a note.", spans=spans)])',
        )
    return _fenced(
        f"from clinical_tl import {name}",
        "",
        f'model = {name}.load("{FOLDER}")',
        'predictions = model.predict(["The text of a note."])',
    )


def load_without_package(description: Mapping[str, Any], base: str | None) -> str:
    """A fenced snippet in plain peft or transformers, or why there is none."""
    kind, adapter = description["task"]["kind"], description["adapter"]
    revision = description["encoder"].get("revision")
    at = f', revision="{revision}"' if revision else ""
    if adapter == "features":
        return "A linear model on frozen features: only clinical_tl loads it."
    if description["task"].get("head") == "label_attention":
        return "The label-attention head is clinical_tl's own: other libraries can't load it."
    auto = _AUTO_CLASS[kind]
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
