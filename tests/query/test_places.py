"""The caret of a refusal: aligned with PostgreSQL's deparse, cheap, and somewhere in the text whatever it holds.

tests/golden/refusals/places.txt has what clients see.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noisegate.errors import Unsupported
from noisegate.query.lexer import tokenize
from noisegate.query.places import CELLS_MAX, align, place

TEXT = "SELECT plan, sum(age) AS balance, sum(balance) FROM users WHERE balance > 0 GROUP BY 1"
READ = "SELECT plan, sum(age) AS balance, sum(balance) AS sum FROM public.users WHERE (balance > 0) GROUP BY plan"


def placed(text: str, read: str, name: str | None, span: tuple[int, int]) -> int:
    error = Unsupported("", name=name).about(*span)
    error.reading = read
    return place(tokenize(text), error)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_each_of_several_equal_names_is_found(nth: int) -> None:
    """The alias, the argument, and the one in WHERE."""
    at = [i for i in range(len(READ)) if READ.startswith("balance", i)][nth - 1]
    wanted = [i for i in range(len(TEXT)) if TEXT.startswith("balance", i)][nth - 1]
    assert placed(TEXT, READ, "balance", (at, at + 7)) == wanted + 1


def test_what_the_text_spells_by_an_ordinal_is_shown_where_its_name_stands() -> None:
    assert placed(TEXT, READ, "plan", (READ.rindex("plan"), len(READ))) == TEXT.index("plan") + 1


def test_a_star_stands_for_its_columns() -> None:
    text, read = "SELECT u.* FROM users u", "SELECT id, age FROM public.users u"
    assert placed(text, read, "age", (read.index("age"), read.index("age") + 3)) == text.index("*") + 1


def test_long_texts_are_not_aligned_but_placed() -> None:
    """A refusal costs little time, however long the statement is."""
    words = " ".join(f"x{i}" for i in range(CELLS_MAX // 100))
    started = time.process_time()
    assert placed(f"SELECT {words}", words, "x7", (0, 3)) == f"SELECT {words}".index("x7") + 1
    side = int(CELLS_MAX**0.5) - 1
    tokens = tokenize(" ".join("a" for _ in range(side)))
    assert len(align(tokens, tokens)) == side
    assert time.process_time() - started < 1


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=3), st.integers(0, 40), st.integers(0, 40))
def test_any_place_is_in_the_text(text: str, read: str, name: str, first: int, last: int) -> None:
    found = placed(text, read, name, (first, last))
    assert 1 <= found <= max(len(text), 1)
