"""A text rebuilt from its tokens."""

from __future__ import annotations

from collections.abc import Sequence

from clinical_tl.text.scripts import sets_blank


def token_line(tokens: Sequence[str], offset: int = 0) -> tuple[str, list[int]]:
    """The tokens as a line of a text, and where each starts, the line beginning at `offset`.

    There is one space between tokens, none beside scripts that set none, as Chinese and Thai.
    """
    pieces, starts, before = [], [], ""
    for token in tokens:
        if before and sets_blank(before, token):
            pieces.append(" ")
            offset += 1
        starts.append(offset)
        pieces.append(token)
        offset += len(token)
        before = token
    return "".join(pieces), starts
