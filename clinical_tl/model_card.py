"""The README.md of a saved model: a card to complete, made of settings and figures alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clinical_tl.models.encoder import OFFLINE, OFFLINE_HUB_ID

_PIPELINE_TAG = {
    "note_classification": "text-classification",
    "diagnosis_coding": "text-classification",
    "entity_recognition": "token-classification",
    "relation_extraction": "text-classification",
}


def model_card(description: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """A model card in Markdown with the Hub's metadata block; it never quotes a note."""
    kind = description["task"]["kind"]
    encoder = description["encoder"]["name"]
    base = OFFLINE_HUB_ID if encoder == OFFLINE else encoder
    rows = [
        f"| {split} | {name} | {value:.4f} |"
        for split, scores in metrics.items()
        if split != "training"
        for name, value in scores.items()
    ]
    table = "\n".join(["| notes | metric | value |", "|---|---|---|", *rows]) if rows else "None."
    return f"""---
base_model: {base}
library_name: peft
pipeline_tag: {_PIPELINE_TAG[kind]}
tags:
- clinical-tl
- {kind}
---

# {kind.replace("_", " ").capitalize()} model

Trained with clinical_tl {description["package_version"]} on the encoder `{base}`
(adapter: {description["adapter"]}; weights' SHA-256 {description["encoder"]["sha256"]}).
It gives {len(description["task"]["labels"]["names"])} labels, listed in `task.json`.

## Intended use and limits

To be completed by its authors: which notes it was trained on (described, never quoted), for
whom it is meant, and where it must not be used.

## Scores

{table}

## Use

```python
from clinical_tl import TransferModel

model = TransferModel.load("path/to/this/folder")
predictions = model.predict(["The text of a note."])
```
"""
