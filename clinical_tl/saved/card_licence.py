"""A card with the encoder's licence as a person states it, whoever wrote the rest of it."""

from __future__ import annotations

import re

HUB_LICENCES = frozenset(
    {
        "afl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause", "cc",
        "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0",
        "cc-by-nc-nd-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
        "gemma", "gpl", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "isc", "llama2", "llama3",
        "mit", "mpl-2.0", "openrail", "unlicense",
    }
)  # fmt: skip
"""Of the names that the Hub takes; another one it wants as `license_name`."""
_METADATA = re.compile(r"\A---\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
_LICENCE = re.compile(r"^license:[ \t]*(.*?)[ \t]*\r?\n", re.MULTILINE)
_SECTION = re.compile(r"^## Licence[ \t]*$.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")


def licence_named(override: str) -> str | None:
    """The licence that an override names (`"licence=mit"`), in lower case.

    `None` where it gives something else: reasons are words, and may name persons.
    """
    name = override.partition("=")[2].strip()
    return name.lower() if _NAME.fullmatch(name) else None


def with_stated_licence(card: str, licence: str | None) -> str:
    """A card that says who answers for the licence: it was not known, and the check was lifted.

    `licence` is the one named, if one was. The metadata get it where they have none; the rest of
    the card stays as its authors wrote it.
    """
    said = (
        f"stated to be {licence} by who pushed the model"
        if licence
        else "not named by who pushed the model; they took responsibility for passing it on"
    )
    sentence = f"The release gate does not know the encoder's licence: it was {said}."
    if licence is not None:
        card = _with_metadata(card, licence)
    section = _SECTION.search(card)
    if section is None:
        return f"{card.rstrip()}\n\n## Licence\n\n{sentence}\n"
    if sentence in section[0]:
        return card
    end = section.end()
    rest = f"\n{card[end:]}" if card[end:] else ""
    return f"{card[: section.start()]}{section[0].rstrip()}\n\n{sentence}\n{rest}"


def _with_metadata(card: str, licence: str) -> str:
    named = licence in HUB_LICENCES
    line = f"license: {licence}\n" if named else f"license: other\nlicense_name: {licence}\n"
    metadata = _METADATA.match(card)
    if metadata is None:
        return f"---\n{line}---\n\n{card}"
    content = metadata[1]
    there = _LICENCE.search(content)
    if there is not None and there[1] not in ("", "unknown"):
        return card
    content = content if there is None else content[: there.start()] + content[there.end() :]
    return f"{card[: metadata.start(1)]}{content}{line}{card[metadata.end(1) :]}"
