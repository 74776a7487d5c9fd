"""A claim: what a paper states, its figure there, what was measured here, and whether it holds.

>>> claim = Claim("Prompts beat chance.", "Wang et al. 2022", 0.92, 0.951, 0.94, 0.96, holds="yes")
>>> claim.measured_text
'0.951 [0.940, 0.960]'
"""

import math
from dataclasses import asdict, dataclass

from skillkit.core.errors import SkillkitError

HOLDS = ("yes", "partly", "no", "not tested")


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, its figure there, and what was measured here.

    >>> Claim("Prompts beat chance.", "Wang et al. 2022", published=0.92, measured=0.95, holds="yes")

    `published` and `measured` are numbers or short texts; `low` and `high` bound the 95 % interval; `holds`
    is one of "yes", "partly", "no", "not tested". Raises SkillkitError for another word.
    """

    statement: str
    paper: str
    published: float | str | None = None
    measured: float | str | None = None
    low: float | None = None
    high: float | None = None
    holds: str = "not tested"
    note: str = ""

    def __post_init__(self):
        if self.holds not in HOLDS:
            raise SkillkitError(f"a claim holds {', '.join(map(repr, HOLDS))}, not {self.holds!r}")

    @classmethod
    def over(cls, statement, paper, published, intervals, bar=0.0, note=""):
        """A claim about several things (tasks): the worst one is reported, and it holds where all lie above `bar`.

        >>> Claim.over("Prompts beat chance.", "Wang et al. 2022", None, {"movies": (0.42, 0.4, 0.44)}, note="gap")
        Claim(statement='Prompts beat chance.', …, measured=0.42, low=0.4, high=0.44, holds='yes', note='movies; gap')

        intervals {name: (mean, low, high)}: it holds "partly" when only some intervals lie above the bar as a
        whole, and is "not tested" without intervals, or when one of them has no ends (a single seed).
        """
        if not intervals:
            return cls(statement, paper, published, note=note)
        worst = min(intervals, key=lambda name: intervals[name][0])
        above = [low > bar for _, low, _ in intervals.values()]
        holds = "yes" if all(above) else "partly" if any(above) else "no"
        if any(math.isnan(low) for _, low, _ in intervals.values()):
            holds = "not tested"
        which = f"worst: {worst}" if len(intervals) > 1 else str(worst)
        mean, low, high = intervals[worst]
        note = "; ".join(filter(None, [which, note]))
        return cls(statement, paper, published, mean, low, high, holds, note)

    @property
    def published_text(self):
        """The paper's figure, with three decimals."""
        return _text(self.published)

    @property
    def measured_text(self):
        """The measured figure and its interval, with three decimals."""
        interval = None not in (_plain(self.low), _plain(self.high))
        return _text(self.measured) + f" [{_text(self.low)}, {_text(self.high)}]" * interval

    def plain(self):
        """The claim as plain JSON: NumPy's numbers become Python's, what is no number becomes None.

        >>> Claim("Prompts beat chance.", "Wang et al. 2022", measured=float("nan")).plain()["measured"]
        """
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value):
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value):
    value = _plain(value)
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
