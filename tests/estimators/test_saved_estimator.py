import json

import numpy as np
import pytest

from clinical_tl.errors import ArtifactError
from clinical_tl.estimators.saved_estimator import (
    SavedEstimator,
    prefixed,
    read_estimator,
    unprefixed,
    write_estimator,
)
from tests.crash_points import every_crash_point

ARRAYS = {"weights": np.arange(6.0).reshape(2, 3).T, "count": np.array(3)}


@pytest.fixture
def saved(tmp_path):
    write_estimator(tmp_path, "forest", SavedEstimator({"trees": 3}, ARRAYS))
    return tmp_path


def test_settings_and_arrays_come_back_and_nothing_is_pickled(saved):
    read = read_estimator(saved, "forest")
    assert read.settings == {"trees": 3}
    assert read.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert np.array_equal(read.arrays[name], array)
        assert read.arrays[name].dtype == array.dtype
    assert {file.name for file in saved.iterdir()} == {"forest.json", "forest.safetensors"}


def test_missing_files_are_named(saved):
    (saved / "forest.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"lacks forest\.safetensors"):
        read_estimator(saved, "forest")
    with pytest.raises(ArtifactError, match=r"lacks tree\.json"):
        read_estimator(saved, "tree")


def test_damage_is_noticed(saved):
    arrays, settings = saved / "forest.safetensors", saved / "forest.json"
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-1] + b"\x7f")
    with pytest.raises(ArtifactError, match="differs from what was saved"):
        read_estimator(saved, "forest")
    arrays.write_bytes(content)
    description = json.loads(settings.read_text())
    settings.write_text(json.dumps({**description, "format": 9}))
    with pytest.raises(ArtifactError, match="has format 9, this version reads format 1"):
        read_estimator(saved, "forest")
    settings.write_text("{")
    with pytest.raises(ArtifactError, match=r"forest\.json is missing or damaged"):
        read_estimator(saved, "forest")


def test_a_flipped_bit_is_noticed_wherever_it_is(saved):
    for file in (saved / "forest.safetensors", saved / "forest.json"):
        content = file.read_bytes()
        for position in range(0, len(content), 3):
            flipped = bytearray(content)
            flipped[position] ^= 4
            if content[position : position + 1].isspace():
                continue
            file.write_bytes(flipped)
            with pytest.raises(ArtifactError):
                read_estimator(saved, "forest")
        file.write_bytes(content)


def test_a_kill_at_any_point_leaves_the_old_estimator_or_the_new(tmp_path):
    def write(word):
        write_estimator(tmp_path, "forest", SavedEstimator({"word": word}, ARRAYS))

    def after():
        assert read_estimator(tmp_path, "forest").settings["word"] in ("old", "new")
        write("next")
        assert read_estimator(tmp_path, "forest").settings["word"] == "next"
        assert len(list(tmp_path.iterdir())) == 2, "leftovers"

    assert every_crash_point(lambda: write("old"), lambda: write("new"), after) > 3


def test_prefixes_are_taken_off_again():
    assert prefixed("a", {"x": ARRAYS["count"]}).keys() == {"a.x"}
    both = prefixed("a", ARRAYS) | prefixed("ab", ARRAYS)
    assert unprefixed("a", both).keys() == ARRAYS.keys()
