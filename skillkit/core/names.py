"""Names that tell things apart: two things in one dict must not overwrite each other.

>>> short_names(["x/reviews.yaml", "y/reviews.yaml", "world/movies"])
{'x/reviews.yaml': 'x/reviews', 'y/reviews.yaml': 'y/reviews', 'world/movies': 'movies'}
"""

import re
import unicodedata
from collections import Counter

from skillkit.core.errors import SkillkitError
from skillkit.core.hashing import digest


def short_names(names):
    """{name: its last part}, with as many of those before it as it takes to tell the name from the others.

    >>> short_names(["embedded/gpt2", "gpt2"])
    {'embedded/gpt2': 'embedded/gpt2', 'gpt2': 'gpt2'}
    """
    names = list(dict.fromkeys(names))
    parts = {name: [part for part in name.split("/") if part] or [name] for name in names}
    found, taken = dict.fromkeys(names, 1), lambda name: "/".join(parts[name][-found[name] :])
    plain = lambda name: taken(name).removesuffix(".yaml").removesuffix(".yml")
    while True:
        counts = Counter(map(plain, names))
        more = [name for name in names if counts[plain(name)] > 1 and found[name] < len(parts[name])]
        if not more:
            return {name: plain(name) if counts[plain(name)] == 1 else name for name in names}
        found |= {name: found[name] + 1 for name in more}


def by_name(things, names=None):
    """{name: thing}, by their `name`, or by `names`, one for each.

    >>> by_name([load_task("world/movies"), load_task("world/rooms")]).keys()
    dict_keys(['world/movies', 'world/rooms'])

    Raises SkillkitError where two share a name, of which one would be lost.
    """
    things = list(things)
    names = [thing.name for thing in things] if names is None else list(names)
    for name, count in Counter(names).items():
        if count > 1:
            raise SkillkitError(f"{count} of those given are called {name!r}; give each a name of its own")
    return dict(zip(names, things, strict=True))


def slugs(names):
    """{name: what a folder for it is called}: letters, digits, dots and hyphens; never empty, hidden or twice the same.

    >>> slugs(["small world", "MiniLM", ".."])
    {'small world': 'small-world', 'MiniLM': 'minilm', '..': 'a8ca4457'}
    """
    plain = {name: unicodedata.normalize("NFKC", name).casefold() for name in names}
    plain = {name: re.sub(r"[^\w.]+", "-", text).strip("-.")[:50] for name, text in plain.items()}
    counts = Counter(plain.values())
    alone = lambda word: word and counts[word] == 1 and not re.search("(^|-)[0-9a-f]{8}$", word)
    return {
        name: word if alone(word) else f"{word}-{digest(name)[:8]}".strip("-") for name, word in plain.items()
    }
