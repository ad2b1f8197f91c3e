"""Label Studio's exports, in the layouts of its JSON, JSON-MIN, CSV and TSV."""

import csv
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


def region(start, end, *labels, text=None, name="r1", **more):
    value = {"start": start, "end": end, "labels": list(labels)}
    if text is not None:
        value["text"] = text
    return {
        "id": name,
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": value,
        "origin": "manual",
        **more,
    }


def choice(*chosen, control="kind", **value):
    return {
        "id": "c1",
        "from_name": control,
        "to_name": "text",
        "type": "choices",
        "value": {"choices": list(chosen), **value},
    }


def annotation(*result, **more):
    return {
        "id": 5,
        "completed_by": 1,
        "result": list(result),
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2024-03-01T10:00:00.000Z",
        "lead_time": 3.1,
        **more,
    }


def task(number, *annotations, text=TEXT, **more):
    return {
        "id": number,
        "annotations": list(annotations),
        "drafts": [],
        "predictions": [],
        "data": {"text": text},
        "meta": {},
        "created_at": "2024-03-01T09:00:00.000Z",
        **more,
    }


def export(path, *tasks):
    path.write_text(json.dumps(list(tasks)), encoding="utf-8")
    return path


FEVER = region(5, 10, "Sign", text="fever", name="a")
ASPIRIN = region(17, 24, "Drug", text="aspirin", name="b")
SPANS = (Span(5, 10, "Sign", id="a"), Span(17, 24, "Drug", id="b"))


def test_mentions_and_what_no_mention_means(tmp_path):
    path = export(
        tmp_path / "project-1.json",
        task(1, annotation(FEVER, ASPIRIN)),
        task(2, annotation(), text="Well."),
        task(3, text="Unseen."),
    )
    notes = list(read_notes(path))
    assert notes == [
        Note("1", TEXT, spans=SPANS),
        Note("2", "Well.", spans=()),
        Note("3", "Unseen."),
    ]
    assert [TEXT[s.start : s.end] for s in notes[0].spans] == re.findall("fever|aspirin", TEXT)


def test_offsets_in_units_of_utf16_are_known_by_the_quoted_text(tmp_path, caplog):
    moved = [region(6, 11, "Sign", text="fever", name="a"), region(18, 25, "Drug", text="aspirin")]
    (note,) = read_notes(export(tmp_path / "a.json", task(1, annotation(*moved))))
    assert [(s.start, s.end) for s in note.spans] == [(5, 10), (17, 24)]
    assert "units of UTF-16" in caplog.text


def test_quoted_line_breaks_may_be_written_out(tmp_path):
    ours = region(0, 11, "Sign", text="chest\\n pain")
    (note,) = read_notes(
        export(tmp_path / "a.json", task(1, annotation(ours), text="chest\n pain"))
    )
    assert note.spans == (Span(0, 11, "Sign", id="r1"),)


def test_of_several_annotations_the_ground_truth_or_the_last_is_read(tmp_path, caplog):
    old = annotation(FEVER, created_at="2024-01-01T00:00:00Z")
    new = annotation(ASPIRIN, created_at="2024-02-01T00:00:00Z")
    gold = annotation(FEVER, ASPIRIN, created_at="2023-01-01T00:00:00Z", ground_truth=True)
    cancelled = annotation(created_at="2025-01-01T00:00:00Z", was_cancelled=True)
    path = export(
        tmp_path / "a.json",
        task(1, new, old, cancelled),
        task(2, old, gold, new),
        task(3, cancelled),
    )
    notes = list(read_notes(path))
    assert [[s.label for s in note.spans] for note in notes] == [["Drug"], ["Sign", "Drug"]]
    assert "1 tasks that annotators skipped" in caplog.text
    assert "3 annotations beside the one of a task that is read" in caplog.text


def test_one_choice_is_the_label_and_several_are_codes(tmp_path, caplog):
    path = export(
        tmp_path / "a.json", task(1, annotation(choice("x"))), task(2, annotation(choice("y")))
    )
    with caplog.at_level(logging.INFO):
        notes = read_notes(path)
    assert (notes["label"], notes["codes"], notes["spans"]) == (["x", "y"], [None] * 2, [None] * 2)
    assert "categories are read as labels" in caplog.text
    export(path, task(1, annotation(choice("x", "y"))), task(2, annotation()), task(3))
    assert read_notes(path)["codes"] == [("x", "y"), (), None]
    with pytest.raises(FaultyNotesError, match="2 categories of one text"):
        read_notes(path, cats="label")
    taxonomy = {
        "from_name": "icd",
        "to_name": "text",
        "type": "taxonomy",
        "value": {"taxonomy": [["I", "I10"], ["E", "E11", "E11.9"]]},
    }
    export(path, task(1, annotation(taxonomy)))
    assert read_notes(path)["codes"] == [("I10", "E11.9")]


def test_choices_of_several_controls_have_to_be_told_apart(tmp_path):
    both = annotation(choice("x"), choice("I10", "E11", control="icd"), FEVER)
    path = export(tmp_path / "a.json", task(1, both))
    with pytest.raises(FaultyNotesError, match=r"choices of 2 controls, \['icd', 'kind'\]"):
        read_notes(path)
    (note,) = read_notes(path, label_control="kind", codes_control="icd")
    assert (note.label, note.codes, len(note.spans)) == ("x", ("I10", "E11"), 1)
    (note,) = read_notes(path, cats="ignore")
    assert (note.label, note.codes) == (None, None)


def test_answers_about_a_region_are_its_attributes(tmp_path):
    sure = choice("no", control="certain", start=5, end=10) | {"id": "a"}
    cui = {
        "id": "a",
        "from_name": "concepts",
        "type": "textarea",
        "value": {"start": 5, "end": 10, "text": ["C1"]},
    }
    (note,) = read_notes(export(tmp_path / "a.json", task(1, annotation(FEVER, sure, cui))))
    assert note.spans == (replace(SPANS[0], attributes=(("certain", "no"),), concepts=("C1",)),)
    assert note.label is None


def test_relations_have_their_direction(tmp_path):
    def link(direction, *labels):
        link = {"from_id": "a", "to_id": "b", "type": "relation", "direction": direction}
        return link | ({"labels": list(labels)} if labels else {})

    links = [link("right", "x"), link("left", "y", "z"), link("bi", "w"), link("right")]
    path = export(
        tmp_path / "a.json",
        task(1, annotation(FEVER, ASPIRIN, *links)),
        task(2, annotation(FEVER)),
    )
    first, second = read_notes(path)
    assert [(r.head, r.tail, r.label) for r in first.relations] == [
        ("a", "b", "x"),
        ("b", "a", "y"),
        ("b", "a", "z"),
        ("a", "b", "w"),
        ("b", "a", "w"),
        ("a", "b", "relation"),
    ]
    assert second.relations == ()


def test_a_region_of_several_labels_is_several_mentions(tmp_path):
    (note,) = read_notes(
        export(tmp_path / "a.json", task(1, annotation(region(5, 10, "A", "B", name="a"))))
    )
    assert note.spans == (Span(5, 10, "A", id="a"), Span(5, 10, "B", id="a#2"))


def test_predictions_are_read_when_asked_for(tmp_path, caplog):
    found = {"model_version": "m", "score": 0.5, "result": [FEVER | {"score": 0.75}]}
    path = export(tmp_path / "a.json", task(1, predictions=[found]))
    assert list(read_notes(path)) == [Note("1", TEXT)]
    assert "1 tasks with predictions alone" in caplog.text
    (note,) = read_notes(path, layer="predictions")
    assert note.spans == (replace(SPANS[0], score=0.75),)
    with pytest.raises(ConfigError, match="layer='drafts'"):
        read_notes(path, layer="drafts")


def test_the_text_may_have_another_key(tmp_path):
    one = task(1, annotation(FEVER), data={"letter": TEXT, "age": 61})
    assert read_notes(export(tmp_path / "a.json", one))["text"] == [TEXT]
    two = task(1, annotation(FEVER), data={"letter": TEXT, "ward": "B", "patient": "p1"})
    path = export(tmp_path / "a.json", two)
    with pytest.raises(FaultyNotesError, match=r"no 'text', and 3 other strings.*'data.<key>'"):
        read_notes(path)
    columns = {"text": "data.letter", "patient_id": "data.patient"}
    (note,) = read_notes(path, columns=columns, metadata_columns=["data.ward"])
    assert note == Note("1", TEXT, patient_id="p1", spans=SPANS[:1], metadata={"data.ward": "B"})


def flat(number, *regions, **more):
    return {
        "text": TEXT,
        "id": number,
        "label": [r["value"] for r in regions],
        "annotator": 1,
        "annotation_id": 5,
        "created_at": "2024-03-01T10:00:00.000Z",
        "updated_at": "2024-03-01T10:00:00.000Z",
        "lead_time": 3.1,
        **more,
    }


def test_json_min(tmp_path):
    path = export(tmp_path / "a.json", flat(1, FEVER, ASPIRIN, kind="x"), flat(2, kind="y"))
    notes = list(read_notes(path, label_control="kind"))
    assert notes == [
        Note("1", TEXT, label="x", spans=(Span(5, 10, "Sign"), Span(17, 24, "Drug"))),
        Note("2", TEXT, label="y", spans=()),
    ]
    assert read_notes(path, columns={"label": "kind"})["label"] == ["x", "y"]
    several = [flat(1, kind={"choices": ["x", "y"]}), flat(2, kind="y")]
    assert read_notes(export(path, *several))["codes"] == [("x", "y"), ("y",)]


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t")])
def test_tables_hold_json_in_their_cells(tmp_path, name, delimiter):
    records = [flat(1, FEVER, ASPIRIN, kind="x"), flat(2, kind={"choices": ["x", "y"]})]
    with (tmp_path / name).open("w", newline="", encoding="utf-8") as stream:
        fields = sorted(records[0])
        writer = csv.DictWriter(stream, fields, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        for record in records:
            cells = {
                key: json.dumps(value) if isinstance(value, list | dict) else value
                for key, value in record.items()
            }
            writer.writerow(cells)
    notes = list(read_notes(tmp_path / name))
    assert [note.note_id for note in notes] == ["1", "2"]
    assert [(s.start, s.end, s.label) for s in notes[0].spans] == [
        (5, 10, "Sign"),
        (17, 24, "Drug"),
    ]
    assert [note.codes for note in notes] == [("x",), ("x", "y")]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (annotation(region(0, 99, "X")), "offsets 0–99 in a text of 12"),
        (annotation(region(0, 2, "X", text="zz")), "do not cover the quoted mention"),
        (annotation(region(0, 2)), "a mention without a label"),
        (annotation(region("/p[1]/text()[1]", "/p[1]", "X")), "mentions in HTML"),
        (annotation(region(0, 2, "X") | {"type": "hypertextlabels"}), "mentions in HTML"),
        (annotation() | {"result": SECRET}, "result that are no list"),
        (
            annotation({"type": "relation", "from_id": "q", "to_id": "r", "labels": ["x"]}),
            "relations whose head",
        ),
    ],
)
def test_faults_have_their_place_and_no_text(tmp_path, wrong, message):
    path = tmp_path / "a.json"
    tasks = [task(1, annotation(FEVER)), task(2, wrong, text=SECRET)]
    path.write_text("[" + ",\n".join(map(json.dumps, tasks)) + "]", encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=message) as caught:
        read_notes(path)
    assert len(caught.value.faults) == 1
    assert "a.json:2" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert read_notes(path, on_error="skip")["note_id"] == ["1"]


def test_texts_that_lie_elsewhere_are_named(tmp_path):
    path = export(tmp_path / "a.json", task(1, annotation(), text="s3://bucket/note.txt"))
    with pytest.raises(FaultyNotesError, match="an address in place of the text"):
        read_notes(path)


def test_other_answers_are_counted(tmp_path, caplog):
    stars = {"type": "rating", "from_name": "q", "value": {"rating": 3}}
    read_notes(export(tmp_path / "a.json", task(1, annotation(FEVER, stars))))
    assert "1 answers of type 'rating'" in caplog.text


def test_it_is_known_by_its_look(tmp_path):
    for tasks, known in (
        ([task(1, annotation())], "label_studio"),
        ([flat(1)], "label_studio"),
        ([{"note_id": "1", "text": "a", "data": {}}], "json_lines"),
    ):
        assert guess_format(File.at(export(tmp_path / "a.json", *tasks))).name == known


def held(note):
    """What Label Studio's tasks can hold of a note."""
    spans = note.spans and tuple(span for span in note.spans if not span.is_discontinuous)
    ids = {span.id for span in spans or ()}
    relations = note.relations and tuple(r for r in note.relations if {r.head, r.tail} <= ids)
    return replace(note, spans=spans, relations=relations)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets())
def test_what_is_written_comes_back(tmp_path, notes):
    write_notes(notes, tmp_path / "a.json", format="label_studio", lossy=True)
    scored = [any(s.score is not None for s in note.spans or ()) for note in notes]
    for layer, is_predicted in (("annotations", False), ("predictions", True)):
        read = list(read_notes(tmp_path / "a.json", layer=layer))
        for got, note, is_scored in zip(read, notes, scored, strict=True):
            nothing = Note(note.note_id, note.text, note.patient_id, metadata=note.metadata)
            assert got == (held(note) if is_scored is is_predicted else nothing)


def test_what_is_lost_is_counted(tmp_path):
    spans = (Span(0, 5, "A", id="T1"), Span(0, 9, "B", id="T2", fragments=((0, 1), (8, 9))))
    note = Note("n1", "fever, no", spans=spans, relations=(Relation("T1", "T2", "r"),))
    with pytest.raises(NoteError, match="label_studio can't hold"):
        write_notes([note], tmp_path / "a.json", format="label_studio")
    written = write_notes([note], tmp_path / "a.json", format="label_studio", lossy=True)
    assert written.losses == {"discontinuous mentions": 1, "relations": 1}
    (ours,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert ours["annotations"][0]["result"] == [
        {
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {"start": 0, "end": 5, "text": "fever", "labels": ["A"]},
            "id": "T1",
        }
    ]


def test_a_taxonomy_gives_codes_or_whole_paths(tmp_path):
    paths = [["Heart", "Other"], ["Lung", "Other"], ["I", "I10"], ["Free"]]
    answer = choice(control="icd") | {"type": "taxonomy", "value": {"taxonomy": paths}}
    expected = ("Heart/Other", "Lung/Other", "I10", "Free")
    notes = read_notes(export(tmp_path / "a.json", task(1, annotation(answer))))
    assert notes["codes"] == [expected]
    flat_export = export(tmp_path / "b.json", flat(1, icd=[{"taxonomy": paths}]))
    assert read_notes(flat_export)["codes"] == [expected]


@pytest.mark.parametrize(
    "item",
    [
        {"start": "/p[1]/text()[1]", "end": "/p[1]", "hypertextlabels": ["X"]},
        {"start": 0, "end": 3, "hypertextlabels": ["X"]},
        {"start": "0", "end": "0", "startOffset": 1, "endOffset": 3, "paragraphlabels": ["X"]},
    ],
)
def test_parts_of_html_are_refused_in_flat_exports_too(tmp_path, item):
    path = export(tmp_path / "a.json", flat(1, FEVER), flat(2) | {"label": [item]})
    with pytest.raises(FaultyNotesError, match="mentions in HTML"):
        read_notes(path)


def test_answers_of_a_flat_export_that_are_not_read_are_told(tmp_path, caplog):
    box = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0, "rectanglelabels": ["X"]}
    records = [flat(1, FEVER, sentiment="Positive", box=[box]), flat(2, sentiment="Negative")]
    path = export(tmp_path / "a.json", *records)
    assert read_notes(path)["label"] == [None, None]
    assert "1 answers of 'box'" in caplog.text
    assert "2 records with a word as 'sentiment', not read" in caplog.text
    for told in ({"label_control": "sentiment"}, {"columns": {"label": "sentiment"}}):
        caplog.clear()
        assert read_notes(path, **told)["label"] == ["Positive", "Negative"]
        assert "'sentiment'" not in caplog.text
    caplog.clear()
    read_notes(path, cats="ignore")
    assert "'sentiment'" not in caplog.text


def sound(start, end, **more):
    item = region(start, end, "Sign", name="s", **more)
    return item | {"to_name": "audio", "original_length": 12.5}


def test_regions_of_a_recording_are_no_mentions(tmp_path, caplog):
    data = {"text": TEXT, "audio": "/data/upload/a.wav"}
    for item in (sound(3.0, 8.0), sound(3, 8) | {"to_name": "other"}):
        path = export(tmp_path / "a.json", task(1, annotation(item, FEVER), data=data))
        caplog.clear()
        assert read_notes(path)["spans"] == [SPANS[:1]]
        assert "which is not the text" in caplog.text
    value = {"start": 3.0, "end": 8.0, "channel": 0, "labels": ["Sign"]}
    flat_export = export(tmp_path / "b.json", flat(1, FEVER, sound=[value]))
    assert [len(spans) for spans in read_notes(flat_export)["spans"]] == [1]
    assert "answers about 'sound', which is not the text" in caplog.text


@pytest.mark.parametrize(
    ("about", "data"),
    [
        ("question", {"text": TEXT, "question": SECRET}),
        ("q", {"text": TEXT, "query": SECRET}),
    ],
)
def test_answers_about_another_text_are_not_about_the_text(tmp_path, about, data, caplog):
    other = [
        region(0, 5, "Name", name="q") | {"to_name": about},
        choice("blurred", control="quality") | {"to_name": about},
    ]
    link = {"type": "relation", "from_id": "a", "to_id": "q", "labels": ["x"]}
    mention = FEVER | {"to_name": "text"}
    path = export(
        tmp_path / "a.json",
        task(1, annotation(*other, mention, choice("x"), link), data=data),
        task(2, annotation(*other), data=data),
    )
    notes = read_notes(path)
    assert (notes["spans"], notes["label"]) == ([SPANS[:1], ()], ["x", None])
    assert f"4 answers about '{about}', which is not the text" in caplog.text
    assert "1 relations of what is not in the text" in caplog.text


def test_the_other_text_can_be_asked_for(tmp_path):
    data = {"text": TEXT, "question": "Fever or no fever?"}
    item = region(0, 5, "Sign", text="Fever", name="q") | {"to_name": "question"}
    path = export(tmp_path / "a.json", task(1, annotation(FEVER, item), data=data))
    (note,) = read_notes(path, columns={"text": "data.question"})
    assert note.spans == (Span(0, 5, "Sign", id="q"),)


def test_objects_of_which_none_is_known_as_the_text_are_refused(tmp_path):
    items = [choice("x") | {"to_name": name} for name in ("one", "two")]
    path = export(tmp_path / "a.json", task(1, annotation(*items)))
    with pytest.raises(FaultyNotesError, match=r"2 objects, \['one', 'two'\], of which one"):
        read_notes(path)


def test_an_attribute_may_be_called_as_the_concepts_are(tmp_path):
    attributes = (("concepts", "no"), ("concepts", "C2"))
    spans = (Span(0, 2, "A", id="T1", concepts=("C1",), attributes=attributes),)
    note = Note("1", TEXT, spans=spans)
    assert write_notes([note], tmp_path / "a.json", format="label_studio").losses == {}
    assert list(read_notes(tmp_path / "a.json")) == [note]


def test_mentions_without_an_id_stay_without(tmp_path):
    ids = ("", "unnamed-1", "mention-1", "")
    spans = tuple(Span(i, i + 1, "A", id=own) for i, own in enumerate(ids, 5))
    linked = Note("1", TEXT, spans=spans, relations=(Relation("unnamed-1", "mention-1", "r"),))
    assert write_notes([linked], tmp_path / "a.json", format="label_studio").losses == {}
    assert list(read_notes(tmp_path / "a.json")) == [linked]
    alone = Note("1", TEXT, spans=spans)
    made = write_notes([alone], tmp_path / "a.json", format="label_studio", lossy=True)
    assert made.losses == {"mention ids": 1}
    (note,) = read_notes(tmp_path / "a.json")
    assert [span.id for span in note.spans] == ["", "", "mention-1", ""]


def test_a_header_that_is_broken_is_told_as_a_row_would_be(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text('"id,text,annotation_id\n1,fever,1\n', encoding="utf-8")
    with pytest.raises(FaultyNotesError, match=r"export\.csv:1: a row that is broken") as caught:
        read_notes(path, format="label_studio")
    assert "fever" not in str(caught.value)
