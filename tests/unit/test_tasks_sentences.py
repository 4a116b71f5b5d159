"""Sentences end where a reader would end them; a table to which lines can be added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmbook.tasks.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["He bought pens.", "How much did Mr. Benson pay in all?"],
        ["Dr. Li, Mrs. Wu and Ms. Ito met Prof. Kim.", "Who came?"],
        ["He lives on St. John's Road.", "Mt. Fuji is far."],
        ["She walked down Main St.", "How far did she walk?"],
        ["The bus leaves at 7 a.m. and comes back at 5 p.m.", "How long is it gone?"],
        ["It took 3.5 hours and $2.50!", "Why?", "Who knows."],
        ["J. K. Rowling wrote it.", "It has No. 5 on it."],
        ["A board is 3 ft. long.", "Another is 4 ft.", "How long are both?"],
        ["He has pens, pads, etc. in his bag.", "What else?"],
        ["He is in the U.S. for 3 days.", "What does he do?"],
        ['"Why?" he asked.', "She laughed."],
        ["Is it Plan B?", "If so, how?"],
        ["...and so on"],
    ],
)
def test_english_sentences(sentences):
    assert split_sentences(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["小红有3支笔。", "她又买了2.5元的纸！", "一共花了多少钱？"],
        ["他说：“为什么？”", "没有人回答。"],
        ["几个?", "小明说有3个!", "好。"],
        ["小明 (Mr. Li) 有3支笔。", "还剩几支"],
    ],
)
def test_chinese_sentences(sentences):
    assert split_sentences("".join(sentences)) == sentences


@given(st.text() | st.text("Mr. a.m? 。”\n", max_size=30))
def test_nothing_is_lost(text):
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
