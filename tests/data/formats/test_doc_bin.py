import logging
import zlib

import pytest
import spacy
from hypothesis import HealthCheck, given, settings
from spacy.tokens import Doc, DocBin

from clinical_tl.data.formats.doc_bin import RECORD_KEY, docs_to_notes, notes_to_docs
from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note, Span
from tests.data.strategies import note_sets

TEXT = "Nonsmall cell cancer, no fever."
CANCER = Span(3, 20, "Problem", concepts=("D1",))
FEVER = Span(25, 30, "Sign", id="T2", attributes=(("negation", "true"),), score=0.5)


def contiguous(notes):
    """What spaCy's own layer of spans can say of the notes' mentions."""
    return [
        [(s.start, s.end, s.label) for s in note.spans or () if not s.is_discontinuous]
        for note in notes
    ]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets())
def test_notes_come_back_as_they_were_written(tmp_path, notes):
    write_notes(notes, tmp_path / "notes.spacy")
    assert list(read_notes(tmp_path / "notes.spacy")) == notes
    docs = notes_to_docs(notes)
    assert [doc.text for doc in docs] == [note.text for note in notes]
    assert [
        [(s.start_char, s.end_char, s.label_) for s in doc.spans.get("clinical_tl", ())]
        for doc in docs
    ] == contiguous(notes)


def test_mentions_cut_tokens_and_the_rest_is_as_the_tokenizer_has_it(caplog):
    (doc,) = notes_to_docs([Note("1", TEXT, spans=(CANCER, FEVER))])
    assert caplog.text == ""
    assert [t.text for t in doc][:4] == ["Non", "small", "cell", "cancer"]
    plain = [t.text for t in spacy.blank("en")(TEXT)]
    assert [t.text for t in doc][4:] == plain[-4:]
    assert [(e.text, e.label_, e.kb_id_) for e in doc.ents] == [
        ("small cell cancer", "Problem", "D1"),
        ("fever", "Sign", ""),
    ]
    (odd,) = notes_to_docs([Note("1", "a fever now", spans=(Span(1, 8, "X"),))])
    assert [(t.text, t.whitespace_) for t in odd] == [
        ("a", " "),
        ("fever", " "),
        ("now", ""),
    ]


def test_what_is_not_annotated_stays_so():
    missing, empty = notes_to_docs([Note("1", "fever"), Note("2", "fever", spans=(), codes=())])
    assert not missing.has_annotation("ENT_IOB")
    assert empty.has_annotation("ENT_IOB")
    layered = docs_to_notes([missing, empty], mentions="ents")
    assert [note.spans for note in layered] == [None, ()]


def test_overlapping_and_discontinuous_mentions_are_counted(caplog):
    inner = Span(9, 13, "Part")
    split = Span(0, 20, "Problem", fragments=((0, 3), (14, 20)))
    with caplog.at_level(logging.WARNING):
        (doc,) = notes_to_docs([Note("1", TEXT, spans=(inner, CANCER, split))])
    assert [e.label_ for e in doc.ents] == ["Problem"]
    assert [s.label_ for s in doc.spans["clinical_tl"]] == ["Part", "Problem"]
    assert "1 mentions overlap a longer one" in caplog.text
    assert "1 are discontinuous" in caplog.text
    assert "cancer" not in caplog.text


def test_categories_name_every_label_and_code():
    notes = [Note("1", "a", label="A", codes=("I10",)), Note("2", "b", label="B", codes=())]
    docs = notes_to_docs([*notes, Note("3", "c")])
    assert [doc.cats for doc in docs] == [
        {"A": 1.0, "B": 0.0, "I10": 1.0},
        {"A": 0.0, "B": 1.0, "I10": 0.0},
        {},
    ]


def test_documents_of_others_are_read_by_their_layers(tmp_path):
    nlp = spacy.blank("en")
    first, second = nlp("Has ague."), nlp("Well.")
    first.ents = [Doc.char_span(first, 4, 8, label="P", kb_id="D2")]
    first.spans["sc"] = [first.char_span(0, 3, label="V")]
    first.cats = {"A": 0.9, "B": 0.1}
    DocBin(docs=[first, second]).to_disk(tmp_path / "theirs.spacy")
    path = tmp_path / "theirs.spacy"
    assert list(read_notes(path)) == [
        Note("theirs-1", "Has ague.", label="A", spans=(Span(4, 8, "P", concepts=("D2",)),)),
        Note("theirs-2", "Well."),
    ]
    codes = list(read_notes(path, cats="codes"))
    assert [note.codes for note in codes] == [("A",), None]
    (note,) = docs_to_notes([first], mentions="spans", spans_key="sc", cats="ignore")
    assert (note.label, note.spans) == (None, (Span(0, 3, "V"),))
    with pytest.raises(FaultyNotesError, match=r"theirs.spacy:2: no doc.spans\['sc'\]"):
        read_notes(path, mentions="spans", spans_key="sc")
    with pytest.raises(FaultyNotesError, match="a document without a record"):
        read_notes(path, mentions="record")


def test_faults_are_told_with_their_place(tmp_path):
    doc = spacy.blank("en")("Zebrafish")
    doc.cats = {"A": 0.9, "B": 0.8}
    with pytest.raises(FaultyNotesError, match="2 categories at or above") as error:
        docs_to_notes([doc])
    assert "Zebrafish" not in str(error.value)
    for record in ("{", "[]", b"\xff"):
        doc.user_data[RECORD_KEY] = record
        with pytest.raises(FaultyNotesError, match="broken record"):
            docs_to_notes([doc])
    for content in (b"", b"no DocBin", DocBin(docs=[doc]).to_bytes()[:-9]):
        (tmp_path / "bad.spacy").write_bytes(content)
        with pytest.raises(FaultyNotesError, match="no sound DocBin"):
            read_notes(tmp_path / "bad.spacy")
    with pytest.raises(ConfigError, match="mentions='tags'"):
        docs_to_notes([doc], mentions="tags")
    with pytest.raises(ConfigError, match="cats='all'"):
        docs_to_notes([doc], cats="all")
    with pytest.raises(NoteError, match="note 1: an empty note"):
        notes_to_docs([Note("1", " ")])


def test_the_same_notes_give_the_same_bytes(tmp_path):
    notes = [Note("1", TEXT, spans=(CANCER, FEVER), label="A"), Note("2", "x", label="B")]
    for name in ("a.spacy", "b.spacy"):
        write_notes(notes, tmp_path / name)
    assert (tmp_path / "a.spacy").read_bytes() == (tmp_path / "b.spacy").read_bytes()


def test_spacy_trains_on_the_file(tmp_path):
    from spacy.training import Corpus

    nlp = spacy.blank("en")
    write_notes([Note("1", TEXT, spans=(CANCER, FEVER))], tmp_path / "train.spacy")
    (example,) = Corpus(tmp_path / "train.spacy")(nlp)
    assert [e.text for e in example.reference.ents] == ["small cell cancer", "fever"]


def test_a_blank_category_is_a_fault_as_it_is_elsewhere():
    doc = spacy.blank("en")("fever")
    doc.cats = {"\t": 1.0}
    with pytest.raises(FaultyNotesError, match="a blank label"):
        docs_to_notes([doc])


def test_a_documents_own_errors_are_its_own_faults():
    class Broken:
        def __init__(self):
            self.text, self.user_data, self.cats = "SECRET", {}, {}

        def has_annotation(self, _):
            raise OverflowError("SECRET")

    sound = spacy.blank("en")("fever")
    with pytest.raises(FaultyNotesError, match=r"OverflowError") as caught:
        docs_to_notes([sound, Broken(), sound])
    assert "SECRET" not in str(caught.value)
    assert len(caught.value.faults) == 1


def test_a_file_that_grows_out_of_proportion_is_refused(tmp_path):
    (tmp_path / "a.spacy").write_bytes(zlib.compress(bytes(80 * 2**20), 9))
    with pytest.raises(FaultyNotesError, match=r"packed data .* unpack it"):
        read_notes(tmp_path / "a.spacy")
