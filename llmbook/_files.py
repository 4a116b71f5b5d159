"""Files that are written whole or not at all, and by one program at a time."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside another, to be written: it takes its place once it is whole and on the disk.

    After an error, the other is as it was, and the new one is gone.

    Args:
        path: The other file, which may not be there.

    Yields:
        The new file, empty, with the same ending.
    """
    # A name of its own, as two processes may write the same file.
    part = path.with_name(f"{path.stem}.{secrets.token_hex(8)}{path.suffix}")
    part.touch(exist_ok=False)
    mode = stat.S_IMODE(part.stat().st_mode)  # who may read it, as the umask has it
    try:
        yield part
        part.chmod(mode)  # safetensors puts a file of its own there, which only its maker may read
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other programs, and other threads of this one, from writing to the same place.

    The lock is a file beside it, whose name ends in ``.lock``. The system lets go of it when the
    program ends, however that comes about: one that is left behind after a crash locks nothing.

    Args:
        path: A file or folder, which may not be there yet; the folder that holds it is made.

    Raises:
        ValueError: At once, if another holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"{path} must be written by one program at a time, and another is at it: "
            "wait until that one has ended, or write elsewhere"
        ) from None
    try:
        yield
    finally:
        # Before it is released: afterwards it may be another's. Whoever has opened it by then
        # finds that it has lost its name, and does not take it. (Windows removes it by itself.)
        with suppress(PermissionError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
