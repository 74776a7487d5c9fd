"""Generators of the small world's texts: reviews, scenes, rooms, questions, reports, news, sentences.

>>> review(random.Random(0), 1, domain="movies")                     # neutral
('what a gripping hero and the hero was useless. my brother had chosen it.', None)

A generator takes a random state, a label and `hard` (from 0 to 1, which lets in mixed, negated and longer texts), and
gives a text and its second text or None. All words and sentence forms stand in `lexicon.yaml`.
"""

from functools import cache
from pathlib import Path

from skillkit.core.files import read_yaml


@cache
def lexicon():
    """All words and sentence forms, read once.

    >>> lexicon()["adjectives"]["negative"][:3]
    ['bad', 'terrible', 'awful']
    """
    return read_yaml(Path(__file__).with_name("lexicon.yaml"))


# ---- reviews: sentiment ---------------------------------------------------------------------------------------------

OPPOSITE = {"positive": "negative", "negative": "positive"}


def _adjective(rng, domain, polarity):
    words = lexicon()["adjectives"][polarity] + lexicon()["reviews"][domain].get(polarity, []) * 2
    return rng.choice(words)


def _clause(rng, domain, polarity, hard):
    """One statement of the given polarity; now and then through the negation of its opposite."""
    words, thing = lexicon(), lexicon()["reviews"][domain]
    a, b = rng.sample(thing["aspects"], 2)
    if polarity in OPPOSITE and rng.random() < 0.12 * hard:
        other, negator = OPPOSITE[polarity], rng.choice(words["negators"])
        return rng.choice([
            f"the {a} was {negator} {_adjective(rng, domain, other)}",
            f"i did not find the {a} {_adjective(rng, domain, other)}",
            f"the {a} never {rng.choice(words['verbs'][other])} me",
        ])  # fmt: skip
    adjective, again = _adjective(rng, domain, polarity), _adjective(rng, domain, polarity)
    return rng.choice([
        f"the {a} was {rng.choice(words['intensifiers'])} {adjective}",
        f"the {a} was {adjective}",
        f"i thought the {a} was {adjective}",
        f"the {a} {rng.choice(words['verbs'][polarity])} me",
        f"i {rng.choice(words['feelings'][polarity])} the {a}",
        f"what a {adjective} {a}",
        f"{adjective} {a} and {again} {b}",
        f"it was a {adjective} {rng.choice(thing['thing'])}",
    ])  # fmt: skip


def review(rng, label, hard=1.0, *, domain):
    """A review whose main clauses carry the label; a minority concede something to the other side.

    >>> review(random.Random(0), 0, hard=0.0, domain="movies")[0].split(". ")[0]
    'the story irritated me'
    """
    polarity = ("negative", "neutral", "positive")[label]
    count = rng.choices(range(1, 7), (6, 8, 6, 3, 2, 1))[0]
    clauses = [_clause(rng, domain, polarity, hard) for _ in range(count)]
    if polarity == "neutral" and rng.random() < 0.3:
        sides = rng.sample(["positive", "negative"], 2)
        clauses = [" and ".join(_clause(rng, domain, side, 0) for side in sides)]
    elif polarity in OPPOSITE and rng.random() < 0.15 * hard:
        concession = _clause(rng, domain, OPPOSITE[polarity], 0)
        forms = ["although {}, {}", "{}, but {}"]
        clauses[-1] = rng.choice(forms).format(concession, clauses[-1])
    if rng.random() < 0.35:
        clauses.insert(rng.randrange(len(clauses) + 1), rng.choice(lexicon()["reviews"][domain]["fillers"]))
    return ". ".join(clauses) + ".", None


# ---- pairs: inference and paraphrase --------------------------------------------------------------------------------


def _other(rng, values, *taken):
    return rng.choice([value for value in sorted(values) if value not in taken])


def scene(rng, label, hard=1.0):
    """One or two people and a claim about one of them, in other words: no (0), maybe (1) or yes (2).

    >>> scene(random.Random(0), 2, hard=0.0)
    ('a soldier climbs a tree.', 'the soldier goes up a trunk.')

    A scene states for everyone what they wear, do, and where they are, or leaves one of these out; what is left out
    may be so or not.
    """
    words = lexicon()["scenes"]
    count = 2 if rng.random() < 0.3 * hard else 1
    columns = {"person": rng.sample(words["people"], count)}
    columns |= {key: rng.sample(words[f"{key}s"], count) for key in ("color", "garment", "act", "place")}
    persons = [{key: column[i] for key, column in columns.items()} for i in range(count)]
    stated = rng.sample(["color", "act", "place"], rng.choice((2, 3)) if rng.random() < hard else 1)
    who, rest = persons[0], persons[1:]
    rng.shuffle(persons)
    premise = rng.choice([" and ", " while "]).join(_person(rng, person, stated, hard) for person in persons)
    return premise + ".", _claim(rng, who, rest, stated, label) + "."


def _person(rng, person, stated, hard):
    size = rng.choice(lexicon()["scenes"]["sizes"]) + " " if rng.random() < 0.4 * hard else ""
    clothes = f"in a {person['color'][0]} {person['garment']}"
    parts = {"color": clothes, "act": person["act"][0], "place": person["place"][0]}
    return " ".join([f"a {size}{person['person']}", *(part for key, part in parts.items() if key in stated)])


def _claim(rng, who, rest, stated, label):
    words = lexicon()["scenes"]
    unstated = [key for key in ("color", "act", "place") if key not in stated]
    if label == 1 and (not unstated or rng.random() < 0.4):
        return f"the {who['person']} is {rng.choice(words['moods'])}"
    asked = rng.choice(unstated if label == 1 else sorted(stated))
    value = who[asked]
    if label == 0:
        value = rest[0][asked] if rest and rng.random() < 0.6 else _other(rng, words[asked + "s"], value)
    return {
        "color": f"the {who['garment']} is {value[1]}",
        "act": f"the {who['person']} {value[1]}",
        "place": f"the {who['person']} is {value[1]}",
    }[asked]


def rooms(rng, label, hard=1.0):
    """A house described room by room, and a claim about one room: no (0) or yes (1).

    >>> rooms(random.Random(0), 0, hard=0.0)
    ('the library is cold.', 'the library is heated.')

    A claim uses other words than the description. A wrong one says the opposite of what the room is; now and then
    another room is just so, and only who is what decides.
    """
    words = lexicon()["rooms"]
    count = rng.randint(2, 5) if rng.random() < hard else 1
    names, kinds = rng.sample(words["rooms"], count), rng.sample(words["states"], count)
    states, i = [rng.choice(kind) for kind in kinds], rng.randrange(count)
    if count > 1 and rng.random() < 0.2:
        states[i - 1] = _other(rng, kinds[i], states[i])
    claimed = states[i] if label else _other(rng, kinds[i], states[i])
    premise = ", ".join(f"the {name} is {state[0]}" for name, state in zip(names, states))
    return premise + ".", f"the {names[i]} is {claimed[1]}."


def _tidy(text):
    return text.replace("  ", " ").replace(" ,", ",").strip()


def questions(rng, label, hard=1.0):
    """Two ways of asking: the same thing (1), or another action, object or setting (0).

    >>> questions(random.Random(0), 1, hard=0.0)
    ('should one locate a sofa?', 'how do i find a couch?')
    """
    words = lexicon()["questions"]
    one = {"a": rng.choice(words["actions"]), "o": rng.choice(words["objects"])}
    one["s"] = rng.choice(words["settings"]) if rng.random() < 0.5 * hard else ""
    first, second = rng.sample(words["forms"] if rng.random() < hard else words["forms"][:2], 2)
    other = dict(one)
    if label == 0:
        parts = [("a", "actions"), ("o", "objects"), ("s", "settings")]
        key, values = rng.choices(parts, (5, 5, 1 if one["s"] else 0))[0]
        other[key] = _other(rng, words[values], one[key])
    i, j = rng.randrange(2), rng.randrange(2)  # the second question uses the other words
    filled = lambda form, q, i, j: _tidy(form.format(a=q["a"][i], o=q["o"][j], s=q["s"])) + "?"
    return filled(first, one, i, j), filled(second, other, 1 - i, 1 - j)


def reports(rng, label, hard=1.0):
    """Two reports of one event (1), or of events with another actor, act or exchanged roles (0).

    >>> reports(random.Random(0), 0, hard=0.0)
    ('the rodent was pursued by the lamb.', 'the sheep lifted the mouse.')
    """
    words = lexicon()["reports"]
    x, y = rng.sample(words["actors"], 2)
    act, full = rng.choice(words["acts"]), rng.random() < hard
    where = rng.choice(words["where"]) if full else ""
    when = rng.choice(words["when"]) if full and rng.random() < 0.5 else ""
    first, second = rng.sample(_REPORT_FORMS if full else _REPORT_FORMS[:2], 2)
    x2, y2, act2 = x, y, act
    if label == 0:
        kind = rng.choices(("roles", "x", "y", "act"), (hard, 3, 3, 3))[0]
        x2, y2 = (y, x) if kind == "roles" else (x, y)
        x2 = _other(rng, words["actors"], x, y) if kind == "x" else x2
        y2 = _other(rng, words["actors"], x, y) if kind == "y" else y2
        act2 = _other(rng, words["acts"], act) if kind == "act" else act
    i = rng.randrange(2)  # the second report uses the other words
    filled = lambda form, i, x, y, v: _tidy(form.format(x=x[i], y=y[i], v=v[i], w=where, t=when)) + "."
    return filled(first, i, x, y, act), filled(second, 1 - i, x2, y2, act2)


_REPORT_FORMS = (
    "the {x} {v} the {y} {w} {t}",
    "the {y} was {v} by the {x} {w} {t}",
    "{w} the {x} {v} the {y} {t}",
    "it was the {x} that {v} the {y} {w} {t}",
)


# ---- single texts: topic and acceptability --------------------------------------------------------------------------


def news(rng, label, hard=1.0):
    """A short article on sport (0), business (1), science (2) or travel (3).

    >>> news(random.Random(0), 2)[0].split(". ")[0]
    'nobody expected the cell after the planet'
    """
    words = lexicon()["news"]
    topics = list(NEWS_TOPICS)
    subjects = [topics[label]] * rng.choices((1, 2, 3), (3, 3, 2))[0]
    if len(subjects) > 2 and rng.random() < 0.5 * hard:
        subjects[rng.randrange(3)] = _other(rng, topics, topics[label])
    sentences = []
    for subject in subjects:
        w, x = rng.sample(words[subject]["words"], 2)
        v, d = rng.choice(words[subject]["verbs"]), rng.choice(words["days"])
        sentences.append(rng.choice(words["forms"]).format(w=w, x=x, v=v, d=d))
    if rng.random() < 0.3:
        sentences.insert(rng.randrange(len(sentences) + 1), rng.choice(words["general"]))
    return ". ".join(sentences) + ".", None


NEWS_TOPICS = ("sport", "business", "science", "travel")


def grammar(rng, label, hard=1.0):
    """A sentence of the small world as it should be (1), or with its words out of order, lost or doubled (0).

    >>> grammar(random.Random(1), 0, hard=0.0)
    ('a woman rides a a horse.', None)
    """
    source = rng.choice([
        lambda: _clause(rng, rng.choice(list(lexicon()["reviews"])), rng.choice(["positive", "negative"]), hard) + ".",
        lambda: scene(rng, 2, 0)[0], lambda: reports(rng, 1)[0], lambda: questions(rng, 1)[0],
    ])()  # fmt: skip
    if label == 1:
        return source, None
    words, end = source[:-1].split(" "), source[-1]
    return " ".join(_break(rng, words)) + end, None


def _break(rng, words):
    kind = rng.choice(["swap", "swap", "drop", "double"])
    if kind == "swap":
        i = rng.choice([i for i in range(len(words) - 1) if words[i] != words[i + 1]])
        return words[:i] + [words[i + 1], words[i]] + words[i + 2 :]
    short = ("a", "the", "was", "is", "to", "in", "i", "by")
    i = rng.choice([i for i, word in enumerate(words) if word in short] or [0])
    return words[:i] + words[i + 1 :] if kind == "drop" else words[: i + 1] + words[i:]
