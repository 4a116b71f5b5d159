"""Files that take the place of others whole, and are written by one program at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from llmbook._files import locked, replacing


def test_the_new_file_is_on_the_disk_before_it_takes_the_place(tmp_path, monkeypatch):
    path, happened = tmp_path / "a.txt", []
    path.write_text("old")
    sync, replace = os.fsync, Path.replace

    def fsync(file):
        happened.append(("on the disk", path.read_text()))
        sync(file)

    def take(self, target):
        happened.append((target.name, self.read_text()))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", take)
    with replacing(path) as part:
        assert part.parent == tmp_path and part.suffix == ".txt" and part.read_text() == ""
        part.write_text("new")
    assert happened == [("on the disk", "old"), ("a.txt", "new")]
    assert path.read_text() == "new" and [*tmp_path.iterdir()] == [path]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as part:
        part.write_text("half of the n")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_says_who_may_read(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "a.txt") as part:
            part.write_text("new")
        with replacing(tmp_path / "a.safetensors") as part:
            save_file({"a": torch.zeros(1)}, part)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


HOLD = """
import pathlib, sys
from llmbook._files import locked

with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["close", "kill"])
def test_a_lock_lasts_as_long_as_the_program_that_holds_it(tmp_path, end):
    path = tmp_path / "new" / "run"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        refused = pytest.raises(ValueError, match="run must be written by one program at a time")
        with refused, locked(path):
            pass
        other.kill() if end == "kill" else other.stdin.close()
        other.wait()
    with locked(path), pytest.raises(ValueError, match="another is at it"), locked(path):
        pass
    with locked(path):
        assert [file.name for file in path.parent.iterdir()] == ["run.lock"]
    assert not [*path.parent.iterdir()]
