"""A notebook as HTML without scripts and requests: sanitized, formulas as MathML, code folded.

>>> cells_as_html("runs/embedded/01_prompt_tuning/01_prompt_tuning.ipynb")[:5]
"""

import functools
import html
import re
from pathlib import Path

import nbformat
import nh3
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from skillkit.core.errors import SkillkitError, short

TEMPLATES = Path(__file__).with_name("templates")
# What front ends can show, best first; scripts and widgets have no place in a page without scripts.
_SHOWN = [
    "image/png", "image/jpeg", "image/svg+xml", "text/html", "text/markdown", "text/latex", "text/plain",
]  # fmt: skip
_FINISHED_BAR = re.compile(r"[^\n]*100%\|█+\| (\d+)/\1 \[[^\n]*$")
_IMAGE = re.compile(r'<img src="[^"]*"\s+alt="([^"]*)"\s*>')
_WIDGET = "application/vnd.jupyter.widget-view+json"
_MATHML = {
    "math", "menclose", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "mspace",
    "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover",
}  # fmt: skip
_MATHML_ATTRIBUTES = {
    "accent", "columnalign", "columnspacing", "depth", "display", "displaystyle", "fence", "form", "height",
    "largeop", "linebreak", "linethickness", "lspace", "mathvariant", "maxsize", "minsize", "movablelimits",
    "notation", "rowspacing", "rspace", "scriptlevel", "separator", "stretchy", "symmetric", "voffset", "width",
}  # fmt: skip


def cells_as_html(notebook, linked=(), pictures=None):
    """The cells of an executed notebook file as a piece of HTML.

    >>> piece = cells_as_html("runs/embedded/01_prompt_tuning/01_prompt_tuning.ipynb", linked={"00_the_small_world"})

    linked: names of notebooks that have a page of their own; links to other notebooks lose their target.
    pictures: {caption: file} of the figures that are there at full size; a figure of that caption leads to it.
    Whatever a cell puts out as HTML or Markdown is cleaned of scripts, event handlers and foreign styles.
    """
    try:
        content = nbformat.read(notebook, as_version=4)
    except Exception as error:  # of the library, of many kinds
        raise SkillkitError(f"{short(notebook)} is no notebook that can be shown ({short(error)})") from None
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _can_show(output)]
    body, _ = _exporter().from_notebook_node(content)
    body = _IMAGE.sub(lambda image: _zoomed(image, pictures or {}), body)
    body = re.sub(r"<img (?![^>]*\balt=)", '<img alt="figure" ', body)
    return re.sub(r'href="(?:\./)?([\w.-]+)\.ipynb(#[^"]*)?"', lambda link: _link(link, linked), body)


def stylesheet():
    """The style sheet of the report, with the colours of code on light and on dark pages.

    >>> ".badge" in stylesheet()
    True
    """
    light = HtmlFormatter(style="friendly", nobackground=True).get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark", nobackground=True).get_style_defs(".highlight")
    ours = (TEMPLATES / "style.css").read_text()
    return f"{ours}\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


@functools.lru_cache(1_000)  # code and prose are the same in all cells of a grid
def sanitize(piece):
    """HTML without what could run, load or restyle anything.

    >>> sanitize("<b onclick='x()'>bold</b><script>x()</script>")
    '<b>bold</b>'
    """
    tags, everywhere = nh3.ALLOWED_TAGS | _MATHML | {"section"}, {"*": {"class", "id", "title", "align"}}
    attributes = nh3.ALLOWED_ATTRIBUTES | everywhere | dict.fromkeys(_MATHML, _MATHML_ATTRIBUTES)
    return nh3.clean(piece, tags=tags, attributes=attributes, attribute_filter=_own_value)


def mathml(formula, display="inline"):
    r"""LaTeX as MathML; what cannot be read as LaTeX stays as it is, shown as code.

    >>> mathml(r"a > b")
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow>…'
    """
    try:
        page = convert(formula.strip(), display=display)
    except Exception:  # the library raises many kinds of errors for bad LaTeX
        page = "\\"
    return f"<code>{html.escape(formula)}</code>" if "\\" in page else page


class _Markdown(IPythonRenderer):
    """Markdown with formulas as MathML."""

    def _embed_image_or_attachment(self, src):
        try:
            return super()._embed_image_or_attachment(src)
        except InvalidNotebook:  # one that is missing is shown as a picture that is missing
            return src

    def block_math(self, body):
        return mathml(body, "block")

    def inline_math(self, body):
        return mathml(body)

    def latex_environment(self, name, body):
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


class _Exporter(HTMLExporter):
    """nbconvert's exporter with our template, our Markdown and our cleaning."""

    def __init__(self):
        # Preprocessors change what we do not show, and after each the whole notebook would be validated.
        none = {"Exporter": {"default_preprocessors": []}, "CSSHTMLHeaderPreprocessor": {"enabled": False}}
        shown = Config({"NbConvertBase": {"display_data_priority": _SHOWN}} | none)
        template = (TEMPLATES / "cells.html.j2").read_text()
        super().__init__(config=shown, sanitize_html=True, raw_template=template)

    def default_filters(self):
        yield from super().default_filters()
        yield "clean_html", sanitize
        yield "highlight_code", lambda source, **_: _highlighted(source)

    def from_notebook_node(self, nb, resources=None, **kw):
        """Without the second reading of the whole page that HTMLExporter adds, which takes as long as the first."""
        return super(HTMLExporter, self).from_notebook_node(nb, resources, **kw)

    @pass_context
    def markdown2html(self, context, source):
        attachments = context.get("cell", {}).get("attachments")
        return _rendered(source) if not attachments else _rendered.__wrapped__(source, attachments)


@functools.cache
def _exporter():
    return _Exporter()


@functools.lru_cache(10_000)  # the cells of a grid are mostly the same
def _rendered(source, attachments=None):
    renderer = _Markdown(escape=False, exclude_anchor_links=True, attachments=attachments)
    return MarkdownWithMath(renderer=renderer).render(source)


@functools.lru_cache(10_000)
def _highlighted(source):
    return Highlight2HTML(pygments_lexer="ipython3")(source)


def _own_value(tag, name, value):
    """None for a picture that is not part of the page: it would be fetched, or looked for on the reader's disk."""
    return value if (tag, name) != ("img", "src") or value.startswith("data:image/") else None


def _can_show(output):
    """Widgets stay only with a picture of them; nothing but a script, or a finished progress bar, not at all."""
    if _FINISHED_BAR.match(output.get("data", {}).get("text/plain", "")):
        return False
    kinds = set(output.get("data", ["text/plain"]))
    return any(kind.startswith("image/") for kind in kinds) if _WIDGET in kinds else bool(kinds & set(_SHOWN))


def _link(link, linked):
    return f'href="{link[1]}.html{link[2] or ""}"' if link[1] in linked else ""


def _zoomed(image, pictures):
    """A figure inside a link to the same at full size, where there is one."""
    file = pictures.get(html.unescape(image[1]))
    return f'<a class="zoom" href="{html.escape(file)}">{image[0]}</a>' if file else image[0]
