"""The package :mod:`mlimages.annotate` as an object: a module that is called like its main function."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from inspect import Signature
    from typing import Literal, Protocol, TypedDict, TypeVar, Unpack, overload

    import pandas as pd
    import pyarrow as pa

    from mlimages.annotate.propagation.augment import Propagation
    from mlimages.annotate.propagation.rules import RuleConfidence
    from mlimages.annotate.sources.formats import Format
    from mlimages.annotate.sources.source import OnError
    from mlimages.annotate.tables.annotations import AnnotationTable
    from mlimages.hierarchy import Hierarchy
    from mlimages.job.job import Progress

    _Path = str | os.PathLike[str]
    _Arrow = TypeVar("_Arrow", pa.Table, pa.RecordBatch)

    class _Options(TypedDict, total=False):
        """The keywords of :func:`mlimages.annotate.pipeline.annotate` but `out`."""

        propagation: Propagation | str
        rules: pd.DataFrame | _Path | None
        rule_confidence: RuleConfidence
        format: Format
        on_error: OnError
        workers: int | None
        engine: Literal["local", "ray"]
        resume: bool
        progress: Callable[[Progress], None] | None
        unmapped: Literal["drop", "ancestor"] | None
        classes: _Path | None
        mapping: _Path | None
        images_csv: _Path | Sequence[_Path] | None
        class_descriptions: _Path | None

    class Annotate(Protocol):
        """The types of :func:`mlimages.annotate.pipeline.annotate`, by what `source` and `out` are.

        Arrow comes last: without type stubs of pyarrow, its classes are Any and take every source.
        """

        @overload
        def __call__(
            self, source: Any, hierarchy: Hierarchy | _Path, *, out: _Path, **options: Unpack[_Options]
        ) -> AnnotationTable: ...
        @overload
        def __call__(
            self,
            source: _Path | Sequence[_Path],
            hierarchy: Hierarchy | _Path,
            *,
            out: None = None,
            **options: Unpack[_Options],
        ) -> Iterator[pa.RecordBatch]: ...
        @overload
        def __call__(
            self, source: pd.DataFrame, hierarchy: Hierarchy | _Path, *, out: None = None, **options: Unpack[_Options]
        ) -> pd.DataFrame: ...
        @overload
        def __call__(
            self,
            source: Iterable[pa.RecordBatch],
            hierarchy: Hierarchy | _Path,
            *,
            out: None = None,
            **options: Unpack[_Options],
        ) -> Iterator[pa.RecordBatch]: ...
        @overload
        def __call__(
            self, source: _Arrow, hierarchy: Hierarchy | _Path, *, out: None = None, **options: Unpack[_Options]
        ) -> _Arrow: ...


class AnnotatePackage(ModuleType):
    """A package that can be called: `mlimages.annotate` names both the subject and its main function.

    The function, its signature and its docstring are looked up on use, so that importing the package stays light.
    """

    @property
    def __call__(self) -> Annotate:
        """The function; Python calls what a property of this name returns."""
        return _function()

    @property
    def __signature__(self) -> Signature:
        import inspect

        return inspect.signature(_function())

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return _function().__doc__


def _function() -> Annotate:
    from mlimages.annotate.pipeline import annotate

    return annotate
