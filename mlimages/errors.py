"""The errors a user can cause: one base class and its few children.

Every message names what was found, what was expected and what to do, and, for a file, where. The command
prints it on one line and exits 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any


class MlimagesError(Exception):
    """Base of every error that mlimages raises on purpose."""


class FormatError(MlimagesError, ValueError):
    """A file does not have the expected format.

    Parameters
    ----------
    message : str
        What was found, what was expected, what to do.
    path : path-like
        The file.
    line : int, optional
        The line, counted from 1.
    """

    def __init__(self, message: str, *, path: str | os.PathLike[str], line: int | None = None) -> None:
        self.message = message
        self.path = Path(path)
        self.line = line
        where = f"{os.fspath(path)}:{line}" if line is not None else os.fspath(path)
        super().__init__(f"{where}: {message}")

    def __reduce__(self) -> tuple[Any, ...]:  # the exceptions of Python cannot be pickled with keyword arguments
        return partial(type(self), path=self.path, line=self.line), (self.message,)


class HierarchyError(MlimagesError, ValueError):
    """Categories and edges that do not make a hierarchy: a duplicate key, an unknown parent."""


class CycleError(HierarchyError):
    """A category is its own ancestor.

    Attributes
    ----------
    indices : list of int
        The categories on the cycle, each a parent of the next, the first a child of the last.
    """

    def __init__(self, message: str, indices: list[int]) -> None:
        self.indices = indices
        super().__init__(message)


class UnknownCategoryError(MlimagesError, KeyError):
    """No category has the key or index that was asked for."""

    def __str__(self) -> str:  # KeyError would print the repr, quotes and all
        return str(self.args[0])


class UnknownSynsetError(MlimagesError, KeyError):
    """No WordNet 3.0 noun synset has the id that was asked for."""

    def __str__(self) -> str:
        return str(self.args[0])


class LabelError(MlimagesError, ValueError):
    """Invalid labels: outside the hierarchy, a confidence outside [0, 1]."""


class TableError(MlimagesError, ValueError):
    """A folder that is not a table, or is an unfinished or damaged one, or one of another hierarchy."""


class JobError(MlimagesError):
    """A job that cannot begin, continue or finish: a folder in use, a changed input, a full disk."""


class DataNotFoundError(MlimagesError, FileNotFoundError):
    """A data file is not available and cannot be downloaded."""

    def __str__(self) -> str:
        return str(self.args[0])


class ModelError(MlimagesError, ValueError):
    """A network that cannot be built, saved or used as asked: an unknown name, a wrong number of classes."""


class MissingExtraError(MlimagesError, ImportError):
    """An optional package is not installed; the message names the extra that installs it."""


def first_line(error: BaseException) -> str:
    """The first line of the message of another package's error, or its type if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def listed(names: Iterable[object]) -> str:
    """Names that a message lists, in one line: those that hold a line feed or the like as Python writes them."""
    return ", ".join(name if name.isprintable() else repr(name) for name in map(str, names))


def import_extra(module: str, *, extra: str) -> Any:
    """Import an optional package.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        The extra of mlimages that installs it.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the package is here; something that it needs is not, and its own message says what
        raise MissingExtraError(
            f'{module.partition(".")[0]} is not installed: run pip install "mlimages[{extra}]"'
        ) from error
