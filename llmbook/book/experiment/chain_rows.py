"""Rows of chains: a story of some people, and questions about it, written out in a format."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from llmbook.book.experiment.recipe import Format, Recipe, Row, in_language, prompt, target
from llmbook.tasks import chains
from llmbook.tasks.problem import Problem

__all__ = ["ask", "right_text", "row"]


def row(recipe: Recipe, people: int, deepest: int, generator: random.Random) -> Row:
    """A row for a story.

    Args:
        recipe: Its format and options.
        people: How many people the story tells of.
        deepest: The greatest depth of a question.
        generator: Where the randomness comes from.

    Returns:
        The pieces of the row.
    """
    # The story may go deeper than the questions: a chain is cut off at a depth that may be learned.
    depths = chains.sample_depths(generator, people, recipe.deepest)
    story, last = chains.make_story(generator, depths, language=recipe.language)
    pieces = [prompt(story.text)]
    if _looks_up_its_end(recipe):
        # The end is where the person asked for comes again, so nobody may be asked for twice, nor
        # be met on the way after having been asked for: each chain is asked about once.
        ends = generator.sample(last, len(last))
    else:
        # A direct answer is a single word, so that there is room for more of them.
        count = 24 if recipe.format == "direct" else 8
        ends = [generator.choice(last) for _ in range(count)]
    whole = replace(recipe, counterfactual=False)
    for number, end in enumerate(ends, start=1):
        chain = story.chain(end)
        asked = chain[: generator.randint(1, min(len(chain), deepest))]
        # Only the last text has a detour, so that all of them have room.
        this = recipe if number == len(ends) else whole
        pieces += ask(this, story, asked, generator)
    return pieces


def right_text(recipe: Recipe, problem: Problem) -> str:
    """What a model of a recipe should write when it is asked a question."""
    story = chains.read_story(problem.context, language=recipe.language)
    chain = story.chain(problem.question)
    whole = replace(recipe, counterfactual=False)
    _, *pieces = ask(whole, story, chain, random.Random(0))
    return "".join(piece.text for piece in pieces)


def ask(recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random) -> Row:
    """A question about the last person of a chain, and what is learned as its answer."""
    pieces = _QUESTIONS[recipe.format](recipe, story, chain, generator)
    return in_language(pieces, recipe.language)


def _looks_up_its_end(recipe: Recipe) -> bool:
    thought = recipe.format == "chain-of-thought" and recipe.marked_end
    return thought or recipe.format in ("bottom-up", "one-pass")


def _ask_directly(
    recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random
) -> Row:
    """The number alone."""
    return [prompt(f"\nQ: {chain[-1]}\nA:"), target(f" {story.numbers[chain[-1]]}\n")]


def _ask_for_thought(
    recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random
) -> Row:
    """Down to what is given, then up again, all in one go.

    With a marked end, each person stands again behind the number that was worked out, and the text
    ends where that is who was asked for. Without it, one must count.
    """
    down = [
        f" {name} is {story.before[name]} and {story.changes[name]:+d} ;" for name in chain[:0:-1]
    ]
    return [prompt(f"\nQ: {chain[-1]}\nThink:"), *_up(recipe, story, chain, down, generator)]


def _ask_bottom_up(
    recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random
) -> Row:
    """Up from what is given; who that is must be found without a word written."""
    return [prompt(f"\nQ: {chain[-1]}\nThink:"), *_up(recipe, story, chain, [], generator)]


def _up(
    recipe: Recipe,
    story: chains.Story,
    chain: list[str],
    down: Sequence[str],
    generator: random.Random,
) -> Row:
    """The way down, then the numbers of a chain, each from the one before."""

    def line(name: str) -> str:
        text = _sum(story, name) if name in story.before else str(story.numbers[name])
        return f" {name} is {text} is {name}" if recipe.marked_end else f" {name} is {text}"

    return _walk(recipe, story, chain, generator, down=down, line=line, between=" ;", end="\n")


def _ask_in_one_pass(
    recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random
) -> Row:
    """The plan, from the problem down, then each step with its answer, and an end looked up."""

    def turn(name: str) -> str:
        return f"\nQ: {name}\nA: {_worked_out(story, name)} is {name}"

    *names, given = _plan(chain)
    return [
        prompt(f"\nQ: {chain[-1]}\nPlan:"),
        *_walk(
            recipe, story, chain, generator,
            down=names, turning=given, line=turn, between="", end="\n\n",
        ),
    ]  # fmt: skip


_LONGEST_DETOUR = 8  # with the 4 lines of the longest way, 12: as many as the longest test asks for


def _walk(
    recipe: Recipe,
    story: chains.Story,
    chain: list[str],
    generator: random.Random,
    *,
    down: Sequence[str],
    line: Callable[[str], str],
    between: str,
    end: str,
    turning: str = "",
) -> Row:
    """A way down and up again in one text, learned as a whole, or with a detour.

    Whole ways can be walked by counting lines, as far as one has practised, and that is what models
    learn. With a detour counting fails: lines of the way down are missing, and the way up begins
    with lines about other people. All of that is read and not learned. Who comes next must then be
    looked up in the story, and so must the end.
    """
    lines = [line(name) for name in chain]
    # Bottom-up has no way down from which to count, and takes no detour.
    if not recipe.counterfactual or recipe.format == "bottom-up" or not _looks_up_its_end(recipe):
        return [target("".join(down) + turning + between.join(lines) + end)]
    kept = "".join(part for part in down if generator.random() < 0.5)
    others = [last for last in _last_people(story) if chain[0] not in story.chain(last)]
    generator.shuffle(others)
    people = [name for last in others for name in story.chain(last)]
    people = people[: generator.randint(0, _LONGEST_DETOUR)]
    read = between.join([*map(line, people), lines[0]])
    return [
        prompt(kept + turning + read),
        target("".join(between + text for text in lines[1:]) + end),
    ]


def _last_people(story: chains.Story) -> list[str]:
    """Those on whom nobody depends."""
    needed = set(story.before.values())
    return [name for name in story.changes if name not in needed]


def _ask_step_by_step(
    recipe: Recipe, story: chains.Story, chain: list[str], generator: random.Random
) -> Row:
    """The plan, from the problem down, or one step after the one before."""
    if generator.random() < 0.3:
        return [prompt(f"\nQ: {chain[-1]}\nPlan:"), target("".join(_plan(chain)) + "\n")]
    shown = chain[-2:-1] if recipe.short_contexts else chain[:-1]
    history = "".join(f"\nQ: {name}\nA: {story.numbers[name]}" for name in shown)
    return [
        prompt(f"{history}\nQ: {chain[-1]}\nA:"),
        target(f" {_worked_out(story, chain[-1])}\n"),
    ]


def _plan(chain: list[str]) -> list[str]:
    """Who has to be worked out, the problem first, piece by piece: `cy ; bo ; ann ; given`."""
    return [*(f" {name} ;" for name in reversed(chain)), " given"]


def _worked_out(story: chains.Story, name: str) -> str:
    """How a number follows from the one before: `ann and +3 : 7 +3 = 10`; `7` if it is given."""
    if name not in story.before:
        return str(story.numbers[name])
    return f"{story.before[name]} and {story.changes[name]:+d} : {_sum(story, name)}"


def _sum(story: chains.Story, name: str) -> str:
    """The sum that gives a number: `7 +3 = 10`."""
    number = story.numbers[story.before[name]]
    return f"{number} {story.changes[name]:+d} = {story.numbers[name]}"


_Question = Callable[[Recipe, chains.Story, list[str], random.Random], Row]
_QUESTIONS: dict[Format, _Question] = {
    "direct": _ask_directly,
    "chain-of-thought": _ask_for_thought,
    "bottom-up": _ask_bottom_up,
    "one-pass": _ask_in_one_pass,
    "least-to-most": _ask_step_by_step,
}
