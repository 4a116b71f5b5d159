r"""Templates: how questions, answers and what comes before them are written in a prompt.

A prompt is put together from parts in one order: an instruction, solved exemplars, the context
that a question is about, earlier questions with the answers that the model gave, and the
question, broken off where the answer begins. A template says how each part is written, so that
one strategy can drive any model, by changing the text and nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llmbook.tasks.problem import Exemplar, Step

__all__ = ["PromptTemplate"]

# What each part may hold, and what it must.
_PARTS = {
    "exemplar": ({"question", "answer", "rationale", "plan", "steps"}, set[str]()),
    "context": ({"context"}, {"context"}),
    "turn": ({"question", "answer"}, {"question", "answer"}),
    "question": ({"question"}, {"question"}),
}
_FIELD = re.compile(r"\{(question|answer|rationale|plan|steps|context)\}")


@dataclass(frozen=True)
class PromptTemplate:
    """How the parts of a prompt are written, and what ends an answer.

    A field in braces is replaced by what it names; any other brace is a brace, here and in what
    is put in. In ``exemplar``, ``{plan}`` stands for the questions of its steps and ``{steps}``
    for its steps written as turns (without steps: its question and answer as one turn).

    Raises:
        ValueError: If a part lacks a field that it needs or has one that means nothing there, or
            a stop string is empty.

    Examples:
        ```python
        from llmbook.prompting import PromptTemplate
        from llmbook.tasks.problem import Exemplar, Step

        template = PromptTemplate()
        exemplar = Exemplar("2 + 3", "5")
        print(template.render("4 + 5 + 1", exemplars=[exemplar], turns=[Step("4 + 5", "9")]))
        ```

        ``` {.text .output}
        Q: 2 + 3
        A: 5

        Q: 4 + 5
        A: 9

        Q: 4 + 5 + 1
        A:
        ```
    """

    exemplar: str = "Q: {question}\nA: {answer}\n\n"
    context: str = "{context}\n\n"  # left out where there is none; "": never written
    turn: str = "Q: {question}\nA: {answer}\n\n"  # an earlier question with its answer
    question: str = "Q: {question}\nA:"  # broken off where the answer begins
    separator: str = " ; "  # between the questions of a plan
    # An answer ends before the first of these, except in a chat, whose turns end by themselves.
    stop: tuple[str, ...] = ("\n\n", "\nQ:")
    instruction: str = ""  # what the prompt begins with, as it stands

    def __post_init__(self) -> None:
        for part, (allowed, needed) in _PARTS.items():
            form = getattr(self, part)
            fields = _FIELD.findall(form)
            if part == "context" and not form:
                continue
            if not needed <= {*fields} <= allowed or (needed and len(fields) > len(needed)):
                rule = f"hold {_braced(needed)} once" if needed else f"hold only {_braced(allowed)}"
                raise ValueError(f"{part} must {rule}, got {form!r}")
        if not isinstance(self.stop, tuple) or not all(self.stop):
            raise ValueError(
                f"stop must be a tuple of strings that are not empty, got {self.stop!r}"
            )

    def render(
        self,
        question: str,
        *,
        exemplars: Sequence[Exemplar] = (),
        context: str = "",
        turns: Sequence[Step] = (),
    ) -> str:
        """Write a prompt.

        Args:
            question: What is asked.
            exemplars: Solved questions, shown first.
            context: What the question is about.
            turns: Earlier questions with their answers.

        Returns:
            The prompt.
        """
        shown = (
            self._context(exemplar.context) + self._exemplar(exemplar) for exemplar in exemplars
        )
        asked = _fill(self.question, {"question": question})
        return "".join(
            [self.instruction, *shown, self._context(context), self._turns(turns), asked]
        )

    def read_turns(self, text: str) -> list[Step]:
        """Questions with their answers, from a text that a model wrote in the form of ``turn``.

        Args:
            text: Any text. What stands before the first question is passed over.

        Returns:
            Each question with its answer; one that breaks off has the answer ``""``.

        Raises:
            ValueError: If nothing in ``turn`` tells a question from its answer.
        """
        # What stands around the two fields, such as "Q: ", "\nA: " and "\n\n".
        before, _, between, _, after = _FIELD.split(self.turn)
        if not between.strip() or not self.turn.index("{question}") < self.turn.index("{answer}"):
            raise ValueError(
                f"turn must have the question, a mark and the answer to be read, got {self.turn!r}"
            )
        # A mark that the template puts at the start of a line is none within a line.
        lines = "\n" in before + after
        pieces = re.split(_mark(before, lines), text)[1:] if before.strip() else text.splitlines()
        turns = []
        for piece in pieces:
            question, *answer = re.split(_mark(between, "\n" in between), piece, maxsplit=1)
            if question.strip() and (answer or before.strip()):
                turns.append(Step(question.strip(), "".join(answer).strip()))
        return turns

    def _exemplar(self, exemplar: Exemplar) -> str:
        """An exemplar as it is written; without steps, it is its own only one."""
        steps = exemplar.steps or (Step(exemplar.question, exemplar.answer),)
        return _fill(
            self.exemplar,
            {
                "question": exemplar.question,
                "answer": exemplar.answer,
                "rationale": exemplar.rationale,
                "plan": self.separator.join(step.question for step in exemplar.steps),
                "steps": self._turns(steps),
            },
        )

    def _turns(self, turns: Sequence[Step]) -> str:
        return "".join(
            _fill(self.turn, {"question": turn.question, "answer": turn.answer}) for turn in turns
        )

    def _context(self, context: str) -> str:
        return _fill(self.context, {"context": context}) if context else ""


def _braced(names: set[str]) -> str:
    return " and ".join(f"{{{name}}}" for name in sorted(names))


def _mark(literal: str, lines: bool) -> re.Pattern[str]:
    """Where a piece of a template stands in a text, whatever the blanks around it."""
    start = r"^[^\S\n]*" if lines else ""
    return re.compile(start + re.escape(literal.strip()), re.MULTILINE)


def _fill(form: str, values: Mapping[str, str]) -> str:
    """Replace the fields, all at once: a brace in a value stays what it is."""
    return _FIELD.sub(lambda match: values[match[1]], form)
