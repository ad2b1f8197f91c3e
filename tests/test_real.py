"""Training on a real corpus with the real encoder: minutes, run by `make real-tests`."""

import pytest

from clinical_tl.data.corpora import load_corpus
from clinical_tl.evaluation.baselines import memorised_mentions
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from tests.data.corpora import corpus


@pytest.mark.real
def test_lora_beats_memorised_mentions_with_200_abstracts(offline_encoder):
    corpus("ncbi_disease")
    splits = load_corpus("ncbi_disease")
    train = splits["train"].select(range(200))
    task = EntityRecognition.from_notes(train)
    memory = task.evaluate(splits["test"], memorised_mentions(train, splits["test"]))
    model = TransferModel.from_pretrained(offline_encoder, task)
    fit(model, train, splits["dev"], TrainingConfig(epochs=5, batch_tokens=1024))
    assert model.evaluate(splits["test"]).entities.f1 > memory.entities.f1 + 0.05
