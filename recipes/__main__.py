"""`clinical-tl`: runs a recipe by its name, lists them, or copies one to own and change.

A recipe is a file of this folder that ends with `run(main)`; the first line of its docstring says
what it does. Those that say what `make` runs are for a clone.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from difflib import get_close_matches
from pathlib import Path

from clinical_tl.errors import ClinicalTLError, ConfigError, OutputError, shown_value
from clinical_tl.storage.replacement import replace_text

# As the wheel names this folder: `recipes` would be in the way of everybody else's.
PACKAGE = "clinical_tl_recipes"
FOLDER = Path(__file__).parent
ENDING = '\n\nif __name__ == "__main__":\n    run(main)\n'
OF_A_CLONE = "What `make "
USAGE = """\
usage: clinical-tl RECIPE [--help] [settings]   run a recipe
       clinical-tl recipes                      list them
       clinical-tl copy RECIPE [--overwrite]    write its script and configs here, to change
"""


def main() -> None:
    """Do what the shell's arguments ask; what is refused on purpose ends with status 2."""
    try:
        _answer(sys.argv[1:])
    except ClinicalTLError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def recipes() -> dict[str, str]:
    """What there is: the name of every recipe, with dashes, and what it does."""
    found = {}
    for file in sorted(FOLDER.glob("*.py")):
        script = file.read_text(encoding="utf-8")
        purpose = (ast.get_docstring(ast.parse(script)) or "").partition("\n")[0]
        if script.endswith(ENDING) and not purpose.startswith(OF_A_CLONE):
            found[file.stem.replace("_", "-")] = purpose
    return found


def configs(name: str) -> list[Path]:
    """The configs of a recipe: those whose first line names it (`# For <recipe>, <recipe>.`)."""
    found = []
    for file in sorted((FOLDER / "configs").glob("*.yaml")):
        named = re.match(r"# For ([\w, ]+)\.\n", file.read_text(encoding="utf-8"))
        if named and name.replace("-", "_") in named[1].split(", "):
            found.append(file)
    return found


def copy(name: str, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a recipe's script into the folder and its configs into `configs` there.

    The script stands by itself: what it imports of this folder it finds in the installed
    package.

    Returns what was written; what is there already, and the same, is left as it is. Raises
    `OutputError`, before anything is written, where a file is there and differs, unless it may
    be overwritten.
    """
    script = FOLDER / f"{name.replace('-', '_')}.py"
    texts = {folder / script.name: _standing_alone(script.read_text(encoding="utf-8"))}
    for file in configs(name):
        texts[folder / "configs" / file.name] = file.read_text(encoding="utf-8")
    texts = {file: text for file, text in texts.items() if not _holds(file, text)}
    taken = [str(file.relative_to(folder)) for file in texts if file.exists()]
    if taken and not overwrite:
        raise OutputError(
            f"{', '.join(taken)}: already here, and not as the recipe has it; nothing was "
            "written. Move it away, copy in another folder, or replace it: --overwrite"
        )
    for file, text in texts.items():
        replace_text(file, text)
    return list(texts)


def _answer(arguments: list[str]) -> None:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if command in {"--help", "-h"}:
        print(USAGE, end="")
    elif command == "recipes":
        width = max(map(len, recipes()))
        print("\n".join(f"{name:{width}}  {purpose}" for name, purpose in recipes().items()))
    elif command == "copy":
        names = [word for word in rest if word != "--overwrite"]
        if len(names) != 1 or names[0].startswith("-"):
            raise ConfigError(f"copy takes one recipe, and --overwrite\n{USAGE}")
        name = _known(names[0])
        for file in copy(name, Path.cwd(), overwrite="--overwrite" in rest):
            print(file.relative_to(Path.cwd()))
        print(f"to run it: python {name.replace('-', '_')}.py --help")
    else:
        name = _known(command)
        from .command_line import run

        recipe = importlib.import_module(f"{__package__}.{name.replace('-', '_')}")
        sys.argv = [f"clinical-tl {name}", *rest]
        run(recipe.main)


def _known(given: str) -> str:
    """The recipe's name. Raises `ConfigError` with the nearest ones if there is none."""
    known = recipes()
    name = given.replace("_", "-")
    if name in known:
        return name
    near = get_close_matches(name.lower(), known)
    raise ConfigError(
        f"there is no recipe {shown_value(given)}; "
        + (f"nearest: {', '.join(near)}; " if near else "")
        + "`clinical-tl recipes` lists them all"
    )


def _standing_alone(script: str) -> str:
    """The script, importing from the installed package what lay beside it."""
    return re.sub(
        r"^( *from )\.(\w*)(?= import )",
        lambda found: f"{found[1]}{PACKAGE}{'.' if found[2] else ''}{found[2]}",
        script,
        flags=re.MULTILINE,
    )


def _holds(file: Path, text: str) -> bool:
    try:
        return file.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


if __name__ == "__main__":
    main()
