"""Matching labels and notes of two corpora, with the real encoder where meaning counts."""

from dataclasses import replace

import pytest

from clinical_tl.data.codes.known_systems import SYSTEMS
from clinical_tl.errors import ConfigError, NoteError, TaskError
from clinical_tl.models.transfer_model import TransferModel
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.schema import Note, Span
from clinical_tl.tasks.diagnosis_coding import DiagnosisCoding
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.training.fitting import fit
from clinical_tl.training.source_weights import start_from
from clinical_tl.transfer.matching import match_labels, match_notes

HEART = ["crushing chest pain, troponin raised", "chest pain on exertion, normal troponin"]
SKIN = ["itchy red rash on both arms", "scaly plaques over the elbows, psoriasis"]
LUNG = ["wheeze and dry cough, asthma", "wheeze at night, asthma since childhood"]


@pytest.fixture(scope="module")
def encoder(offline_encoder):
    return FrozenEncoder.from_pretrained(offline_encoder)


def labelled(prefix, **texts):
    return [
        Note(f"{prefix}{label}{i}", text, label=label)
        for label, some in texts.items()
        for i, text in enumerate(some)
    ]


@pytest.fixture(scope="module")
def source():
    return labelled("s", cardiology=HEART[:1], dermatology=SKIN[:1], pulmonology=LUNG[:1])


@pytest.fixture(scope="module")
def target():
    return labelled("t", A=SKIN[1:], B=LUNG[1:], C=HEART[1:])


def test_labels_that_mean_the_same_are_matched_whatever_their_names(encoder, source, target):
    matching = match_labels(source, target, encoder, field="label", limit=2.0, progress=False)
    assert matching.mapping == {
        "A": ("dermatology",),
        "B": ("pulmonology",),
        "C": ("cardiology",),
    }
    assert [p.distance for p in matching.pairs] == sorted(p.distance for p in matching.pairs)


def test_pairs_too_far_apart_are_shown_and_rejected(encoder, source, target):
    matching = match_labels(source, target, encoder, field="label", limit=0.0, progress=False)
    assert matching.mapping == {}
    assert len(matching.pairs) == 3
    assert all(str(row["accepted"]).startswith("no (above") for row in matching.table())


def test_one_to_one_leaves_a_label_over_and_one_to_many_does_not(encoder, source):
    finer = labelled("t", eczema=SKIN[:1], psoriasis=SKIN[1:], asthma=LUNG[:1], fibrillation=HEART)
    alone = match_labels(source, finer, encoder, field="label", limit=2.0, progress=False)
    assert len(alone.unmatched) == 1
    assert alone.table()[-1]["accepted"] == "no partner"
    shared = match_labels(
        source, finer, encoder, field="label", limit=2.0, one_to_many=True, progress=False
    )
    assert shared.unmatched == ()
    assert shared.mapping["eczema"] == shared.mapping["psoriasis"] == ("dermatology",)


def test_many_to_one_gives_a_coarser_label_all_of_its_sources(encoder, target):
    finer = labelled("s", eczema=SKIN[:1], psoriasis=SKIN[1:], asthma=LUNG[:1], angina=HEART[:1])
    matching = match_labels(
        finer, target, encoder, field="label", limit=2.0, many_to_one=True, progress=False
    )
    assert {name: set(found) for name, found in matching.mapping.items()} == {
        "A": {"eczema", "psoriasis"}, "B": {"asthma"}, "C": {"angina"},
    }  # fmt: skip


def test_codes_are_carried_over_by_half_of_the_votes(encoder):
    source = [
        Note("1", SKIN[0], codes=("l20", "R21")),
        Note("2", SKIN[0], codes=("L20",)),
        Note("3", SKIN[0], codes=("L20", "R21", "Z88")),
        Note("4", HEART[0], codes=("I20",)),
    ]
    target = [Note("a", SKIN[0]), Note("b", " "), Note("a", " ")]
    found = match_notes(source, target, encoder, field="codes", k=3, progress=False)
    (note,) = found.notes
    assert (note.note_id, note.codes, found.unmatched) == ("a", ("L20", "R21"), ("b", "a"))
    silver = note.metadata["silver"]
    assert silver["scores"] == pytest.approx({"L20": 1.0, "R21": 2 / 3}, abs=1e-3)
    assert (silver["unsure_codes"], silver["score"]) == (["Z88"], silver["scores"]["R21"])


def test_descriptions_take_part(encoder):
    # The examples say nothing; what the labels mean decides.
    source = labelled("s", x=["a note"], y=["a note."])
    target = labelled("t", p=["the note"], q=["the note."])
    meanings = {"x": SKIN[0], "y": LUNG[0], "p": LUNG[1], "q": SKIN[1]}
    matching = match_labels(
        source, target, encoder, field="label", descriptions=meanings, limit=2.0, progress=False
    )
    assert matching.mapping == {"p": ("y",), "q": ("x",)}


def test_what_is_invisible_is_nobodys_neighbour(encoder):
    source = labelled("s", skin=[SKIN[0], "\u200b"], heart=[*HEART, "\ufeff"])
    found = match_notes(source, ["\u200b", "\ufeff ", SKIN[1]], encoder, k=5, progress=False)
    assert [note.label for note in found.notes] == ["skin"]
    assert len(found.unmatched) == 2
    nothing = match_notes(labelled("s", a=["\u200b"]), [SKIN[1]], encoder, progress=False)
    assert (nothing.notes, len(nothing.unmatched)) == ((), 1)
    plain = match_labels(labelled("s", skin=SKIN), source, encoder, field="label", progress=False)
    clean = match_labels(
        labelled("s", skin=SKIN),
        labelled("t", skin=[SKIN[0]], heart=HEART),
        encoder,
        field="label",
        progress=False,
    )
    assert [p.distance for p in plain.pairs] == pytest.approx([p.distance for p in clean.pairs])


def test_mentions_and_codes_are_examples_too(encoder):
    def spans(label, *mentions):
        return [
            Note(f"{label}{i}", mention, spans=(Span(0, len(mention), label),))
            for i, mention in enumerate(mentions)
        ]

    source = spans("Disease", "asthma", "psoriasis") + spans("Chemical", "aspirin", "warfarin")
    target = spans("Problem", "pneumonia", "eczema") + spans("Drug", "ibuprofen", "heparin")
    matching = match_labels(source, target, encoder, field="spans", progress=False)
    assert matching.mapping == {"Problem": ("Disease",), "Drug": ("Chemical",)}
    coded = [Note("1", "a", codes=("J45",)), Note("2", "b", codes=("L40",))]
    others = [Note("1", "c", codes=("L40.0",)), Note("2", "d", codes=("J45.909",))]
    matching = match_labels(coded, others, encoder, field="codes", limit=2.0, progress=False)
    assert matching.mapping == {"L40.0": ("L40",), "J45.909": ("J45",)}


def test_notes_get_the_label_of_their_mutual_neighbours(encoder, source):
    target = [Note("1", SKIN[1], metadata={"ward": 3}), Note("2", LUNG[1]), Note("3", HEART[1])]
    matching = match_notes(source, target, encoder, k=1, progress=False)
    assert {n.note_id: n.label for n in matching.notes} == {
        "1": "dermatology",
        "2": "pulmonology",
        "3": "cardiology",
    }
    first = matching.notes[0]
    assert first.metadata["ward"] == 3
    assert first.metadata["silver"] == {
        "source": "matching",
        "from": ["sdermatology0"],
        "score": 1.0,
    }


def test_a_note_that_is_nobodys_neighbour_is_named(encoder, source):
    target = [Note("far", "the invoice is due on Monday"), Note("1", SKIN[1]), Note("2", LUNG[1])]
    target += [Note("3", HEART[1])]
    assert match_notes(source, target, encoder, k=1, progress=False).unmatched == ("far",)


@pytest.mark.parametrize("level", ["code", "category", "chapter"])
def test_matched_codes_are_those_of_the_tasks(encoder, tiny_encoder, level):
    texts = ["high blood pressure", "diabetes type 2", "wheeze, asthma"]
    spelt = [("i10",), ("E119", "e11.9"), ("j45909",)]
    ours = [Note(f"s{i}", t, codes=c) for i, (t, c) in enumerate(zip(texts, spelt, strict=True))]
    plain = [("I10",), ("E11.65",), ("J45.20",)]
    theirs = [Note(f"t{i}", t, codes=c) for i, (t, c) in enumerate(zip(texts, plain, strict=True))]
    matching = match_labels(
        ours, theirs, encoder, field="codes", level=level, limit=2.0, progress=False
    )
    source, target = (
        TransferModel.from_pretrained(tiny_encoder, DiagnosisCoding.from_notes(side, level=level))
        for side in (ours, theirs)
    )
    report = start_from(target, source, labels=matching.mapping)
    assert (len(report.labels), report.new, report.left) == (3, (), ())
    bare = [Note("b", texts[1])]
    carried = match_notes(ours, bare, encoder, field="codes", level=level, k=1, progress=False)
    (note,) = carried.notes
    assert set(note.codes) <= set(source.task.labels)
    assert len(source.task.targets([note], [])[0]) == 1


def test_codes_of_another_system_have_neither_our_meanings_nor_our_levels(encoder, monkeypatch):
    described = []
    system = replace(SYSTEMS["icd10cm"], describe=described.append)
    monkeypatch.setitem(SYSTEMS, "icd10cm", system)
    ours = [Note("1", "pain", codes=("E8801", "V5861")), Note("2", "fall", codes=("4019",))]
    theirs = [Note("3", "pain and fall", codes=("I10",))]
    found = match_labels(ours, theirs, encoder, field="codes", limit=2.0, progress=False)
    assert {pair.source for pair in found.pairs} <= {"E8801", "V5861", "4019"}
    assert described == ["I10"]
    with pytest.raises(TaskError, match="note '1' has a code without a category"):
        match_labels(ours, theirs, encoder, field="codes", level="category", progress=False)
    with pytest.raises(ConfigError, match="level 'block' is not among"):
        match_labels(ours, theirs, encoder, field="codes", level="block", progress=False)


def test_codes_of_a_named_system_are_matched_as_its_tasks_name_them(encoder):
    ours = [Note("1", "pain", codes=("V5861",)), Note("2", "fall", codes=("4019", "E8497"))]
    theirs = [Note("3", "pain and fall", codes=("V58.61", "401.9"))]
    found = match_labels(
        ours, theirs, encoder, field="codes", code_system="icd9cm", limit=2.0, progress=False
    )
    assert {pair.source for pair in found.pairs} <= {"V58.61", "401.9", "E849.7"}
    found = match_labels(
        ours, theirs, encoder, field="codes", code_system="icd9cm", level="chapter", limit=2.0,
        progress=False,
    )  # fmt: skip
    assert {pair.target for pair in found.pairs} == {"V01-V91", "390-459"}


def test_codes_of_another_system_are_matched_by_their_examples(encoder):
    source = [
        Note("1", "high blood pressure", codes=("401.9",)),
        Note("2", "diabetes mellitus", codes=("250.00",)),
    ]
    target = [Note("3", "hypertension, raised blood pressure", codes=("I10",))]
    matching = match_labels(source, target, encoder, field="codes", progress=False)
    assert matching.mapping == {"I10": ("401.9",)}


def test_a_share_is_a_share_and_the_unlike_do_not_vote(encoder):
    source = [
        Note("1", "chest pain on exertion", label="cardio"),
        Note("2", "the invoice is due", label="finance"),
        Note("3", " \n", label="blank"),
    ]
    target = [Note("4", "exertional chest pain"), Note("5", "zxq vvv"), Note("6", "\n")]
    found = match_notes(source, target, encoder, k=5, progress=False)
    scores = [note.metadata["silver"]["score"] for note in found.notes]
    assert all(0 < score <= 1 for score in scores)
    assert found.notes[0].label == "cardio"
    assert all(note.label != "blank" for note in found.notes)
    assert "6" in found.unmatched


def test_misuse_is_refused(encoder, source, target):
    with pytest.raises(TaskError, match="no 'codes' to match"):
        match_labels(source, target, encoder, field="codes", progress=False)
    with pytest.raises(TaskError, match="1 of 1 source notes have no 'label'"):
        match_notes([Note("1", "a")], ["rash"], encoder, progress=False)
    with pytest.raises(TaskError, match="at least 1"):
        match_notes(source, ["rash"], encoder, k=0, progress=False)
    with pytest.raises(NoteError, match="3 of 3 target notes have a 'label' already"):
        match_notes(source, target, encoder, progress=False)
    with pytest.raises(ConfigError, match="'label' or their 'codes'"):
        match_notes(source, ["rash"], encoder, field="spans", progress=False)
    with pytest.raises(ConfigError, match="exclude one another"):
        match_labels(source, target, encoder, field="label", one_to_many=True, many_to_one=True)
    with pytest.raises(TaskError, match=r"1 labels have neither .* \['empty'\]"):
        match_labels(
            [*source, Note("e", " ", label="empty")], target, encoder, field="label", progress=False
        )
    with pytest.raises(ConfigError, match="choose 'label', 'codes' or 'spans'"):
        match_labels(source, target, encoder, field="labels", progress=False)


def test_matched_labels_start_a_target_that_has_no_labels_of_its_own(
    offline_encoder, encoder, source, target
):
    # A head trained on the source serves the target's names before any target note is learnt.
    trained = TransferModel.from_pretrained(
        offline_encoder, NoteClassification.from_notes(source), adapter="frozen"
    )
    config = TrainingConfig(epochs=60, head_learning_rate=3e-3, progress=False)
    fit(trained, source, config=config)
    matching = match_labels(source, target, encoder, field="label", limit=2.0, progress=False)
    untrained = TransferModel.from_pretrained(
        offline_encoder, NoteClassification.from_notes(target), adapter="frozen"
    )
    report = start_from(untrained, trained, labels=matching.mapping)
    assert report.new == ()
    predicted = untrained.predict(target, progress=False)
    assert [p.label for p in predicted] == [note.label for note in target]
