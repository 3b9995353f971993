"""Runs measurement plans on the data owner's database. See README.md."""
