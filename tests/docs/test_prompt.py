"""Blocks run where they are pasted: at the classic prompt, in IPython, in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from extensions.prompt import pad
from tests.docs.blocks import Fence, docstrings, fences, pages
from tests.docs.prompt import CLASSIC, IPYTHON, fault, session

ROOT = Path(__file__).parents[2]


def blocks(path: Path) -> list[Fence]:
    """The Python blocks of a page, or of the docstrings of a module."""
    text = path.read_text(encoding="utf-8")
    texts = [each for _, each, _ in docstrings(text)] if path.suffix == ".py" else [text]
    return [fence for each in texts for fence in fences(each) if fence.is_python]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


SOURCES = [*pages(ROOT), *sorted((ROOT / "llmbook").rglob("*.py"))]
SHOWN = [path for path in SOURCES if blocks(path)]


@pytest.mark.parametrize("path", SHOWN, ids=name)
def test_every_block_can_be_pasted_at_the_classic_prompt(path: Path) -> None:
    """The site fills the empty lines within a body; a README is shown as it is."""
    as_shown = str if path.parent == ROOT else pad
    found = {fence.start + 1: fault(as_shown(fence.content)) for fence in blocks(path)}
    faults = [f"the block at {line}: {text}" for line, text in found.items() if text]
    assert not faults, (
        f"{name(path)}: end each loop, class and the like with an empty line\n" + "\n".join(faults)
    )


# A block, and whether it can be pasted as it is, and as the site shows it.
CASES = {
    "two lines": ("x = 1\nprint(x)\n", True, True),
    "two in one line": ("x = 1; print(x)\n", True, True),
    "a loop at the end": ("for x in range(2):\n    print(x)\n", True, True),
    "an empty line after the loop": ("for x in range(2):\n    x\n\nprint(x)\n", True, True),
    "no empty line after the loop": ("for x in range(2):\n    x\nprint(x)\n", False, False),
    "a loop in one line": ("for x in range(2): x\nprint(x)\n", False, False),
    "a comment after the loop": ("for x in range(2):\n    x\n# and then\n\nx\n", True, True),
    "a comment, then code": ("for x in range(2):\n    x\n# and then\nx\n", False, False),
    "two methods": ("class A:\n    def f(self): 1\n\n    def g(self): 2\n\nA()\n", False, True),
    "an empty line in a function": ("def f():\n    x = 1\n\n    return x\n\nf()\n", False, True),
    "an empty line before else": ("if 1:\n    2\n\nelse:\n    3\n", False, True),
    "a comment in a body": ("def f():\n    x = 1\n\n    # why\n    return x\n", False, True),
    "a comment at the margin": ("def f():\n    x = 1\n# why\n    return x\n\nf()\n", True, True),
    "blanks in a body": ("def f():\n    x = 1\n  \n    return x\n\nf()\n", True, True),
    "a docstring": ('def f():\n    """A.\n\n    B.\n    """\n    return 1\n\nf()\n', True, True),
    "brackets": ("x = [\n    1,\n\n    2,\n]\nprint(x)\n", True, True),
    "brackets in a body": ("for x in [\n    1,\n\n    2,\n]:\n    x\n\nx\n", True, True),
    "a text": ('x = """a\n\nb"""\nprint(x)\n', True, True),
    "a continued line": ("x = 1 + \\\n    2\nprint(x)\n", True, True),
    "decorators": ("@staticmethod\n@staticmethod\ndef f(): 1\n\nf\n", True, True),
    "try": ("try:\n    1\nexcept Exception:\n    2\nelse:\n    3\n\nprint()\n", True, True),
    "a class in a with": ("import io\nwith io.StringIO() as f:\n    class A: 1\n\nA\n", True, True),
    "match": ("match 1:\n    case 1:\n        2\n\nprint()\n", True, True),
    "match, no empty line": ("match 1:\n    case 1:\n        2\nprint()\n", False, False),
    "a lambda": ("f = lambda: 1\nprint(f())\n", True, True),
    "no more than a comment": ("# nothing\n", True, True),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_classic_prompt_takes(case: str, tmp_path: Path) -> None:
    """Foretold, and pasted into the prompt of this Python."""
    source, plain, shown = CASES[case]
    assert ((fault(source) is None), (fault(pad(source)) is None)) == (plain, shown)
    for text in {source, pad(source)}:
        transcript = session(text, tmp_path)
        assert ("Error" not in transcript) == (fault(text) is None), transcript


def test_padding_changes_no_meaning() -> None:
    source = CASES["a docstring"][0]
    assert pad(source) == source
    assert pad("def f(self) -> ") == "def f(self) -> "  # no Python
    lines = pad(CASES["two methods"][0]).split("\n")
    assert lines[2] == "    " and lines[4] == ""


def longest(page: str) -> Fence:
    return max(blocks(ROOT / page), key=lambda fence: len(fence.content))


PAGES = ["README.md", "docs/en/least-to-most/idea.md", "docs/zh/models/gpt.md"]


def follow(fence: Fence, text: str) -> bool:
    """Whether the lines that the page shows under a block are among those of a text, in order."""
    assert fence.output
    lines = iter(line.rstrip() for line in text.splitlines())
    return all(line.rstrip() in lines for line in fence.output.content.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("prompt", [CLASSIC, IPYTHON], ids=["classic", "ipython"])
@pytest.mark.parametrize("page", PAGES)
def test_a_block_pasted_at_a_prompt_prints_what_the_page_says(
    page: str, prompt: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    fence = longest(page)
    source = fence.content if page == "README.md" else pad(fence.content)
    transcript = session(source.rstrip("\n"), tmp_path, prompt)
    assert "Error" not in transcript and follow(fence, transcript), transcript


@pytest.mark.slow
def test_blocks_in_a_notebook_print_what_the_page_says_and_show_their_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    drawing = next(
        fence
        for fence in blocks(ROOT / "docs" / "en" / "attention" / "self-attention.md")
        if fence.content.splitlines()[-1].startswith("plots.save(")
    )
    sample = [*map(longest, PAGES), drawing]
    new: Any = nbformat.v4
    cells = [new.new_code_cell(fence.content) for fence in sample]
    notebook = new.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    for fence, cell in zip(sample, notebook.cells, strict=True):
        printed = [output.text for output in cell.outputs if output.output_type == "stream"]
        assert fence.output is None or follow(fence, "".join(printed))
    [shown] = [output for output in notebook.cells[-1].outputs if "data" in output]
    assert "<svg " in shown.data["image/svg+xml"]
