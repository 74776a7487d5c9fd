"""Studies: checked parameters, notebooks through papermill, grids, reports, claims.

>>> from skillkit.studies import Claim
>>> Claim.over("Prompts beat chance.", "Wang et al. 2022", None, {"movies": (0.42, 0.4, 0.44)}).holds
'yes'
"""

from importlib import import_module

_FILE_OF = {
    "Claim": "claims", "Run": "notebook", "build_report": "report.site",
    "compare_runs": "report.site", "load_study": "study", "publish": "results", "run_study": "runner",
    "start": "notebook", "verdict": "claims",
}  # fmt: skip
__all__ = sorted(_FILE_OF)


def __getattr__(name):  # when first used, for start-up time: the command line needs few of these at once
    if name in _FILE_OF:
        return getattr(import_module(f"skillkit.studies.{_FILE_OF[name]}"), name)
    raise AttributeError(f"module 'skillkit.studies' has no attribute {name!r}")
