"""A task: what strategies and their evaluation need to know of it, and nothing of any model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from llmbook.tasks.problem import Exemplar, Problem, Step

__all__ = ["Task"]


class Sampler(Protocol):
    """Makes problems: as many, of that size, the same for the same seed, none of them twice."""

    def __call__(self, count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]: ...


@dataclass(frozen=True)
class Task:
    """Problems, exemplars and a grader.

    Every exemplar serves every way of prompting. Few-shot shows its question and answer, chain of
    thought its rationale too, without the sentence that names the answer. Least-to-most plans
    with the questions of its steps, joined by ``separator``, which occurs in no question; it
    solves with the questions and answers of its steps. A step's answer in an exemplar is what a
    model is to write: it may be a sentence that ends in the answer, which ``parse`` finds. In a
    problem it is the bare answer, so that a model's steps can be graded too.

    Examples:
        Problems can be made harder than they come:

        ```python
        import textwrap
        from dataclasses import replace
        from functools import partial

        from llmbook import tasks
        from llmbook.tasks import word_problems

        easy = tasks.get("word-problems")
        hard = replace(
            easy, sample=partial(word_problems.problems, distractors=2, order="shuffled")
        )
        [problem] = hard.problems(1, size=3, seed=5)
        print(textwrap.fill(problem.context, 80))
        print(problem.question)
        answer = hard.parse("Bo scored 14 * 3 = 42 goals. The answer is 42.")
        print(answer, hard.grade(problem, answer))
        ```

        ``` {.text .output}
        Wes scored 4 more goals than Quinn. Iris scored twice as many goals as Wes. Bo
        scored 3 times as many goals as Iris. Quinn scored 3 goals. Ella scored 12
        goals. Pam scored twice as many goals as Wes.
        How many goals did Bo score?
        42 True
        ```
    """

    name: str
    instruction: str  # what is asked, in a sentence, for prompts without exemplars
    exemplars: tuple[Exemplar, ...]
    sample: Sampler
    parse: Callable[[str], str | None]  # what a model wrote -> its answer, or none
    grade: Callable[[Problem | Step, str | None], bool]  # is the answer, as parsed, right?
    separator: str = " ; "  # between the sub-problems of a plan
    decompose: Callable[[str], list[str]] | None = None  # a question's plan, where a program has it
    # What somebody types, a question and its context, as a problem with its answer, where a program
    # knows it; by a ValueError it says that this is no question of the task.
    pose: Callable[[str, str], Problem] | None = None
    describe: Callable[[str], str] = "the answer is {}".format  # an answer, in words
    language: str = "en"  # "en" or "zh": that of the problems, and so of the prompts around them

    def problems(self, count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]:
        """Problems of the task.

        Args:
            count: How many.
            size: Their length or depth; none: the sizes that the task is usually tested with.
            seed: Where the randomness comes from.

        Returns:
            The problems; none of them occurs twice, and fewer are the beginning of more.

        Raises:
            ValueError: If there are no problems of that size, or fewer than ``count``.
        """
        return self.sample(count, size=size, seed=seed)
