"""The command line: train a model, let it write, talk with it, solve problems, look inside it.

Each command is a few calls that a program can make as well; the modules that it calls explain
them. What a command is asked for goes to the output, so that it can be piped; progress, remarks
and errors go to the error stream. Exit codes: 0 if all went well, 1 after an error, which one line
explains, 2 if the command was written wrongly, 130 after Ctrl-C.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import typer
from typer.core import TyperGroup

from llmbook._console import print_whatever_comes
from llmbook.cli import commands
from llmbook.cli.commands import Seed
from llmbook.cli.console import as_typed, help_of, in_json

if TYPE_CHECKING:  # what loads torch is imported where it is used, so that help need not wait
    from llmbook.pretrained import Pretrained

__all__ = ["app"]


class _Commands(TyperGroup):
    """The commands, whose errors are told in one line."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        print_whatever_comes()
        return super().main(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read the output has had enough
        except (OSError, ValueError) as error:
            text = str(error)
            if isinstance(error, OSError) and error.filename is not None:
                text = f"{error.filename}: {error.strerror}"
            command = self.commands.get(ctx.invoked_subcommand)
            text = as_typed(text, command.params if command else ())
            _note(f"llmbook: {' '.join(text.split())}")
            raise typer.Exit(1) from None


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
"""All commands, as one function: it takes the arguments of the command line, or a list of them."""

_Function = TypeVar("_Function", bound=Callable[..., None])


def _command(function: _Function) -> _Function:
    """Make a function one of the commands."""
    return app.command(help=help_of(function))(function)


Source = Annotated[
    str, typer.Argument(help="Folder, .gguf file, id on the hub, or smollm2-135m.", metavar="MODEL")
]
NewTokens = Annotated[int, typer.Option(min=1, help="Tokens to write at most.")]
Temperature = Annotated[float, typer.Option(min=0, help="0: always the likeliest token.")]


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Train a language model, let it write, talk with it, look inside it."""
    if version:
        from llmbook import __version__

        typer.echo(__version__)


@_command
def train(
    files: Annotated[list[Path] | None, typer.Argument(help="Texts, in UTF-8.")] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the run, made if need be.")],
    book: Annotated[
        bool, typer.Option("--book", help="Train on the text of the book, English and Chinese.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="How long; default 2.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="How long, in steps.")] = None,
    vocab_size: Annotated[
        int | None, typer.Option(min=257, help="Default: by the length of the text.")
    ] = None,
    d_model: Annotated[int, typer.Option(min=1, help="Width of the model.")] = 128,
    num_layers: Annotated[int, typer.Option(min=1, help="Blocks, one on top of the other.")] = 4,
    num_heads: Annotated[int | None, typer.Option(min=1, help="Default: d-model / 32.")] = None,
    length: Annotated[int, typer.Option(min=2, help="Most tokens that it reads.")] = 256,
    dropout: Annotated[float, typer.Option(help="Share to leave out, for short texts.")] = 0.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows of text in a step.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="The greatest on the way.")] = 3e-3,
    seed: Seed = 0,
) -> None:
    """Train a tokenizer and a model on texts.

    The last tenth of each text is held out, to measure the model at the end. The same command
    again goes on where the run was stopped, by Ctrl-C or in any other way.

    Examples:
        ```bash
        llmbook train corpus.txt --out runs/a
        llmbook train --book --minutes 1 --out runs/book
        llmbook train *.txt --steps 5000 --d-model 256 --num-layers 6 --out runs/b
        ```
    """
    if bool(files) == book:
        raise typer.BadParameter("give either text files or --book")
    if steps and minutes:
        raise typer.BadParameter("give either --steps or --minutes")
    texts = _the_book() if book else [_read(path) for path in files or ()]

    from llmbook.training.pretraining import Settings, train_on

    settings = Settings(
        minutes=minutes or 2.0,
        steps=steps,
        vocab_size=vocab_size,
        d_model=d_model,
        num_layers=num_layers,
        num_heads=num_heads,
        length=length,
        dropout=dropout,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    train_on(texts, settings, out, typer.echo)
    typer.echo(f"try it: llmbook generate {out} PROMPT")


def _the_book() -> list[str]:
    from llmbook.book import corpus

    return [corpus.load(language) for language in get_args(corpus.Language)]


def _read(path: Path) -> str:
    """The text of a file to train on."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"{error.object[error.start]:#04x} at {error.start}"
        raise ValueError(f"{path} must be text in UTF-8, got the byte {byte}") from None
    if not text.strip():
        raise ValueError(f"{path} must hold text, got none")
    return text


@_command
def generate(
    model: Source,
    prompts: Annotated[
        list[str] | None, typer.Argument(help="Texts to go on with; without one, the input.")
    ] = None,
    max_new_tokens: NewTokens = 128,
    temperature: Temperature = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Only so many tokens.")] = None,
    top_p: Annotated[float, typer.Option(help="Only tokens that together reach this.")] = 1.0,
    min_p: Annotated[float, typer.Option(help="Only tokens this likely, beside the first.")] = 0.05,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text.")] = None,
    seed: Seed = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line a prompt.")] = False,
) -> None:
    """Go on with texts.

    Prints what comes after each prompt; with one prompt, as it is written. Tokens are drawn from
    the likeliest first, as many as --top-k, --top-p and --min-p leave. --stop may be repeated.

    Examples:
        ```bash
        llmbook generate runs/a "Attention is"
        llmbook generate smollm2-135m --temperature 0 --stop "." < prompt.txt
        llmbook generate runs/a "One" "Two" --json --seed 7
        ```
    """
    from llmbook.generation import GenerationConfig, TextGenerator

    config = GenerationConfig(
        max_new_tokens, temperature, top_k, top_p, min_p, tuple(stop or ()), seed=seed, lookup=15
    )
    if not prompts:
        if sys.stdin.isatty():
            _note("Type the prompt; Ctrl-D ends it.")
        prompts = [sys.stdin.read().removesuffix("\n")]
    loaded = _load(model)
    config = replace(config, end_ids=loaded.end_ids)
    generator = TextGenerator(loaded.model, loaded.tokenizer)
    ids = [[*loaded.begin_ids, *loaded.tokenizer.encode(prompt)] for prompt in prompts]
    if len(prompts) == 1 and not as_json:
        _stream(generator.stream(ids[0], config))
        return
    for i, completion in enumerate(generator.generate(ids, config)):
        if as_json:
            line = {
                "prompt": prompts[i],
                "text": completion.text,
                "tokens": completion.tokens,
                "finish_reason": completion.finish_reason,
            }
            typer.echo(in_json(line))
        else:
            typer.echo(("\n" if i else "") + completion.text)


_CHAT_HELP = (
    "/reset begins anew, /exit or Ctrl-D ends, Ctrl-C stops an answer, /help lists this; with a "
    "blank before it, a line that begins with / is said to the model."
)


@_command
def chat(
    model: Source,
    system: Annotated[str | None, typer.Option(help="What the model is told first.")] = None,
    max_new_tokens: NewTokens = 512,
    temperature: Temperature = 0.2,
    seed: Seed = 0,
) -> None:
    """Talk with a model that has learned to converse.

    A line is a turn. /reset begins anew, /exit or Ctrl-D ends; Ctrl-C stops an answer, or ends.
    /help lists this; a line with a blank before its / is said to the model.

    Examples:
        ```bash
        llmbook chat smollm2-135m
        llmbook chat smollm2-135m --system "Answer in one sentence."
        ```
    """
    from llmbook.generation import GenerationConfig, TextGenerator

    config = GenerationConfig(max_new_tokens, temperature, min_p=0.05, seed=seed, lookup=15)
    loaded = _load(model)
    if loaded.chat_template is None:
        raise ValueError(
            f"model must have a chat template, {model} has none: it has not learned to converse, "
            "use llmbook generate"
        )
    config = replace(config, end_ids=loaded.end_ids)
    generator = TextGenerator(loaded.model, loaded.tokenizer)
    opening = [{"role": "system", "content": system}] if system else []
    messages, mark = list(opening), ""
    if sys.stdin.isatty():
        with suppress(ImportError):  # arrow keys in the line that is typed; Windows has its own
            import readline  # noqa: F401
        _note(_CHAT_HELP)
        mark = "> "
    while True:
        try:
            line = input(mark).rstrip()
        except EOFError:
            break
        word = re.match(r"/[^\W\d_]*(?!\S)", line)  # and not a path, such as /usr/bin
        if line == "/exit":
            break
        if line == "/reset":
            messages = list(opening)
        elif line == "/help":
            _note(_CHAT_HELP)
        elif word:
            _note(f"{line} is no command. {_CHAT_HELP}")
        elif line := line.strip():
            messages.append({"role": "user", "content": line})
            prompt = loaded.chat_prompt(messages)
            ids = loaded.tokenizer.encode(prompt, allowed_special="all")
            if len(ids) >= loaded.model.config.max_length:
                messages.pop()
                _note("This conversation has grown too long for the model; /reset begins anew.")
                continue
            # Only what is new is read: the generator remembers the turns before.
            answer = _stream(generator.stream(ids, config), stopped=generator.forget)
            messages.append({"role": "assistant", "content": answer})


def _load(source: str) -> "Pretrained":
    """A model by its name, on a GPU if there is one."""
    import torch

    from llmbook.pretrained import from_pretrained

    folder = Path(source)
    if (folder / "run.json").exists() and not (folder / "config.json").exists():
        raise ValueError(f"{folder} is a run without a model as yet: let llmbook train go on")
    return from_pretrained(source, device="cuda" if torch.cuda.is_available() else "cpu")


def _stream(pieces: Iterator[str], stopped: Callable[[], None] | None = None) -> str:
    """Print pieces of text as they come; give the text. With ``stopped``, Ctrl-C ends it."""
    text = ""
    try:
        for piece in pieces:
            text += piece
            typer.echo(piece, nl=False)
    except KeyboardInterrupt:
        if stopped is None:
            raise
        stopped()
    typer.echo()
    return text


def _note(text: str) -> None:
    typer.echo(text, err=True)


for _solver in (commands.solve, commands.evaluate, commands.compare):
    _command(_solver)


@_command
def info(
    model: Source,
    length: Annotated[
        int | None, typer.Option(min=1, help="Tokens to count operations for.  [default: all]")
    ] = None,
) -> None:
    """Show what a model is made of.

    Parameters and operations by part, sizes, tokenizer; for a run, also how far it is.

    Examples:
        ```bash
        llmbook info smollm2-135m
        llmbook info runs/a --length 100
        ```
    """
    loaded = _load(model)
    c, tokenizer = loaded.model.config, loaded.tokenizer
    count, length = c.num_parameters(), length or c.max_length
    cached = 2 * c.num_layers * c.kv_heads * c.head_size  # keys and values of a token
    ends = ", ".join(f"{i} {tokenizer.decode([i])}" for i in loaded.end_ids)
    for title, parts in (
        ("parameters", c.parameters_by_part()),
        (f"operations for {length:,} tokens", c.flops_by_part(length)),
    ):
        typer.echo(title)
        for part, size in [*parts.items(), ("together", sum(parts.values()))]:
            typer.echo(f"  {part:20}{size:>24,}{size / sum(parts.values()):>9.1%}")
    facts = {
        "blocks": f"{c.num_layers}, d_model {c.d_model:,}, d_ff {c.ff_size:,}",
        "heads": f"{c.num_heads} of dimension {c.head_size}, {c.kv_heads} for keys and values",
        "choices": f"{c.positions} positions, {c.norm} norm, {c.activation}, bias {c.bias}"
        + (", QK-norm" if c.qk_norm else "")
        + (", tied tables" if c.tie_weights else ""),
        "reads": f"at most {c.max_length:,} tokens",
        "weights": f"{count * 4 / 1e6:,.3f} MB in float32",
        "cache": f"{cached * 4 / 1e3:,.3f} kB for each token read, in float32",
        "tokenizer": f"{tokenizer.vocab_size:,} tokens, {len(tokenizer.special_tokens)} special",
        "ends with": ends or "no token",
        "converses": "yes" if loaded.chat_template else "no, has no chat template",
    }
    if (folder := Path(model)).joinpath("run.json").exists():
        from llmbook.training.checkpoint import read_log
        from llmbook.training.pretraining import read_run

        steps, log = read_run(folder)["steps"], read_log(folder)
        loss = f", loss {log[-1]['loss']:.3f}" if log else ""
        facts["run"] = f"{len(log):,} of {steps:,} steps{loss}"
    for name, fact in facts.items():
        typer.echo(f"{name:13}{fact}")


@_command
def download(
    name: Annotated[str, typer.Argument(help="smollm2-135m.", show_default=False)],
) -> None:
    """Fetch a model that the book uses.

    Once is enough. Prints where the file lies.

    Examples:
        ```bash
        llmbook download smollm2-135m
        ```
    """
    from llmbook.pretrained import download as fetch

    typer.echo(fetch(name))
