"""The time that is written into files."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from clinical_tl.errors import ConfigError, shown_value

VARIABLE = "SOURCE_DATE_EPOCH"


def now() -> datetime:
    """The time in UTC, whole seconds; that of `SOURCE_DATE_EPOCH` where it is set.

    With the variable (seconds since 1970) the same inputs give the same bytes at any time.
    Raises `ConfigError` where it holds something else.
    """
    given = os.environ.get(VARIABLE)
    if given is None:
        return datetime.now(UTC).replace(microsecond=0)
    try:
        return datetime.fromtimestamp(int(given), UTC)
    except (ValueError, OverflowError, OSError):
        raise ConfigError(
            f"{VARIABLE}={shown_value(given)} in the environment; allowed: seconds since 1970, a "
            "whole number"
        ) from None
