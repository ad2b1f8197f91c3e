"""What an error of the Hub's client means, and how to go on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from clinical_tl.errors import ClinicalTLError, HubError

_STATUS = {
    401: (
        "the Hub does not know who asks, or what is asked for",
        "Check the name, and log in with `hf auth login` or give a token",
    ),
    403: (
        "the Hub forbids it to this login",
        "Use a token with write access to that organisation, choose a name of your own, or "
        "propose the change with create_pr=True; to read a gated model, ask for access on its "
        "page",
    ),
    404: (
        "there is no such repository, or none that this login may see",
        "Check the name; for a private one log in with `hf auth login` or give a token",
    ),
    409: (
        "the repository was changed by somebody else meanwhile",
        "Look at what was changed, then try again",
    ),
    413: ("the Hub finds a file too large", "Ask the Hub for room, or save a smaller model"),
    429: ("the Hub was asked too often", "Wait a few minutes, then try again"),
}
_LOCAL_FAULTS = {
    errno.ENOSPC: ("this machine's disk is full", "Make room (HF_HOME says where the cache is)"),
    errno.EDQUOT: ("this machine's disk quota is used up", "Make room, or set HF_HOME elsewhere"),
    errno.EACCES: (
        "a file or folder of this machine may not be read or written",
        "Look at its rights",
    ),
    errno.EPERM: ("a file or folder of this machine may not be changed", "Look at its rights"),
    errno.EROFS: ("a folder of this machine can't be written to", "Set HF_HOME to one that can"),
}
_STATUS[412] = _STATUS[409]


@contextmanager
def speaking_to_hub(failure: str, comfort: str = "") -> Iterator[None]:
    """Turns whatever the Hub's client raises into one `HubError`.

    The client's errors have no common base: they come from three libraries, which change with
    its version.
    """
    try:
        yield
    except ClinicalTLError:
        raise
    except Exception as error:
        explanation = explain(error)
        if explanation is None:
            raise
        what, mend = explanation
        raise HubError(f"{failure}: {what}. {mend}. {comfort}".rstrip()) from error


def explain(error: Exception) -> tuple[str, str] | None:
    """What happened, and how to go on, as two sentences without their full stops.

    None for an error that is not the Hub's or the network's. Of the server's answer only the
    status is told: addresses in it may be signed, and so as good as a password.
    """
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
        RemoteEntryNotFoundError,
        RevisionNotFoundError,
    )

    chain = list(_causes(error))
    if str(error).startswith("Invalid metadata in README.md"):
        return (
            "the Hub refuses the metadata of the model card",
            "Mend the block between the '---' lines of README.md",
        )
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in chain):
        cached = " and it is not in the local cache" * isinstance(error, LocalEntryNotFoundError)
        return f"HF_HUB_OFFLINE is set{cached}", "Unset it, with a network at hand"
    for cause in chain:
        if isinstance(cause, RevisionNotFoundError):
            return (
                "the repository has no such revision",
                "Name a branch, a tag or a commit that it has",
            )
        if isinstance(cause, RemoteEntryNotFoundError):
            return (
                "a file that the model declares is missing there",
                "Ask its authors to push it again, or name an earlier revision",
            )
        if isinstance(cause, HfHubHTTPError):
            return _explain_status(cause.response.status_code, cause.response.headers)
        if isinstance(cause, LocalTokenNotFoundError):
            return _STATUS[401]
        if isinstance(cause, HFValidationError):
            return (
                "the Hub has no such names",
                "Name it 'org/name', in letters, digits, '-', '_' and '.'",
            )
    if isinstance(error, ValueError):
        return "the Hub's answer can't be understood", "Update huggingface_hub"
    local = next((c for c in chain if isinstance(c, OSError) and c.errno in _LOCAL_FAULTS), None)
    if local is not None:
        what, mend = _LOCAL_FAULTS[local.errno or 0]
        return what, mend
    # What the client's HTTP library calls its errors; it was another one in earlier versions.
    transport = HfHubHTTPError.__bases__
    if any(isinstance(cause, transport) for cause in chain):
        return (
            "the Hub could not be reached, or the connection broke off "
            f"({type(chain[-1]).__name__})",
            "Check the network, then try again",
        )
    return None


def _explain_status(status: int, headers: object) -> tuple[str, str]:
    if status >= 500:
        what, mend = "the Hub has a fault", "Wait a few minutes, then try again"
    else:
        what, mend = _STATUS.get(status, ("the Hub refuses it", "Update huggingface_hub"))
    wait = getattr(headers, "get", lambda _: None)("Retry-After")
    if status == 429 and wait is not None and str(wait).isdigit():
        mend = f"Wait {wait} s, then try again"
    return f"{what} (HTTP {status})", mend


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
