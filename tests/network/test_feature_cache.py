import pytest
import torch

from clinical_tl.data.notes import as_notes
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.feature_cache import FeatureCache
from clinical_tl.tasks import (
    DiagnosisCoding,
    EntityRecognition,
    NoteClassification,
    RelationExtraction,
)
from clinical_tl.text.batches import build_items, collate

TASKS = [NoteClassification, DiagnosisCoding, EntityRecognition, RelationExtraction]


@pytest.fixture(params=TASKS, ids=lambda task: task.kind)
def frozen(request, tiny_encoder, synthetic_notes):
    """A model with a frozen encoder, and one batch of its notes in two orders."""
    task = request.param.from_notes(synthetic_notes)
    model = TransferModel.from_pretrained(tiny_encoder, task, adapter="frozen", window=32)
    notes = as_notes(synthetic_notes)[:6]
    tokens = model.tokenizer.encode([note.text for note in notes])
    items = build_items(tokens, model.windowing, n_special=2, whole_notes=task.whole_notes)
    batches = [
        collate(order, tokens, model.tokenizer, model.windowing)
        for order in (items, items[::-1][:3])
    ]
    return model.network.eval(), batches


@torch.no_grad()
def test_the_cache_answers_as_the_encoder_does(frozen):
    network, batches = frozen
    cache = FeatureCache(network)
    for batch in (*batches, *batches):
        expected = network(batch).logits
        with cache.serving(batch):
            cached = network(batch).logits
        kept = batch.attention_mask.bool() if cached.shape[:2] == batch.input_ids.shape else ...
        torch.testing.assert_close(cached[kept], expected[kept], atol=1e-5, rtol=1e-4)
    assert len(cache) == len(batches[0].windows)


def test_gradients_reach_the_head_alone(frozen):
    network, (batch, _) = frozen
    with FeatureCache(network).serving(batch):
        network(batch).logits.sum().backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None}
    assert reached
    assert all(network.is_head(name) for name in reached)


def test_beyond_its_limit_it_steps_aside(frozen):
    network, (batch, _) = frozen
    cache = FeatureCache(network, limit=0)
    with cache.serving(batch):
        network(batch)
    assert len(cache) == 0
    assert "forward" not in vars(cache._encoder)
