"""The citation file is what GitHub and Zenodo read, and says what the package says of itself."""

import tomllib
from pathlib import Path

import pytest
import yaml

from clinical_tl.version import __version__

ROOT = Path(__file__).parent.parent
# Citation File Format 1.2.0: what must be there, and what else we use of it.
REQUIRED = {"cff-version", "message", "title", "authors"}
OPTIONAL = {"type", "abstract", "version", "license", "keywords"}


@pytest.fixture
def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


@pytest.fixture
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_is_of_this_version(citation, project):
    assert citation["title"] == project["name"]
    assert citation["version"] == project["version"] == __version__
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]
    assert citation["keywords"] == project["keywords"]


def test_the_citation_is_sound(citation):
    assert set(citation) >= REQUIRED
    assert set(citation) <= REQUIRED | OPTIONAL
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert all(set(author) == {"name"} for author in citation["authors"])


def test_the_classifiers_name_the_pythons_from_the_lowest_on(project):
    named = [
        line.rpartition(" ")[2]
        for line in project["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    assert f">={named[0]}" == project["requires-python"]
    assert named == ["3.11", "3.12", "3.13"]
