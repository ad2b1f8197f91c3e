"""A stated licence goes into a card, whatever its authors made of the rest."""

import pytest
from huggingface_hub import ModelCard

from clinical_tl.saved.card_licence import licence_named, with_stated_licence


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        (
            "---\nlicense: unknown\ntags:\n- a\n---\n# M\n\n## Licence\n\nX.\n\n## Use\n\nY.\n",
            "mit",
        ),
        ("---\ntags:\n- a\n---\n# M\n", "mit"),
        ("# No metadata\n", "mit"),
        ("---\nlicense: cc-by-4.0\n---\n# M\n", "cc-by-4.0"),
    ],
)
def test_the_metadata_get_it_where_they_have_none(card, licence):
    stated = with_stated_licence(card, "mit")
    assert ModelCard(stated).data.license == licence
    assert stated.count("it was stated to be mit by who pushed the model.") == 1
    assert with_stated_licence(stated, "mit") == stated
    assert all(line in stated for line in card.splitlines() if "license" not in line)


def test_the_sections_stay_apart():
    card = "# M\n\n## Licence\n\nX.\n\n## Use\n\nY.\n"
    stated = with_stated_licence(card, None)
    assert stated.startswith("# M\n\n## Licence\n\nX.\n\nThe release gate does not know")
    assert stated.endswith("passing it on.\n\n## Use\n\nY.\n")
    assert "not named" in stated


def test_a_licence_that_the_hub_has_no_name_for_is_another():
    data = ModelCard(with_stated_licence("# M\n", "hospital-1.0")).data
    assert (data.license, data.license_name) == ("other", "hospital-1.0")


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("licence=Apache-2.0", "apache-2.0"),
        ("licence", None),
        ("licence=", None),
        ("licence=seen by Zebulon", None),
        ("licence=mit\nlicense: x", None),
    ],
)
def test_reasons_are_no_names_of_licences(override, named):
    assert licence_named(override) == named
