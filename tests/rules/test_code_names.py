"""Rules from the names of codes, and rules as a coder."""

from clinical_tl.rules.code_names import LONGEST, from_names
from clinical_tl.rules.matcher import RuleMatcher
from clinical_tl.schema import Note

NAMES = {
    "I10": ["Essential hypertension", "hypertension"],
    "I15": ["Secondary hypertension", "Hypertension"],
    "J45": ["Asthma", "a" * 3, "pain", "1 2"],
    "S82.899Q": [" ".join(["very"] * (LONGEST + 1)) + " long title"],
}


def test_names_become_rules_with_all_codes_that_go_by_them():
    rules = from_names(NAMES)
    by_pattern = {rule.pattern.lower(): rule.concepts for rule in rules}
    assert by_pattern["hypertension"] == ("I10", "I15")
    assert by_pattern["asthma"] == ("J45",)
    assert rules.pruned == {"long": 1, "no letter": 1, "short": 1}


def test_rules_emit_codes_with_evidence_and_leave_out_what_is_denied():
    text = "Secondary hypertension. No asthma. Mother: hypertension."
    (said,) = RuleMatcher(from_names(NAMES)).predict([Note("a", text)], codes=True)
    assert said.codes == ("I15",)
    assert [span.key for span in said.evidence["I15"]] == [(0, 22, "I15")]
    assert len(said.spans) == 3
    (plain,) = RuleMatcher(from_names(NAMES)).predict([Note("a", text)])
    assert plain.codes is None
    assert plain.spans == said.spans
