"""A sample of the blocks, copied from the built site and run where only the wheel is installed."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.docs import installed
from tests.support.website import LANGUAGES, Site


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    return installed.install(installed.build_wheel(folder), folder / "venv", borrow=True)


def test_the_package_is_that_of_the_wheel(python: Path) -> None:
    command = [str(python), "-I", "-c", "import llmbook; print(llmbook.__file__)"]
    found = Path(subprocess.check_output(command, text=True).strip())
    assert found.is_relative_to(python.parents[1])


@pytest.mark.parametrize("language", LANGUAGES)
def test_blocks_copied_from_the_site(
    site: Site, python: Path, tmp_path: Path, language: str
) -> None:
    blocks = [*installed.shown(site.folder, language)]
    assert len(blocks) > 300
    # The home is empty but for the real model, which `make model` has fetched: 98 MB.
    home = os.environ.get("LLMBOOK_HOME") or str(Path.home() / ".cache" / "llmbook")
    environment = installed.environment_of(tmp_path) | {"LLMBOOK_HOME": home}
    sample = blocks[LANGUAGES.index(language) :: 90]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = pool.map(lambda block: installed.fault(block, python, environment), sample)
        assert not (text := "\n".join(filter(None, faults))), text
