"""Four adapters over one encoder against four predictions in turn; prints ratios.

Run with `make bench`. Synthetic notes, the offline encoder, fp32, medians of the rounds.
"""

from __future__ import annotations

import pytest

from clinical_tl.data.synthetic import generate_notes
from clinical_tl.models.collection import ModelCollection
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.lora import LoRA
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from tests.benchmarks.test_speed import interleaved, report


@pytest.mark.benchmark
@pytest.mark.parametrize("layers", [None, (4, 5)], ids=["every block", "the upper two of six"])
def test_four_adapters_against_four_predictions(offline_encoder, layers):
    notes = generate_notes(16, seed=0, words=(20, 200))
    tasks = {
        "section": NoteClassification.from_notes(notes),
        "entities": EntityRecognition.from_notes(notes),
        "codes": DiagnosisCoding.from_notes(notes, describe_labels=False),
        "linear": DiagnosisCoding.from_notes(notes, head="linear"),
    }

    def build() -> dict[str, TransferModel]:
        lora = LoRA(r=8, layers=layers)
        return {
            name: TransferModel.from_pretrained(offline_encoder, task, adapter=lora)
            for name, task in tasks.items()
        }

    apart, together = build(), ModelCollection(build())
    times = interleaved(
        lambda: together.predict(notes, progress=False),
        lambda: [model.predict(notes, progress=False) for model in apart.values()],
    )
    blocks = "every block" if layers is None else f"blocks {layers}"
    report(f"four adapters on {blocks}, 16 notes, against four predictions", *times)
    numbers = sum(p.numel() for m in apart.values() for p in m.network.parameters())
    print(f"numbers in memory: {together.n_parameters:,} against {numbers:,}")
