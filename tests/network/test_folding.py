"""LoRA folded into a copy: near the unfolded answers, and never saved."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.folding import _state, folded
from clinical_tl.network.lora import LoRA
from clinical_tl.schema import Note
from clinical_tl.tasks.note_classification import NoteClassification

NOTES = [Note(str(i), f"Fever for {i} days, no cough.", label="xy"[i % 2]) for i in range(6)]


def trained(encoder, adapter):
    model = TransferModel.from_pretrained(
        encoder, NoteClassification.from_notes(NOTES), adapter=adapter
    )
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    return model


def unfolded(model):
    return list(model.reader.predict(NOTES, fold=False))


@pytest.mark.parametrize("adapter", [LoRA(r=4), LoRA(r=4, layers=(1,)), LoRA(r=4, rslora=True)])
def test_folded_predictions_are_those_of_the_adapter(tiny_encoder, adapter):
    model = trained(tiny_encoder, adapter)
    weights = copy.deepcopy(model.network.state_dict())
    found = model.predict(NOTES, progress=False)
    for one, other in zip(found, unfolded(model), strict=True):
        np.testing.assert_allclose(one.scores.array, other.scores.array, atol=1e-4)
    assert folded(model.network) is not model.network
    # Nothing of the model itself has moved.
    for name, weight in model.network.state_dict().items():
        assert torch.equal(weight, weights[name])


def test_the_copy_shares_what_no_adapter_changes(tiny_encoder):
    model = trained(tiny_encoder, LoRA(r=4, layers=(1,)))
    own = {p.data_ptr() for p in model.network.parameters()}
    apart = [n for n, p in folded(model.network).named_parameters() if p.data_ptr() not in own]
    assert len(apart) == 12
    assert all("layer.1." in name for name in apart)


def test_a_trained_weight_makes_the_copy_anew(tiny_encoder):
    model = trained(tiny_encoder, LoRA(r=4))
    before = model.predict(NOTES, progress=False)
    assert folded(model.network) is folded(model.network)
    for name, weight in model.network.named_parameters():
        if "lora_B" in name:
            weight.data *= 3
    after = model.predict(NOTES, progress=False)
    assert [dict(p.scores) for p in after] != [dict(p.scores) for p in before]
    for one, other in zip(after, unfolded(model), strict=True):
        np.testing.assert_allclose(one.scores.array, other.scores.array, atol=1e-4)


def test_a_model_that_is_moved_is_folded_where_it_is(tiny_encoder):
    model = trained(tiny_encoder, LoRA(r=4))
    model.predict(NOTES, progress=False)
    model.to("meta")
    assert {p.device.type for p in folded(model.network).parameters()} == {"meta"}
    # From a CPU to a GPU a weight stays the object it was.
    weight = SimpleNamespace(device=torch.device("cpu"), is_meta=True)
    before = _state(("weight", weight))
    weight.device = torch.device("cuda")
    assert _state(("weight", weight)) != before


@pytest.mark.parametrize("adapter", ["full", "frozen", LoRA(r=4, dora=True)], ids=str)
def test_what_can_not_be_folded_is_read_as_it_is(tiny_encoder, adapter):
    network = trained(tiny_encoder, adapter).network
    assert folded(network) is network


def test_a_reloaded_model_predicts_the_same_to_the_bit(tiny_encoder, tmp_path, synthetic_notes):
    model = trained(tiny_encoder, LoRA(r=4))
    notes = as_notes(synthetic_notes)
    expected = model.predict(notes, progress=False)
    model.save_pretrained(tmp_path / "model")
    assert TransferModel.load(tmp_path / "model").predict(notes, progress=False) == expected
