"""What the project asks of the machine it runs on: Python, packages, a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.website import INSTALLED, PROJECT, readers_python

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.11.0", "3.11.2", "3.11.4", "3.11.5", "3.11.14", "3.12.0", "3.12.12", "3.13.0"]


def pins(python: str) -> dict[str, str]:
    """Name and version of all that constraints.txt pins for this version of Python."""
    environment = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in wanted
        if one.marker is None or one.marker.evaluate(environment)
    }


@pytest.mark.parametrize("python", PYTHONS)
def test_every_pin_can_be_installed(python: str) -> None:
    assert python in Requirement(f"python{PROJECT['requires-python']}").specifier
    wanted, faults = pins(python), []
    for name, found in INSTALLED.items():
        needs = found.metadata["Requires-Python"]
        if name in wanted and found.version.partition("+")[0] == wanted[name] and needs:
            if python not in Requirement(f"python{needs}").specifier:
                faults.append(f"{name}=={wanted[name]} needs Python {needs}")
    assert not faults
    assert {"torch", "mkdocs", "pymdown-extensions", "soupsieve"} <= wanted.keys()


@pytest.mark.parametrize(
    ("names", "code"),
    [("mkdocs, mkdocstrings_handlers.python, ruff", 0), ("torch", 1), ("pytest", 1)],
)
def test_the_site_that_is_tested_is_built_with_what_readers_install(
    tmp_path: Path, names: str, code: int
) -> None:
    command = [str(readers_python(tmp_path)), "-c", f"import {names}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr


FOUND = [
    # commands on the PATH with their exit codes, $CHROMIUM, which one is driven
    ({"chromium": 0, "google-chrome": 0}, None, "chromium"),
    ({"chromium-browser": 1, "google-chrome": 0}, None, "google-chrome"),  # only names a snap
    ({"chromium": 0, "my-chromium": 0}, "my-chromium", "my-chromium"),
    ({"chromium": 0}, "my-chromium", None),  # the one that was asked for, or none
    ({"chromium": 1}, None, None),
    ({}, None, None),
]


def bare_machine(folder: Path, commands: dict[str, int]) -> dict[str, str]:
    """The environment of a machine with these commands alone and no host to download from."""
    for name, code in {"fc-list": 0, **commands}.items():
        (folder / name).write_text(f"#!/bin/sh\necho {name}\nexit {code}\n")
        (folder / name).chmod(0o755)
    kept = {name: os.environ[name] for name in ("HOME", "PYTHONPATH") if name in os.environ}
    return kept | {
        "PATH": str(folder),
        "PLAYWRIGHT_BROWSERS_PATH": str(folder / "browsers"),
        "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9",
    }


@pytest.mark.parametrize(("commands", "chosen", "expected"), FOUND)
def test_a_chromium_is_found_or_one_line_says_what_to_do(
    tmp_path: Path, commands: dict[str, int], chosen: str | None, expected: str | None
) -> None:
    environment = bare_machine(tmp_path, commands) | ({"CHROMIUM": chosen} if chosen else {})
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/machine.py"), "browser"],
        env=environment,
        capture_output=True,
        text=True,
    )
    if expected:
        assert (done.returncode, done.stdout) == (0, f"{tmp_path / expected}\n")
    else:
        assert (done.returncode, done.stdout) == (1, "")
        *others, last = done.stderr.splitlines()
        assert last.startswith("no Chromium found: install one")
        assert all(line.startswith("taking a Chromium") for line in others), done.stderr


def test_without_venv_one_line_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/machine.py"), "venv"],
        env=bare_machine(tmp_path, {}),
        capture_output=True,
        text=True,
    )
    package = "python{}.{}-venv".format(*sys.version_info)
    expected = f"{sys.executable} cannot make virtual environments: `sudo apt install {package}`\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_without_a_browser_the_rest_runs_and_the_whole_fails() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--co"]
    done = subprocess.run(
        [*command, "tests/site/test_reading.py", "tests/site/test_extensions.py"],
        cwd=ROOT,
        env=os.environ | {"CHROMIUM": "no-such-browser"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    for line in ("test_extensions.py::", "test_sitemaps_are_xml", "deselected"):
        assert line in done.stdout
    assert done.stdout.splitlines()[-1].startswith("NOT RUN: ")
