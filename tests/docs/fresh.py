"""Runs one block in a fresh process, as a reader would run it."""

from __future__ import annotations

import contextlib
import io
import linecache
import multiprocessing
import os
import random
import sys
import traceback
import types
import warnings
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

TIMEOUT = 120  # seconds: a guard against a block that hangs, not a measure of speed


@dataclass
class Result:
    """What a block did."""

    stdout: str = ""
    error: str = ""  # the traceback, empty if there was none
    figures: dict[str, str] = field(default_factory=dict)  # name of the file -> SVG


def _context() -> multiprocessing.context.BaseContext:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        # Heavy libraries only, and nothing of llmbook: a forgotten import must still fail.
        context.set_forkserver_preload(["torch", "numpy", "matplotlib.figure"])
    return context


def run(source: str, filename: str) -> Result:
    """Run ``source`` in a process and a folder of its own.

    Args:
        source: The code; blank lines in front of it make line numbers those of the page.
        filename: What a traceback names.

    Returns:
        What it printed, the error if it failed, and the figures it left behind.
    """
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    with TemporaryDirectory() as folder:
        process = context.Process(target=_work, args=(source, filename, folder, sender))
        process.start()
        sender.close()
        try:
            result = receiver.recv() if receiver.poll(TIMEOUT) else None
        except EOFError:
            process.join()
            result = Result(error=f"the process ended with exit code {process.exitcode}")
        if result is None:
            process.kill()
            result = Result(error=f"still running after {TIMEOUT} s")
        process.join()
        for path in sorted(Path(folder).glob("*.svg")):
            result.figures[path.name] = path.read_text(encoding="utf-8")
    return result


def _work(source: str, filename: str, folder: str, sender: Connection) -> None:
    os.chdir(folder)
    os.environ.update(MPLBACKEND="Agg", HF_HUB_OFFLINE="1")
    _scramble()
    _no_network()
    warnings.simplefilter("default")
    # In sys.modules under its name: dataclasses look their module up there.
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    printed, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    except BaseException as exception:  # SystemExit and KeyboardInterrupt are failures too
        own = exception.with_traceback(exception.__traceback__ and exception.__traceback__.tb_next)
        error = "".join(traceback.format_exception(own))
    sender.send(Result(printed.getvalue(), error))
    sender.close()


def _scramble() -> None:
    """Leave every generator in a state that nobody can rely on."""
    import numpy as np
    import torch

    seed = int.from_bytes(os.urandom(4), "little")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _no_network() -> None:
    """Refuse what would leave this machine."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        address = arguments[1] if event == "socket.connect" else None
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise PermissionError(f"a block may not connect to {address}")
        if event == "socket.getaddrinfo" and arguments[0] not in (None, "localhost", "127.0.0.1"):
            raise PermissionError(f"a block may not look up {arguments[0]!r}")

    sys.addaudithook(refuse)
