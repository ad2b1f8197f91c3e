"""Prodigy's annotations, in the layouts of its views."""

import json
import logging
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from clinical_tl.data.formats.files import File
from clinical_tl.data.formats.guessing import guess_format
from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import ConfigError, FaultyNotesError, NoteError
from clinical_tl.schema import Note, Relation, Span
from tests.data.strategies import note_sets

SECRET = "Quartermaine"
TEXT = "No 😀 fever, took aspirin."
HASHES = {"_input_hash": 12, "_task_hash": -34}


def tokens(text):
    found = list(re.finditer(r"\w+|[^\w\s]", text))
    return [
        {
            "text": m[0],
            "start": m.start(),
            "end": m.end(),
            "id": i,
            "ws": text[m.end() :][:1] == " ",
        }
        for i, m in enumerate(found)
    ]


FEVER = {"start": 5, "end": 10, "token_start": 2, "token_end": 2, "label": "Sign"}
ASPIRIN = {"start": 17, "end": 24, "token_start": 5, "token_end": 5, "label": "Drug"}
SPANS = (Span(5, 10, "Sign"), Span(17, 24, "Drug"))


def task(text=TEXT, answer="accept", **more):
    return {"text": text, **HASHES, "answer": answer, "tokens": tokens(text), **more}


def lines(path, *records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
    return path


@pytest.mark.parametrize("view", ["ner_manual", "spans_manual"])
def test_accepted_tasks_are_notes_and_the_others_are_counted(tmp_path, view, caplog):
    path = lines(
        tmp_path / "gold.jsonl",
        task(spans=[FEVER, ASPIRIN], _view_id=view),
        task("Seen.", "reject", spans=[], _view_id=view),
        task("Seen.", "ignore", spans=[], _view_id=view),
        task("Well.", spans=[], _view_id=view),
    )
    notes = list(read_notes(path))
    assert notes == [Note("gold-1", TEXT, spans=SPANS), Note("gold-4", "Well.", spans=())]
    assert [TEXT[s.start : s.end] for s in notes[0].spans] == re.findall("fever|aspirin", TEXT)
    assert "1 tasks with the answer 'ignore'; 1 tasks with the answer 'reject'" in caplog.text


def test_ids_come_from_meta_or_where_columns_say(tmp_path):
    path = lines(
        tmp_path / "a.jsonl",
        task(spans=[], meta={"note_id": "n7", "patient_id": 4, "nr": 9, "source": "x"}),
    )
    (note,) = read_notes(path)
    assert (note.note_id, note.patient_id, note.metadata) == ("n7", "4", {})
    (note,) = read_notes(path, columns={"note_id": "meta.nr"}, metadata_columns=["meta.source"])
    assert (note.note_id, note.metadata) == ("9", {"meta.source": "x"})
    (note,) = read_notes(path, metadata_columns="rest")
    assert note.metadata["meta"]["source"] == "x"
    assert set(note.metadata) == {"meta"}


def test_offsets_may_be_of_tokens_alone(tmp_path):
    spans = [{"token_start": 2, "token_end": 3, "label": "Sign"}]
    (note,) = read_notes(lines(tmp_path / "a.jsonl", task(spans=spans)))
    assert note.spans == (Span(5, 11, "Sign"),)


def test_relations_link_the_mentions_at_their_tokens(tmp_path):
    told = {"head": 5, "child": 2, "head_span": ASPIRIN, "child_span": FEVER, "label": "treats"}
    bare = {"head": 2, "child": 5, "label": "calls for", "color": "#fff"}
    path = lines(
        tmp_path / "a.jsonl",
        task(spans=[FEVER, ASPIRIN], relations=[told, bare], _view_id="relations"),
        task(spans=[FEVER], relations=[], _view_id="relations"),
    )
    first, second = read_notes(path)
    assert [s.id for s in first.spans] == ["T1", "T2"]
    assert first.relations == (Relation("T2", "T1", "treats"), Relation("T1", "T2", "calls for"))
    assert second.relations == ()
    lines(path, task(spans=[FEVER], relations=[{"head": 2, "child": 4, "label": "x"}]))
    with pytest.raises(FaultyNotesError, match="an end that is no mention"):
        read_notes(path)


def test_choices_are_the_label_or_codes(tmp_path, caplog):
    options = [{"id": "A", "text": "a"}, {"id": "B", "text": "b"}]

    def export(*accepted, **more):
        tasks = [task(accept=a, options=options, _view_id="choice", **more) for a in accepted]
        return lines(tmp_path / "a.jsonl", *tasks)

    with caplog.at_level(logging.INFO):
        assert read_notes(export(["A"], ["B"], []))["label"] == ["A", "B", None]
    assert "categories are read as labels" in caplog.text
    assert read_notes(export(["A", "B"], []))["codes"] == [("A", "B"), ()]
    assert read_notes(export(["A"]), cats="codes")["codes"] == [("A",)]
    multiple = export(["A"], ["B"], config={"choice_style": "multiple"})
    assert read_notes(multiple)["codes"] == [("A",), ("B",)]
    with pytest.raises(FaultyNotesError, match=r"2 categories .* cats='codes'"):
        read_notes(export(["A", "B"]), cats="label")
    with pytest.raises(ConfigError, match="cats='x'"):
        read_notes(multiple, cats="x")


def test_one_label_accepted_or_rejected_is_a_code_that_is_there_or_not(tmp_path, caplog):
    path = lines(tmp_path / "a.jsonl", task(label="A"), task(answer="reject", label="A"))
    assert read_notes(path)["codes"] == [("A",), ()]
    assert caplog.text == ""
    assert read_notes(path, cats="label")["label"] == ["A"]
    assert "1 tasks with the answer 'reject'" in caplog.text
    lines(path, task(label="A"), task(answer="reject", label="A"), task(label="B"))
    assert read_notes(path)["label"] == ["A", "B"]


def test_mentions_accepted_one_by_one_are_doubtful(tmp_path, caplog):
    read_notes(lines(tmp_path / "a.jsonl", task(spans=[FEVER], _view_id="ner")))
    assert "1 tasks of one mention each" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (task(SECRET, spans=[{"start": 0, "end": 99, "label": "X"}]), "offsets 0–99"),
        (task(SECRET, spans=[{"start": 0, "end": 2}]), "label is missing"),
        (
            task(SECRET, spans=[{"token_start": 7, "token_end": 7, "label": "X"}]),
            "start is missing",
        ),
        (task(SECRET, spans=SECRET), "spans that are no list"),
        (task(SECRET, accept=SECRET), "accept that is no list"),
        (task(SECRET, answer="maybe"), "an answer of another kind"),
        ({**HASHES, "html": SECRET}, "text is of type null"),
    ],
)
def test_faults_have_their_place_and_no_text(tmp_path, wrong, message):
    path = lines(tmp_path / "a.jsonl", task(spans=[FEVER]), wrong)
    with pytest.raises(FaultyNotesError, match=message) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert "a.jsonl:2" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["a-1"]


def test_it_is_known_by_its_look(tmp_path):
    for record, known in (
        (task(), "prodigy"),
        ({"text": "a", "tokens": tokens("a")}, "prodigy"),
        ({"note_id": "1", "text": "a", "tokens": ["a"]}, "json_lines"),
    ):
        assert guess_format(File.at(lines(tmp_path / "a.json", record))).name == known


def held(note):
    ids = {span.id for span in note.spans or ()}
    relations = note.relations and tuple(r for r in note.relations if {r.head, r.tail} <= ids)
    return replace(note, relations=relations)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets())
def test_what_is_written_comes_back(tmp_path, notes):
    # A file has one kind of categories.
    notes = [note if note.label and note.codes else replace(note, codes=None) for note in notes]
    write_notes(notes, tmp_path / "a.jsonl", format="prodigy", lossy=True)
    assert list(read_notes(tmp_path / "a.jsonl")) == [held(note) for note in notes]
    for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n"):
        written = json.loads(line)
        for token in written["tokens"]:
            assert written["text"][token["start"] : token["end"]] == token["text"]
        for span in written.get("spans", ()):
            if not span.get("fragments"):
                first, last = (written["tokens"][span[k]] for k in ("token_start", "token_end"))
                assert first["start"] <= span["start"] < first["end"]
                assert last["start"] < span["end"] <= last["end"]


def test_codes_come_back(tmp_path):
    notes = [Note("1", "a", codes=("x",)), Note("2", "b", codes=()), Note("3", "c")]
    assert write_notes(notes, tmp_path / "a.jsonl", format="prodigy").losses == {}
    assert list(read_notes(tmp_path / "a.jsonl")) == notes


def test_tokens_are_cut_where_a_mention_begins(tmp_path):
    note = Note("1", "Nonsmall cell, no", spans=(Span(3, 13, "A", id="T1"),))
    write_notes([note], tmp_path / "a.jsonl", format="prodigy")
    written = json.loads((tmp_path / "a.jsonl").read_text(encoding="utf-8"))
    assert [token["text"] for token in written["tokens"]] == ["Non", "small", "cell", ",", "no"]
    assert [token["ws"] for token in written["tokens"]] == [False, True, False, True, False]
    (span,) = written["spans"]
    assert (span["token_start"], span["token_end"]) == (1, 2)


def test_relations_between_concepts_are_lost(tmp_path):
    spans = (Span(0, 5, "A", concepts=("C1",)), Span(7, 9, "B", concepts=("C2",)))
    note = Note("1", "fever, no", spans=spans, relations=(Relation("C1", "C2", "r"),))
    with pytest.raises(NoteError, match="prodigy can't hold 1 relations"):
        write_notes([note], tmp_path / "a.jsonl", format="prodigy")


def test_codes_beside_an_answer_are_codes(tmp_path):
    record = {"note_id": "1", "text": "abc", "codes": ["I10"], "answer": "accept"}
    path = lines(tmp_path / "a.jsonl", record)
    assert list(read_notes(path)) == [Note("1", "abc", codes=("I10",))]


def test_labels_beside_codes_alone_are_counted_as_lost(tmp_path):
    label, codes = Note("1", "abc", label="x"), Note("2", "abc", codes=("I10",))
    both = Note("3", "abc", label="x", codes=("I10",))

    def losses(*notes):
        made = write_notes(notes, tmp_path / "a.jsonl", format="prodigy", lossy=True).losses
        assert (list(read_notes(tmp_path / "a.jsonl")) == list(notes)) == (made == {})
        return made

    assert losses(label, codes) == {"labels where other notes have codes alone": 1}
    assert losses(label, both) == losses(both, codes) == {}
