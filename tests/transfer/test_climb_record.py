"""What a climb has found is on disk: whole, without text, and of no other climb."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
from peft import LoraConfig

from clinical_tl.errors import ConfigError, OutputError
from clinical_tl.network.frozen_encoder import FrozenEncoder
from clinical_tl.network.lora import LoRA
from clinical_tl.rules.rule import Rule
from clinical_tl.schema import Prediction
from clinical_tl.storage.sealed_json import write_sealed
from clinical_tl.tasks.note_classification import NoteClassification
from clinical_tl.training.config import TrainingConfig
from clinical_tl.transfer.climb_record import ClimbedFold, ClimbRecord, climb_settings
from clinical_tl.transfer.rungs import Means
from tests.tiny_encoders import write_encoder

SETTINGS = {"encoder": "a", "task": "b"}


@pytest.fixture
def climbed(notes):
    task = NoteClassification.from_notes(notes)
    said = [Prediction(note.note_id, label=note.label) for note in notes]
    return ClimbedFold(task.note_counts(notes, said), 1.5)


@pytest.fixture
def notes(synthetic_notes):
    return list(synthetic_notes)[:6]


def test_what_is_kept_is_found_again(tmp_path, climbed):
    record = ClimbRecord.of(tmp_path, SETTINGS, resume=True)
    record.keep("TF-IDF", 0, climbed)
    record.keep("frozen features", 0, climbed)
    record.keep("frozen features", 1, replace(climbed, seconds=2.0))
    found = ClimbRecord.of(tmp_path, SETTINGS, resume=True)
    assert [fold.seconds for fold in found.of_rung("frozen features")] == [1.5, 2.0]
    assert found.of_rung("adapter") == []
    assert found.seconds({"TF-IDF", "frozen features", "adapter"}) == 5.0
    assert found.seconds({"TF-IDF"}) == 1.5
    assert found.of_rung("TF-IDF")[0].counts.to_dict() == climbed.counts.to_dict()


def test_no_text_of_notes_is_in_it(tmp_path, climbed, notes):
    ClimbRecord.of(tmp_path, SETTINGS, resume=True).keep("TF-IDF", 0, climbed)
    written = "".join(file.read_text() for file in tmp_path.iterdir())
    assert "TF-IDF" in written
    for note in notes:
        assert note.text[:20] not in written
        assert note.note_id not in written


def test_a_climb_of_other_settings_is_refused_or_removed(tmp_path, climbed):
    ClimbRecord.of(tmp_path, SETTINGS, resume=True).keep("TF-IDF", 0, climbed)
    with pytest.raises(ConfigError, match="holds a climb with other task; use another output_dir"):
        ClimbRecord.of(tmp_path, {**SETTINGS, "task": "c"}, resume=True)
    anew = ClimbRecord.of(tmp_path, {**SETTINGS, "task": "c"}, resume=False)
    assert anew.folds == {}
    assert ClimbRecord.of(tmp_path, {**SETTINGS, "task": "c"}, resume=True).folds == {}


def test_a_damaged_fold_is_climbed_again(tmp_path, climbed, caplog):
    record = ClimbRecord.of(tmp_path, SETTINGS, resume=True)
    record.keep("TF-IDF", 0, climbed)
    record.keep("TF-IDF", 1, climbed)
    file = tmp_path / "TF-IDF-fold-1.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": 0.0}))
    write_sealed(tmp_path / "TF-IDF-fold-2.json", {"settings": record.of_settings, "other": 1})
    with caplog.at_level(logging.WARNING, logger="clinical_tl"):
        found = ClimbRecord.of(tmp_path, SETTINGS, resume=True)
    assert "TF-IDF-fold-1.json differs from what was saved; it is climbed again" in caplog.text
    assert "TF-IDF-fold-2.json holds no climbed fold (KeyError); it is climbed" in caplog.text
    assert found.folds == {}


def test_folds_that_another_climb_has_left_are_climbed_again(tmp_path, climbed, caplog):
    ClimbRecord.of(tmp_path, SETTINGS, resume=True).keep("TF-IDF", 0, climbed)
    (tmp_path / "settings.json").unlink()
    with caplog.at_level(logging.WARNING, logger="clinical_tl"):
        found = ClimbRecord.of(tmp_path, {**SETTINGS, "task": "c"}, resume=True)
    assert "TF-IDF-fold-1.json is of another climb; it is climbed again" in caplog.text
    assert found.folds == {}


def test_starting_over_removes_no_file_of_ones_own(tmp_path, climbed):
    ClimbRecord.of(tmp_path, SETTINGS, resume=True).keep("TF-IDF", 0, climbed)
    (tmp_path / "mine.json").write_text("{}")
    assert ClimbRecord.of(tmp_path, SETTINGS, resume=False).folds == {}
    assert {file.name for file in tmp_path.iterdir()} == {"mine.json", "settings.json"}


def settings(notes, **changed):
    given = {"adapter": None, "config": TrainingConfig(), "rules": (), "dev": notes[4:]}
    given |= {"train": notes[:4], **changed}
    task = given.get("task") or NoteClassification.from_notes(notes)
    means = Means(
        task, "a", given["encoder"], None, True, given["adapter"], given["config"],
        given["rules"], False,
    )  # fmt: skip
    return climb_settings(means, [given["train"][:2], given["train"][2:]], given["dev"])


def test_all_that_decides_a_climb_is_of_its_settings(tiny_encoder, tmp_path, notes):
    encoder = FrozenEncoder.from_pretrained(tiny_encoder)
    other = FrozenEncoder.from_pretrained(write_encoder(tmp_path, "electra"))

    def settings_with(**changed):
        return settings(notes, **{"encoder": encoder, **changed})

    plain = settings_with()
    assert plain == settings_with(adapter=LoRA())
    # What changes no score.
    free = TrainingConfig(progress=False, checkpoint_steps=5)
    assert plain == settings_with(config=free)
    for name, changed in {
        "encoder": {"encoder": other},
        "adapter": {"adapter": LoRA(r=2)},
        "rules": {"rules": (Rule("a/1", "pain", "Symptom", "a"),)},
        "training settings": {"config": TrainingConfig(seed=1)},
        "task": {"task": NoteClassification.from_notes(notes, class_weights=None)},
        "training notes": {"train": notes[1:5]},
        "dev notes": {"dev": None},
    }.items():
        found = settings_with(**changed)
        assert {key for key in plain if plain[key] != found[key]} == {name}
    assert settings_with(adapter="full")["adapter"] != plain["adapter"]
    config = LoraConfig(target_modules=["query", "value", "key"])
    again = LoraConfig(target_modules=["key", "value", "query"])
    assert settings_with(adapter=config) == settings_with(adapter=again)


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch, climbed):
    monkeypatch.chdir(tmp_path)
    record = ClimbRecord()
    record.keep("TF-IDF", 0, climbed)
    assert record.of_rung("TF-IDF") == [climbed]
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_said_before_the_climb(tmp_path):
    (tmp_path / "climb").write_text("")
    with pytest.raises(OutputError):
        ClimbRecord.of(tmp_path / "climb", SETTINGS, resume=True)
