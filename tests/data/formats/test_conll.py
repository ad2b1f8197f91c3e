import re

import pytest
from hypothesis import HealthCheck, given, settings

from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note, Relation, Span
from tests.data.strategies import note_sets


def read(tmp_path, content, **options):
    path = tmp_path / "a.conll"
    path.write_bytes(content.encode())
    return list(read_notes(path, **options))


def test_sentences_without_marks_are_notes(tmp_path):
    content = "No\tO\nfever\tB-Sign\n\n\n#\tO\nhigh\tB-Sign\nfever\tI-Sign\n"
    assert read(tmp_path, content) == [
        Note("a-1", "No fever", spans=(Span(3, 8, "Sign"),)),
        Note("a-2", "# high fever", spans=(Span(2, 12, "Sign"),)),
    ]
    assert read(tmp_path, content, grouping="file") == [
        Note("a", "No fever\n# high fever", spans=(Span(3, 8, "Sign"), Span(11, 21, "Sign")))
    ]


@pytest.mark.parametrize(
    ("first", "second", "ids"),
    [
        ("# newdoc id = d1", "# newdoc id = d2", ["d1", "d2"]),
        ("#doc id d1", "# doc_id = d2", ["d1", "d2"]),
        ("-DOCSTART- (d1)", "-DOCSTART- (d2) O", ["d1", "d2"]),
        ("-DOCSTART- -X- -X- O", "-DOCSTART-\tO", ["a-1", "a-2"]),
    ],
)
def test_marks_make_documents(tmp_path, first, second, ids):
    content = f"{first}\n\n# sent_id = 1\na X B-x\n\nb X O\n\n{second}\n\nc X B-x\r\n"
    notes = read(tmp_path, content)
    assert notes == [
        Note(ids[0], "a\nb", spans=(Span(0, 1, "x"),)),
        Note(ids[1], "c", spans=(Span(0, 1, "x"),)),
    ]
    sentences = read(tmp_path, content, grouping="sentence")
    assert [note.text for note in sentences] == ["a", "b", "c"]


def test_an_id_column_and_chosen_columns(tmp_path):
    content = "d1\tB-x\ta\nd1\tI-x\tb\n\nd1\tO\tc\n\nd2\tO\td\n"
    notes = read(tmp_path, content, id_column=0, token_column=2, tag_column=1)
    assert notes == [
        Note("d1", "a b\nc", spans=(Span(0, 3, "x"),)),
        Note("d2", "d", spans=()),
    ]


def test_tokens_alone_are_not_annotated(tmp_path):
    assert read(tmp_path, "a\nb\n\nc\n") == [Note("a-1", "a b"), Note("a-2", "c")]


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        ("Zebra\tB-x\n\nZebra\tO\nfish\tI-x\n", 4, "has not begun"),
        ("Zebra\tO\nfish\n", 2, "1 columns"),
        ("\tO\n", 1, "without a token"),
        ("Zebra\tfish\n", 1, "not of the scheme"),
        ("# newdoc id = 1\n# newdoc id = 2\na\tO\n", 2, "no token since"),
        ("# newdoc id = 1\na\tO\n# newdoc id = 1\nb\tO\n", 4, "already given at a.conll:2"),
    ],
)
def test_faults_have_lines_and_no_text(tmp_path, content, line, found):
    with pytest.raises(FaultyNotesError) as caught:
        read(tmp_path, content)
    assert found in str(caught.value)
    assert len(caught.value.faults) == 1
    assert re.match(rf"a\.conll:{line}\b", caught.value.faults[0].where)
    assert "Zebra" not in str(caught.value)
    assert "fish" not in str(caught.value)


def test_columns_that_are_not_there(tmp_path):
    with pytest.raises(FaultyNotesError, match="2 columns; allowed: columns"):
        read(tmp_path, "a\tO\n", tag_column=3)
    with pytest.raises(FaultyNotesError, match="another document's id within a sentence"):
        read(tmp_path, "d1\ta\tO\nd2\tb\tO\n", id_column=0, token_column=1)


def test_unknown_choices(tmp_path):
    with pytest.raises(ConfigError, match="scheme='BIOX'"):
        read(tmp_path, "a\tO\n", scheme="BIOX")
    with pytest.raises(ConfigError, match="grouping='page'"):
        read(tmp_path, "a\tO\n", grouping="page")


def test_the_file_that_is_written(tmp_path):
    notes = [
        Note("d 1", "No high\nfever.\r\nCough", spans=(Span(3, 13, "Sign"), Span(16, 21, "Sign"))),
        Note("d2", "plain", spans=None),
    ]
    written = write_notes(notes, tmp_path / "a.conll")
    assert (written.notes, written.losses) == (2, {})
    assert (tmp_path / "a.conll").read_text(encoding="utf-8") == (
        "# newdoc id = d 1\nNo\tO\nhigh\tB-Sign\nfever\tI-Sign\n.\tO\n\nCough\tB-Sign\n\n"
        "# newdoc id = d2\nplain\n\n"
    )


def test_losses_are_refused_or_counted(tmp_path, caplog):
    note = Note(
        "1",
        "no high fever",
        patient_id="p",
        label="l",
        codes=(),
        spans=(
            Span(3, 13, "a", id="T1"),
            Span(8, 13, "b", concepts=("c",), attributes=(("n", "v"),)),
            Span(3, 12, "c", score=0.5),
            Span(0, 7, "d", fragments=((0, 2), (4, 7))),
        ),
        relations=(Relation("T1", "T1", "r"),),
        metadata={"a": 1},
    )
    with pytest.raises(NoteError, match="2 mentions that overlap a longer one") as caught:
        write_notes([note], tmp_path / "a.conll")
    assert "fever" not in str(caught.value)
    assert not (tmp_path / "a.conll").exists()
    written = write_notes([note], tmp_path / "a.conll", lossy=True)
    assert written.losses == {
        "attributes": 1,
        "codes (notes)": 1,
        "concepts": 1,
        "discontinuous mentions": 1,
        "labels": 1,
        "mentions that overlap a longer one": 2,
        "metadata (notes)": 1,
        "patient ids": 1,
        "relations (notes)": 1,
        "scores": 1,
    }
    assert "2 mentions that overlap a longer one" in caplog.text
    assert next(iter(read_notes(tmp_path / "a.conll"))).spans == (Span(3, 13, "a"),)


def test_a_chinese_and_a_thai_note_come_back_as_they_were(tmp_path):
    notes = [
        Note("1", "患者有高血压，CT示肺炎3年。", spans=(Span(3, 6, "Dx"), Span(10, 12, "Dx"))),
        Note("2", "ผู้ป่วยมีไข้", spans=(Span(9, 12, "Dx"),)),
        Note("3", "고혈압은 3년", spans=(Span(0, 4, "Dx"),)),
    ]
    assert not write_notes(notes, tmp_path / "a.conll").losses
    once = list(read_notes(tmp_path / "a.conll"))
    assert once == notes
    content = (tmp_path / "a.conll").read_text(encoding="utf-8")
    assert "高\tB-Dx\n血\tI-Dx\n压\tI-Dx\n，\tO\nCT\tO\n" in content


def test_words_are_cut_where_a_mention_needs_it_and_that_is_counted(tmp_path):
    spans = (Span(0, 9, "Sign"), Span(20, 22, "Unit"), Span(26, 30, "Sign"), Span(3, 9, "Sign"))
    note = Note("1", "Blutdruckabfall nach 5mg. PainDenies", spans=spans)
    with pytest.raises(NoteError, match="words cut"):
        write_notes([note], tmp_path / "a.conll")
    note = Note("1", "Blutdruckabfall nach 5mg. PainDenies", spans=(Span(0, 9, "Sign"), *spans[2:]))
    written = write_notes([note], tmp_path / "a.conll", lossy=True)
    assert written.losses == {
        "mentions that overlap a longer one": 1,
        "words cut where a mention begins or ends": 2,
    }
    (once,) = list(read_notes(tmp_path / "a.conll"))
    assert once.text == "Blutdruck abfall nach 5mg . Pain Denies"
    assert [(s.start, s.end) for s in once.spans] == [(0, 9), (28, 32)]


def test_a_character_is_not_cut(tmp_path):
    note = Note("1", "cafe\u0301s", spans=(Span(0, 4, "a"),))
    with pytest.raises(NoteError, match="1 mentions that begin or end inside a character"):
        write_notes([note], tmp_path / "a.conll")


def test_ids_that_do_not_fit_in_a_line(tmp_path):
    with pytest.raises(NoteError, match="fit in one line"):
        write_notes([Note("a\nb", "c")], tmp_path / "a.conll")


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets())
def test_mentions_keep_their_tokens_and_a_second_trip_changes_nothing(tmp_path, notes):
    def squeezed(text):
        return "".join(re.findall(r"\S", text))

    written = write_notes(notes, tmp_path / "a.conll", lossy=True)
    once = list(read_notes(tmp_path / "a.conll"))
    assert [squeezed(n.text) for n in once] == [squeezed(n.text) for n in notes]
    assert [n.spans is None for n in once] == [n.spans is None for n in notes]
    lost = sum(n for what, n in written.losses.items() if "mentions" in what)
    assert sum(len(n.spans or ()) for n in once) == sum(len(n.spans or ()) for n in notes) - lost
    for before, after in zip(notes, once, strict=True):
        gold = {(squeezed(before.text[s.start : s.end]), s.label) for s in before.spans or ()}
        assert {(squeezed(after.text[s.start : s.end]), s.label) for s in after.spans or ()} <= gold
    write_notes(once, tmp_path / "b.conll")
    assert list(read_notes(tmp_path / "b.conll")) == once


@pytest.mark.parametrize(
    ("marks", "ids"),
    [
        (("###MEDLINE:111", "###MEDLINE:222"), ["111", "222"]),
        (("###111", "### 222"), ["111", "222"]),
        (("###", "###"), ["a-1", "a-2"]),
        (("#### PMID = 111", "#### PMID = 222"), ["111", "222"]),
        (
            ("#begin document (x/1); part 000", "#begin document (x/1); part 001"),
            ["x/1-part-000", "x/1-part-001"],
        ),
    ],
)
def test_marks_of_other_corpora_make_documents(tmp_path, marks, ids):
    first, second = marks
    content = f"{first}\n\na\tB-x\n\nb\tO\n#end document\n\n{second}\n\nc\tB-x\n"
    assert read(tmp_path, content) == [
        Note(ids[0], "a\nb", spans=(Span(0, 1, "x"),)),
        Note(ids[1], "c", spans=(Span(0, 1, "x"),)),
    ]


@pytest.mark.parametrize("token", ["###", "#### 5", "#refills=2", "#docid7", "#newpar", "# a=b"])
def test_a_token_that_begins_as_marks_and_comments_do_is_a_token(tmp_path, token):
    for row in (f"{token}\tO", f"{token}\tB-x=y"):
        content = f"# newdoc id = d\na\tO\n{row}\nb\tO\n"
        (note,) = read(tmp_path, content)
        assert note.text == f"a {token} b"
        assert note.note_id == "d"
    if " " not in token:
        (note,) = read(tmp_path, f"-DOCSTART- (d) O\n\na X O\n{token} X O\n")
        assert note.text == f"a {token}"


def test_a_row_that_is_no_source_is_not_left_out(tmp_path):
    with pytest.raises(FaultyNotesError, match="2 columns; allowed: 1"):
        read(tmp_path, "# newdoc id = d\n#\npain\tO\nhere\tO\n")
    with pytest.raises(FaultyNotesError, match="3 columns; allowed: 2"):
        read(tmp_path, "#\tO\npain\tO\tO\n\na\tO\n\nb\tO\n")


def test_labels_that_look_like_comments_come_back(tmp_path):
    note = Note("n", "a # 5 b", spans=(Span(2, 5, "k=v"),))
    assert write_notes([note], tmp_path / "a.conll").losses == {}
    assert list(read_notes(tmp_path / "a.conll")) == [note]


def test_a_mark_that_is_not_known_is_no_note(tmp_path):
    content = "@@@1\n\na\tB-x\n\nb\tO\n"
    with pytest.raises(FaultyNotesError, match=r"a\.conll:1 .*a line of one column between"):
        read(tmp_path, content)
    assert [note.text for note in read(tmp_path, content, on_error="skip")] == ["a", "b"]


OTHER_TAGS = {
    "IOBES": "a\tS-x\n\nb\tB-x\nc\tE-x\n\nd\tO\n\ne\tO\n",
    "BILOU": "a\tU-x\n\nb\tB-x\nc\tL-x\n\nd\tO\n\ne\tO\n",
    "IOB1": "a\tI-x\n\nb\tI-x\nc\tI-x\n\nd\tO\n\ne\tO\n",
}


@pytest.mark.parametrize("scheme", OTHER_TAGS)
def test_a_scheme_that_was_asked_for_and_is_not_the_files_is_not_skipped(tmp_path, scheme):
    for options in ({}, {"on_error": "skip"}):
        with pytest.raises(FaultyNotesError, match=f"allowed: scheme='{scheme}'"):
            read(tmp_path, OTHER_TAGS[scheme], scheme="BIO", **options)
    assert len(read(tmp_path, OTHER_TAGS[scheme], scheme=scheme)) == 4


@pytest.mark.parametrize("scheme", OTHER_TAGS)
def test_the_scheme_is_found_out_and_said(tmp_path, scheme, caplog):
    caplog.set_level("INFO")
    found = read(tmp_path, OTHER_TAGS[scheme])
    assert found == read(tmp_path, OTHER_TAGS[scheme], scheme=scheme)
    assert [len(note.spans) for note in found] == [1, 1, 0, 0]
    assert found[1].spans == (Span(0, 3, "x"),)
    assert f"a.conll: the tags are read as {scheme}" in caplog.text


@pytest.mark.parametrize(
    "tags",
    [
        "b-x i-x o b-y",
        "B_x I_x O B_y",
        "x-B x-I O y-B",
        "x_b-B x_b-I O y-B",
        "B-x M-x E-x O S-y",
        "B-x E-x O W-y",
        "B-x L-x O U-y",
        "x x O y",
        "I-x I-x O I-y",
    ],
)
def test_tags_are_spelled_in_several_ways(tmp_path, tags):
    tags = tags.split()
    tokens = "abcde"[: len(tags)]
    content = "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))
    (note,) = read(tmp_path, content)
    first = "x_b" if "x_b" in tags[0] else "x"
    last = 2 * len(tags) - 2
    assert note.spans == (Span(0, last - 3, first), Span(last, last + 1, "y"))


def test_several_schemes_in_one_file_are_refused_with_the_best_guess(tmp_path):
    sentences = ["a\tB-x\nb\tI-x\nc\tI-x", "a\tB-x\nb\tE-x", "a\tB-x\nb\tL-x"]
    content = "".join(f"{sentence}\n\n" * 4 for sentence in [*sentences, sentences[0]])
    with pytest.raises(FaultyNotesError, match="a valid BIO sequence"):
        read(tmp_path, content)
    content = "".join(f"{sentence}\n\n" * 4 for sentence in sentences)
    with pytest.raises(FaultyNotesError, match=r"4 of 12 sentences .* tags of one scheme"):
        read(tmp_path, content, on_error="skip")


def test_labels_alone_are_tags_beside_an_o_and_nothing_else(tmp_path):
    notes = read(tmp_path, "a\tGENE\n\nb\tGENE\nc\tGENE\n\nd\tO\n")
    assert [note.spans for note in notes] == [(Span(0, 1, "GENE"),), (Span(0, 3, "GENE"),), ()]
    # Parts of speech, perhaps.
    with pytest.raises(FaultyNotesError, match="tags of one scheme"):
        read(tmp_path, "a\tNN\n\nb\tVB\n\nc\tNN\n", on_error="skip")


def test_marks_without_labels_need_one(tmp_path):
    content = "a\tB\nb\tI\n\nc\tO\n"
    with pytest.raises(FaultyNotesError, match="mention_label='…'"):
        read(tmp_path, content, on_error="skip")
    notes = read(tmp_path, content, mention_label="Disease")
    assert [note.spans for note in notes] == [(Span(0, 3, "Disease"),), ()]


@pytest.mark.parametrize(
    "content",
    [
        "B-x\ta\nI-x\tb\n\nO\tc\n",
        "a    B-x\nb  I-x\n\n  c   O\n",
        "a \t NN \t B-x\nb \t NN\t  I-x \n\nc\tNN\tO\n",
        "a\tB-x\tdoc7\t0\nb\tI-x\tdoc7\t2\n\nc\tO\tdoc7\t4\n",
        "a\tB-x\t\nb\tI-x\t\n\nc\tO\t\n",
        "0\ta\tB-x\n1\tb\tI-x\n\n0\tc\tO\n",
        "#\thttp://a.de [2014]\n1\ta\tB-x\n2\tb\tI-x\n\n#\tb.de\n1\tc\tO\n",
        "# global.columns = ID FORM NE\n# newpar\n# text = a\tb\n"
        "1-2\tab\t_\n1\ta\tB-x\n2\tb\tI-x\n2.1\tz\t_\n\n1\tc\tO\n",
    ],
)
def test_columns_are_found_where_they_are(tmp_path, content):
    assert read(tmp_path, content) == [
        Note("a-1", "a b", spans=(Span(0, 3, "x"),)),
        Note("a-2", "c", spans=()),
    ]


def test_a_last_column_with_a_slip_is_still_the_one_of_the_tags(tmp_path):
    content = "a NN B-NP B-x\nb NN I-NP O\n\nc NN B-NP O\nd NN I-NP I-x\n"
    with pytest.raises(FaultyNotesError, match="has not begun"):
        read(tmp_path, content)
    assert [note.spans for note in read(tmp_path, content, on_error="skip")] == [(Span(0, 1, "x"),)]


@pytest.mark.parametrize(
    "content",
    [
        "1\tder\tO\tO\n2\tBerliner\tB-LOCderiv\tO\n3\tUni\tB-ORG\tB-LOC\n",
        "1\tder\tO\tO\n2\tBerliner\tB-LOC\tO\n3\tUni\tO\tO\n",
        "1\tder\tO\tO\n2\tBerliner\tLOC_B\tO\n3\tUni\tO\tORG_B\n",
        "1\tder\tO\tO\n2\tBerliner\tB-LOC\tB-LOC\n3\tUni\tO\tO\n",
    ],
)
def test_two_columns_of_tags_are_refused_until_one_is_named(tmp_path, content):
    with pytest.raises(
        FaultyNotesError, match=r"columns: \[2, 3\] .*allowed: tag_column="
    ) as caught:
        read(tmp_path, content, on_error="skip")
    assert "Berliner" not in str(caught.value)
    (note,) = read(tmp_path, content, tag_column=2)
    assert note.text == "der Berliner Uni"
    assert note.spans[0].label.startswith("LOC")


def test_phrases_beside_the_tags_are_no_rivals(tmp_path):
    content = "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nit PRP B-NP O\nis VB B-VP O\n"
    assert [len(note.spans) for note in read(tmp_path, content)] == [1, 0]


def test_a_column_of_ids_is_not_taken_for_tokens(tmp_path):
    content = "doc1\tEU\tB-ORG\ndoc1\trejects\tO\ndoc1\tit\tO\ndoc2\tNo\tO\ndoc2\tno\tO\n"
    for own in (content, content.replace("doc2\tNo", "\ndoc2\tNo")):
        with pytest.raises(FaultyNotesError, match=r"column 0 .*allowed: token_column=") as caught:
            read(tmp_path, own, on_error="skip")
        assert "doc1" not in str(caught.value)
    notes = read(tmp_path, own, token_column=1, id_column=0)
    assert [(note.note_id, note.text) for note in notes] == [
        ("doc1", "EU rejects it"),
        ("doc2", "No no"),
    ]
    (note,) = read(tmp_path, "no no\tDT\tO\nno\tDT\tO\nno\tDT\tO\n")
    assert note.text == "no no no no"


def test_blank_lines_may_part_documents(tmp_path):
    content = "\n\na\tB-x\n\nb\tO\n\n \nc\tO\n\n\n\nd\tO\n\n\n"
    notes = read(tmp_path, content, grouping="blank_lines")
    assert [(note.note_id, note.text) for note in notes] == [
        ("a-1", "a\nb"),
        ("a-2", "c"),
        ("a-3", "d"),
    ]


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.dat"])
def test_it_is_known_by_its_look(tmp_path, name):
    (tmp_path / name).write_text("a\tO\nfever\tB-x\n\n###1\nb\tO\n", encoding="utf-8")
    assert len(list(read_notes(tmp_path / name))) == 2


def test_a_table_is_not_taken_for_it(tmp_path):
    (tmp_path / "a.tsv").write_text("text\tlabel\nfever\tB-x\n\nb\tO\n", encoding="utf-8")
    assert [n.label for n in read_notes(tmp_path / "a.tsv", make_ids=True)] == ["B-x", "O"]


def test_one_odd_sentence_of_many_is_skipped_alone(tmp_path):
    content = "a\tB-x\n\n" * 5 + "b\tE-x\n\n"
    assert len(read(tmp_path, content, on_error="skip")) == 5


def test_a_long_line_that_is_nearly_a_mark_takes_no_longer(tmp_path):
    with pytest.raises(FaultyNotesError, match="not of the scheme"):
        read(tmp_path, "# doc id" + " " * 50_000 + "\tx\n")


@pytest.mark.parametrize("name", ["a.conll", "a.dat"])
def test_lines_may_end_as_on_old_macs(tmp_path, name):
    (tmp_path / name).write_bytes(b"EU\tB-ORG\rrejects\tO\r\rGerman\tB-MISC\r")
    notes = list(read_notes(tmp_path / name))
    assert [note.text for note in notes] == ["EU rejects", "German"]


def test_parts_of_one_stem_have_ids_of_their_own(tmp_path):
    for name in ("a.1.conll", "a.2.conll", "b.conll", "c.bio", "c.iob"):
        (tmp_path / name).write_text("a\tO\n", encoding="utf-8")
    ids = [note.note_id for note in read_notes(tmp_path, format="conll")]
    assert ids == ["a.1-1", "a.2-1", "b-1", "c.bio-1", "c.iob-1"]
