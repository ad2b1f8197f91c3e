"""Push a saved model to the Hugging Face Hub, in one commit, private unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from clinical_tl.data.read_options import ReadOptions
from clinical_tl.storage.output import require_replaceable

from .command_line import run
from .gate_notes import gate_notes

if TYPE_CHECKING:
    from clinical_tl.release.push import PushOptions


def main(
    model: str,
    to: str,
    public: bool = False,
    revision: str | None = None,
    tag: str | None = None,
    create_pr: bool = False,
    merge: bool = False,
    encoder: str | None = None,
    merged_folder: str | None = None,
    data_use: Literal["public", "credentialed", "local"] | None = None,
    overrides: tuple[str, ...] = (),
    corpus: str | None = None,
    train: str | None = None,
    held_out: str | None = None,
    read: ReadOptions = ReadOptions(),
) -> str:
    """Push what a training recipe has saved. Log in first: `hf auth login`.

    A push that was cut off is taken up by running it again.

    Args:
        model: the saved folder (…/model).
        to: the repository, org/name; it is created if it does not exist.
        public: let everybody read it. Think of your notes' terms of use first.
        revision: a branch to push to; by default the main one.
        tag: a name for the pushed version, such as v1.0.
        create_pr: propose the change as a pull request.
        merge: fold the adapter into the encoder and push that, for an encoder of your own.
        encoder: where the model's encoder lies, if not where it was in training; for `merge`,
            and to audit memorisation.
        merged_folder: with `merge`, the folder to keep the merged model in.
        data_use: the terms of the training notes; nothing is pushed without them.
        overrides: checks of the release gate (check_release) whose block is lifted,
            each with its reason: '["licence=mit"]'.
        corpus: a public corpus by name: its training and test notes, for the release gate.
        train: the training notes, to look for quotations and to audit memorisation.
        held_out: notes like them that training did not see, such as the test notes.
        read: how the files are read, e.g. --read.columns.text letter.

    Returns:
        The address of the commit, or of the pull request.
    """
    from clinical_tl.release.push import push_folder

    if merged_folder is not None:
        require_replaceable(merged_folder)
    options: PushOptions = {
        "private": not public,
        "revision": revision,
        "tag": tag,
        "create_pr": create_pr,
        "data_use": data_use,
        "overrides": overrides,
        "encoder": encoder,
        **gate_notes(corpus, train, held_out, read),
    }
    if merge:
        from clinical_tl.models.transfer_model import TransferModel

        loaded = TransferModel.load(model, encoder=encoder)
        address = loaded.push_to_hub(to, folder=merged_folder, merge=True, **options)
    else:
        address = push_folder(model, to, **options)
    print(f"pushed: {address}")
    return address


if __name__ == "__main__":
    run(main)
