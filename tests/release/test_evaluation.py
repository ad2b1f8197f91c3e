"""Scores there have to be, and on other notes than training's."""

import pytest

from clinical_tl.release.evaluation import check_evaluation
from clinical_tl.release.folder import ReleaseFolder
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
        ({"dev": {"f1": 0.9}, "test": {"f1": 0.8}}, True, "pass"),
        ({"train": {"f1": 1.0}, "test": {"f1": 0.8}}, False, "block"),
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
    found = check(tmp_path, {"test": {"f1": 0.8}}, train=TRAIN, held_out=[held_out])
    assert reason in found.reason
    assert found.status == ("pass" if "share no" in reason else "block")


@pytest.mark.parametrize(("held_out", "status"), [(12, "pass"), (0, "block")])
def test_an_adapted_encoder_was_measured_on_held_out_notes(tmp_path, held_out, status):
    write_json(tmp_path / "adaptation.json", {"encoder": "offline", "held_out_notes": held_out})
    folder = ReleaseFolder.read(tmp_path)
    assert folder.kind == "adapted_encoder"
    assert check_evaluation(folder, public=True, train=None, held_out=None).status == status
