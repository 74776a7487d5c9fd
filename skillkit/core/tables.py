"""A pandas DataFrame that the store can keep.

>>> table = cached(forgetting, bb, facts, found, draws=1)           # minutes, then milliseconds
>>> table.groupby("kind")["after"].mean()
"""

from pathlib import Path

import pandas


class Table(pandas.DataFrame):
    """A DataFrame with `save` and `load`; what is cut out of it is a plain DataFrame.

    >>> Table({"a": [1, 2]}).save("dir"); Table.load("dir")["a"].tolist()
    [1, 2]
    """

    @property
    def _constructor(self):
        return pandas.DataFrame

    def save(self, folder):
        """Write the columns, with their types, into an existing folder."""
        self.to_parquet(Path(folder) / "table.parquet")

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        return cls(pandas.read_parquet(Path(folder) / "table.parquet"))
