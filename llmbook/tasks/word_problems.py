"""Word problems: who has how many, told in plain words, and asked about the last of a chain.

"Ann has 7 marbles. Bo has 3 more marbles than Ann. How many marbles does Bo have?" Each person's
number comes from that of another, so that the *size* of a problem, the number of sums that lead to
its answer, can be chosen freely: more than the exemplars show is the test. One can also choose how
the story is told, in the order in which it is solved or in another, and how many people in it have
nothing to do with the question. The numbers stay small, for the arithmetic is not the point. One
generator tells the stories in English and in Chinese. They are ours, in the manner of the problems
in Zhou et al., "Least-to-Most Prompting" (2023, section 3.3); real ones are read by
`llmbook.tasks.benchmarks`.
"""

import random
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from llmbook.tasks._language import Language, check_language
from llmbook.tasks.answers import read_number
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.task import Task

__all__ = ["CHINESE_EXEMPLARS", "EXEMPLARS", "NAMES", "TASKS", "grade", "problems"]

_TYPED = """
Ann Bo Cy Dora Eve Finn Gus Hal Ida Jon Kim Leo Mia Ned Olga Pam Quinn Ray Sue Tom Uma Val
Wes Xia Yan Zoe Ben Cora Dan Ella Fay Gil Hugo Iris Jack Kay Lou Max Nora Otto
"""
_TYPED_CHINESE = """
小明 小红 小刚 小丽 小华 小强 小芳 小军 小燕 小龙 小雨 小雪 小文 小武 小兰 小梅 小林 小杰 小云 小峰
晓东 晓玲 晓波 晓晨 晓娟 阿宝 阿珍 阿福 阿美 阿勇 佳佳 丽丽 强强 莉莉 豆豆 乐乐 婷婷 洋洋 欢欢 甜甜
"""
NAMES = tuple(_TYPED.split())
"""The people of the English stories."""

Order = Literal["told", "reversed", "shuffled"]

_SIZES = (2, 3, 4, 5, 6)
_MOST = 100_000  # problems in a draw: there are many more, even of size 1
_LARGEST = 60  # number that anybody has


@dataclass(frozen=True)
class _Words:
    """How a language tells a story."""

    names: tuple[str, ...]
    scenes: tuple[dict[str, str], ...]  # what is counted, and what one does with it
    first: str
    more: str
    fewer: str
    twice: str
    thrice: str
    ask: str
    between: str  # sentences


_WORDS: dict[Language, _Words] = {
    "en": _Words(
        names=NAMES,
        scenes=tuple(
            {"things": things, "verb": verb, "ask": ask}
            for things, verb, ask in (
                ("marbles", "has", "does {name} have"),
                ("apples", "picked", "did {name} pick"),
                ("pages", "read", "did {name} read"),
                ("letters", "wrote", "did {name} write"),
                ("shells", "found", "did {name} find"),
                ("pies", "baked", "did {name} bake"),
                ("stamps", "owns", "does {name} own"),
                ("tickets", "sold", "did {name} sell"),
                ("trees", "planted", "did {name} plant"),
                ("goals", "scored", "did {name} score"),
            )
        ),
        first="{name} {verb} {number} {things}.",
        more="{name} {verb} {difference} more {things} than {base}.",
        fewer="{name} {verb} {difference} fewer {things} than {base}.",
        twice="{name} {verb} twice as many {things} as {base}.",
        thrice="{name} {verb} 3 times as many {things} as {base}.",
        ask="How many {things} {ask}?",
        between=" ",
    ),
    "zh": _Words(
        names=tuple(_TYPED_CHINESE.split()),
        scenes=tuple(
            {"things": things, "unit": unit, "verb": verb, "of": of}
            for things, unit, verb, of in (
                ("弹珠", "颗", "有", "的"),
                ("苹果", "个", "摘了", "摘的"),
                ("书", "页", "读了", "读的"),
                ("信", "封", "写了", "写的"),
                ("贝壳", "枚", "捡了", "捡的"),
                ("馒头", "个", "蒸了", "蒸的"),
                ("邮票", "张", "有", "的"),
                ("门票", "张", "卖了", "卖的"),
                ("树", "棵", "种了", "种的"),
                ("球", "个", "进了", "进的"),
            )
        ),
        first="{name}{verb} {number} {unit}{things}。",
        more="{name}{of}{things}比{base}多 {difference} {unit}。",
        fewer="{name}{of}{things}比{base}少 {difference} {unit}。",
        twice="{name}{of}{things}是{base}的 2 倍。",
        thrice="{name}{of}{things}是{base}的 3 倍。",
        ask="{name}{verb}多少{unit}{things}？",
        between="",
    ),
}


@dataclass(frozen=True)
class _Fact:
    """What the story says of a person, and what follows from it."""

    name: str
    number: int
    sentence: str


def problems(
    count: int,
    *,
    size: int | None = None,
    seed: int = 0,
    distractors: int = 0,
    order: Order = "told",
    told_step: bool = False,
    language: Language = "en",
) -> list[Problem]:
    """Stories with a question, none of them twice.

    Args:
        count: How many, at most 100,000.
        size: Sums that lead to the answer; none: 2, 3, 4, 5 and 6 in turn.
        seed: Where the randomness comes from.
        distractors: People whom the answer does not depend on.
        order: ``"told"``: everybody comes after the person whom they are compared with;
            ``"reversed"``: before; ``"shuffled"``: anywhere.
        told_step: Whether the number that the story tells is a step, too, before the first sum.
        language: ``"en"`` or ``"zh"``.

    Returns:
        The problems, with the story as context and a step for each sum. Fewer of them are the
        beginning of more.

    Raises:
        ValueError: If ``count``, ``size``, ``distractors``, ``order`` or ``language`` is out of
            range, or there are more people than names.

    Examples:
        ```python
        import textwrap

        from llmbook.tasks import word_problems

        [problem] = word_problems.problems(1, size=2, distractors=1, order="shuffled")
        print(textwrap.fill(problem.context, 80))
        for step in problem.steps:
            print(step.question, step.answer)
        ```

        ``` {.text .output}
        Hugo owns 6 stamps. Quinn owns twice as many stamps as Cy. Ben owns 10 stamps.
        Cy owns twice as many stamps as Ben.
        How many stamps does Cy own? 20
        How many stamps does Quinn own? 40
        ```
    """
    if not 1 <= count <= _MOST:
        raise ValueError(f"count must be 1 to {_MOST:,}, got {count:,}")
    check_language(language)
    words, generator = _WORDS[language], random.Random(seed)
    sizes = _SIZES if size is None else (size,)
    if min(sizes) < 1 or distractors < 0 or max(sizes) + 1 + distractors > len(words.names):
        raise ValueError(
            f"size must be at least 1, distractors at least 0, and both together at most "
            f"{len(words.names) - 1}, got {size} and {distractors}"
        )
    if order not in ("told", "reversed", "shuffled"):
        raise ValueError(f"order must be 'told', 'reversed' or 'shuffled', got {order!r}")
    drawn: dict[tuple[str, str], Problem] = {}
    while len(drawn) < count:
        size = sizes[len(drawn) % len(sizes)]
        problem = _make_problem(generator, words, size, distractors, order, told_step)
        drawn[problem.context, problem.question] = problem
    return list(drawn.values())


def _make_problem(
    generator: random.Random,
    words: _Words,
    size: int,
    distractors: int,
    order: Order,
    told_step: bool,
) -> Problem:
    """A story of a chain of people, each compared with the one before, and others among them."""
    scene = generator.choice(words.scenes)
    names = generator.sample(words.names, size + 1 + distractors)
    chain = [_first(generator, words, scene, names[0])]
    for name in names[1 : size + 1]:
        chain.append(_compared(generator, words, scene, name, chain[-1]))
    facts = list(chain)
    for name in names[size + 1 :]:
        # One half hangs on somebody of the chain; the other has a number of its own.
        base = generator.choice(chain) if generator.random() < 0.5 else None
        after = facts.index(base) + 1 if base else 0
        if base:
            fact = _compared(generator, words, scene, name, base)
        else:
            fact = _first(generator, words, scene, name)
        facts.insert(generator.randint(after, len(facts)), fact)
    if order == "reversed":
        facts.reverse()
    elif order == "shuffled":
        generator.shuffle(facts)
    asked = chain if told_step else chain[1:]
    steps = tuple(Step(_ask(words, scene, fact.name), str(fact.number)) for fact in asked)
    context = words.between.join(fact.sentence for fact in facts)
    return Problem(steps[-1].question, steps[-1].answer, size=size, steps=steps, context=context)


def _ask(words: _Words, scene: dict[str, str], name: str) -> str:
    fields = {key: value.format(name=name) for key, value in scene.items()}
    return words.ask.format(name=name, **fields)


def _first(generator: random.Random, words: _Words, scene: dict[str, str], name: str) -> _Fact:
    number = generator.randint(3, 12)
    return _Fact(name, number, words.first.format(name=name, number=number, **scene))


def _compared(
    generator: random.Random, words: _Words, scene: dict[str, str], name: str, base: _Fact
) -> _Fact:
    """A person whose number is said by comparing it with another's; it stays in 2 to 60."""
    difference = generator.randint(2, 9)
    choices = [
        (base.number + difference, words.more),
        (base.number - difference, words.fewer),
        (base.number * 2, words.twice),
        (base.number * 3, words.thrice),
    ]
    number, form = generator.choice([choice for choice in choices if 2 <= choice[0] <= _LARGEST])
    sentence = form.format(name=name, base=base.name, difference=difference, **scene)
    return _Fact(name, number, sentence)


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether the number is the right one, however it is written.

    Args:
        problem: A question whose answer is a number.
        answer: The number; none is wrong.
    """
    return answer is not None and read_number(answer) == read_number(problem.answer)


EXEMPLARS = (
    Exemplar(
        context="Ann has 7 marbles. Bo has 3 more marbles than Ann.",
        question="How many marbles does Bo have?",
        rationale="Ann has 7 marbles. Bo has 3 more, so Bo has 7 + 3 = 10 marbles.",
        answer="10",
        steps=(
            Step(
                "How many marbles does Bo have?",
                "Ann has 7 marbles. Bo has 3 more, so Bo has 7 + 3 = 10 marbles. The answer is 10.",
            ),
        ),
    ),
    Exemplar(
        context=(
            "Eve picked 6 apples. Finn picked twice as many apples as Eve. Gus picked 4 fewer "
            "apples than Finn."
        ),
        question="How many apples did Gus pick?",
        rationale=(
            "Eve picked 6 apples. Finn picked twice as many, so Finn picked 6 * 2 = 12 apples. "
            "Gus picked 4 fewer, so Gus picked 12 - 4 = 8 apples."
        ),
        answer="8",
        steps=(
            Step(
                "How many apples did Finn pick?",
                "Eve picked 6 apples. Finn picked twice as many, so Finn picked 6 * 2 = 12 "
                "apples. The answer is 12.",
            ),
            Step(
                "How many apples did Gus pick?",
                "Finn picked 12 apples. Gus picked 4 fewer, so Gus picked 12 - 4 = 8 apples. "
                "The answer is 8.",
            ),
        ),
    ),
    Exemplar(
        context=(
            "Ida wrote 2 fewer letters than Hal. Jon wrote 9 letters. Kim wrote 4 letters. Hal "
            "wrote 3 times as many letters as Kim."
        ),
        question="How many letters did Ida write?",
        rationale=(
            "Kim wrote 4 letters. Hal wrote 3 times as many, so Hal wrote 4 * 3 = 12 letters. "
            "Ida wrote 2 fewer, so Ida wrote 12 - 2 = 10 letters."
        ),
        answer="10",
        steps=(
            Step(
                "How many letters did Hal write?",
                "Kim wrote 4 letters. Hal wrote 3 times as many, so Hal wrote 4 * 3 = 12 "
                "letters. The answer is 12.",
            ),
            Step(
                "How many letters did Ida write?",
                "Hal wrote 12 letters. Ida wrote 2 fewer, so Ida wrote 12 - 2 = 10 letters. "
                "The answer is 10.",
            ),
        ),
    ),
)
"""Stories with one sum and with two, one of them out of order and with somebody too many."""

CHINESE_EXEMPLARS = (
    Exemplar(
        context="小明有 7 颗弹珠。小红的弹珠比小明多 3 颗。",
        question="小红有多少颗弹珠？",
        rationale="小明有 7 颗弹珠。小红多 3 颗，所以小红有 7 + 3 = 10 颗弹珠。",
        answer="10",
        steps=(
            Step(
                "小红有多少颗弹珠？",
                "小明有 7 颗弹珠。小红多 3 颗，所以小红有 7 + 3 = 10 颗弹珠。答案是 10。",
            ),
        ),
    ),
    Exemplar(
        context="小华摘了 6 个苹果。小强摘的苹果是小华的 2 倍。小芳摘的苹果比小强少 4 个。",
        question="小芳摘了多少个苹果？",
        rationale=(
            "小华摘了 6 个苹果。小强是小华的 2 倍，所以小强摘了 6 * 2 = 12 个苹果。"
            "小芳少 4 个，所以小芳摘了 12 - 4 = 8 个苹果。"
        ),
        answer="8",
        steps=(
            Step(
                "小强摘了多少个苹果？",
                "小华摘了 6 个苹果。小强是小华的 2 倍，所以小强摘了 6 * 2 = 12 个苹果。答案是 12。",
            ),
            Step(
                "小芳摘了多少个苹果？",
                "小强摘了 12 个苹果。小芳少 4 个，所以小芳摘了 12 - 4 = 8 个苹果。答案是 8。",
            ),
        ),
    ),
    Exemplar(
        context=(
            "小雪写的信比小雨少 2 封。小文写了 9 封信。小武写了 4 封信。小雨写的信是小武的 3 倍。"
        ),
        question="小雪写了多少封信？",
        rationale=(
            "小武写了 4 封信。小雨是小武的 3 倍，所以小雨写了 4 * 3 = 12 封信。"
            "小雪少 2 封，所以小雪写了 12 - 2 = 10 封信。"
        ),
        answer="10",
        steps=(
            Step(
                "小雨写了多少封信？",
                "小武写了 4 封信。小雨是小武的 3 倍，所以小雨写了 4 * 3 = 12 封信。答案是 12。",
            ),
            Step(
                "小雪写了多少封信？",
                "小雨写了 12 封信。小雪少 2 封，所以小雪写了 12 - 2 = 10 封信。答案是 10。",
            ),
        ),
    ),
)
"""The same in Chinese, with other people and things."""

_ENGLISH = Task(
    name="word-problems",
    instruction="Answer the question with a number.",
    exemplars=EXEMPLARS,
    sample=problems,
    parse=read_number,
    grade=grade,
)
TASKS = (
    _ENGLISH,
    replace(
        _ENGLISH,
        name="word-problems-zh",
        instruction="用一个数回答问题。",
        exemplars=CHINESE_EXEMPLARS,
        sample=partial(problems, language="zh"),
        separator="；",
        describe="答案是 {}".format,
        language="zh",
    ),
)
"""In English and in Chinese."""
