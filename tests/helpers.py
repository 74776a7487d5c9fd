"""Small things several tests need."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_path(relative):
    """A file or folder of the real data beside the repository; skips the test, saying so, when it is absent."""
    root = Path(os.environ.get("SKILLKIT_SHARED", REPOSITORY.parent / "shared"))
    path = root / relative
    if not path.exists():
        pytest.skip(f"real data not there: {relative} (set SKILLKIT_SHARED to the folder that holds it)")
    return path
