import numpy as np
import pytest

from clinical_tl.errors import ConfigError
from clinical_tl.metrics.table import format_table

ROWS = [
    {"method": "TF-IDF", "f1": 0.51249, "notes": 20},
    {"method": "LoRA", "f1": None, "notes": 1200, "by": "us"},
]


def test_numbers_stand_right_and_words_left():
    assert format_table(ROWS) == "\n".join(
        [
            "method     f1  notes  by",
            "------  -----  -----  --",
            "TF-IDF  0.512     20",
            "LoRA        –   1200  us",
        ]
    )


def test_markdown_aligns_and_escapes():
    rows = [{"a|b": "x|y", "n": 1}]
    assert format_table(rows, style="markdown") == "\n".join(
        [
            "| a\\|b |   n |",
            "| ---- | --: |",
            "| x\\|y |   1 |",
        ]
    )


def test_columns_are_chosen_and_ordered():
    lines = format_table(ROWS, columns=["notes", "method"]).splitlines()
    assert lines[0].split() == ["notes", "method"]
    assert lines[2].split() == ["20", "TF-IDF"]


def test_digits_and_the_kinds_of_number():
    row = {"f": np.float32(0.25), "nan": float("nan"), "i": np.int64(7), "yes": True, "zero": 0.0}
    assert format_table([row], digits=1).splitlines()[-1].split() == [
        "0.2",
        "–",
        "7",
        "True",
        "0.0",
    ]
    assert format_table([row], digits=0, columns=["f"]).splitlines()[-1] == "0"


def test_line_breaks_do_not_break_the_table():
    assert len(format_table([{"a": "one\r\ntwo\nthree"}]).splitlines()) == 3


def test_no_rows():
    assert format_table([]) == ""
    assert format_table([], columns=["a", "b"]) == "a  b\n-  -"


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="allowed: text or markdown"):
        format_table(ROWS, style="html")
    with pytest.raises(ConfigError, match=r"no row has the columns \['recall'\]"):
        format_table(ROWS, columns=["recall"])
    with pytest.raises(ConfigError, match="digits -1"):
        format_table(ROWS, digits=-1)
