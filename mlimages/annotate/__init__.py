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
    "AnnotationTable": "mlimages.annotate.tables.annotations",
    "Cooccurrence": "mlimages.annotate.cooccurrence.counts",
    "Label": "mlimages.annotate.tables.annotations",
    "Origin": "mlimages.annotate.labels.schema",
    "PredictionTable": "mlimages.annotate.tables.predictions",
    "Progress": "mlimages.job.job",
    "Propagation": "mlimages.annotate.propagation.augment",
    "Split": "mlimages.annotate.tables.splitting",
    "audit_labels": "mlimages.annotate.inspect.audit",
    "evaluate_rules": "mlimages.annotate.inspect.judgement",
    "explain": "mlimages.annotate.inspect.explanation",
    "export": "mlimages.annotate.tables.exporting",
    "filter": "mlimages.annotate.tables.selection",
    "merge": "mlimages.annotate.tables.merging",
    "read_rules": "mlimages.annotate.propagation.rules",
    "split": "mlimages.annotate.tables.splitting",
    "statistics": "mlimages.annotate.inspect.statistics",
    "subset": "mlimages.annotate.tables.selection",
    "write_predictions": "mlimages.annotate.tables.predictions",
    "write_rules": "mlimages.annotate.propagation.rules",
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
