import json
import pickle

import numpy as np
import pytest

from clinical_tl.display.table import SHOWN_ROWS, Table, format_table
from clinical_tl.errors import ConfigError

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


def test_a_table_is_its_rows_and_shows_them():
    table = Table(ROWS)
    assert table == ROWS
    assert repr(table) == str(table) == format_table(ROWS)
    assert json.loads(json.dumps(table)) == ROWS
    assert pickle.loads(pickle.dumps(Table(ROWS, names=["method"]))).names == {"method"}
    assert repr(Table()) == "no rows"
    assert "no rows" in Table()._repr_html_()


def test_a_long_table_shows_its_beginning_and_how_much_is_left():
    table = Table({"row": i} for i in range(SHOWN_ROWS + 1234))
    shown = repr(table).splitlines()
    assert len(shown) == 2 + SHOWN_ROWS + 1
    assert shown[-1] == "… and 1,234 more rows"
    assert table._repr_html_().count("<tr>") == 1 + SHOWN_ROWS
    assert "… and 1,234 more rows" in table._repr_html_()
    assert len(table.to_pandas()) == len(table)


def test_html_is_escaped_and_marks_numbers():
    html = Table([{"<b>": "<i> & co", "n": 0.5, "none": None}, {"n": float("nan")}])._repr_html_()
    assert "<b>" not in html
    assert "<i>" not in html
    assert "<th>&lt;b&gt;</th>" in html
    assert "<td>&lt;i&gt; &amp; co</td>" in html
    assert '<td class="number">0.500</td>' in html
    assert html.count('<td class="number">–</td>') == 2


def test_names_that_are_text_are_described_and_kept():
    text = "Seen for chest pain since Monday"
    table = Table([{"label": text, "why": "two words"}, {"label": None}], names=["label"])
    for shown in (repr(table), table._repr_html_()):
        assert "chest" not in shown
        assert "label of 32 characters" in shown
        assert "two words" in shown
    assert table.to_pandas()["label"][0] == table[0]["label"] == text
