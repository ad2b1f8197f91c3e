"""The words that ConText looks for: what they say of a mention, and on which side.

Written after the descriptions of NegEx (Chapman et al. 2001, doi:10.1006/jbin.2001.1029) and
ConText (Harkema et al. 2009, doi:10.1016/j.jbi.2009.05.002); the lists are this package's own
and short. Phrases match in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Meaning = Literal["negation", "possible", "historical", "hypothetical", "family"]
MEANINGS: tuple[Meaning, ...] = ("negation", "possible", "historical", "hypothetical", "family")

Direction = Literal["forward", "backward", "both", "beside"]


@dataclass(frozen=True)
class Trigger:
    """A phrase that gives the mentions after it, before it or on both sides an attribute.

    One that stands *beside* speaks of the mention that ends right before it, and of those
    listed with that one ("chest pain and fever absent"); where there is none, of those after
    it ("absent chest pain"). Without a meaning it only looks like one ("no change", "gram
    negative") and gives nothing.
    """

    phrase: str
    meaning: Meaning | None
    direction: Direction = "forward"


def _phrases(text: str) -> list[str]:
    # A semicolon parts the phrases, and where it stands alone at the end it is one.
    phrases = [phrase.strip() for phrase in " ".join(text.split()).split("; ")]
    return [phrase.removesuffix(";") or ";" for phrase in phrases if phrase]


_FORWARD: dict[Meaning, str] = {
    "negation": """
        no; not; never; without; denies; denied; denying; absence of; free of; excludes;
        excluding; negative for; was negative for; were negative for; is negative for; are
        negative for; no evidence of; no sign of; no signs of; no history of; no findings
        of; no longer has; never had; not had; ruled out for; rules out; rules him out for;
        rules her out for; fails to reveal; failed to reveal; does not have; did not have;
        lack of; lacks; lacked; unremarkable for; rather than; cannot see; neither; nor;
        nil; argues against; evidence against
    """,
    "possible": """
        possible; possibly; probable; probably; likely; suspected; suspect; suspects; suspicion of;
        suspicion for; suspicious for; question of; questionable; query; rule out; r/o; may be;
        may have; may represent; might be; might have; might represent; could be; could represent;
        concern for; concerning for; worrisome for; presumed; presumptive; consider; evaluate for;
        evaluation for; assess for; look for; to exclude; cannot exclude; can't exclude;
        can not exclude; could not exclude; cannot rule out; can't rule out; could not rule out;
        differential includes; differential diagnosis includes;
        differential diagnosis of; versus; vs; vs.; suggestive of; if not
    """,
    "historical": """
        history of; past history of; medical history of; past medical history of;
        history notable for; history significant for; h/o; hx of; hx; pmh of; pmhx of; prior;
        previous; previously; former; formerly; remote; remotely; status post; s/p; had had;
        in the past; childhood; year before last
    """,
    "hypothetical": """
        if; unless; in case of; in the event of; return for; return with; come back for;
        call for; call with; should he develop; should she develop; should you develop;
        should there be; should the patient develop; watch for; monitor for; at risk for;
        at risk of; risk of; risk for; risk factors for; to prevent; prevention of; prophylaxis for;
        prophylaxis against; screening for; as needed for; prn for
    """,
    "family": """
        family history; family history of; family hx; family hx of; fhx; fh; runs in the family
    """,
}

_BACKWARD: dict[Meaning, str] = {
    "negation": """
        was ruled out; were ruled out; is ruled out; are ruled out; been ruled out; being ruled out;
        was excluded; were excluded; is excluded; been excluded; was negative; were negative;
        is negative; was absent; were absent; is absent; are absent; was not found; were not found;
        not seen; not present; not identified; not detected; not confirmed; not evident; not noted;
        not demonstrated; was denied; is denied; unlikely; was disproved; : none; : negative
    """,
    "possible": """
        is possible; was possible; is suspected; was suspected; were suspected; is likely;
        was considered; is considered; be considered; cannot be excluded; can not be excluded;
        could not be excluded; cannot be ruled out; could not be ruled out; can't be ruled out;
        was not excluded; was not ruled out; not yet excluded; is questionable; to be ruled out;
        in the differential; remains possible; may be present; not certain; versus; vs; vs.
    """,
    "historical": """
        in the past; in childhood; as a child; as a teenager; in the remote past;
        by history; since resolved; has resolved; now resolved; previously; year before last
    """,
    "hypothetical": "",
    "family": "runs in the family; run in the family; in the family; in other family members",
}

_BESIDE: dict[Meaning, str] = {
    "negation": "absent; ruled out; excluded",
    "possible": "not ruled out; not excluded; ?",
}

# ConText takes 14 days or less for recent, so days are left out.
_TIMES = (
    *(
        f"{unit} {ago}"
        for unit in _phrases("week; weeks; month; months; year; years; yr; yrs; decade; decades")
        for ago in ("ago", "back", "earlier", "previously", "before")
    ),
    *(f"last {time}" for time in _phrases("month; year; spring; summer; autumn; fall; winter")),
    *(f"{word} {year}" for word in ("in", "since") for year in range(1940, 2100)),
)

_RELATIVES = """
    mother; father; mom; dad; parent; parents; sister; sisters; brother; brothers; sibling;
    siblings; son; sons; daughter; daughters; aunt; aunts; uncle; uncles; cousin; cousins; niece;
    nephew; grandmother; grandfather; grandparent; grandparents; half-brother; half-sister;
    relative; relatives; family member; family members; maternal; paternal
"""
# A relative who speaks of the patient.
_WITNESSES = "reports; reported; states; stated; says; said; notes; noted; noticed; denies; denied"

_PSEUDO = """
    no change; no changes; no increase; no decrease; no further; no significant change;
    no interval change; no significant interval change; no new; not only; not necessarily; not just;
    not certain if; not certain whether; gram negative; gram-negative; without difficulty;
    without further; without change; no doubt; not cause; not improve; not improved;
    history of present illness; history and physical; history and examination; history taking;
    medical history; social history; surgical history; poor history; prior to; previous to;
    likely to be discharged; may be discharged; whether or not; no need; no need for;
    no complaints; no response; no response to; not respond to; not responding to;
    if possible; as soon as possible; as much as possible; risk stratification; with or without
"""

# End every scope.
_TERMINATION = """
    but; however; nevertheless; nonetheless; yet; though; although; still; aside from; apart from;
    except; except for; other than; secondary to; because; as the cause of; as the source of;
    cause of; causes of; cause for; reason for; source of; origin of; trigger for; which; whereas;
    while; now; currently; today; ;
"""

# End the scopes that speak of someone else or of another time: back to the patient, and here.
_RETURN = """
    patient; the patient; pt; he; she; presents; presented; presenting; presentation;
    complains; complaining
"""
_RETURNS_FROM: tuple[Meaning, ...] = ("historical", "hypothetical", "family")


def triggers() -> Iterator[Trigger]:
    """All triggers, the pseudo-triggers among them."""
    for meaning in MEANINGS:
        both = set(_phrases(_FORWARD[meaning])) & set(_phrases(_BACKWARD[meaning]))
        for phrase in _phrases(_FORWARD[meaning]):
            yield Trigger(phrase, meaning, "both" if phrase in both else "forward")
        for phrase in _phrases(_BACKWARD[meaning]):
            if phrase not in both:
                yield Trigger(phrase, meaning, "backward")
    for meaning, phrases in _BESIDE.items():
        for phrase in _phrases(phrases):
            yield Trigger(phrase, meaning, "beside")
    for phrase in _TIMES:
        yield Trigger(phrase, "historical", "both")
    for relative in _phrases(_RELATIVES):
        yield Trigger(relative, "family")
        # "Asthma in her mother": a relative alone says nothing of what stands before it.
        for article in ("his", "her", "the", "their", "a", "one", "both", "two"):
            yield Trigger(f"in {article} {relative}", "family", "backward")
        yield Trigger(f"in {relative}", "family", "backward")
        for verb in _phrases(_WITNESSES):
            yield Trigger(f"{relative} {verb}", None)
    for phrase in _phrases(_PSEUDO):
        yield Trigger(phrase, None)


def relatives() -> list[str]:
    """What relatives are called."""
    return _phrases(_RELATIVES)


def terminations() -> Iterator[tuple[str, tuple[Meaning, ...]]]:
    """Phrases that end a scope, with the meanings whose scopes they end."""
    for phrase in _phrases(_TERMINATION):
        yield phrase, MEANINGS
    for phrase in _phrases(_RETURN):
        yield phrase, _RETURNS_FROM
