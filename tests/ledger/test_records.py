"""A relayed statement's record, which is spelled out by hand, is the canonical one."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from noisegate.ledger.audit import REFUSED, RELAYED, RelayedEntry

texts = st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(["", "SELECT 'é\\\"\n\0'"])
entries = st.builds(
    RelayedEntry,
    *[texts] * 5,
    st.sampled_from(["ok", "22012", "08006"]),
    st.floats(0, 1e6),
    st.floats(0, 4e9),
)


@given(entries, st.integers(1, 2**62))
def test_the_short_way_writes_what_the_long_way_writes(entry: RelayedEntry, number: int) -> None:
    assert entry.body(number) == entry.entry().body(number)
    values = json.loads(entry.body(number))
    assert values["event"] == (RELAYED if entry.outcome == "ok" else REFUSED)
    assert (values["id"], values.get("sql", "")) == (number, entry.sql)
    assert entry.size == entry.entry().size
