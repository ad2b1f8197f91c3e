import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, assume, given, settings

from clinical_tl.data.formats.xml_elements import NOT_IN_XML
from clinical_tl.data.reading import read_notes
from clinical_tl.data.writing import write_notes
from clinical_tl.errors import FaultyNotesError, NoteError
from clinical_tl.schema import Note, Relation, Span
from tests.data.corpora import corpus
from tests.data.strategies import note_sets


def xml(*documents, before=""):
    return (
        f"<?xml version='1.0' encoding='UTF-8'?>{before}\n<collection><source>x</source>"
        f"<date/><key/>{''.join(documents)}</collection>"
    )


def document(content, number=1):
    return f"<document><id>{number}</id>{content}</document>"


def passage(text, offset, content=""):
    return f"<passage><offset>{offset}</offset><text>{text}</text>{content}</passage>"


def annotation(start, length, text, infons="", number=1):
    return (
        f'<annotation id="{number}"><infon key="type">Sign</infon>{infons}'
        f'<location offset="{start}" length="{length}"/><text>{text}</text></annotation>'
    )


def read(tmp_path, content, *, name="a.xml", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_notes(path, **options))


def as_json(content):
    """The same collection in JSON, made by another way than the package's."""

    def made(element):
        own = {"infons": {i.get("key"): i.text or "" for i in element.findall("infon")}}
        for child in element:
            if child.tag in ("passage", "sentence", "annotation", "relation", "document"):
                own.setdefault(f"{child.tag}s", []).append(made(child))
            elif child.tag == "location":
                place = {key: int(value) for key, value in child.items()}
                own.setdefault("locations", []).append(place)
            elif child.tag == "node":
                own.setdefault("nodes", []).append(dict(child.items()))
            elif child.tag == "offset":
                own["offset"] = int(child.text)
            elif child.tag != "infon":
                own[child.tag] = child.text or ""
        return own | ({"id": element.get("id")} if element.get("id") else {})

    return made(ET.fromstring(content))


EVERYTHING = xml(
    "<document><id>d1</id><infon key='journal'>J</infon>"
    "<passage><infon key='type'>title</infon><offset>0</offset><text>Rash &amp; 😀 fever.</text>"
    "<annotation id='1'><infon key='type'>Sign</infon><infon key='identifier'>MESH:D005076</infon>"
    "<infon key='certainty'>sure</infon><location offset='0' length='4'/><text>Rash</text>"
    "</annotation></passage>"
    "<passage><offset>20</offset>"
    "<sentence><offset>20</offset><text>Had</text></sentence>"
    "<sentence><offset>25</offset><text>severe cough and pain.</text>"
    "<annotation id='2'><infon key='type'>Sign</infon><infon key='MESH'>D003371|D010146</infon>"
    "<location offset='25' length='6'/><location offset='42' length='4'/><text>severe pain</text>"
    "</annotation>"
    "<relation id='R2'><infon key='type'>worse</infon><node refid='1' role='tail'/>"
    "<node refid='2' role='head'/></relation></sentence></passage>"
    "<relation id='R1'><infon key='relation'>with</infon><node refid='1' role=''/>"
    "<node refid='2' role=''/></relation>"
    "<relation id='R3'><infon key='type'>CID</infon><infon key='Sign'>MESH:D005076</infon>"
    "<infon key='Other'>D003371</infon></relation>"
    "</document>",
    document(passage("Nothing.", 0), "d2"),
)


def everything():
    text = "Rash & 😀 fever.\n    Had  severe cough and pain."
    return [
        Note(
            "d1",
            text,
            spans=(
                Span(
                    0,
                    4,
                    "Sign",
                    id="1",
                    concepts=("MESH:D005076",),
                    attributes=(("certainty", "sure"),),
                ),
                Span(
                    25,
                    46,
                    "Sign",
                    id="2",
                    concepts=("D003371", "D010146"),
                    attributes=(("composite", "D003371|D010146"),),
                    fragments=((25, 31), (42, 46)),
                ),
            ),
            relations=(
                Relation("1", "2", "with"),
                Relation("MESH:D005076", "D003371", "CID"),
                Relation("2", "1", "worse"),
            ),
            metadata={"journal": "J"},
        ),
        Note("d2", "Nothing.", spans=(), relations=()),
    ]


def test_everything_that_a_document_has(tmp_path):
    assert read(tmp_path, EVERYTHING) == everything()


@pytest.mark.parametrize("shape", ["collection", "pretty", "list", "lines", "pubtator3"])
def test_json_says_the_same(tmp_path, shape):
    held = as_json(EVERYTHING)
    content = {
        "collection": json.dumps(held),
        "pretty": json.dumps(held, indent=2),
        "list": json.dumps(held["documents"]),
        "lines": "\n".join(map(json.dumps, held["documents"])),
        "pubtator3": json.dumps({"PubTator3": held["documents"]}),
    }[shape]
    assert read(tmp_path, f"\ufeff{content}", name="a.json") == everything()


@pytest.mark.parametrize(
    ("encoding", "unit"),
    [("utf-8", "bytes"), ("utf-16-le", "units of UTF-16"), ("utf-32-le", None)],
)
def test_offsets_count_what_makes_the_annotations_fit(tmp_path, caplog, encoding, unit):
    def size(text):
        width = {"utf-8": 1, "utf-16-le": 2, "utf-32-le": 4}[encoding]
        return len(text.encode(encoding)) // width

    first, second = "é 😀 fever", "ü rash"
    content = xml(
        document(
            passage(first, 0, annotation(size("é 😀 "), 5, "fever"))
            + passage(second, size(first) + 1, annotation(size(f"{first} ü "), 4, "rash", number=2))
        )
    )
    (note,) = read(tmp_path, content)
    assert note.text == f"{first}\n{second}"
    assert [note.text[span.start : span.end] for span in note.spans] == ["fever", "rash"]
    assert (f"1 notes whose offsets count {unit}" in caplog.text) == (unit is not None)


def test_pubtators_relations_have_roles(tmp_path):
    content = xml(
        document(
            passage(
                "Aspirin, rash",
                0,
                annotation(0, 7, "Aspirin", "<infon key='identifier'>MESH:D1</infon>")
                + annotation(9, 4, "rash", "<infon key='identifier'>Sign|MESH:D2</infon>", 2)
                + '<relation id="R1"><infon key="score">0.9</infon>'
                '<infon key="role1">Chemical|MESH:D1</infon><infon key="role2">Disease|MESH:D2'
                '</infon><infon key="type">Cause</infon><node refid="0" role="0,1"/></relation>',
            )
        )
    )
    (note,) = read(tmp_path, content)
    assert note.relations == (Relation("MESH:D1", "MESH:D2", "Cause"),)
    held = as_json(content)
    held["documents"][0]["passages"][0]["relations"][0]["infons"] |= {
        "role1": {"identifier": "MESH:D1", "type": "Chemical"},
        "role2": {"identifier": "MESH:D2", "type": "Disease"},
    }
    assert read(tmp_path, json.dumps(held), name="a.json") == [note]


def test_a_file_without_annotations_is_not_annotated(tmp_path):
    assert read(tmp_path, xml(document(passage("Rash.", 0)))) == [Note("1", "Rash.")]


def test_the_label_may_have_another_key(tmp_path):
    content = xml(document(passage("Rash", 0, annotation(0, 4, "Rash"))))
    content = content.replace('key="type"', 'key="kind"')
    with pytest.raises(FaultyNotesError, match=r"without the infon 'type'.*it has kind"):
        read(tmp_path, content)
    (note,) = read(tmp_path, content, label_key="kind")
    assert note.spans == (Span(0, 4, "Sign", id="1"),)


def test_what_no_note_can_hold_is_said(tmp_path, caplog):
    nowhere = "<annotation id='9'><infon key='type'>x</infon><text>x</text></annotation>"
    many = "".join(f"<node refid='{i}' role=''/>" for i in (1, 2, 3))
    content = xml(
        document(
            passage(
                "a b c",
                0,
                annotation(0, 1, "a", "", 1)
                + annotation(2, 1, "b", "", 2)
                + annotation(4, 1, "c", "", 3)
                + nowhere
                + f"<relation id='R1'><infon key='type'>x</infon>{many}</relation>"
                "<relation id='R2'><node refid='R1' role=''/><node refid='1' role=''/></relation>",
            )
        )
    )
    (note,) = read(tmp_path, content)
    assert note.relations == (Relation("1", "2", "x"), Relation("1", "3", "x"))
    for said in (
        "annotations without a place",
        "relations of relations",
        "relations of more than two",
    ):
        assert f"1 {said}" in caplog.text


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (passage("Zebra", 0, annotation(1, 5, "Zebra")), "offsets 1–6"),
        (passage("Zebra", 0, annotation(0, 5, "Zebre")), "do not cover the quoted mention"),
        (passage("Zebra", "x"), "offset that is missing or no whole number"),
        (passage("Zebra", 0) + passage("fish", 2), "parts of a text that overlap"),
        (
            passage("Zebra", 0, "<relation id='R'><node refid='8' role=''/></relation>"),
            "a relation whose nodes are not two",
        ),
        (passage("", 0), "an empty note"),
    ],
)
def test_faults_have_lines_and_no_text(tmp_path, content, found):
    whole = xml("\n", document(content, 7), "\n", document(passage("sound", 0), 8))
    with pytest.raises(FaultyNotesError, match=found) as caught:
        read(tmp_path, whole)
    assert [fault.where for fault in caught.value.faults] == ["a.xml:3 (note 7)"]
    assert "Zebra" not in str(caught.value)
    assert [note.note_id for note in read(tmp_path, whole, on_error="skip")] == ["8"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (xml(document(passage("a", 0)))[:-20], "broken XML"),
        (xml(document(passage("&boom;", 0)), before="<!DOCTYPE x [<!ENTITY boom 'b'>]>"), "entit"),
        (
            xml(document(passage("&x;", 0)), before="<!DOCTYPE c SYSTEM 'file:///etc/passwd'>"),
            "a reference to an entity",
        ),
        (
            xml(
                document(passage("&x;", 0)),
                before="<!DOCTYPE c [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>",
            ),
            "XML that declares entities",
        ),
        (xml(document(passage("a\x01", 0))), "broken XML"),
    ],
)
def test_dangerous_and_broken_xml_is_refused(tmp_path, content, found):
    for options in ({}, {"on_error": "skip"}):
        with pytest.raises(FaultyNotesError, match=found):
            read(tmp_path, content, **options)


def test_broken_json_is_refused_or_its_lines_are_skipped(tmp_path):
    held = as_json(EVERYTHING)
    with pytest.raises(FaultyNotesError, match="broken JSON"):
        read(tmp_path, json.dumps(held, indent=1)[:-9], name="a.json", on_error="skip")
    lines = "\n".join([json.dumps(held["documents"][0])[:-1], json.dumps(held["documents"][1])])
    notes = read(tmp_path, lines, name="a.bioc.jsonl", on_error="skip")
    assert [note.note_id for note in notes] == ["d2"]


def test_other_xml_and_other_encodings(tmp_path):
    content = xml(document(passage("née", 0, annotation(0, 3, "née"))))
    latin = content.replace("UTF-8", "ISO-8859-1").encode("latin-1")
    assert read(tmp_path, latin)[0].text == "née"
    assert read(tmp_path, content.replace("UTF-8", "UTF-16").encode("utf-16"))[0].text == "née"


@pytest.mark.parametrize("name", ["a.bioc.xml", "a.bioc.json"])
def test_a_mention_may_say_what_marks_gaps_in_others(tmp_path, name):
    text = "pain\u2026 more \u2026 in both ... knees"
    pieces = ((0, 5), (11, 12), (21, 24))
    note = Note("n", text, spans=(Span(0, 24, "P", id="T1", fragments=pieces),))
    write_notes([note], tmp_path / name)
    (found,) = read_notes(tmp_path / name)
    assert found.spans[0].fragments == pieces


@pytest.mark.parametrize("name", ["a.bioc.xml", "a.bioc.json"])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(notes=note_sets(with_fields=False))
def test_notes_come_back_as_they_were_written(tmp_path, name, notes):
    def plain(span):
        names = dict(span.attributes)
        concepts = tuple(c for c in dict.fromkeys(span.concepts) if c not in (span.label, "-"))
        concepts = tuple(c for c in concepts if c.strip() not in ("", "-1"))
        return replace(span, attributes=tuple(names.items()), concepts=concepts)

    if name == "a.bioc.xml":
        assume(not any(NOT_IN_XML.search(note.text) for note in notes))
    has_relations = any(note.relations for note in notes)
    has_spans = any(note.spans for note in notes)
    notes = [
        replace(
            note,
            spans=tuple(map(plain, note.spans or ())) if has_spans else None,
            relations=(note.relations or ()) if has_relations else None,
            metadata={"a": "b\n<&\r"},
        )
        for note in notes
    ]
    written = write_notes(notes, tmp_path / name)
    assert (written.notes, written.losses) == (len(notes), {})
    assert list(read_notes(tmp_path / name)) == notes
    content = (tmp_path / name).read_bytes().decode()
    total = sum(len(note.spans or ()) for note in notes)
    assert len(re.findall(r'<annotation id=|"locations": \[', content)) == total


def test_losses_are_counted(tmp_path):
    spans = (
        Span(0, 1, "a", id="T1", concepts=("x;y", "z", "z"), attributes=(("type", "1"),)),
        Span(2, 3, "a", id="T2", concepts=("c",), score=0.5),
    )
    relations = (Relation("T1", "c", "r"), Relation("T1", "T2", "r"), Relation("c", "c", "r"))
    note = Note(
        "1", "a b", label="l", spans=spans, relations=relations, metadata={"n": 1, "s": "x"}
    )
    with pytest.raises(NoteError, match="bioc_json can't hold"):
        write_notes([note], tmp_path / "a.bioc.json")
    written = write_notes([note, Note("2", "b")], tmp_path / "a.bioc.json", lossy=True)
    assert written.losses == {
        "attributes of a name that BioC needs, or that another one has": 1,
        "concepts that are lists or marks": 3,
        "labels": 1,
        "metadata that is no text": 1,
        "notes whose relations are None where others have some, or empty where none has any": 1,
        "notes whose spans are None where others have some, or empty where none has any": 1,
        "relations without a label, or of a mention and a concept": 1,
        "scores": 1,
    }
    once = list(read_notes(tmp_path / "a.bioc.json"))
    assert once[0].relations == relations[1:]
    assert once[0].metadata == {"s": "x"}


def test_characters_that_xml_lacks_are_refused(tmp_path):
    with pytest.raises(NoteError, match=r"note 1: control characters.*format='bioc_json'"):
        write_notes([Note("1", "a\x01b")], tmp_path / "a.bioc.xml")


@pytest.mark.parametrize("name", ["a.bioc.xml", "a.bioc.json"])
def test_a_corpus_comes_back(tmp_path, name):
    notes = list(read_notes(corpus("bc5cdr") / "dev.pubtator.txt"))[:50]
    write_notes(notes, tmp_path / name, lossy=True)
    once = list(read_notes(tmp_path / name))
    assert [note.text for note in once] == [note.text for note in notes]
    assert [[s.key for s in note.spans] for note in once] == [
        [s.key for s in note.spans] for note in notes
    ]
    assert [note.relations for note in once] == [note.relations for note in notes]
    if name.endswith("xml"):
        root = ET.parse(tmp_path / name).getroot()
        found = sum(1 for _ in root.iter("annotation")), sum(1 for _ in root.iter("relation"))
        assert found == (
            sum(len(note.spans) for note in notes),
            sum(len(note.relations) for note in notes),
        )


@pytest.mark.parametrize("encoding", ["xml", "json"])
def test_passages_far_apart_are_refused_before_they_fill_memory(tmp_path, encoding):
    content = xml(document(passage("Rash.", 0) + passage("End.", 60_000_000)))
    if encoding == "json":
        content = json.dumps(as_json(content))
    with pytest.raises(FaultyNotesError, match="further apart than they are long"):
        read(tmp_path, content, name=f"a.bioc.{encoding}")


def test_names_in_a_namespace_are_names(tmp_path):
    content = xml(document(passage("Rash.", 0, annotation(0, 4, "Rash"))))
    prefixed = re.sub(r"<(/?)(\w)", r"<\1b:\2", content).replace(
        "<b:collection>", "<b:collection xmlns:b='urn:bioc'>"
    )
    (note,) = read(tmp_path, prefixed)
    assert note.spans == (Span(0, 4, "Sign", id="1"),)
    assert [note] == read(tmp_path, content)


def test_an_infon_that_is_null_is_none(tmp_path):
    record = as_json(xml(document(passage("Rash.", 0, annotation(0, 4, "Rash")))))
    (mention,) = record["documents"][0]["passages"][0]["annotations"]
    mention["infons"] = {"type": "Sign", "identifier": None, "certainty": None}
    (note,) = read(tmp_path, json.dumps(record), name="a.bioc.json")
    assert note.spans == (Span(0, 4, "Sign", id="1"),)
    mention["infons"] = {"type": "Sign", "identifier": ["D1", "D2"]}
    (note,) = read(tmp_path, json.dumps(record), name="a.bioc.json")
    assert note.spans[0].concepts == ("D1", "D2")
    mention["infons"] = {"type": None}
    with pytest.raises(FaultyNotesError, match="an annotation without the infon 'type'"):
        read(tmp_path, json.dumps(record), name="a.bioc.json")
