"""What a check of the release gate says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["pass", "partial", "unchecked", "warn", "block"]
"""`pass`: all that the check looks for was looked for, and is not there. `partial`: some of it
was not looked for, the rest is not there. `unchecked`: nothing was looked for."""
DataUse = Literal["public", "credentialed", "local"]


@dataclass(frozen=True)
class ReleaseCheck:
    """One check's verdict.

    `name` is also the name of its override. `reason` gives files, places, kinds and counts,
    never what was found there. A block that is not `liftable` stands whatever is overridden;
    `overridden_by` is the override that lifted a block or answered a warning, as given.
    """

    name: str
    status: Status
    reason: str
    liftable: bool = True
    overridden_by: str | None = None

    @property
    def blocks(self) -> bool:
        """Whether the folder may not leave because of it."""
        return self.status == "block" and self.overridden_by is None

    def row(self) -> dict[str, str]:
        """One row for `format_table`."""
        status = f"{self.status}, overridden" if self.overridden_by is not None else self.status
        return {
            "check": self.name,
            "status": status,
            "override": self.name if self.status == "block" and self.liftable else "",
            "reason": self.reason,
        }
