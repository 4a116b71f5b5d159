"""Answers as people and models write them, in English and Chinese: a table, and made-up sentences.

Found an answer that is read wrongly? Add a line to the table.
"""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmbook.tasks.answers import find, marked, read_letters, read_name, read_number, read_words

NUMBERS = [
    # digits, signs, separators
    ("12", "12"),
    (" 12 apples.", "12"),
    ("007", "7"),
    ("12.0", "12"),
    ("-0.0", "0"),
    (".5", "0.5"),
    ("81.8%", "81.8"),
    ("$12", "12"),
    ("-$1,234.50", "-1234.5"),
    ("$-5", "-5"),
    ("US$5", "5"),
    ("Rs.500", "500"),
    ("it is -3", "-3"),
    ("= −3", "-3"),
    ("negative 3", "-3"),
    ("7 - 3", "3"),
    ("7-3", "3"),
    ("9 minus 5", "5"),
    ("9元-5元", "5"),
    ("a 10-yard run", "10"),
    ("1, 2,3", "3"),
    ("1,00,000", "100000"),
    ("1\u202f234", "1234"),
    ("1\u00a0234.5", "1234.5"),
    ("1'234", "1234"),
    ("1,2345", "2345"),
    ("3 million", "3000000"),
    ("1.2 × 10^3", "1200"),
    ("1e-2", "0.01"),
    # what is no number
    ("twelve", None),
    ("B2", None),
    ("3/4", None),
    ("at 12:30", None),
    ("version 1.2.3", None),
    ("", None),
    # TeX
    (r"\boxed{1{,}234}", "1234"),
    (r"$9{,}500$", "9500"),
    (r"\boxed{\text{about }1\,000}", "1000"),
    (r"\[ \boxed{-5} \]", "-5"),
    (r"$\boxed{10\%}$ of 50", "10"),
    (r"The answer is \(\frac{3}{4}\)", None),
    # a Chinese character touches the number
    ("答案是42", "42"),
    ("小红有10个弹珠", "10"),
    ("总共需要1,200元", "1200"),
    ("答案为-5", "-5"),
    ("9×2等于18", "18"),
    ("5千米", "5"),
    # full-width digits and signs
    ("答案是４２", "42"),
    ("共１，２００元", "1200"),
    ("－５．５％", "-5.5"),
    # Chinese numerals
    ("答案是十二", "12"),
    ("一百零五", "105"),
    ("两千", "2000"),
    ("三万五千", "35000"),
    ("三万五", "35000"),
    ("三万零五", "30005"),
    ("一亿二千万", "120000000"),
    ("九千万亿", "9000000000000000"),
    ("壹仟贰佰元", "1200"),
    ("二十点五", "20.5"),
    ("二〇二六", "2026"),
    ("负三", "-3"),
    ("负5", "-5"),
    ("百分之二十五", "25"),
    ("1.2万", "12000"),
    ("1.2万亿", "1200000000000"),
    ("3万5千", "35000"),
    ("三分之一", None),
    ("一共", None),
    ("第三天", None),
    ("十几个", None),
    ("三二", None),
    ("十十", None),
    ("所以他有十二个，是一个好人", "12"),
    # marks
    ("THE ANSWER IS 5", "5"),
    ("**Answer:** 42 (of 50)", "42"),
    ("The answer to question 3 is 42.", "42"),
    ("Final Answer: $18", "18"),
    ("3 * 4 = 12\n#### 12", "12"),
    ("#### 1,000", "1000"),
    ("#### -2.5", "-2.5"),
    ("#### 2. Add them up\n5 + 6 = 11", "11"),
    ("The answer is:\n\n**42**\n\nAnd 3 more lines", "42"),
    ("答：小红还剩三万五千个，比去年多2个。", "35000"),
    ("答案应该是：7", "7"),
    ("最终答案为 7 元", "7"),
    ("**42**", "42"),
    ("She needs **42 eggs** for 3 cakes.", "42"),
    ("**Step 2:** 3 + 4 is 7 in all", "7"),
    ("**1. Add.** That makes 7", "7"),
    # what follows the answer
    ("#### 18\n\nQuestion: A robe takes 2 bolts", "18"),
    ("18\n\nQ: Tom has 3 pens.\nA: 3", "18"),
    ("答案是18。\n\n问：小红有3支笔", "18"),
    ("The answer is 5,000. Q: and 7?", "5000"),
    ("The answer is 42. Let me know if you have 2 more questions.", "42"),
    ("The answer is 42, not 7", "42"),
    ("The answer is not 7 but 42", "42"),
    ("答案是 18 个，其中 9 个是红的", "18"),
    ("答案不是 7，而是 42", "42"),
    ("The answer is 18 (9 * 2 = 18).", "18"),
    # a sum after the mark
    ("The answer is 14 * 3 = 42 goals, 2 more than before", "42"),
    ("答案是9×2=18，比5多", "18"),
    ("The answer is found by adding. 3 and 4 make 7", "7"),
    # as SmolLM2-135M wrote them
    (" 11 shells = 11 * 3 = 33 shells. Finn found 6 shells.\n#### 66\n\nQuestion", "66"),
    (" 10 * 5 = 50 dollars. Ella sold 50 - 5 = 25 fewer tickets.\n#### 25\n\n", "25"),
    (" 3 trees = 3 * 2 = 6 trees. 5 trees = 5 * 2 = 10 trees. 15 trees", "15"),
    (" 6 * 3 = 18. 18 + 18 = 36. 36 + 18 = 54. ", "54"),
    ("10 + 5 = 15\n\nThe answer is: 15", "15"),
    # several marks
    ("The answer is 5. That answer is 6 km", "6"),
    ("The answer is 42. I hope that the answer is clear.", "42"),
    ("12 is a number. The answer is unknown.", None),
]


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_numbers_are_read(text, number):
    assert read_number(text) == number


def numeral(number: int) -> str:
    """A number from 0 to 10^16 - 1 in Chinese numerals, as taught in school."""
    if number >= 10**8:
        high, low = divmod(number, 10**8)
        zero = "零" if 0 < low < 10**7 else ""
        return f"{numeral(high)}亿{zero}{numeral(low) if low else ''}"
    if number >= 10**4:
        high, low = divmod(number, 10**4)
        zero = "零" if 0 < low < 10**3 else ""
        return f"{numeral(high)}万{zero}{numeral(low) if low else ''}"
    for unit, sign in ((1000, "千"), (100, "百"), (10, "十")):
        if number >= unit:
            high, low = divmod(number, unit)
            zero = "零" if 0 < low < unit // 10 else ""
            return f"{'零一二三四五六七八九'[high]}{sign}{zero}{numeral(low) if low else ''}"
    return "零一二三四五六七八九"[number]


@given(st.integers(0, 10**16 - 1) | st.integers(0, 10**5), st.booleans())
@example(10_010, False)
@example(10**12, False)
def test_numerals_are_read(number, negative):
    text = f"答案是{'负' * negative}{numeral(number)}。"
    assert read_number(text) == str(-number if negative else number)


FULL_WIDTH = str.maketrans("0123456789,.-", "０１２３４５６７８９，．－")
WRITINGS = [  # of a whole number
    "{}".format,
    "{:,}".format,
    "{:,}.00".format,
    "**{}**".format,
    "**{:,}**".format,
    r"\boxed{{{}}}".format,
    "${}$".format,
    "“{}”".format,
    "{}%".format,
    lambda number: f"{number:,}".replace(",", "{,}"),
    lambda number: f"{number:,}".replace(",", "\u202f"),
    lambda number: f"{number:,}".replace(",", r"\,"),
    lambda number: f"{number:,}".translate(FULL_WIDTH),
    lambda number: f"{'-' * (number < 0)}${abs(number):,}",
    lambda number: f"{number}".replace("-", "\N{MINUS SIGN}"),
    lambda number: "负" * (number < 0) + numeral(abs(number)),
    lambda number: "负" * (number < 0) + str(abs(number)),
    lambda number: "负" * (number < 0) + f"{abs(number)}万" if number % 2 else str(number),
]
BEFORE = [
    "",
    "3 + 4 = 7 and 2 remain. ",
    "Step 1: take 5 of the 12 pens.\nStep 2: 5 * 3 = 15.\n\n",
    "小明有3支笔，又买了12支，3+12=15。",
    "第一步：先算 9×2。\n",
    "<<2*3=6>>6 pens are **6 pens**. ",
]
MARKS = [
    "The answer is {}",
    "So the answer is: {}",
    "**The answer is {}**",
    "Therefore, the final answer is {}",
    "Answer: {}",
    "**Answer:** {}",
    "答案是{}",
    "所以答案是 {}",
    "答案为：{}",
    "因此，答案应该是{}",
    "答：一共{}",
    "#### {}",
    "The answer is 8 * 5 = {}",
    "答案是8×5={}",
]
AFTER = [
    "",
    ".",
    "。",
    " pens.",
    "个。",
    ", not 7",
    " (of 100).",
    " 个，其中 9 个是红的。",
    ". Let me know if you have 2 more questions.",
    "。如果还有2个问题，请告诉我。",
    ".\n\nQuestion: A robe takes 2 bolts. How many for 3?\nAnswer: #### 6",
    "\n\n问：小红有3支笔，又买了2支。\n答：5支。",
    "\n\nQ: Bo has 2 pens.\nA: The answer is 2.",
]


@given(
    number=st.integers(-(10**12), 10**12) | st.integers(-50, 2000),
    write=st.sampled_from(WRITINGS),
    before=st.sampled_from(BEFORE),
    mark=st.sampled_from(MARKS),
    after=st.sampled_from(AFTER),
)
def test_a_marked_number_is_read_whatever_stands_around_it(number, write, before, mark, after):
    written = write(number)
    value = number * 10**4 if written.endswith("万") and written[-2].isdigit() else number
    assert read_number(before + mark.format(written) + after) == str(value)


@given(
    number=st.integers(-(10**12), 10**12) | st.integers(-50, 2000),
    write=st.sampled_from(WRITINGS[:3] + WRITINGS[8:15]),
    before=st.sampled_from(BEFORE[:-1]),
    end=st.sampled_from(["So it is {}.", "In all: {} pens.", "一共需要{}元。", "= {}", "等于{}个"]),
)
def test_without_a_mark_the_last_number_is_read(number, write, before, end):
    assert read_number(before + end.format(write(number))) == str(number)


@given(
    st.text()
    | st.text("答案是负第零一二两十百千万亿点分之0123456789.,-$\\boxed{}*#= \n", max_size=40)
)
def test_any_text_is_read(text):
    number = read_number(text)
    assert number is None or read_number(number) == number
    letters = read_letters(text)
    assert letters is None or read_letters(letters) == letters
    read_words(text)
    assert all(isinstance(piece, str) for piece in marked(text))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("After Monday comes Tuesday, as one may say.", "Tuesday"),
        ("答案是June。", "June"),
        ("**June** comes after May", "June"),
        (r"\boxed{\text{June}}", "June"),
        ("The answer is Tuesday, and Monday comes before.", "Tuesday"),
        ("The answer is not May but June.", "June"),
        ("The answer is 2 days after Monday, Wednesday.", "Wednesday"),
        ("The answer is June.\n\nQ: Which month is 1 month after June?\nA: July", "June"),
        ("Mondays, or may it be in june?", None),
        ("", None),
    ],
)
def test_names_are_read(text, name):
    names = ("Monday", "Tuesday", "Wednesday", "May", "June", "July")
    assert read_name(text, names) == name


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        (" ctr", "ctr"),
        ("CTR.", "ctr"),
        ("c-t-r", "ctr"),
        ("c, t, r", "ctr"),
        ('"music" ends in "c". Joined: "ctr".', "ctr"),
        ('"music" ends in "c". So the answer is ctr.', "ctr"),
        ('"music" ends in "c". The answer is "c-t-r", is it not?', "ctr"),
        ("Joined: ctr", "ctr"),
        ("答案是lee", "lee"),
        ("最后的字母连起来是“lee”。", "lee"),
        ("The answer is the string **lee**.", "lee"),
        ('The answer is "lee", not "ell".', "lee"),
        (r"\boxed{\text{lee}}", "lee"),
        ("The answer is lee.\n\nQ: music, planet\nA: ct", "lee"),
        ("123", None),
        ('""', None),
        ("", None),
    ],
)
def test_letters_are_read(text, letters):
    assert read_letters(text) == letters


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The answer is the red fox. Next", "the red fox"),
        ("So the answer is: 3.5.\nQ: more", "3.5"),
        ('First.\n"a fox".', "a fox"),
        ("The answer is Mr. St. John. He came.", "Mr. St. John"),
        ("答案是“红狐狸”。他来了。", "红狐狸"),
        ("**Answer:** **a fox**", "a fox"),
        ("The answer is ", None),
        ("", None),
    ],
)
def test_words_are_read(text, words):
    assert read_words(text) == words


def test_a_marker_of_ones_own_takes_the_place_of_the_marks():
    assert marked("The answer is 3. Result: 4 pens. Or 5?", "result:") == ["4 pens"]
    assert marked("Results: 4", "result") == []
    with pytest.raises(ValueError, match="marker must hold words, got ' '"):
        marked("", " ")


def test_other_kinds_of_answers_can_be_looked_for():
    def first(text):
        return "yes" if "yes" in text else "no" if "no" in text else None

    assert find("Is it? no. The answer is yes.\nQ: And now?\nA: no", first, first) == "yes"
