"""Lines of SQL break where the standard library would break them, at blanks."""

from __future__ import annotations

import textwrap

from hypothesis import given, seed
from hypothesis import strategies as st

from noisegate.privacy.wrapping import wrapped


@seed(1)
@given(st.lists(st.text("ab-_'", min_size=1, max_size=40), max_size=30), st.integers(5, 60))
def test_lines_are_as_wide_as_they_can_be(words: list[str], width: int) -> None:
    text = " ".join(words)
    expected = textwrap.wrap(
        text, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    assert wrapped(text, width, "  ") == expected


def test_blanks_inside_a_line_stay() -> None:
    assert wrapped("a  b\tc", 10) == ["a  b c"]
