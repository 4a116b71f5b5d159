"""The checks themselves: each is shown a page with one fault, and has to find it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from extensions.glossary import parse
from tests.docs import form, glossary, parity, svg
from tests.docs.blocks import fences
from tests.docs.form import faults as form_faults
from tests.docs.test_audit import shown

ROOT = Path(__file__).parents[2]
GOOD = """\
import torch
from llmbook.attention import causal_mask

torch.manual_seed(0)
print(int(causal_mask(3).sum()))
"""


def page(
    code: str = GOOD, output: str = "6\n", before: str = "", indent: str = "", tolerance: str = ""
) -> str:
    """A page with one block and its output, which may stand inside something."""
    lines = f"```python\n{code}```\n"
    if output:
        more = f' data-tol="{tolerance}"' if tolerance else ""
        lines += f"\n``` {{.text .output{more}}}\n{output}```\n"
    return before + "".join(
        indent + line if line.strip() else line for line in lines.splitlines(True)
    )


FIGURE = """\
from llmbook import plots

plots.save(plots.curves([0, 1], {"a": [0, 1]}), "line.svg")
"""
SHOWN = "\n![a line](../assets/figures/line.svg)\n"
STALE = (page(FIGURE.replace("[0, 1]}", "[1, 0]}"), "") + SHOWN).replace("line", "stale")
TOO_WIDE = GOOD.replace("(3)", "(4)")  # prints 10, not 6
PAGES = {
    # name: (page, what the failure says; None for a good page)
    "good": (page(), None),
    "good-in-details": (page(before='??? success "S"\n\n', indent="    "), None),
    "good-ellipsis": (page(GOOD + "print(id(3))\n", "6\n...\n"), None),
    "good-silent": (page("import llmbook\n", ""), None),
    "good-figure": (page(FIGURE, "") + SHOWN, None),
    "good-dataclass": (
        page(
            "from __future__ import annotations\nimport dataclasses\nimport llmbook\n"
            "@dataclasses.dataclass\nclass Config:\n    width: int = 3\nprint(Config())\n",
            "Config(width=3)\n",
        ),
        None,
    ),
    "good-in-quotation": (page(indent="> "), None),
    "good-blank-lines": (page(GOOD + "print()\n"), None),
    "good-from-a-child": (
        page("import llmbook, os\nos.system('echo child')\n", "child\n"),
        None,
    ),
    "good-within-tolerance": (page(GOOD, "6\n", tolerance="2%"), None),
    "good-nearly": (
        page("import llmbook\nprint('loss 1.25')\n", "loss 1.23\n", tolerance="2%"),
        None,
    ),
    "beyond-tolerance": (
        page("import llmbook\nprint('loss 1.25')\n", "loss 1.10\n", tolerance="2%"),
        "+loss 1.25",
    ),
    "tolerance-is-for-numbers": (
        page("import llmbook\nprint('loss 1.25')\n", "Loss 1.25\n", tolerance="2%"),
        "+loss 1.25",
    ),
    "broken-in-admonition": (
        page(GOOD + "missing\n", before='!!! note "N"\n\n', indent="    "),
        "NameError: name 'missing'",
    ),
    "wrong-in-tab-in-details": (
        page(TOO_WIDE, before='??? note "N"\n\n    === "T"\n\n', indent="        "),
        "+10",
    ),
    "broken-in-list": (page(GOOD + "1 / 0\n", before="- item\n\n", indent="    "), "ZeroDivision"),
    "wrong-output": (page(output="7\n"), "-7"),
    "missing-output": (page(output=""), "the output differs"),
    "output-of-nothing": (page("import llmbook\n"), "the output differs"),
    "true-is-not-one": (page("import llmbook\nprint(True)\n", "1\n"), "-1"),
    "empty-output": (page(GOOD, "") + "\n``` {.text .output}\n```\n", "+6"),
    "dots-for-nothing": (page("import llmbook\n", "...\n"), "the output differs"),
    "numpy-no-seed": (
        page("import numpy, llmbook\nprint(numpy.random.rand())\n", "0.5488135039273248\n"),
        "the output differs",
    ),
    "no-seed": (
        page("import torch, llmbook\nprint(torch.randn(1).item())\n", "1.5409960746765137\n"),
        "the output differs",
    ),
    "leans-on-the-one-before": (page() + "\n" + page("print(causal_mask)\n", "x\n"), "NameError"),
    "type-error": (page("import llmbook\nlen(3)\n", ""), "TypeError: object of type 'int'"),
    "network": (
        page('import llmbook, socket\nsocket.create_connection(("192.0.2.1", 80), 1)\n', ""),
        "may not",
    ),
    "leaves-a-file": (
        page("import llmbook, pathlib\npathlib.Path('stray.txt').write_text('x')\n", ""),
        "leaves ['stray.txt']",
    ),
    "good-leaves-what-it-names": (
        page("import llmbook, pathlib\npathlib.Path('told.txt').write_text('x')\n", "")
        + "\nThe text is in `told.txt`.\n",
        None,
    ),
    "runs-only-once": (
        page("import llmbook, os\nos.mkdir('told')\n", "") + "\nThe folder `told` is there.\n",
        "FileExistsError",
    ),
    "exit": (page("import llmbook, os\nos._exit(3)\n", ""), "exit code 3"),
    "warns": (page("import llmbook, warnings\nwarnings.warn('look out')\n", ""), None),
    "stale-figure": (STALE, "is not what the block"),
    "twice-drawn-figure": (page(FIGURE, "") + SHOWN, "is drawn at"),
    "figure-not-shown": (page(FIGURE, ""), "does not show it"),
}


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the real plugin says of each page: empty if it passes."""
    root = tmp_path_factory.mktemp("book")
    (root / "pytest.ini").write_text("[pytest]\naddopts = --markdown-docs\n")
    for name, (text, _) in PAGES.items():
        path = root / "docs" / "en" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "llmbook").mkdir()
    (root / "llmbook" / "module.py").write_text(
        'class Layer:\n    @property\n    def width(self):\n        """Width.\n\n'
        "        Examples:\n            ```python\n            print(1)\n            ```\n\n"
        '            ``` {.text .output}\n            2\n            ```\n        """\n'
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.docs.plugin", "-p"]
    command += ["no:cacheprovider", "--rootdir", str(root), "-c", str(root / "pytest.ini")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}
    folders = [str(root / "docs"), str(root / "llmbook")]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    run("--update-outputs", str(root / "docs" / "en" / "good-figure.md"))  # keeps its figure
    figures = root / "docs" / "assets" / "figures" / "en"
    (figures / "stale.svg").write_bytes((figures / "line.svg").read_bytes())
    output = run("-vv", *folders)
    parts = re.split(r"^_{3,} (.*?) _{3,}$", output, flags=re.MULTILINE)
    found = dict.fromkeys(PAGES, "")
    for part in parts[2::2]:
        for name in [*PAGES, "module"]:
            if re.match(rf"\s*(docs/en|llmbook)/{name}\.(md|py):", part):
                found[name] = found.get(name, "") + part
    for name in PAGES:
        if not re.search(rf"^docs/en/{name}\.md::.* (PASSED|FAILED)", output, re.MULTILINE):
            found[name] = "not collected at all"
    return found


@pytest.mark.parametrize("name", PAGES)
def test_the_runner(name: str, failures: dict[str, str]) -> None:
    expected = PAGES[name][1]
    if expected is None:
        assert not failures[name]
    else:
        assert expected in failures[name]
        assert re.search(rf"docs/en/{name}\.md:\d+", failures[name]), "names page and line"


def test_the_example_of_a_property_is_run(failures: dict[str, str]) -> None:
    assert "-2" in failures["module"] and "+1" in failures["module"]


EN = """\
# Title { #title }

In 2017 one wrote $d_\\text{in}$ for [a link](other.md), with an attention mask
[@key2017a, Table 3].[^1]

| a | b |
|---|---|
| c | d |

```bash
make test  # all of it
```

!!! note "N"
    Text.

```mermaid
flowchart LR
    A["one"] --> B["two"]
```

```python
from llmbook import plots
print("one", 3)  # a comment
print(f"head 0 has {3:d} parts", 5)
```
"""
ZH = """\
# 标题 { #title }

2017 年，人们为[链接](other.md)写 $d_\\text{入}$，还有注意力掩码 [@key2017a, 表 3]。[^1]

| 甲 | 乙 |
|---|---|
| 丙 | 丁 |

```bash
make test  # 全部
```

!!! note "注"
    文字。

```mermaid
flowchart LR
    A["一"] --> B["二"]
```

```python
from llmbook import plots
print("一", 3)  # 注释
print(f"{3:d} 个部分，头 0", 5)
```
"""


def test_good_pages_agree() -> None:
    assert parity.faults(ZH, EN) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("#title", "#titel", "headings"),
        ("# 标题", "## 标题", "headings"),
        ("$d_", "$e_", "formulas"),
        ("other.md", "another.md", "links"),
        ("key2017a", "key2017b", "citations"),
        ("!!! note", "!!! tip", "structures"),
        ("!!! note", "??? note", "structures"),
        ("| 丙 | 丁 |\n", "", "structures"),
        ("表 3", "表 4", "citations"),
        ("[^1]", "", "footnotes"),
        ("make test", "make tests", "fences"),
        ("头 0", "头 1", "code"),
        ("{3:d}", "{4:d}", "code"),
        ('"一"', '"一 2"', None),
        ("5)", "6)", "code"),
        ("2017 年", "2018 年", "numbers"),
        ("A[", "C[", "diagrams"),
        (", 3)", ", 4)", "code"),
        ("print(", "repr(", "code"),
        ('"一"', '"three"', "code"),
        ("```python\nfrom llmbook import plots\n", "```bash\n", "fences"),
    ],
)
def test_a_difference_between_the_languages_is_found(
    old: str, new: str, expected: str | None
) -> None:
    assert ZH.count(old) >= 1
    found = "\n".join(parity.faults(ZH.replace(old, new), EN))
    assert expected in found if expected else not found


FENCE = "```"
MEASURED = f"""\
# Title {{ #title }}

{FENCE}bash
llmbook solve --model chains-tiny --vote 3
{FENCE}

{FENCE}console
$ llmbook compare a.jsonl b.jsonl
a.jsonl: 100.0% [92.9%, 100.0%] of 50
{FENCE}

{FENCE}python
from llmbook import lm
from llmbook.evaluation import score
print(score(sample(40, seed=1), lm.load("chains-tiny")))
{FENCE}

{FENCE} {{.text .output}}
40.0% [21.9%, 61.3%] of 20
{FENCE}

| steps | 40.0% [21.9%, 61.3%] | 33 |
|---|---|---|
"""
TRAINED_IN_CHINESE = {
    "chains-tiny": "chains-tiny-zh",
    "seed=1": 'seed=1, language="zh"',
    "40.0% [21.9%, 61.3%]": "45.0% [25.8%, 65.8%]",
    "100.0% [92.9%, 100.0%]": "98.0% [89.5%, 99.6%]",
    "| 33": "| 31",
}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", None),
        ("vote 3", "vote 4", "fences"),
        ("b.jsonl", "c.jsonl", "fences"),
        ("of 50", "from 50", "fences"),
        ("model chains-tiny-zh", "model chains", "fences"),
        ('"chains-tiny-zh"', '"scan-tiny"', "code"),
        ('language="zh"', 'language="fr"', "code"),
        ('language="zh"', "deepest=3", "code"),
        ("| 45.0%", "| 44.0%", "numbers"),  # what no block has printed
    ],
)
def test_a_model_that_learned_from_chinese_may_score_otherwise(
    old: str, new: str, expected: str | None
) -> None:
    zh = MEASURED
    for english, chinese in TRAINED_IN_CHINESE.items():
        assert english in zh
        zh = zh.replace(english, chinese)
    assert old in zh
    found = "\n".join(parity.faults(zh.replace(old, new) if old else zh, MEASURED))
    assert expected in found if expected else not found


MASK = {
    "id": "attention-mask",
    "en": "attention mask",
    "zh": "注意力掩码",
    "avoid": {"zh": ["注意力遮罩"], "en": []},
    "definition": {"en": "A mask.", "zh": "掩码。"},
}
TERMS = parse([MASK])


def test_a_term_translated_two_ways_is_found() -> None:
    assert glossary.faults(TERMS, ZH, EN) == []
    assert glossary.faults(TERMS, ZH.replace("注意力掩码", "注意力遮罩"), EN)
    assert glossary.faults(TERMS, ZH.replace("注意力掩码", "别的说法"), EN)
    assert glossary.faults(TERMS, ZH, EN.replace("an attention mask", "a visibility filter"))
    first = ZH.replace("注意力掩码", "*注意力面具*(attention mask)和注意力掩码")
    assert glossary.faults(TERMS, first, EN)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# T { #t }\n\n```python notest\nimport llmbook\n```\n", "options"),
        ("# T { #t }\n\n```python continuation\nimport llmbook\n```\n", "options"),
        ("# T { #t }\n\n```pycon\n>>> import llmbook\n```\n", "kind"),
        ("# T { #t }\n\n```py\nimport llmbook\n```\n", "kind"),
        ("# T { #t }\n\n```\nimport llmbook\n```\n", "kind"),
        ("# T { #t }\n\n```python\nimport torch\n```\n", "does not import llmbook"),
        ("# T { #t }\n\n```python\nimport llmbook  # fmt: skip\n```\n", "fmt: skip"),
        ("# T { #t }\n\n```python\nimport llmbook\n", "never closed"),
        ("# T { #t }\n\n<pre>import llmbook</pre>\n", "raw <pre>"),
        ("# T\n", "without an anchor"),
        ("# T { #t }\n\n## U { #t }\n", "two headings"),
        ("# T { #t }\n\n- ```python\n  import llmbook\n  ```\n  ```\n", "list's mark"),
        ('# T { #t }\n\n```python\nx = "import llmbook"\n```\n', "does not import llmbook"),
        ("# T { #t }\n\n![a](../assets/figures/a.svg)\n", "no block of the page saves it"),
        (
            "# T { #t }\n\n```python\nimport llmbook\n```\n\n``` {.text .output}\n...\n```\n",
            "nothing but dots",
        ),
        ("# T { #t }\n\n``` {.text .output}\n6\n```\n", "not directly under"),
    ],
)
def test_a_page_of_bad_form_is_found(text: str, expected: str) -> None:
    assert expected in "\n".join(form_faults(text))


@pytest.mark.parametrize(
    "text", ["你好,世界", "共3个", "用GPU算", "注意力(attention),你好", "结束了."]
)
def test_bad_typography_is_found(text: str) -> None:
    assert form.typography_faults(text)


@pytest.mark.parametrize(
    "text", ["形状 (B, T)，占 73% 的*自注意力*(self-attention)。", "```python\nx=1 #注释,a\n```"]
)
def test_good_typography_is_left_alone(text: str) -> None:
    assert form.typography_faults(text) == []


def test_a_fence_inside_a_longer_fence_is_text() -> None:
    (outer,) = fences("````markdown\n```python\nimport llmbook\n```\n````\n")
    assert outer.language == "markdown"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<div class="language-python highlight"><pre>x</pre></div>', (1, 0)),
        ('<div class="doc-signature language-python highlight"><pre>x</pre></div>', (0, 0)),
        ('<div class="language-text output highlight"><pre>x</pre></div>', (0, 0)),
        ('<div class="language-text highlight"><pre>x</pre></div>', (0, 1)),
        ('<div class="language-pycon highlight"><pre>x</pre></div>', (0, 1)),
        ("<pre><code>x</code></pre>", (0, 1)),
    ],
)
def test_the_audit_sees_what_a_page_shows(html: str, expected: tuple[int, int]) -> None:
    count, strange = shown(f"<article>{html}</article>")
    assert (count, len(strange)) == expected


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("M 0 0 L 10 10", "M 0 0 L 10 12"),
        ("M 0 0 L 10 10", "M 0 0 L 10 10 L 3 3"),
        (">label<", ">another<"),
        ("fill: #3b6fd4", "fill: #d9722b"),
        ("fill-opacity: 0.50", "fill-opacity: 0.55"),
    ],
)
def test_a_changed_figure_is_found(old: str, new: str) -> None:
    figure = (
        '<svg xmlns="http://www.w3.org/2000/svg"><path d="M 0 0 L 10 10" '
        'style="fill: #3b6fd4; fill-opacity: 0.50"/><text x="3">label</text></svg>'
    )
    assert old in figure
    assert svg.difference(figure, figure) is None
    assert svg.difference(figure, figure.replace('x="3"', 'x="9"')) is None  # a font's business
    assert svg.difference(figure, figure.replace(old, new))


def test_what_make_shake_leaves_out_is_there() -> None:
    """pytest says nothing of a test to be left out that has moved, and then runs it."""
    left_out = re.findall(r"--deselect (\S+)::(\w+)", (ROOT / "Makefile").read_text())
    assert left_out
    for path, name in left_out:
        assert f"def {name}(" in (ROOT / path).read_text(), f"{name} is not in {path}"
