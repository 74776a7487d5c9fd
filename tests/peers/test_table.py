"""The table of these comparisons, docs/peers.md, tells of every test, and of differences that the tests allow."""

import ast
import re

from tests.helpers import REPOSITORY


def test_the_table_tells_of_every_comparison():
    here, code = REPOSITORY / "tests/peers", {}
    for path in here.glob("test_*.py"):
        text = path.read_text()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                code[node.name] = ast.get_source_segment(text, node)
    del code["test_the_table_tells_of_every_comparison"]
    table = (REPOSITORY / "docs/peers.md").read_text()
    assert set(re.findall(r"`(test_\w+)`", table)) == set(code)
    rows = re.findall(r"\| (\S+) \| `(test_\w+)` \|$", table, re.MULTILINE)
    assert len(rows) == len(re.findall(r"\| `test_\w+` \|$", table, re.MULTILINE))
    for within, name in rows:
        assert within == "=" or within in code[name], f"{name} allows no {within}"
