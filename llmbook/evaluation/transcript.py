"""Transcripts: what was asked and answered, in a file, so that a break costs nothing.

The first line tells the task and the settings, each of the others is a trace. While problems are
under way, every reply is put down as soon as it is there, in a file beside the transcript whose
name ends in ``.replies``. When their traces stand in the transcript, it is removed.

Every line is read as its type, by pydantic, but how it begins says which type that is: as a union
of both, an error would tell of the fields of either. And what pydantic writes is not ASCII.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from llmbook._files import replacing
from llmbook._json import read_as
from llmbook.lm.protocol import LanguageModel, Reply, in_chat
from llmbook.prompting.strategies import Strategy
from llmbook.prompting.trace import Trace
from llmbook.tasks.problem import Problem

# How lines begin: the first one, and those of traces.
_HEADER, _TRACE = b'{"task": ', b'{"problem": '
_SECRET = re.compile("key|secret|password|authorization", re.IGNORECASE)  # in no transcript


@dataclass(frozen=True)
class Header:
    """The first line."""

    task: str = ""  # by whose rules answers are graded; "": not told
    settings: dict[str, Any] | None = None  # nothing in a file that has no such line

    def line(self) -> str:
        """The line as JSON."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class _Kept:
    """A line of the file of replies."""

    key: str  # of what was asked
    reply: Reply


def _line(key: str, reply: Reply) -> str:
    """A line of the file of replies."""
    return json.dumps(asdict(_Kept(key, reply))) + "\n"


def settings_of(strategy: Strategy, model: LanguageModel) -> dict[str, Any]:
    """All that decides how problems are put, as JSON."""
    model_settings = {name: getattr(model, name, None) for name in ("name", "chat", "base_url")}
    model_settings["options"] = _plain(getattr(model, "options", None) or None)
    settings = {"strategy": {"name": strategy.name}, "model": model_settings}
    if is_dataclass(strategy):
        settings["strategy"] |= _plain(strategy)
    return settings


def _plain(value: Any) -> Any:
    """A setting as JSON, secrets hidden and functions by their names."""
    if isinstance(value, Mapping):
        return {key: "…" if _SECRET.search(key) else _plain(item) for key, item in value.items()}
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", type(value).__qualname__)  # a function, by its name


def parse(path: Path, data: bytes) -> tuple[Header, list[Trace]]:
    """The first line of a transcript and its traces, from what the file holds.

    Args:
        path: The file, for errors.
        data: What it holds.

    Returns:
        The first line, an empty one if there is none, and the traces.

    Raises:
        ValueError: If a line is no trace; the error names it.
    """
    header, traces = Header(), []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            if number == 1 and line.startswith(_HEADER):
                header = read_as(Header, line, "header")
            else:
                traces.append(Trace.from_json(line.decode()))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return header, traces


def resume(
    path: Path, problems: Sequence[Problem], strategy: Strategy, model: LanguageModel, task: str
) -> list[Trace]:
    """The traces in a file, which may not be there; a line that was cut off is cut away.

    Raises:
        ValueError: If the file is no transcript, or one of something else. It is then left as it
            is.
    """
    data = path.read_bytes() if path.exists() else b""
    whole = _whole(data)
    cut_off = data[len(whole) :]
    # What a break left over begins as our lines do, as far as it goes. Anything else is somebody's
    # text without a last line break, which must not be cut away.
    if not any(begin.startswith(cut_off[: len(begin)]) for begin in (_HEADER, _TRACE)):
        raise ValueError(
            f"transcript must be new or a file that evaluate wrote, {path} ends in {cut_off[:40]!r}"
        )
    header, traces = parse(path, whole)
    # An unknown task, here or there, agrees with any: a file may have no first line.
    if task and header.task not in ("", task):
        raise ValueError(f"task must be {header.task} for the transcript {path}, got {task}")
    # Trace n must be of problem n, as the caller goes on after the last. A file may hold fewer
    # traces than there are problems, but not more.
    names = strategy.name, model.name
    for place, trace in enumerate(traces):
        problem = problems[place] if place < len(problems) else None
        if (got := (trace.strategy, trace.model)) != names or trace.problem != problem:
            raise ValueError(
                f"transcript must be new or of the same problems, strategy and model: line "
                f"{place + 1 + data.startswith(_HEADER)} of {path} has {got} and "
                f"{trace.problem.question!r}, expected {names} and "
                f"{problem.question if problem else 'no more problems'!r}"
            )
    # Compared as JSON, since that is what was read. A file without a first line tells no settings,
    # and is believed.
    settings = settings_of(strategy, model)
    theirs = settings if header.settings is None else header.settings
    for part, ours in settings.items():
        # The names of both sides, as either may have a setting that the other lacks.
        recorded = theirs.get(part, {})
        for name in sorted(recorded.keys() | ours.keys()):
            if recorded.get(name) != ours.get(name):
                raise ValueError(
                    f"transcript must be new or of the same settings: the {name} of the {part} is "
                    f"{recorded.get(name)!r} in {path}, got {ours.get(name)!r}"
                )
    # Only now, when the file is known to be a transcript and the right one, is it changed.
    if cut_off:
        os.truncate(path, len(whole))
    if not whole:  # a new file, or one of which even the first line was cut off
        append(path, [Header(task, settings).line()])
    return traces


def _whole(data: bytes) -> bytes:
    """The lines of a file that have an end: one counts once its end is written."""
    return data[: data.rfind(b"\n") + 1]  # without any, rfind gives -1, and nothing is whole


def append(path: Path, lines: Iterable[str]) -> None:
    """Write lines to the end of a file, and wait until they are there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
        file.flush()
        os.fsync(file.fileno())


def rewrite(path: Path, traces: Iterable[Trace]) -> None:
    """Put other traces into a transcript, all of them or none."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    lines = [first] if first.encode().startswith(_HEADER) else []
    lines += (f"{trace.to_json()}\n" for trace in traces)
    with replacing(path) as part:
        part.write_text("".join(lines), encoding="utf-8")


@runtime_checkable
class _TellsEach(Protocol):
    """A model that has its replies one by one, such as a server's."""

    def complete_each(
        self, prompts: Sequence[str], on_reply: Callable[[int, Reply], object], **options: Any
    ) -> list[Reply]: ...


class Remembering:
    """A model whose replies are put down as they come, and are not asked for again.

    Errors are: they may pass.
    """

    def __init__(self, model: LanguageModel, transcript: Path) -> None:
        self._model, self.name, self.chat = model, model.name, in_chat(model)
        self._path = transcript.with_name(f"{transcript.name}.replies")
        self._known: dict[str, Reply] = {}
        self._asked: set[str] = set()  # since it was last told to forget
        if self._path.exists():
            data = self._path.read_bytes()
            whole = _whole(data)
            os.truncate(self._path, len(whole))  # a line that was cut off
            for number, line in enumerate(whole.splitlines(), start=1):
                try:
                    kept = read_as(_Kept, line, "reply")
                except ValueError as error:
                    where = f"{self._path}, line {number}"
                    raise ValueError(f"{where}: {error}; without it, all is asked again") from None
                self._known[kept.key] = kept.reply

    def complete(
        self, prompts: Sequence[str], *, seed: int | Sequence[int] = 0, **options: Any
    ) -> list[Reply]:
        """Ask the model, but not for what is known."""
        seeds = [seed] * len(prompts) if isinstance(seed, int) else list(seed)
        keys = [
            hashlib.sha256(json.dumps([prompt, prompt_seed, options]).encode()).hexdigest()
            for prompt, prompt_seed in zip(prompts, seeds, strict=True)
        ]
        self._asked.update(keys)
        new_places = [place for place, key in enumerate(keys) if key not in self._known]
        replies = [self._known.get(key) for key in keys]
        if new_places:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:

                def put_down(number: int, reply: Reply) -> None:
                    key = keys[new_places[number]]
                    replies[new_places[number]] = reply
                    if reply.finish_reason == "error" or key in self._known:
                        return
                    self._known[key] = reply
                    file.write(_line(key, reply).encode())
                    file.flush()

                new_prompts = [prompts[place] for place in new_places]
                options["seed"] = [seeds[place] for place in new_places]
                if isinstance(self._model, _TellsEach):
                    self._model.complete_each(new_prompts, put_down, **options)
                else:
                    for number, reply in enumerate(self._model.complete(new_prompts, **options)):
                        put_down(number, reply)
        return [reply for reply in replies if reply is not None]

    def forget(self) -> None:
        """Remove what was put down and asked, as it stands in the transcript by now.

        What was not asked stays: a run that was broken off may have had more problems under way.
        """
        self._known = {key: r for key, r in self._known.items() if key not in self._asked}
        self._asked.clear()
        if not self._known:
            self._path.unlink(missing_ok=True)
            return
        with replacing(self._path) as part:
            part.write_text("".join(_line(*pair) for pair in self._known.items()), "utf-8")
