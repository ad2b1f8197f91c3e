import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import ConfigError
from clinical_tl.text.windows import Windowing

WINDOWINGS = st.integers(8, 200).flatmap(
    lambda length: st.builds(Windowing, st.just(length), st.integers(0, length // 2 - 1))
)


@given(n=st.integers(0, 5000), windowing=WINDOWINGS, n_special=st.integers(0, 3))
def test_every_token_has_one_owner_and_no_window_is_too_long(n, windowing, n_special):
    windows = windowing.windows(n, n_special=n_special)
    owned = [t for w in windows for t in range(w.own_start, w.own_stop)]
    assert owned == list(range(n))
    for window in windows:
        assert len(window) + n_special <= windowing.length
        assert window.start <= window.own_start <= window.own_stop <= window.stop


@given(n=st.integers(0, 5000), windowing=WINDOWINGS)
def test_each_token_is_owned_where_it_has_most_context(n, windowing):
    windows = windowing.windows(n, n_special=2)

    def context(window, token):
        left = token - window.start if window.start else n
        right = window.stop - 1 - token if window.stop < n else n
        return min(left, right)

    for window in windows:
        for token in range(window.own_start, window.own_stop):
            holders = [w for w in windows if w.start <= token < w.stop]
            assert context(window, token) >= max(context(w, token) for w in holders) - 1


@given(n=st.integers(0, 5000), windowing=WINDOWINGS)
def test_windows_overlap_as_asked_and_are_as_few_and_short_as_that_allows(n, windowing):
    windows = windowing.windows(n, n_special=2)
    size = windowing.length - 2
    overlap = min(windowing.overlap, size // 2 - 1)
    for left, right in itertools.pairwise(windows):
        assert left.stop - right.start >= overlap
    if len(windows) > 1:
        assert size * (len(windows) - 1) - overlap * (len(windows) - 2) < n
        assert len({len(window) for window in windows}) == 1


def test_a_note_just_above_the_limit_gets_two_short_windows():
    windows = Windowing(512, 64).windows(600, n_special=2)
    assert [(w.start, w.stop, w.own_start, w.own_stop) for w in windows] == [
        (0, 332, 0, 300),
        (268, 600, 300, 600),
    ]


@pytest.mark.parametrize(("length", "overlap"), [(4, 0), (512, 256), (512, -1)])
def test_impossible_windows_are_refused(length, overlap):
    with pytest.raises(ConfigError, match="below half the length"):
        Windowing(length, overlap)
