"""Files that are written whole or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
