"""Folders to release, as small as the checks allow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from clinical_tl.saved.artifact import write_artifact
from clinical_tl.saved.card import model_card

HUB_ENCODER = "michiyasunaga/BioLinkBERT-base"
LABELS = {"names": ["cardiology", "infectious disease"], "support": [9, 7]}
SECRET = "Zebulon"


def write_model(
    folder: Path, *, encoder: str = HUB_ENCODER, labels: dict | None = None, metrics=None
) -> Path:
    """What `save_pretrained` writes for a LoRA classifier, with made-up weights."""
    description = {
        "package_version": "0.1.0",
        "task": {
            "kind": "note_classification",
            "labels": labels or LABELS,
            "pooling": "mean",
            "class_weights": None,
        },
        "encoder": {"name": encoder, "revision": None, "sha256": "f" * 64},
        "adapter": "peft",
        "windowing": {"length": 64, "overlap": 8},
    }
    metrics = {"test": {"macro_f1": 0.8, "notes": 9}} if metrics is None else metrics

    def write_files(draft: Path) -> None:
        save_file({"lora_A": np.zeros((2, 2))}, draft / "adapter_model.safetensors")
        write_json(draft / "adapter_config.json", {"peft_type": "LORA", "peft_version": "0.21.2"})
        added = [{"id": 0, "content": "[PAD]"}]
        vocabulary = {"[PAD]": 0, "1999": 1, "www.example.org": 2}
        write_json(
            draft / "tokenizer.json", {"added_tokens": added, "model": {"vocab": vocabulary}}
        )

    write_artifact(
        folder,
        description,
        metrics=metrics,
        card=model_card(description, metrics),
        write_files=write_files,
    )
    return folder


def write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value), encoding="utf-8")
