from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clinical_tl.errors import ConfigError, TaskError
from clinical_tl.rules.voting import HOWS, combine
from clinical_tl.schema import Prediction, Span
from tests.rules.lexicons import claims


def votes(model, rules, how, **options):
    (result,) = combine([claims("n", *model)], [claims("n", *rules)], how=how, **options)
    return [(s.start, s.end, s.label, s.score) for s in result.spans]


SURE, UNSURE = (0, 4, "P", 0.9), (10, 14, "P", 0.3)


def test_what_both_give_is_one_mention():
    model = Span(0, 4, "P", id="T1", attributes=(("a", "1"),), score=0.4)
    rule = Span(0, 4, "P", concepts=("D1",), attributes=(("a", "1"), ("rule", "r")), score=0.7)
    expected = replace(model, concepts=("D1",), attributes=(("a", "1"), ("rule", "r")), score=0.7)
    for how in HOWS:
        (said,) = combine(
            [Prediction("n", spans=(model,))], [Prediction("n", spans=(rule,))], how=how
        )
        assert said == Prediction("n", spans=(expected,))
    known = replace(model, concepts=("D9",), score=None)
    (said,) = combine(
        [Prediction("n", spans=(known,))],
        [Prediction("n", spans=(replace(rule, score=None),))],
        how="union",
    )
    assert (said.spans[0].concepts, said.spans[0].score) == (("D9",), None)


def test_intersection_asks_for_the_same_bounds_and_label():
    rules = [(0, 4, "P", 0.5), (10, 13, "P", 1.0), (20, 24, "P", 1.0)]
    assert votes([SURE, UNSURE, (20, 24, "Q", 1.0)], rules, "intersection") == [SURE]


def test_union_takes_the_higher_score_then_the_longer_then_the_model():
    assert votes([UNSURE], [SURE], "union") == [SURE, UNSURE]
    assert votes([(0, 4, "P", 0.5)], [(2, 6, "P", 0.6)], "union") == [(2, 6, "P", 0.6)]
    assert votes([(0, 4, "P", 0.5)], [(2, 6, "P", None)], "union") == [(0, 4, "P", 0.5)]
    assert votes([(0, 4, "P", 0.5)], [(2, 7, "P", 0.5)], "union") == [(2, 7, "P", 0.5)]
    assert votes([(2, 6, "P", 0.5)], [(0, 4, "P", 0.5)], "union") == [(0, 4, "P", 0.5)]
    assert votes([(0, 4, "P", 0.5)], [(0, 4, "A", 0.5)], "union") == [(0, 4, "P", 0.5)]
    # What both give is each side's own, so it stands and puts nothing out.
    both = (0, 4, "P", 0.1)
    assert votes([both, (3, 9, "P", 0.9)], [both, (2, 5, "P", 1.0)], "union") == [
        both,
        (2, 5, "P", 1.0),
    ]


def test_a_sides_own_mentions_do_not_put_one_another_out():
    nested = [(0, 9, "P", 0.5), (2, 4, "P", 0.4)]
    for how in ("union", "fill"):
        assert votes(nested, [(20, 21, "P", 1.0)], how)[:2] == nested
        assert votes([(20, 21, "P", 1.0)], nested, how)[:2] == nested


def test_fill_lets_rules_speak_where_the_model_is_unsure():
    rules = [(2, 6, "P", 0.8), (11, 16, "P", 0.8), (30, 33, "P", None)]
    assert votes([SURE, UNSURE], rules, "fill") == [SURE, (11, 16, "P", 0.8), (30, 33, "P", None)]
    assert votes([SURE, UNSURE], rules, "fill", threshold=0.3) == [
        SURE,
        UNSURE,
        (30, 33, "P", None),
    ]
    assert votes([SURE, UNSURE], [], "fill") == [SURE, UNSURE]
    assert votes([(0, 4, "P", None)], [(2, 6, "P", 1.0)], "fill") == [(0, 4, "P", None)]
    agreed = (6, 8, "P", 0.2)
    assert votes([agreed, UNSURE], [agreed, (11, 18, "P", 1.0)], "fill") == [
        agreed,
        (11, 18, "P", 1.0),
    ]


def test_rules_below_their_threshold_have_no_vote():
    rules = [(10, 14, "P", 0.4), (20, 24, "P", None), (30, 34, "P", 0.6)]
    assert votes([SURE], rules, "union", rule_threshold=0.5) == [SURE, (30, 34, "P", 0.6)]


def test_other_fields_of_the_models_prediction_stay():
    model = Prediction("n", label="note", spans=(), scores={"note": 0.5})
    assert combine([model], [claims("n")], how="union") == [model]


SPANS = st.lists(
    st.builds(
        lambda start, length, label, score: (start, start + length, label, score),
        st.integers(0, 20),
        st.integers(1, 6),
        st.sampled_from("PQ"),
        st.none() | st.sampled_from([0.0, 0.3, 0.5, 0.9]),
    ),
    max_size=6,
    unique_by=lambda s: s[:3],
)


@given(SPANS, SPANS, st.randoms())
def test_votes_do_not_depend_on_order_and_never_invent(model, rules, random):
    either = {span[:3] for span in (*model, *rules)}
    both = {span[:3] for span in model} & {span[:3] for span in rules}
    shuffled = [random.sample(side, len(side)) for side in (model, rules)]
    for how in HOWS:
        voted = votes(model, rules, how)
        assert voted == votes(*shuffled, how)
        keys = {span[:3] for span in voted}
        assert len(keys) == len(voted)
        assert both <= keys <= either
        if how == "intersection":
            assert keys == both


def test_predictions_must_belong_together():
    one = [claims("n", SURE)]
    with pytest.raises(TaskError, match="1 predictions of the model but 0 of the rules"):
        combine(one, [], how="union")
    with pytest.raises(TaskError, match=r"position 0: .* note 'n', the rules' of 'm'"):
        combine(one, [claims("m")], how="union")
    with pytest.raises(TaskError, match="note 'n': the prediction of the rules has no spans"):
        combine(one, [Prediction("n")], how="union")


@pytest.mark.parametrize("options", [{"how": "all"}, {"threshold": 1.2}, {"rule_threshold": -0.1}])
def test_unknown_votes_are_refused(options):
    with pytest.raises(ConfigError, match="union, intersection, fill"):
        combine([], [], **{"how": "union", **options})
