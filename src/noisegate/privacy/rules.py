"""The rules of a fragment's relation, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from noisegate.plan.catalog import Snapshot
from noisegate.plan.reading import OutputType
from noisegate.privacy.derived import derive
from noisegate.privacy.elements import elements
from noisegate.privacy.givens import given_source
from noisegate.privacy.predicates import special
from noisegate.privacy.relation import Resolver
from noisegate.privacy.world import Rules, World
from noisegate.query.constants import Const, Span
from noisegate.query.tree import From

_RULES = Rules(derive, given_source, elements, special)


def resolver_of(
    relation: From,
    snapshot: Snapshot,
    constants: Mapping[Span, Const],
    givens: Sequence[Sequence[OutputType]] = (),
) -> Resolver:
    """The resolver of a fragment's FROM clause. `givens`: the types of the columns of Split.givens."""
    return Resolver(relation, World(snapshot, constants, givens, _RULES))
