"""Sphinx' configuration of the web book; tools/web.py lays out the folder that it reads and runs it."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from catvae_lib import __version__
from web import labels, picture_file, to_rst

project = "Categorical VAEs and the Gumbel trick"
author = ""
release = __version__
language = "en"
smartquotes = False  # quotation marks in the prose may be code

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["map.md"]  # a part of the first page

nb_execution_mode = "off"  # `make run` executes, and stores the outputs
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 3

default_role = "py:obj"  # a name in backticks is a link where the library has it
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 60
napoleon_use_ivar = True

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["book.js", ("demos.js", {"defer": "defer"})]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "extra_footer": "Text and figures: CC BY 4.0. Code: MIT.",
    "show_toc_level": 2,
    "home_page_in_toc": False,
    "navbar_persistent": [],  # the sidebar has the search already
}
# The file lies beside the pages. Its menu would ask for more files.
mathjax_path = "tex-svg.js"
mathjax_options = {"defer": "defer"}
mathjax3_config = {"options": {"enableMenu": False}}


def read_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Give Sphinx a docstring in its own language, before napoleon reads the sections."""
    lines[:] = to_rst("\n".join(lines)).split("\n")


def describe_pictures(app: Sphinx, doctree: nodes.document) -> None:
    """Give a chapter's pictures their alt texts, and lines in place of pixels where the book has them.

    A browser fetches each when it comes near the screen.
    """
    images, source = list(doctree.findall(nodes.image)), Path(doctree["source"])
    for image in images:
        image["loading"] = "lazy"
    if source.suffix == ".ipynb":
        for image, label in zip(images, labels(source), strict=True):
            image["alt"] = label["alt"]
            file = picture_file(Path(app.srcdir) / "figures", label["figure"])
            if file.suffix == ".svg":
                image["uri"] = f"/figures/{file.name}"


def setup(app: Sphinx) -> None:
    """Connect the two steps above."""
    app.connect("autodoc-process-docstring", read_docstring, priority=400)  # napoleon has 500
    app.connect("doctree-read", describe_pictures, priority=400)  # Sphinx collects the files at 500
