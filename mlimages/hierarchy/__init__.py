"""What categories exist and how they relate.

The public names are imported on first use (PEP 562), so that importing the package stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlimages.hierarchy.audit import audit, compare
    from mlimages.hierarchy.category import Category, CategoryLike
    from mlimages.hierarchy.csr import CSR
    from mlimages.hierarchy.graph import Hierarchy
    from mlimages.hierarchy.load import load_hierarchy
    from mlimages.hierarchy.names import match_names
    from mlimages.hierarchy.wordnet import class_list

_HOME = {  # public name: the module that holds it
    "CSR": "mlimages.hierarchy.csr",
    "Category": "mlimages.hierarchy.category",
    "CategoryLike": "mlimages.hierarchy.category",
    "Hierarchy": "mlimages.hierarchy.graph",
    "audit": "mlimages.hierarchy.audit",
    "class_list": "mlimages.hierarchy.wordnet",
    "compare": "mlimages.hierarchy.audit",
    "load_hierarchy": "mlimages.hierarchy.load",
    "match_names": "mlimages.hierarchy.names",
}

__all__ = [
    "CSR",
    "Category",
    "CategoryLike",
    "Hierarchy",
    "audit",
    "class_list",
    "compare",
    "load_hierarchy",
    "match_names",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'mlimages.hierarchy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
