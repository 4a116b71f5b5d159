"""Files that take the place of others whole, and are written by one program at a time."""

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
import torch
from safetensors.torch import save_file

import llmbook
from llmbook._files import locked, naming, read_json, reading, replacing, write_json


@dataclass
class Pair:
    left: int
    right: float


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


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"名": [1, Pair(2, 3.5)]})
    assert path.read_text(encoding="utf-8").startswith('{\n  "名": [')
    assert read_json(path) == {"名": [1, {"left": 2, "right": 3.5}]}
    write_json(path, {"a": [1, 2]}, indent=None)
    assert path.read_bytes() == b'{"a": [1, 2]}\n'
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": [1, 2]} and [*tmp_path.iterdir()] == [path]


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "{folder} must hold a.json: it is missing"),
        (b"", "{path} must be JSON: Expecting value"),
        (b"{'a': 1}", "{path} must be JSON: Expecting property name"),
        (b"\xff", "{path} must be JSON: 'utf-8' codec"),
        (b"[" * 100_000, "{path} must be JSON: maximum recursion depth"),
        (b"[1, 2]", "{path} must hold a JSON object, got list"),
        (b"null", "{path} must hold a JSON object, got NoneType"),
    ],
)
def test_a_file_that_is_no_json_is_named(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_json(path)
    assert message.format(folder=tmp_path, path=path) in str(error.value)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda data: data["b"], "a.json is malformed: KeyError: 'b'"),
        (lambda data: data["a"][5], "a.json is malformed: IndexError: list index out of range"),
        (lambda data: data["a"] + 1, "a.json is malformed: TypeError: can only concatenate list"),
        (lambda data: data.b, "a.json is malformed: AttributeError: 'dict' object has no"),
        (lambda data: 1 / len(data["a"][1:]), "a.json is malformed: ZeroDivisionError: division"),
        (lambda data: int("five"), "a.json: invalid literal for int()"),
    ],
)
def test_a_fault_in_a_file_is_told_as_one(read, message):
    with pytest.raises(ValueError) as error, reading("a.json"):
        read({"a": [1]})
    assert str(error.value).startswith(message)


def test_a_disk_that_is_full_names_the_file(tmp_path):
    full, path = Path("/dev/full"), tmp_path / "a.pt"
    with (
        pytest.raises(OSError, match=r"No space left on device: .*a\.pt") as error,
        naming(path),
        full.open("wb", buffering=0) as file,
    ):
        torch.save({"a": torch.zeros(1000)}, file)
    assert error.value.filename == str(path)
    with pytest.raises(RuntimeError, match="another"), naming(path):
        raise RuntimeError("another error")


def functions(module: ModuleType) -> Iterator[FunctionType]:
    """The public functions of a module and the methods of its classes, but for those that begin
    one: what a record holds is a path already."""
    for public in (getattr(module, name) for name in getattr(module, "__all__", ())):
        members = vars(public) if inspect.isclass(public) else {"": public}
        for name, member in members.items():
            function = getattr(member, "__func__", member)
            if inspect.isfunction(function) and name != "__init__":
                yield function


def test_whatever_takes_a_path_takes_a_text_too():
    taking = 0
    for module in pkgutil.walk_packages(llmbook.__path__, "llmbook."):
        if "._" in module.name:
            continue
        for function in functions(importlib.import_module(module.name)):
            for parameter in inspect.signature(function).parameters.values():
                kind = str(parameter.annotation)
                if "Path" in kind:
                    assert "str | os.PathLike[str]" in kind, f"{function}: {parameter}"
                    taking += 1
    assert taking > 10
