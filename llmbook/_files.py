"""Files: written whole or not at all, by one program at a time, and checked when read."""

import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from llmbook.errors import UnsupportedError


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
        with naming(path):
            yield part
            # safetensors puts a file of its own there, which only its maker may read
            part.chmod(mode)
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let what goes wrong while a file is written name it: a full disk does not say where.

    Args:
        path: The file.

    Raises:
        OSError: In place of the error that was raised.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    except RuntimeError as error:  # torch fails once more, when it closes what it could not write
        if not isinstance(cause := error.__context__, OSError):
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from None


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


def write_json(path: str | os.PathLike[str], data: Any, *, indent: int | None = 2) -> None:
    """Write data to a file as JSON, whole or not at all.

    Args:
        path: The file.
        data: What JSON can hold; an object of a class is written as its fields.
        indent: Blanks before what is inside; ``None``: all in one line.
    """
    text = json.dumps(data, ensure_ascii=False, indent=indent, default=vars)
    with replacing(Path(path)) as part:
        part.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object from a file.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        ValueError: If the file is missing or holds something else; the error names it.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path.parent} must hold {path.name}: it is missing") from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or brackets without end
        raise ValueError(f"{path} must be JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(data).__name__}")
    return data


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Tell whatever goes wrong while sense is made of a file as a fault of that file.

    It may be malformed in any place, so that an index, a key or a type fails where it is read.

    Args:
        path: The file, to name it in errors.

    Raises:
        ValueError: In place of the error that was raised.
    """
    try:
        yield
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is malformed: {type(error).__name__}: {error}") from error
