"""Runs side by side: every result arrives, failures stop no other, each has its share of cores."""

from __future__ import annotations

import os

import pytest

from clinical_tl.errors import ConfigError
from recipes.workers import run_side_by_side


def report(number: int) -> dict[str, object]:
    """What a worker knows of itself."""
    print(f"cell {number} begins")
    if number == 2:
        raise ConfigError("cell 2 is wrong")
    print(f"cell {number} ends")
    threads = os.environ.get("OMP_NUM_THREADS")
    return {"number": number, "process": os.getpid(), "threads": threads}


def test_one_worker_runs_here_and_in_order():
    results = list(run_side_by_side(report, [(0,), (1,)], workers=1))
    assert [position for position, _ in results] == [0, 1]
    assert {result["process"] for _, result in results} == {os.getpid()}


def test_one_worker_outlives_a_failure_too():
    results = {}
    with pytest.raises(ConfigError, match="cell 2"):
        results.update(run_side_by_side(report, [(n,) for n in range(4)], workers=1))
    assert sorted(results) == [0, 1, 3]


def test_workers_share_the_cores_and_outlive_a_failure(capsys):
    results: dict[int, dict[str, object]] = {}
    with pytest.raises(ConfigError, match="cell 2"):
        results.update(run_side_by_side(report, [(n,) for n in range(4)], workers=2))
    assert {p: r["number"] for p, r in results.items()} == {0: 0, 1: 1, 3: 3}
    # A fresh process a cell gives its memory back.
    assert len({result["process"] for result in results.values()} | {os.getpid()}) == 4
    expected = str(max(len(os.sched_getaffinity(0)) // 2, 1))
    assert {result["threads"] for result in results.values()} == {expected}
    out = capsys.readouterr().out
    assert all(f"cell {n} begins\ncell {n} ends\n" in out for n in (0, 1, 3))


def test_no_cells_no_results():
    assert list(run_side_by_side(report, [], workers=2)) == []
