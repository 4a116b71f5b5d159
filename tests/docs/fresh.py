"""Runs one block in a fresh process, as a reader would run it."""

from __future__ import annotations

import io
import linecache
import multiprocessing
import os
import random
import sys
import time
import traceback
import types
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.docs.shaken import Shaken

TIMEOUT = 600  # seconds: a guard against a block that hangs, not a measure of speed
# Loaded once for all blocks, and nothing of llmbook: a forgotten import must still fail.
LIGHT = ["numpy", "torch", "matplotlib.figure"]
# Loaded too where many blocks run. The first step of an optimizer loads torch._dynamo.
HEAVY = [
    *LIGHT,
    "torch._dynamo",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
]
preloaded = LIGHT
LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass
class Result:
    """What a block did."""

    stdout: str = ""
    stderr: str = ""  # warnings, mostly
    error: str = ""  # the traceback, empty if there was none
    figures: dict[str, str] = field(default_factory=dict)  # name of the file -> SVG
    left: list[str] = field(default_factory=list)  # what else it left in its folder


def _context() -> ForkServerContext | SpawnContext:
    # The blocks are small: they gain nothing from more threads, and on a busy machine threads that
    # wait for each other cost them minutes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preloaded)
    return context


def preload(count: int) -> None:
    """Before the first block: load what so many blocks are faster with."""
    global preloaded
    preloaded = HEAVY if count > 50 else LIGHT


def run(source: str, filename: str, timeout: float = TIMEOUT, *, shake: int = 0) -> Result:
    """Run ``source`` in a process and a folder of its own; if it leaves more than figures, twice.

    A reader runs a block again after a change, in the same folder.

    Args:
        source: The code; blank lines in front of it make line numbers those of the page.
        filename: What a traceback names.
        timeout: Seconds after which the process is ended.
        shake: Seed of the shaken machine to run it on; 0: this machine as it is.

    Returns:
        What it printed, the error if it failed, and what it left behind.
    """
    with TemporaryDirectory() as parent:
        result = _run(source, filename, timeout, shake, Path(parent))
        if result.left and not result.error:
            again = _run(source, filename, timeout, shake, Path(parent))
            if again.error:
                result.error = f"run a second time in the same folder:\n{again.error}"
        return result


def _run(source: str, filename: str, timeout: float, shake: int, parent: Path) -> Result:
    context = _context()
    receiver, sender = context.Pipe(duplex=False)
    folder, streams = parent / "empty", parent / "streams"
    folder.mkdir(exist_ok=True)
    streams.mkdir(exist_ok=True)
    arguments = (source, filename, str(folder), str(streams), shake, sender)
    process = context.Process(target=_work, args=arguments)
    process.start()
    sender.close()
    result, deadline = Result(), time.monotonic() + timeout
    try:
        if receiver.poll(timeout):
            result.error = receiver.recv()
    except EOFError:
        process.join()
        result.error = f"the process ended with exit code {process.exitcode}"
    # A thread that it left running keeps a process alive after its last line.
    process.join(max(1.0, deadline - time.monotonic()))
    if process.is_alive():
        process.kill()
        process.join()
        result.error = f"still running after {timeout} s"
    for name in ("stdout", "stderr"):
        if (path := streams / name).exists():
            setattr(result, name, path.read_text(encoding="utf-8", errors="replace"))
    for path in sorted(folder.iterdir()):
        if path.suffix == ".svg":
            result.figures[path.name] = path.read_text(encoding="utf-8")
        else:
            result.left.append(path.name)
    return result


def _work(
    source: str, filename: str, folder: str, streams: str, shake: int, sender: Connection
) -> None:
    os.chdir(folder)
    os.environ.update(MPLBACKEND="Agg", HF_HUB_OFFLINE="1")
    _scramble()
    _redirect(1, "stdout", Path(streams))
    _redirect(2, "stderr", Path(streams))
    _no_network()
    warnings.simplefilter("default")
    # In sys.modules under its name: dataclasses look their module up there.
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    lines = source.splitlines(keepends=True)
    linecache.cache[filename] = (len(source), None, lines, filename)
    error = ""
    try:
        with Shaken(shake) if shake else nullcontext():
            exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    except BaseException as exception:  # SystemExit and KeyboardInterrupt are failures too
        own = exception.with_traceback(exception.__traceback__ and exception.__traceback__.tb_next)
        error = "".join(traceback.format_exception(own))
    sys.stdout.flush()
    sender.send(error)
    sender.close()


def _redirect(descriptor: int, name: str, streams: Path) -> None:
    """Send a stream to a file, that of C code and of child processes with it."""
    with (streams / name).open("wb") as file:
        os.dup2(file.fileno(), descriptor)
    raw = os.fdopen(descriptor, "wb", buffering=0, closefd=False)
    stream = io.TextIOWrapper(raw, encoding="utf-8", newline="\n", write_through=True)
    setattr(sys, name, stream)


def _scramble() -> None:
    """Leave every generator in a state that nobody can rely on."""
    import matplotlib as mpl
    import numpy as np
    import torch

    mpl.use("Agg")  # the variable comes too late for a matplotlib that is loaded already
    seed = int.from_bytes(os.urandom(4), "little")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _no_network() -> None:
    """Refuse what would leave this machine."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto"):
            address = arguments[1]
            if isinstance(address, tuple) and address[0] not in LOCAL:
                raise PermissionError(f"a block may not connect to {address}")
        looks_up = event in ("socket.getaddrinfo", "socket.gethostbyname")
        if looks_up and arguments[0] not in (None, *LOCAL):
            raise PermissionError(f"a block may not look up {arguments[0]!r}")

    sys.addaudithook(refuse)
