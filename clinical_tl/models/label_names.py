"""Names of labels, also of those that training lacked, and whether they can be used."""

from __future__ import annotations

import os
from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from clinical_tl.data.codes.code_table import read_codes
from clinical_tl.data.codes.known_systems import SystemName, find_system
from clinical_tl.errors import ConfigError, TaskError, shown_id
from clinical_tl.rules.rule import Rule
from clinical_tl.schema import Note
from clinical_tl.tasks.abilities import NamesLabels
from clinical_tl.tasks.note_task import NoteTask

if TYPE_CHECKING:
    from clinical_tl.tasks.task import Task

Names = Mapping[str, Sequence[str]] | str | os.PathLike[str]
"""Code → its names, or the file of a table of codes."""


class NamingTask(NoteTask, NamesLabels, ABC):
    """A task of many labels a note that knows more of them than training had."""


def checked_names(
    task: Task, names: Names | None = None, rules: Iterable[Rule] = ()
) -> tuple[dict[str, list[str]] | None, list[Rule]]:
    """What `fit_open_codes` makes of names and rules, to be known before a long training.

    Gives the names by the task's labels, `None` where they are the system's, and the rules.

    Raises:
        TaskError: a task without an open code set.
        ConfigError: codes that are none of the system's, names or rules that are no such thing, or
            nothing that names a code that training lacked.
    """
    naming = naming_task(task)
    given: list[Any] = [rules] if isinstance(rules, str | os.PathLike) else [*rules]
    if other := sum(not isinstance(rule, Rule) for rule in given):
        raise ConfigError(
            f"rules: {other} of {len(given)} are no rules; give what rules.from_lexicon(file) or "
            "RuleSet.load(file) gives"
        )
    for rule in given:
        rolled_rule(rule, naming)
    if names is not None:
        own = _spelt(naming, names)
    elif naming.label_names():
        own = None
    else:
        raise ConfigError(
            f"{task.title}: nothing says what the labels that training lacked are called; give "
            "names={code: [name, …]} or a file (that of codes=… will do: the task keeps what it "
            "says of its own codes alone), or train on codes or categories of a system with a list"
        )
    return own, given


def _spelt(task: NamingTask, names: Names) -> dict[str, list[str]]:
    """Names of one's own by the labels that they are of."""
    if isinstance(names, str | os.PathLike):
        system = find_system(cast("SystemName", task.code_system or "any"))
        titles = read_codes(names, system).titles
        # A table has chapters and blocks, too.
        return _spelt(task, {c: [t] for c, t in titles.items() if _label(task, c) is not None})
    found: dict[str, list[str]] = {}
    wrong_codes = wrong_names = 0
    for code, own in names.items():
        given = [own] if isinstance(own, str) else own
        label = _label(task, code)
        if not isinstance(given, Iterable) or not all(isinstance(name, str) for name in given):
            wrong_names += 1
        elif label is None:
            wrong_codes += 1
        else:
            found.setdefault(label, []).extend(name for name in given if name.strip())
    if wrong_codes or wrong_names or not any(found.values()):
        raise ConfigError(
            f"names: of {len(names)} codes {wrong_codes} are none of {task.title}"
            f"{f' ({task.code_system})' if task.code_system else ''}, and {wrong_names} have names "
            "that are no list of strings; allowed: code → [title, another name, …]"
        )
    return found


def _label(task: NamingTask, code: str) -> str | None:
    """The task's label for a code; `None` where it is no code."""
    try:
        return task.own_labels(Note("names", "", codes=(code,)))[0]
    except TaskError:
        return None


def naming_task(task: Task) -> NamingTask:
    """The task, if its labels have names. Raises `TaskError` if not."""
    if isinstance(task, NoteTask) and isinstance(task, NamesLabels):
        return cast("NamingTask", task)
    raise TaskError(
        f"{task.title} has no open code set; allowed: a model of DiagnosisCoding, or of "
        "MultiLabelClassification with names=…"
    )


def names_of(
    task: NamingTask, given: Mapping[str, Sequence[str]] | None
) -> Mapping[str, Sequence[str]]:
    """The names that were given, or those of the task's system."""
    return task.label_names() if given is None else given


def rolled_rule(rule: Rule, task: NamingTask) -> Rule:
    """The rule with its concepts as codes at the task's level."""
    try:
        return replace(rule, concepts=task.own_labels(Note(rule.id, "", codes=rule.concepts)))
    except TaskError as error:
        raise ConfigError(
            f"rule {shown_id(rule.id)!r}: its concepts are none of the task's codes; give rules "
            f"whose concepts are ({error})"
        ) from error
