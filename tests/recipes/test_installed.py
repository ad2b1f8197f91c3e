"""The recipes as a wheel brings them: run, listed and copied by `clinical-tl`."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from recipes.__main__ import configs, copy, main, recipes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes"


def shell(*command, cwd, **options):
    """Run outside the clone, where nothing of it is found by chance."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True,
        **{"check": True, **options},
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from the source distribution, by the interpreter's own setuptools: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    leave = shutil.ignore_patterns("__pycache__")
    for package in ("clinical_tl", "recipes"):
        shutil.copytree(ROOT / package, clone / package, ignore=leave)
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, clone)
    build = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
    shell(sys.executable, "-c", build.format("sdist"), folder, cwd=clone)
    (sources,) = folder.glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        archive.extractall(folder, filter="data")
    shell(sys.executable, "-c", build.format("wheel"), folder, cwd=folder / sources.stem[:-4])
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of a fresh environment that has the wheel, and sees the dependencies."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this environment has no pip to install the wheel with")
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    shell(*pip, "--no-index", "--no-deps", wheel, cwd=environment)
    (site,) = environment.glob("lib/python*/site-packages")
    # A path alone: the .pth files there, an editable clone's among them, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return environment / "bin"


def test_the_wheel_holds_the_package_and_the_recipes_and_takes_no_other_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        f"{name}/{file.relative_to(ROOT / folder).as_posix()}"
        for folder, name in (("clinical_tl", "clinical_tl"), ("recipes", "clinical_tl_recipes"))
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert held == wanted


def test_recipes_are_listed_and_run_by_name_with_dashes_or_underscores(installed, tmp_path):
    listed = shell(installed / "clinical-tl", "recipes", cwd=tmp_path).stdout
    assert dict(line.split(maxsplit=1) for line in listed.splitlines()) == recipes()
    said = [
        shell(installed / "clinical-tl", name, "--help", cwd=tmp_path).stdout
        for name in ("note-classification", "note_classification")
    ]
    assert said[0] == said[1]
    assert said[0].startswith("usage: clinical-tl note-classification ")
    wrong = shell(installed / "clinical-tl", "predict", "--modle=x", cwd=tmp_path, check=False)
    assert wrong.returncode == 2
    assert "modle" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_copied_recipe_is_a_script_of_ones_own(installed, tiny_encoder, tmp_path):
    program = installed / "clinical-tl"
    told = shell(program, "copy", "note_classification", cwd=tmp_path).stdout
    script = tmp_path / "note_classification.py"
    written = {file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()}
    assert written == {
        Path("note_classification.py"),
        *(Path("configs") / file.name for file in configs("note-classification")),
    }
    assert all(str(file) in told for file in written)
    helps = [
        shell(*command, "--help", cwd=tmp_path).stdout.partition("\n\n")[2]
        for command in ((program, "note-classification"), (installed / "python", script))
    ]
    assert helps[0] == helps[1] != ""
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace("print(model.summary())", 'print("of my own")'))
    done = shell(
        installed / "python", script.name, "--config=configs/note_classification_synthetic.yaml",
        f"--encoder={tiny_encoder}", "--limit=30", "--training.epochs=1",
        "--training.min_steps=1", "--training.progress=false", cwd=tmp_path,
    )  # fmt: skip
    assert "of my own" in done.stdout
    assert (tmp_path / "runs" / "note_classification_synthetic" / "model" / "task.json").is_file()


def test_every_copied_recipe_finds_what_it_imports(installed, tmp_path):
    program = (
        "import runpy, sys\n"
        "from pathlib import Path\n"
        "from clinical_tl_recipes.__main__ import copy, recipes\n"
        "for name in recipes():\n"
        "    script = copy(name, Path(name))[0]\n"
        "    assert callable(runpy.run_path(str(script))['main'])\n"
        "    print(name)\n"
        "assert 'recipes' not in sys.modules and 'torch' not in sys.modules\n"
    )
    done = shell(installed / "python", "-c", program, cwd=tmp_path)
    assert done.stdout.split() == list(recipes())


def test_what_is_no_recipe_is_not_listed():
    runnable = {file.stem for file in FOLDER.glob("[!_]*.py") if "__main__" in file.read_text()}
    of_make = set(re.findall(r"-m recipes\.(\w+)", (ROOT / "Makefile").read_text()))
    assert of_make == {"demo", "few_labels", "real", "real_transfer"}
    assert set(recipes()) == {name.replace("_", "-") for name in runnable - of_make}
    assert {"recipes", "copy"}.isdisjoint(recipes())
    assert all(20 < len(purpose) <= 100 for purpose in recipes().values())


def test_a_copy_overwrites_only_when_it_is_told_to(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    copied = copy("entity-recognition", tmp_path)
    assert copy("entity-recognition", tmp_path) == []
    # Of two recipes that share an encoder's config the second finds it there.
    assert tmp_path / "configs" / "biomedbert.yaml" not in copy("note-classification", tmp_path)
    mine, gone = copied[0], copied[-1]
    whole = mine.read_text(encoding="utf-8")
    mine.write_text("# mine\n")
    gone.unlink()
    monkeypatch.setattr(sys, "argv", ["clinical-tl", "copy", "entity-recognition"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: entity_recognition.py: already here")
    assert "--overwrite" in said
    assert mine.read_text() == "# mine\n"
    assert not gone.exists()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--overwrite"])
    main()
    assert mine.read_text(encoding="utf-8") == whole
    assert gone.is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["note_clasification"], "no recipe 'note_clasification'; nearest: note-classification"),
        (["copy", "Evaluate"], "no recipe 'Evaluate'; nearest: evaluate"),
        (["workers"], "no recipe 'workers'"),
        (["demo"], "no recipe 'demo'"),
        (["../demo"], "no recipe '../demo'"),
        (["--version"], "no recipe '--version'"),
        (["copy"], "copy takes one recipe"),
        (["copy", "predict", "push"], "copy takes one recipe"),
        (["copy", "--overwite", "predict"], "copy takes one recipe"),
        (["The patient was seen for chest pain"], "no recipe '<text of 35 characters>'; `clin"),
    ],
)
def test_a_name_that_nothing_has_is_one_clear_error(words, told, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["clinical-tl", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert told in said
    assert not any(tmp_path.iterdir())
