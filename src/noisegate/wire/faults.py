"""A fault of the gate itself, for its log: what kind and where, never what its text says (it may hold data)."""

from __future__ import annotations

import traceback
from pathlib import Path


def fault(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    places = (f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-4:])
    return f"{type(error).__qualname__} at {' > '.join(places)}"
