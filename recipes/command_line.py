"""How every recipe is run from a shell: flags, configs, and errors a person can read.

The package words its errors for Python (`columns={'text': …}`); here they name the flags that a
recipe has (`--read.columns.text …`), and a flag that it has not is told the nearest ones.
"""

from __future__ import annotations

import ast
import json
import logging
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from difflib import SequenceMatcher
from typing import Any, NoReturn, get_args, get_type_hints

from jsonargparse import ArgumentParser, auto_cli

from clinical_tl.errors import ClinicalTLError, shown_id, shown_value
from clinical_tl.saved.run_settings import run_with

from .settings_file import bound_settings, called_with

# Of two names' letters, in order: "lim" and "limit" share 0.75, "colums" and "corpus" 0.67.
ALIKE = 0.7
# Where it must be a table, since a key follows: "lora" is not "rslora".
SURELY_ALIKE = 0.85
AS_GOOD = 0.05


def run(recipe: Callable[..., Any], arguments: list[str] | None = None) -> Any:  # noqa: ANN401  (what the recipe returns)
    """Call a recipe with the shell's arguments (or these).

    What the package refuses on purpose ends with its message and exit status 2, a run that was
    told to stop with 143 (SIGTERM) or 130 (Ctrl-C), both without a traceback; anything else is
    a bug and shows one. What a recipe trains is saved with what it was called with beside it.
    """
    bound_settings()
    known = settings_of(recipe)
    words = logging.StreamHandler()
    words.setFormatter(_WithFlags(known))
    logging.basicConfig(level=logging.WARNING, handlers=[words])
    try:
        with run_with(called_with(recipe, arguments, _Parser)):
            return auto_cli(
                recipe,
                as_positional=False,
                args=arguments,
                parser_class=_Parser,
                allow_abbrev=False,
            )
    except ClinicalTLError as error:
        print(f"error: {with_flags(str(error), known)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as stop:
        # Of training it says where the checkpoint is, and carries the signal's status.
        print(str(stop) or "stopped", file=sys.stderr)
        raise SystemExit(getattr(stop, "exit_code", 130)) from None


def settings_of(recipe: Callable[..., Any]) -> list[str]:
    """The names of all settings of a recipe, those of groups with a dot: `read.columns`."""
    hints = get_type_hints(recipe)
    return [
        name
        for parameter, hint in hints.items()
        if parameter != "return"
        for name in _names(parameter, hint)
    ]


def _names(name: str, hint: object) -> Iterator[str]:
    yield name
    for kind in (hint, *get_args(hint)):
        if isinstance(kind, type) and is_dataclass(kind):
            hints = get_type_hints(kind)
            for field in fields(kind):
                yield from _names(f"{name}.{field.name}", hints[field.name])


# A setting as Python has it: a name, =, and a literal, a word or an ellipsis.
_SETTING = re.compile(
    r"(?<![\w.\-])([A-Za-z]\w*)=(\{[^{}]*\}|\[[^][]*\]|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
    r"|…|[\w+\-]+(?:\.\w+)*)"
)
_PAIR = re.compile(r"'(\w+)': ('[^']*'|[^,}]+)")
_WORDS = {"True": "true", "False": "false", "None": "null"}


def with_flags(message: str, known: list[str]) -> str:
    """The message with every setting that a recipe has as the flag that it is.

    >>> with_flags("on_error='skip' or columns={'text': '<column>'}", ["read.on_error", "columns"])
    "--read.on_error skip or --columns.text '<column>'"
    """

    def flag(found: re.Match[str]) -> str:
        name = _full_name(found[1], known)
        return found[0] if name is None else _flag(name, found[2])

    if "output" in known:
        # Recipes keep checkpoints there.
        message = message.replace("another output_dir", "another --output")
    return _SETTING.sub(flag, message)


def _full_name(name: str, known: list[str]) -> str | None:
    """The setting of this name: the recipe's own, or one group's; `None` where two have it."""
    if name in known:
        return name
    found = [full for full in known if full.endswith(f".{name}")]
    return found[0] if len(found) == 1 else None


def _flag(name: str, value: str) -> str:
    pairs = _PAIR.findall(value) if value.startswith("{") else []
    if pairs:
        return " ".join(f"--{name}.{key} {_word(item)}" for key, item in pairs)
    return f"--{name} {_word(value)}"


def _word(value: str) -> str:
    """A Python literal as a shell's word that YAML reads as the same."""
    if value in _WORDS:
        return _WORDS[value]
    with suppress(ValueError, SyntaxError):
        literal = ast.literal_eval(value)
        if isinstance(literal, str):
            # The shell's own escapes, for a tab.
            return shlex.quote(literal) if literal.isprintable() else f"${literal!r}"
        if isinstance(literal, list | dict):
            return shlex.quote(json.dumps(literal, ensure_ascii=False))
    return value if re.fullmatch(r"[\w+.\-…]+", value) else shlex.quote(value)


class _WithFlags(logging.Formatter):
    """Log lines for a shell, which name flags too."""

    def __init__(self, known: list[str]) -> None:
        super().__init__("%(levelname)s: %(message)s")
        self.known = known

    def format(self, record: logging.LogRecord) -> str:
        return with_flags(super().format(record), self.known)


class _Parser(ArgumentParser):
    """Says what is wrong in a line or two, without the usage, and what might have been meant."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        del ex
        known = [action.dest for action in self._actions if action.dest != "help"]
        print(f"error: {_in_words(message, known)}", file=sys.stderr)
        raise SystemExit(2)


_NOT_A_FLAG = re.compile(r"unrecognized arguments: (.*)", re.IGNORECASE | re.DOTALL)
# As jsonargparse says it, from 4.40 on.
_NOT_A_KEY = re.compile(
    r"(?:Group '([^']*)' does not accept (?:option|nested key) |(?:Option|Key) )'([^']*)'"
)
_MISSING = re.compile(r"the following arguments are required: (.*)")
_WRONG_VALUE = re.compile(r'Parser key "([^"]*)":\s*(.*)', re.DOTALL)
_KINDS = {
    "NoneType": "null",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "tuple": "a list, [a, b]",
    "list": "a list, [a, b]",
    "dict": "a mapping, {a: b}",
}
_EXPECTED = re.compile(r"Expected an? (?:<class '(\w+)'>|typing\.Literal\[(.*?)\](?=\n|$|\. Got))")


def _in_words(message: str, known: list[str]) -> str:
    if found := _NOT_A_FLAG.match(message):
        return "\n       ".join(_unknown_flags(found[1], known))
    if found := _NOT_A_KEY.search(message):
        name = ".".join(filter(None, found.groups()))
        return f"a config has no key {_shown(name)}{_meant(name, known, '')}"
    if found := _WRONG_VALUE.search(message):
        return f"--{found[1]}: {_expected(found[2])}"
    if found := _MISSING.match(message):
        return f"needed: {', '.join(f'--{name}' for name in found[1].split(', '))}"
    return message


def _unknown_flags(words: str, known: list[str]) -> Iterator[str]:
    flags = [word.partition("=")[0] for word in words.split() if word.startswith("--")]
    if not flags:
        yield f"{shown_value(words)} is no flag; every setting is one: --name value"
    for flag in flags:
        name = flag.removeprefix("--")
        yield f"there is no flag {_shown(flag)}{_meant(name, known, '--')}"
    yield "all of them: --help"


def _shown(name: str) -> str:
    return name if re.fullmatch(r"[\w.\-]{1,64}", name) else shown_id(name, "name")


def _expected(told: str) -> str:
    kinds = [named or choices for named, choices in _EXPECTED.findall(told)]
    value = re.search(r"(?:Given|Got) value: (.*)", told)
    if not kinds or value is None:
        return told
    allowed = dict.fromkeys(_KINDS.get(kind, kind) for kind in kinds)
    return f"{shown_value(value[1])}; allowed: {' or '.join(allowed)}"


def _meant(name: str, known: list[str], dashes: str) -> str:
    near = nearest(name, known)
    return f"; did you mean {' or '.join(dashes + n for n in near)}?" if near else ""


def nearest(name: str, known: list[str]) -> list[str]:
    """The settings that a name may stand for, the likeliest first; three at most.

    Their last parts are compared, so that `format` finds `read.format`. What follows the name of
    a table is kept: `columns.text` is `read.columns.text`.
    """
    parts = name.split(".")
    groups = {full.rpartition(".")[0] for full in known}
    found: dict[str, tuple[float, float]] = {}
    for n in range(len(parts), 0, -1):
        rest = "".join(f".{part}" for part in parts[n:])
        for full in known:
            near = _ratio(parts[n - 1], full.rpartition(".")[2])
            if near >= (SURELY_ALIKE if rest else ALIKE) and not (rest and full in groups):
                found[full + rest] = max(found.get(full + rest, (0, 0)), (near, _ratio(name, full)))
    ranked = sorted(found, key=lambda full: found[full], reverse=True)
    return [full for full in ranked[:3] if found[full][0] >= found[ranked[0]][0] - AS_GOOD]


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
