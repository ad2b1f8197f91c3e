"""Settings as YAML, for the command line: a few lines that can't grow while they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from inspect import getfile, signature
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, auto_parser, get_loader, set_loader

MOST_LEVELS = 50
HEADER = """\
# What the recipe {name} was called with when it made the model beside this file; give it to the
# recipe's --config to call it so again. It may name files of this machine: no push sends it.
"""
_SECRET = re.compile(r"(?:^|_)(?:token|password|passwd|secret|credentials?|api_?key)$")
_KEY_IN_TEXT = re.compile(r"(?<=://)[^/@\s]+@|\bhf_\w{20,}")
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


def called_with(
    recipe: Callable[..., Any],
    arguments: list[str] | None,
    parser: type[ArgumentParser] = ArgumentParser,
) -> str | None:
    """What a training recipe is called with, defaults included, as YAML that `--config` takes.

    Secrets are left out. `None` for a recipe that trains nothing: it takes a saved model.
    """
    if "model" in signature(recipe).parameters:
        return None
    reads = auto_parser(recipe, as_positional=False, parser_class=parser, allow_abbrev=False)
    given = reads.parse_args(arguments).as_dict()
    # Which files they were read from is no setting.
    given.pop("config", None)
    plain = _without_secrets(json.loads(json.dumps(given, default=str)))
    return HEADER.format(name=Path(getfile(recipe)).stem) + yaml.safe_dump(
        plain, sort_keys=False, allow_unicode=True
    )


def _without_secrets(value: Any) -> Any:  # noqa: ANN401  (whatever JSON holds)
    if isinstance(value, dict):
        return {k: _without_secrets(v) for k, v in value.items() if not _SECRET.search(k)}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return _KEY_IN_TEXT.sub("", value) if isinstance(value, str) else value
