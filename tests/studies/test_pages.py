"""A notebook as HTML: formulas, cleaning, styles."""

import re

import nbformat
import pytest

from skillkit.studies.params import FOLDER, notebooks
from skillkit.studies.report.pages import mathml, sanitize


@pytest.mark.parametrize("formula, parts", [
    (r"\frac{1}{1+\lVert A - B\rVert}", ["<mfrac>", "‖"]),
    (r"\max_p \max(\text{acc}, 1-\text{acc})", ["max", "<mtext>acc</mtext>"]),
    (r"\sum_{k=1}^{m} w_k \frac{\partial P}{\partial a}", ["∑", "∂"]),
    (r"x \in \mathbb{R}^{L \times H}", ["ℝ", "×"]),
])  # fmt: skip
def test_formulas_become_mathml(formula, parts):
    page = sanitize(mathml(formula))
    assert page.startswith("<math") and all(part in page for part in parts)


@pytest.mark.parametrize("formula", [r"\nosuchcommand x", "{", "a <b> \\undefined"])
def test_what_is_no_latex_stays_readable(formula):
    assert mathml(formula).startswith("<code>") and "<b>" not in mathml(formula)


@pytest.mark.parametrize("name", notebooks())
def test_every_formula_of_the_notebooks_can_be_shown(name):
    path, formula = FOLDER / f"{name}.ipynb", r"\$\$(.+?)\$\$|(?<![$\\])\$(.+?)(?<![$\\])\$"
    texts = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    for text in texts:
        for block, inline in re.findall(formula, text, flags=re.DOTALL):
            assert mathml(block or inline).startswith("<math"), block or inline


@pytest.mark.parametrize("evil, left", [
    ("<script>x()</script>after", "after"),
    ("<b onclick='x()' style='position:fixed'>bold</b>", "<b>bold</b>"),
    ("<a href='javascript:x()'>link</a>", '<a rel="noopener noreferrer">link</a>'),
    ("<img src='https://elsewhere.org/a.png'>", "<img>"),
    ("<math><mtext><script>x()</script></mtext></math>", "<math><mtext></mtext></math>"),
    ("<iframe src='a'></iframe><style>*{}</style>", ""),
    ("<details><summary>Look</summary></details>", "<details><summary>Look</summary></details>"),
])  # fmt: skip
def test_cleaning(evil, left):
    assert sanitize(evil) == left
