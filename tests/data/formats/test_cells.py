"""Cells as R, pandas, numpy, Excel and databases write them."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from clinical_tl.data.formats.cells import printed_list
from clinical_tl.data.formats.token_line import token_line
from clinical_tl.data.leakage import check_leakage
from clinical_tl.data.notes import Notes
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note


def as_csv(frame, folder):
    frame.to_csv(folder / "a.csv", index=False)
    return folder / "a.csv"


def as_tsv(frame, folder):
    frame.to_csv(folder / "a.tsv", index=False, sep="\t")
    return folder / "a.tsv"


def as_parquet(frame, folder):
    frame.to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def as_json_lines(frame, folder):
    rows = frame.to_dict("records")
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def as_records(frame, _):
    return frame.to_dict("records")


def as_dataset(frame, _):
    return Dataset.from_pandas(frame)


WAYS = [as_csv, as_tsv, as_parquet, as_json_lines, as_records, as_dataset, lambda frame, _: frame]


def one(tmp_path, field, value, **options):
    """The note with one field, as every reader of tables and records has it."""
    frame = pd.DataFrame([{"note_id": "n", "text": "NA 1.0 ['x']", field: value}])
    read = [list(read_notes(way(frame, tmp_path), **options)) for way in WAYS]
    assert all(notes == read[0] for notes in read)
    assert read[0][0].text == "NA 1.0 ['x']"
    return getattr(read[0][0], field)


@pytest.mark.parametrize(
    "cell",
    [
        "['I10', 'E11.9']", '["I10", "E11.9"]', "['I10' 'E11.9']", "['I10'\n 'E11.9']",
        "('I10', 'E11.9')", "{'I10', 'E11.9'}", "{I10,E11.9}", '{"I10",E11.9}', "[I10, E11.9]",
        'c("I10", "E11.9")', "array(['I10', 'E11.9'], dtype='<U5')", 'list("I10", "E11.9")',
        "array(['I10', 'E11.9'], dtype=object)", "[np.str_('I10'), np.str_('E11.9')]",
        "WrappedArray(I10, E11.9)", "['I10', 'E11.9', nan]", "{I10,E11.9,NULL}", "I10; E11.9",
    ],
)  # fmt: skip
def test_a_list_of_codes_as_any_program_prints_it_is_a_list(tmp_path, cell):
    assert one(tmp_path, "codes", cell) == ("I10", "E11.9")


@pytest.mark.parametrize("cell", ["[]", "{}", "()", "set()", "character(0)", "['']", "array([])"])
def test_an_empty_list_is_no_code(tmp_path, cell):
    assert one(tmp_path, "codes", cell) == ()


@pytest.mark.parametrize(
    "cell",
    [
        "['I10' ... 'E11.9']", "['I10'", "I10|E11.9", "I10,E11.9", "I10 E11.9", "[I10 E11.9]",
        "[250.0, 401.9]", "[[I10], [E11.9]]", "{'I10': 1}", '"I10";"E11.9"', "1.2E+12",
    ],
)  # fmt: skip
def test_a_cell_of_codes_that_can_be_read_in_two_ways_is_a_fault(tmp_path, cell):
    with pytest.raises(FaultyNotesError, match="code"):
        one(tmp_path, "codes", cell)


@pytest.mark.parametrize("value", [250.0, 250, [250.0], [250]])
def test_codes_that_went_through_numbers_are_a_fault(value):
    with pytest.raises(FaultyNotesError, match=r"lose theirs as numbers"):
        read_notes([{"note_id": "n", "text": "a", "codes": value}])


@pytest.mark.parametrize("cell", ["250.00", "250.0", "038.9", "V45.0", "E11.9", "401.0"])
def test_a_code_keeps_its_digits(tmp_path, cell):
    assert one(tmp_path, "codes", cell) == (cell,)


def test_a_whole_number_too_long_for_icd9_is_whole(tmp_path):
    assert one(tmp_path, "codes", "38341003.0") == ("38341003",)


def test_a_column_of_codes_that_was_a_column_of_floats_is_doubted(tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_text("note_id,text,codes\n1,a,250.0\n2,b,401.9\n3,c,38.9\n", encoding="utf-8")
    read_notes(path)
    assert "250.00 and 038 have lost digits" in caplog.text
    caplog.clear()
    path.write_text("note_id,text,codes\n1,a,250.00\n2,b,401.9\n3,c,038.9\n", encoding="utf-8")
    read_notes(path)
    assert caplog.text == ""


WORDS = [
    "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>", "#N/A", r"\N", "NaT", " NA ",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("field", ["patient_id", "label", "codes"])
def test_a_word_for_nothing_is_nothing_and_said_once(tmp_path, caplog, field, word):
    rows = [{"note_id": str(i), "text": "NA", field: word} for i in range(3)]
    notes = list(read_notes(as_tsv(pd.DataFrame(rows), tmp_path)))
    assert [getattr(note, field) for note in notes] == [None] * 3
    assert [note.text for note in notes] == ["NA"] * 3
    # In cells that may be JSON, null is not another program's word.
    is_said = (field, word) != ("codes", "null")
    assert len(caplog.records) == is_said
    assert (f"3 {field}: words for nothing (NA" in caplog.text) == is_said


@pytest.mark.parametrize("field", ["patient_id", "label", "codes"])
def test_nothing_is_nothing_in_every_reader(tmp_path, field):
    assert one(tmp_path, field, "NA") is None


def test_an_id_that_says_nothing_is_a_fault():
    with pytest.raises(FaultyNotesError, match="no note_id"):
        read_notes([{"note_id": "NA", "text": "a"}])


@pytest.mark.parametrize("mark", [".", "-", "?", "--"])
def test_a_mark_is_no_patient_whom_all_unknown_ones_share(tmp_path, mark):
    assert one(tmp_path, "patient_id", mark) is None
    assert one(tmp_path, "label", mark) == mark


def test_a_class_that_is_called_none_is_kept_where_it_is_asked_for(tmp_path, caplog):
    for word in ("None", "NA"):
        assert one(tmp_path, "label", word, as_written=["label"]) == word
    assert caplog.text == ""
    for wrong in ("label", ["text"], ["lable"]):
        with pytest.raises(ConfigError, match="as_written must be a list of fields"):
            read_notes([{"note_id": "1", "text": "a"}], as_written=wrong)


def test_a_declared_class_is_called_what_it_is_called():
    features = Features(
        {"note_id": Value("string"), "text": Value("string"), "label": ClassLabel(names=["None"])}
    )
    dataset = Dataset.from_dict({"note_id": ["1"], "text": ["a"], "label": [0]}, features=features)
    assert read_notes(dataset)["label"][:] == ["None"]


WHOLE = ["10006.0", "10006", "10006.00", " 10006.0 ", "1.0006e4", "10006,0", '="10006"', "b'10006'"]


@pytest.mark.parametrize("written", [*WHOLE, "['10006']", "'10006", "\ufeff10006", "10006\u200b"])
@pytest.mark.parametrize("field", ["note_id", "patient_id"])
def test_a_whole_number_is_one_id_however_it_is_written(tmp_path, field, written):
    assert one(tmp_path, field, written) == "10006"


@pytest.mark.parametrize("number", [10006.0, 10006])
def test_a_number_is_an_id_and_a_label_without_a_point(tmp_path, number):
    for field in ("note_id", "patient_id", "label"):
        assert one(tmp_path, field, number) == "10006"


@pytest.mark.parametrize("written", ["007", "12E4", "P-1.0", "1.2.0", "00:10", "1,000"])
def test_a_name_that_is_no_number_stays(tmp_path, written):
    assert one(tmp_path, "patient_id", written) == written


@pytest.mark.parametrize("written", ["1.23457E+12", "1E+05", "9.1e17"])
def test_a_number_that_a_spreadsheet_shortened_is_a_fault(tmp_path, written):
    with pytest.raises(FaultyNotesError, match="may have lost digits"):
        one(tmp_path, "patient_id", written)


def test_a_patient_written_as_float_is_the_same_patient(tmp_path, caplog):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("note_id,patient_id,text\na,10006.0,knee\nb,,second\n", encoding="utf-8")
    test.write_text("note_id,patient_id,text\nc,10006,hip\nd,10008,other\n", encoding="utf-8")
    report = check_leakage({"train": read_notes(train), "test": read_notes(test)})
    assert len(report.groups) == 1
    assert "1 patient_id: whole numbers written as floats" in caplog.text


def test_points_that_may_belong_to_the_labels_are_asked_about_even_when_skipping(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("note_id,text,label\n1,a,401.0\n2,b,401.9\n", encoding="utf-8")
    for options in ({}, {"on_error": "skip"}):
        with pytest.raises(FaultyNotesError, match=r"as_written=\['label'\]"):
            read_notes(path, **options)
    assert read_notes(path, as_written=["label"])["label"][:] == ["401.0", "401.9"]


def test_numbers_that_no_json_has_are_nothing():
    record = {"note_id": "1", "text": "a", "patient_id": math.nan, "label": pd.NA}
    assert list(read_notes([record])) == [Note("1", "a")]


def test_spans_as_python_prints_them(tmp_path):
    frame = pd.DataFrame(
        [{"note_id": "1", "text": "fever", "spans": [{"start": 0, "end": 5, "label": "S"}]}]
    )
    (note,) = list(read_notes(as_csv(frame, tmp_path)))
    assert [span.key for span in note.spans] == [(0, 5, "S")]


def test_the_packages_own_dataset_says_what_it_said():
    notes = [Note("1", "a", patient_id="7", label="b", codes=("250.00",), metadata={"x": "NA"})]
    assert list(read_notes(Notes(notes))) == notes


@pytest.mark.parametrize(
    "mark", [" ", ", ", " / ", "/", " + ", "&", "^", "~", "#", " · ", "、", "；"]
)
def test_codes_without_the_separator_between_them_are_not_one_code(tmp_path, mark):
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"note_id": "1", "text": "a", "codes": mark.join(["M25.561", "S80.01XA"])})
    )
    with pytest.raises(FaultyNotesError, match="looks like several codes, without the separator"):
        read_notes(path)


@pytest.mark.parametrize("code", ["A00-B99", "I10", "smoker or not", "I10 (main)"])
def test_what_is_one_label_stays_one(tmp_path, code):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"note_id": "1", "text": "a", "codes": code}))
    assert read_notes(path)[0].codes == (code,)


def test_a_long_cell_of_codes_takes_no_time(tmp_path):
    path = tmp_path / "a.jsonl"
    cell = "   ".join(["E11"] * 2000) + "   and pain"
    path.write_text(json.dumps({"note_id": "1", "text": "a", "codes": cell}))
    # A pattern that may part blanks in many ways takes for ever.
    assert len(read_notes(path)) == 1


@pytest.mark.parametrize("quoted", [repr, lambda word: repr(word.encode())])
def test_words_as_python_prints_them_are_the_words(tmp_path, quoted):
    words = ["5\xa0mg", "caf\u200be", "a\\b", 'it\'s "so"', "a\tb\nc", "\U000e0001x", "\x07", "é😀"]
    cell = f"[{', '.join(map(quoted, words))}]"
    assert printed_list(cell) == words
    frame = pd.DataFrame([{"tokens": cell, "ner_tags": str(["O"] * len(words))}])
    assert next(iter(read_notes(as_csv(frame, tmp_path)))).text == token_line(words)[0]


def test_a_backslash_before_any_other_character_is_dropped():
    assert printed_list("['a\\-b', 'c']") == ["a-b", "c"]
    assert printed_list('{"a\\"b","c\\\\d"}') == ['a"b', "c\\d"]
