import json

import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import Note, Relation, Span

SOUND = (
    "\n"
    "1|t|Zebrafish fever.\n"
    "1|a|Café |a| cough and cold.\n"
    "1\t10\t15\tfever\tDisease\t-1\n"
    "1\t26\t31\tcough  \tDisease\tD1|D2\tcough|cold\n"
    "1\t36\t40\tcold\tDisease\tD3+OMIM:4\n"
    "1\tCID\tD1\tD3\n"
    "\n\n"
    "2|t|Nothing\n"
    "2|a|\n"
)


def write(tmp_path, content, name="a.pubtator"):
    path = tmp_path / name
    path.write_bytes(content.encode())
    return path


def test_documents_mentions_concepts_and_relations(tmp_path):
    notes = list(read_notes(write(tmp_path, SOUND, "a.pubtator.txt")))
    assert notes == [
        Note(
            "1",
            "Zebrafish fever.\nCafé |a| cough and cold.",
            spans=(
                Span(10, 15, "Disease"),
                Span(
                    26,
                    31,
                    "Disease",
                    concepts=("D1", "D2"),
                    attributes=(("composite", "D1|D2"), ("members", "cough|cold")),
                ),
                Span(
                    36,
                    40,
                    "Disease",
                    concepts=("D3", "OMIM:4"),
                    attributes=(("composite", "D3+OMIM:4"),),
                ),
            ),
            relations=(Relation("D1", "D3", "CID"),),
        ),
        Note("2", "Nothing\n", spans=(), relations=()),
    ]
    assert [notes[0].text[s.start : s.end] for s in notes[0].spans] == ["fever", "cough", "cold"]


def test_windows_line_ends_and_documents_without_blank_lines_between(tmp_path):
    content = "1|t|a\r\n1|a|b\r\n1\t2\t3\tb\tX\tD1\r\n2|t|c\r\n2|a|d\r\n"
    notes = list(read_notes(write(tmp_path, content)))
    assert notes == [
        Note("1", "a\nb", spans=(Span(2, 3, "X", concepts=("D1",)),)),
        Note("2", "c\nd", spans=()),
    ]


def test_a_file_without_annotations_is_not_annotated(tmp_path):
    assert list(read_notes(write(tmp_path, "1|t|a\n1|a|b\n"))) == [Note("1", "a\nb")]


@pytest.mark.parametrize(
    ("lines", "line", "found"),
    [
        ("9|t|Zebra\n9|a|fish\n9\t0\t99\tZebra\tX\tD1\n", 15, "offsets 0–99 in a text of 10"),
        ("9|t|Zebra\n9|a|fish\n9\t1\t6\tZebra\tX\tD1\n", 15, "-1 characters away"),
        ("9|t|Zebra\n9|a|fish\n9\t1\t6\tGoat\tX\tD1\n", 15, "which the text does not contain"),
        ("9|t|Zebra\n9|a|fish\n9\tx\t6\tZebra\tX\tD1\n", 15, "6 columns that are neither"),
        ("9|t|Zebra\n9|a|fish\nZebra\n", 15, "an annotation of another document"),
        ("9|t|Zebra\n8|a|fish\n", 14, "the abstract of another document"),
        ("9|t|Zebra\n9|a|fish\n9|a|fish\n", 15, "a second abstract"),
        ("9|t|Zebra\n\n8\t0\t5\tZebra\tX\tD1\n", 15, "a line outside a document"),
        ("9|t|\n9|a| \n", 13, "an empty note"),
        ("1|t|Zebra\n1|a|fish\n", 13, "already given at a.pubtator:2"),
    ],
)
def test_faults_have_lines_and_no_text(tmp_path, lines, line, found):
    path = write(tmp_path, SOUND + "\n" + lines)
    with pytest.raises(FaultyNotesError) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert found in str(caught.value)
    assert caught.value.faults[0].where.startswith(f"a.pubtator:{line}")
    assert "Zebra" not in str(caught.value)
    kept = read_notes(path, on_error="skip")
    assert kept["note_id"][:2] == ["1", "2"]
    row = json.loads((tmp_path / "a.pubtator.rejected.jsonl").read_text(encoding="utf-8"))
    assert row["line"] == line


def test_a_blank_line_may_stand_before_a_documents_annotations(tmp_path):
    path = write(tmp_path, "1|t|Zebra\n1|a|fish\n\n1\t0\t5\tZebra\tX\tD1\n\n2|t|Goat\n2|a|b\n")
    first, second = list(read_notes(path))
    assert [span.key for span in first.spans] == [(0, 5, "X")]
    assert second.spans == ()


def test_repeated_documents(tmp_path, caplog):
    path = write(tmp_path, "1|t|a\n1|a|b\n\n" * 3)
    assert read_notes(path, duplicates="first")["note_id"][:] == ["1"]
    assert "2 repeated notes left out" in caplog.text
    assert read_notes(path, duplicates="number")["note_id"][:] == ["1", "1#2", "1#3"]


def test_offsets_of_thousands_of_digits_cost_their_document_alone(tmp_path):
    path = tmp_path / "a.pubtator"
    huge = "9" * 5000
    path.write_text(
        f"1|t|fever\n1|a|\n1\t0\t{huge}\tfever\tS\t\n\n2|t|cough\n2|a|\n2\t0\t5\tcough\tS\t\n",
        encoding="utf-8",
    )
    with pytest.raises(FaultyNotesError, match="neither a mention nor a relation"):
        read_notes(path)
    assert read_notes(path, on_error="skip")["note_id"][:] == ["2"]


def test_the_novelty_of_a_relation_is_passed_over_and_counted(tmp_path, caplog):
    content = "1|t|Fever\n1|a|Cold\n1\tAssociation\t12\tD2\tNovel\n1\tBind\t12\tD3\tNo\n"
    with caplog.at_level("INFO"):
        (note,) = read_notes(write(tmp_path, content))
    assert note.relations == (Relation("12", "D2", "Association"), Relation("12", "D3", "Bind"))
    assert note.spans is None
    assert "2 novelties of relations" in caplog.text
    (note,) = read_notes(write(tmp_path, "1|t|Fever\n1|a|Cold\n1\t0\t5\tFever\tNo\n"))
    assert [span.label for span in note.spans] == ["No"]
