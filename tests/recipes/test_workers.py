"""Runs side by side: every result arrives, failures stop no other, each has its share of cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def linger(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(120)


PARENT = """
import signal
import sys
from recipes.workers import run_side_by_side
from tests.recipes.test_workers import linger
if __name__ == "__main__":
    # Ignored where the tests run in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    list(run_side_by_side(linger, [(sys.argv[1],)] * 3, workers=2))
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_however_it_ends(tmp_path, number):
    (tmp_path / "workers").mkdir()
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "workers")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
    ) as parent:
        deadline = time.monotonic() + 60
        while len(workers := list((tmp_path / "workers").iterdir())) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        parent.send_signal(number)
        parent.wait(600)
    while any(is_alive(int(worker.name)) for worker in workers):
        assert time.monotonic() < deadline + 600, "workers outlive their parent"
        time.sleep(0.05)
    assert len(list((tmp_path / "workers").iterdir())) == 2, "another cell was begun"


def test_no_cells_no_results():
    assert list(run_side_by_side(report, [], workers=2)) == []
