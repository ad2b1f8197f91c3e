"""Scores there have to be, and on other notes than training's."""

import pytest

from clinical_tl.data.seen_notes import Leak
from clinical_tl.errors import ConfigError
from clinical_tl.release.evaluation import check_evaluation
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.saved.evaluations import record_scores, set_digest
from clinical_tl.schema import Note
from tests.release.folders import write_json, write_model

TRAIN = [Note("1", "Fever and cough.", patient_id="a"), Note("2", "A rash.")]


def check(tmp_path, metrics, *, public=True, train=None, held_out=None):
    folder = ReleaseFolder.read(write_model(tmp_path / "model", metrics=metrics))
    return check_evaluation(folder, public=public, train=train, held_out=held_out)


@pytest.mark.parametrize(
    ("metrics", "public", "status"),
    [
        ({}, True, "block"),
        ({}, False, "warn"),
        ({"training": {"seconds": 3}, "source": {"labels": 2}}, True, "block"),
        ({"dev": {"f1": 0.9}}, True, "warn"),
        ({"dev": {"f1": 0.9}, "test": {"f1": 0.8}}, True, "partial"),
        ({"train": {"f1": 1.0}, "test": {"f1": 0.8}}, False, "block"),
        ({"Training set": {"f1": 1.0}, "test": {"f1": 0.8}}, False, "block"),
        ({"test": {"f1": float("nan")}}, True, "block"),
        ({"dev": {"f1": 0.9}, "self_training": {"best_round": 1}}, True, "warn"),
    ],
)
def test_which_scores_count(tmp_path, metrics, public, status):
    assert check(tmp_path, metrics, public=public).status == status


@pytest.mark.parametrize(
    ("held_out", "reason"),
    [
        (Note("9", "FEVER  and cough."), "1 have the text of a training note and 0 are of"),
        (Note("9", "Pain.", patient_id="a"), "0 have the text of a training note and 1 are of"),
        (Note("9", "Pain."), "share no text and no patient"),
    ],
)
def test_notes_on_both_sides_block(tmp_path, held_out, reason):
    metrics = {}
    record_scores(metrics, "test", [held_out], {"f1": 0.8})
    found = check(tmp_path, metrics, train=TRAIN, held_out=[held_out])
    assert reason in found.reason
    assert found.status == ("pass" if "share no" in reason else "block")


def test_scores_of_the_training_notes_block_whatever_they_are_called(tmp_path):
    metrics = {"training": {"notes_sha256": set_digest(TRAIN[::-1])}}
    record_scores(metrics, "test", TRAIN, {"f1": 1.0})
    assert check(tmp_path / "a", metrics).status == "block"
    # Nor does it help that training did not say what it read, if the gate is given the notes.
    del metrics["training"]
    assert check(tmp_path / "b", metrics).status == "partial"
    other = [Note("9", "Pain.")]
    found = check(tmp_path / "c", metrics, train=TRAIN, held_out=other)
    assert (found.status, found.reason) == (
        "block", "metrics.json: scores of training notes ['test']",
    )  # fmt: skip


def test_what_an_evaluation_compared_with_training_is_taken_from_it(tmp_path):
    notes, metrics = [Note("8", "Chest pain.")], {}
    for name, leak, status in (
        ("clean", Leak(1, 0, 0, identical=0, near=0, short=0), "pass"),
        ("not compared for near texts", Leak(1, 0, 0, identical=0, near=None, short=0), "partial"),
        ("not compared", None, "partial"),
        ("shared", Leak(1, 1, 1, identical=0, near=0, short=0), "warn"),
    ):
        record_scores(metrics, "test", notes, {"f1": 0.8}, leak=leak)
        assert check(tmp_path / name, metrics).status == status


def test_scores_of_other_notes_than_those_given_are_not_vouched_for(tmp_path):
    metrics = {}
    record_scores(metrics, "test", [Note("8", "Chest pain.")], {"f1": 0.8})
    found = check(tmp_path, metrics, train=TRAIN, held_out=[Note("9", "Pain.")])
    assert found.status == "warn"
    assert "are not the held-out notes given" in found.reason


def test_a_set_can_not_take_the_name_of_something_else():
    for name in ("training", "evaluated"):
        with pytest.raises(ConfigError, match="name the set of notes"):
            record_scores({}, name, TRAIN, {"f1": 1.0})


@pytest.mark.parametrize(("held_out", "status"), [(12, "pass"), (0, "block")])
def test_an_adapted_encoder_was_measured_on_held_out_notes(tmp_path, held_out, status):
    write_json(tmp_path / "adaptation.json", {"encoder": "offline", "held_out_notes": held_out})
    folder = ReleaseFolder.read(tmp_path)
    assert folder.kind == "adapted_encoder"
    assert check_evaluation(folder, public=True, train=None, held_out=None).status == status
