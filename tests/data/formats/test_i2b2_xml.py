import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note, Relation, Span


def read(tmp_path, content, *, name="a.xml", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_notes(path, **options))


def record(text, tags, root="deIdi2b2"):
    return (
        f'<?xml version="1.0" encoding="UTF-8" ?>\n<{root}>\n<TEXT><![CDATA[{text}]]></TEXT>\n'
        f"<TAGS>\n{tags}\n</TAGS>\n</{root}>\n"
    )


def tag(name, start, end, text, rest=""):
    return f'<{name} id="P{start}" start="{start}" end="{end}" text="{text}" {rest}/>'


def test_de_identification_of_2014(tmp_path):
    content = record(
        "\nSeen 2067-05-03 by Dr. Zebra & co.",
        tag("DATE", 6, 16, "2067-05-03", 'TYPE="DATE" comment=""')
        + tag("NAME", 24, 29, "Zebra", 'TYPE="DOCTOR" comment="sure"'),
    )
    (note,) = read(tmp_path, content, name="220-01.xml")
    assert note == Note(
        "220-01",
        "\nSeen 2067-05-03 by Dr. Zebra & co.",
        patient_id="220",
        spans=(
            Span(6, 16, "DATE", id="P6"),
            Span(24, 29, "DOCTOR", id="P24", attributes=(("element", "NAME"), ("comment", "sure"))),
        ),
    )
    (note,) = read(tmp_path, content, name="220-01.xml", labelled_by="element")
    assert [span.label for span in note.spans] == ["DATE", "NAME"]
    assert note.spans[1].attributes[0] == ("type", "DOCTOR")
    with pytest.raises(ConfigError, match="labelled_by='tag'; allowed"):
        read(tmp_path, content, labelled_by="tag")


def test_a_record_without_anything_to_tag_is_annotated(tmp_path):
    assert read(tmp_path, record("Nothing.", "")) == [Note("a", "Nothing.", spans=())]
    untagged = "<deIdi2b2><TEXT><![CDATA[Nothing.]]></TEXT></deIdi2b2>"
    assert read(tmp_path, untagged) == [Note("a", "Nothing.")]


def test_temporal_relations_of_2012(tmp_path):
    content = record(
        "\nAdmitted on Monday.",
        '<EVENT id="E0" start="1" end="9" text="Admitted" modality="FACTUAL" polarity="POS" '
        'type="OCCURRENCE" />'
        '<TIMEX3 id="T0" start="13" end="19" text="Monday" type="DATE" val="2001-01-01" mod="" />'
        '<TLINK id="TL0" fromID="E0" fromText="Admitted" toID="T0" toText="Monday" '
        'type="OVERLAP" />',
        root="ClinicalNarrativeTemporalAnnotation",
    )
    (note,) = read(tmp_path, content)
    assert note.spans[0] == Span(
        1,
        9,
        "OCCURRENCE",
        id="E0",
        attributes=(("element", "EVENT"), ("modality", "FACTUAL"), ("polarity", "POS")),
    )
    assert [span.label for span in note.spans] == ["OCCURRENCE", "DATE"]
    assert note.relations == (Relation("E0", "T0", "OVERLAP"),)
    assert note.codes is None


def test_cohort_selection_of_2018(tmp_path):
    content = record(
        "Note.",
        '<ABDOMINAL met="met" /><CREATININE met="not met" /><ENGLISH met="met" />',
        root="PatientMatching",
    )
    assert read(tmp_path, content) == [Note("a", "Note.", codes=("ABDOMINAL", "ENGLISH"))]
    none = record("Note.", '<ABDOMINAL met="not met" />', root="PatientMatching")
    assert read(tmp_path, none) == [Note("a", "Note.", codes=())]


def test_risk_factors_of_2014(tmp_path):
    content = record(
        "Has diabetes.",
        '<DIABETES id="DOC0" time="during DCT" indicator="mention">'
        '<DIABETES id="A0" start="4" end="12" text="diabetes" time="during DCT" '
        'indicator="mention" /></DIABETES>'
        '<MEDICATION id="DOC1" start="-1" end="-1" text="" time="before DCT" type1="insulin" '
        'type2="" /><SMOKER id="DOC2" status="unknown" />',
        root="root",
    )
    (note,) = read(tmp_path, content, name="101-02.xml")
    assert note.codes == (
        "DIABETES/during DCT/mention",
        "MEDICATION/before DCT/insulin",
        "SMOKER/unknown",
    )
    assert [(s.start, s.end, s.label) for s in note.spans] == [(4, 12, "DIABETES")]
    assert note.patient_id == "101"


def test_smoking_status_and_tags_in_the_text_of_2006(tmp_path):
    content = (
        '<?xml version="1.0"?><!DOCTYPE ROOT [<!ELEMENT ROOT (RECORD)*>]><ROOT>'
        '<RECORD ID="641"><SMOKING STATUS="CURRENT SMOKER"></SMOKING><TEXT>Smokes &amp; eats.'
        '</TEXT></RECORD>\n<RECORD ID="642"><TEXT>\nDr. <PHI TYPE="DOCTOR">Ze<b>b</b>ra</PHI> and '
        '<PHI TYPE="DATE">May</PHI>.</TEXT></RECORD></ROOT>'
    )
    first, second = read(tmp_path, content)
    assert first == Note("641", "Smokes & eats.", label="CURRENT SMOKER")
    assert second.text == "\nDr. Zebra and May."
    said = [(second.text[span.start : span.end], span.label) for span in second.spans]
    assert said == [("Zebra", "DOCTOR"), ("b", "b"), ("May", "DATE")]


def test_pieces_and_what_offsets_count(tmp_path, caplog):
    content = record(
        "😀 high\r\nand fever",
        '<Sign id="S0" spans="3~7,13~18" text="high ... fever" />'.replace(" ... ", " ")
        + '<Sign id="S1" spans="13~18" text="fever" /><Doc id="D0" spans="-1~-1" kind="x" />',
        root="Task",
    )
    (note,) = read(tmp_path, content)
    assert note.text == "😀 high\nand fever"
    assert note.spans[0].fragments == ((2, 6), (11, 16))
    assert note.codes == ("Doc/x",)
    assert "offsets count units of UTF-16, LF line ends as two (CRLF)" in caplog.text


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (tag("NAME", 0, 4, "Zebr4", 'TYPE="X"'), "do not cover the quoted mention"),
        (tag("NAME", 1, 99, "Zebra", 'TYPE="X"'), "offsets 1–99 in a text of 5"),
        ('<NAME start="a" end="b" text="Zebra" />', "start or end that is no number"),
        ('<NAME spans="Zebra" text="Zebra" />', "spans that can't be read"),
        ('<L fromID="P0" toID="P9" />' + tag("NAME", 0, 5, "Zebra"), "1 relations whose head"),
    ],
)
def test_faults_are_placed_and_hold_no_text(tmp_path, tags, found):
    with pytest.raises(FaultyNotesError, match=found) as caught:
        read(tmp_path, record("Zebra", tags))
    assert [fault.where for fault in caught.value.faults] == ["a.xml:2 (note a)"]
    assert "Zebra" not in str(caught.value)


def test_a_folder_is_read_as_one_and_the_faulty_are_left_out(tmp_path):
    root = tmp_path / "gold"
    (root / "set1").mkdir(parents=True)
    (root / "set1" / "10-01.xml").write_text(record("May", tag("DATE", 0, 3, "May")), "utf-8")
    (root / "set1" / "10-02.xml").write_text(record("May", tag("DATE", 0, 9, "May")), "utf-8")
    (root / "set1" / "10-03.xml").write_text(record("May", "")[:-9], "utf-8")
    with pytest.raises(FaultyNotesError, match=r"set1/10-03.xml:\d: broken XML at column"):
        read_notes(root)
    notes = read_notes(root, on_error="skip")
    assert [(note.note_id, note.patient_id) for note in notes] == [("set1/10-01", "10")]


def test_other_xml_is_not_taken_for_it(tmp_path):
    for content in ("<html><body>x</body></html>", "<a><TEXT>x</TEXT></a>"):
        with pytest.raises(ConfigError, match="looks like"):
            read(tmp_path, content)
