"""One device policy for every way to get a model, with another device standing in for a GPU."""

import logging

import pytest
import torch
from accelerate import PartialState

from clinical_tl.errors import ConfigError
from clinical_tl.models.collection import load_many
from clinical_tl.models.feature_model import FeatureModel
from clinical_tl.models.loading import load
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network import device as devices
from clinical_tl.network.device import (
    batch_tokens_for,
    choose_device,
    has_native_bf16,
    reading_precision,
    resolve_precision,
)
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import Note
from clinical_tl.tasks.note_classification import NoteClassification

NOTES = [Note(str(i), f"Fever for {i} days.", label="xy"[i % 2]) for i in range(8)]
TASK = NoteClassification.from_notes(NOTES)
CPU, STAND_IN = torch.device("cpu"), torch.device("meta")


@pytest.fixture(scope="module")
def folders(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    TransferModel.from_pretrained(tiny_encoder, TASK).save_pretrained(folder / "lora")
    FeatureModel.fit(tiny_encoder, TASK, NOTES, folds=2, progress=False).save_pretrained(
        folder / "features"
    )
    return folder


def ways(encoder, folders, device):
    """Every way to get a model, and where it is then."""
    features = FeatureModel.load(folders / "features", device=device)
    loaded = load(folders / "lora", device=device)
    assert isinstance(loaded, TransferModel)
    return {
        "from_pretrained": TransferModel.from_pretrained(encoder, TASK, device=device).device,
        "TransferModel.load": TransferModel.load(folders / "lora", device=device).device,
        "load": loaded.device,
        "load_many": load_many([folders / "lora"], device=device)["lora"].device,
        "frozen": next(
            FrozenEncoder.from_pretrained(encoder, device=device).model.parameters()
        ).device,
        "features": next(features.encoder.model.parameters()).device,
    }


def test_every_way_to_get_a_model_uses_the_device_that_is_there(tiny_encoder, folders, monkeypatch):
    assert set(ways(tiny_encoder, folders, None).values()) == {CPU}
    monkeypatch.setattr(PartialState(), "device", STAND_IN)
    assert set(ways(tiny_encoder, folders, None).values()) == {STAND_IN}
    # What is asked for goes first.
    assert set(ways(tiny_encoder, folders, "cpu").values()) == {CPU}


def test_a_model_can_be_moved(folders):
    model = TransferModel.load(folders / "lora")
    assert model.to("meta").device == STAND_IN
    assert TransferModel.load(folders / "lora").to().device == CPU


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="device='cuda:99' is not there"):
        choose_device("cuda:99")
    with pytest.raises(ConfigError, match="device='gpu' is not there"):
        choose_device("gpu")


def test_so_much_is_read_at_once_as_the_device_likes():
    assert batch_tokens_for(CPU) == 1024
    assert batch_tokens_for(torch.device("cuda")) == 8192


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("fpu avx2 fma", False),
        ("avx512f avx512_bf16", True),
        ("amx_bf16 amx_tile", True),
        ("fp asimd bf16 i8mm", True),
        ("", False),
    ],
)
def test_bf16_is_chosen_by_the_processors_flags(flags, native, monkeypatch, caplog):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    monkeypatch.setattr(devices, "_cpu_flags", lambda: frozenset(flags.split()))
    devices._warn_emulated.cache_clear()
    assert has_native_bf16(CPU) is native
    assert resolve_precision("auto", CPU) == ("bf16" if native else "no")
    with caplog.at_level(logging.WARNING):
        assert resolve_precision("bf16", CPU) == "bf16"
        assert resolve_precision("bf16", CPU) == "bf16"
    assert caplog.text.count("11 times as long") == (0 if native else 1)


def test_auto_is_what_accelerate_was_told(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert resolve_precision("auto", CPU) == "bf16"
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert resolve_precision("auto", CPU) == "no"


def test_precisions_that_can_not_be_had_are_refused():
    with pytest.raises(ConfigError, match="fp16' needs a GPU"):
        resolve_precision("fp16", CPU)
    with pytest.raises(ConfigError, match="'no' or 'bf16'"):
        reading_precision("fp8", CPU)
