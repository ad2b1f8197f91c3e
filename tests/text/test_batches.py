import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_tl.text.batches import (
    build_items,
    collate,
    plan_batches,
    plan_mixed_batches,
    split_batch,
)
from clinical_tl.text.tokenizer import NoteTokenizer, TokenisedNote
from clinical_tl.text.windows import Windowing
from tests.tiny_encoders import build_tokenizer

TOKENIZER = NoteTokenizer(build_tokenizer("wordpiece"))
WINDOWING = Windowing(32, 8)
LENGTHS = st.lists(st.integers(0, 150), min_size=1, max_size=40)


def notes_of(lengths):
    rng = np.random.default_rng(0)
    return [TokenisedNote(rng.integers(5, 100, n), np.arange(n), np.arange(n) + 1) for n in lengths]


@given(
    lengths=LENGTHS,
    budget=st.integers(1, 400),
    whole=st.booleans(),
    seed=st.none() | st.integers(0, 9),
)
def test_every_item_is_in_one_batch_and_budgets_hold(lengths, budget, whole, seed):
    items = build_items(notes_of(lengths), WINDOWING, n_special=2, whole_notes=whole)
    batches = plan_batches(items, budget=budget, n_special=2, seed=seed)
    assert sorted(p for batch in batches for p in batch) == list(range(len(items)))
    for batch in batches:
        rows = sum(len(items[p].windows) for p in batch)
        width = max(items[p].longest for p in batch) + 2
        assert rows * width <= budget or len(batch) == 1


def test_the_same_seed_gives_the_same_batches_and_another_seed_others():
    items = build_items(notes_of(range(60)), WINDOWING, n_special=2, whole_notes=False)
    first, again, other = (
        plan_batches(items, budget=100, n_special=2, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


@given(lengths=LENGTHS, budget=st.integers(1, 400), seed=st.integers(0, 9))
def test_mixed_batches_hold_every_item_once_within_the_budget(lengths, budget, seed):
    items = build_items(notes_of(lengths), WINDOWING, n_special=2, whole_notes=True)
    batches = plan_mixed_batches(items, budget=budget, n_special=2, seed=seed)
    assert sorted(p for batch in batches for p in batch) == list(range(len(items)))
    for batch in batches:
        tokens = sum(len(w) + 2 for p in batch for w in items[p].windows)
        assert batch
        assert tokens <= budget or len(batch) == 1


def test_mixed_batches_do_not_sort_notes_by_length():
    items = build_items(notes_of([3] * 200 + [25] * 200), WINDOWING, n_special=2, whole_notes=True)
    batches = plan_mixed_batches(items, budget=400, n_special=2, seed=0)
    both = [batch for batch in batches if min(batch) < 200 <= max(batch)]
    assert len(both) >= len(batches) - 1


def test_sorting_by_length_leaves_little_padding():
    lengths = np.random.default_rng(0).integers(1, 30, 500)
    items = build_items(notes_of(lengths), WINDOWING, n_special=2, whole_notes=False)
    padded = sum(
        len(batch) * (max(items[p].longest for p in batch) + 2)
        for batch in plan_batches(items, budget=256, n_special=2, seed=0)
    )
    assert (lengths.sum() + 2 * 500) / padded > 0.85


@given(lengths=LENGTHS, parts=st.integers(1, 5))
def test_shares_hold_the_batch_once_and_are_balanced(lengths, parts):
    items = build_items(notes_of(lengths), WINDOWING, n_special=2, whole_notes=True)
    shares = split_batch(items, range(len(items)), parts)
    assert sorted(p for share in shares for p in share) == list(range(len(items)))
    costs = [sum(sum(len(w) for w in items[p].windows) + 1 for p in share) for share in shares]
    assert max(costs) - min(costs) <= max(sum(len(w) for w in item.windows) + 1 for item in items)


@given(lengths=LENGTHS, whole=st.booleans())
@settings(deadline=None)
def test_collation_puts_each_token_where_it_is_owned(lengths, whole):
    notes = notes_of(lengths)
    items = build_items(notes, WINDOWING, n_special=2, whole_notes=whole)
    batch = collate(items, notes, TOKENIZER, WINDOWING, multiple_of=4)
    assert batch.input_ids.shape[1] % 4 == 0
    assert torch.equal(batch.owned & (batch.attention_mask == 0), torch.zeros_like(batch.owned))
    for position, note in enumerate(batch.notes):
        rows = batch.note_index == position
        owned = batch.input_ids[rows][batch.owned[rows]]
        assert owned.tolist() == notes[note].ids.tolist()
    specials = batch.attention_mask.sum(dim=1) - torch.tensor([len(w) for w in batch.windows])
    assert set(specials.tolist()) == {2}


def test_an_impossible_budget_is_refused():
    with pytest.raises(ValueError, match="at least 1 token"):
        plan_batches([], budget=0, n_special=2)
