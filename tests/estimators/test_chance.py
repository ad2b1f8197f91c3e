from itertools import permutations

import numpy as np
import pytest

from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.estimators.chance import by_chance, clearly, luck


def gap(source, target):
    return [sum(target) / len(target) - sum(source) / len(source), len(source)]


def test_deals_keep_sizes_and_average_out():
    means = by_chance(gap, [0.0] * 30, [1.0] * 20, deals=300, seed=0)
    # The pooled mean is 0.4 on both sides; dealt apart as given, the gap would be 1.
    assert means[0] == pytest.approx(0, abs=0.03)
    assert means[1] == 30


def test_every_deal_uses_every_note_once():
    seen = []
    by_chance(lambda a, b: [seen.append((*a, *b)) or 0.0], [1, 2], [3], deals=20, seed=1)
    assert set(seen) <= set(permutations([1, 2, 3]))
    assert len(set(seen)) > 3


def test_the_same_seed_deals_the_same():
    source, target = list(range(10)), list(range(50, 60))
    assert (
        by_chance(gap, source, target, seed=3).tolist()
        == by_chance(gap, source, target, seed=3).tolist()
    )
    assert by_chance(gap, source, target, seed=3)[0] != by_chance(gap, source, target, seed=4)[0]


def test_misuse_is_refused():
    with pytest.raises(NoteError, match="0 source and 1 target"):
        by_chance(gap, [], [1], seed=0)
    with pytest.raises(ConfigError, match="deals=0"):
        by_chance(gap, [1], [1], deals=0, seed=0)


@pytest.mark.parametrize("choices", [2, 5, 20])
def test_the_best_of_equal_choices_seldom_looks_better_than_luck(choices):
    """Right answers of equally good choices on 100 notes, the hardest case: one in two right."""
    found = np.random.default_rng(0).binomial(100, 0.5, (2000, choices)) / 100
    ahead = found.max(axis=1) - 0.5
    assert ahead.mean() < luck(100, choices) < ahead.mean() + clearly(100)


def test_one_choice_has_no_luck():
    assert luck(100, 1) == 0
