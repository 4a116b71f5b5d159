"""How each language works out a story of `llmbook.tasks.chains`, for its exemplars."""

from typing import NamedTuple

from llmbook.tasks._language import Language, check_language
from llmbook.tasks.problem import Exemplar, Problem, Step


class Words(NamedTuple):
    """A story, and the sentences that say what follows from one."""

    story: str
    person: str  # of whom it tells
    given: str
    more: str
    fewer: str
    answer: str
    between: str  # sentences


WORDS: dict[Language, Words] = {
    "en": Words(
        story=" bo ann +3 ; ann 7 ; cy bo -2 ;",
        person="cy",
        given="{name} has {number}.",
        more="{name} has {size} more, so {name} has {before} + {size} = {number} of them.",
        fewer="{name} has {size} fewer, so {name} has {before} - {size} = {number} of them.",
        answer=" The answer is {number}.",
        between=" ",
    ),
    "zh": Words(
        story=" 小红 小明 +3 ; 小明 7 ; 小刚 小红 -2 ;",
        person="小刚",
        given="{name}有 {number} 个。",
        more="{name}多 {size} 个，所以{name}有 {before} + {size} = {number} 个。",
        fewer="{name}少 {size} 个，所以{name}有 {before} - {size} = {number} 个。",
        answer="答案是 {number}。",
        between="",
    ),
}
"""Those of each language."""


def words_of(language: Language) -> Words:
    """Those of a language.

    Raises:
        ValueError: If there is none of that name.
    """
    check_language(language)
    return WORDS[language]


def exemplar(problem: Problem, language: Language = "en") -> Exemplar:
    """A problem worked out in sentences."""
    words = words_of(language)
    given = [words.given.format(name=step.question, number=step.answer) for step in problem.steps]
    sentences = given[:1]
    told = given[:1]  # what each step says before its answer
    for known, previous, step in zip(given, problem.steps, problem.steps[1:], strict=False):
        change = int(step.answer) - int(previous.answer)
        sentence = (words.more if change > 0 else words.fewer).format(
            name=step.question, size=abs(change), before=previous.answer, number=step.answer
        )
        sentences.append(sentence)
        told.append(f"{known}{words.between}{sentence}")
    steps = tuple(
        Step(step.question, text + words.answer.format(number=step.answer))
        for step, text in zip(problem.steps, told, strict=True)
    )
    rationale = words.between.join(sentences)
    return Exemplar(problem.question, problem.answer, rationale, steps, problem.context)
