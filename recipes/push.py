"""Push a saved model to the Hugging Face Hub, in one commit, private unless told otherwise."""

from __future__ import annotations

from typing import Literal

from recipes.command_line import run


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
        encoder: with `merge`, where the model's encoder lies, if not where it was in training.
        merged_folder: with `merge`, the folder to keep the merged model in.
        data_use: the terms of the training notes; nothing is pushed without them.
        overrides: checks of the release gate (recipes.check_release) whose block is lifted.

    Returns:
        The address of the commit, or of the pull request.
    """
    from clinical_tl.hub import push_folder

    private = not public
    if merge:
        from clinical_tl.transfer_model import TransferModel

        address = TransferModel.load(model, encoder=encoder).push_to_hub(
            to,
            folder=merged_folder,
            merge=True,
            private=private,
            revision=revision,
            tag=tag,
            create_pr=create_pr,
            data_use=data_use,
            overrides=overrides,
        )
    else:
        address = push_folder(
            model,
            to,
            private=private,
            revision=revision,
            tag=tag,
            create_pr=create_pr,
            data_use=data_use,
            overrides=overrides,
        )
    print(f"pushed: {address}")
    return address


if __name__ == "__main__":
    run(main)
