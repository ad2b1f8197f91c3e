"""JSON as it may stand in an input: strict where Python's parser is lenient."""

from __future__ import annotations

import json
import math
from typing import NoReturn, cast

from clinical_tl.data.formats.problems import UnreadableError

DEEPEST = 200
"""Levels that whatever walks a value can walk; how deep Python parses depends on its version."""


def parse_json(text: str) -> object:
    """The value of a JSON text.

    Raises:
        json.JSONDecodeError: it is not JSON.
        UnreadableError: NaN, infinite numbers (`1e400` too), or a name twice in one object, of
            which Python would keep the last.
        ValueError: a whole number of thousands of digits.
        RecursionError: more than `DEEPEST` levels.
    """
    value = cast(object, _DECODER.decode(text))
    if text.count("{") + text.count("[") > DEEPEST:
        _check_depth(value)
    return value


def parse_json_at(text: str, start: int) -> tuple[object, int]:
    """The value that begins there, and where it ends. Raises as `parse_json`."""
    value, end = _DECODER.raw_decode(text, start)
    if text.count("{", start, end) + text.count("[", start, end) > DEEPEST:
        _check_depth(value)
    return value, end


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return
    raise RecursionError


def _refuse(_: str) -> NoReturn:
    raise UnreadableError("a value that JSON does not know", "no NaN, no Infinity")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise UnreadableError("a number too large to be told from infinity", "finite numbers")
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadableError("an object that has a name twice", "every name once")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once)
