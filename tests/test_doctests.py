"""The examples in the docstrings say what comes out, and none of them needs torch."""

import doctest
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import clinical_tl

PACKAGE = Path(clinical_tl.__file__).parent
MODULES = [
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
    for file in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in file.read_text(encoding="utf-8")
]
# Long lines are broken.
WRAPPED = doctest.NORMALIZE_WHITESPACE


EXAMPLES = [
    test
    for module in MODULES
    for test in doctest.DocTestFinder().find(import_module(module))
    if test.examples
]


@pytest.mark.parametrize("test", EXAMPLES, ids=lambda test: test.name)
def test_an_example_gives_what_it_says(test):
    said = []
    result = doctest.DocTestRunner(optionflags=WRAPPED).run(test, out=said.append)
    assert not result.failed, "".join(said)


def test_there_are_at_least_twenty_of_public_names():
    names = [test.name.rpartition(".")[2] for test in EXAMPLES]
    assert len(names) >= 20
    assert [name for name in names if name.startswith("_")] == []


def test_none_needs_torch():
    without_torch = f"""
import doctest, sys
from importlib import import_module
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *where: None if name == "torch" else find(name, *where)
failed = [
    name
    for name in {MODULES}
    if doctest.testmod(import_module(name), optionflags={WRAPPED}).failed
]
sys.exit(f"need torch: {{failed}}" if failed else 0)
"""
    command = [sys.executable, "-W", "error", "-c", without_torch]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
