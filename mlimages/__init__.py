"""Build hierarchical multi-label image datasets.

The public names are imported on first use (PEP 562), so ``import mlimages`` loads neither torch, pandas nor nltk.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlimages.annotate.inspect.audit import audit_labels
    from mlimages.annotate.inspect.explanation import explain
    from mlimages.annotate.inspect.statistics import statistics
    from mlimages.annotate.package import AnnotatePackage
    from mlimages.annotate.propagation.augment import Propagation
    from mlimages.annotate.tables.annotations import AnnotationTable
    from mlimages.errors import MlimagesError
    from mlimages.hierarchy import Category, Hierarchy, load_hierarchy

    annotate: AnnotatePackage

__version__ = "0.1.0"

_HOME = {  # public name: the module that holds it
    "AnnotationTable": "mlimages.annotate.tables.annotations",
    "Category": "mlimages.hierarchy",
    "Hierarchy": "mlimages.hierarchy",
    "MlimagesError": "mlimages.errors",
    "Propagation": "mlimages.annotate.propagation.augment",
    "audit_labels": "mlimages.annotate.inspect.audit",
    "explain": "mlimages.annotate.inspect.explanation",
    "load_hierarchy": "mlimages.hierarchy",
    "statistics": "mlimages.annotate.inspect.statistics",
}

__all__ = [
    "AnnotationTable",
    "Category",
    "Hierarchy",
    "MlimagesError",
    "Propagation",
    "__version__",
    "annotate",
    "audit_labels",
    "explain",
    "load_hierarchy",
    "statistics",
]


def __getattr__(name: str) -> Any:
    if name == "annotate":
        return import_module("mlimages.annotate")  # a package that can be called
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'mlimages' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
