"""Files and folders are replaced as a whole, whatever kill, neighbour or full disk interferes."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading

import pytest

from clinical_tl.errors import OutputError
from clinical_tl.storage import replacement
from clinical_tl.storage.output import require_file, require_folder, require_replaceable, writing
from clinical_tl.storage.replacement import (
    replace_text,
    replacing_file,
    replacing_folder,
    whole_folder,
)
from tests.crash_points import every_crash_point

PARTS = ("a", "b/c")


def fill(folder, word):
    with replacing_folder(folder) as draft:
        for part in PARTS:
            (draft / part).parent.mkdir(exist_ok=True)
            (draft / part).write_text(word)


def words(folder):
    """The words in a folder's files: one if it is whole."""
    found = [folder / part for part in PARTS]
    return {file.read_text() if file.exists() else None for file in found}


def test_a_kill_at_any_point_leaves_the_old_folder_or_the_new(tmp_path):
    folder = tmp_path / "model"

    def before():
        shutil.rmtree(tmp_path)
        fill(folder, "old")

    def after():
        assert words(whole_folder(folder)) in ({"old"}, {"new"})
        fill(folder, "next")
        assert words(folder) == {"next"}
        assert [path.name for path in tmp_path.iterdir()] == ["model"], "leftovers"

    assert every_crash_point(before, lambda: fill(folder, "new"), after) > 8


def test_a_save_after_a_kill_needs_no_load_in_between(tmp_path):
    folder = tmp_path / "model"

    def before():
        shutil.rmtree(tmp_path)
        fill(folder, "old")

    def after():
        fill(folder, "next")
        assert words(folder) == {"next"}
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    every_crash_point(before, lambda: fill(folder, "new"), after)


def test_a_kill_at_any_point_leaves_the_old_file_or_the_new(tmp_path):
    file = tmp_path / "results.json"

    def before():
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        file.write_text("old")

    def after():
        assert file.read_text() in ("old", "new")
        replace_text(file, "next")
        assert file.read_text() == "next"
        assert [path.name for path in tmp_path.iterdir()] == ["results.json"]

    assert every_crash_point(before, lambda: replace_text(file, "new"), after) > 1


def test_a_folder_that_a_kill_left_aside_is_read_where_nothing_can_be_written(
    tmp_path, monkeypatch
):
    fill(tmp_path / "model", "old")
    aside = tmp_path / ".old-00000000-1-00000000-model"
    (tmp_path / "model").rename(aside)
    os.utime(aside, (0, 0))

    def refuse(*_):
        raise OSError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.rename", refuse)
        assert words(whole_folder(tmp_path / "model")) == {"old"}
    assert whole_folder(tmp_path / "model") == tmp_path / "model"
    assert words(tmp_path / "model") == {"old"}


def test_an_error_in_the_middle_leaves_what_was_there_and_no_draft(tmp_path):
    fill(tmp_path / "model", "old")
    replace_text(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), replacing_folder(tmp_path / "model"):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), replacing_file(tmp_path / "file") as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert words(tmp_path / "model") == {"old"}
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]


def test_writers_of_one_folder_at_the_same_time_leave_one_of_theirs_whole(tmp_path):
    errors = []

    def write(word):
        try:
            for _ in range(20):
                fill(tmp_path / "model", word)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(word,)) for word in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert words(tmp_path / "model") in ({"a"}, {"b"}, {"c"})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_draft_of_a_process_that_lives_stays_and_that_of_a_dead_one_goes(tmp_path):
    code = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        number = other.stdout.readline().strip()
        draft = tmp_path / f".draft-{replacement._machine()}-{number}-00000000-predictions.jsonl"
        draft.write_text("half")
        replace_text(tmp_path / "predictions.jsonl", "")
        assert draft.exists()
        other.communicate()
    replace_text(tmp_path / "anything", "")
    assert not draft.exists()


def test_links_are_written_through_and_rights_kept(tmp_path):
    fill(tmp_path / "disk" / "model", "old")
    (tmp_path / "model").symlink_to(tmp_path / "disk" / "model")
    fill(tmp_path / "model", "new")
    assert (tmp_path / "model").is_symlink()
    assert words(tmp_path / "disk" / "model") == {"new"}
    replace_text(tmp_path / "disk" / "file", "old").chmod(0o600)
    (tmp_path / "file").symlink_to(tmp_path / "disk" / "file")
    replace_text(tmp_path / "file", "new")
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "disk" / "file").read_text() == "new"
    assert (tmp_path / "disk" / "file").stat().st_mode & 0o777 == 0o600


def test_names_as_long_as_a_file_system_takes_can_be_written(tmp_path):
    for name in ("x" * 250, "ä" * 125):
        replace_text(tmp_path / name, "text")
        fill(tmp_path / f"{name}.d"[-120:], "new")


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "input/output error"),
    ],
)
def test_what_a_file_system_refuses_is_one_error_that_says_how_to_mend_it(tmp_path, number, told):
    for error in (
        OSError(number, os.strerror(number)),
        OSError(number, os.strerror(number), str(tmp_path / "model" / "weights")),
        RuntimeError(f"I/O error: something (os error {number})"),
    ):
        refused = pytest.raises(OutputError, match=f"{told}.*To mend")
        with refused as caught, writing(tmp_path / "model"):
            raise error
        assert str(tmp_path / "model") in str(caught.value)


def test_errors_of_other_places_keep_their_own_name(tmp_path):
    with pytest.raises(FileNotFoundError), writing(tmp_path / "model"):
        raise FileNotFoundError(errno.ENOENT, "no such file", "/elsewhere/notes.csv")


def test_the_output_is_tried_before_the_work_begins(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    for require in (require_folder, require_replaceable):
        for wrong in (file, file / "below"):
            with pytest.raises(OutputError, match="a file stands where a folder should be"):
                require(wrong)
    with pytest.raises(OutputError, match="a folder stands where a file should be"):
        require_file(tmp_path)
    with pytest.raises(OutputError, match="no plain file"):
        require_file("/dev/null")
    with pytest.raises(OutputError, match=r"mount point.*name a folder inside it"):
        require_replaceable("/proc")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(OutputError, match="circle"):
        require_folder(tmp_path / "circle" / "model")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for require in (require_folder, require_replaceable, require_file):
        with pytest.raises(OutputError, match="the disk is full"):
            require(tmp_path / require.__name__)
