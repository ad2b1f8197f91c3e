"""Where other libraries read what somebody else may have written: one family of errors comes out.

Damaged files make them raise whatever their code runs into: `KeyError`, `TypeError`,
`RecursionError`, a bare `Exception`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clinical_tl.errors import ClinicalTLError


@contextmanager
def refusing(kind: type[ClinicalTLError], what: str, mend: str) -> Iterator[None]:
    """Turns every foreign error in the block into `kind`: "<what> (<its type>); <mend>".

    The foreign message is left out, since it may quote what was read. The package's own
    errors pass, and so does a want of memory, which is not the input's fault.
    """
    try:
        yield
    except (ClinicalTLError, MemoryError):
        raise
    except Exception as error:
        raise kind(f"{what} ({type(error).__name__}); {mend}") from error
