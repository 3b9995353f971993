"""noisegate: differentially private answers behind an unchanged PostgreSQL client."""

__version__ = "0.1.0"
