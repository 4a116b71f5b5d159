"""What the classic prompt, that of Python 3.11 and 3.12, makes of a block that is pasted into it.

Each line is read as it comes, and a statement ends where the prompt takes it to end: one over
several lines, such as a loop or a class, at the first empty line, wherever that is. Python 3.13
and IPython take a pasted block as a whole. `session` asks the prompt itself.
"""

from __future__ import annotations

import errno
import os
import pty
import re
import select
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

TIMEOUT = 120  # seconds without a sign of life: a guard, not a measure
COMPOUND = {"@", "async", "class", "def", "for", "if", "try", "while", "with"}
SILENT = {tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}


def statements(source: str) -> Iterator[tuple[int, str]]:
    """Cut a block where the prompt would run what it has read so far.

    Args:
        source: The block.

    Yields:
        Line, from 1, and text of each piece, which may be more or less than a statement.
    """
    lines, line = source.splitlines(keepends=True), 1
    while lines:
        size = _first(lines)
        if size:
            yield line, "".join(lines[:size])
        lines, line = lines[max(size, 1) :], line + max(size, 1)


def _first(lines: list[str]) -> int:
    """Number of lines that the prompt reads before it runs them; none to run: 0."""
    depth, compound, words = 0, False, list[str]()
    for token in tokenize.generate_tokens(iter(lines).__next__):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
        if token.type == tokenize.NL and depth == 0:
            if not words:
                return 0
            if token.line == "\n":
                return token.end[0]
        elif token.type == tokenize.NEWLINE:
            compound = compound or words[0] in COMPOUND or words[-1] == ":"
            if not compound:
                return token.end[0]
        elif token.type not in SILENT:
            words.append(token.string)
    return len(lines)


def fault(source: str) -> str | None:
    """What is wrong with a block that is pasted at the prompt; nothing if it runs as a whole.

    Args:
        source: The block.
    """
    for line, statement in statements(source):
        try:
            compile(statement, "<pasted>", "single")
        except SyntaxError as error:
            return f"line {line + (error.lineno or 1) - 1}: {error.msg}"
    return None


CLASSIC = ("-i", "-q")
IPYTHON = ("-m", "IPython", "--no-banner", "--colors=nocolor")


def session(source: str, folder: Path, prompt: tuple[str, ...] = CLASSIC) -> str:
    """Paste a block at a prompt of this Python, in a terminal, and leave.

    Args:
        source: The block.
        folder: Where it runs, and what it has for a home.
        prompt: Arguments of Python: `CLASSIC` or `IPYTHON`.

    Returns:
        All that the terminal shows, what was pasted included.

    Raises:
        TimeoutError: If it shows nothing for a long time.
    """
    if prompt == IPYTHON:  # takes what a terminal marks as pasted as one piece
        ready, typed = b"In [1]", f"\x1b[200~{source}\x1b[201~\r\rexit()\r"
    else:
        ready, typed = b">>> ", f"{source}\n\nexit()\n"
    environment = os.environ | {
        "HOME": str(folder),
        "TERM": "xterm" if prompt == IPYTHON else "dumb",
        "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody here says where the cursor is
        "PYTHON_BASIC_REPL": "1",  # from 3.13 on the classic prompt has to be asked for
    }
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *prompt],
        stdin=end, stdout=end, stderr=end, cwd=folder, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(end)
    pasted, shown = typed.encode(), b""
    try:
        while True:
            waiting = [terminal] if pasted and ready in shown else []
            readable, writable, _ = select.select([terminal], waiting, [], TIMEOUT)
            if not readable and not writable:
                raise TimeoutError(f"the prompt shows nothing more after {shown[-200:]!r}")
            if writable:
                pasted = pasted[os.write(terminal, pasted[:512]) :]
            if readable:
                shown += os.read(terminal, 65536)
    except OSError as error:  # how Linux says that the process has ended
        if error.errno != errno.EIO:
            raise
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))
    return text.replace("\r\n", "\n")
