"""What identifiers look like: regular expressions over short texts; kinds and counts come out.

The kinds are those of the HIPAA Safe Harbor list (45 CFR 164.514(b)(2)) that have a shape of
their own; names have none but after a title.
"""

from __future__ import annotations

import re
from collections import Counter

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY, _MONTH_NUMBER, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20|21)\d\d"

PATTERNS: dict[str, re.Pattern[str]] = {
    "date": re.compile(
        rf"(?<![A-Za-z0-9.])(?:{_YEAR}[-/.]{_MONTH_NUMBER}[-/.]{_DAY}"
        rf"|{_DAY}([-/.]){_MONTH_NUMBER}\1(?:{_YEAR}|\d\d)"
        rf"|{_MONTH_NUMBER}([-/.]){_DAY}\2(?:{_YEAR}|\d\d)"
        rf"|{_DAY}(?:st|nd|rd|th)?(?: of)?[ .-]{{1,2}}{_MONTH}\b\.?(?:,?[ -]{_YEAR})?"
        rf"|{_MONTH}\.? {_DAY}(?:st|nd|rd|th)?,? {_YEAR}"
        # "may 5" is no date.
        rf"|(?!may){_MONTH}\.? {_DAY}(?:st|nd|rd|th)?"
        rf"|{_MONTH_NUMBER}/{_YEAR}|(?:19|20)\d{{6}})(?!(?!T\d\d:)[A-Za-z0-9-]|\.\d)",
        re.IGNORECASE,
    ),
    "phone number": re.compile(
        r"(?<![\w.])(?:\+\d{1,3}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,4}\d{2,4}"
        r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}([ .-])\d{3}\1\d{4}"
        r"|0\d{2,4}[ -]\d{3,4}[ -]\d{3,4}|0\d{4} \d{6})(?![\w.])"
    ),
    "record number": re.compile(
        r"(?<![\w.])(?:\d{3}-\d{2}-\d{4}|(?<![-+/])\d{7,}(?![-/])"
        r"|(?:mrn|ssn|nhs|hadm|acct|account|record|chart|case|patient|subject|accession)"
        r"(?:[ _-]?(?:id|no|nr|number))?\.?\s?[:#=_]?\s?[a-z]{0,3}-?\d(?:-?\d){3,}"
        # Not the concepts of the UMLS (C and 7 digits) and of MeSH (D and 6 or 9).
        r"|(?![cd]\d)[a-z]{1,3}-?\d{7,})(?![\w.])",
        re.IGNORECASE,
    ),
    # Without a bound, every letter of a long run would begin a search to its end.
    "email": re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"),
    "URL": re.compile(r"\b(?:https?|ftp)://[^\s)>\]]+|\bwww\.[\w-]+\.\w+", re.IGNORECASE),
    "name after a title": re.compile(
        r"\b(?:Dr|Mr|Mrs|Ms|Prof|Professor|Doctor|Nurse)\b\.? ?"
        r"(?:[A-Z][a-z]+|[A-Z]['’][A-Z][a-z]+|[A-Z]{3,}|Ma?c[A-Z][a-z]+)\b"
    ),
    "folder of a machine": re.compile(
        r"(?<![\w.:/])/(?:home|Users|mnt|media|data|srv|Volumes|scratch|root)/[^/\s]+"
        r"|\b[A-Za-z]:\\+Users\\+[^/\\\s]+|(?<![\w\\])\\\\[\w.-]+\\[\w$.-]+"
    ),
}
_DASHES = re.compile("[\u2010-\u2015\u2212]")
# A digest's digits are no number of anybody.
_DIGEST = re.compile(r"\b(?=[0-9a-f]*[a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})\b")


def find_identifiers(text: str) -> Counter[str]:
    """Kind → how often it occurs in a text."""
    text = _DASHES.sub("-", _DIGEST.sub(" ", text))
    found: Counter[str] = Counter()
    for kind, pattern in PATTERNS.items():
        # A kind that was found is blanked: an SSN is no telephone, a date no record.
        text, n = pattern.subn(" ", text)
        if n:
            found[kind] += n
    return found
