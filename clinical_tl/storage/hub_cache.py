"""What is asked of the Hub by name, and what the local cache already holds.

A plain name is never looked up over the network: a misspelt folder would send its name to the
Hub, and whoever owns that name there would choose the model. `"hub:org/name"` asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clinical_tl.errors import shown_path, shown_value

HUB_PREFIX = "hub:"
# Settings, vocabulary and weights; no pickle and no code is ever fetched.
PLAIN_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(?:/[\w.-]{1,96})?")


@dataclass(frozen=True)
class HubId:
    """A repository of the Hub, and whether the network may be asked for it."""

    repo: str
    asked: bool

    def __str__(self) -> str:
        return f"{HUB_PREFIX}{self.repo}" if self.asked else self.repo


def hub_id(name: str) -> HubId | None:
    """`"hub:org/name"` or `"org/name"` as an id; None for what can't be one."""
    asked = name.startswith(HUB_PREFIX)
    repo = name.removeprefix(HUB_PREFIX)
    return HubId(repo, asked) if _REPO.fullmatch(repo) else None


def cached_snapshot(
    wanted: HubId, revision: str | None = None, *, patterns: tuple[str, ...] = PLAIN_FILES
) -> Path | None:
    """The folder of a repository's plain files; None if it is neither cached nor asked for.

    Raises `HubError` if the Hub was asked and has none or can't be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    from clinical_tl.storage.hub_failure import speaking_to_hub

    if not wanted.asked:
        try:
            return Path(snapshot_download(wanted.repo, revision=revision, local_files_only=True))
        except (LocalEntryNotFoundError, OSError, ValueError):
            return None
    at = "" if revision is None else f" at revision {shown_value(revision)}"
    with speaking_to_hub(f"{shown_path(str(wanted))!r}{at} could not be pulled"):
        return Path(
            snapshot_download(
                wanted.repo,
                revision=revision,
                allow_patterns=list(patterns),
                ignore_patterns=["*/*"],
            )
        )
