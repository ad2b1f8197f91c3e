"""One run a folder: the second hears whose it is; a killed run locks nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clinical_tl.errors import OutputError
from clinical_tl.storage.folder_lock import holding

ROOT = Path(__file__).parent.parent.parent
HOLD = """
import sys, time
from clinical_tl.storage.folder_lock import holding
with holding(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_run_is_told_the_holder_and_nothing_to_remove(holder, tmp_path):
    with (
        pytest.raises(OutputError, match=f"process {holder.pid} on .*, since ") as caught,
        holding(tmp_path / "run"),
    ):
        pass
    assert "remove the folder" not in str(caught.value)
    # Asking twice does not wear the lock out.
    with pytest.raises(OutputError, match=f"process {holder.pid}"), holding(tmp_path / "run"):
        pass


def test_a_killed_run_locks_nothing_and_its_drafts_go(holder, tmp_path):
    draft = tmp_path / "run" / f".draft-00000000-{holder.pid}-00000000-checkpoint-1"
    draft.mkdir()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    os.utime(draft, (0, 0))
    with holding(tmp_path / "run"):
        assert not draft.exists()


def test_a_lock_is_free_again_and_one_process_can_hold_several_folders(tmp_path):
    for _ in range(2):
        with holding(tmp_path / "a"), holding(tmp_path / "b"):
            message = f"process {os.getpid()}"
            with pytest.raises(OutputError, match=message), holding(tmp_path / "a"):
                pass
