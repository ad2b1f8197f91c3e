import pytest

from clinical_tl.data.formats.tag_schemes import MOST_TAGS, SeenTags, tagged_runs


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


def tagging(*sentences, **options):
    seen = SeenTags()
    for tags in sentences:
        seen.add(tags.split())
    return seen.tagging(**options)


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (["O O"], "BIO"),
        (["B-x I-x B-x O", "B-y"], "BIO"),
        (["I-x B-x O"], "IOB1"),
        (["B-x E-x", "S-x O"], "IOBES"),
        (["B-x I-x L-x", "U-x O"], "BILOU"),
        (["x x O", "y"], "IO"),
    ],
)
def test_the_scheme_that_fits_all_is_found(sentences, scheme):
    found = tagging(*sentences)
    assert (found.scheme, found.misfits) == (scheme, 0)


def test_one_slip_changes_no_scheme():
    found = tagging(*["B-x I-x O"] * 9, "O I-x")
    assert (found.scheme, found.misfits) == ("BIO", 1)
    assert found.runs(["O", "I-x"]) == ([], [(1, "a tag inside a mention that has not begun")])


def test_tags_are_decoded_as_they_are_written():
    assert tagging("Drug_M Drug_E O", "Drug_B Drug_M Drug_E").runs(
        ["O", "Drug_B", "Drug_M", "Drug_E"]
    ) == ([(1, 4, "Drug")], [])
    assert tagging("B M E S O", label="Drug").runs(["S", "B", "M", "E"]) == (
        [(0, 1, "Drug"), (1, 4, "Drug")],
        [],
    )
    assert tagging("I-x x O", scheme="IO").runs(["I-x", "x", "x", "y", "O"]) == (
        [(0, 3, "x"), (3, 4, "y")],
        [],
    )


def test_a_column_of_words_is_no_column_of_tags():
    seen = SeenTags()
    seen.add([str(i) for i in range(MOST_TAGS + 1)])
    assert seen.is_overfull
    seen.add(["B-x"])
    assert not seen.counts
