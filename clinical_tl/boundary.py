"""Where other libraries read what somebody else may have written: one family of errors comes out.

Damaged files make them raise whatever their code runs into: `KeyError`, `TypeError`,
`RecursionError`, a bare `Exception`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from clinical_tl.errors import ClinicalTLError, MissingExtraError


@contextmanager
def refusing(
    kind: type[ClinicalTLError], what: str, mend: str, *, own: bool = False
) -> Iterator[None]:
    """Turns every foreign error in the block into `kind`: "<what> (<its type>); <mend>".

    The foreign message is left out, since it may quote what was read. The package's own
    errors pass (but with `own`), and so do a want of memory or of an extra, which are not the
    input's fault.
    """
    try:
        yield
    except (MemoryError, MissingExtraError):
        raise
    except Exception as error:
        if isinstance(error, ClinicalTLError) and not own:
            raise
        raise kind(f"{what} ({type(error).__name__}); {mend}") from error
