"""Loads the plugin that runs the blocks of the book, and builds the site once for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent
# The tests are small: more threads gain them nothing, and on a busy machine cost them minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(ROOT / "tests" / "site"))

from site_harness import Site, readers_python, serve  # noqa: E402

pytest_plugins = ["tests.docs.plugin"]
# The first example pays for what torch sets up, and a busy machine is slow: neither is a fault.
settings.register_profile("book", deadline=None)
settings.load_profile("book")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, built strictly as readers build it, and served while the tests run.

    With SITE_DIR set, that built site is served and nothing is built: for work on the tests.
    """
    folder = Path(os.environ.get("SITE_DIR") or tmp_path_factory.mktemp("site"))
    server = serve(folder)
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    if "SITE_DIR" not in os.environ:
        python = readers_python(tmp_path_factory.mktemp("reader"))
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # for ruff
        build = subprocess.run(
            [str(python), "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
            cwd=ROOT,
            env=os.environ | {"PATH": path, "SITE_URL": url, "NO_MKDOCS_2_WARNING": "1"},
            capture_output=True,
            text=True,
        )
        if build.returncode:
            pytest.fail(f"mkdocs build --strict failed:\n{build.stdout}{build.stderr}", False)
    yield Site(folder, url)
    server.shutdown()
    server.server_close()
