"""What several processes do together in the ways to transfer, told by each in a file of its own.

Arguments: encoder, folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from accelerate import PartialState

from clinical_tl.data.notes import as_notes
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.errors import ConfigError
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.storage.processes import on_main_process
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.transfer.domain_adaptation import adapt_encoder
from clinical_tl.transfer.self_training import self_train

QUICK = TrainingConfig(epochs=1, batch_tokens=512, patience=None, progress=False)


def refuse() -> None:
    raise ConfigError("the first process says no")


def main(encoder: str, folder: str) -> None:
    place = Path(folder)
    notes = as_notes(generate_notes(30, seed=3, words=(30, 80), notes_per_patient=(1, 1)))
    told: dict[str, object] = {}
    for name in ("adapted", "again"):
        adapted = adapt_encoder(encoder, notes[:12], place / "adapted", config=QUICK)
        told[name] = adapted.perplexity_after
    try:
        adapt_encoder(encoder, notes[:11], place / "adapted", config=QUICK)
    except ConfigError as error:
        told["refused"] = str(error)
    try:
        on_main_process(refuse)
    except ConfigError as error:
        told["raised"] = str(error)
    task = NoteClassification.from_notes(notes[:12])
    features = FeatureModel.fit(
        adapted.folder, task, notes[:12], cache=place / "vectors", progress=False
    )
    features.save_pretrained(place / "features")
    model = TransferModel.from_pretrained(adapted.folder, task, window=64, overlap=16)
    result = self_train(
        model, notes[:12], notes[12:24], notes[24:], QUICK,
        rounds=1, precision=0.1, allow_dissimilar=True,
    )  # fmt: skip
    told["silver"] = [note.note_id for note in result.silver]
    told["rounds"] = [round_.value for round_ in result.rounds]
    rank = PartialState().process_index
    (place / f"told-{rank}.json").write_text(json.dumps(told, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
