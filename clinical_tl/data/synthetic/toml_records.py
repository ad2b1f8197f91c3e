"""A TOML file as typed records: whatever is not as they say is named by its file and key."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from clinical_tl.errors import ConfigError, Fault, refusing, shown_id

_NAMES = {str: "a text", list: "a list", dict: "a table", bool: "true or false"}


def read_toml(file: Path, kind: Any) -> Any:  # noqa: ANN401  (a kind, and a value of it)
    """The content of a TOML file as a value of a kind.

    Kinds are named tuples (tables with these keys; those with a default may be missing),
    `dict[str, kind]` (tables with any keys), `tuple[kind, ...]` (lists), `str`, `float`, `int`
    and `bool`. No table, list or text may be empty.

    Raises:
        ConfigError: the file can't be read, is no TOML or holds something else; the message
            names the first such key, and never quotes its value.
    """
    import tomllib

    with refusing(ConfigError, f"{file.name} can't be read", "allowed: a text in UTF-8"):
        # Some editors begin UTF-8 with a byte order mark.
        text = file.read_text(encoding="utf-8-sig")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(Fault(file.name, f"no TOML ({error})", "as its head says")) from error
    return _value(table, kind, f"{file.name}: ")


def _value(value: object, kind: Any, where: str) -> Any:  # noqa: ANN401  (as its kind says)
    shape, inner = get_origin(kind), get_args(kind)
    if shape is tuple:
        if not isinstance(value, list) or not value:
            raise _refused(where, value, "a list of one or more")
        if inner[0] is str and all(map(_is_text, value)):
            return tuple(value)
        return tuple(
            _value(item, inner[0], f"{where}[{_name(item, number)}]")
            for number, item in enumerate(value, start=1)
        )
    if shape is dict:
        if not isinstance(value, dict) or not value:
            raise _refused(where, value, "a table of one entry or more")
        return {key: _value(item, inner[1], _below(where, key)) for key, item in value.items()}
    if hasattr(kind, "_fields"):
        return _record(value, kind, where)
    if kind is str:
        if not _is_text(value):
            raise _refused(where, value, "a text in one line, without blanks at its ends")
    elif kind is float:
        if type(value) is not int and not (type(value) is float and math.isfinite(value)):
            raise _refused(where, value, "a number")
    elif type(value) is not kind:
        raise _refused(where, value, "true or false" if kind is bool else "a whole number")
    return value


def _record(value: object, kind: Any, where: str) -> Any:  # noqa: ANN401  (one of its kind)
    if not isinstance(value, dict):
        raise _refused(where, value, "a table")
    kinds = _kinds(kind)
    for key in value:
        if key not in kinds:
            raise ConfigError(Fault(_below(where, key), "a key without meaning", ", ".join(kinds)))
    for key in kinds:
        if key not in value and key not in kind._field_defaults:
            raise ConfigError(Fault(_below(where, key), "nothing", "a value; add the key"))
    return kind(
        **{key: _value(item, kinds[key], _below(where, key)) for key, item in value.items()}
    )


@cache
def _kinds(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) == len(value.strip()) and value.isprintable()


def _below(where: str, key: str) -> str:
    return f"{where}{'' if where.endswith(': ') else '.'}{key}"


def _name(item: object, number: int) -> object:
    """What an entry of a list is called: its code if it has one, else its number."""
    code = item.get("code") if isinstance(item, dict) else None
    return shown_id(code) if isinstance(code, str) else number


def _refused(where: str, value: object, allowed: str) -> ConfigError:
    found = _NAMES.get(type(value), "a number" if isinstance(value, int | float) else "a time")
    if isinstance(value, str | list | dict) and not value:
        found = f"{found} with nothing in it"
    return ConfigError(Fault(where.removesuffix(": "), found, allowed))
