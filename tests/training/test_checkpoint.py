"""Checkpoints outlive kills, full disks and flipped bits; the newest sound one is read."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch

from clinical_tl.errors import ArtifactError, OutputError
from clinical_tl.training.checkpoint import Checkpoint, discard_checkpoints, newest_checkpoint
from clinical_tl.training.log import TrainingLog
from tests.crash_points import every_crash_point


def checkpoint(step, value):
    tensors = {"w": torch.full((4,), float(value))}
    return Checkpoint({"step": step, "value": value}, tensors, {"w/m": tensors["w"]}, {})


def value(folder):
    found = newest_checkpoint(folder)
    return None if found is None else float(found.weights["w"][0])


@pytest.mark.parametrize("step", [1, 2], ids=["the same step again", "a later step"])
def test_a_kill_at_any_point_of_a_save_leaves_the_old_checkpoint_or_the_new(tmp_path, step):
    folder = tmp_path / "run"

    def before():
        shutil.rmtree(folder, ignore_errors=True)
        checkpoint(0, 0).save(folder)
        checkpoint(1, 1).save(folder)

    def after():
        assert value(folder) in (1.0, 2.0)
        checkpoint(step, 3).save(folder)
        assert value(folder) == 3.0
        assert len(list(folder.iterdir())) == 2, "leftovers"

    points = every_crash_point(before, lambda: checkpoint(step, 2).save(folder), after)
    assert points > 5


def test_a_kill_in_discarding_leaves_checkpoints_whole_or_gone(tmp_path):
    def before():
        checkpoint(0, 0).save(tmp_path)
        checkpoint(1, 1).save(tmp_path)

    def after():
        assert value(tmp_path) in (None, 1.0)
        discard_checkpoints(tmp_path)
        assert value(tmp_path) is None

    every_crash_point(before, lambda: discard_checkpoints(tmp_path), after)


def test_the_same_step_saved_again_is_the_newest(tmp_path):
    for number in range(3):
        checkpoint(7, number).save(tmp_path)
    assert value(tmp_path) == 2.0
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "optimizer.safetensors", "best.safetensors", "state.json"]
)
def test_a_flipped_bit_sends_training_back_to_the_checkpoint_before(tmp_path, name, caplog):
    checkpoint(1, 1).save(tmp_path)
    newest = checkpoint(2, 2).save(tmp_path)
    content = (newest / name).read_bytes()
    for position in range(0, len(content), 7):
        if content[position : position + 1].isspace():
            continue
        flipped = bytearray(content)
        flipped[position] ^= 1
        (newest / name).write_bytes(flipped)
        if name == "state.json" and _equal_json(content, flipped):
            continue
        caplog.clear()
        assert value(tmp_path) == 1.0
        assert name in caplog.text
        assert caplog.records[0].levelno == logging.WARNING


def _equal_json(content, flipped):
    try:
        return json.loads(content) == json.loads(flipped)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "state",
    ["[]", "{}", "null", '{"files": null, "state": {}}', "[" * 100_000, "\udcff", '{"state": 1}'],
    ids=["list", "empty", "null", "no files", "deep", "bytes", "number"],
)
def test_a_damaged_state_is_one_error_that_names_the_folder_and_the_mend(tmp_path, state):
    newest = checkpoint(1, 1).save(tmp_path)
    (newest / "state.json").write_bytes(state.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match="resume=False") as caught:
        newest_checkpoint(tmp_path)
    assert str(newest) in str(caught.value)


def test_all_is_on_the_disk_before_a_checkpoint_bears_its_name(tmp_path, monkeypatch):
    done = []
    fsync, rename = os.fsync, os.rename

    def synced_file(number):
        done.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        fsync(number)

    monkeypatch.setattr(os, "fsync", synced_file)
    monkeypatch.setattr(os, "rename", lambda *a: (done.append("rename"), rename(*a)))
    target = checkpoint(1, 1).save(tmp_path)
    first = done.index("rename")
    synced = {name.rsplit("/", 1)[-1] for name in done[:first]}
    assert synced >= {file.name for file in target.iterdir()}
    assert str(tmp_path) in done[first:]


def test_a_full_disk_leaves_the_earlier_checkpoint_and_is_one_error(tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    checkpoint(1, 1).save(tmp_path)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OutputError, match="the disk is full"):
        checkpoint(2, 2).save(tmp_path)
    assert value(tmp_path) == 1.0
    assert len(list(tmp_path.iterdir())) == 1


def test_an_epoch_that_is_done_again_has_one_line_in_the_log(tmp_path):
    log = TrainingLog(tmp_path, from_step=0)
    log.write(1, loss=1.0)
    log.write(2, loss=0.5)
    log.write(2, epoch=1, train_loss=0.75)
    # Killed before the epoch's checkpoint: the one of step 2 knows of no epoch that is over.
    log = TrainingLog(tmp_path, from_step=2, from_epoch=0)
    log.write(2, epoch=1, train_loss=0.75)
    rows = [json.loads(line) for line in (tmp_path / "train_log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 2]
    assert sum("epoch" in row for row in rows) == 1


def test_a_line_cut_by_a_kill_is_no_line(tmp_path):
    log = TrainingLog(tmp_path, from_step=0)
    log.write(1, loss=1.0)
    file = tmp_path / "train_log.jsonl"
    file.write_bytes(file.read_bytes() + b'{"step": 2, "loss": 0.12}')
    TrainingLog(tmp_path, from_step=2).write(3, loss=0.1)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [1, 3]
