"""Transfer learning on clinical text: note classification, ICD coding, entities and relations.

Everything public is imported on first use, so that `import clinical_tl` is instant.
"""

import lazy_loader

from clinical_tl.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
