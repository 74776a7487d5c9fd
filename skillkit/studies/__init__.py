"""Studies: checked parameters, notebooks through papermill, grids, reports, claims.

>>> from skillkit.studies import Claim
>>> Claim.over("Prompts beat chance.", "Wang et al. 2022", None, {"movies": (0.42, 0.4, 0.44)}).holds
'yes'
"""

from importlib import import_module

_HOME = {
    "claims": ("Claim", "claim_over"),
    "notebook": ("Run", "start"),
    "report.site": ("build_report", "compare_runs"),
    "results": ("publish",),
    "runner": ("run_study",),
    "study": ("load_study",),
}
_FILE_OF = {name: file for file, names in _HOME.items() for name in names}
__all__ = sorted(_FILE_OF)


def __getattr__(name):  # when first used, for start-up time: the command line needs few of these at once
    if name in _FILE_OF:
        return getattr(import_module(f"skillkit.studies.{_FILE_OF[name]}"), name)
    raise AttributeError(f"module 'skillkit.studies' has no attribute {name!r}")
