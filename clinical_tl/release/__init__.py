"""The release gate: what is looked at before a trained folder leaves the house."""
