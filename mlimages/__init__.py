"""Build hierarchical multi-label image datasets.

The public names are imported on first use (PEP 562), so ``import mlimages`` loads neither torch, pandas nor nltk.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlimages.errors import MlimagesError
    from mlimages.hierarchy import Category, Hierarchy, load_hierarchy

__version__ = "0.1.0"

_HOME = {  # public name: the module that holds it
    "Category": "mlimages.hierarchy",
    "Hierarchy": "mlimages.hierarchy",
    "MlimagesError": "mlimages.errors",
    "load_hierarchy": "mlimages.hierarchy",
}

__all__ = ["Category", "Hierarchy", "MlimagesError", "__version__", "load_hierarchy"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'mlimages' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
