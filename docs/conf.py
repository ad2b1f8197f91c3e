"""How Sphinx builds the documentation: `make docs`.

The pages are the Markdown files of the repository, read where they are, so that a link between
them works in a checkout too. The reference is written anew at every build, from the public names
in the `__init__.pyi` stubs.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import clinical_tl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
PACKAGE = "clinical_tl"

project = PACKAGE
version = release = clinical_tl.__version__
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "docs/reference/*.rst"]
exclude_patterns = [".*", "build", "runs", "tests"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

# Nothing is fetched, neither here nor by a reader's browser.
html_theme = "furo"
html_title = f"{PACKAGE} {version}"
templates_path = ["templates"]
html_additional_pages = {"index": "index.html"}
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 3
default_role = "literal"
nitpicky = True

autosummary_generate = False
autodoc_member_order = "bysource"
# What scikit-learn adds to every estimator.
autodoc_default_options = {
    "exclude-members": "set_fit_request, set_predict_request, set_predict_proba_request, "
    "set_score_request"
}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"npt.ArrayLike": "ArrayLike"}
python_maximum_signature_line_length = 88
napoleon_use_rtype = False


def public_names() -> dict[str, dict[str, Any]]:
    """Room → the functions and classes that its stub makes public, by name."""
    rooms = {}
    for stub in sorted((ROOT / PACKAGE).rglob("__init__.pyi")):
        room = ".".join(stub.parent.relative_to(ROOT).parts)
        module = importlib.import_module(room)
        names = [
            alias.name
            for line in ast.parse(stub.read_text(encoding="utf-8")).body
            if isinstance(line, ast.ImportFrom)
            for alias in line.names
        ]
        held = {name: getattr(module, name) for name in names}
        rooms[room] = {name: it for name, it in held.items() if callable(it)}
    return rooms


def classes_behind(found: Any, known: set[type]) -> Iterator[type]:  # noqa: ANN401
    """The package's classes that a public object gives, holds or stands on, but `known` ones."""
    if inspect.isclass(found):
        members = [getattr(found, name) for name in dir(found) if not name.startswith("_")]
        functions = [getattr(member, "fget", None) or member for member in members]
        reached = [*found.__mro__[1:], *typed(found).values()]
    else:
        functions, reached = [found], []
    reached += [typed(function).get("return") for function in functions]
    for one in reached:
        for behind in classes_in(one):
            if behind not in known:
                known.add(behind)
                yield behind
                yield from classes_behind(behind, known)


def typed(found: Any) -> dict[str, Any]:  # noqa: ANN401
    """An object's annotations; none where one is imported for type checkers alone."""
    try:
        return typing.get_type_hints(found)
    except (NameError, TypeError):
        return {}


def classes_in(hint: Any) -> Iterator[type]:  # noqa: ANN401
    """The package's own classes in an annotation; windows and tokens stay inside."""
    inside = (f"{PACKAGE}.text.", f"{PACKAGE}.models.reader.")
    if (
        inspect.isclass(hint)
        and hint.__module__.startswith(PACKAGE)
        and not hint.__module__.startswith(inside)
        and not hint.__name__.startswith("_")
    ):
        yield hint
    for part in typing.get_args(hint):
        yield from classes_in(part)


def write_reference() -> None:
    """One page a room: its public names, then the classes behind them."""
    REFERENCE.mkdir(exist_ok=True)
    rooms = public_names()
    known = {held for room in rooms.values() for held in room.values() if inspect.isclass(held)}
    for room, names in rooms.items():
        behind = [one for held in names.values() for one in classes_behind(held, known)]
        lines = [room, "=" * len(room), "", f".. automodule:: {room}", ""]
        lines += [".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   {name}" for name in names]
        for name, held in names.items():
            lines += entry(f"{room}.{name}", held)
        if behind:
            lines += ["", "Behind them", "-----------"]
        for held in behind:
            lines += entry(f"{held.__module__}.{held.__name__}", held)
        (REFERENCE / f"{room}.rst").write_text("\n".join([*lines, ""]), encoding="utf-8")


def entry(name: str, held: object) -> list[str]:
    """The directive that documents an object."""
    if not inspect.isclass(held):
        return ["", f".. autofunction:: {name}"]
    return ["", f".. autoclass:: {name}", "   :members:", "   :show-inheritance:"]


def find_by_bare_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: Element
) -> Element | None:
    """What an annotation means that only type checkers can import: the class of that name.

    Other annotations that lead nowhere (NumPy's, private ones) stay as they are written.
    """
    # What a page or a docstring says of the package by a role must be there.
    is_claim = "refwarn" in node and node["reftarget"].startswith(PACKAGE)
    if node["refdomain"] != "py" or is_claim:
        return None
    python = env.domains.python_domain
    name = node["reftarget"].rpartition(".")[2]
    for full, entry_ in python.objects.items():
        if full.rpartition(".")[2] == name and entry_.objtype in {"class", "exception"}:
            return python.resolve_xref(
                env, node["refdoc"], app.builder, node["reftype"], full, node, text
            )
    return text


def keep_sentences(
    _app: Sphinx, what: str, _name: str, _held: object, _options: object, lines: list[str]
) -> None:
    """Of a property "All notes: in memory." is a sentence; napoleon would read a type off it."""
    if what in {"attribute", "property"} and lines:
        lines[0] = lines[0].replace(": ", ":: ")


def restore_sentences(
    _app: Sphinx, what: str, _name: str, _held: object, _options: object, lines: list[str]
) -> None:
    """What `keep_sentences` hid from napoleon."""
    if what in {"attribute", "property"} and lines:
        lines[0] = lines[0].replace(":: ", ": ")


def setup(app: Sphinx) -> None:
    """Sphinx calls it."""
    write_reference()
    app.connect("autodoc-process-docstring", keep_sentences, priority=1)
    app.connect("autodoc-process-docstring", restore_sentences, priority=999)
    app.connect("missing-reference", find_by_bare_name)
