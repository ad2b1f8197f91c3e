"""Adapt an encoder to unlabelled notes; the folder it writes is an encoder for every recipe."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

import clinical_tl as ctl
from clinical_tl.data.read_options import ReadOptions
from clinical_tl.network.lora import LoRA
from clinical_tl.training.config import TrainingConfig

from .command_line import run


def main(
    notes: str | None = None,
    corpus: str | None = None,
    read: ReadOptions = ReadOptions(),
    limit: int | None = None,
    encoder: str = "offline",
    adapter: Literal["lora", "full"] = "lora",
    lora: LoRA = LoRA(),
    share: float = 0.15,
    head_epochs: int = 1,
    window: int | None = None,
    training: TrainingConfig = TrainingConfig(epochs=1),
    output: str = "runs/adapted_encoder",
) -> dict[str, Any]:
    """Go on pretraining an encoder (masked language modelling) on notes without labels.

    Args:
        notes: your unlabelled notes (JSON lines, a table, a folder of texts, …).
        corpus: a public corpus by name (unlabelled, or the training notes of any other), or
            "synthetic", the default.
        read: how the file is read, e.g. --read.columns.text letter.
        limit: use at most so many notes.
        encoder: a folder, "hub:org/name" (a Hub id), or "offline".
        adapter: a LoRA adapter that is folded in at the end, or all weights.
        lora: the adapter's settings.
        share: of the words that are hidden.
        head_epochs: passes that train a new masked-language-model head alone.
        window: tokens a window; shorter ones are faster.
        training: the training settings.
        output: the encoder folder to write.

    Returns:
        Perplexity and accuracy on held-out notes before and after, and what was read.
    """
    if notes is None:
        unlabelled = ctl.note_splits(corpus, limit=limit)["train"]
    else:
        unlabelled = read.read(notes)[:limit]
    result = ctl.transfer.adapt_encoder(
        encoder,
        unlabelled,
        output,
        adapter=lora if adapter == "lora" else adapter,
        config=training,
        head_epochs=head_epochs,
        share=share,
        window=window,
    )
    figures = asdict(result)
    print(
        ctl.display.format_table(
            [{"figure": name, "value": value} for name, value in figures.items()]
        )
    )
    print(f"encoder: {result.folder}")
    return figures


if __name__ == "__main__":
    run(main)
