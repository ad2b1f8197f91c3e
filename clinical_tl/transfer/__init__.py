"""One file per way to transfer knowledge from a source to a target."""
