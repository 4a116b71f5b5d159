"""Rows of SCAN: a command, written out in a format."""

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

from llmbook.book.experiment.recipe import Piece, Recipe, Row, prompt, target
from llmbook.tasks import scan

__all__ = ["clauses", "forms", "row"]

_ACTIONS = ("LEFT", "RIGHT", "WALK", "LOOK", "RUN", "JUMP")


def row(recipe: Recipe, problem: str, generator: random.Random) -> Row:
    """A row for a command.

    Args:
        recipe: Its format and options.
        problem: The command.
        generator: Where the randomness comes from.

    Returns:
        The pieces of the row.
    """
    answers = {step: scan.express(step) for step in scan.decompose(problem)}
    if recipe.format == "direct":
        answer = _write(recipe, answers[problem])
        return [prompt(f"\nQ: {problem}\nA:"), target(f" {answer}\n")]
    if recipe.format == "chain-of-thought":
        return _thought(recipe, problem, answers, generator)
    if recipe.format == "one-pass":
        return _one_pass(recipe, problem, answers, generator)
    if generator.random() < 0.3:
        return [prompt(f"\nQ: {problem}\nPlan:"), target(f"{_plan(problem)}\n")]
    return _history(recipe, problem, answers, generator)


@cache
def forms(longest: int = scan.LONGEST_TO_LEARN) -> list[list[str]]:
    """The commands of at most so many actions, those alike but for verbs and sides together.

    Each form comes equally often. Otherwise a form such as "around … twice and around … thrice",
    which is short only where both clauses turn on the spot, would hardly ever be seen.
    """
    # Commands of a form have the same length and parts, so the first one speaks for all of them.
    commands: dict[str, list[str]] = {}
    for command in scan.length_split()[0]:
        if len(scan.interpret(command)) <= longest:
            commands.setdefault(form_of(command), []).append(command)
    return list(commands.values())


@cache
def clauses(longest: int = scan.LONGEST_TO_LEARN) -> list[list[str]]:
    """The forms that are not pairs: short rows teach to look up; pairs alone would take longer."""
    return [form for form in forms(longest) if len(scan.parts(form[0])) < 2]


def form_of(command: str) -> str:
    """A command with its verbs and sides left blank: `verb around side twice and verb`."""
    return re.sub("walk|look|run|jump|turn", "verb", re.sub("left|right", "side", command))


def _write(recipe: Recipe, expression: str) -> str:
    """An answer as the recipe has it: the expression, or the actions one by one."""
    return expression if recipe.expressions else " ".join(scan.expand(expression))


def _plan(problem: str) -> str:
    """The sub-problems from the most to the least: each is the one before with a word less.

    Of a pair the plan begins with its clauses, as the paper's does: the pair itself is asked last
    anyway.
    """
    steps = scan.decompose(problem)[::-1]
    return " ;".join(f" {step}" for step in steps[len(scan.parts(problem)) == 2 :])


def _history(
    recipe: Recipe, problem: str, answers: Mapping[str, str], generator: random.Random
) -> Row:
    """Sub-problems with answers; the mark that follows an answer is learned with it."""
    steps = _steps(problem)
    made_up, answers = _replaced(recipe, steps, answers, generator)
    pieces: Row = []
    for step in steps:
        in_loss = step not in made_up
        pieces += [prompt(f" {step}\nA:"), Piece(f" {_write(recipe, answers[step])}", in_loss)]
        pieces.append(Piece("\nQ:", in_loss))
    # After the last answer comes the end of the row in place of another question.
    return [prompt("\nQ:"), *pieces[:-1], Piece("\n", pieces[-1].in_loss)]


def _one_pass(
    recipe: Recipe, problem: str, answers: Mapping[str, str], generator: random.Random
) -> Row:
    """The plan, then each sub-problem with its answer; only the problem is a prompt."""
    steps = _steps(problem)
    made_up, answers = _replaced(recipe, steps, answers, generator)
    pieces: Row = [prompt(f"\nQ: {problem}\nPlan:"), target(_plan(problem))]
    for step in steps:
        answer = f" {_write(recipe, answers[step])}"
        pieces += [target(f"\nQ: {step}\nA:"), Piece(answer, step not in made_up)]
    return [*pieces, target("\n\n")]


def _steps(problem: str) -> list[str]:
    """The sub-problems in the order in which they are asked, none of them twice."""
    return list(dict.fromkeys(scan.decompose(problem)))


def _replaced(
    recipe: Recipe, steps: Sequence[str], answers: Mapping[str, str], generator: random.Random
) -> tuple[set[str], Mapping[str, str]]:
    """At times the simple steps get made-up answers: which steps these are, and all answers.

    Only they are not learned. What follows from them is, though it is wrong: it is what a model
    must answer to that history.
    """
    if not recipe.counterfactual or generator.random() >= 2 / 3:
        return set(), answers
    return {step for step in steps if not scan.parts(step)}, _made_up(recipe, steps, generator)


def _thought(
    recipe: Recipe, problem: str, answers: Mapping[str, str], generator: random.Random
) -> Row:
    """The clauses with what they give, then all of it, as the paper's chain of thought has it."""
    clauses = scan.parts(problem) if len(scan.parts(problem)) == 2 else []
    made_up = recipe.counterfactual and len(clauses) > 0 and generator.random() < 0.4
    if made_up:
        answers = _made_up(recipe, [*clauses, problem], generator)
    given = "".join(f" {clause} gives {_write(recipe, answers[clause])} ." for clause in clauses)
    end = f" so {_write(recipe, answers[problem])}\n"
    return [prompt(f"\nQ: {problem}\nThink:"), Piece(given, not made_up), target(end)]


def _made_up(recipe: Recipe, steps: Sequence[str], generator: random.Random) -> dict[str, str]:
    """Random answers to the simple steps, and what follows from them.

    They ask for no more actions than what is learned from, unless the recipe allows it: nobody
    could know them, only copy them. Written out one by one, they must be short even so, as a plan
    repeats them up to twelve times.
    """
    longest = 48 if recipe.format == "chain-of-thought" else 4
    while True:
        answers: dict[str, str] = {}
        for step in steps:
            below = scan.parts(step)
            # A chain of thought gives its clauses first, without what they are made of in turn:
            # these are drawn as if they were simple.
            if below and all(part in answers for part in below):
                answers[step] = scan.combine(step, answers)
            else:
                drawn = _random_expression(generator)
                while not recipe.expressions and len(scan.expand(drawn)) > longest:
                    drawn = _random_expression(generator)
                answers.setdefault(step, drawn)  # a clause may stand twice: it has one answer
            if not recipe.long_made_up and len(scan.expand(answers[step])) > recipe.longest:
                break  # all of it is drawn anew
        else:
            return answers


def _random_expression(generator: random.Random) -> str:
    """Some actions, at times some of them repeated, and at times all of that again."""
    actions = generator.choices(_ACTIONS, k=generator.randint(1, generator.choice((1, 2, 5))))
    expression = " + ".join(actions)
    for _ in range(generator.choice((0, 0, 0, 1, 1, 2))):
        expression = f"( {expression} ) * {generator.randint(2, 4)}"
    more = " + ".join(generator.choices(_ACTIONS, k=generator.choice((0, 0, 0, 1, 2))))
    both = [part for part in (expression, more) if part]
    return " + ".join(both if generator.random() < 0.5 else both[::-1])
