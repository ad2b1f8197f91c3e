import pytest

from clinical_tl.data.formats.conll import tagged_runs


@pytest.mark.parametrize(
    ("scheme", "tags", "runs"),
    [
        ("BIO", "O B-x I-x B-x O B-y", [(1, 3, "x"), (3, 4, "x"), (5, 6, "y")]),
        ("BIO", "B-a-b I-a-b", [(0, 2, "a-b")]),
        ("IOB1", "I-x I-x B-x I-y O I-y", [(0, 2, "x"), (2, 3, "x"), (3, 4, "y"), (5, 6, "y")]),
        ("BILOU", "B-x I-x L-x U-x O B-y L-y", [(0, 3, "x"), (3, 4, "x"), (5, 7, "y")]),
        ("IOBES", "B-x E-x S-y", [(0, 2, "x"), (2, 3, "y")]),
    ],
)
def test_sound_sequences(scheme, tags, runs):
    assert tagged_runs(tags.split(), scheme) == (runs, [])


@pytest.mark.parametrize(
    ("scheme", "tags", "places"),
    [
        ("BIO", "O I-x", [1]),
        ("BIO", "B-x I-y", [1]),
        ("BIO", "L-x B- x O", [0, 1, 2]),
        ("BILOU", "B-x O", [0]),
        ("BILOU", "B-x I-x", [1]),
        ("BILOU", "I-x L-x", [0, 1]),
        ("BILOU", "U-x L-x", [1]),
        ("BILOU", "B-x U-x", [0]),
        ("IOBES", "B-x L-x", [1, 0]),
    ],
)
def test_unsound_sequences_are_placed(scheme, tags, places):
    assert [i for i, _ in tagged_runs(tags.split(), scheme)[1]] == places
