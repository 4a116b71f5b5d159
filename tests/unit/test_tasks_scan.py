"""SCAN: the grammar and its meaning, against an interpreter written anew from the definition."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmbook.tasks import scan
from llmbook.tasks.problem import Problem

COMMANDS = scan.commands()
some_commands = st.sampled_from(COMMANDS)


def actions_of(command: str) -> list[str]:
    """By recursive descent along figure 6 of Lake and Baroni, with the meanings of figure 7."""
    words = command.split()

    def whole() -> list[str]:
        first = clause()
        if not words:
            return first
        joined_by, second = words.pop(0), clause()
        return {"and": first + second, "after": second + first}[joined_by]

    def clause() -> list[str]:
        once = movement()
        if words and words[0] in ("twice", "thrice"):
            return once + once if words.pop(0) == "twice" else once + once + once
        return once

    def movement() -> list[str]:
        verb = words.pop(0)
        done = {"turn": [], "walk": ["WALK"], "look": ["LOOK"], "run": ["RUN"], "jump": ["JUMP"]}[
            verb
        ]
        way = words[0] if words else ""
        if way == "opposite":
            words.pop(0)
            turn = turning()
            return [turn, turn, *done]
        if way == "around":
            words.pop(0)
            turn = turning()
            return [turn, *done, turn, *done, turn, *done, turn, *done]
        if verb == "turn" or way in ("left", "right"):
            return [turning(), *done]
        return done

    def turning() -> str:
        return {"left": "LEFT", "right": "RIGHT"}[words.pop(0)]

    found = whole()
    assert not words, f"{command!r} goes on after a whole command"
    return found


def test_the_grammar_has_every_command_once():
    movements = 4 + (4 + 1) * 2 + 2 * (4 + 1) * 2  # U; D; opposite and around
    clauses = 3 * movements
    assert len(COMMANDS) == len(set(COMMANDS)) == clauses + 2 * clauses**2 == 20_910


def test_every_command_means_what_the_definition_says():
    for command in COMMANDS:
        assert scan.interpret(command) == actions_of(command), command


def test_examples_of_the_paper():
    # The rows of figure 1 that are quoted most often; LTURN is LEFT here.
    assert scan.interpret("jump left") == ["LEFT", "JUMP"]
    assert scan.interpret("turn left twice") == ["LEFT", "LEFT"]
    assert scan.interpret("jump around right") == ["RIGHT", "JUMP"] * 4
    assert scan.interpret("jump opposite left and walk thrice") == [
        *("LEFT", "LEFT", "JUMP"), *("WALK", "WALK", "WALK"),
    ]  # fmt: skip


def test_the_length_split_is_the_published_one():
    short, long = scan.length_split()
    assert (len(short), len(long)) == (16_990, 3_920)
    assert set(short) | set(long) == set(COMMANDS)
    assert max(len(actions_of(command)) for command in short) == 22
    lengths = [len(actions_of(command)) for command in long]
    assert (min(lengths), max(lengths)) == (24, 48)
    assert max(len(command.split()) for command in COMMANDS) == 9


def test_the_split_is_the_readers_to_change():
    scan.length_split()[0].clear()
    assert len(scan.length_split()[0]) == 16_990


def test_answers_combined_along_the_plan_are_the_expression():
    for command in COMMANDS[::7]:
        answers: dict[str, str] = {}
        for step in scan.decompose(command):
            assert set(scan.parts(step)) <= answers.keys()  # from least to most
            answers[step] = scan.combine(step, answers)
        assert list(answers)[-1] == command
        assert answers[command] == scan.express(command)
        assert scan.expand(answers[command]) == actions_of(command)


def test_a_wrong_part_makes_a_wrong_whole():
    assert scan.combine("walk after jump", {"walk": "RUN", "jump": "JUMP"}) == "JUMP + RUN"
    assert scan.combine("jump twice", {"jump": "LEFT"}) == "( LEFT ) * 2"


@pytest.mark.parametrize(
    "command",
    ["", "hop", "turn", "turn twice", "walk opposite", "walk twice twice", "walk and", "and walk",
     "walk and run and jump", "left walk", "walk around", "around left", "WALK", "walk, run"],
)  # fmt: skip
def test_what_is_no_command_is_refused(command):
    with pytest.raises(ValueError, match=r"command must be one of SCAN's"):
        scan.interpret(command)


ACTIONS = ["LEFT", "RIGHT", "WALK", "LOOK", "RUN", "JUMP"]


def repeated(below):
    return st.tuples(below, st.integers(1, 9)).map(
        lambda pair: (f"( {pair[0][0]} ) * {pair[1]}", pair[0][1] * pair[1])
    )


def added(below):
    return st.tuples(below, below).map(
        lambda pair: (f"{pair[0][0]} + {pair[1][0]}", pair[0][1] + pair[1][1])
    )


leaves = st.sampled_from(ACTIONS).map(lambda action: (action, [action]))
expressions = st.recursive(leaves, lambda below: repeated(below) | added(below), max_leaves=8)


@given(expressions)
def test_expressions_expand_to_what_they_were_made_of(pair):
    expression, actions = pair
    assume(len(actions) <= 100_000)
    assert scan.expand(expression) == actions


@given(st.lists(st.sampled_from([*ACTIONS, *"+*()", "0", "2", "12", "x"]), max_size=9))
def test_what_is_read_means_what_python_means_by_it(tokens):
    try:
        actions = scan.expand(" ".join(tokens))
    except ValueError:
        return
    assert set(actions) <= set(ACTIONS)
    assert actions == eval(" ".join(f"['{t}']" if t in ACTIONS else t for t in tokens))


@given(expressions, st.data())
def test_a_lost_bracket_or_sign_is_noticed(pair, data):
    tokens = pair[0].split()
    signs = [place for place, token in enumerate(tokens) if token in "+*()"]
    assume(signs)
    del tokens[data.draw(st.sampled_from(signs))]
    with pytest.raises(ValueError, match=r"^expression must"):
        scan.expand(" ".join(tokens))


@given(st.text())
def test_any_other_text_is_refused(text):
    assume(text.strip() not in ACTIONS)
    with pytest.raises(ValueError, match=r"^expression must"):
        scan.expand(text)


@pytest.mark.parametrize(
    "expression",
    ["", "( )", "LEFT +", "+ LEFT", "LEFT LEFT", "2 * LEFT", "LEFT * 0", "LEFT * -1", "LEFT * x",
     "LEFT * 2.5", "( LEFT", "LEFT )", "LEFT+JUMP", "left", "LEFT * 100000", "LEFT * 999 * 999",
     "LEFT * 60000 + LEFT * 60000", "( " * 60 + "LEFT" + " )" * 60],
)  # fmt: skip
def test_malformed_and_boundless_expressions_are_refused(expression):
    with pytest.raises(ValueError, match=r"^expression must"):
        scan.expand(expression)
    assert not scan.grade(Problem("turn left", "LEFT"), expression)


@pytest.mark.parametrize("number", ["0", "x", "100000", "1000000000"])
def test_the_numbers_that_may_stand_after_a_star_are_named(number):
    message = rf"must have a number from 1 to 99,999 after \*, not {number}, got"
    with pytest.raises(ValueError, match=message):
        scan.expand(f"JUMP * {number}")
    assert len(scan.expand("JUMP * 99999")) == 99_999


def test_long_sums_do_not_take_long():
    assert len(scan.expand(" + ".join(["JUMP"] * 50_000))) == 50_000


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (" ( LEFT + JUMP ) * 2", "( LEFT + JUMP ) * 2"),
        ("(LEFT+JUMP)*2", "( LEFT + JUMP ) * 2"),
        ('The answer is "LEFT" + "JUMP" * 3.', "LEFT + JUMP * 3"),
        ("jump gives JUMP . walk gives WALK . so JUMP + WALK", "JUMP + WALK"),
        ("`LEFT`, and that is 1 of 2 actions.", "LEFT"),
        ("( LEFT + ", "( LEFT +"),
        ("答案是LEFT + JUMP。", "LEFT + JUMP"),
        ("The answer is **(LEFT + JUMP) × 2**.", "( LEFT + JUMP ) * 2"),
        (r"\boxed{(\text{LEFT} + \text{JUMP}) \times 2}", "( LEFT + JUMP ) * 2"),
        ("The answer is LEFT + JUMP.\n\nQ: walk\nA: WALK", "LEFT + JUMP"),
        ("jump left", None),
        ("3 + 4", None),
        ("", None),
    ],
)
def test_the_expression_is_found_in_a_models_text(completion, answer):
    assert scan.parse(completion) == answer


@given(some_commands)
def test_the_chain_of_thought_ends_in_the_answer(command):
    assert scan.parse(scan.explain(command)) == scan.express(command)


def test_other_ways_of_writing_an_answer_are_right():
    problem = Problem("jump left twice", "( LEFT + JUMP ) * 2")
    assert scan.grade(problem, "LEFT + JUMP + LEFT + JUMP")
    assert scan.grade(problem, "( ( LEFT + JUMP ) ) * 2")
    assert not scan.grade(problem, "LEFT + JUMP * 2")
    assert not scan.grade(problem, "( LEFT + JUMP ) * 3")
    assert not scan.grade(problem, None)


def test_problems_come_from_the_test_or_have_their_size():
    _, long = scan.length_split()
    assert {problem.question for problem in scan.problems(3_920)} == set(long)
    for size in (1, 12, 48):
        for problem in scan.problems(6, size=size):
            assert problem.size == size == len(actions_of(problem.question))
    with pytest.raises(ValueError, match="size must be the number of actions of a command, got 23"):
        scan.problems(1, size=23)
    with pytest.raises(ValueError, match="count must be 1 to 128"):
        scan.problems(129, size=48)


def test_blanks_between_words_may_be_more_than_one():
    command = " jump around  left\tand walk "
    assert scan.pose(command) == scan.pose("jump around left and walk")
    with pytest.raises(ValueError, match=r"command must be one of SCAN's"):
        scan.pose("jump  up")


def test_exemplars_cover_the_grammar_and_stay_out_of_the_test():
    shown = [exemplar.question for exemplar in scan.EXEMPLARS]
    grammar = {word for command in COMMANDS for word in command.split()}
    assert {word for command in shown for word in command.split()} == grammar
    assert len(grammar) == 13
    assert not set(shown) & set(scan.length_split()[1])


def test_brackets_without_end_are_named():
    deep = "( " * 51 + "JUMP" + " )" * 51
    with pytest.raises(ValueError, match="at most 50 brackets in each other"):
        scan.expand(deep)
    assert scan.expand(deep[2:-2]) == ["JUMP"]
