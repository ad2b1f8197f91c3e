"""Shapes of identifiers: found where they are, and not where figures and versions stand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.release.patterns import find_identifiers


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("seen 2019-03-12 again", "date"),
        ("on 12/03/2019.", "date"),
        ("3.12.19", "date"),
        ("12 March 2019", "date"),
        ("March 12, 2019", "date"),
        ("[**2151-7-16**]", "date"),
        ("20190312", "date"),
        ("(617) 555-0123", "phone number"),
        ("617-555-0123", "phone number"),
        ("+49 30 1234 5678", "phone number"),
        ("MRN: 123456", "record number"),
        ("patient id 48213", "record number"),
        ("mrn_48213", "record number"),
        ("123-45-6789", "record number"),
        ("number 10032725", "record number"),
        ("ann.lee@ward.example.org", "email"),
        ("see https://example.org/x", "URL"),
        ("www.example.org", "URL"),
        ("Dr. Zebulon", "name after a title"),
        ("Mrs Zebulon", "name after a title"),
        ("/home/zebulon/runs", "folder of a machine"),
        (r"C:\Users\zebulon\runs", "folder of a machine"),
        (r"\\server\share\zebulon", "folder of a machine"),
        ("/mnt/hospital/zebulon", "folder of a machine"),
        ("Seen 2024-01-05T10:22:00Z", "date"),
        ("admitted_2024-01-05", "date"),
        ("2024\N{EN DASH}01\N{EN DASH}05", "date"),
        ("on 12 March", "date"),
        ("5th of March 1962", "date"),
        ("03/2024 clinic", "date"),
        ("020 7946 0958", "phone number"),
        ("pt12345678", "record number"),
        ("H12345678", "record number"),
        ("MRN#123-45-67", "record number"),
        ("Mr. O'Brien", "name after a title"),
        ("Dr. SMITH", "name after a title"),
    ],
)
def test_every_kind_is_found_once(text, kind):
    assert dict(find_identifiers(text)) == {kind: 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5.23.0",
        "0.7952190170940171",
        "814,472 trainable parameters",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "I10, E11.9, D003643, C0012345, D000086382",
        "it may 5 times",
        "on/data/of",
        "sentence-transformers/all-MiniLM-L6-v2",
        "12 to 40 training examples",
        "arXiv 1810.03993",
        "model-00001-of-00002.safetensors",
        "model.layers.0.attention.weight",
        "drug-induced condition",
    ],
)
def test_figures_codes_and_names_of_files_are_none(text):
    assert not find_identifiers(text)


@given(st.dates(), st.sampled_from(["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d %B %Y", "%B %d, %Y"]))
def test_any_date_of_a_century_is_found(day, style):
    written = day.replace(year=1900 + day.year % 200).strftime(style)
    assert find_identifiers(f"on {written} at noon")["date"] == 1


@pytest.mark.parametrize("unit", ["a-", "a.", "a+", "a", "1-", "1.", "a@", "a@a.", "mrn ", "may "])
def test_long_runs_are_read_in_one_pass(unit):
    # A search anew at every letter would take minutes.
    text = unit * (200_000 // len(unit))
    assert find_identifiers(f"{text} jane.doe@example.org")["email"] >= 1
