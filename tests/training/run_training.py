"""Trains a tiny model and writes its weights: the process that tests start, kill and launch twice.

Arguments: encoder, output folder, file for the weights, gradient_accumulation, dropout.
"""

from __future__ import annotations

import sys

from safetensors.torch import save_file

from clinical_tl.data.synthetic import generate_notes
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit


def main(encoder: str, output: str, weights: str, accumulation: str, dropout: str) -> None:
    notes = generate_notes(24, seed=3, words=(30, 90))
    train, dev = notes.select(range(18)), notes.select(range(18, 24))
    task = EntityRecognition.from_notes(train)
    model = TransferModel.from_pretrained(encoder, task, window=64, overlap=16)
    config = TrainingConfig(
        epochs=4,
        batch_tokens=256,
        gradient_accumulation=int(accumulation),
        dropout=float(dropout),
        checkpoint_steps=2,
        output_dir=output,
        patience=None,
        progress=False,
    )
    result = fit(model, train, dev, config, allow_leakage=True)
    from accelerate import PartialState

    if PartialState().is_main_process:
        tensors = {n: p.detach().contiguous() for n, p in model.network.trainable().items()}
        save_file(tensors, weights, metadata={"steps": str(result.steps)})


if __name__ == "__main__":
    main(*sys.argv[1:])
