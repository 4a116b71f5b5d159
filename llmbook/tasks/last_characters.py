"""Last characters: join the last character of each word of a list, in Chinese.

`河流、石头、云朵` gives `流头朵`. It is the counterpart of [last letters][last-letters]. Whether a
model can see the characters depends on its tokenizer: where the vocabulary has little Chinese, each
is a token or several, and only the length of the list makes the task hard; where it has much, a
common word is one token, and its end must be learned, as in English. With ``spell=True`` hyphens
stand between the characters, `河-流`, which keeps them apart for every tokenizer. Source of the
task: Wei et al., "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models" (2022,
section 5); of the sub-problems: Zhou et al., "Least-to-Most Prompting" (2023, section 3.1). The
words are ours.
"""

import re
from dataclasses import replace

from llmbook.tasks.answers import find
from llmbook.tasks.last_letters import sample_lists
from llmbook.tasks.problem import Exemplar, Problem, Step
from llmbook.tasks.task import Task

__all__ = [
    "EXEMPLARS",
    "SPELLED_EXEMPLARS",
    "TASKS",
    "WORDS",
    "decompose",
    "grade",
    "parse",
    "problems",
    "solve",
    "spelled_problems",
]

_TYPED = """
春天 夏日 秋风 冬雪 河流 石头 云朵 树叶 花园 口袋 音乐 星球 冬天 窗户
房间 厨房 桌子 椅子 台灯 地图 电脑 手机 相机 耳机 钢琴 吉他 小提琴 足球
篮球 羽毛球 飞机 火车 轮船 自行车 汽车 地铁 机场 车站 码头 桥梁 苹果 香蕉
葡萄 西瓜 草莓 樱桃 柠檬 土豆 番茄 黄瓜 白菜 豆腐 面包 牛奶 咖啡 绿茶
饺子 米饭 面条 月饼 老虎 狮子 大象 长颈鹿 熊猫 松鼠 兔子 乌龟 海豚 鲸鱼
企鹅 蝴蝶 蜜蜂 蚂蚁 蜻蜓 麻雀 老鹰 猫头鹰 孔雀 天鹅 医生 老师 学生 律师
画家 作家 农民 工人 警察 司机 厨师 护士 邮递员 图书馆 博物馆 电影院 医院 学校
公园 超市 雨伞 帽子 围巾 手套 毛衣 衬衫 裤子 皮鞋 书包 铅笔 橡皮 尺子
日历 钥匙 镜子 毛巾 肥皂 牙刷 枕头 被子 太阳 月亮 星星 彩虹 闪电 沙漠
森林 草原 海洋 岛屿 山谷 瀑布 火山 冰川 田野 池塘 竹林 沙滩 悬崖 洞穴
"""
WORDS = tuple(_TYPED.split())
"""Common Chinese words of two or three characters."""

_MARK = "、"  # between two words
_CHARACTER = "[\u4e00-\u9fff]"
_WORD = f"{_CHARACTER}+(?:-{_CHARACTER}+)*"
_QUOTED = re.compile(rf"[“\"「『]({_WORD})[”\"」』]")


def solve(question: str) -> str:
    """The last characters of the words, spelled as the words are.

    Args:
        question: Words, with a ``、`` between any two; all or none of them spelled.

    Returns:
        The characters, with hyphens between if the words have them.

    Raises:
        ValueError: If it is no list of Chinese words.

    Examples:
        ```python
        from llmbook.tasks import last_characters

        print(last_characters.solve("河流、石头、云朵"))
        print(last_characters.solve("河-流、石-头、云-朵"))
        ```

        ``` {.text .output}
        流头朵
        流-头-朵
        ```
    """
    characters = "".join(word[-1] for word in _words(question))
    return _spell(characters) if "-" in question else characters


def decompose(question: str) -> list[str]:
    """The sub-problems of a list, from least to most; the last is the list.

    Args:
        question: Words, with a ``、`` between any two.

    Returns:
        The beginnings of the list, from two words on; a single word is its own sub-problem.

    Raises:
        ValueError: If it is no list of Chinese words.
    """
    words = _words(question)
    shortest = min(2, len(words))
    return [_MARK.join(words[:length]) for length in range(shortest, len(words) + 1)]


def problems(
    count: int, *, size: int | None = None, seed: int = 0, spell: bool = False
) -> list[Problem]:
    """Lists of words as problems, none of them twice, and no word twice in a list.

    Args:
        count: How many.
        size: Words in each list; none: 4, 6, 8, 10 and 12 in turn.
        seed: Where the randomness comes from.
        spell: Put hyphens between the characters of the words, and of the answers.

    Returns:
        The problems. Fewer of them are the beginning of more.

    Raises:
        ValueError: If there are no such lists, or fewer than ``count``.

    Examples:
        ```python
        from llmbook.tasks import last_characters

        [problem] = last_characters.problems(1, size=4)
        for step in problem.steps:
            print(step.question, "->", step.answer)
        ```

        ``` {.text .output}
        公园、皮鞋 -> 园鞋
        公园、皮鞋、音乐 -> 园鞋乐
        公园、皮鞋、音乐、兔子 -> 园鞋乐子
        ```
    """
    lists = sample_lists(WORDS, count, size, seed)
    return [_problem(_MARK.join(map(_spell, words) if spell else words)) for words in lists]


def spelled_problems(count: int, *, size: int | None = None, seed: int = 0) -> list[Problem]:
    """[`problems`][llmbook.tasks.last_characters.problems] with hyphens between characters."""
    return problems(count, size=size, seed=seed, spell=True)


def parse(text: str) -> str | None:
    """The characters that a text gives for an answer.

    Args:
        text: What a model or a person wrote.

    Returns:
        What is in quotation marks after the mark of an answer, or else the first characters there;
        without a mark the last in quotation marks, or the last of all; none, if there are none.

    Examples:
        ```python
        from llmbook.tasks import last_characters

        print(last_characters.parse("“云朵”的最后一个字是“朵”。连起来是“流头朵”。"))
        print(last_characters.parse("所以答案是 流头朵。"))
        ```

        ``` {.text .output}
        流头朵
        流头朵
        ```
    """
    return find(text, lambda piece: _characters(piece, 0), lambda rest: _characters(rest, -1))


def grade(problem: Problem | Step, answer: str | None) -> bool:
    """Whether the characters are the right ones; hyphens are no mistake.

    Args:
        problem: A list of words with its characters.
        answer: The characters; none is wrong.
    """
    return answer is not None and parse(answer) == problem.answer.replace("-", "")


def _spell(word: str) -> str:
    return "-".join(word)


def _words(question: str) -> list[str]:
    words = question.split(_MARK)
    if not all(re.fullmatch(_WORD, word) for word in words):
        raise ValueError(f"question must be Chinese words with {_MARK} between, got {question!r}")
    return words


def _characters(text: str, place: int) -> str | None:
    """The quoted characters at a place of the list of all, or those that are not quoted."""
    pieces = _QUOTED.findall(text) or re.findall(_WORD, text)
    return pieces[place].replace("-", "") if pieces else None


def _problem(question: str) -> Problem:
    steps = tuple(Step(part, solve(part)) for part in decompose(question))
    return Problem(question, solve(question), size=len(_words(question)), steps=steps)


def _step(question: str) -> Step:
    """A sub-problem, and what is written to solve it: one character is added to what was found."""
    *before, last = question.split(_MARK)
    if len(before) < 2:
        return Step(question, f"{_ends(question)}连起来是“{solve(question)}”。")
    known = _MARK.join(before)
    return Step(
        question, f"“{known}”得到“{solve(known)}”。{_ends(last)}连起来是“{solve(question)}”。"
    )


def _ends(question: str) -> str:
    return "".join(f"“{word}”的最后一个字是“{word[-1]}”。" for word in question.split(_MARK))


def _exemplar(question: str) -> Exemplar:
    return Exemplar(
        question,
        solve(question),
        rationale=_ends(question),
        steps=tuple(_step(part) for part in decompose(question)),
    )


_SHOWN = (("花园", "口袋"), ("音乐", "星球", "冬天"))
EXEMPLARS = tuple(_exemplar(_MARK.join(words)) for words in _SHOWN)
"""A list of two words and one of three, solved. The last step of the second adds one character to
what the step before has found."""

SPELLED_EXEMPLARS = tuple(_exemplar(_MARK.join(map(_spell, words))) for words in _SHOWN)
"""The same with the words spelled."""

_JOIN = Task(
    name="last-characters",
    instruction="把每个词的最后一个字按顺序连起来。",
    exemplars=EXEMPLARS,
    sample=problems,
    parse=parse,
    grade=grade,
    decompose=decompose,
    separator="；",
    describe="答案是 {}".format,
    language="zh",
)
TASKS = (
    _JOIN,
    replace(
        _JOIN, name="last-characters-spelled", exemplars=SPELLED_EXEMPLARS, sample=spelled_problems
    ),
)
"""With the words as they are, and spelled."""
