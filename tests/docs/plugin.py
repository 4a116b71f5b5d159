"""The promise as a pytest plugin: collect every block, run it alone, compare what it shows.

Built on pytest-markdown-docs, of which the collection of Markdown files and the test item are
left; what that package does not do (indented fences, output, figures, a fresh process, docstrings
at any depth) is done here. Five things that one would not guess:

1. **The parser is ours.** That package asks a hook for its Markdown parser and of what it returns
   uses only `.parse(text)`, a list of tokens. `blocks.Parser` has just that, and finds fences line
   by line, as the site does.
2. **A class of that package is replaced** by assignment, `MarkdownDocstringCodeModule` by
   `Docstrings`: there is no hook for docstrings, and it looks the class up by that name.
3. **`_runners` is private.** `Runner` is registered through it as the one that runs a block, so
   pyproject.toml pins the package to the one version that this was written for.
4. **Blocks run ahead.** All of them are started when the collection is finished, in as many
   processes as there are cores, and beside the other tests; a block's own test then waits for its
   result. So `-x` ends only after the blocks that have begun, and `--durations` tells how long a
   test waited, not how long its block took.
5. **Four names of this module are read from outside or between tests**: `RAN` and `FIGURES` count
   what blocks did, `test_audit.py` compares `RAN` with the built site and leaves its sentences in
   `AUDIT`, and `_results` holds what was started. A process of pytest has them once; running the
   tests in several (pytest-xdist) would break the audit.
"""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections import Counter
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from pytest_markdown_docs import plugin as markdown_docs
from pytest_markdown_docs._runners import DefaultRunner, register_runner
from pytest_markdown_docs.definitions import FenceTestDefinition

from tests.docs import compare, fresh, parity, svg
from tests.docs.blocks import OUTPUT_INFO, Fence, Parser, docstrings, fences
from tests.docs.shaken import Shaken

RAN: Counter[str] = Counter()  # path from the root -> blocks that ran and passed
FIGURES: dict[tuple[str, str], str] = {}  # (language, file name) -> page that makes it
AUDIT: dict[str, str] = {}  # language -> what the counting audit found
_config: pytest.Config | None = None
# Each block waits for a process of its own, so as many run at a time as there are cores.
_Block = markdown_docs.MarkdownInlinePythonItem
_pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
_results: dict[int, Future[fresh.Result]] = {}  # id of a test -> what its block did


class BlockError(AssertionError):
    """A block that does not do what its page says."""


class BlockWarning(UserWarning):
    """What a block writes to the error stream, where its reader sees it and its page does not."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-outputs",
        action="store_true",
        help="write outputs and figures into the pages instead of comparing them",
    )
    parser.addoption(
        "--shake",
        type=int,
        default=0,
        metavar="SEED",
        help="run the blocks on a machine that rounds in another way (see tests/docs/shaken.py)",
    )
    parser.addoption(
        "--sample",
        type=int,
        default=1,
        metavar="N",
        help="run only every Nth block",
    )


def pytest_configure(config: pytest.Config) -> None:
    global _config
    _config = config
    config.addinivalue_line("markers", "last: runs after all others")


@pytest.hookimpl(tryfirst=True)
def pytest_markdown_docs_markdown_it() -> Parser:
    """Find fences the way the site finds them."""
    return Parser()


@register_runner(default=True)
class Runner(DefaultRunner):
    """Runs a block in a fresh process and compares what it prints and draws."""

    def runtest(
        self, test: FenceTestDefinition, args: dict[str, Any], *, asyncio_runner: Any = None
    ) -> None:
        assert _config is not None
        path = Path(test.source_path)
        text = path.read_text(encoding="utf-8")
        fence = _locate(text, test)
        ahead = _results.pop(id(test), None)
        result = ahead.result() if ahead else _run(test)
        where = f"{path.relative_to(_config.rootpath).as_posix()}:{fence.start + 1}"
        if result.error:
            raise BlockError(f"{where}: the block failed\n{result.error}{result.stderr}")
        if result.stderr.strip():
            warnings.warn(f"{where}: {result.stderr.strip()}", BlockWarning, stacklevel=1)
        if _config.getoption("update_outputs"):
            _write_output(path, text, fence, result.stdout)
        else:
            _compare_output(where, fence, result.stdout)
        _check_figures(where, path, text, result.figures)
        _check_left(where, text, result.left)
        RAN[path.relative_to(_config.rootpath).as_posix()] += 1

    def repr_failure(
        self,
        test: FenceTestDefinition,
        excinfo: pytest.ExceptionInfo[BaseException],
        style: Any = None,
    ) -> str:
        if isinstance(excinfo.value, BlockError):
            return str(excinfo.value)
        return str(excinfo.getrepr(style="short"))


def _run(test: FenceTestDefinition) -> fresh.Result:
    assert _config is not None
    return fresh.run(test.source, str(test.source_path), shake=_config.getoption("shake"))


def _locate(text: str, test: FenceTestDefinition) -> Fence:
    """The fence of a test, told by its line: lines may shift while outputs are written."""
    blocks = [f for f in fences(text) if f.is_python]
    source = test.source.lstrip("\n")
    same = [f for f in blocks if f.content.lstrip("\n") == source]
    if not same:
        name, line = Path(test.source_path).name, test.start_line
        raise BlockError(
            f"{name}:{line}: the source does not hold this block as it is run; "
            'a docstring with backslashes must be raw, r"""…"""'
        )
    return min(same, key=lambda f: abs(f.start + 1 - test.start_line))


def _agree(fence: Fence, printed: str) -> bool:
    """Whether a block prints what stands under it, and nothing where nothing does."""
    if fence.output is None or not compare.visible(printed):
        return fence.output is None and not compare.visible(printed)
    return compare.agree(fence.output.content, printed, fence.output.tolerance)


def _compare_output(where: str, fence: Fence, printed: str) -> None:
    if _agree(fence, printed):
        return
    expected = fence.output.content if fence.output else ""
    lines = [*difflib.unified_diff(
        compare.visible(expected), compare.visible(printed), "the page", "the block", lineterm=""
    )]  # fmt: skip
    none = "(the block prints nothing; no output belongs under it)"
    raise BlockError(f"{where}: the output differs from the page\n" + ("\n".join(lines) or none))


def _write_output(path: Path, text: str, fence: Fence, printed: str) -> None:
    if _agree(fence, printed):
        return
    lines = text.split("\n")
    shown = compare.visible(printed)
    longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
    ticks = "`" * max(3, longest + 1)
    info = fence.output.info if fence.output else OUTPUT_INFO
    block = ["", f"{ticks} {info}", *shown, ticks] if shown else []
    new = [fence.indent + line if line else fence.indent.rstrip() for line in block]
    end = fence.output.end if fence.output else fence.end
    _write(path, "\n".join([*lines[: fence.end], *new, *lines[end:]]))


def _check_figures(where: str, path: Path, text: str, figures: dict[str, str]) -> None:
    assert _config is not None
    if figures and not path.is_relative_to(_config.rootpath / "docs"):
        raise BlockError(f"{where}: {sorted(figures)} drawn, but only pages of docs show figures")
    for name, drawn in figures.items():
        language = path.relative_to(_config.rootpath / "docs").parts[0]
        kept = _config.rootpath / "docs" / "assets" / "figures" / language / name
        if f"assets/figures/{name})" not in text:
            raise BlockError(f"{where}: {name} is drawn, but the page does not show it")
        other = FIGURES.setdefault((language, name), where)
        if other != where:
            raise BlockError(f"{where}: {name} is drawn at {other} too")
        old = kept.read_text(encoding="utf-8") if kept.exists() else None
        message = svg.difference(old, drawn) if old else "not there yet"
        if message and _config.getoption("update_outputs"):
            kept.parent.mkdir(parents=True, exist_ok=True)
            _write(kept, drawn)
        elif message:
            shown = kept.relative_to(_config.rootpath)
            raise BlockError(f"{where}: {shown} is not what the block draws: {message}")


def _check_left(where: str, text: str, left: list[str]) -> None:
    """A reader's folder holds nothing afterwards that the page does not speak of."""
    prose = parity.without_code(text)
    if silent := [name for name in left if name not in prose]:
        raise BlockError(f"{where}: the block leaves {silent}, of which the page says nothing")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)


class Docstrings(pytest.File):
    """The examples in the docstrings of a module, of classes, methods and properties alike."""

    def collect(self) -> Any:
        """Read the source, so that each docstring is found once and nothing is imported."""
        if not self.path.is_relative_to(self.config.rootpath / "llmbook"):
            return
        for name, text, first in docstrings(self.path.read_text(encoding="utf-8")):
            for fence in fences(text):
                if fence.is_python:
                    line = first + fence.start
                    source = "\n" * line + fence.content
                    definition = FenceTestDefinition(
                        source, [], line, source_path=self.path, runner_name=None
                    )
                    yield markdown_docs.MarkdownInlinePythonItem.from_parent(
                        self, name=f"{name}[line:{line}]", test_definition=definition
                    )


# The package's own reader of docstrings skips indented examples and properties, and imports
# whatever it reads; it looks its class up by this name.
markdown_docs.MarkdownDocstringCodeModule = Docstrings  # type: ignore[misc,assignment]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Blocks after the other tests, beside which they run; last the audit of what ran."""
    if (step := config.getoption("sample")) > 1:
        items[:] = items[::step]
    items.sort(
        key=lambda item: (
            item.get_closest_marker("last") is not None,
            isinstance(item, _Block),
        )
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start all blocks, in the order in which they will be asked for."""
    if session.config.option.collectonly:
        return
    blocks = [item for item in session.items if isinstance(item, _Block)]
    fresh.preload(len(blocks))
    for item in blocks:
        test = item.test_definition
        _results[id(test)] = _pool.submit(_run, test)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Shake the other tests too: none may hang on how one processor rounds."""
    shake = item.config.getoption("shake")
    with Shaken(shake) if shake else nullcontext():
        return (yield)


def pytest_sessionfinish() -> None:
    """Start no more of them, when the session ends early."""
    _pool.shutdown(cancel_futures=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for language, line in AUDIT.items():
        terminalreporter.write_line(f"audit of the built site, {language}: {line}")
