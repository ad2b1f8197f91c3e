"""Notes that are in memory already: lists of notes or dicts, data frames."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note, Span

SECRET = "Zebulon"


def test_notes_and_dicts_are_read_alike():
    record = {"note_id": 7, "text": "asthma", "spans": [{"start": 0, "end": 6, "label": "D"}]}
    note = Note("8", "asthma", spans=(Span(0, 6, "D"),))
    notes = list(read_notes([record, note]))
    assert notes == [Note("7", "asthma", spans=note.spans), note]


def test_a_frame_with_columns_of_its_own():
    frame = pd.DataFrame(
        {
            "ID": [1, 2],
            "body": ["fever", "cough"],
            "label": ["a", None],
            "codes": [np.array(["I10", "E11.9"]), None],
            "age": [61.5, np.nan],
        },
        index=["x", "y"],
    )
    columns = {"note_id": "ID", "text": "body"}
    notes = list(read_notes(frame, columns=columns, metadata_columns="rest"))
    assert notes == [
        Note("1", "fever", label="a", codes=("I10", "E11.9"), metadata={"age": 61.5}),
        Note("2", "cough", metadata={"age": None}),
    ]


@given(
    st.lists(
        st.tuples(
            st.text("ab é\n\U0001f600", min_size=1).filter(str.strip), st.none() | st.just("l")
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_frame_says_what_the_list_of_its_rows_says(rows):
    records = [
        {"note_id": str(i), "text": text, "label": label} for i, (text, label) in enumerate(rows)
    ]
    listed = list(read_notes(records))
    assert list(read_notes(pd.DataFrame(records))) == listed
    assert listed == [Note(r["note_id"], r["text"], label=r["label"]) for r in records]


def test_every_fault_is_told_with_its_position(tmp_path):
    records = [
        {"note_id": "1", "text": SECRET},
        SECRET,
        {"note_id": "1", "text": "again"},
        Note("4", SECRET, spans=(Span(0, 99, "D"),)),
        {"text": SECRET},
    ]
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(records)
    assert {fault.where.split(" ")[0] for fault in caught.value.faults} == {
        f"records:{line}" for line in (2, 3, 4, 5)
    }
    assert SECRET not in str(caught.value)
    kept = read_notes(records, on_error="skip", rejects=tmp_path / "side.jsonl")
    assert kept["note_id"] == ["1"]


@pytest.mark.parametrize("source", [5, None, {"note_id": "1", "text": "a"}, {"a"}])
def test_what_cannot_be_read_says_what_can(source):
    with pytest.raises(ConfigError, match="a list or an iterator of notes or of dicts"):
        read_notes(source)


def test_whether_it_is_a_frame_is_known_without_pandas():
    code = (
        "import sys; from clinical_tl.data.formats.in_memory import as_frame; "
        "assert as_frame([]) is None; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_values_are_read_as_json_has_them():
    record = {
        "note_id": np.int64(3), "text": "fever", "codes": ("I10", "E11.9"),
        "spans": [{"start": np.int64(0), "end": np.int64(5), "label": "S"}],
        "metadata": {"seen": date(2024, 5, 1)},
    }  # fmt: skip
    expected = Note(
        "3", "fever", codes=("I10", "E11.9"), spans=(Span(0, 5, "S"),),
        metadata={"seen": "2024-05-01"},
    )  # fmt: skip
    for source in ([record], pd.DataFrame([record])):
        assert list(read_notes(source)) == [expected]


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (Note(1, "x"), "note_id of type int"),
        (Note("1", 5), "text of type int"),
        (Note("1", SECRET, label=3), "label of type int"),
        (Note("1", SECRET, codes="I10"), "codes of type str"),
        (Note("1", SECRET, codes=(401.9,)), "codes with float inside"),
        (Note("1", SECRET, spans=({"start": 0},)), "a tuple of Span"),
        (
            Note("1", SECRET, metadata={"seen": date(2024, 5, 1)}),
            "metadata that JSON does not know",
        ),
    ],
)
def test_notes_with_fields_of_another_type_are_faults(note, message, tmp_path):
    with pytest.raises(FaultyNotesError, match=message) as caught:
        read_notes([note])
    assert SECRET not in str(caught.value)
    sound = [Note("s", "sound"), note]
    kept = read_notes(sound, on_error="skip", rejects=tmp_path / "side.jsonl")
    assert kept["note_id"] == ["s"]


def test_a_column_name_given_twice_is_refused():
    frame = pd.DataFrame([["1", "a", "b"]], columns=["note_id", "text", "text"])
    with pytest.raises(FaultyNotesError, match="1 column names that occur more than once"):
        read_notes(frame)


def cyclic():
    held = {}
    held["a"] = held
    return held


@pytest.mark.parametrize(
    "record",
    [
        {"note_id": "1", "text": SECRET, "metadata": cyclic()},
        {"note_id": 10**5000, "text": SECRET},
        {"note_id": "1", "text": SECRET, "metadata": {"a": 10**5000}},
        Note("1", SECRET, metadata=cyclic()),
        Note("1", SECRET, metadata={1: "a", "b": 2}),
        Note("1", SECRET, label="\t"),
        Note("1", SECRET, codes=("",)),
        Note("1", SECRET, spans=(Span("0", 5, "a") if False else Span(0, 10**30, "a"),)),
        {"note_id": "1", "text": SECRET, "spans": [{"start": 0, "end": 10**5000, "label": "a"}]},
    ],
    ids=range(9),
)
def test_whatever_a_record_causes_is_its_own_fault(tmp_path, record):
    records = [{"note_id": "0", "text": "sound"}, record, {"note_id": "2", "text": "sound"}]
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(records)
    assert SECRET not in str(caught.value)
    assert {fault.where.split(" ")[0] for fault in caught.value.faults} == {"records:2"}
    kept = read_notes(records, on_error="skip", rejects=tmp_path / "side.jsonl")
    assert kept["note_id"][:] == ["0", "2"]
