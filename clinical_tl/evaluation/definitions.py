"""What each figure of a report is, in a line."""

from __future__ import annotations

import re

COUNTS = frozenset(
    {
        "notes", "unknown_gold", "undecided", "notes_without_gold", "unseen_codes", "unseen_gold",
        "gold", "predicted", "lost", "candidates",
    }
)  # fmt: skip
"""What is counted, not scored."""

_DEFINITIONS = {
    "accuracy": "Share of the notes that were given the right label.",
    "macro_f1": "Mean of the labels' F1: rare labels count as much as frequent ones.",
    "macro_f1_gold": "Mean F1 of the codes that the gold has; codes only predicted are left out.",
    "macro_precision": "Mean of the labels' precision.",
    "macro_recall": "Mean of the labels' recall.",
    "weighted_f1": "Mean of the labels' F1, each weighted by how often it is in gold.",
    "mcc": "Matthews correlation of gold and predicted labels: 0 is chance, 1 perfect.",
    "auroc_ovr": "Chance that a note of a label scores higher for it than a note of another label.",
    "auroc_micro": "Chance that a code in gold scores higher than one that is not, over all pairs.",
    "auroc_macro": "The same chance code by code, then averaged over the codes.",
    "f1": "Harmonic mean of precision and recall, over everything that is to be found.",
    "precision": "Share of what was predicted that is right.",
    "recall": "Share of the gold that was found.",
    "micro_f1": "Harmonic mean of micro precision and recall.",
    "micro_precision": "Share of all codes given that are right.",
    "micro_recall": "Share of all gold codes that were given.",
    "overlap_f1": "F1 where sharing one character with a gold mention of the type is enough.",
    "overlap_precision": "Share of predicted mentions that overlap a gold one of the type.",
    "overlap_recall": "Share of gold mentions that overlap a predicted one of the type.",
    "share_lost": "Share of the gold that the model can't express; it counts as missed.",
    "seqeval_f1": "F1 of mentions on word tags, as seqeval's strict IOB2 mode counts them.",
    "seqeval_precision": "Precision of mentions on word tags.",
    "seqeval_recall": "Recall of mentions on word tags.",
    "seqeval_macro_f1": "Mean F1 of the types on word tags.",
    "group_f1": "F1 with labels merged into the corpus's groups.",
    "group_precision": "Precision with labels merged into groups.",
    "group_recall": "Recall with labels merged into groups.",
    "group_macro_f1": "Mean F1 of the groups.",
    "r_precision": "Share that is right among the R likeliest codes of a note that has R in gold.",
    "map": "Mean average precision: how far up the gold codes rank in each note.",
    "ece": "Expected calibration error: mean distance of probability and share that was right.",
    "mce": "The largest such distance in any bin.",
    "brier": "Mean squared distance of the probabilities from what is true: 0 is best.",
    "notes": "Notes that were scored.",
    "unknown_gold": "Notes whose gold label the model does not know: counted as errors.",
    "undecided": "Notes that were given no label: counted as errors.",
    "notes_without_gold": "Notes that need no code; left out of the ranking figures.",
    "unseen_codes": "Distinct gold codes that the model does not know.",
    "unseen_gold": "How often such codes are in gold: counted as missed.",
    "gold": "Things to be found, each once.",
    "predicted": "Things that were predicted.",
    "lost": "Gold that the model can't express; it counts as missed.",
    "candidates": "Pairs of mentions that were classified.",
}
_AT = re.compile(r"precision_at_(\d+)")
_BAND = "micro_f1_train_"

COLUMNS = {
    "tp": "right (true positives)",
    "fp": "predicted and wrong (false positives)",
    "fn": "missed (false negatives)",
    "precision": "share of the predictions that are right",
    "recall": "share of the gold that was found",
    "f1": "harmonic mean of precision and recall",
    "support": "how often the label is in gold",
}
"""What the columns of the labels' table are."""


def defined(metric: str) -> str:
    """What a metric is; empty for one of a task of somebody's own.

    >>> defined("recall")
    'Share of the gold that was found.'
    >>> defined("micro_f1_train_1-5")
    'Micro F1 of the codes that 1-5 training notes have.'
    """
    if metric in _DEFINITIONS:
        return _DEFINITIONS[metric]
    if metric.startswith(_BAND):
        return f"Micro F1 of the codes that {metric.removeprefix(_BAND)} training notes have."
    found = _AT.fullmatch(metric)
    return f"Share that is right among the {found[1]} likeliest codes of a note." if found else ""
