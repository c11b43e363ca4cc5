"""Annotations: which image carries which category, and why.

The package is also the function: ``mlimages.annotate(source, hierarchy, out=...)`` calls
:func:`mlimages.annotate.pipeline.annotate`, whose signature and docstring the package shows as its own.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mlimages.annotate.package import AnnotatePackage

if TYPE_CHECKING:
    from mlimages.annotate.cooccurrence.counts import Cooccurrence
    from mlimages.annotate.inspect.audit import audit_labels
    from mlimages.annotate.inspect.explanation import explain
    from mlimages.annotate.inspect.judgement import evaluate_rules
    from mlimages.annotate.inspect.statistics import statistics
    from mlimages.annotate.labels.schema import Origin
    from mlimages.annotate.package import Annotate
    from mlimages.annotate.propagation.augment import Propagation
    from mlimages.annotate.propagation.rules import read_rules, write_rules
    from mlimages.annotate.tables.annotations import AnnotationTable, Label
    from mlimages.annotate.tables.exporting import export
    from mlimages.annotate.tables.merging import merge
    from mlimages.annotate.tables.predictions import PredictionTable, write_predictions
    from mlimages.annotate.tables.selection import filter, subset  # noqa: A004  (what pandas and Arrow call it)
    from mlimages.annotate.tables.splitting import Split, split
    from mlimages.job.job import Progress

    annotate: Annotate

_HOME = {
    "AnnotationTable": "mlimages.annotate.tables.annotations",
    "Cooccurrence": "mlimages.annotate.cooccurrence.counts",
    "Label": "mlimages.annotate.tables.annotations",
    "Origin": "mlimages.annotate.labels.schema",
    "PredictionTable": "mlimages.annotate.tables.predictions",
    "Progress": "mlimages.job.job",
    "Propagation": "mlimages.annotate.propagation.augment",
    "Split": "mlimages.annotate.tables.splitting",
    "annotate": "mlimages.annotate.pipeline",
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
    "annotate",
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


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = AnnotatePackage
