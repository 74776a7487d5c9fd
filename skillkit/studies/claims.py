"""A claim: what a paper states, its figure there, what was measured here, and whether it holds.

>>> claim = Claim("Prompts beat chance.", "Wang et al. 2022", 0.92, 0.951, 0.94, 0.96, holds="yes")
>>> claim.measured_text
'0.951 [0.940, 0.960]'
"""

import math
from collections import Counter
from dataclasses import asdict, dataclass

from skillkit.core.errors import SkillkitError
from skillkit.core.stats import Interval, adjusted

HOLDS = ("yes", "partly", "undecided", "contradicted", "not tested")


def verdict(intervals, bar=0.0):
    """What intervals say of the statement that all of them lie above a bar: a word of `HOLDS`.

    >>> verdict([(0.4, 0.3, 0.5), (0.1, -0.1, 0.3)])
    'partly'

    "yes": all lie above; "partly": some do; "contradicted": none does, and one lies below as a whole; "undecided":
    they reach over the bar. "not tested" without intervals, or when one has no ends (fewer than three units).
    """
    ends = [(low, high) for _, low, high in intervals]
    if not ends or any(math.isnan(low) for low, _ in ends):
        return "not tested"
    above = [low > bar for low, _ in ends]
    if any(above):
        return "yes" if all(above) else "partly"
    return "contradicted" if any(high < bar for _, high in ends) else "undecided"


def with_adjusted(claims):
    """Claims as dicts, with `adjusted`: the p-value after Benjamini & Hochberg (1995) over all of them, as text.

    >>> with_adjusted([{"p": 0.01}, {"p": 0.5}, {"p": None}])
    [{'p': 0.01, 'adjusted': '0.020'}, {'p': 0.5, 'adjusted': '0.500'}, {'p': None, 'adjusted': '–'}]
    """
    p_values = adjusted([math.nan if claim.get("p") is None else claim["p"] for claim in claims])
    return [claim | {"adjusted": _text(float(p))} for claim, p in zip(claims, p_values, strict=True)]


def expected_false_positives(claims):
    """How many of these claims (dicts) luck alone would call "yes": 2.5 % of those with an interval.

    >>> expected_false_positives([{"holds": "yes"}] * 40 + [{"holds": "not tested"}])
    1.0
    """
    return 0.025 * sum(claim["holds"] != "not tested" for claim in claims)


def verdict_counts(claims):
    """{verdict: how many of these claims (dicts) say it}, in order; `holds` may be such counts itself.

    >>> verdict_counts([{"holds": "undecided"}, {"holds": "yes"}, {"holds": {"yes": 3}}])
    {'yes': 4, 'undecided': 1}
    """
    found = Counter()
    for holds in (claim["holds"] for claim in claims):
        found.update([holds] if isinstance(holds, str) else holds)
    return {word: found[word] for word in HOLDS if found[word]}


@dataclass(frozen=True)
class Claim:
    """A statement of a paper, its figure there, and what was measured here.

    >>> Claim("Prompts beat chance.", "Wang et al. 2022", published=0.92, measured=0.95, holds="yes")

    `published` and `measured` are numbers or short texts; `low` and `high` bound the 95 % interval; `holds`
    is one of "yes", "partly", "undecided", "contradicted", "not tested"; `p` is a one-sided p-value. Raises
    SkillkitError for another word.
    """

    statement: str
    paper: str
    published: float | str | None = None
    measured: float | str | None = None
    low: float | None = None
    high: float | None = None
    holds: str = "not tested"
    note: str = ""
    p: float | None = None
    __pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}  # of those that are read from a file

    def __post_init__(self):
        if self.holds not in HOLDS:
            raise SkillkitError(f"holds is one of {', '.join(map(repr, HOLDS))}, not {self.holds!r}")

    @classmethod
    def over(cls, statement, paper, published, intervals, bar=0.0, note=""):
        """A claim about several things (tasks): the worst one is reported, and it holds where all lie above `bar`.

        >>> Claim.over("Prompts beat chance.", "Wang et al. 2022", None, {"movies": (0.42, 0.4, 0.44)}, note="gap")
        Claim(statement='Prompts beat chance.', …, measured=0.42, low=0.4, high=0.44, holds='yes', …)

        intervals {name: (mean, low, high)}; `verdict` judges them. The p-value is the largest of them: the statement is
        about all (Berger 1982).
        """
        if not intervals:
            return cls(statement, paper, published, note=note)
        holds = verdict(intervals.values(), bar)
        # One that lies below as a whole contradicts, one that is not above leaves it at "partly".
        end = {"contradicted": 2, "partly": 1}.get(holds, 0)
        worst = min(intervals, key=lambda name: intervals[name][end])
        which = f"worst: {worst}" if len(intervals) > 1 else str(worst)
        note = "; ".join(filter(None, [which, note]))
        found = [Interval(one, getattr(one, "df", math.inf)).p_value(bar) for one in intervals.values()]
        p = math.nan if any(map(math.isnan, found)) else max(found)
        mean, low, high = intervals[worst]
        return cls(statement, paper, published, mean, low, high, holds, note, p)

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
