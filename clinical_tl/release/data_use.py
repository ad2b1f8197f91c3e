"""The check of the data's terms: who may get what was trained on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import get_args

from clinical_tl.errors import ConfigError
from clinical_tl.release.check import DataUse, ReleaseCheck
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.schema import Note

NAME = "data_use"

# Corpora under a data use agreement, which binds what is derived from them.
_CREDENTIALED = re.compile(r"(?<![a-z])(?:mimic|n2c2|i2b2|eicu)(?![a-z])", re.IGNORECASE)
_DATASETS = re.compile(r"^datasets:[ \t]*(.*(?:\n[ \t]*-.*)*)", re.MULTILINE)


def check_data_use(
    folder: ReleaseFolder,
    data_use: DataUse | None,
    *,
    public: bool,
    train: Sequence[Note] | None,
) -> ReleaseCheck:
    """Whether the stated terms allow the repository, and nothing speaks against the statement.

    Raises `ConfigError` for a statement that is none of the known ones.
    """
    if data_use is not None and data_use not in get_args(DataUse):
        raise ConfigError(f"data_use={data_use!r}; allowed: {list(get_args(DataUse))}")
    if data_use is None:
        return ReleaseCheck(
            NAME,
            "block",
            "not stated what the training notes' terms are; give data_use='public', "
            "'credentialed' (MIMIC, n2c2, …) or 'local' (your own patients')",
        )
    if data_use == "public" and _names_credentialed(_sources(folder, train)):
        return ReleaseCheck(
            NAME,
            "block",
            "stated to be public, but the card's datasets or the training notes' metadata name "
            "a credentialed corpus",
        )
    where = "a public repository" if public else "a private repository"
    if not public or data_use == "public":
        return ReleaseCheck(NAME, "pass", f"{data_use} data, {where}")
    if data_use == "credentialed":
        return ReleaseCheck(
            NAME,
            "block",
            "credentialed data, a public repository: a data use agreement (MIMIC, n2c2) covers "
            "what is derived from the notes; share it where the agreement says",
        )
    return ReleaseCheck(
        NAME, "warn", "local data, a public repository: the data's owner has to have agreed"
    )


def _sources(folder: ReleaseFolder, train: Sequence[Note] | None) -> Iterable[str]:
    for match in _DATASETS.finditer(folder.card()):
        yield match.group(1)
    for note in train or ():
        for name in ("corpus", "dataset", "source"):
            value = note.metadata.get(name)
            if isinstance(value, str):
                yield value


def _names_credentialed(sources: Iterable[str]) -> bool:
    return any(_CREDENTIALED.search(source) for source in sources)
