"""The floors of the house, and how little an import may cost."""

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from inspect import ismodule
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "clinical_tl"
RUNNABLE = [
    file.stem
    for file in sorted((PACKAGE.parent / "recipes").glob("[!_]*.py"))
    if "__main__" in file.read_text(encoding="utf-8")
]
# A module imports from its own room and from rooms on the floors above its own in this list.
FLOORS = [
    ("errors", "version"),
    ("display",),
    ("schema", "storage"),
    ("text", "metrics"),
    ("data",),
    ("network", "rules", "estimators"),
    ("tasks",),
    ("saved",),
    ("models",),
    ("evaluation", "training", "release"),
    ("integrations", "transfer"),
]
# Doors that lead down, opened only when they are used: what they call stands on the models.
DOORS = {
    ("clinical_tl.models.feature_model", "clinical_tl.release.push"),
    ("clinical_tl.models.transfer_model", "clinical_tl.release.push"),
}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor_of(module: str) -> int:
    room = room_of(module)
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    return len(FLOORS)


def imports():
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.split(".")[0] in {"clinical_tl", "recipes"}:
                    yield module, name


def test_no_import_climbs_and_rooms_of_one_floor_do_not_know_each_other():
    wrong = [
        f"{module} imports {name}"
        for module, name in imports()
        if room_of(module) != room_of(name)
        and floor_of(module) <= floor_of(name)
        and (module, name) not in DOORS
    ]
    assert wrong == []


def test_modules_do_not_import_each_other_in_circles():
    """Imports for types alone, and those inside functions, load nothing and are left out."""
    graph: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = {n.module for n in tree.body if isinstance(n, ast.ImportFrom) and n.module}
        graph[module] = {name for name in named if name.startswith("clinical_tl.")}
    order = TopologicalSorter(graph)
    order.prepare()


def test_no_base_name_is_given_twice():
    names = Counter(f.stem for f in PACKAGE.rglob("*.py") if f.stem != "__init__")
    assert [name for name, n in names.items() if n > 1] == []


def test_a_name_in_a_stub_is_no_modules_name_beside_it():
    """The module, once imported, would take its place."""
    for stub in PACKAGE.rglob("__init__.pyi"):
        names = set(re.findall(r" as (\w+)$", stub.read_text(encoding="utf-8"), re.MULTILINE))
        modules = {f.stem for f in stub.parent.glob("*.py")} - {"version"}
        assert names.isdisjoint(modules), stub


def test_nothing_outside_tasks_knows_which_tasks_there_are():
    """What others need of a task it says itself; these three are of one task by their nature."""
    shared = ("task", "note_task", "unit_task", "abilities", "task_checks", "losses")
    own = {"clinical_tl.tasks", *(f"clinical_tl.tasks.{name}" for name in shared)}
    knowing = {
        (module, name)
        for module, name in imports()
        if name.startswith("clinical_tl.tasks") and name not in own
        if room_of(module) not in ("tasks", "")
    }
    assert knowing == {
        ("clinical_tl.evaluation.baselines", "clinical_tl.tasks.relation_extraction"),
        ("clinical_tl.release.masked_model", "clinical_tl.tasks.masked_language"),
        ("clinical_tl.transfer.domain_adaptation", "clinical_tl.tasks.masked_language"),
    }


def test_notes_become_batches_in_one_place():
    calling = [
        str(file.relative_to(PACKAGE))
        for file in sorted(PACKAGE.rglob("*.py"))
        if re.search(r"(?<!def )\bcollate\(", file.read_text(encoding="utf-8"))
    ]
    assert calling == ["text/batches.py"]


def test_the_package_never_imports_recipes():
    assert [pair for pair in imports() if pair[1].startswith("recipes")] == []


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import clinical_tl; clinical_tl.LoRA; clinical_tl.TrainingConfig"],
        ["-m", "recipes", "--help"],
        ["-m", "recipes", "recipes"],
        ["-m", "recipes", "note-classification", "--help"],
        *(["-m", f"recipes.{name}", "--help"] for name in RUNNABLE),
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_before_work_begins(command):
    heavy = ("torch", "transformers", "datasets", "sklearn", "spacy", "peft", "accelerate")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert imported.isdisjoint(heavy)


def test_every_public_name_can_be_imported():
    import clinical_tl

    for name in clinical_tl.__all__:
        assert getattr(clinical_tl, name) is not None
        room = getattr(clinical_tl, name)
        for inner in getattr(room, "__all__", ()) if ismodule(room) else ():
            assert getattr(room, inner) is not None
    assert set(clinical_tl.__all__) <= set(dir(clinical_tl))
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = clinical_tl.no_such_thing
