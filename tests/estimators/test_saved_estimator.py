import json
from dataclasses import dataclass

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from clinical_tl.errors import ArtifactError
from clinical_tl.estimators.saved_estimator import read_estimator, write_estimator
from tests.crash_points import every_crash_point


@dataclass(frozen=True)
class Tried:
    trees: int
    score: float


STATE = {
    "trees": 3,
    "weights_": np.arange(6.0).reshape(2, 3).T,
    "count_": np.array(3),
    "names_": np.array(["knee", "lung"]),
    "parameters_": {"means": np.eye(2, dtype=np.float32), "rate": np.float64(0.1)},
    "class_weight": {0: 1.0, "lung": 0.5},
    "sizes": (1, (2, None)),
    "inner_": {"flags_": np.array([True, False])},
    "tried_": (Tried(3, 0.5), Tried(4, float("inf"))),
}


@pytest.fixture
def saved(tmp_path):
    write_estimator(tmp_path / "forest.safetensors", "Forest", STATE)
    return tmp_path / "forest.safetensors"


def test_a_state_comes_back_bit_by_bit_and_nothing_is_pickled(saved):
    read = read_estimator(saved, "Forest")
    assert list(read) == list(STATE)
    np.testing.assert_equal(read, {**STATE, "tried_": ([3, 0.5], [4, float("inf")])})
    assert read["weights_"].dtype == np.float64
    assert read["parameters_"]["means"].dtype == np.float32
    assert read["count_"].shape == ()
    assert type(read["sizes"]) is tuple
    assert type(read["parameters_"]["rate"]) is float
    assert {file.name for file in saved.parent.iterdir()} == {"forest.safetensors"}


def test_what_is_not_there_is_named(saved):
    with pytest.raises(ArtifactError, match=r"lacks tree\.safetensors"):
        read_estimator(saved.parent / "tree.safetensors", "Forest")


def test_another_estimators_or_formats_file_is_refused(saved, monkeypatch):
    with pytest.raises(ArtifactError, match=r"holds Forest in format 2, .* reads Tree in"):
        read_estimator(saved, "Tree")
    monkeypatch.setattr("clinical_tl.estimators.saved_estimator.FORMAT", 9)
    with pytest.raises(ArtifactError, match="reads Forest in format 9"):
        read_estimator(saved, "Forest")


def test_tensors_or_settings_of_another_file_are_noticed(saved):
    with safe_open(saved, framework="numpy") as stored:
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        metadata = stored.metadata()
    content = json.loads(metadata["content"])
    content["state"]["mapping"][0][1] = 4
    for change in ({"content": json.dumps(content)}, {"sha256": "0" * 64}):
        save_file(arrays, saved, metadata=metadata | change)
        with pytest.raises(ArtifactError, match="differs from what was saved"):
            read_estimator(saved, "Forest")
    save_file(arrays | {"state.weights_": arrays["state.weights_"] * 2}, saved, metadata=metadata)
    with pytest.raises(ArtifactError, match="differs from what was saved"):
        read_estimator(saved, "Forest")
    save_file(arrays, saved)
    with pytest.raises(ArtifactError, match="is damaged"):
        read_estimator(saved, "Forest")


def test_a_flipped_bit_is_noticed_wherever_it_is(saved):
    content = saved.read_bytes()
    for position in range(0, len(content), 3):
        if content[position : position + 1].isspace():
            continue
        flipped = bytearray(content)
        flipped[position] ^= 4
        saved.write_bytes(flipped)
        with pytest.raises(ArtifactError):
            read_estimator(saved, "Forest")


def test_a_kill_at_any_point_leaves_the_old_estimator_or_the_new(tmp_path):
    file = tmp_path / "forest.safetensors"

    def write(word):
        write_estimator(file, "Forest", {**STATE, "word": word})

    def after():
        assert read_estimator(file, "Forest")["word"] in ("old", "new")
        write("next")
        assert read_estimator(file, "Forest")["word"] == "next"
        assert len(list(tmp_path.iterdir())) == 1, "leftovers"

    assert every_crash_point(lambda: write("old"), lambda: write("new"), after) > 1
