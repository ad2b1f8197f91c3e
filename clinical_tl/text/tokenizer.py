"""Whole notes to tokens with exact character offsets, for every fast tokenizer.

The `tokenizers` backend is called directly: nothing is truncated or padded (whatever the
saved tokenizer asks for), special tokens are added later, window by window.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clinical_tl.errors import EncoderError, NoteError, shown_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IntArray = npt.NDArray[np.signedinteger[Any]]

logger = logging.getLogger(__name__)

ENCODED_AT_ONCE = 512
"""Texts whose encodings, ten times the size of what is kept of them, are in memory at once."""
CASED_SHARE = 0.02
"""Of a vocabulary's pieces with letters: so many with capitals, and it was made of cased text."""
_PROBE = "the patient has no pain and was seen in the morning"
# Beyond this `model_max_length` is transformers' way of saying that it is not known.
UNKNOWN_LENGTH = 1_000_000


@dataclass(frozen=True)
class TokenisedNote:
    """The tokens of one note, special tokens not included.

    `ids`, `starts` and `ends` have shape (tokens,), int32. Offsets are trimmed of white space, so
    that a token that carries the blank before its word starts where the word does; a token
    without a visible character has `starts == ends`.
    """

    ids: IntArray
    starts: IntArray
    ends: IntArray

    def __len__(self) -> int:
        return len(self.ids)


class NoteTokenizer:
    """A fast tokenizer with truncation and padding switched off and its special tokens known."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise EncoderError(
                f"the tokenizer {type(tokenizer).__name__} is not a fast one; character offsets "
                "need a fast tokenizer: choose an encoder that ships tokenizer.json, or convert "
                "it with transformers' convert_slow_tokenizer"
            )
        self.tokenizer = tokenizer
        backend: Any = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        # What was baked in must not come back when the tokenizer is saved and loaded again.
        tokenizer.init_kwargs.pop("max_length", None)
        self._backend: Any = backend
        if tokenizer.pad_token_id is None:
            # Decoders come without; padding is masked, so any token that exists will do.
            stand_in = tokenizer.eos_token or tokenizer.unk_token
            if stand_in is None:
                raise EncoderError(
                    "the tokenizer has no padding token, and none to stand in for it; set one, "
                    "e.g. tokenizer.pad_token = tokenizer.eos_token, and save it beside the encoder"
                )
            tokenizer.pad_token = stand_in
            logger.info("the tokenizer has no padding token; %r stands in for it", stand_in)
        self.pad_id = int(tokenizer.pad_token_id)
        self.prefix_ids, self.suffix_ids = self._special_ids()

    @classmethod
    def from_pretrained(cls, path: str | Path) -> NoteTokenizer:
        """Load the fast tokenizer in an encoder's folder.

        A cased vocabulary of which nothing says that text is lower-cased is read cased; where
        case and vocabulary contradict each other, a warning says so.

        Raises `EncoderError` if there is none or it is a slow one.
        """
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                str(path), use_fast=True, trust_remote_code=False, local_files_only=True
            )
            if _lower_cases(tokenizer) and _has_capitals(tokenizer) and not _says_case(path):
                # The class's own default; the vocabulary, which was trained, knows better.
                tokenizer = AutoTokenizer.from_pretrained(
                    str(path),
                    use_fast=True,
                    do_lower_case=False,
                    trust_remote_code=False,
                    local_files_only=True,
                )
                logger.warning(
                    "%s: the vocabulary has capitals and nothing says to lower-case, so text is "
                    "read as it is written; say so in the folder's tokenizer_config.json: "
                    '{"do_lower_case": false}',
                    path,
                )
        except MemoryError:
            raise
        except Exception as error:
            # The tokenizers library raises plain exceptions, transformers whatever it meets.
            raise EncoderError(
                f"no tokenizer could be loaded for the encoder {shown_path(str(path))!r} "
                f"({type(error).__name__}). Give a folder that holds tokenizer.json (or what its "
                "class makes one of); a tokenizer's own code is never run"
            ) from error
        # Without files to read, transformers makes one up that knows special tokens alone.
        if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
            raise EncoderError(
                f"the encoder {shown_path(path)!r} comes without a vocabulary: its tokenizer knows "
                f"only {len(tokenizer)} special tokens. Save the tokenizer beside the weights: "
                "tokenizer.save_pretrained(folder)"
            )
        _warn_of_case(tokenizer, path)
        return cls(tokenizer)

    @property
    def highest_id(self) -> int:
        """The largest token id that a text can have."""
        return max(self.tokenizer.get_vocab().values(), default=-1)

    @property
    def max_length(self) -> int | None:
        """Tokens a window may have by the tokenizer's own account, special ones included."""
        length = self.tokenizer.model_max_length
        return None if length is None or length > UNKNOWN_LENGTH else int(length)

    @property
    def n_special(self) -> int:
        """Special tokens that every window carries."""
        return len(self.prefix_ids) + len(self.suffix_ids)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides how a text is cut into tokens."""
        settings = f"special tokens are text\0{self._backend.to_str()}"
        return hashlib.sha256(settings.encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> list[TokenisedNote]:
        """All tokens of each text, in order; an empty text has none."""
        # A note in which "[SEP]" or "<s>" is written says so; it does not end a window. Only a
        # Unigram vocabulary, which has them among its pieces, still finds them. Set here since
        # a copy of the tokenizer forgets it.
        self._backend.encode_special_tokens = True
        notes: list[TokenisedNote] = []
        for start in range(0, len(texts), ENCODED_AT_ONCE):
            some = list(texts[start : start + ENCODED_AT_ONCE])
            try:
                encodings = self._backend.encode_batch(some, add_special_tokens=False)
            except TypeError as error:
                raise NoteError(_why_not_text(texts)) from error
            notes += [
                _trimmed(text, encoding.ids, encoding.offsets)
                for text, encoding in zip(some, encodings, strict=True)
            ]
        return notes

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the tokenizer so that plain transformers loads it."""
        self.tokenizer.save_pretrained(str(folder))

    def _special_ids(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Special tokens before and after the text, read off a probe that has tokens."""
        probes = (piece.strip("#▁Ġ</w>") for piece in self.tokenizer.get_vocab())
        for probe in itertools.chain("a1.", filter(None, probes)):
            bare = self._backend.encode(probe, add_special_tokens=False).ids
            if not bare or set(bare) <= set(self.tokenizer.all_special_ids):
                continue
            full = self._backend.encode(probe, add_special_tokens=True).ids
            for i in range(len(full) - len(bare) + 1):
                if full[i : i + len(bare)] == bare:
                    return tuple(full[:i]), tuple(full[i + len(bare) :])
            break
        raise EncoderError(
            "the tokenizer changes the text's tokens when it adds special tokens; windows "
            "can't be built for it"
        )


def _lower_cases(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    normalizer = None if backend is None else backend.normalizer
    return normalizer is not None and bool(normalizer.normalize_str("A") == "a")


def _has_capitals(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a vocabulary was made of cased text: of its pieces, some have capitals."""
    special = set(tokenizer.all_special_tokens)
    letters = [p for p in tokenizer.get_vocab() if any(c.isalpha() for c in p) and p not in special]
    # "[unused1]" and the like have none; what was added by hand are a few.
    cased = sum(any(c.isupper() for c in piece) for piece in letters)
    return cased > max(CASED_SHARE * len(letters), 2)


def _says_case(path: str | Path) -> bool:
    """Whether the folder says anything of lower-casing."""
    folder = Path(path)
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    return "do_lower_case" in settings or (folder / "tokenizer.json").is_file()


def _warn_of_case(tokenizer: PreTrainedTokenizerBase, path: str | Path) -> None:
    if _lower_cases(tokenizer) and _has_capitals(tokenizer):
        logger.warning(
            "%s: the vocabulary has capitals, but the tokenizer lower-cases, so they are never "
            "used. If the encoder was trained on cased text, set "
            '{"do_lower_case": false} in its tokenizer_config.json and remove tokenizer.json',
            path,
        )
        return
    unknown = tokenizer.unk_token_id
    if unknown is None:
        return
    lower, upper = (
        tokenizer("".join(sentence), add_special_tokens=False)["input_ids"]
        for sentence in (_PROBE.lower(), _PROBE.upper())
    )
    if upper.count(unknown) > len(_PROBE.split()) // 2 > lower.count(unknown):
        logger.warning(
            "%s: words with capitals are unknown to the tokenizer, which does not lower-case, "
            "while their lower-case forms are known: most of what a note writes in capitals is "
            'lost. Set {"do_lower_case": true} in its tokenizer_config.json',
            path,
        )


def _why_not_text(texts: Sequence[str]) -> str:
    for position, text in enumerate(texts):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            return (
                f"text {position} has half a character (a lone surrogate) at character "
                f"{error.start}; read the file as UTF-8, or replace what can't be decoded"
            )
    return "the tokenizer takes strings alone"


def _trimmed(text: str, ids: list[int], offsets: list[tuple[int, int]]) -> TokenisedNote:
    bounds = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    starts, ends = bounds[:, 0].copy(), bounds[:, 1].copy()
    blank = np.fromiter((c.isspace() for c in text), dtype=bool, count=len(text))
    if blank.any():
        # First visible character at or after each position, last visible one before it.
        positions = np.arange(len(text))
        following = np.minimum.accumulate(np.where(blank, len(text), positions)[::-1])[::-1]
        preceding = np.maximum.accumulate(np.where(blank, -1, positions)) + 1
        following = np.append(following, len(text))
        preceding = np.insert(preceding, 0, 0)
        new_starts = following[starts]
        new_ends = preceding[ends]
        invisible = new_starts >= new_ends
        starts = np.where(invisible, starts, new_starts)
        ends = np.where(invisible, starts, new_ends)
    return TokenisedNote(
        np.asarray(ids, dtype=np.int32), starts.astype(np.int32), ends.astype(np.int32)
    )
