"""Mistyped settings are told the nearest ones, and errors name flags, not arguments."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from clinical_tl.data.read_options import ReadOptions
from recipes import evaluate, note_classification, predict
from recipes.__main__ import recipes
from recipes.command_line import nearest, run, settings_of, with_flags

ROOT = Path(__file__).parent.parent.parent
KNOWN = settings_of(note_classification.main)


def refused(arguments, capsys, recipe=note_classification.main):
    with pytest.raises(SystemExit) as caught:
        run(recipe, arguments)
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert "usage:" not in said.err
    return said.err


@pytest.mark.parametrize("name", recipes())
def test_the_settings_of_a_recipe_are_those_that_its_parser_has(name):
    recipe = importlib.import_module(f"recipes.{name.replace('-', '_')}").main
    parser = ArgumentParser(exit_on_error=False)
    parser.add_function_arguments(recipe)
    leaves = set(parser.get_defaults().keys())
    assert leaves <= set(settings_of(recipe))
    if "read" in settings_of(recipe):
        assert {f"read.{field.name}" for field in fields(ReadOptions)} <= leaves


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("columns={'text': '<column>'}", "--read.columns.text '<column>'"),
        ("columns={'text': 'T', 'label': 'L'}", "--read.columns.text T --read.columns.label L"),
        ("on_error='skip' (the rest", "--read.on_error skip (the rest"),
        ("make_ids=True.", "--read.make_ids true."),
        ("pass allow_leakage=True, which", "pass --allow_leakage true, which"),
        ("as_written=['label']", "--read.as_written '[\"label\"]'"),
        ("as_written=[field] takes", "--read.as_written '[field]' takes"),
        ("another? delimiter=';')", "another? --read.delimiter ';')"),
        ("delimiter='\\t'", "--read.delimiter $'\\t'"),
        ("epochs=0 (allowed", "--training.epochs 0 (allowed"),
        ("labels=None", "--read.labels null"),
        ("format='…', one of", "--read.format '…', one of"),
        # Two groups have it, or none: then it stays as it is.
        ("dropout=2, tolerance=…, f1=0.5", "dropout=2, tolerance=…, f1=0.5"),
        ("x.split='a', --read.format=csv", "x.split='a', --read.format=csv"),
    ],
)
def test_settings_of_the_recipe_are_named_as_its_flags(python, shell):
    assert with_flags(python, KNOWN) == shell


def test_a_recipes_own_setting_goes_before_one_of_a_group():
    assert with_flags("split='dev'", settings_of(evaluate.main)) == "--split dev"
    assert with_flags("split='dev'", KNOWN) == "--read.split dev"


def test_flags_that_errors_name_are_read_as_they_were_meant():
    said = with_flags(
        "delimiter='\\t' separator='|' as_written=['label'] make_ids=True columns={'text': 'a b'}",
        KNOWN,
    )
    words = shlex.split(said.replace("$'\\t'", "'\t'"))

    def recipe(read: ReadOptions = ReadOptions()) -> ReadOptions:
        return read

    assert run(recipe, words) == ReadOptions(
        delimiter="\t", separator="|", as_written=("label",), make_ids=True,
        columns={"text": "a b"},
    )  # fmt: skip


def test_errors_and_warnings_of_a_run_name_flags():
    program = (
        "import logging\n"
        "from clinical_tl.errors import ConfigError\n"
        "from clinical_tl.data.read_options import ReadOptions\n"
        "from recipes.command_line import run\n"
        "def recipe(read: ReadOptions = ReadOptions()):\n"
        "    logging.getLogger('x').warning('as_written=[field] takes %s', 'cells')\n"
        "    raise ConfigError(\"format='…', one of\")\n"
        "run(recipe, [])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "WARNING: --read.as_written '[field]' takes cells",
        "error: --read.format '…', one of",
    ]


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("--colums", "--read.columns"),
        ("--colums.text", "--read.columns.text"),
        ("--columns.text", "--read.columns.text"),
        ("--format", "--read.format"),
        ("--on_error", "--read.on_error"),
        ("--read.formt", "--read.format"),
        ("--training.epoch", "--training.epochs"),
        ("--trainig.epochs", "--training.epochs"),
        ("--lim", "--limit"),
        ("--trian", "--train"),
        ("--training.head_learning_rates", "--training.head_learning_rate"),
    ],
)
def test_a_mistyped_flag_is_told_the_nearest(mistyped, meant, capsys):
    said = refused([mistyped, "3"], capsys)
    assert said.startswith(f"error: there is no flag {mistyped}; did you mean {meant}")
    assert refused([f"{mistyped}=3"], capsys) == said


def test_what_is_like_nothing_gets_no_suggestion(capsys):
    assert nearest("lora.rank", KNOWN) == []
    assert refused(["--zzz=The patient was seen"], capsys) == (
        "error: there is no flag --zzz\n       all of them: --help\n"
    )
    assert "is no flag; every setting is one" in refused(["of chest pain today"], capsys)
    assert "chest" not in refused(["of chest pain today"], capsys)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("reed:\n  format: csv\n", "reed.format; did you mean read.format?"),
        ("read:\n  formt: csv\n", "read.formt; did you mean read.format?"),
        ("training:\n  epoch: 3\n", "training.epoch; did you mean training.epochs?"),
        ("format: csv\n", "format; did you mean read.format?"),
    ],
)
def test_a_mistyped_key_of_a_config_too(config, told, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(config)
    said = refused([f"--config={tmp_path / 'own.yaml'}"], capsys)
    assert said == f"error: a config has no key {told}\n"


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--training.epochs=many", "--training.epochs: 'many'; allowed: a whole number or null"),
        ("--read.on_error=skp", "--read.on_error: 'skp'; allowed: 'raise', 'skip'"),
        ("--read.as_written=label", "--read.as_written: 'label'; allowed: a list, [a, b]"),
        ("--config=none.yaml", "--config: File does not exist"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_is_allowed(flag, told, capsys):
    said = refused([flag], capsys)
    assert said.startswith(f"error: {told}")
    assert said.count("\n") == 1


def test_missing_settings_are_named(capsys):
    assert refused([], capsys, predict.main) == "error: needed: --model, --notes, --output\n"


def test_all_settings_of_reading_work_as_flags_and_in_a_config(tmp_path):
    def recipe(read: ReadOptions = ReadOptions()) -> ReadOptions:
        return read

    (tmp_path / "own.yaml").write_text(
        "read:\n  columns:\n    text: letter\n    codes:\n  metadata_columns: rest\n"
        "  labels: {Medication: Drug}\n  id_column: 2\n"
    )
    flags = ["--read.delimiter", ";", "--read.make_ids", "true", "--read.columns.label", "class"]
    assert run(recipe, [f"--config={tmp_path / 'own.yaml'}", *flags]) == ReadOptions(
        columns={"text": "letter", "codes": None, "label": "class"}, metadata_columns="rest",
        labels={"Medication": "Drug"}, id_column=2, delimiter=";", make_ids=True,
    )  # fmt: skip


def test_settings_of_reading_in_a_file_of_their_own_serve_every_recipe(tmp_path):
    def recipe(read: ReadOptions = ReadOptions()) -> ReadOptions:
        return read

    (tmp_path / "read.yaml").write_text("delimiter: ';'\ncolumns: {text: letter}\n")
    flags = [f"--read={tmp_path / 'read.yaml'}", "--read.make_ids=true"]
    assert run(recipe, flags) == ReadOptions(
        delimiter=";", columns={"text": "letter"}, make_ids=True
    )


def test_what_the_package_did_not_refuse_shows_its_traceback():
    def recipe() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run(recipe, [])
