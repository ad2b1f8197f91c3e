"""What a head reads of a window, by hand; and which of it is advised for an encoder."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.encoder import find_encoder
from clinical_tl.network.heads import LinearSequenceHead
from clinical_tl.network.structure import base_model
from clinical_tl.network.token_pooling import advised_pooling
from clinical_tl.schema import Note
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.text.batches import WindowedNotes
from tests.tiny_encoders import write_encoder

TEXTS = ["fever", "seen for cough again and again and again", "no rash on the arm"]
NOTES = [Note(str(i), text, label="ab"[i % 2]) for i, text in enumerate(TEXTS)]


@pytest.fixture
def encoder(tmp_path):
    return write_encoder(tmp_path / "encoder", "bert")


def says(folder, **modes):
    """As sentence-transformers saves a model."""
    kind = "sentence_transformers.models.Pooling"
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": kind},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    settings = {"word_embedding_dimension": 32, **modes}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("modes", "advised"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        # What is read at once no head here reads: the pooler that came with weights is left.
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "stock"),
        ({"pooling_mode_weightedmean_tokens": True}, "stock"),
    ],
)
def test_what_the_folder_says_is_advised(encoder, modes, advised):
    says(encoder, **modes)
    assert advised_pooling(find_encoder(encoder)) == advised
    task = NoteClassification.from_notes(NOTES)
    assert task.on_encoder(find_encoder(encoder)).pooling == advised
    given = NoteClassification.from_notes(NOTES, pooling="max")
    assert given.on_encoder(find_encoder(encoder)) == given


def test_else_a_pooler_that_is_trained_and_else_the_mean(encoder):
    assert advised_pooling(find_encoder(encoder)) == "stock"
    (encoder / "modules.json").write_text("[{")
    assert advised_pooling(find_encoder(encoder)) == "stock"
    file = encoder / "model.safetensors"
    tensors = {n: t for n, t in load_file(file).items() if not n.startswith("pooler.")}
    save_file(tensors, file, metadata={"format": "pt"})
    assert advised_pooling(find_encoder(encoder)) == "mean"


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_a_head_reads_the_tokens_that_are_there(tiny_encoder, pooling):
    task = NoteClassification.from_notes(NOTES, pooling=pooling)
    model = TransferModel.from_pretrained(tiny_encoder, task, window=48)
    assert model.network.spec == LinearSequenceHead(("a", "b"), pooling=pooling)
    model.network.eval()
    tokens = model.tokenizer.encode(TEXTS)
    windows = WindowedNotes.of(tokens, model.tokenizer, model.windowing, whole_notes=True)
    (batch,) = windows.batches(1000)
    assert not batch.attention_mask.all()
    layer = model.network.spec.output_layer(model.network)
    with torch.inference_mode():
        found = model.network(batch).logits
        read = base_model(model.network.model)(batch.input_ids, batch.attention_mask)
        for row, states, mask in zip(
            found, read.last_hidden_state, batch.attention_mask.bool(), strict=True
        ):
            own = states[mask]
            pooled = {"mean": own.mean(dim=0), "max": own.amax(dim=0), "cls": own[0]}[pooling]
            torch.testing.assert_close(row, layer(pooled), atol=1e-5, rtol=1e-5)
