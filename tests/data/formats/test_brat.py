import os
import shutil
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from clinical_tl.data.formats.files import File
from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note, Relation, Span
from tests.data.strategies import note_sets


def folder(tmp_path, **files):
    root = tmp_path / "brat"
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return root


def read(root, **options):
    return list(read_notes(root, format="brat", **options))


def test_every_kind_of_line(tmp_path):
    text = "No fever 😀,\r\nsevere pain and\ncough."
    root = folder(
        tmp_path,
        a_txt=text,
        a_ann=(
            "E1\tFinding:T3 Severity:T2 Other:E2\n"
            "E2\tFinding:T4 \n"
            "A1\tNegated T1\n"
            "M1\tGrade E1 3 of 4\r\n"
            "N1\tReference T1 MESH:D005334\tFever\n"
            "N2\tReference T1 concept:local\tFever\n"
            "R1\tBefore Arg1:T1 Arg2:E2\t\n"
            "*\tEquiv T1 T3 T4\n"
            "#1\tAnnotatorNotes T1\tnot sure\n"
            "\n"
            "T1\tSign 3 8\tfever\n"
            "T2\tDegree 13 19\tsevere\n"
            "T3\tSign 20 24;29 34\tpain cough\n"
            "T4\tSign 20 34\tpain and cough\n"
        ),
        sub__b_txt="unannotated",
        c_txt="nothing here",
        c_ann="",
    )
    assert read(root) == [
        Note(
            "a",
            text,
            spans=(
                Span(
                    3,
                    8,
                    "Sign",
                    id="T1",
                    concepts=("MESH:D005334", "local"),
                    attributes=(("Negated", "true"),),
                ),
                Span(13, 19, "Degree", id="T2"),
                Span(
                    20,
                    34,
                    "Sign",
                    id="T3",
                    attributes=(("Grade", "3 of 4"),),
                    fragments=((20, 24), (29, 34)),
                ),
                Span(20, 34, "Sign", id="T4"),
            ),
            relations=(
                Relation("T3", "T2", "Severity"),
                Relation("T3", "T4", "Other"),
                Relation("T1", "T4", "Before"),
                Relation("T1", "T3", "Equiv"),
                Relation("T1", "T4", "Equiv"),
            ),
        ),
        Note("c", "nothing here", spans=(), relations=()),
        Note("sub/b", "unannotated"),
    ]


REMARKS = (
    "T1\tSign 0 5\tfever\n#1\tAnnotatorNotes T1\tC0015967 C0424755;D005334\n"
    "E1\tSign:T1\n#2\tAnnotatorNotes E1\tD999\nA1\tSure T1\n#3\tAnnotatorNotes A1\tdoubtful\n"
    "# a comment\n"
)


def test_remarks_may_be_concepts_or_attributes(tmp_path, caplog):
    root = folder(tmp_path, a_txt="fever", a_ann=REMARKS)
    (span,) = read(root, notes_as="concepts")[0].spans
    assert span.concepts == ("C0015967", "C0424755", "D005334", "D999")
    assert "1 annotators' remarks on what is no mention" in caplog.text
    (span,) = read(root, notes_as="attributes")[0].spans
    assert span.attributes == (
        ("Sure", "true"),
        ("AnnotatorNotes", "C0015967 C0424755;D005334"),
        ("AnnotatorNotes", "D999"),
    )
    caplog.clear()
    (span,) = read(root)[0].spans
    assert (span.concepts, span.attributes) == ((), (("Sure", "true"),))
    assert "3 annotators' remarks (notes_as='concepts' or 'attributes' reads" in caplog.text
    with pytest.raises(ConfigError, match="notes_as='codes'; allowed"):
        read(root, notes_as="codes")


def test_a_remark_on_a_mention_that_is_not_there_is_a_fault(tmp_path):
    root = folder(tmp_path, a_txt="fever", a_ann="#1\tAnnotatorNotes T7\tZebra\n")
    with pytest.raises(FaultyNotesError, match="a reference to a mention") as caught:
        read(root, notes_as="attributes")
    assert "Zebra" not in str(caught.value)
    assert read(root) == [Note("a", "fever", spans=())]


def test_a_byte_order_mark_counts_if_the_quoted_mentions_say_so(tmp_path):
    counted = folder(tmp_path, a_txt="\ufefffever", a_ann="T1\tSign 1 6\tfever\n")
    assert read(counted)[0].text == "\ufefffever"
    uncounted = folder(tmp_path, a_txt="\ufefffever", a_ann="T1\tSign 0 5\tfever\n")
    assert read(uncounted) == [Note("a", "fever", spans=(Span(0, 5, "Sign", id="T1"),))]


def test_pieces_may_be_quoted_out_of_order(tmp_path):
    root = folder(tmp_path, a_txt="high and fever", a_ann="T1\tSign 9 14;0 4\tfever high\n")
    assert read(root)[0].spans[0].fragments == ((0, 4), (9, 14))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("T2\tSign 0 99\tZebra", "offsets 0–99 in a text of 10"),
        ("T2\tSign 1 6\tZebra", "which stands -1 characters away"),
        ("T2\tSign 0 5", "a broken T line"),
        ("T2\tSign 0 5 9\tZebra", "a broken T line"),
        ("T1\tSign 0 5\tZebra", "an id that an earlier line has"),
        ("T2\tSign 0 5;3 8\tZebra", "pieces 0–5;3–8 that overlap"),
        ("R1\tBefore Arg1:T1 Arg2:T9", "a reference to a mention or event that the file lacks"),
        ("R1\tBefore T1 T1", "a broken R line"),
        ("E1\tSign:T9", "a reference"),
        ("E1\t", "a broken E line"),
        ("A1\tNegated T9", "a reference"),
        ("A1\tNegated", "a broken A line"),
        ("N1\tReference T9 MESH:D1\tZebra", "a reference"),
        ("N1\tReference T1", "a broken N line"),
        ("Zebra", "a line of an unknown kind"),
    ],
)
def test_faults_have_lines_and_no_text(tmp_path, line, found):
    root = folder(
        tmp_path, a_txt="Zebra fish", a_ann=f"T1\tSign 0 5\tZebra\n{line}\n", b_txt="sound"
    )
    with pytest.raises(FaultyNotesError) as caught:
        read(root)
    assert found in str(caught.value)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].where == "a.ann:2 (note a)"
    assert "Zebra" not in str(caught.value)
    assert [note.note_id for note in read(root, on_error="skip")] == ["b"]
    assert (tmp_path / "brat.rejected.jsonl").exists()


def test_annotations_without_a_text_and_texts_that_are_not_utf8(tmp_path):
    root = folder(tmp_path, a_ann="T1\tSign 0 5\tfever\n")
    (root / "b.txt").write_bytes(b"caf\xe9")
    with pytest.raises(FaultyNotesError) as caught:
        read(root)
    assert [fault.where for fault in caught.value.faults] == ["b.txt (note b)", "a.ann"]


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets(with_fields=False))
def test_notes_come_back_as_they_were_written(tmp_path, notes):
    has_relations = any(note.relations for note in notes)
    notes = [
        note
        if note.spans is None
        else replace(note, relations=(note.relations or ()) if has_relations else None)
        for note in notes
    ]
    root = tmp_path / "out"
    shutil.rmtree(root, ignore_errors=True)
    written = write_notes(notes, root, format="brat")
    assert (written.notes, written.losses) == (len(notes), {})
    assert read(root) == notes


def test_losses_are_refused_or_counted(tmp_path, caplog):
    note = Note(
        "1",
        "fever",
        label="x",
        spans=(
            Span(0, 5, "Sign", id="s", concepts=("a b",), attributes=(("n", ""), ("m", "v\nw"))),
            Span(0, 5, "two words", id="t"),
        ),
        relations=(Relation("s", "t", "r"), Relation("s", "s", "r r"), Relation("s", "s", "ok")),
    )
    with pytest.raises(NoteError, match="2 attributes with odd spaces"):
        write_notes([note], tmp_path / "out", format="brat")
    assert not (tmp_path / "out").exists()
    written = write_notes([note], tmp_path / "out", format="brat", lossy=True)
    assert written.losses == {
        "attributes with odd spaces or without a value": 2,
        "concepts with spaces": 1,
        "labels": 1,
        "mentions whose label has spaces": 1,
        "relations that are not between two mentions": 1,
        "relations whose label has spaces": 1,
    }
    assert "written without" in caplog.text
    assert read(tmp_path / "out") == [
        Note(
            "1",
            "fever",
            spans=(Span(0, 5, "Sign", id="T1"),),
            relations=(Relation("T1", "T1", "ok"),),
        )
    ]


def test_relations_none_and_empty_are_told_apart_or_counted(tmp_path):
    related = Note(
        "a", "fever", spans=(Span(0, 5, "S", id="T1"),), relations=(Relation("T1", "T1", "r"),)
    )
    for others in ([related, Note("b", "c", spans=())], [Note("b", "c", spans=(), relations=())]):
        with pytest.raises(NoteError, match="1 notes whose relations are None"):
            write_notes(others, tmp_path / "out", format="brat")


@pytest.mark.parametrize("note_id", ["../a", "/a", "a/../b", "a:b", "a.", "", "x" * 300])
def test_ids_that_cannot_be_file_names(tmp_path, note_id):
    with pytest.raises(NoteError):
        write_notes([Note(note_id, "fever")], tmp_path / "out", format="brat")
    assert list(tmp_path.iterdir()) == []


def test_ids_that_differ_in_case_and_folders_in_use(tmp_path):
    with pytest.raises(NoteError, match="but for case"):
        write_notes([Note("a", "x"), Note("A", "x")], tmp_path / "out", format="brat")
    write_notes([Note("s/a", "x")], tmp_path / "out", format="brat")
    assert read(tmp_path / "out") == [Note("s/a", "x")]
    with pytest.raises(NoteError, match="in use"):
        write_notes([Note("a", "x")], tmp_path / "out", format="brat")


def link(path, target):
    path.symlink_to(target)


def test_what_is_no_file_of_the_folder_costs_itself_alone(tmp_path, caplog):
    (tmp_path / "elsewhere.txt").write_text("SECRET", encoding="utf-8")
    root = folder(tmp_path, a_txt="sound", z_txt="sound", y_txt="sound")
    link(root / "b.txt", root / "nothing")
    (root / "c.txt").mkdir()
    os.mkfifo(root / "d.txt")
    link(root / "e.txt", tmp_path / "elsewhere.txt")
    link(root / "f.txt", "/dev/zero")
    link(root / "y.ann", root / "nothing.ann")
    link(root / "again", root)
    with pytest.raises(FaultyNotesError) as caught:
        read(root)
    assert [fault.where.split(" ")[0] for fault in caught.value.faults] == [
        "b.txt", "c.txt", "d.txt", "e.txt", "f.txt", "y.ann",
    ]  # fmt: skip
    assert "SECRET" not in str(caught.value)
    assert [note.note_id for note in read(root, on_error="skip")] == ["a", "z"]
    assert "2 notes kept, 6 rejected" in caplog.text
    assert "1 links to folders, which are not followed" in caplog.text


def test_a_link_within_the_folder_is_a_file(tmp_path):
    root = folder(tmp_path, a_txt="sound")
    link(root / "b.txt", root / "a.txt")
    assert [note.note_id for note in read(root)] == ["a", "b"]
    link(tmp_path / "linked", root)
    assert len(read(tmp_path / "linked")) == 2


def test_a_file_that_cannot_be_read_costs_itself_alone(tmp_path, monkeypatch):
    root = folder(tmp_path, a_txt="sound", b_txt="sound", c_txt="sound")
    opened = File.bytes

    def refuse(file):
        if file.name == "b.txt":
            raise PermissionError(13, "SECRET", str(file.path))
        return opened(file)

    monkeypatch.setattr(File, "bytes", refuse)
    with pytest.raises(FaultyNotesError, match=r"b\.txt \(note b\): a file .*PermissionError") as e:
        read(root)
    assert "SECRET" not in str(e.value)
    assert [note.note_id for note in read(root, on_error="skip")] == ["a", "c"]


def test_endings_in_capitals_are_endings(tmp_path):
    root = folder(tmp_path, a_TXT="fever", a_ANN="T1\tS 0 5\tfever\n", b_Txt="cough")
    assert [(note.note_id, note.spans) for note in read(root)] == [
        ("a", (Span(0, 5, "S", id="T1"),)),
        ("b", None),
    ]
    (root / "a.ann").write_text("", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"2 \.ann files of one text"):
        read(root)


def test_the_arguments_of_a_relation_are_told_by_their_names(tmp_path):
    mentions = "T1\tA 0 1\ta\nT2\tB 2 3\tb\n"
    for line in ("R1\tRel Arg1:T1 Arg2:T2", "R1\tRel Arg2:T2 Arg1:T1", "R1\tRel From:T1 To:T2"):
        (note,) = read(folder(tmp_path, x_txt="a b", x_ann=f"{mentions}{line}\n"))
        assert note.relations == (Relation("T1", "T2", "Rel"),)


def test_attributes_of_relations_are_passed_over_and_counted(tmp_path, caplog):
    lines = "A1\tNegated R1\nT1\tA 0 1\ta\nT2\tB 2 3\tb\nR1\tRel Arg1:T1 Arg2:T2\n"
    root = folder(tmp_path, x_txt="a b", x_ann=lines + "N1\tReference R1 X:1\tx\n")
    with caplog.at_level("INFO"):
        (note,) = read(root)
    assert note.relations == (Relation("T1", "T2", "Rel"),)
    assert not any(span.attributes or span.concepts for span in note.spans)
    assert "1 attributes of relations" in caplog.text
    assert "1 concepts of relations" in caplog.text
