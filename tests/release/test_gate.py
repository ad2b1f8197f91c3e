"""The gate as a whole: what passes, what is refused, and what overrides leave behind."""

from dataclasses import replace

import numpy as np
import pytest

import clinical_tl as ctl
from clinical_tl.errors import ArtifactError, ClinicalTLError, ConfigError, ReleaseError
from clinical_tl.estimators.lexical_classifier import LexicalClassifier
from clinical_tl.estimators.novelty import NoveltyDetector
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.gate import CHECKS, OVERRIDES, check_release, require_release
from clinical_tl.release.shareable import check_encoder
from clinical_tl.schema import Note
from recipes import check_release as recipe
from tests.release.folders import SECRET, write_json, write_model

NOTES = [Note(str(i), f"A text about {SECRET} and matter {i}.", label="a") for i in range(3)]


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


@pytest.fixture
def leaking(model):
    (model / "notes.csv").write_text(f"{NOTES[0].text} Seen on 12/03/2019.\n")
    return model


@pytest.mark.parametrize("public", [True, False])
def test_a_model_of_public_notes_may_leave(model, public):
    report = check_release(model, data_use="public", public=public)
    assert report.allowed
    assert report.blocked == ()
    assert tuple(row["check"] for row in report.table()) == CHECKS
    assert [check.status for check in report.checks] == [
        "partial", "pass", "pass", "partial", "pass", "unchecked", "partial", "pass",
    ]  # fmt: skip
    assert require_release(model, repo_private=not public, data_use="public") == report


def test_the_refusal_names_every_block_and_quotes_nothing(leaking):
    with pytest.raises(ReleaseError) as refused:
        require_release(
            leaking, repo_private=False, data_use="credentialed", train=NOTES, held_out=NOTES
        )
    message = str(refused.value)
    assert isinstance(refused.value, ClinicalTLError)
    assert "5 of 8 checks block" in message
    assert "overrides=['identifiers', 'layout', 'data_use', 'memorisation', 'evaluation']" in (
        message
    )
    assert "notes.csv, line 1: date ×1" in message
    assert "Nothing was sent." in message
    assert SECRET not in message
    assert "12/03" not in message


def test_overrides_lift_blocks_and_stay_in_the_report(leaking):
    overrides = ["identifiers", "layout=a table of made-up notes"]
    report = require_release(leaking, repo_private=True, data_use="public", overrides=overrides)
    by_name = {check.name: check for check in report.checks}
    assert by_name["layout"].overridden_by == "layout=a table of made-up notes"
    assert by_name["data_use"].overridden_by is None
    assert "block, overridden" in str(report)
    with pytest.raises(ReleaseError, match="1 of 8 checks block"):
        require_release(leaking, repo_private=True, data_use="public", overrides=["layout"])


def test_no_override_lets_out_what_nobody_else_can_load_or_what_holds_notes(tmp_path):
    lifted = list(OVERRIDES)
    folder = write_model(tmp_path / "local", encoder=str(tmp_path))
    with pytest.raises(
        ReleaseError, match=r"1 of 8 checks block\n  encoder: .*merge=True"
    ) as found:
        require_release(folder, repo_private=True, data_use="public", overrides=lifted)
    assert "To mend: remove the causes. Nothing was sent." in str(found.value)
    assert str(tmp_path) not in str(found.value).split("\n", 1)[1]
    folder = write_model(tmp_path / "holds")
    NoveltyDetector("knn").fit(np.random.default_rng(0).normal(size=(30, 4))).save(folder)
    report = check_release(folder, data_use="public", overrides=lifted)
    assert [(c.name, c.row()["override"]) for c in report.blocked] == [("memorisation", "")]


def test_an_encoder_that_is_carried_must_not_tell_where_it_lay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name, carried, allowed in (
        ("./mine", False, False),
        ("./mine", True, True),
        (str(tmp_path / "mine"), True, False),
        ("somebody/encoder", False, True),
    ):
        read = ReleaseFolder.read(write_model(tmp_path / "model", encoder=name))
        files = {"model.safetensors": "0" * 64} if carried else {}
        found = check_encoder(replace(read, description={**read.description, "files": files}))
        assert found.blocks is not allowed


def adapted(folder):
    """An adapted encoder whose audit says that no canary was planted."""
    write_json(folder / "adaptation.json", {"encoder": "offline", "held_out_notes": 3})


def with_hashed_words(folder):
    write_model(folder)
    LexicalClassifier(min_notes=1, hashed=True).fit(["fever", "cough"], [0, 1]).save(folder)


NOT_LOOKED_FOR = {
    # check: (folder, what was not looked for, what the gate is given)
    "identifiers": (write_model, "quotations were not looked for", {}),
    "layout": (adapted, "whether they changed since they were saved was not looked for", {}),
    "encoder": (
        lambda folder: write_model(folder, encoder="somebody/encoder"),
        "whether others can have it there was not looked for",
        {},
    ),
    "data_use": (write_model, "not in the metadata of all notes", {}),
    "vocabulary": (with_hashed_words, "whoever guesses one can look up", {"public": True}),
    "memorisation": (write_model, "not audited", {"train": NOTES, "held_out": NOTES}),
    "evaluation": (write_model, "texts and patients of training were not looked for", {}),
    "licence": (lambda folder: write_model(folder, encoder="somebody/encoder"), "not known", {}),
}


@pytest.mark.parametrize("name", CHECKS)
def test_what_a_check_did_not_look_for_is_no_pass(name, tmp_path):
    write, said, given = NOT_LOOKED_FOR[name]
    folder = tmp_path / "model"
    folder.mkdir()
    write(folder)
    given = {"data_use": "local" if name == "vocabulary" else "public", **given}
    report = check_release(folder, **given)
    (row,) = [row for row in report.table() if row["check"] == name]
    assert row["status"] in {"partial", "unchecked", "warn"}
    assert said in row["reason"]
    # Nor does somebody's override make it one.
    if name in OVERRIDES:
        lifted = check_release(folder, overrides=[name], **given)
        assert not [r for r in lifted.table() if r["check"] == name and r["status"] == "pass"]


def test_settings_of_a_run_are_not_among_what_leaves_with_a_saved_model(model, tmp_path):
    settings = f"train: /home/zebulon/notes.csv\ntext: {NOTES[0].text} Seen on 12/03/2019.\n"
    (model / "config.yaml").write_text(settings)
    by_name = {c.name: c for c in check_release(model, data_use="public", train=NOTES).checks}
    assert by_name["layout"].status == "pass"
    assert "config.yaml stays here" in by_name["layout"].reason
    assert not by_name["identifiers"].blocks
    # Of other folders nobody knows what is sent: there they are in the way.
    adapted(tmp_path)
    (tmp_path / "config.yaml").write_text(settings)
    blocked = {c.name: c for c in check_release(tmp_path, data_use="public", train=NOTES).blocked}
    assert "config.yaml: the settings of a run" in blocked["layout"].reason
    assert "config.yaml, line 1: folder of a machine" in blocked["identifiers"].reason


@pytest.mark.parametrize(
    "overrides", [["everything"], ["encoder"], ["licence", "layuot=x"], "layout"]
)
def test_an_unknown_override_is_refused(model, overrides):
    with pytest.raises(ConfigError, match="allowed: a list of check names"):
        check_release(model, data_use="public", overrides=overrides)


def test_there_has_to_be_a_folder(tmp_path):
    with pytest.raises(ArtifactError, match="no folder, or an empty one"):
        check_release(tmp_path, data_use="public")
    with pytest.raises(ArtifactError, match="no folder, or an empty one"):
        check_release(tmp_path / "nowhere", data_use="public")


def test_a_merged_model_is_checked_too(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    report = check_release(tmp_path, data_use="local", public=True)
    assert [check.name for check in report.blocked] == ["memorisation", "evaluation", "licence"]


def test_the_gate_changes_nothing(leaking):
    before = {file: file.read_bytes() for file in leaking.rglob("*")}
    check_release(leaking, data_use="public", train=NOTES)
    assert {file: file.read_bytes() for file in leaking.rglob("*")} == before


def test_the_recipe_says_what_it_found(leaking, model, tmp_path, capsys):
    ctl.data.write_notes(ctl.Notes(NOTES), tmp_path / "train.jsonl")
    given = {"data_use": "public", "train": str(tmp_path / "train.jsonl")}
    with pytest.raises(ReleaseError, match=r"\['identifiers', 'layout'\] block"):
        recipe.main(str(leaking), **given)
    shown = capsys.readouterr().out
    assert "block     identifiers: " in shown
    assert SECRET not in shown
    (leaking / "notes.csv").unlink()
    assert recipe.main(str(model), **given, overrides=["licence=mit"])
    assert "partial   identifiers: none in 6 files" in capsys.readouterr().out
