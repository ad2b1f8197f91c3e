"""The check of the data's terms: who may get what was trained on them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import get_args

from clinical_tl.errors import ConfigError, shown_value
from clinical_tl.release.check import DataUse, ReleaseCheck
from clinical_tl.release.folder import ReleaseFolder
from clinical_tl.schema import Note

NAME = "data_use"

# Corpora under a data use agreement, which binds what is derived from them.
_CREDENTIALED = re.compile(
    r"(?<![a-z])(?:mimic(?:[-_ ]?(?:iii|iv|ii|cxr|ed))?|mimicxr|n2c2|i2b2|eicu)(?:[-_ ]?notes?)?"
    r"(?![a-z])",
    re.IGNORECASE,
)
# In prose "mimic" is a verb.
_IN_PROSE = re.compile(r"MIMIC|N2C2|n2c2|I2B2|i2b2|eICU")
LONGEST_NAME = 200
_DATASETS = re.compile(r"^datasets:[ \t]*(.*(?:\n[ \t]*-.*)*)", re.MULTILINE)


def check_data_use(
    folder: ReleaseFolder,
    data_use: DataUse | None,
    *,
    public: bool,
    train: Sequence[Note] | None,
    held_out: Sequence[Note] | None = None,
) -> ReleaseCheck:
    """Whether the stated terms allow the repository, and nothing speaks against the statement.

    Raises `ConfigError` for a statement that is none of the known ones.
    """
    if data_use is not None and data_use not in get_args(DataUse):
        raise ConfigError(f"data_use={shown_value(data_use)}; allowed: {list(get_args(DataUse))}")
    if data_use is None:
        return ReleaseCheck(
            NAME,
            "block",
            "not stated what the training notes' terms are; give data_use='public', "
            "'credentialed' (MIMIC, n2c2, …) or 'local' (your own patients')",
        )
    if data_use == "public" and (
        _IN_PROSE.search(folder.card()) or _names_credentialed(_sources(folder, train, held_out))
    ):
        return ReleaseCheck(
            NAME,
            "block",
            "stated to be public, but the card or the notes' metadata name a credentialed corpus",
        )
    where = "a public repository" if public else "a private repository"
    if data_use == "public" and (train is None or held_out is None):
        return ReleaseCheck(
            NAME,
            "partial",
            f"public data, {where}; credentialed corpora were looked for in the card, but not in "
            "the metadata of all notes: give the training notes and held-out ones",
        )
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


def _sources(
    folder: ReleaseFolder, train: Sequence[Note] | None, held_out: Sequence[Note] | None
) -> Iterable[str]:
    for match in _DATASETS.finditer(folder.card()):
        yield match.group(1)
    for note in (*(train or ()), *(held_out or ())):
        # Longer values are text of the notes, and may say that a rash mimics another.
        yield from (
            v for v in note.metadata.values() if isinstance(v, str) and len(v) < LONGEST_NAME
        )


def _names_credentialed(sources: Iterable[str]) -> bool:
    return any(_CREDENTIALED.search(source) for source in sources)
