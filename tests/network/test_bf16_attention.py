import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from clinical_tl import NoteClassification, TransferModel, fit
from clinical_tl.network import bf16_attention as module
from clinical_tl.network.bf16_attention import LONGEST, bf16_attention
from clinical_tl.training.config import TrainingConfig


def states(*shape, dtype=torch.bfloat16):
    torch.manual_seed(0)
    return [torch.randn(*shape).to(dtype).requires_grad_() for _ in range(3)]


def attended(query, key, value, mask=None, **settings):
    owner = torch.nn.Module()
    owner.is_causal = settings.pop("causal", False)
    return module._attention(owner, query, key, value, mask, **settings)[0]


def implementations(model):
    return {
        m.config._attn_implementation
        for m in model.network.modules()
        if isinstance(m, PreTrainedModel)
    }


@pytest.fixture
def counted(monkeypatch):
    """How often products were computed rather than torch's attention."""
    found = []
    real = module._PRODUCTS
    monkeypatch.setattr(module, "_PRODUCTS", lambda *given: found.append(1) or real(*given))
    return found


@pytest.mark.parametrize("masked", [False, True])
def test_values_and_gradients_are_those_of_exact_attention_up_to_rounding(masked, counted):
    own = states(3, 4, 50, 16)
    mask = torch.rand(3, 1, 50, 50) > 0.4 if masked else None
    exact = [state.detach().float().requires_grad_() for state in own]
    wanted = scaled_dot_product_attention(*exact, attn_mask=mask).transpose(1, 2)
    pull = torch.randn_like(wanted)
    wanted.backward(pull)
    found = attended(*own, mask)
    found.backward(pull.bfloat16())
    assert counted
    assert (found.float() - wanted).abs().mean() < 0.004 * wanted.abs().mean() + 1e-3
    for ours, theirs in zip(own, exact, strict=True):
        assert (ours.grad.float() - theirs.grad).abs().mean() < 0.02 * theirs.grad.abs().mean()


def test_hidden_tokens_say_nothing():
    query, key, value = states(2, 2, 8, 4)
    mask = torch.ones(2, 1, 8, 8, dtype=torch.bool)
    mask[:, :, :, 5:] = False
    before = attended(query, key, value, mask)
    with torch.no_grad():
        key[:, :, 5:] += 9
        value[:, :, 5:] += 9
    assert torch.equal(attended(query, key, value, mask), before)


@pytest.mark.parametrize(
    ("dtype", "tokens", "settings"),
    [
        (torch.float32, 20, {}),
        (torch.bfloat16, LONGEST + 1, {}),
        (torch.bfloat16, 20, {"dropout": 0.1}),
        (torch.bfloat16, 20, {"causal": True}),
        (torch.bfloat16, 20, {"is_causal": True}),
    ],
)
def test_what_it_is_not_for_goes_to_torch(dtype, tokens, settings, counted):
    attended(*states(1, 2, tokens, 8, dtype=dtype), **settings)
    assert not counted


def test_a_sink_of_an_architecture_goes_to_torch(counted):
    """Such a tensor is asked for by its being there: it is neither true nor false."""
    attended(*states(1, 2, 20, 8), s_aux=torch.zeros(2))
    assert not counted


def test_reading_goes_to_torch(counted):
    with torch.no_grad():
        attended(*states(1, 2, 20, 8))
    assert not counted


def test_a_model_has_it_in_bf16_training_only(tiny_encoder, synthetic_notes, counted):
    notes = synthetic_notes.select(range(8))
    model = TransferModel.from_pretrained(tiny_encoder, NoteClassification.from_notes(notes))
    before = implementations(model)
    for precision, used in (("no", False), ("bf16", True)):
        config = TrainingConfig(epochs=1, precision=precision, progress=False)
        fit(model, notes, config=config)
        assert bool(counted) == used
        assert implementations(model) == before == {"sdpa"}


def test_it_is_taken_back_after_an_error(tiny_encoder, synthetic_notes):
    notes = synthetic_notes.select(range(8))
    model = TransferModel.from_pretrained(tiny_encoder, NoteClassification.from_notes(notes))
    with pytest.raises(ZeroDivisionError), bf16_attention(model.network):
        assert implementations(model) == {module.NAME}
        _ = 1 / 0
    assert implementations(model) == {"sdpa"}
