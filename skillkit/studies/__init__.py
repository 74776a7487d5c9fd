"""Studies and sweeps: parameters, notebooks through papermill, results."""

from importlib import import_module

# By name, when first used: the command line needs neither pandas nor matplotlib to start (start-up time).
_FILE_OF = {"start": "notebook", "Claim": "claims", "claim_over": "claims"}
__all__ = ["Claim", "claim_over", "start"]


def __getattr__(name):
    if name in _FILE_OF:
        return getattr(import_module(f"skillkit.studies.{_FILE_OF[name]}"), name)
    raise AttributeError(f"module 'skillkit.studies' has no attribute {name!r}")
