"""The language of a model's notes, as its authors say it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from clinical_tl.errors import ConfigError, shown_value

LANGUAGE = "language"
"""Its place in `metrics.json`."""
_CODE = re.compile(r"[a-z]{2,3}")


def said_language(language: str | Sequence[str]) -> list[str]:
    """The languages as codes, in the order given.

    Raises `ConfigError` for anything but codes of ISO 639 (two or three letters, lower case), by
    which the Hub knows languages.
    """
    codes = [language] if isinstance(language, str) else list(language)
    if not codes or not all(isinstance(code, str) and _CODE.fullmatch(code) for code in codes):
        raise ConfigError(
            f"language={shown_value(language)}; allowed: codes of ISO 639 such as 'de', or several "
            "of them, ('de', 'fr')"
        )
    return list(dict.fromkeys(codes))
