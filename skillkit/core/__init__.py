"""What every room needs: errors, files, progress, provenance, the artifact store, statistics."""

from importlib import import_module

from skillkit.core.errors import SkillkitError
from skillkit.core.names import by_name, short_names
from skillkit.core.progress import progress

# Imported when first used, for start-up time: scipy, statsmodels and pandas take seconds.
_LATER = dict.fromkeys(("artifact", "cached"), "store") | dict.fromkeys(
    ("Interval", "accuracy_interval", "difference_interval", "mean_interval", "share_interval"), "stats"
)
__all__ = ["SkillkitError", "by_name", "progress", "short_names", *_LATER]


def __getattr__(name):
    if name not in _LATER:
        raise AttributeError(f"module 'skillkit.core' has no attribute {name!r}")
    return getattr(import_module(f"skillkit.core.{_LATER[name]}"), name)
