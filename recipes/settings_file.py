"""Settings as YAML, for the command line: a few lines that can't grow while they are read."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

MOST_LEVELS = 50
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def bound_settings() -> None:
    """Make the command line refuse YAML with aliases, or nested more than `MOST_LEVELS` deep.

    Thirty lines of aliases to lists of aliases are 9³⁰ values.
    """
    load = get_loader("yaml")

    def bounded(text: str) -> Any:  # noqa: ANN401  (whatever YAML holds)
        level = 0
        for event in yaml.parse(text, Loader=_LOADER):
            level += isinstance(event, yaml.CollectionStartEvent)
            level -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise yaml.YAMLError("aliases (*name) are not read here: write the value out")
            if level > MOST_LEVELS:
                raise yaml.YAMLError(f"nested more than {MOST_LEVELS} levels deep")
        return load(text)

    set_loader("yaml", bounded, exceptions=(yaml.YAMLError,))
