"""Source knowledge as rules that can be read: lexicons and annotations compiled, run, compared."""

from __future__ import annotations

from clinical_tl.rules.annotations import from_annotations as from_annotations
from clinical_tl.rules.disagreement import disagreements as disagreements
from clinical_tl.rules.lexicon import from_lexicon as from_lexicon
from clinical_tl.rules.matching import RuleMatcher as RuleMatcher
from clinical_tl.rules.rule import Rule as Rule
from clinical_tl.rules.rule_set import RuleSet as RuleSet
from clinical_tl.rules.silver import label_notes as label_notes
from clinical_tl.rules.voting import combine as combine
