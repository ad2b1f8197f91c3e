"""The floors of the house, and how little an import may cost."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "clinical_tl"
RUNNABLE = [
    file.stem
    for file in sorted((PACKAGE.parent / "recipes").glob("[!_]*.py"))
    if "__main__" in file.read_text(encoding="utf-8")
]
# A module imports from its own floor and the ones above it in this list.
FLOORS = [
    (
        "errors",
        "table",
        "schema",
        "discreet",
        "paths",
        "boundary",
        "output",
        "replacement",
        "folder_lock",
        "sealed_json",
        "hub_cache",
        "hub_failure",
        "processes",
    ),
    ("data", "rules", "text"),
    ("models", "metrics", "estimators"),
    ("tasks",),
    (
        "reader",
        "artifact",
        "metrics_record",
        "encoder_licence",
        "model_card",
        "card",
        "hub",
        "saved_task",
    ),
    # TransferModel.load_many makes a collection of them.
    ("transfer_model", "model_collection"),
    ("training", "transfer", "auto_model", "baselines"),
    (
        "report",
        "release",
        "spacy_component",
        "spacy_annotations",
        "spacy_source",
        "onnx_export",
        "onnx_model",
    ),
]
# A model's `push_to_hub` calls the push, which loads what it sends as everybody does.
DOORS = {
    ("clinical_tl.transfer_model", "clinical_tl.release.push"),
    ("clinical_tl.transfer.feature_extraction", "clinical_tl.release.push"),
}
# Within a floor, uses may not run in circles.
ROOM_ORDER = {"metrics": 0, "models": 1, "estimators": 1}


def floor_of(module: str) -> int:
    room = module.split(".")[1] if "." in module else "__init__"
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    return len(FLOORS)


def modules():
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts).removesuffix(".__init__"), file


def imports():
    for module, file in modules():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.split(".")[0] in {"clinical_tl", "recipes"}:
                    yield module, name


def test_no_module_imports_from_a_floor_below():
    wrong = [
        f"{module} imports {name}"
        for module, name in imports()
        if module != "clinical_tl" and name != "clinical_tl" and floor_of(module) < floor_of(name)
        if (module, name) not in DOORS
    ]
    assert wrong == []


def test_doors_upward_are_few_and_open_only_when_they_are_used():
    assert set(imports()) >= DOORS
    eager = {
        (module, node.module)
        for module, file in modules()
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
    }
    assert eager.isdisjoint(DOORS)


def test_within_a_floor_rooms_do_not_import_each_other_in_circles():
    wrong = [
        f"{module} imports {name}"
        for module, name in imports()
        if floor_of(module) == floor_of(name) == 2
        and ROOM_ORDER[module.split(".")[1]] < ROOM_ORDER[name.split(".")[1]]
    ]
    assert wrong == []


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
    assert set(clinical_tl.__all__) <= set(dir(clinical_tl))
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = clinical_tl.no_such_thing
