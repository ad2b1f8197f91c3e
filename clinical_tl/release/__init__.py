"""The release gate: what is looked at before a trained folder leaves the house."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
