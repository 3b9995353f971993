"""A policy against the live database: ordered tuples of small rules over plain facts.

Errors are promises that cannot be kept, or that the gate could not plan with; nothing starts. Warnings are probably
not meant. Notes are worth knowing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from noisegate.policy.check_accounts import ACCOUNT_RULES
from noisegate.policy.check_columns import COLUMN_RULES
from noisegate.policy.check_tables import TABLE_RULES
from noisegate.policy.facts import DatabaseFacts
from noisegate.policy.load import LoadedPolicy
from noisegate.policy.walk import LiveRule, Severity

RULES: Final[tuple[LiveRule, ...]] = (*TABLE_RULES, *COLUMN_RULES, *ACCOUNT_RULES)
_ORDER: Final = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about one line of a policy file: 'what; what to write'."""

    severity: Severity
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def check(loaded: LoadedPolicy, facts: DatabaseFacts) -> list[Finding]:
    """All findings, errors first, then by line. Pure; raises nothing."""
    found = [said for rule in RULES for said in rule(loaded.policy, facts)]
    findings = [Finding(s.severity, loaded.source.file, loaded.source.line(s.path), s.text) for s in found]
    return sorted(dict.fromkeys(findings), key=lambda f: (_ORDER[f.severity], f.line))
