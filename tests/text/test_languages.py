"""Languages of texts: by their letters, none where that can't be told."""

from clinical_tl.text.languages import MOST_TEXTS, languages_of

ENGLISH = "The patient was admitted with chest pain and went home the next day."
GERMAN = "Der Patient wurde mit Brustschmerzen aufgenommen und am Folgetag entlassen."


def test_shares_are_of_letters_and_the_largest_comes_first():
    found = languages_of([ENGLISH, GERMAN * 3])
    assert list(found) == ["de", "en"]
    assert abs(sum(found.values()) - 1) < 0.02
    assert found["de"] > 0.7


def test_a_slip_is_no_language():
    assert languages_of([ENGLISH] * 50 + [GERMAN]) == {"en": 0.98}


def test_what_has_no_words_has_no_language():
    for texts in ([], ["", "  "], ["12/80, 37.2"], ["RR HF BZ"] * 9):
        assert languages_of(texts) == {}
    # Nor do a few lines of words decide for tables of drugs.
    assert languages_of([ENGLISH, *["Metformin 500 mg 2x"] * 20]) == {}


def test_of_many_texts_all_parts_are_looked_at():
    texts = [ENGLISH] * 3 * MOST_TEXTS + [GERMAN] * 3 * MOST_TEXTS
    assert languages_of(texts) == languages_of([ENGLISH, GERMAN])
