import re

import pytest

from clinical_tl.data.reading import read_notes
from clinical_tl.errors import ConfigError, FaultyNotesError
from clinical_tl.schema import Note, Relation, Span


def read(tmp_path, content, *, name="a.tsv", **options):
    path = tmp_path / name
    path.write_bytes(content.encode())
    return list(read_notes(path, **options))


def tsv(*lines, layers=("#T_SP=custom.Med|value",), version="3.3"):
    return "\n".join([f"#FORMAT=WebAnno TSV {version}", *layers, "", "", *lines]) + "\n"


def said(note):
    return [(note.text[span.start : span.end], span.label) for span in note.spans]


def test_mentions_of_one_token_and_of_several_and_on_top_of_each_other(tmp_path):
    (note,) = read(
        tmp_path,
        tsv(
            "#Text=took aspirin for three days",
            "1-1\t0-4\ttook\t_\t",
            "1-2\t5-12\taspirin\tDrug[1]|Plan[2]\t",
            "1-3\t13-16\tfor\tPlan[2]\t",
            "1-4\t17-22\tthree\tPlan[2]|Duration[3]\t",
            "1-5\t23-27\tdays\tDuration[3]|Plan[2]\t",
            "",
            "#Text=No rash",
            "2-1\t28-30\tNo\t_\t",
            "2-2\t31-35\trash\tSign\t",
        ),
    )
    assert (note.note_id, note.text) == ("a", "took aspirin for three days\nNo rash")
    assert said(note) == [
        ("aspirin", "Drug"),
        ("aspirin for three days", "Plan"),
        ("three days", "Duration"),
        ("rash", "Sign"),
    ]
    assert note.relations is None


def test_offsets_count_units_of_utf16_and_gaps_are_blank(tmp_path):
    content = tsv(
        "#Text=😀 fever",
        "1-1\t2-4\t😀\t_\t",
        "1-2\t5-10\tfever\tSign\t",
        "",
        "#Text=cough",
        "2-1\t10-15\tcough\tSign\t",
        "",
        "#Text=𝄞 rash",
        "#Text=\\\\here",
        "3-1\t19-21\t𝄞\t_\t",
        "3-2\t22-26\trash\tSign[1]\t",
        "3-3\t27-32\t\\here\tSign[1]\t",
    )
    (note,) = read(tmp_path, content)
    assert note.text == "  😀 fevercough\n   𝄞 rash\n\\here"
    assert [text for text, _ in said(note)] == ["fever", "cough", "rash\n\\here"]
    # Others count characters, which the tokens show.
    in_characters = re.sub(
        r"\t(\d+)-(\d+)\t",
        lambda m: "\t{}-{}\t".format(*(int(n) - (int(n) > 2) - (int(n) > 19) for n in m.groups())),
        content,
    )
    (again,) = read(tmp_path, in_characters.replace("\n", "\r\n"))
    assert (again.text, again.spans) == (note.text, note.spans)


def test_parts_of_tokens_and_what_has_no_character(tmp_path, caplog):
    (note,) = read(
        tmp_path,
        tsv(
            "#Text=Herzinfarkt 5mg",
            "1-1\t0-11\tHerzinfarkt\t_\t",
            "1-1.1\t0-4\tHerz\tOrgan\t",
            "1-2\t12-15\t5mg\t_\t",
            "1-2.1\t12-13\t5\tDose[1]\t",
            "1-2.2\t13-13\t\tDose[2]\t",
            "1-2.3\t13-15\tmg\tDose[1]\t",
        ),
    )
    assert said(note) == [("Herz", "Organ"), ("5mg", "Dose")]
    assert "passed over: 1 annotations of no character" in caplog.text


def test_features_beside_the_label(tmp_path, caplog):
    content = tsv(
        "#Text=fever \\t and rash",
        "1-1\t0-5\tfever\tD005334\tSign\t_\t_\tNN\t",
        "1-2\t8-11\tand\t*\t*\tno\\_t[1]\\|\\\\[1]\t*[1]\tCC\t",
        "1-3\t12-16\trash\t_\t_\tno\\_t[1]\\|\\\\[1]\t*[1]\tNN\t",
        layers=(
            "#T_SP=de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity|identifier|value",
            "#T_SP=webanno.custom.Finding|status|certainty",
            "#T_SP=de.tudarmstadt.ukp.dkpro.core.api.lexmorph.type.pos.POS|PosValue",
        ),
    )
    with pytest.raises(FaultyNotesError, match=r"2 layers of mentions.*'NamedEntity', 'Finding'"):
        read(tmp_path, content)
    (note,) = read(tmp_path, content, layer="NamedEntity")
    assert note.text == "fever \t and rash"
    assert note.spans == (
        Span(0, 5, "Sign", id="T1", concepts=("D005334",)),
        Span(8, 11, "NamedEntity", id="T2"),
    )
    assert "1 mentions without a value, labelled by their layer's name" in caplog.text
    with pytest.raises(FaultyNotesError, match=r"any of 2 features.*'status', 'certainty'"):
        read(tmp_path, content, layer="webanno.custom.Finding")
    (note,) = read(tmp_path, content, layer=["Finding"], feature="status")
    assert note.spans == (Span(8, 16, "no_t[1]|\\", id="T1"),)
    (note,) = read(tmp_path, content, layer="POS")
    assert [label for _, label in said(note)] == ["NN", "CC", "NN"]


def test_relations_lead_from_source_to_target(tmp_path):
    (note,) = read(
        tmp_path,
        tsv(
            "#Text=Rash from amoxicillin now .",
            "1-1\t0-4\tRash\t*[1]|*[2]\t*|late\t1-3|1-4[0_2]\t",
            "1-2\t5-9\tfrom\t_\t_\t_\t",
            "1-3\t10-21\tamoxicillin\tDrug\tcauses\t1-1[1_0]\t",
            "1-4\t22-25\tnow\tTime\t_\t_\t",
            "1-5\t26-27\t.\t_\t_\t_\t",
            layers=("#T_SP=c.Med|value", "#T_RL=c.Rel|kind|BT_c.Med"),
        ).replace("*|late\t1-3|", "*|late\t1-3[0_1]|"),
    )
    assert [span.id for span in note.spans] == ["T1", "T2", "T3", "T4"]
    assert note.relations == (
        Relation("T3", "T1", "Rel"),
        Relation("T4", "T2", "late"),
        Relation("T1", "T3", "causes"),
    )


def test_slots_lead_from_their_host(tmp_path):
    (note,) = read(
        tmp_path,
        tsv(
            "#Text=give two pills daily",
            "1-1\t0-4\tgive\torder\tdrug;*\t1-2[4];1-4\t_\t",
            "1-2\t5-8\ttwo\t_\t_\t_\tpills[4]\t",
            "1-3\t9-14\tpills\t_\t_\t_\tpills[4]\t",
            "1-4\t15-20\tdaily\tother\t_\t*\tday\t",
            layers=("#T_SP=c.Act|kind|ROLE_c.Act:Roles_c.ActRolesLink|c.Arg", "#T_SP=c.Arg|kind"),
        ),
        layer=["Act", "Arg"],
    )
    assert said(note) == [
        ("give", "order"),
        ("two pills", "pills"),
        ("daily", "other"),
        ("daily", "day"),
    ]
    assert note.relations == (Relation("T1", "T2", "drug"), Relation("T1", "T4", "slot"))


def test_chains_are_read_when_they_are_named(tmp_path, caplog):
    content = tsv(
        "#Text=He cut him self",
        "1-1\t0-2\tHe\tcoref->1-1\tpr[1]\t",
        "1-2\t3-6\tcut\t_\t_\t",
        "1-3\t7-10\thim\t*->1-2|*->2-1\tpr[1]|*[2]\t",
        "1-4\t11-15\tself\t*->1-2\tpr[1]\t",
        layers=("#T_CH=c.CorefLink|referenceRelation|referenceType",),
    )
    (note,) = read(tmp_path, content, layer="CorefLink")
    assert said(note) == [("He", "pr"), ("him self", "pr"), ("him", "CorefLink")]
    assert note.relations == (Relation("T1", "T2", "coref"),)
    (note,) = read(tmp_path, content)
    assert (note.spans, note.relations) == ((), None)
    assert "1 files' layers CorefLink" in caplog.text
    assert "1 files without a layer, read as annotated with nothing" in caplog.text


def test_java_escapes_of_older_versions(tmp_path):
    (note,) = read(
        tmp_path,
        tsv(
            "#Text=\\u00e9t\\u00e9 \\uD83D\\uDE00\\nrash",
            "1-1\t0-3\tété\t_",
            "1-2\t4-6\t😀\t_",
            "1-3\t7-11\trash\tSign",
            version="3.1",
        ),
    )
    assert (note.text, said(note)) == ("été 😀\nrash", [("rash", "Sign")])


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("1-2\t6-11\tZebra\t_\t", "offsets 6-11 where the sentence's #Text has another token"),
        ("1-2\t5-99\tZebra\t_\t", "offsets 5-99 where"),
        ("1-2\t5-10\tZebra\t_\tx\t", "3 cells after the token"),
        ("1-2\t5-10\tZebra", "0 cells after the token"),
        ("Zebra", "a line that is no row"),
        ("1-2\t5\tZebra\t_\t", "a line that is no row"),
    ],
)
def test_faults_have_lines_and_no_text(tmp_path, row, found):
    content = tsv("#Text=fish Zebra", "1-1\t0-4\tfish\tSign\t", row)
    with pytest.raises(FaultyNotesError, match=found) as caught:
        read(tmp_path, content)
    assert caught.value.faults[0].where == "a.tsv:7 (note a)"
    assert len(caught.value.faults) == 1
    assert "Zebra" not in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("1-9", "a reference to an annotation that"),
        ("1-1[7_0]", "a reference to an annotation that"),
        ("here", "a reference that can't be read"),
    ],
)
def test_references_to_nothing_are_faults(tmp_path, reference, found):
    content = tsv(
        "#Text=fish",
        f"1-1\t0-4\tfish\tSign\t{reference}\t",
        layers=("#T_SP=c.Med|value", "#T_RL=c.Rel|BT_c.Med"),
    )
    with pytest.raises(FaultyNotesError, match=found) as caught:
        read(tmp_path, content)
    assert caught.value.faults[0].where == "a.tsv:7 (note a)"


def test_a_folder_of_exports_has_an_id_a_file(tmp_path):
    for name, content in {
        "x.txt/anna.tsv": tsv("#Text=rash", "1-1\t0-4\trash\tSign\t"),
        "y.txt/anna.tsv": tsv("#Text=none", "1-1\t0-4\tnone\t", layers=()),
    }.items():
        path = tmp_path / "annotation" / name
        path.parent.mkdir(parents=True)
        path.write_text(content, encoding="utf-8")
    notes = read_notes(tmp_path / "annotation", layer="Med")
    assert list(notes) == [
        Note("x.txt/anna", "rash", spans=(Span(0, 4, "Sign", id="T1"),)),
        Note("y.txt/anna", "none", spans=()),
    ]


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.webanno"])
def test_it_is_known_by_its_first_line(tmp_path, name):
    content = tsv("#Text=rash", "1-1\t0-4\trash\tSign\t").replace("\n", "\r\n")
    (note,) = read(tmp_path, f"\ufeff{content}", name=name)
    assert said(note) == [("rash", "Sign")]


@pytest.mark.parametrize(
    "content",
    [
        "#id=1\n#text=rash now\n1\trash\tB-Sign\n",
        " # webanno.custom.Med | value # c.Other | x\n#id=1\n#text=rash\n1-1\trash\tx\n",
    ],
)
def test_older_versions_are_refused_by_name(tmp_path, content):
    with pytest.raises(ConfigError, match=r"WebAnno TSV 1 or 2 is not read here; .*WebAnno TSV 3"):
        read(tmp_path, content)
