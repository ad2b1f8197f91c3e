import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.text.visible import has_text


@pytest.mark.parametrize(
    "text",
    ["", " \n\t", "\u200b", "\ufeff", "\u00a0", "\u00ad", "\u2060\u200d", "\x00\x07", "\u2028",
     "\u0301", "\u3164", "\u2800", "\ufffc", "\U000e0041"],
)  # fmt: skip
def test_what_nobody_sees_is_no_text(text):
    assert not has_text(text)
    assert not has_text(text * 3 + " ")
    assert has_text(text + "a")


@pytest.mark.parametrize("text", ["a", ".", "5", "肺", "é", "e\u0301", "🩺", "_", "ا"])
def test_what_somebody_sees_is(text):
    assert has_text(text)


@given(st.text())
def test_whatever_strip_calls_blank_is_no_text(text):
    assert not has_text(
        "".join(c for c in text if not c.strip() or unicodedata.category(c) == "Cf")
    )
