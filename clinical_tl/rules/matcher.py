"""Rules run over notes: spaCy's phrase matcher on the units of the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clinical_tl.data.notes import NotesLike, as_notes
from clinical_tl.rules.measures import TextUnits, split_units, words_of
from clinical_tl.rules.rule import Rule
from clinical_tl.schema import Prediction, Span

if TYPE_CHECKING:
    from spacy.matcher import PhraseMatcher
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

    from clinical_tl.rules.context import Context

SOURCE = ("source", "rules")
DENYING = frozenset({"negation", "hypothetical", "family"})
"""What a mention may be said to be and then is none of the patient's."""


@dataclass(frozen=True)
class Occurrence:
    """A rule's pattern found in a text: units `first` to `stop`, characters `start` to `end`."""

    rule: Rule
    first: int
    stop: int
    start: int
    end: int


class RuleMatcher:
    """Finds the mentions that rules mark.

    Patterns match whole units of the text (`units`), in any case unless a rule says otherwise.
    Of occurrences that overlap the longest in characters wins, then the one that starts first.
    Where several rules find the same stretch, the one with the highest precision on its source
    wins (none known counts as 0), then the most support, then label and id in alphabetical
    order.

    spaCy's own tokenizer is not used: it would take nine tenths of the time, and
    it cuts words that rules need whole.

    >>> pain = Rule("own:1", "chest pain", "Problem", origin="own")
    >>> asthma = Rule("own:2", "asthma", "Problem", origin="own")
    >>> matcher = RuleMatcher([pain, asthma])
    >>> for span in matcher.spans("Denies chest pain. Mother: asthma."):
    ...     print(span.key, dict(span.attributes))
    (7, 17, 'Problem') {'source': 'rules', 'rule': 'own:1', 'negation': 'true'}
    (27, 33, 'Problem') {'source': 'rules', 'rule': 'own:2', 'family': 'true'}
    """

    def __init__(self, rules: Iterable[Rule], *, context: bool = True) -> None:
        """Compiles the rules.

        Args:
            rules: the rules; 70,000 take some seconds.
            context: whether mentions get the attributes of `context` (negation and so on).
        """
        from spacy.matcher import PhraseMatcher
        from spacy.tokens import Doc

        self.vocab = lower_case_vocab()
        self.rules: dict[tuple[str, ...], list[Rule]] = {}
        for rule in rules:
            self.rules.setdefault(rule.key, []).append(rule)
        self._doc = Doc
        self._matcher: PhraseMatcher = PhraseMatcher(self.vocab, attr="LOWER")
        self._keys: dict[int, tuple[str, ...]] = {}
        for number, key in enumerate(self.rules):
            self.rules[key].sort(key=_rank)
            self._matcher.add(str(number), [Doc(self.vocab, words=list(key))])
            self._keys[self.vocab.strings[str(number)]] = key
        self._context: Context | None = None
        if context:
            from clinical_tl.rules.context import Context

            self._context = Context(self.vocab)

    def occurrences(self, text: str) -> list[Occurrence]:
        """Every occurrence of every rule, overlapping ones too."""
        units = split_units(text)
        return self._occurrences(units, self._doc(self.vocab, words=units.words))

    def spans(self, text: str) -> tuple[Span, ...]:
        """The mentions of a text in order of their start, none overlapping another.

        Each carries the rule's label, concepts and, as its score, precision; its attributes are
        `("source", "rules")`, `("rule", id)` and what the context says.
        """
        units = split_units(text)
        doc = self._doc(self.vocab, words=units.words)
        chosen = longest(self._occurrences(units, doc))
        spans = tuple(
            Span(
                found.start,
                found.end,
                found.rule.label,
                concepts=found.rule.concepts,
                attributes=(SOURCE, ("rule", found.rule.id)),
                score=found.rule.precision,
            )
            for found in chosen
        )
        if self._context is None or not spans:
            return spans
        stated = self._context.attributes(
            text, units, doc, [(found.first, found.stop) for found in chosen]
        )
        return tuple(
            replace(span, attributes=(*span.attributes, *more)) if more else span
            for span, more in zip(spans, stated, strict=True)
        )

    def predict(self, notes: NotesLike, *, codes: bool = False) -> list[Prediction]:
        """One prediction a note, in order.

        With `codes` also the concepts of its mentions as codes, those that the context denies
        left out, with the mentions as evidence: rules as a coder.
        """
        predictions = []
        for note in as_notes(notes):
            spans = self.spans(note.text)
            if not codes:
                predictions.append(Prediction(note.note_id, spans=spans))
                continue
            said = coded(span for span in spans if not is_denied(span))
            evidence = {code: tuple(own) for code, own in said.items()}
            predictions.append(
                Prediction(note.note_id, codes=tuple(said), spans=spans, evidence=evidence)
            )
        return predictions

    def _occurrences(self, units: TextUnits, doc: Doc) -> list[Occurrence]:
        found = []
        for number, first, stop in self._matcher(doc):
            for rule in self.rules[self._keys[number]]:
                if rule.match_case and units.words[first:stop] != words_of(rule.pattern):
                    continue
                start, end = units.starts[first], units.ends[stop - 1]
                found.append(Occurrence(rule, first, stop, start, end))
        return found


def coded(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Code → the mentions that have it among their concepts, labelled with it."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        for code in span.concepts:
            found.setdefault(code, []).append(replace(span, label=code, concepts=()))
    return found


def is_denied(span: Span) -> bool:
    """Whether the context says that the patient does not have what is mentioned."""
    return any(name in DENYING for name, _ in span.attributes)


def longest(occurrences: Iterable[Occurrence]) -> list[Occurrence]:
    """The occurrences that win, as `RuleMatcher` describes, in order of their start."""
    taken: set[int] = set()
    chosen = []
    for found in sorted(occurrences, key=lambda o: (o.start - o.end, o.start, _rank(o.rule))):
        units = range(found.first, found.stop)
        if taken.isdisjoint(units):
            taken.update(units)
            chosen.append(found)
    return sorted(chosen, key=lambda o: o.start)


def lower_case_vocab() -> Vocab:
    """A spaCy vocabulary that knows the lower case of a word and nothing else."""
    from spacy.attrs import LOWER  # type: ignore[import-not-found]  # no stubs
    from spacy.vocab import Vocab

    return Vocab(lex_attr_getters={LOWER: str.lower})


def _rank(rule: Rule) -> tuple[float, int, str, str]:
    return (-(rule.precision or 0.0), -rule.support, rule.label, rule.id)
