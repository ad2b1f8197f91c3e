from .annotations import from_annotations as from_annotations
from .disagreement import disagreements as disagreements
from .lexicon import from_lexicon as from_lexicon
from .matcher import RuleMatcher as RuleMatcher
from .rule import Rule as Rule
from .rule_set import RuleSet as RuleSet
from .silver import label_notes as label_notes
from .voting import combine as combine
