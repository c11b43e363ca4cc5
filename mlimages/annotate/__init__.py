"""Which image carries which category, and why.

The package is also the function: ``mlimages.annotate(source, hierarchy, out=...)`` is
:func:`mlimages.annotate.pipeline.annotate`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_HOME = {
    "AnnotationTable": "mlimages.annotate.table",
    "Cooccurrence": "mlimages.annotate.cooccurrence",
    "Label": "mlimages.annotate.table",
    "Origin": "mlimages.annotate.schema",
    "PredictionTable": "mlimages.annotate.predictions",
    "Progress": "mlimages.annotate.job",
    "Propagation": "mlimages.annotate.augment",
    "Split": "mlimages.annotate.splitting",
    "audit_labels": "mlimages.annotate.labelaudit",
    "evaluate_rules": "mlimages.annotate.rulejudging",
    "explain": "mlimages.annotate.explanation",
    "export": "mlimages.annotate.exporting",
    "filter": "mlimages.annotate.selection",
    "merge": "mlimages.annotate.merging",
    "read_rules": "mlimages.annotate.rules",
    "split": "mlimages.annotate.splitting",
    "statistics": "mlimages.annotate.tablestatistics",
    "subset": "mlimages.annotate.selection",
    "write_predictions": "mlimages.annotate.predictions",
    "write_rules": "mlimages.annotate.rules",
}

__all__ = [
    "AnnotationTable",
    "Cooccurrence",
    "Label",
    "Origin",
    "PredictionTable",
    "Progress",
    "Propagation",
    "Split",
    "audit_labels",
    "evaluate_rules",
    "explain",
    "export",
    "filter",
    "merge",
    "read_rules",
    "split",
    "statistics",
    "subset",
    "write_predictions",
    "write_rules",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mlimages.annotate' has no attribute {name!r}")


class _CallablePackage(ModuleType):
    """A package that can be called: `mlimages.annotate` is the name of both the subject and its main function."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from mlimages.annotate.pipeline import annotate

        return annotate(*arguments, **options)


sys.modules[__name__].__class__ = _CallablePackage
