"""Tag sequences of the B-I-O family as labelled runs of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Scheme = Literal["BIO", "IOB1", "BILOU", "IOBES"]

PREFIXES: dict[str, dict[str, str]] = {
    "BIO": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "BILOU": {"B": "B", "I": "I", "L": "L", "U": "U"},
    "IOBES": {"B": "B", "I": "I", "E": "L", "S": "U"},
}


def tagged_runs(
    tags: Sequence[str], scheme: Scheme
) -> tuple[list[tuple[int, int, str]], list[tuple[int, str]]]:
    """Decodes one sentence's tags.

    Args:
        tags: one a token: `O`, or prefix, dash and label.
        scheme: `BIO` (IOB2: every run begins with B), `IOB1` (B only between adjoining runs of
            one label), `BILOU` or `IOBES` (last and single tokens are marked, too).

    Returns:
        The runs as (first token, token after the last, label), and what is wrong as (token,
        reason); a wrong tag ends the run before it and belongs to none.
    """
    runs: list[tuple[int, int, str]] = []
    wrong: list[tuple[int, str]] = []
    marks_ends = scheme in ("BILOU", "IOBES")
    start, label = -1, ""
    for i, tag in enumerate([*tags, "O"]):
        prefix, own = _split(tag, scheme)
        if prefix == "?":
            wrong.append((i, f"a tag that is not of the scheme {scheme}"))
        continues = start >= 0 and prefix in ("I", "L") and own == label
        if start >= 0 and not continues:
            if marks_ends:
                wrong.append((i - 1, "a mention that is not closed"))
            runs.append((start, i, label))
            start = -1
        if prefix == "U":
            runs.append((i, i + 1, own))
        elif prefix == "B" or (prefix == "I" and not continues and scheme == "IOB1"):
            start, label = i, own
        elif prefix in ("I", "L") and not continues:
            wrong.append((i, "a tag inside a mention that has not begun"))
        elif prefix == "L":
            runs.append((start, i + 1, label))
            start = -1
    return runs, wrong


def _split(tag: str, scheme: Scheme) -> tuple[str, str]:
    if tag == "O":
        return "O", ""
    prefix, dash, label = tag.partition("-")
    if not dash or not label or prefix not in PREFIXES[scheme]:
        return "?", ""
    return PREFIXES[scheme][prefix], label
