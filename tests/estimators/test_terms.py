import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.estimators.terms import distinctive_terms

TEXTS = ["Cough, cough and fever", "cough fever 1/2/1950", "Knee pain", "knee pain no fever"]
LABELS = [0, 0, 1, 1]


def terms_of(found, cluster):
    return [term.term for term in found.by_cluster[cluster]]


def test_weights_are_class_based_tf_idf_by_hand():
    found = distinctive_terms(TEXTS, LABELS, min_notes=1)
    # Cluster 0 has 5 words (cough 3, fever 2), cluster 1 has 6 (knee 2, pain 2, no, fever):
    # 5.5 a cluster; fever occurs three times in all.
    weights = {(c, t.term): t.weight for c, own in found.by_cluster.items() for t in own}
    assert weights == pytest.approx(
        {
            (0, "cough"): 3 / 5 * np.log(1 + 5.5 / 3),
            (0, "fever"): 2 / 5 * np.log(1 + 5.5 / 3),
            (1, "knee"): 2 / 6 * np.log(1 + 5.5 / 2),
            (1, "pain"): 2 / 6 * np.log(1 + 5.5 / 2),
            (1, "no"): 1 / 6 * np.log(1 + 5.5 / 1),
            (1, "fever"): 1 / 6 * np.log(1 + 5.5 / 3),
        }
    )
    assert terms_of(found, 0) == ["cough", "fever"]
    assert terms_of(found, 1) == ["knee", "pain", "no", "fever"]
    assert found.withheld == 0


def test_words_of_too_few_notes_of_a_cluster_are_withheld_and_counted():
    found = distinctive_terms(TEXTS, LABELS, min_notes=2)
    assert terms_of(found, 0) == ["cough", "fever"]
    # "fever" is in three notes, but in one of this cluster.
    assert terms_of(found, 1) == ["knee", "pain"]
    assert found.withheld == 2


def test_a_patients_notes_count_once():
    texts = ["Smith cough"] * 6 + ["cough fever"] * 5
    patients = ["p"] * 6 + [None, "a", "b", "c", "d"]
    plain = distinctive_terms(texts, [0] * 11, min_notes=5)
    assert "smith" in terms_of(plain, 0)
    found = distinctive_terms(texts, [0] * 11, min_notes=5, patients=patients)
    assert terms_of(found, 0) == ["cough", "fever"]
    assert [term.notes for term in found.by_cluster[0]] == [6, 5]


def test_digits_stop_words_and_notes_in_no_cluster_do_not_count():
    texts = ["the cough 0123456789", "the cough 0123456789", "rash rash", "cough"]
    found = distinctive_terms(texts, [3, 3, -1, 3], min_notes=1)
    assert found.by_cluster.keys() == {3}
    assert terms_of(found, 3) == ["cough"]


def test_at_most_n_words_the_best_first():
    assert terms_of(distinctive_terms(TEXTS, LABELS, n=1, min_notes=1), 0) == ["cough"]


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["asthma", "angina", "smith", "jones"]), max_size=4),
            st.integers(-1, 2),
            st.none() | st.integers(0, 3),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 4),
)
def test_no_word_of_too_few_patients_is_ever_shown(notes, min_notes):
    texts = [" ".join(words) for words, _, _ in notes]
    labels = [label for _, label, _ in notes]
    patients = [patient for _, _, patient in notes]
    try:
        found = distinctive_terms(texts, labels, min_notes=min_notes, patients=patients)
    except TaskError:
        return
    for cluster, terms in found.by_cluster.items():
        for term in terms:
            owners = {
                i if patient is None else f"p{patient}"
                for i, (words, label, patient) in enumerate(notes)
                if label == cluster and term.term in words
            }
            assert len(owners) == term.notes >= min_notes


def test_misuse_is_refused_without_showing_text():
    with pytest.raises(TaskError, match="4 texts have 3 cluster labels and 4 patients"):
        distinctive_terms(TEXTS, [0, 0, 1])
    with pytest.raises(TaskError, match="none of the 4 notes is in a cluster"):
        distinctive_terms(TEXTS, [-1] * 4)
    with pytest.raises(TaskError, match="have no word but stop words") as caught:
        distinctive_terms(["the 1950", ""], [0, 0])
    assert "1950" not in str(caught.value)
    with pytest.raises(ConfigError, match="min_notes=0"):
        distinctive_terms(TEXTS, LABELS, min_notes=0)
