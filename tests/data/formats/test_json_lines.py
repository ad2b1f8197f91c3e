import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings

from clinical_tl.data.notes import Notes
from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import FaultyNotesError, NoteError
from clinical_tl.schema import Note, Span
from tests.data.strategies import note_sets

SECRET = "Zebrafish Quartermaine"


def lines(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets())
def test_notes_come_back_as_they_were_written(tmp_path, notes):
    for name in ("notes.jsonl", "notes.jsonl.gz"):
        write_notes(notes, tmp_path / name)
        assert list(read_notes(tmp_path / name)) == notes


def test_a_dataset_is_written_like_its_records(tmp_path):
    notes = [Note("1", "a\r\nb", codes=(), spans=None), Note("2", "c", spans=(), codes=None)]
    write_notes(notes, tmp_path / "a.jsonl")
    write_notes(Notes(notes), tmp_path / "b.jsonl")
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_the_same_notes_give_the_same_gzip_bytes(tmp_path):
    notes = [Note("1", "fever")]
    write_notes(notes, tmp_path / "a.jsonl.gz")
    write_notes(notes, tmp_path / "b.jsonl.gz")
    first = (tmp_path / "a.jsonl.gz").read_bytes()
    assert first == (tmp_path / "b.jsonl.gz").read_bytes()
    # Bytes 3 to 7 of the header: no optional fields (name), no time.
    assert first[3:8] == bytes(5)


def test_null_and_absent_mean_not_annotated_and_an_empty_list_annotated(tmp_path):
    path = lines(
        tmp_path / "n.jsonl",
        {"note_id": 1, "text": "a", "codes": None},
        {"note_id": "2", "text": "b", "codes": [], "spans": []},
    )
    assert list(read_notes(path)) == [
        Note("1", "a"),
        Note("2", "b", codes=(), spans=()),
    ]


def test_hand_written_spans_may_quote_pair_and_name(tmp_path):
    path = lines(
        tmp_path / "n.jsonl",
        {
            "note_id": "1",
            "text": "no fever or cough",
            "spans": [
                {
                    "start": 3,
                    "end": 8,
                    "label": "Sign",
                    "text": "fever",
                    "attributes": {"neg": "yes"},
                },
                {"start": 0, "end": 17, "label": "Sign", "fragments": [[0, 2], [12, 17]]},
            ],
        },
    )
    assert next(iter(read_notes(path))).spans == (
        Span(3, 8, "Sign", attributes=(("neg", "yes"),)),
        Span(0, 17, "Sign", fragments=((0, 2), (12, 17))),
    )


def test_columns_metadata_and_numbering(tmp_path):
    path = lines(
        tmp_path / "train.jsonl",
        {"body": "a", "kind": 3, "metadata": [], "ward": "B"},
        {"body": "b", "kind": "x", "metadata": [], "ward": None},
    )
    notes = list(
        read_notes(
            path,
            columns={"text": "body", "label": "kind", "metadata": None},
            metadata_columns=["ward"],
            make_ids=True,
        )
    )
    assert notes == [
        Note("train-1", "a", label="3", metadata={"ward": "B"}),
        Note("train-2", "b", label="x", metadata={"ward": None}),
    ]


NAMED_SPAN = '{"id": "a", "start": 0, "end": 2, "label": "a"}'


def noted(fields):
    return '{"note_id": "1", "text": "%s", ' + fields + "}"


def spanned(spans):
    return noted(f'"spans": [{spans}]')


FAULTY = {
    "broken JSON": '{"note_id": "1", "text": "%s"',
    "not an object": '["%s"]',
    "NaN": noted('"metadata": {"a": NaN}'),
    "missing id": '{"text": "%s"}',
    "blank id": '{"note_id": " ", "text": "%s"}',
    "missing text": '{"note_id": "1", "body": "%s"}',
    "text of wrong type": '{"note_id": "1", "text": ["%s"]}',
    "id of wrong type": '{"note_id": ["%s"], "text": "a"}',
    "label of wrong type": '{"note_id": "1", "text": "a", "label": ["%s"]}',
    "boolean label": noted('"label": true'),
    "codes of wrong type": noted('"codes": [7]'),
    "spans of wrong type": noted('"spans": {"a": 1}'),
    "offset of wrong type": spanned('{"start": "0", "end": 1, "label": "a"}'),
    "offset outside": spanned('{"start": 0, "end": 99, "label": "a"}'),
    "negative offset": spanned('{"start": -1, "end": 2, "label": "a"}'),
    "empty span": spanned('{"start": 2, "end": 2, "label": "a"}'),
    "span without label": spanned('{"start": 0, "end": 2}'),
    "other quotation": spanned('{"start": 0, "end": 5, "label": "a", "text": "no %s"}'),
    "fragments that overlap": spanned(
        '{"start": 0, "end": 5, "label": "a", "fragments": [[0, 4], [3, 5]]}'
    ),
    "fragments elsewhere": spanned(
        '{"start": 0, "end": 5, "label": "a", "fragments": [[0, 2], [3, 4]]}'
    ),
    "score of wrong type": spanned('{"start": 0, "end": 2, "label": "a", "score": "%s"}'),
    "attribute of wrong type": spanned(
        '{"start": 0, "end": 2, "label": "a", "attributes": ["%s"]}'
    ),
    "mention id twice": spanned(", ".join([NAMED_SPAN] * 2)),
    "relation to nothing": noted(
        '"spans": [], "relations": [{"head": "a", "tail": "b", "label": "c"}]'
    ),
    "relation half told": noted('"relations": [{"head": "a", "tail": "b"}]'),
    "metadata of wrong type": noted('"metadata": ["%s"]'),
    "empty note": '{"note_id": "1", "text": " \\n"}',
    "half a character": '{"note_id": "1", "text": "%s \\ud800"}',
    "half a character in a label": noted('"label": "\\ud800"'),
}


@pytest.mark.parametrize("line", FAULTY.values(), ids=FAULTY.keys())
def test_every_kind_of_fault_is_named_with_its_line_and_without_text(tmp_path, line):
    path = tmp_path / "notes.jsonl"
    line = line.replace("%s", SECRET)
    path.write_text('{"note_id": "sound", "text": "fever"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1, caught.value
    assert caught.value.faults[0].where.startswith("notes.jsonl:2")
    assert "Zebrafish" not in str(caught.value)
    assert "Quartermaine" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_bytes_that_are_not_utf8_spoil_their_line_only(tmp_path, caplog):
    path = tmp_path / "notes.jsonl"
    path.write_bytes(
        b'{"note_id": "1", "text": "caf\xe9 ' + SECRET.encode("ascii") + b'"}\n'
        b'{"note_id": "2", "text": "fever"}\n'
    )
    kept = read_notes(path, on_error="skip")
    assert kept["note_id"][:] == ["2"]
    rejects = (tmp_path / "notes.jsonl.rejected.jsonl").read_text(encoding="utf-8")
    assert [json.loads(row)["line"] for row in rejects.splitlines()] == [1]
    assert "UTF-8" in rejects
    assert "at character 3" in rejects
    assert "1 notes kept, 1 rejected for 1 faults" in caplog.text
    assert "Zebrafish" not in rejects + caplog.text


def test_all_faults_are_counted_and_twenty_shown_three_of_a_kind(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text("".join("oops\n" + " " * i + "oops\n" for i in range(33)), encoding="utf-8")
    with pytest.raises(FaultyNotesError, match="66 faults") as caught:
        read_notes(path)
    told = str(caught.value)
    # One kind is broken at column 1, each of the others elsewhere.
    assert told.count("broken JSON at column 1;") == 3
    assert told.count("broken JSON") == 20
    assert "… and 46 more" in told


def test_a_truncated_gzip_says_so(tmp_path):
    path = tmp_path / "notes.jsonl.gz"
    whole = gzip.compress(
        b"".join(b'{"note_id": "%d", "text": "fever"}\n' % i for i in range(5000))
    )
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FaultyNotesError, match="breaks off"):
        read_notes(path)


def test_a_byte_order_mark_at_the_beginning_is_no_fault(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"note_id": "1", "text": "fever"}\r\n\r\n')
    assert list(read_notes(path)) == [Note("1", "fever")]


@pytest.mark.parametrize(
    "note",
    [
        Note("1", f"{SECRET} \ud800"),
        Note("1", SECRET, metadata={"a": {SECRET}}),
        Note("1", SECRET, metadata={"a": float("nan")}),
        Note("1", SECRET, spans=(Span(0, 99, "a"),)),
    ],
)
def test_what_json_cannot_hold_is_refused_and_nothing_written(tmp_path, note):
    path = tmp_path / "notes.jsonl"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(NoteError) as caught:
        write_notes([Note("0", "sound"), note], path)
    assert "note 1" in str(caught.value)
    assert "Zebrafish" not in str(caught.value)
    assert path.read_text(encoding="utf-8") == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["notes.jsonl"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (noted('"metadata": {"a": 1e400}'), "a number too large"),
        (noted('"label": "a", "label": "b"'), "a name twice"),
        (noted('"metadata": {"a": 1, "a": 2}'), "a name twice"),
        (noted('"patient_id": ' + "1" * 5000), "a value that JSON does not know"),
        (noted('"metadata": ' + '{"a":' * 200 + "1" + "}" * 200), "deep nesting"),
        (noted('"metadata": ' + '{"a":' * 90_000 + "1" + "}" * 90_000), "deep nesting"),
        (
            spanned('{"start": ' + "1" * 4000 + ', "end": ' + "2" * 4000 + ', "label": "a"}'),
            "offsets",
        ),
    ],
)
def test_what_python_reads_and_json_does_not_say_is_a_fault(tmp_path, line, found):
    path = tmp_path / "notes.jsonl"
    path.write_text(f'{line}\n{{"note_id": "2", "text": "a"}}\n'.replace("%s", SECRET), "utf-8")
    with pytest.raises(FaultyNotesError, match=found) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert read_notes(path, on_error="skip")["note_id"][:] == ["2"]
