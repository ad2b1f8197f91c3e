"""Every supported architecture: adapters where they belong, a step that trains, save and load."""

import re
from pathlib import Path

import peft
import pytest
import torch

from clinical_tl.errors import ConfigError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.dropout import dropout
from clinical_tl.network.encoder import find_encoder
from clinical_tl.network.heads import SequenceHead, TokenHead
from clinical_tl.network.lora import LoRA
from clinical_tl.network.network import build_network
from clinical_tl.network.structure import head_modules, is_peft
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from tests.tiny_encoders import CONFIGS, write_encoder

NOTES = [
    Note(
        "a", "Fever and cough for days. " * 8, label="x", codes=("I10",), spans=(Span(0, 5, "P"),)
    ),
    Note("b", "Chest pain, no fever.", label="y", codes=("J18.9",), spans=(Span(0, 10, "P"),)),
]
TASKS = {
    "sequence": NoteClassification.from_notes(NOTES),
    "label_attention": DiagnosisCoding.from_notes(NOTES),
    "token": EntityRecognition.from_notes(NOTES),
}


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def encoder(request, tmp_path_factory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoder"), request.param)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_a_step_trains_adapter_and_head_and_reload_predicts_the_same(encoder, task, tmp_path):
    model = TransferModel.from_pretrained(encoder, task, adapter=LoRA(r=2), window=32, overlap=8)
    before = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    fit(model, NOTES, config=TrainingConfig(epochs=2, warmup=0, progress=False))
    moved = {
        name for name, p in model.network.named_parameters() if not torch.equal(p, before[name])
    }
    trainable = set(model.network.trainable())
    assert moved <= trainable
    adapted = {n for n in trainable if "lora_B" in n}
    # A Longformer's local attention does not reach the first token in the last block.
    unread = {n for n in adapted if "longformer.encoder.layer.1.attention.self." in n}
    assert adapted - unread <= moved
    assert not unread or moved & unread
    assert any(model.network.is_head(name) for name in moved)
    assert any("lora_" in name for name in trainable)
    expected = model.predict(NOTES)
    model.save_pretrained(tmp_path / "model")
    assert TransferModel.load(tmp_path / "model").predict(NOTES) == expected


@pytest.mark.parametrize(
    "adapter",
    ["full", "frozen", peft.IA3Config(target_modules=["query"], feedforward_modules=[])],
    ids=["full", "frozen", "ia3"],
)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_other_adapters_train_and_reload(tiny_encoder, task, adapter, tmp_path):
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter=adapter, window=32, overlap=8)
    fit(model, NOTES, config=TrainingConfig(epochs=2, warmup=0, progress=False))
    expected = model.predict(NOTES)
    model.save_pretrained(tmp_path / "model")
    loaded = TransferModel.load(tmp_path / "model")
    assert loaded.predict(NOTES) == expected
    assert loaded.trainable_parameters == model.trainable_parameters


def test_a_frozen_encoder_stays_as_it_is_and_is_read_to_start_the_head_and_once_to_train(
    tiny_encoder, monkeypatch
):
    task = TASKS["sequence"]
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter="frozen")
    encoder = model.network.model.bert
    before = [p.clone() for p in encoder.encoder.parameters()]
    calls = []
    monkeypatch.setattr(
        type(encoder.encoder), "forward", _counting(type(encoder.encoder).forward, calls)
    )
    fit(model, NOTES, config=TrainingConfig(epochs=5, progress=False))
    assert len(calls) == 2
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.encoder.parameters(), strict=True))


def _counting(forward, calls):
    def counted(*arguments, **keywords):
        calls.append(1)
        return forward(*arguments, **keywords)

    return counted


def test_lora_goes_into_all_linear_layers_of_the_blocks_and_nowhere_else(encoder):
    source = find_encoder(encoder)
    network = build_network(source, SequenceHead(("x", "y")), LoRA(r=2))
    adapted = {n.split(".lora_A")[0] for n in network.trainable() if "lora_A" in n}
    places = [re.fullmatch(r"(.*layers?\.\d+)\.(.*)", name) for name in adapted]
    assert places
    assert all(places)
    inner = network.model.get_base_model()
    # ALBERT's blocks share their weights.
    blocks = {place[1] for place in places}
    assert len(blocks) == (1 if "albert" in str(sorted(blocks)) else 2)
    per_block = {place[2] for place in places}
    assert len(adapted) == len(blocks) * len(per_block)
    assert not any("pos_" in name for name in per_block)
    assert not any(module in name for name in adapted for module in head_modules(inner))


def test_lora_can_be_limited_to_blocks_and_to_attention(tiny_encoder):
    source = find_encoder(tiny_encoder)
    adapter = LoRA(r=2, targets="attention", layers=(1,))
    network = build_network(source, TokenHead(("O", "B-x")), adapter)
    adapted = [n for n in network.trainable() if "lora_A" in n]
    assert len(adapted) == 4
    assert all("layer.1.attention" in n for n in adapted)


def test_the_same_seed_gives_the_same_new_weights(tiny_encoder):
    source, head = find_encoder(tiny_encoder), SequenceHead(("x", "y"))
    first, again, other = (
        dict(build_network(source, head, LoRA(), seed=seed).trainable()) for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert any(not torch.equal(first[n], other[n]) for n in first)


def test_layers_that_are_not_there_are_named(tiny_encoder):
    with pytest.raises(ConfigError, match="numbered 0 to 1"):
        build_network(find_encoder(tiny_encoder), SequenceHead(("x",)), LoRA(layers=(7,)))


def test_prompt_learning_is_refused(tiny_encoder):
    with pytest.raises(ConfigError, match="virtual tokens"):
        build_network(
            find_encoder(tiny_encoder),
            TokenHead(("O", "B-x")),
            peft.PromptTuningConfig(num_virtual_tokens=4),
        )


def test_dropout_is_really_set(encoder):
    """With all rates 0 training mode is deterministic; with attention dropout alone it is not."""
    network = build_network(find_encoder(encoder), SequenceHead(("x", "y")), "full")
    ids = torch.randint(5, 200, (2, 24), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    network.train()

    def outputs():
        with torch.no_grad():
            return network.model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state

    own = {name: m.p for name, m in network.named_modules() if isinstance(m, torch.nn.Dropout)}
    if not own:
        pytest.skip("this architecture drops attention alone")
    with dropout(network, hidden=0.0, attention=0.0):
        assert torch.equal(outputs(), outputs())
    with dropout(network, hidden=0.0, attention=0.5):
        assert not torch.equal(outputs(), outputs())
    with dropout(network, hidden=0.5, attention=0.0):
        assert not torch.equal(outputs(), outputs())
    # Another training starts from the encoder's own rates.
    after = {name: m.p for name, m in network.named_modules() if isinstance(m, torch.nn.Dropout)}
    assert after == own


def test_random_weights_on_request(tiny_encoder):
    source, head = find_encoder(tiny_encoder), SequenceHead(("x", "y"))
    pretrained = build_network(source, head, "full")
    random = build_network(source, head, "full", pretrained=False, seed=5)
    name = "model.bert.embeddings.word_embeddings.weight"
    assert not torch.equal(pretrained.get_parameter(name), random.get_parameter(name))
    assert is_peft(build_network(source, head, LoRA()).model)
