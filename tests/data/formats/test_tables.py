import datetime as dt
import json

import pytest
from hypothesis import HealthCheck, given, settings

from clinical_tl.data.notes import Notes
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note, Span
from tests.data.strategies import note_sets

MTS = {"note_id": "ID", "text": "section_text", "label": "section_header"}


def test_columns_are_mapped_and_line_breaks_in_cells_kept(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'ID,section_header,section_text,dialogue\r\n0,ROS,"line one\r\nline ""two""",hello\r\n'
        b"1,,plain,\r\n"
    )
    dataset = read_notes(path, columns=MTS, metadata_columns="rest")
    assert list(dataset) == [
        Note("0", 'line one\r\nline "two"', label="ROS", metadata={"dialogue": "hello"}),
        Note("1", "plain", metadata={"dialogue": ""}),
    ]
    assert next(iter(read_notes(path, columns=MTS))).metadata == {}


def test_codes_are_split_and_an_empty_cell_is_no_code(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("note_id\ttext\tcodes\n1\ta\tI10; E11.9\n2\tb\t\n", encoding="utf-8")
    assert [n.codes for n in list(read_notes(path))] == [("I10", "E11.9"), ()]
    path.write_text("note_id\ttext\tcodes\n1\ta\tI10|J44\n", encoding="utf-8")
    assert next(iter(read_notes(path, separator="|"))).codes == ("I10", "J44")


def test_spans_may_stand_in_a_cell_as_json(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        'note_id,text,spans\n1,fever,"[{""start"": 0, ""end"": 5, ""label"": ""Sign""}]"\n2,b,\n',
        encoding="utf-8",
    )
    assert [n.spans for n in list(read_notes(path))] == [(Span(0, 5, "Sign"),), None]


def test_places_are_lines_of_the_file_even_after_cells_with_line_breaks(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('note_id,text\n1,"a\nb\nc"\n2\n3,d\n,e\n', encoding="utf-8")
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path)
    assert [fault.where for fault in caught.value.faults] == ["a.csv:5", "a.csv:7"]
    assert "1 cells; allowed: 2 cells" in str(caught.value)


def test_a_missing_column_is_one_fault_that_shows_no_cell(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Zebrafish Quartermaine,has fever\n" * 50, encoding="utf-8")
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path, columns={"label": "kind"}, make_ids=True)
    assert len(caught.value.faults) == 2
    assert "columns={'text': '<column>'}" in str(caught.value)
    assert "Zebrafish" not in str(caught.value)
    assert "fever" not in str(caught.value)


def test_a_quote_that_never_closes_is_a_fault(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('note_id,text\n1,a\n2,"b\n3,c\n', encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"a\.csv:3: a row of 2 lines"):
        read_notes(path)
    assert read_notes(path, on_error="skip")["note_id"][:] == ["1"]


def test_a_broken_row_costs_that_row_alone(tmp_path, caplog):
    path = tmp_path / "a.csv"
    broken = '1,"the ""pt"" said "no" pain"\n'
    rows = "".join(f"{i},sound {i}\n" for i in range(2, 1000))
    path.write_text(f"note_id,text\n0,first\n{broken}{rows}", encoding="utf-8")
    kept = read_notes(path, on_error="skip")
    assert kept["note_id"][:] == ["0", *(str(i) for i in range(2, 1000))]
    assert "999 notes kept, 1 rejected" in caplog.text


LONE_QUOTES = (
    'note_id\ttext\tlabel\n1\t"chest pain\tCardio\n2\tsecond\tNeuro\n3\tshe said fine"\tX\n'
    "4\tfour\tY\n"
)


def test_a_tsv_that_may_or_may_not_be_quoted_is_asked_about(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text(LONE_QUOTES, encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"a\.tsv:2: a quoted cell with a tab.*3 lines"):
        read_notes(path)
    plain = list(read_notes(path, quoting="none"))
    assert [note.text for note in plain] == ['"chest pain', "second", 'she said fine"', "four"]
    assert len(read_notes(path, quoting="minimal")) == 2
    assert read_notes(path, on_error="skip")["note_id"][:] == ["4"]


@pytest.mark.parametrize("options", [{"quoting": "all"}, {"delimiter": ";;"}])
def test_a_style_of_table_that_is_none(tmp_path, options):
    (tmp_path / "a.csv").write_text("note_id,text\n1,a\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="allowed: one character"):
        read_notes(tmp_path / "a.csv", **options)


def test_blanks_around_names_are_not_part_of_them(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "note_id,text,patient_id,label\n1,a,P1,Cardio\n2,b,P1 ,\u00a0Cardio \n3,c, , \n",
        encoding="utf-8",
    )
    notes = list(read_notes(path))
    assert [(n.patient_id, n.label) for n in notes] == [("P1", "Cardio")] * 2 + [(None, None)]


def test_codes_may_stand_in_a_cell_as_json(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('note_id,text,codes\n1,a,"[""I10"", ""E11.9""]"\n', encoding="utf-8")
    assert next(iter(read_notes(path))).codes == ("I10", "E11.9")


def test_a_cell_may_be_longer_than_the_csv_module_expects(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"note_id,text\n1,{'fever ' * 30_000}end\n", encoding="utf-8")
    assert len(read_notes(path)["text"][0]) == 180_003


def test_latin1_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("note_id,text\n1,fièvre\n2,toux\n".encode("latin-1"))
    with pytest.raises(FaultyNotesError, match=r"a\.csv:2 \(note 1\): bytes that are not UTF-8"):
        read_notes(path)


@pytest.mark.parametrize("content", ["", "note_id,text\n"])
def test_an_empty_file_is_a_fault_even_when_skipping(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    for on_error in ("raise", "skip"):
        with pytest.raises(FaultyNotesError, match="no note at all"):
            read_notes(path, on_error=on_error)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets())
def test_parquet_written_by_datasets_comes_back(tmp_path, notes):
    path = tmp_path / "a.parquet"
    Notes(notes).dataset.to_parquet(str(path))
    assert list(read_notes(path)) == notes


def test_parquet_of_another_layout(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": [7, 8], "body": ["a", None], "day": [dt.date(2020, 1, 2), None]})
    pq.write_table(table, tmp_path / "a.parquet")
    options = {"columns": {"note_id": "id", "text": "body"}, "metadata_columns": ["day"]}
    with pytest.raises(FaultyNotesError, match=r"a\.parquet:2 \(note 8\): text is of type null"):
        read_notes(tmp_path / "a.parquet", **options)
    kept = read_notes(tmp_path / "a.parquet", on_error="skip", **options)
    assert list(kept) == [Note("7", "a", metadata={"day": "2020-01-02"})]


def test_parquet_with_bytes_that_are_not_utf8_loses_that_row_alone(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = pa.array([b"fever", b"fi\xe8vre", b"cough"], type=pa.binary())
    text = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
    pq.write_table(pa.table({"note_id": ["1", "2", "3"], "text": text}), tmp_path / "a.parquet")
    with pytest.raises(FaultyNotesError, match=r"a\.parquet:2: bytes that are not UTF-8"):
        read_notes(tmp_path / "a.parquet")
    assert read_notes(tmp_path / "a.parquet", on_error="skip")["note_id"][:] == ["1", "3"]


def test_a_file_that_is_no_parquet(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(FaultyNotesError, match="no Parquet file"):
        read_notes(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"txt": "body"}}, "unknown fields"),
        ({"metadata_columns": "body"}, "metadata_columns=\\['body'\\]"),
        ({"separator": ""}, "separator must not be empty"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_before_reading(tmp_path, options, message):
    (tmp_path / "a.csv").write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_notes(tmp_path / "a.csv", **options)


def test_parquet_metadata_may_hold_what_json_does_not_know(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    seen = {"day": dt.date(2020, 1, 2), "at": dt.datetime(2020, 1, 2, 3), "raw": b"x"}  # noqa: DTZ001
    rows = [{"note_id": "1", "text": "a", "metadata": {**seen, "all": [dt.date(2020, 1, 2)]}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (note,) = list(read_notes(tmp_path / "a.parquet"))
    assert note.metadata["day"] == "2020-01-02"
    assert note.metadata["all"] == ["2020-01-02"]


def test_damaged_pages_cost_what_stands_in_them(tmp_path, caplog):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    rows = [{"note_id": str(i), "text": f"sound {i}"} for i in range(3000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1000, compression="gzip")
    group = pq.ParquetFile(path).metadata.row_group(1).column(1)
    raw = bytearray(path.read_bytes())
    at = group.dictionary_page_offset + group.total_compressed_size // 2
    raw[at : at + 40] = bytes(40)
    path.write_bytes(raw)
    with pytest.raises(FaultyNotesError, match="pages that are damaged after row 1000"):
        read_notes(path)
    assert len(read_notes(path, on_error="skip")) == 1000
    assert "1000 notes kept, 2000 rejected" in caplog.text


def test_text_of_windows_is_told_the_command_that_mends_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("note_id,text\n1,“no” – 5 €\n".encode("cp1252"))
    with pytest.raises(FaultyNotesError, match="iconv -f cp1252 -t utf-8"):
        read_notes(path)
    path.write_bytes(b"note_id,text\n1,\x81\x8d\n")
    with pytest.raises(FaultyNotesError, match="cp1252 it is not"):
        read_notes(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("“no”".encode("cp1252").decode("latin-1"), "control characters"),
        ("é “no”".encode().decode("cp1252", "replace"), "letter pairs"),
        ("caf\ufffd", "an earlier conversion has lost"),
    ],
)
def test_text_that_was_converted_wrongly_is_doubted(tmp_path, caplog, text, said):
    path = tmp_path / "a.csv"
    path.write_text(f"note_id,text\n1,{text}\n2,naïve Ångström\n", encoding="utf-8")
    assert read_notes(path)["text"][0] == text
    assert said in caplog.text
    assert " 1 notes" in caplog.text


def test_utf16_and_other_delimiters_are_read(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("note_id,text\n1,a\n".encode("utf-16"))
    assert read_notes(path)["text"] == ["a"]
    for mark in ",;|\t":
        path.write_text(f"note_id{mark}text\n1{mark}a\n", encoding="utf-8")
        assert read_notes(path)["text"] == ["a"]
    path.write_text("note;words\n1;a\n", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match="the header's 2 columns do not include 'text'"):
        read_notes(path)
    with pytest.raises(FaultyNotesError, match="delimiter=';'"):
        read_notes(path, delimiter=",")
    path.write_text("sep=;\nnote_id;text\n1;a\n", encoding="utf-8")
    assert read_notes(path, delimiter=";")["text"] == read_notes(path)["text"] == ["a"]
    with pytest.raises(FaultyNotesError, match="another delimiter"):
        read_notes(path, delimiter=",")


def test_quotes_after_backslashes_are_quotes_where_nothing_else_fits(tmp_path, caplog):
    path = tmp_path / "a.csv"
    path.write_text('note_id,text\n1,"said \\"no\\" twice, then left"\n', encoding="utf-8")
    assert read_notes(path)["text"] == ['said "no" twice, then left']
    assert "backslash" in caplog.text
    path.write_text('note_id,text\n1,"C:\\"\n2,5\' 4\\" tall\n', encoding="utf-8")
    assert read_notes(path)["text"] == ["C:\\", "5' 4\\\" tall"]


def test_a_backslash_before_anything_but_a_quote_or_a_backslash_stays(tmp_path):
    path = tmp_path / "a.csv"
    rows = r"""note_id,text,label
"1","said \"hi\" C:\new\table",\N
"2","C:\\new\\\"x\"","x"
"3","ends in \\","\d"
"""
    path.write_text(rows + '"4","a\\\nb","y"\n', encoding="utf-8")
    notes = list(read_notes(path))
    assert [note.text for note in notes] == [
        'said "hi" C:\\new\\table',
        'C:\\new\\"x"',
        "ends in \\",
        "a\nb",
    ]
    assert [note.label for note in notes] == [None, "x", "\\d", "y"]


@pytest.mark.parametrize("above", ["\n", "\r\n\r\n", "  \n", ",\n"])
def test_blank_lines_above_the_header_are_passed_over(tmp_path, above):
    path = tmp_path / "a.csv"
    path.write_bytes(f"{above}note_id,text\n2,abc\n".encode())
    assert list(read_notes(path)) == [Note("2", "abc")]
    path.write_bytes(b"\n\nnote_id,text\n2,\n")
    with pytest.raises(FaultyNotesError, match=r"a\.csv:4 \(note 2\)"):
        read_notes(path)
