import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.data.formats.chemprot import SHARED_TASK_GROUPS
from clinical_tl.data.reading import read_notes
from clinical_tl.errors import FaultyNotesError
from clinical_tl.schema import Note, Relation, Span, visible
from tests.data.corpora import corpus
from tests.data.strategies import TEXTS


def written(tmp_path, *records):
    file = tmp_path / "train.txt"
    lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def read(file, **options):
    return list(read_notes(file, format="chemprot", **options))


def test_a_marked_sentence_becomes_two_spans_and_a_relation(tmp_path):
    file = written(
        tmp_path,
        {"text": "Both << zebrase >>-like [[ [3H]fishol[[x]] ]].", "label": "AGONIST"},
        {"text": "[[ fishol ]] and << zebrase >>", "label": "false", "metadata": []},
    )
    first, second = read(file)
    assert first == Note(
        "train-1",
        "Both zebrase-like [3H]fishol[[x]].",
        spans=(Span(5, 12, "Argument1", id="T1"), Span(18, 33, "Argument2", id="T2")),
        relations=(Relation("T1", "T2", "AGONIST"),),
    )
    assert second.text == "fishol and zebrase"
    assert [(s.start, s.end) for s in second.spans] == [(11, 18), (0, 6)]
    assert second.relations == ()
    assert read(file, no_relation="none")[1].relations[0].label == "false"


@given(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS), st.booleans())
def test_marking_and_reading_are_inverse(tmp_path_factory, parts, turned):
    before, one, between, other, after = parts
    (a, b), (c, d) = (("<< ", " >>"), ("[[ ", " ]]"))[:: -1 if turned else 1]
    text = f"{before}{a}{one}{b}{between}{c}{other}{d}{after}"
    file = written(tmp_path_factory.mktemp("c"), {"text": text, "label": "X"})
    (note,) = read(file)
    assert note.text == "".join(parts)
    mentions = [note.text[span.start : span.end] for span in note.spans]
    inner = [part[slice(*visible(part))] for part in (one, other)]
    assert mentions == (inner[::-1] if turned else inner)


def test_faults_are_told_by_line_and_without_text(tmp_path):
    file = written(
        tmp_path,
        {"text": "<< SECRET >> alone", "label": "X"},
        {"text": "<< a [[ >> SECRET ]]", "label": "X"},
        {"text": "<< a >> << b >> [[ c ]]", "label": "X"},
        {"text": "<< a >> [[ c ]]"},
        ["SECRET"],
        '{"text": SECRET',
        "",
        {"text": "<< a >> [[ c ]]", "label": "X"},
    )
    with pytest.raises(FaultyNotesError) as caught:
        read(file)
    faults = [(fault.where, fault.found) for fault in caught.value.faults]
    assert faults == [
        *(
            (f"train.txt:{n} (note train-{n})", "markers that do not mark one pair")
            for n in (1, 2, 3)
        ),
        *((f"train.txt:{n} (note train-{n})", "no text or no label") for n in (4, 5)),
        ("train.txt:6 (note train-6)", "broken JSON"),
    ]
    assert "SECRET" not in str(caught.value)
    assert [note.note_id for note in read(file, on_error="skip")] == ["train-8"]


def test_the_real_corpus_is_read_whole():
    folder = corpus("chemprot")
    labels = Counter()
    for name, size in {"train": 4169, "dev": 2427, "test": 3469}.items():
        notes = list(read_notes(folder / f"{name}.txt", format="chemprot"))
        assert len(notes) == size
        assert all(len(note.spans) == 2 for note in notes)
        assert not any("<< " in note.text or "[[ " in note.text for note in notes)
        labels.update(note.relations[0].label for note in notes)
    assert set(labels) == set(SHARED_TASK_GROUPS)
    assert labels["INHIBITOR"] == 1642 + 812 + 1255


def test_marks_that_cross_cost_their_line_alone(tmp_path):
    file = written(
        tmp_path,
        {"text": "<< [[  >> ]]", "label": "X"},
        {"text": "<< a >> [[ c ]]", "label": "X"},
    )
    assert [note.note_id for note in read(file, on_error="skip")] == ["train-2"]


def test_many_openings_take_no_longer_than_their_number(tmp_path):
    file = written(
        tmp_path,
        {"text": "<< " * 300_000, "label": "X"},
        {"text": "<< a >> [[ c ]]", "label": "X"},
    )
    assert len(read(file, on_error="skip")) == 1
