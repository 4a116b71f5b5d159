"""What the command `solve` does: a model, the strategy to ask it with, and a question."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from llmbook import tasks
from llmbook.cli.console import naming
from llmbook.lm.loading import load
from llmbook.lm.protocol import LanguageModel
from llmbook.lm.shipped import trained
from llmbook.prompting import shipped
from llmbook.prompting.presets import strategy_for
from llmbook.prompting.strategies import Strategy
from llmbook.prompting.trace import Trace
from llmbook.prompting.voting import Vote
from llmbook.tasks import Problem, Task
from llmbook.tasks.registry import usual


@dataclass(frozen=True)
class Setup:
    """A model, the strategy to ask it with, and the task by whose rules answers are graded."""

    model: LanguageModel
    strategy: Strategy
    task: Task
    trained: bool = False  # it has learned this task, and nothing else

    def pose(self, question: str, context: str) -> Problem:
        """What the user asks, with its answer where the task knows it, so that it is graded.

        Raises:
            ValueError: If the model was trained for one task, and this is another.
        """
        if self.task.pose is not None:
            try:
                return self.task.pose(question, context)
            except ValueError as error:
                if self.trained:
                    raise ValueError(
                        f"QUESTION must be of the kind that {self.model.name} was trained for, and "
                        f"it knows no other: {error}. For other questions, give a model that was "
                        "trained on much text: --model smollm2-135m (small, often wrong), a "
                        "folder, an id on the hub, or the address of a server with #MODEL behind it"
                    ) from None
        if not context:
            return self.strategy.read_problem(question)
        return Problem(question, "", context=context)


def prepare(
    model: str,
    strategy: str | None,
    task: str | Task | None,
    *,
    chat: bool | None,
    max_new_tokens: int | None,
    option: Sequence[str] | None = None,
    vote: int | None = None,
    question: str = "",
) -> Setup:
    """Load a model and find the strategy for it.

    Args:
        model: The model.
        strategy: Name of the strategy; none: that of a model which was trained for one, otherwise
            least-to-most.
        task: The task, or its name; none: that of a model which was trained for one, otherwise
            word problems, in Chinese if the question is.
        chat: As for [`load`][llmbook.lm.load].
        max_new_tokens: Most tokens for each answer; none: 256.
        option: Fields of each request to a server, each as ``NAME=VALUE``.
        vote: Ask each prompt until one answer is ahead of all others by so many.
        question: What will be asked, if that is known.

    Returns:
        All that is needed to ask.

    Raises:
        ValueError: If there is no such model, strategy or task, or they do not go together.
    """
    options = _read_options(option or ())
    if model in trained():
        choices = {"chat": chat, "max_new_tokens": max_new_tokens, "options": options or None}
        if name := next((name for name, value in choices.items() if value is not None), None):
            raise ValueError(f"{name} must not be given: {model} is asked as it was trained to be")
        if isinstance(task, Task):
            raise ValueError(
                f"problems must not be given: {model} was trained for one task and knows no other"
            )
        setup = _prepare_shipped(model, strategy, task)
    else:
        with naming(name="task"):
            chosen = task if isinstance(task, Task) else tasks.get(task or usual(question))
        with naming(name="strategy"):
            limit = max_new_tokens or 256
            prompting = strategy_for(chosen, strategy or "least-to-most", max_new_tokens=limit)
        with naming(name="model"):
            setup = Setup(load(model, chat=chat, options=options), prompting, chosen)
    if vote is None:
        return setup
    return replace(setup, strategy=Vote(strategy=setup.strategy, lead=vote))


def _prepare_shipped(model: str, strategy: str | None, task: str | None) -> Setup:
    """A model that comes with the book: each has learned one strategy for one task.

    That of least-to-most stands for all models of its task, and the strategy picks one of them.
    """
    cards = trained()
    own = cards[model]
    if task not in (None, own.task):
        raise ValueError(f"task must be {own.task} for the model {model}, got {task}")
    learned = shipped.strategies(own.task)
    offered = {
        learned[card.strategy].name: name
        for name, card in cards.items()
        if name == model or (card.task == own.task and own.strategy == "least-to-most")
    }
    if strategy is not None and strategy not in offered:
        raise ValueError(f"strategy must be {' or '.join(offered)} for {model}, got {strategy}")
    name = offered[strategy] if strategy is not None else model
    return Setup(load(name), learned[cards[name].strategy], tasks.get(own.task), trained=True)


def _read_options(typed: Sequence[str]) -> dict[str, object]:
    """Fields of a request, from ``NAME=VALUE``: the value is JSON, or else a text."""
    options: dict[str, object] = {}
    for option in typed:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise ValueError(f"--option must be NAME=VALUE, got {option!r}")
        options[name] = value
        with suppress(ValueError):
            options[name] = json.loads(value)
    return options


def model_errors(traces: Sequence[Trace]) -> list[str]:
    """Why problems were not answered: of each in which the model gave an error, the first one."""
    errors = []
    for trace in traces:
        issues = [issue for sample in trace.walk() for issue in sample.issues]
        errors += [issue.detail for issue in issues if issue.kind == "model-error"][:1]
    return errors
