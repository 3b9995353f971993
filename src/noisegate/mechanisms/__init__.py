"""Noise, its price, and the one door from exact totals to what may be shown. See README.md."""
