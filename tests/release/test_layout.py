"""What may not travel: undeclared files, pickles whatever their name, code, outsized files."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.release.layout import LARGEST, check_layout
from tests.release.folders import write_json, write_model


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


def check(folder):
    return check_layout(ReleaseFolder.read(folder))


def archive():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("data.pkl", b"x")
    return stream.getvalue()


def test_a_saved_model_is_declared_to_its_last_file(model):
    found = check(model)
    assert (found.status, found.reason) == ("pass", "6 files, all declared")


RUNS = "can run code when it is loaded"
FAULTS = {
    "pickle by name": ("training_args.bin", b"anything", RUNS),
    "pickle by content": ("config.json", pickle.dumps({"a": 1}), RUNS),
    "torch.save by content": ("vocab.txt", archive(), RUNS),
    "code by name": ("modeling.py", b"import os", "code"),
    "code by content": ("vocab.txt", b"#!/bin/sh\n", "code"),
    "remote code": ("config.json", b'{"auto_map": {"AutoModel": "x.Y"}}', "names code to run"),
    "undeclared": ("events.log", b"x", "not a file of a saved model"),
    "hidden": (".cache", b"x", "not a file of a saved model"),
    "outsized": ("special_tokens_map.json", b" " * (LARGEST + 1), "5 MB, more than such a file"),
    "no JSON": ("config.json", b"{", "no valid JSON"),
    "no safetensors": ("head.safetensors", b"12345678{}", "no safetensors"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_belong_blocks(fault, model):
    name, content, reason = FAULTS[fault]
    (model / name).write_bytes(content)
    found = check(model)
    assert found.status == "block"
    assert f"{name}: " in found.reason
    assert reason in found.reason


def test_an_optimisers_moments_a_link_and_a_subfolder_block(model, tmp_path):
    save_file({"layer.weight/exp_avg": np.zeros(2)}, model / "head.safetensors")
    (model / "config.json").symlink_to(tmp_path / "elsewhere.json")
    (model / "run").mkdir()
    write_json(model / "run" / "config.json", {})
    reason = check(model).reason
    assert "head.safetensors: an optimiser's moments" in reason
    assert "config.json: a link or no plain file" in reason
    assert "run/config.json: not a file of a saved model" in reason


def test_a_file_changed_after_saving_blocks_and_the_card_may_change(model):
    (model / "README.md").write_text("# Mine")
    assert check(model).status == "pass"
    config = json.loads((model / "adapter_config.json").read_text())
    write_json(model / "adapter_config.json", {**config, "r": 3})
    assert "task.json: damaged, or a file differs" in check(model).reason
