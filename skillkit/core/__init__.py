"""What every room needs: errors, files, progress, provenance, the artifact store, statistics."""

from skillkit.core.errors import SkillkitError
from skillkit.core.progress import progress
from skillkit.core.store import artifact, cached

_STATISTICS = ("difference_interval", "mean_interval", "share_interval")
__all__ = ["SkillkitError", "artifact", "cached", "progress", *_STATISTICS]


def __getattr__(name):
    if name in _STATISTICS:
        from skillkit.core import stats  # start-up time: scipy and statsmodels take a second

        return getattr(stats, name)
    raise AttributeError(f"module 'skillkit.core' has no attribute {name!r}")
