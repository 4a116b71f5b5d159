"""The corpus: what ships is clean, and what is written is the prose of the pages and no more."""

import re

import pytest

from llmbook.book import corpus

PAGE = """---
description: Not prose.
---

# A heading { #heading }

The *first* one, with a [link](other.md#x), `code`, a citation [@key2020, §3, Table 1]
and a [name][`llmbook`]. It goes on. This sentence of $n$ symbols is left out! The last one
stays.

$$a = b

c$$

```python
print("not prose")
```

``` {.text .output}
not prose
```

| a | table |
|---|---|

- one item,
  on two lines;
- another [@key2020].

!!! tip "A title"
    Inside a box. It is 3.5 wide.

    ```python
    not_prose = "."
    ```

![Not prose.](figure.svg)

/// figure-caption
A caption.
///

**Term**
:   Its definition.

**A sentence in bold.** This one, with $n$, is left out. *This one* stays.

<!-- not
prose -->
"""
PROSE = [
    "The first one, with a link, code, a citation and a name. It goes on. The last one stays.",
    "one item, on two lines;",
    "another.",
    "Inside a box. It is 3.5 wide.",
    "A caption.",
    "Term",
    "Its definition.",
    "A sentence in bold. This one stays.",
]


def test_prose_and_nothing_else_is_kept():
    assert corpus._paragraphs(PAGE) == PROSE


def test_chinese_sentences_end_without_a_blank():
    page = "第一句（[链接](a.md)）。形状是 $n$，不留！“第三句。”第四句？"
    assert corpus._paragraphs(page) == ["第一句（链接）。“第三句。”第四句？"]
    bold = "**第一句。** 形状是 $n$，不留。第三句。*第四句*在此。"
    assert corpus._paragraphs(bold) == ["第一句。第三句。第四句在此。"]
    assert corpus._paragraphs("只有 $n$ 的一句。\n\n$$x$$\n") == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_ships_is_prose(language):
    lines = corpus.load(language).splitlines()
    assert len(lines) > 100
    for line in lines:
        assert line == line.strip() and re.search(r"\w", line)
        assert not re.search(r"\$|`|\]\(|\[@|<!--|\*\w|\{ ?#", line), line
    han = sum("\u4e00" <= c <= "\u9fff" for c in "".join(lines))
    share = han / len("".join(lines))
    assert share > 0.5 if language == "zh" else share < 0.01  # titles are quoted as they are


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match=r"language must be one of \('en', 'zh'\), got 'fr'"):
        corpus.load("fr")


def test_a_snapshot_is_written_whole_or_not_at_all(tmp_path):
    docs, data = tmp_path / "docs", tmp_path / "data"
    data.mkdir()
    for language in ("en", "zh"):
        for part in ("a", "appendix/api"):
            (docs / language / part).mkdir(parents=True)
            (docs / language / part / "page.md").write_text(f"{language} in {part}.\n")
    corpus._write(docs, data)
    assert (data / "book.en.txt").read_text() == "en in a.\n"
    assert (data / "book.zh.txt").read_text() == "zh in a.\n"

    (docs / "en" / "b.md").write_bytes(b"\xff broken")
    with pytest.raises(UnicodeDecodeError):
        corpus._write(docs, data)
    assert sorted(p.name for p in data.iterdir()) == ["book.en.txt", "book.zh.txt"]
    assert (data / "book.en.txt").read_text() == "en in a.\n"

    with pytest.raises(ValueError, match="docs must hold pages in en/, got none"):
        corpus._write(data, data)
