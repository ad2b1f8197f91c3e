import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import clinical_tl as ctl
from clinical_tl.data.choosing import choose_labels
from clinical_tl.data.notes import ANNOTATION, Notes, tabulate
from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.schema import Note, Relation, Span
from tests.data.strategies import WORDS, note_sets

TEXT = "Metformin for diabetes."


def mention(start, end, label, name="", **rest):
    return Span(start, end, label, id=name, **rest)


CODED = [
    Note("a", "one", label="well", codes=("E11.9", "I10")),
    Note("b", "two", label="ill", codes=("E11.65", "E11.9", "J45")),
    Note("c", "three", codes=()),
    Note("d", "four"),
]


def test_a_list_keeps_its_labels_and_notes_without_them_stay():
    kept = choose_labels(CODED, ["I10", "J45"])
    assert kept["codes"] == [("I10",), ("J45",), (), None]
    # No class is named: classes are as they were.
    assert kept["label"] == ["well", "ill", None, None]


def test_a_mapping_renames_merges_leaves_out_and_lets_the_others_stay(caplog):
    with caplog.at_level(logging.WARNING):
        chosen = choose_labels(CODED, {"E11*": "diabetes", "J45": None})
    assert chosen["codes"] == [("diabetes", "I10"), ("diabetes",), (), None]
    (line,) = caplog.messages
    assert line == (
        "labels chosen: 4 notes kept, 3 codes renamed, 1 codes left out, 1 codes merged"
    )


def test_exact_names_win_over_patterns_and_earlier_patterns_over_later_ones():
    chosen = choose_labels(
        CODED, {"E*": "endocrine", "E11.6*": "never", "E11.9": "plain", "*": None}
    )
    assert chosen["codes"] == [("plain",), ("endocrine", "plain"), (), None]


def test_a_star_beside_other_names_is_for_their_fields():
    chosen = choose_labels(CODED, {"E11.9": "diabetes", "*": None})
    assert chosen["codes"] == [("diabetes",), ("diabetes",), (), None]
    assert chosen["label"] == ["well", "ill", None, None]
    assert choose_labels(CODED, {"*": None}, fields=["codes"])["codes"] == [(), (), (), None]


def test_a_note_goes_with_its_class_and_is_counted(caplog):
    with caplog.at_level(logging.WARNING):
        chosen = choose_labels(CODED, ["ill"])
    assert chosen["note_id"] == ["b", "c", "d"]
    assert chosen["codes"][0] == ("E11.65", "E11.9", "J45")
    assert "1 notes left out, 3 notes kept" in caplog.text
    with pytest.raises(NoteError, match="none of the 1 notes is left"):
        choose_labels(CODED[:1], {"well": None})


def test_only_the_fields_that_are_named_are_looked_at():
    notes = [Note("a", "one", label="pain", codes=("pain", "fever"))]
    assert choose_labels(notes, {"pain": "ache"}, fields=("codes",))[0] == Note(
        "a", "one", label="pain", codes=("ache", "fever")
    )
    with pytest.raises(NoteError, match=r"no note has the label 'fever'.* 1 labels in \['label'\]"):
        choose_labels(notes, ["fever"], fields=("label",))


def test_relations_go_with_their_mentions_and_mentions_that_became_the_same_are_one():
    drug = mention(0, 9, "Drug", "T1", concepts=("C1",))
    chemical = mention(0, 9, "Chemical", "T2", concepts=("C2",), attributes=(("certain", "no"),))
    disease = mention(14, 22, "Disease", "T3", concepts=("C3",))
    notes = [
        Note(
            "a",
            TEXT,
            spans=(drug, chemical, disease),
            relations=(
                Relation("T1", "T3", "treats"),
                Relation("T2", "T3", "treats"),
                Relation("T1", "T2", "is"),
                Relation("C2", "C3", "treats"),
            ),
        )
    ]
    merged = choose_labels(notes, {"Drug": "Substance", "Chemical": "Substance"})[0]
    assert [span.key for span in merged.spans] == [(0, 9, "Substance"), (14, 22, "Disease")]
    assert merged.spans[0].id == "T1"
    assert merged.spans[0].concepts == ("C1", "C2")
    assert merged.spans[0].attributes == (("certain", "no"),)
    assert merged.relations == (Relation("T1", "T3", "treats"), Relation("C2", "C3", "treats"))
    left = choose_labels(notes, {"Disease": None})[0]
    assert left.spans == (drug, chemical)
    assert left.relations == (Relation("T1", "T2", "is"),)
    assert choose_labels(notes, ["treats"])[0].spans == notes[0].spans


def test_mentions_that_were_the_same_before_are_left_so():
    twice = (mention(0, 9, "Drug", "T1"), mention(0, 9, "Drug", "T2"))
    notes = [Note("a", TEXT, spans=twice, relations=(Relation("T1", "T2", "is"),))]
    chosen = choose_labels(notes, {"Drug": "Substance"})[0]
    assert [span.id for span in chosen.spans] == ["T1", "T2"]
    assert chosen.relations == notes[0].relations


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["E11.8"], r"no note has the label 'E11.8'; did you mean 'E11.9'\? There are 6 labels"),
        ({"zzz*": None}, r"no note has the label 'zzz\*'\. There are 6 labels"),
        (["I10", "x1", "x2"], r"'x1' \(nor have they \['x2'\]\)"),
        (["she was seen for pain"], "<label of 21 characters>"),
    ],
)
def test_a_name_that_no_note_has_is_an_error(labels, message):
    with pytest.raises(NoteError, match=message):
        choose_labels(CODED, labels)


@pytest.mark.parametrize(
    "labels", ["I10", [], {}, [""], [3], {"I10": ""}, {"I10": 3}, {"I10": "\t"}, None, 5]
)
def test_labels_of_another_form_are_refused(labels):
    with pytest.raises(ConfigError, match="labels "):
        choose_labels(CODED, labels)


@pytest.mark.parametrize("fields", ["codes", [], ["code"], ["text"]])
def test_unknown_fields_are_refused(fields):
    with pytest.raises(ConfigError, match="fields="):
        choose_labels(CODED, ["I10"], fields=fields)


def test_mapped_notes_come_out_as_held_ones_do(tmp_path):
    mapped = tabulate(CODED, tmp_path / "notes.arrow")
    labels = {"E11*": "diabetes", "well": None}
    assert list(choose_labels(mapped, labels)) == list(choose_labels(CODED, labels))
    assert isinstance(ctl.data.choose_labels(mapped.dataset, labels), Notes)


def labels_of(note, field):
    value = getattr(note, field)
    if field in ("label", "codes"):
        return [value] if isinstance(value, str) else list(value or ())
    return [item.label for item in value or ()]


@given(note_sets(), st.data())
def test_every_label_is_kept_renamed_or_left_out_as_the_mapping_says(notes, data):
    field = data.draw(st.sampled_from(ANNOTATION))
    known = sorted({label for note in notes for label in labels_of(note, field)})
    if not known:
        return
    named = data.draw(st.lists(st.sampled_from(known), min_size=1, unique=True))
    labels = {name: data.draw(st.none() | WORDS) for name in named}
    kept = [note for note in notes if field != "label" or labels.get(note.label, "") is not None]
    if not kept:
        return
    # "*" in a drawn label is a name like any other where the label itself is there.
    chosen = choose_labels(notes, labels, fields=[field])
    assert [note.note_id for note in chosen] == [note.note_id for note in kept]
    for before, after in zip(kept, chosen, strict=True):
        expected = [labels.get(label, label) for label in labels_of(before, field)]
        found = labels_of(after, field)
        assert set(found) <= {label for label in expected if label is not None}
        if field in ("label", "codes", "spans"):
            assert set(found) == {label for label in expected if label is not None}
        others = set(ANNOTATION) - {field, "relations"}
        assert all(getattr(before, name) == getattr(after, name) for name in others)
        assert after.text == before.text


def test_thousands_of_names_and_labels_take_no_time():
    notes = [Note(f"n{i}", "…", codes=(f"E{i}.{i % 10}",)) for i in range(4000)]
    names = {f"E{i}.*": f"E{i}" for i in range(0, 4000, 20)} | {
        f"E{i}.{i % 10}": None for i in (1, 2)
    }
    start = time.process_time()
    chosen = choose_labels(notes, names)
    # Minutes where every pattern is compiled anew for every label.
    assert time.process_time() - start < 30
    assert chosen[0].codes == ("E0",)
    assert chosen[1].codes == ()
