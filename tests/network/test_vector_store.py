"""Cached vectors: what a kill leaves is taken up, what was changed is refused."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from clinical_tl.errors import ArtifactError
from clinical_tl.network.vector_store import VectorStore, text_digest
from tests.crash_points import every_crash_point

ROWS = {name: np.full((1, 4), float(i + 1)) for i, name in enumerate("abc")}


def opened(folder):
    return VectorStore(folder, dimension=4, settings={"layer": 1})


def fill(folder, names="abc"):
    store = opened(folder)
    for name in names:
        if store.rows([text_digest(name)])[0] < 0:
            store.append([text_digest(name)], ROWS[name])
    return store


def holds(store, name):
    row = store.rows([text_digest(name)])[0]
    return row >= 0 and np.array_equal(store.matrix()[[row]], ROWS[name])


@pytest.mark.parametrize("name", ["vectors.npy", "keys.sha256", "settings.json"])
def test_no_flipped_bit_gives_other_vectors(tmp_path, name):
    fill(tmp_path)
    file = tmp_path / name
    content = file.read_bytes()
    refused = 0
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        file.write_bytes(flipped)
        try:
            store = opened(tmp_path)
        except ArtifactError as error:
            assert "remove the folder" in str(error)
            refused += 1
        else:
            # Of the header's blanks and its number of rows nothing is read.
            assert name == "vectors.npy" and position < 128
            assert all(holds(store, text) for text in "abc")
    assert refused > len(content) - 128


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[36:72] + data[:36] + data[72:],
        lambda data: bytes(len(data)),
        lambda data: data[:36] * 3,
    ],
    ids=["keys swapped", "zeros", "one key thrice"],
)
def test_keys_that_are_not_their_rows_are_refused(tmp_path, damage):
    fill(tmp_path)
    file = tmp_path / "keys.sha256"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ArtifactError, match="is not what was written"):
        opened(tmp_path)


def test_rows_that_were_cut_off_are_computed_again(tmp_path):
    fill(tmp_path)
    file = tmp_path / "vectors.npy"
    file.write_bytes(file.read_bytes()[:-5])
    store = opened(tmp_path)
    assert [holds(store, name) for name in "abc"] == [True, True, False]
    assert all(holds(fill(tmp_path), name) for name in "abc")


def test_a_kill_at_any_point_loses_no_row_and_invents_none(tmp_path):
    folder = tmp_path / "cache"

    def before():
        shutil.rmtree(folder, ignore_errors=True)
        fill(folder, "a")

    def after():
        assert holds(opened(folder), "a")
        assert all(holds(fill(folder), name) for name in "abc")

    every_crash_point(before, lambda: fill(folder), after)
    every_crash_point(lambda: shutil.rmtree(folder), lambda: fill(folder), lambda: fill(folder))
