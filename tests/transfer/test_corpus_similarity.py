from dataclasses import replace

import numpy as np
import pytest

from clinical_tl.data.notes import as_notes
from clinical_tl.data.synthetic import generate_notes
from clinical_tl.data.ties import related_notes
from clinical_tl.display.table import format_table
from clinical_tl.errors import ConfigError, NoteError
from clinical_tl.estimators.discrepancy import label_shift, mmd, proxy_a_distance
from clinical_tl.network.embeddings import embed
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import Note
from clinical_tl.transfer.corpus_similarity import similarity
from tests.data.corpora import corpus


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return FrozenEncoder.from_pretrained(tiny_encoder)


@pytest.fixture(scope="module")
def notes():
    return list(generate_notes(60, seed=1, words=(30, 80)))


@pytest.fixture(scope="module")
def letters():
    """Notes of another kind: short, in other words, without headings."""
    words = ["sincerely", "zygote", "quartz", "jovial", "waxy", "plumbing", "xylophone"]
    random = np.random.default_rng(0)
    return [Note(f"l{i}", " ".join(random.choice(words, 9)), label="letter") for i in range(60)]


def compare(source, target, encoder, **settings):
    settings = {"permutations": 50, "progress": False, "allow_repeats": True, **settings}
    return similarity(source, target, encoder, **settings)


@pytest.fixture(scope="module")
def apart(notes, letters, encoder):
    return compare(notes, letters, encoder, seed=3)


def test_notes_of_one_kind_are_alike(notes, encoder):
    found = compare(notes[:30], notes[30:], encoder)
    assert found.proxy_a_distance.value < 1
    assert found.mmd.p_value > 0.05
    assert found.vocabulary.known == pytest.approx(found.by_chance.known_words, abs=0.05)
    assert found.sections.divergence == pytest.approx(found.by_chance.section_divergence, abs=0.1)
    assert not any("told apart" in warning for warning in found.warnings())
    assert any("rough" in warning for warning in found.warnings())


def test_notes_of_another_kind_are_not(apart):
    assert apart.proxy_a_distance.error == 0
    assert apart.mmd.p_value == 1 / 51
    assert apart.vocabulary.known < 0.1 < apart.by_chance.known_words
    assert apart.sections.divergence > 0.7
    assert apart.length.ratio < 0.5
    warnings = " ".join(apart.warnings())
    assert "told apart with 100% accuracy" in warnings
    assert "of the target's words never occur in the source" in warnings
    assert "more pieces" in warnings
    assert "other sections" in warnings
    assert "label: distributed differently" in warnings
    assert "source lacks 100%" in warnings


def test_the_figures_are_the_estimators_own(notes, letters, encoder, apart):
    vectors = [embed(encoder, side, progress=False).matrix for side in (notes, letters)]
    patients = related_notes([*notes, *letters]).tolist()
    assert apart.proxy_a_distance == proxy_a_distance(*vectors, groups=patients, seed=3)
    assert apart.mmd == mmd(*vectors, permutations=50, seed=3)
    labels = [[(note.label,) for note in side] for side in (notes, letters)]
    assert apart.labels == {"label": label_shift(*labels, permutations=50, seed=3)}
    assert compare(notes, letters, encoder, seed=3) == apart


def test_every_annotation_of_both_sides_is_compared(notes, encoder):
    found = compare(notes[:30], notes[30:], encoder)
    assert set(found.labels) == {"label", "codes", "spans"}
    bare = [replace(note, label=None, codes=None) for note in notes[30:]]
    assert set(compare(notes[:30], bare, encoder).labels) == {"spans"}


def test_notes_are_drawn_counted_and_empty_ones_left_out(notes, encoder):
    source = [*notes[:30], Note("empty", " \n\u200b")]
    found = compare(source, notes[20:], encoder, max_notes=25)
    assert (found.source.given, found.source.empty, found.source.used) == (31, 1, 25)
    assert (found.target.given, found.target.empty, found.target.used) == (40, 0, 25)
    spaced = [replace(note, text=f" {note.text.upper()}\n") for note in notes[20:]]
    # Those that were not drawn count too, and so do other spacing and case.
    assert found.shared == compare(source, spaced, encoder, max_notes=25).shared == 10
    whole = compare(source, notes[20:], encoder)
    assert any("10 target notes are in the source" in warning for warning in whole.warnings())


def test_copies_and_patients_do_not_make_two_domains_of_one(encoder):
    notes = as_notes(generate_notes(48, seed=5, words=(30, 80)))
    alone = [replace(note, patient_id=f"p{i}") for i, note in enumerate(notes)]
    later = [
        replace(note, note_id=f"{note.note_id} day {k}", text=f"{note.text}\nDay {k}.")
        for note in alone
        for k in range(3)
    ]
    copies = [replace(note, note_id=f"{note.note_id} copy") for note in alone]
    for side in (later, [*alone, *copies]):
        half = [note for note in side if note.patient_id in {n.patient_id for n in alone[:24]}]
        rest = [note for note in side if note not in half]
        found = compare(half, rest, encoder, allow_repeats=False)
        assert found.source.used == found.target.used == 24
        assert found.source.repeated == len(half) - 24
        assert found.proxy_a_distance.value < 1
        assert found.mmd.p_value > 0.05
    # That is what the copies would have made of it.
    assert compare(later[:72], later[72:], encoder).mmd.p_value < 0.05
    with pytest.raises(NoteError, match="of which 3 are of different patients and texts"):
        compare(later[:9], later[9:], encoder, allow_repeats=False)


def test_tables_hold_figures_and_no_text(notes, apart):
    table = format_table(apart.table())
    assert "told apart by a linear classifier" in table
    assert len(apart.table()) == 13
    shown = table + " ".join(apart.warnings()) + str(apart)
    assert not any(note.text[:20] in shown for note in notes)
    assert "xylophone" not in shown
    assert apart.summary()["proxy_a_distance"] == 2.0
    assert all(np.isfinite(value) for value in apart.summary().values())


def test_misuse_is_refused(notes, encoder):
    with pytest.raises(NoteError, match=r"the target has 9 notes with text \(of 10\)"):
        compare(notes, [*notes[:9], Note("x", "")], encoder)
    with pytest.raises(NoteError, match="the source has 0 notes"):
        compare([], notes, encoder)
    with pytest.raises(ConfigError, match="max_notes=5"):
        compare(notes, notes, encoder, max_notes=5)


def test_two_real_corpora_are_told_apart(encoder):
    from clinical_tl.data.corpora import load_corpus

    folder = corpus("mts_dialog").parent
    corpus("ncbi_disease")
    dialogues = load_corpus("mts_dialog", folder=folder)["dev"]
    abstracts = load_corpus("ncbi_disease", folder=folder)["dev"].select(range(20))
    found = compare(dialogues, abstracts, encoder, max_notes=20)
    assert found.proxy_a_distance.value >= 1
    assert found.length.ratio > 3
    assert found.labels == {}
