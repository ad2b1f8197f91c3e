import datasets
import pandas as pd
import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note

CODES = {"codes": ["I10", "E11.9"]}


def table(tmp_path, *rows, header="note_id,text,I10,E11.9"):
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "marks",
    ["10", "10.0", "true false", "TRUE FALSE", "yes no", "x ", "X ", "ja nein", "sí no", "t f"],
)
def test_columns_that_say_yes_or_no_are_codes_of_their_names(tmp_path, marks):
    yes, no = marks.split(" ") if " " in marks else (marks[0], marks[1:])
    path = table(tmp_path, f"1,a,{yes},{no}", f"2,b,{yes},{yes}", "3,c,,", "4,d,NA,NA")
    codes = [note.codes for note in read_notes(path, columns=CODES)]
    # Blank cells are no code, as a blank cell of one column is.
    assert codes == [("I10",), ("I10", "E11.9"), (), None]


@pytest.mark.parametrize(("no", "is_odd"), [("0", True), ("", False)])
def test_blank_rows_beside_rows_that_say_no_are_odd(tmp_path, caplog, no, is_odd):
    path = table(tmp_path, f"1,a,1,{no}", "2,b,1,1", "3,c,,")
    assert read_notes(path, columns=CODES)[2].codes == ()
    assert ("where other rows say no in words" in caplog.text) == is_odd


def test_a_note_of_which_all_columns_say_no_needs_no_code(tmp_path):
    path = table(tmp_path, "1,a,0,0", "2,b,1,NA", "3,c,NA,")
    assert [note.codes for note in read_notes(path, columns=CODES)] == [(), ("I10",), None]


def test_columns_side_by_side_hold_codes_and_a_pattern_names_them(tmp_path, caplog):
    path = table(
        tmp_path,
        "1,a,I10,E11.9,",
        "2,b,I10,,I10",
        "3,c,,,",
        "4,d,,250.00,",
        header="note_id,text,DIAG1,DIAG2,DIAG3",
    )
    read = read_notes(path, columns={"codes": "DIAG*"}, metadata_columns="rest")
    assert [note.codes for note in read] == [("I10", "E11.9"), ("I10",), (), ("250.00",)]
    assert all(note.metadata == {} for note in read)
    assert "1 codes: given in several columns of a note, read once" in caplog.text
    assert read_notes(path, columns={"codes": ["DIAG3", "DIAG1"]})[0].codes == ("I10",)


@pytest.mark.parametrize(
    ("rows", "where", "found"),
    [
        (("1,a,1,0", "2,b,0,?"), "a.csv:3 (note 2)", "'E11.9' that says neither yes nor no"),
        (("1,a,1,0", "2,b,2,1"), "a.csv:3 (note 2)", "'I10' that says neither yes nor no"),
        (("1,a,0,J45", "2,b,0,1"), "a.csv:2 (note 1)", "yes or no in column 'I10', beside"),
        (("1,a,J45,", "2,b,0,1"), "a.csv:3 (note 2)", "yes or no in column 'I10', beside"),
    ],
)
def test_a_cell_that_says_something_else_costs_its_row(tmp_path, rows, where, found):
    path = table(tmp_path, *rows)
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path, columns=CODES)
    (fault,) = caught.value.faults
    assert fault.where == where
    assert found in fault.found
    assert len(read_notes(path, columns=CODES, on_error="skip")) == 1


def test_codes_that_look_like_yes_and_no_are_read_as_they_stand_where_that_is_said(tmp_path):
    path = table(tmp_path, "1,a,1,13", "2,b,0,")
    with pytest.raises(FaultyNotesError, match=r"as_written=\['codes'\]"):
        read_notes(path, columns=CODES)
    notes = read_notes(path, columns=CODES, as_written=["codes"])
    assert [note.codes for note in notes] == [("1", "13"), ("0",)]


def test_one_column_of_labels_says_yes(tmp_path):
    header = "note_id,text,icu,ward"
    path = table(tmp_path, "1,a,1,0", "2,b,0,1", "3,c,,", header=header)
    notes = list(read_notes(path, columns={"label": ["icu", "ward"]}))
    assert notes == [Note("1", "a", label="icu"), Note("2", "b", label="ward"), Note("3", "c")]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("1,a,1,1", r"2 columns of labels say yes; allowed: .* columns=\{'codes'"),
        ("1,a,0,0", "no column of labels says yes"),
        ("1,a,1,maybe", "'ward' that says neither"),
    ],
)
def test_labels_that_are_none_or_several_are_faults(tmp_path, row, found):
    path = table(tmp_path, row, "2,b,1,0", header="note_id,text,icu,ward")
    with pytest.raises(FaultyNotesError, match=found):
        read_notes(path, columns={"label": ["icu", "ward"]})


def test_columns_that_are_not_there_are_named(tmp_path):
    path = table(tmp_path, "1,a,1,0")
    with pytest.raises(FaultyNotesError, match=r"do not include 'J45'.*the column of codes"):
        read_notes(path, columns={"codes": ["I10", "J45"]})
    with pytest.raises(FaultyNotesError, match=r"do not include 'DIAG\*'"):
        read_notes(path, columns={"codes": "DIAG*"})


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", "b"]}, "may stand in several columns"),
        ({"codes": []}, "a list of strings that is not empty"),
        ({"codes": ["I10", 3]}, "a list of strings"),
    ],
)
def test_what_can_not_be_several_columns_is_refused(tmp_path, columns, message):
    with pytest.raises(ConfigError, match=message):
        read_notes(table(tmp_path, "1,a,1,0"), columns=columns)


FRAME = pd.DataFrame(
    {
        "note_id": ["1", "2", "3"],
        "text": ["a", "b", "c"],
        "I10": [True, False, None],
        "E11.9": [1.0, 0.0, None],
    }
)


def parquet(tmp_path):
    FRAME.to_parquet(tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def classes(_):
    names = datasets.ClassLabel(names=["no", "yes"])
    columns = {"note_id": ["1", "2", "3"], "text": ["a", "b", "c"], "I10": [1, 0, -1]}
    features = {"note_id": datasets.Value("string"), "text": datasets.Value("string")}
    return datasets.Dataset.from_dict(
        {**columns, "E11.9": [1, 0, -1]},
        features=datasets.Features({**features, "I10": names, "E11.9": names}),
    )


@pytest.mark.parametrize(
    "source",
    [
        lambda _: FRAME,
        parquet,
        classes,
        lambda _: datasets.Dataset.from_pandas(FRAME),
        lambda _: FRAME.to_dict("records"),
    ],
    ids=["frame", "parquet", "classes", "dataset", "records"],
)
def test_all_sources_with_columns_take_several(tmp_path, source):
    notes = read_notes(source(tmp_path), columns=CODES)
    assert [note.codes for note in notes] == [("I10", "E11.9"), (), None]
