"""Scores draw themselves; without matplotlib they say how to get it."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from clinical_tl.errors import MissingExtraError
from clinical_tl.metrics.calibration import calibration_scores
from clinical_tl.metrics.classification import classification_scores
from clinical_tl.metrics.label_plot import MOST_LABELS, draw_labels

GOLD = ["ward", "ward", "icu", "icu"]
SCORES = classification_scores(GOLD, ["ward", "ward", "icu", "ward"], ["icu", "ward"])


def test_scores_are_drawn_by_label_and_shown_in_a_notebook():
    pytest.importorskip("matplotlib", reason="the extra [plots] is not installed")
    figure = SCORES.plot()
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["icu (2)", "ward (2)"]
    lines = {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}
    assert lines["F1"] == [score.f1 for score in SCORES.per_label]
    assert lines["recall"] == [0.5, 1.0]
    assert axes.get_xlabel() == "score"
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_intervals_are_drawn_and_rare_labels_counted():
    pytest.importorskip("matplotlib", reason="the extra [plots] is not installed")
    row = SCORES.per_label[0].row() | {"f1_low": 0.2, "f1_high": 0.9}
    axes = draw_labels([{**row, "label": f"l{i}"} for i in range(40)], title="Many").axes[0]
    assert len(axes.get_yticklabels()) == MOST_LABELS
    assert "not shown: 10 rarer labels" in axes.get_title()
    spans = [list(line.get_xdata()) for line in axes.get_lines() if len(line.get_xdata()) == 2]
    assert spans == [[0.2, 0.9]] * MOST_LABELS


def test_scores_without_labels_draw_their_metrics():
    pytest.importorskip("matplotlib", reason="the extra [plots] is not installed")
    found = calibration_scores(np.array([0, 0]), np.array([[0.75, 0.25], [0.25, 0.75]]))
    axes = found.plot().axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["ece", "mce", "brier"]


def test_without_matplotlib_it_is_said_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **kwargs):
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"\[plots\]"):
        SCORES.plot()
