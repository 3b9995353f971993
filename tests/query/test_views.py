"""Views in a deparsed statement are written out: where they stand in FROM, under their alias, and nowhere else."""

from __future__ import annotations

import pytest

from noisegate.errors import TooComplex
from noisegate.query.views import TEXT_MAX, expand

VIEWS = {
    ("public", "seen"): " SELECT users.id FROM public.users",
    ("web", 'Odd "one"'): "SELECT seen.id FROM public.seen WHERE seen.id > 5",
}
SEEN = "(  SELECT users.id FROM public.users )"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT seen.id FROM public.seen", f"SELECT seen.id FROM {SEEN} seen"),
        ("SELECT s.id FROM public.seen s WHERE (s.id = 1)", f"SELECT s.id FROM {SEEN} s WHERE (s.id = 1)"),
        ("SELECT s.x FROM ONLY public.seen s(x)", f"SELECT s.x FROM {SEEN} s(x)"),
        (
            "SELECT 1 FROM (public.seen a JOIN public.seen USING (id))",
            f"SELECT 1 FROM ({SEEN} a JOIN {SEEN} seen USING (id))",
        ),
        ("SELECT 1 FROM public.seen EXCEPT SELECT 2", f"SELECT 1 FROM {SEEN} seen EXCEPT SELECT 2"),
        ("SELECT 1 FROM public.seen, public.other", f"SELECT 1 FROM {SEEN} seen, public.other"),
        (
            'SELECT (SELECT count(*) FROM web."Odd ""one"""), 1 FROM t.seen',
            f"SELECT (SELECT count(*) FROM ( SELECT seen.id FROM {SEEN} seen WHERE seen.id > 5 ) "
            '"Odd ""one"""), 1 FROM t.seen',
        ),
        ("WITH seen AS (SELECT 1 AS id FROM public.seen) SELECT seen.id FROM seen", None),
        ("SELECT 'public.seen'::regclass, (ROW(1))::public.seen", "same"),
        ("SELECT public.seen(1) AS seen", "same"),
    ],
)
def test_each_mention_in_from(text: str, expected: str | None) -> None:
    if expected is None:
        expected = f"WITH seen AS (SELECT 1 AS id FROM {SEEN} seen) SELECT seen.id FROM seen"
    assert expand(text, VIEWS) == (text if expected == "same" else expected)


def test_what_would_grow_without_end_is_refused() -> None:
    tower = {("v", f"v{i}"): f"SELECT 1 FROM v.v{i + 1}" for i in range(40)}
    with pytest.raises(TooComplex):
        expand("SELECT 1 FROM v.v0", tower)
    with pytest.raises(TooComplex):
        expand("SELECT 1 FROM v.loop", {("v", "loop"): "SELECT 1 FROM v.loop"})
    bush = {("v", f"v{i}"): f"SELECT 1 FROM {', '.join(f'v.v{i + 1} a{n}' for n in range(9))}" for i in range(12)}
    with pytest.raises(TooComplex):
        expand("SELECT 1 FROM v.v0", bush)
    assert len(expand("SELECT 1 FROM v.v8", bush)) < TEXT_MAX
