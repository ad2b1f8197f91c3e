"""The whole path on a GPU, in the precisions that it computes; skipped where there is none.

`make gpu-check` runs these.
"""

import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.data.splits import split_notes
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.models.collection import load_many
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.device import has_native_bf16
from clinical_tl.network.lora import LoRA
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.training.source_weights import weights_digest
from clinical_tl.transfer.domain_adaptation import adapt_encoder

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]
TASKS = (NoteClassification, DiagnosisCoding, EntityRecognition)


@pytest.fixture(scope="module")
def splits():
    return split_notes(generate_notes(120, seed=1), {"train": 0.6, "dev": 0.2, "test": 0.2})


def trained(encoder, task, splits, **settings):
    model = TransferModel.from_pretrained(encoder, task.from_notes(splits["train"]))
    result = fit(
        model, splits["train"], splits["dev"], TrainingConfig(epochs=2, progress=False, **settings)
    )
    return model, result


@pytest.mark.parametrize("task", TASKS)
def test_from_training_to_a_loaded_model(offline_encoder, task, splits, tmp_path, monkeypatch):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    model, result = trained(offline_encoder, task, splits, output_dir=tmp_path / "run")
    assert model.device.type == result.device == "cuda"
    native = has_native_bf16(model.device)
    assert result.precision == ("bf16" if native else "no")
    expected = model.predict(splits["test"], progress=False)
    model.evaluate(splits["test"], progress=False)
    model.save_pretrained(tmp_path / "model")
    loaded = TransferModel.load(tmp_path / "model")
    assert loaded.device.type == "cuda"
    assert loaded.predict(splits["test"], progress=False) == expected
    assert load_many([tmp_path / "model"])["model"].device.type == "cuda"
    assert TransferModel.load(tmp_path / "model", device="cpu").device.type == "cpu"


@pytest.mark.parametrize("precision", ["no", "fp16", "bf16"])
def test_every_precision_trains(offline_encoder, splits, precision):
    _, result = trained(offline_encoder, NoteClassification, splits, precision=precision)
    assert result.precision == precision
    losses = [epoch.loss for epoch in result.epochs]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_bits(offline_encoder, task, splits):
    ends = [
        weights_digest(trained(offline_encoder, task, splits, precision="no")[0].network)
        for _ in range(2)
    ]
    assert ends[0] == ends[1]


def test_it_trains_where_it_was_put(offline_encoder, splits):
    task = NoteClassification.from_notes(splits["train"])
    model = TransferModel.from_pretrained(offline_encoder, task, adapter=LoRA(r=4), device="cpu")
    result = fit(model, splits["train"], None, TrainingConfig(epochs=1, progress=False))
    assert model.device.type == result.device == "cpu"


def test_an_encoder_is_adapted_on_it(offline_encoder, splits, tmp_path):
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    config = TrainingConfig(epochs=1, patience=None, progress=False)
    adapt_encoder(offline_encoder, splits["train"]["text"], tmp_path / "adapted", config=config)
    # Ninety megabytes of weights alone.
    assert torch.cuda.max_memory_allocated() > before + 50_000_000


def test_frozen_features_are_read_on_it(offline_encoder, splits):
    task = NoteClassification.from_notes(splits["train"])
    model = FeatureModel.fit(offline_encoder, task, splits["train"], folds=2, progress=False)
    assert next(model.encoder.model.parameters()).is_cuda
    assert len(model.predict(as_notes(splits["test"]), progress=False)) == len(splits["test"])
