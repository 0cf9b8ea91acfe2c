"""Files that appear whole or not at all, with the rights that are usual where they stand."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from KDSegmentationLogic.bundles.landing import landing
from KDSegmentationLogic.files import atomic_file, write_text


def test_an_error_leaves_the_old_content_and_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError), atomic_file(target) as path:
        path.write_text("new \udc80", encoding="utf-8")
    assert [found.read_text() for found in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_private_file_gets_the_rights_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "note.txt") as path:
            path.touch(mode=0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == 0o640


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_what_is_being_written_lies_in_a_folder_of_usual_rights(tmp_path: Path) -> None:
    # Windows: a private folder's access list would stay with the files moved out of it.
    before = os.umask(0o022)
    try:
        with atomic_file(tmp_path / "note.txt") as path:
            path.touch()
            file_mode = path.parent.stat().st_mode
        with landing(tmp_path / "model") as content:
            folder_mode = content.parent.stat().st_mode
    finally:
        os.umask(before)
    assert stat.S_IMODE(file_mode) == stat.S_IMODE(folder_mode) == 0o755


def test_writing_removes_what_killed_runs_left_a_day_ago_and_nothing_else(tmp_path: Path) -> None:
    two_days_ago = time.time() - 2 * 24 * 3600
    for name in (".writing-old", ".writing-new", ".replaced-old", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").touch()
        if name.endswith("old"):
            os.utime(tmp_path / name, (two_days_ago, two_days_ago))
    write_text(tmp_path / "note.txt", "new")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".writing-new", ".replaced-old", "old", "note.txt"}
