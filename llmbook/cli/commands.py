"""The commands `solve`, `evaluate` and `compare`, of `llmbook.cli`.

What they do is in `llmbook.cli.solving` and `llmbook.cli.evaluating`, which take their time to load
and so are imported where they are used.
"""

from pathlib import Path
from typing import Annotated

import typer

from llmbook.tasks import NAMES

Solver = Annotated[
    str,
    typer.Option(help="scan-tiny, chains-tiny, chains-tiny-zh, smollm2-135m, a folder, a .gguf "
                 "file, an id on the hub, or the address of a server with #MODEL behind it."),
]  # fmt: skip
StrategyName = Annotated[
    str | None,
    typer.Option(help="zero-shot, few-shot, chain-of-thought, self-consistency or least-to-most.  "
                 "[default: that of the model, or least-to-most]"),
]  # fmt: skip
TaskName = Annotated[
    str | None,
    typer.Option(help=f"Whose exemplars are shown: {', '.join(NAMES[:-1])} or {NAMES[-1]}.  "
                 "[default: that of the model, or word-problems]"),
]  # fmt: skip
Chat = Annotated[
    bool | None,
    typer.Option("--chat/--no-chat",
                 help="Put prompts as turns of a conversation.  [default: servers alone]"),
]  # fmt: skip
NewTokens = Annotated[
    int | None, typer.Option(min=1, help="Tokens to write at most.  [default: 256]")
]
Lead = Annotated[
    int | None,
    typer.Option("--vote", min=1, metavar="LEAD",
                 help="Draw replies to each prompt until one answer is ahead by so many."),
]  # fmt: skip
Field = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE",
                 help="Field of each request to a server, null to leave one out; may be repeated."),
]  # fmt: skip
Seed = Annotated[int, typer.Option(help="The same seed draws the same.")]


def solve(
    question: Annotated[str, typer.Argument(help="The problem.", metavar="QUESTION")],
    model: Solver = "scan-tiny",
    strategy: StrategyName = None,
    task: TaskName = None,
    context: Annotated[str, typer.Option(help="What the question is about.")] = "",
    trace: Annotated[bool, typer.Option(help="Print all that happened, as a tree.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the trace as JSON.")] = False,
    max_new_tokens: NewTokens = None,
    chat: Chat = None,
    option: Field = None,
    vote: Lead = None,
) -> None:
    """Solve a problem by a strategy, and show how.

    The small models that come with the book know one task each: scan-tiny commands of SCAN,
    chains-tiny who has how many, chains-tiny-zh the same in Chinese. Anything else needs a model
    that was trained on much text.

    Examples:
        ```bash
        llmbook solve "jump around left thrice and walk"
        llmbook solve "look right twice" --model smollm2-135m --task scan --vote 2
        llmbook solve "cy" --model chains-tiny --context " bo ann +3 ; ann 7 ; cy bo -2 ;"
        llmbook solve "..." --model https://HOST/v1#MODEL --option max_tokens=null
        ```
    """
    from llmbook.cli import solving

    setup = solving.prepare(
        model, strategy, task, chat=chat, max_new_tokens=max_new_tokens, option=option,
        vote=vote, question=question,
    )  # fmt: skip
    problem = setup.pose(question, context)
    solution = setup.strategy.solve(problem, setup.model)
    errors = solving.model_errors([solution])
    if as_json or trace or solution.answer or not errors:
        text = solution.to_json() if as_json else str(solution) if trace else solution.answer
        typer.echo(text)
    if errors and not solution.answer:
        raise ValueError(f"the model gave no answer but an error: {errors[0]}")
    if problem.answer and trace and not as_json:
        verdict = "right" if setup.task.grade(problem, solution.answer) else "wrong"
        typer.echo(f"{verdict}; {setup.task.describe(problem.answer)}")


def evaluate(
    model: Solver = "scan-tiny",
    strategy: StrategyName = None,
    task: TaskName = None,
    problems: Annotated[
        Path | None,
        typer.Option(
            help="File of your own problems, in place of those of the task: on each line "
            "a JSON object with question and answer."
        ),
    ] = None,
    exemplars: Annotated[
        Path | None, typer.Option(help="File of exemplars for them, in the same form.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Problems to put.  [default: 100, or all of a file]")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="Their length or depth.  [default: as is usual]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File of all that is asked and answered; goes on with it.")
    ] = None,
    seed: Seed = 0,
    max_new_tokens: NewTokens = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Problems side by side; the file grows by as many.")
    ] = 32,
    chat: Chat = None,
    option: Field = None,
    vote: Lead = None,
) -> None:
    """Put many problems, and tell how many are solved, how sure that is and what it costs.

    Examples:
        ```bash
        llmbook evaluate --count 200 --size 48
        llmbook evaluate --model chains-tiny --size 8 --out a.jsonl
        llmbook evaluate --model chains-tiny --size 8 --strategy chain-of-thought --out b.jsonl
        llmbook evaluate --model smollm2-135m --task word-problems --strategy few-shot --size 2
        llmbook evaluate --model smollm2-135m --problems mine.jsonl --out mine-l2m.jsonl
        ```
    """
    from llmbook.cli import evaluating, solving

    posed = evaluating.find_task(problems, exemplars, task, strategy)
    setup = solving.prepare(
        model, strategy, posed, chat=chat, max_new_tokens=max_new_tokens, option=option, vote=vote
    )
    chosen = evaluating.choose(setup.task, problems, count, size, seed)
    evaluating.evaluate_and_report(setup, chosen, out, batch_size, typer.echo)


def compare(
    first: Annotated[Path, typer.Argument(help="A file that evaluate wrote.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same problems.")],
    task: Annotated[
        str | None,
        typer.Option(help="By whose rules answers are graded.  [default: what the files say]"),
    ] = None,
) -> None:
    """Tell whether two strategies or models differ by more than chance.

    Counts the problems that only one of them solved (McNemar's exact test).

    Examples:
        ```bash
        llmbook compare a.jsonl b.jsonl
        ```
    """
    from llmbook.cli import evaluating

    evaluating.compare(first, second, task, typer.echo)
