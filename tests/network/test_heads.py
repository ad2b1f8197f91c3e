"""Heads of our own: for encoders that transformers has no head for, and one made in a test."""

from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from clinical_tl.errors import EncoderError
from clinical_tl.integrations.onnx_export import export_onnx
from clinical_tl.models.onnx_model import OnnxModel
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.encoder import find_encoder, load_config
from clinical_tl.network.heads import (
    Head,
    LabelAttentionHead,
    LinearSequenceHead,
    LinearTokenHead,
    NetworkOutput,
    SequenceHead,
    TokenHead,
)
from clinical_tl.network.lora import LoRA
from clinical_tl.network.network import build_network
from clinical_tl.network.weights import HEAD_FILE
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.entity_recognition import EntityRecognition
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.text.tokenizer import NoteTokenizer
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from tests.tiny_encoders import write_encoder

NOTES = [
    Note(
        str(i),
        f"seen for {word} again and again",
        label=word,
        spans=(Span(9, 9 + len(word), "Problem"),),
    )
    for i, word in enumerate(["fever", "cough"] * 6)
]
CONFIG = TrainingConfig(epochs=2, batch_tokens=128, progress=False)


@pytest.fixture(scope="module", params=["bert-generation", "olmo2"])
def headless(request, tmp_path_factory):
    """An encoder without a token head (OLMo 2), and one without any (BertGeneration)."""
    return readable(write_encoder(tmp_path_factory.mktemp(request.param), request.param))


def readable(folder):
    """The folder; older versions of transformers don't find BertGeneration's fast tokenizer."""
    try:
        NoteTokenizer.from_pretrained(folder)
    except EncoderError:
        pytest.skip("this version of transformers reads no tokenizer for it")
    return folder


def test_what_transformers_has_is_taken_and_the_rest_is_made_here(headless, tiny_encoder):
    config = load_config(find_encoder(headless))
    assert type(TokenHead(("O", "B-x")).fitted(config)) is LinearTokenHead
    own = type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    found = SequenceHead(("a", "b"), multi_label=True).fitted(config)
    assert type(found) is (LinearSequenceHead if own else SequenceHead)
    assert (found.outputs, found.multi_label) == (("a", "b"), True)
    stock = load_config(find_encoder(tiny_encoder))
    assert type(TokenHead(("O",)).fitted(stock)) is TokenHead
    assert LabelAttentionHead(("a",)).fitted(config) == LabelAttentionHead(("a",))


@pytest.mark.parametrize("adapter", [LoRA(r=2), "full", "frozen"], ids=["lora", "full", "frozen"])
@pytest.mark.parametrize("task", [EntityRecognition, NoteClassification])
def test_an_encoder_without_a_head_is_trained_saved_and_loaded(headless, task, adapter, tmp_path):
    model = TransferModel.from_pretrained(
        headless, task.from_notes(NOTES), adapter=adapter, window=24
    )
    fit(model, NOTES, config=CONFIG)
    folder = model.save_pretrained(tmp_path / "model")
    own = model.network.spec.auto_class is None
    assert (folder / HEAD_FILE).exists() == own
    loaded = TransferModel.load(folder)
    assert type(loaded.network.spec) is type(model.network.spec)
    assert loaded.predict(NOTES, progress=False) == model.predict(NOTES, progress=False)
    card = (folder / "README.md").read_text()
    assert ("other libraries can't load it" in card) == own


def test_training_moves_the_head_that_is_made_here(headless):
    model = TransferModel.from_pretrained(headless, EntityRecognition.from_notes(NOTES), window=24)
    before = {name: p.clone() for name, p in model.network.head.named_parameters()}
    fit(model, NOTES, config=CONFIG)
    names = [name for name in model.network.trainable() if model.network.is_head(name)]
    assert names == [f"head.{name}" for name in before]
    assert all(not torch.equal(p, before[n]) for n, p in model.network.head.named_parameters())


def test_a_head_that_is_made_here_is_exported(tmp_path):
    encoder = readable(write_encoder(tmp_path / "encoder", "bert-generation"))
    model = TransferModel.from_pretrained(encoder, EntityRecognition.from_notes(NOTES), window=24)
    fit(model, NOTES, config=CONFIG)
    report = export_onnx(model, tmp_path / "graph", check=NOTES)
    assert report.changed_notes == 0
    exported = OnnxModel.load(tmp_path / "graph").predict(NOTES)
    assert [[s.key for s in p.spans] for p in exported] == [
        [s.key for s in p.spans] for p in model.predict(NOTES, progress=False)
    ]


@dataclass(frozen=True)
class PairHead(Head):
    """First and last token's states side by side: a head that nothing in the package knows."""

    def module(self, model):
        width = model.config.hidden_size
        return torch.nn.Linear(2 * width, len(self.outputs))

    def forward(self, network, batch, read):
        states = read("last_hidden_state")
        last = batch.attention_mask.sum(dim=1) - 1
        at = last[:, None, None].expand(-1, 1, states.shape[-1])
        ends = torch.cat([states[:, 0], states.gather(1, at)[:, 0]], dim=1)
        return NetworkOutput(network.head(ends))


@dataclass(frozen=True)
class PairedClassification(NoteClassification):
    kind = "paired_classification"

    @property
    def head_spec(self):
        return PairHead(self.labels.names)


def test_a_new_head_is_one_class(tiny_encoder, tmp_path):
    task = PairedClassification.from_notes(NOTES)
    model = TransferModel.from_pretrained(tiny_encoder, task, window=24)
    fit(model, NOTES, config=CONFIG)
    folder = model.save_pretrained(tmp_path / "model")
    assert set(load_file(folder / HEAD_FILE)) == {"weight", "bias"}
    loaded = TransferModel.load(folder)
    assert type(loaded.task) is PairedClassification
    assert loaded.predict(NOTES, progress=False) == model.predict(NOTES, progress=False)
    export_onnx(model, tmp_path / "graph")
    exported = OnnxModel.load(tmp_path / "graph").predict(NOTES)
    assert [p.label for p in exported] == [p.label for p in model.predict(NOTES, progress=False)]


def test_a_prior_sets_the_biases_of_a_head_that_is_made_here(headless):
    head = LabelAttentionHead(("a", "b"), multi_label=True, prior=(0.25, 0.5))
    network = build_network(find_encoder(headless), head, LoRA(r=2))
    expected = torch.logit(torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(network.head.classifiers.bias.detach(), expected)
