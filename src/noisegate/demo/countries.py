"""The demo's public table: real countries, and how the demo's users spread over them.

(code, name, region, population in 2023 in thousands, rounded; share of users in parts per ten thousand). The last ones
are so small that a data set of 50,000 has fewer than ten of their users.
"""

from __future__ import annotations

from typing import Final

COUNTRIES: Final[tuple[tuple[str, str, str, int, float], ...]] = (
    ("US", "United States", "Americas", 334_900, 2900),
    ("DE", "Germany", "Europe", 83_300, 1050),
    ("GB", "United Kingdom", "Europe", 68_300, 950),
    ("IN", "India", "Asia", 1_428_600, 870),
    ("FR", "France", "Europe", 68_200, 700),
    ("BR", "Brazil", "Americas", 211_100, 560),
    ("CA", "Canada", "Americas", 40_100, 480),
    ("JP", "Japan", "Asia", 124_500, 420),
    ("ES", "Spain", "Europe", 48_400, 310),
    ("IT", "Italy", "Europe", 59_000, 290),
    ("NL", "Netherlands", "Europe", 17_900, 260),
    ("AU", "Australia", "Oceania", 26_700, 230),
    ("PL", "Poland", "Europe", 36_700, 180),
    ("MX", "Mexico", "Americas", 129_700, 150),
    ("SE", "Sweden", "Europe", 10_500, 120),
    ("KR", "South Korea", "Asia", 51_700, 100),
    ("CH", "Switzerland", "Europe", 8_900, 80),
    ("AT", "Austria", "Europe", 9_100, 60),
    ("BE", "Belgium", "Europe", 11_800, 50),
    ("PT", "Portugal", "Europe", 10_600, 40),
    ("DK", "Denmark", "Europe", 5_900, 35),
    ("FI", "Finland", "Europe", 5_600, 30),
    ("NO", "Norway", "Europe", 5_500, 28),
    ("IE", "Ireland", "Europe", 5_300, 22),
    ("CZ", "Czechia", "Europe", 10_900, 18),
    ("ZA", "South Africa", "Africa", 63_200, 15),
    ("AR", "Argentina", "Americas", 45_500, 12),
    ("GR", "Greece", "Europe", 10_400, 10),
    ("NZ", "New Zealand", "Oceania", 5_200, 8),
    ("KE", "Kenya", "Africa", 55_300, 6),
    ("CL", "Chile", "Americas", 19_700, 5),
    ("NG", "Nigeria", "Africa", 227_900, 4),
    ("EE", "Estonia", "Europe", 1_400, 2.4),
    ("UY", "Uruguay", "Americas", 3_400, 1.6),
    ("LU", "Luxembourg", "Europe", 700, 1.2),
    ("IS", "Iceland", "Europe", 400, 1.0),
    ("MT", "Malta", "Europe", 600, 0.8),
    ("CY", "Cyprus", "Europe", 1_300, 0.6),
    ("BT", "Bhutan", "Asia", 800, 0.4),
    ("FJ", "Fiji", "Oceania", 900, 0.3),
)
