"""Cells as other programs write them: names, whole numbers, lists, and words for nothing.

A table goes through R, pandas, Excel or a database before it is read here. Each has its own way
to write nothing (`NA`), a whole number in a column with gaps (`10006.0`) and a list
(`['I10', 'E11.9']`). Read as they stand, one patient has two ids and a list is one code.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from decimal import Decimal

from clinical_tl.data.formats.json_values import parse_json
from clinical_tl.data.formats.problems import Faults, Place
from clinical_tl.schema import visible

# What R, pandas, spreadsheets and databases write; "none" and "na" may well be classes.
MISSING = frozenset(
    {
        *("NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "#N/A N/A", "#NULL!"),
        *("NaN", "nan", "-NaN", "-nan", "NaT", "None", "NULL", "null", "(null)", r"\N"),
    }
)
CELL_FIELDS = ("note_id", "patient_id", "label", "codes")

_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.(0+)|,0)")
_DECIMAL = re.compile(r"[+-]?[0-9]+[.,][0-9]+")
# With a point or a sign, as Java, R and Python write it; "12E4" may be a name.
_SCIENTIFIC = re.compile(r"[+-]?[0-9](?:\.[0-9]+[eE][+]?|[eE][+])[0-9]{1,2}")
_QUOTED = re.compile(r"=\"([^\"]*)\"|'([0-9]+)|b'([^']*)'|b\"([^\"]*)\"")
_CALL = re.compile(
    r"(?:np\.|numpy\.)?(?:array|c|list|tuple|set|frozenset|List|Array|WrappedArray|ArrayBuffer"
    r"|ArraySeq|Vector|Set|Index)\((.*)\)",
    re.DOTALL,
)
_NO_ITEM = ("character(0)", "list()", "set()", "frozenset()")
_ITEM = re.compile(
    r"\s*(?:(?P<call>np\.str_\()?(?P<kind>[bru]?)"
    r"(?:'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\")(?(call)\))"
    r"|(?P<bare>[^,;'\"\[\](){}\s][^,;'\"\[\](){}]*))\s*(?P<comma>[,;]?)\s*",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000?[0-9a-fA-F]{5,6}|[abfnrtv0'\"\\]|(?P<own>.))",
    re.DOTALL,
)
_CODE = r"[A-Za-z]?[0-9][0-9A-Za-z]{0,6}(?:\.[0-9A-Za-z]{1,4})?"
_A_CODE = re.compile(_CODE)
# "-" stands in ranges (A00-B99), ":" before a title.
_BETWEEN = re.compile(r"[\s,;|/&+^~#\\·、；，]+")
_AND = frozenset(("and", "und", "y", "et", "e", "en"))
_FROM_A_FLOAT = re.compile(r"[1-9][0-9]{0,2}\.(?:0|[0-9]*[1-9])")

ALL_BLANK, SAY_NO = "rows of codes that are blank", "rows of codes that say no"
"""What the tally of columns of codes counts."""

_MISSING = "words for nothing (NA, NULL, None …), read as nothing"
_WHOLE_NUMBER = "whole numbers written as floats (as 7.0), read as whole numbers"
_UNQUOTED = "values in a program's own quotes or brackets (=\"7\", b'7', ['7']), read without"
_LIST = "lists as another program prints them, read as lists"


def trimmed(text: str) -> str:
    """The text without the blanks and the characters without width at its ends."""
    start, end = visible(text)
    return text[start:end]


@dataclass(frozen=True)
class Cells:
    """Reads the cells of one record; what is wrong, and what is changed, goes to `faults`.

    The fields `as_written` are read as they stand, but for blanks around them.
    """

    place: Place
    faults: Faults
    as_written: frozenset[str] = frozenset()

    def present(self, value: object, field: str) -> object:
        """The value, strings without outer blanks; `None` if it says that there is none."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if not isinstance(value, str):
            return value
        text = trimmed(value)
        if text in MISSING and field not in self.as_written:
            # JSON's own word, where cells may be JSON.
            if text != "null" or field in ("note_id", "patient_id", "label"):
                self._changed(field, _MISSING)
            return None
        return text or None

    def name(self, value: object, field: str) -> str | None:
        """An id or a label; `None` where there is none, or where it can't be read."""
        value = self.present(value, field)
        if isinstance(value, str) and field not in self.as_written:
            value = self._unquoted(value, field)
            return None if value is None else self._number(value, field)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, float | Decimal) and _is_whole(Decimal(value)):
            self._changed(field, _WHOLE_NUMBER)
            return str(int(value))
        allowed = "a string or a whole number"
        if field == "label" and isinstance(value, list):
            allowed += " (lists of labels: columns={'codes': …}; doccano's: format='doccano')"
        self._fault(f"{field} is of type {type(value).__name__}", allowed)
        return None

    def codes(self, value: object, separator: str) -> tuple[str, ...] | None:
        """The codes of a list, or of a cell with a separator between them.

        An empty cell or list is *no code*, a word for nothing *not annotated*.
        """
        if isinstance(value, str) and not trimmed(value):
            return ()
        value = self.present(value, "codes")
        if isinstance(value, str):
            value = self._split(value, separator)
        if value is None:
            return None
        if isinstance(value, int | float | Decimal) or (
            isinstance(value, list)
            and any(isinstance(c, int | float | Decimal) and c == c for c in value)
        ):
            self._fault(
                "codes that are numbers",
                "codes as text, each with all its digits (250.00 and 038 lose theirs as numbers)",
            )
            return None
        if not isinstance(value, list) or not all(
            _is_nothing(code) or (isinstance(code, str) and trimmed(code)) for code in value
        ):
            self._fault("codes is no list of strings", "a list of strings that are not blank")
            return None
        codes = tuple(code for item in value if (code := self._code(item)) is not None)
        # What a join makes of a note without a row is a list of NaN.
        return codes if codes or not value else None

    def _split(self, text: str, separator: str) -> list[object] | None:
        plain = [code for part in text.split(separator) if (code := trimmed(part))]
        if "codes" in self.as_written:
            return [*plain]
        try:
            items = printed_list(text)
        except ValueError:
            self._fault("a list of codes that can't be read", "codes with a separator between them")
            return None
        if items is not None:
            if not _is_json(text):
                self._changed("codes", _LIST)
            return [item for item in items if item != ""]
        if len(plain) == 1 and _are_several(text):
            self._fault(
                f"a cell that looks like several codes, without the separator {separator!r}",
                "codes with it between them; or separator=… as the file has it",
            )
            return None
        return [*plain]

    def _code(self, code: object) -> str | None:
        code = self.present(code, "codes")
        if not isinstance(code, str) or "codes" in self.as_written:
            return code if isinstance(code, str) else None
        tally = self.faults.tally
        tally["codes"] += 1
        if code[0].isalpha() and code[-1].isalnum():
            return code
        code = self._unquoted(code, "codes") or ""
        if {code[:1], code[-1:]} & set("\"'[]{}"):
            self._fault("a code in quotes or brackets", "codes with a separator between them")
        whole = _WHOLE.fullmatch(code)
        # An ICD-9 code may be 401.0; no number of more digits has a point in it.
        if whole is not None and len(whole[1]) > 3:
            self._changed("codes", _WHOLE_NUMBER)
            code = whole[1]
        elif _SCIENTIFIC.fullmatch(code):
            code = self._number(code, "codes") or ""
        tally["codes as floats"] += bool(_FROM_A_FLOAT.fullmatch(code))
        tally["codes in .0"] += code.endswith(".0")
        return code or None

    def _unquoted(self, text: str, field: str) -> str | None:
        quoted = _QUOTED.fullmatch(text)
        if quoted is not None:
            self._changed(field, _UNQUOTED)
            inner = self.present(next(g for g in quoted.groups() if g is not None), field)
            return inner if isinstance(inner, str) else None
        items = None
        try:
            items = printed_list(text, bare=False) if text[-1] in "])}" else None
        except ValueError:
            return text
        if items is None:
            return text
        if len(items) > 1:
            self._fault(f"{field}: a list of {len(items)} values", "one value")
        self._changed(field, _UNQUOTED)
        inner = self.present(items[0], field) if items else None
        return inner if isinstance(inner, str) else None

    def _number(self, text: str, field: str) -> str | None:
        whole = _WHOLE.fullmatch(text)
        # Two zeros may be an ICD-9 code's or a grade's own.
        if whole is not None and not (field == "label" and whole[2] == "00"):
            self._changed(field, _WHOLE_NUMBER)
            self.faults.tally[f"{field} in .0"] += 1
            return whole[1].removeprefix("+")
        if _DECIMAL.fullmatch(text):
            self.faults.tally[f"{field} with decimals"] += 1
        if not _SCIENTIFIC.fullmatch(text):
            return text
        number = Decimal(text)
        # Spreadsheets round what they shorten, and write a capital letter and a sign.
        if "E+" in text or not _is_whole(number):
            self._fault(
                f"{field}: a number in scientific notation, which may have lost digits",
                f"the digits in full (export the column as text), or as_written=[{field!r}]",
            )
            return None
        self._changed(field, _WHOLE_NUMBER)
        return str(int(number))

    def _changed(self, field: str, what: str) -> None:
        self.faults.changed[f"{field}: {what}"] += 1

    def _fault(self, found: str, allowed: str) -> None:
        self.faults.add(self.place, found, allowed)


def judge_columns(faults: Faults) -> None:
    """Adds what only all cells of a column together tell."""
    tally = faults.tally
    for field in ("note_id", "patient_id", "label"):
        whole, others = tally[f"{field} in .0"], tally[f"{field} with decimals"]
        if whole and others:
            faults.refuse(
                Place(faults.source),
                f"{field}: {whole} values in '.0' beside {others} with other decimals; whether "
                "the '.0' belongs to them can't be told",
                f"as_written=[{field!r}] if it does; else whole numbers without it",
            )
    if tally[ALL_BLANK] and tally[SAY_NO]:
        faults.doubtful[
            "rows whose columns of codes are all blank, read as no code, where other rows say no "
            "in words (are they not annotated? write NA in one of their cells)"
        ] = tally[ALL_BLANK]
    codes = tally["codes"]
    if codes > 2 and tally["codes in .0"] and tally["codes as floats"] == codes:
        faults.doubtful[
            "codes, all decimal numbers as a column of floats writes them: ICD-9's 250.00 and 038 "
            "have lost digits in such a column; export it as text"
        ] = codes


def printed_list(text: str, *, bare: bool = True) -> list[object] | None:
    """The items of a list as JSON, Python, numpy, R, Scala or Postgres print it.

    Args:
        text: without outer blanks.
        bare: whether items may stand without quotes: `[I10, E11.9]`, `{I10,E11.9}`.

    Returns:
        Strings, `None` for missing items, and numbers where they are not strings; `None` if the
        text is no list.

    Raises:
        ValueError: something that begins and ends as a list and is none, or is abridged.
    """
    if text in _NO_ITEM:
        return []
    body, is_list = text, False
    for _ in range(2):
        call = _CALL.fullmatch(body)
        if call is not None:
            # What follows the items in "array([…], dtype=object)" is not one of them.
            inner = trimmed(call[1])
            end = max(map(inner.rfind, "])}")) + 1 if inner[:1] in ("[", "(", "{") else 0
            is_more = inner[end:].startswith(",") and "=" in inner[end:]
            body, is_list = inner[:end] if is_more else inner, True
    brackets = body[:1] + body[-1:] if len(body) > 1 else ""
    if brackets in ("[]", "()", "{}"):
        body = trimmed(body[1:-1])
    elif not is_list:
        return None
    if brackets == "[]":
        try:
            value = parse_json(f"[{body}]")
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list):
            return value if bare or all(isinstance(item, str | None) for item in value) else None
    if (brackets == "()" and not is_list) or not bare:
        # "(disorder)" and "[**Name**]" are no lists.
        quoted = body[:1] in ("'", '"', "") or body.startswith(("b'", 'b"', "np.str_("))
        if not quoted:
            return None
    return _items(body, is_number_list=brackets == "[]")


def _are_several(text: str) -> bool:
    """Whether a text is nothing but codes with something between them."""
    words = [word for word in _BETWEEN.split(text) if word and word not in _AND]
    return len(words) > 1 and all(map(_A_CODE.fullmatch, words))


def _is_json(text: str) -> bool:
    try:
        parse_json(text)
    except (ValueError, RecursionError):
        return False
    return True


def _items(body: str, *, is_number_list: bool) -> list[object]:
    items: list[object] = []
    position, joined = 0, True
    while position < len(body):
        found = _ITEM.match(body, position)
        if found is None:
            raise ValueError
        bare = found["bare"]
        if bare is None:
            inner = found["single"] if found["single"] is not None else found["double"]
            items.append(_meant(inner, are_bytes=found["kind"] == "b"))
        elif not joined or bare.strip() in ("...", "…") or bare.startswith(":"):
            raise ValueError
        else:
            items += _bare(bare.strip(), is_number_list=is_number_list)
        joined = bool(found["comma"]) or bare is None
        position = found.end()
    return items


def _meant(quoted: str, *, are_bytes: bool) -> str:
    """What stands between quotes: Python, R and Postgres agree on the escapes that they print."""
    text = _ESCAPE.sub(_character, quoted)
    return text.encode("latin-1").decode("utf-8") if are_bytes else text


def _character(escape: re.Match[str]) -> str:
    if escape["own"] is not None:
        return escape["own"]
    meant: object = ast.literal_eval(f'"{escape[0]}"')
    return str(meant)


def _bare(text: str, *, is_number_list: bool) -> list[object]:
    words = text.split() if is_number_list else [text]
    if len(words) > 1 and not all(map(_is_number, words)):
        words = [text]
    if len(words) == 1 and _are_several(text):
        raise ValueError
    return [
        None if word in MISSING else Decimal(word) if is_number_list and _is_number(word) else word
        for word in words
    ]


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+\.?[0-9]*", word) is not None


def _is_whole(number: Decimal) -> bool:
    # Beyond this, floating-point numbers skip some.
    return number.is_finite() and abs(number) < 2**53 and number == int(number)


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
