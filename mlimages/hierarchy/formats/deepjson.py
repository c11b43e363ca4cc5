"""JSON nested deeper than the standard library recurses."""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # the standard library's, missing in its stubs
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_ATOM = re.compile(r"(true|false|null)|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_CONSTANTS = {"true": True, "false": False, "null": None}


def loads(text: str) -> Any:
    """Parse JSON of any depth; every number becomes a float.

    The standard library's parser does the work; where it would have to recurse too deep, a slower loop does.

    Raises
    ------
    json.JSONDecodeError
        For what is no JSON, with ``lineno``.

    Examples
    --------
    >>> loads('{"a": [1, null, "x"]}')
    {'a': [1.0, None, 'x']}
    """
    try:
        return json.loads(text, parse_int=float)  # int() refuses thousands of digits with an error of its own
    except RecursionError:
        return _loop(text)


def _loop(text: str) -> Any:
    """The same by a loop: `stack` holds the lists and objects that are open, `keys` the key under which each is."""
    top: list[Any] = []
    stack: list[Any] = [top]
    keys: list[str] = [""]
    at = _skip(text, 0)
    while True:
        # a value begins at `at`
        opened = text[at : at + 1]
        if opened in ("{", "["):
            value: Any = {} if opened == "{" else []
            _put(stack[-1], keys[-1], value)
            stack.append(value)
            keys.append("")
            at = _skip(text, at + 1)
            if text[at : at + 1] != ("}" if opened == "{" else "]"):
                at = _key(text, at, stack, keys)
                continue
        else:
            value, at = _atom(text, at)
            _put(stack[-1], keys[-1], value)
            at = _skip(text, at)
        # a value has ended: close what ends with it
        while len(stack) > 1 and text[at : at + 1] == ("}" if isinstance(stack[-1], dict) else "]"):
            stack.pop()
            keys.pop()
            at = _skip(text, at + 1)
        if len(stack) == 1:
            if at != len(text):
                raise json.JSONDecodeError("Extra data", text, at)
            return top[0]
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _key(text, _skip(text, at + 1), stack, keys)


def _put(container: Any, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    else:
        container.append(value)


def _key(text: str, at: int, stack: list[Any], keys: list[str]) -> int:
    """Where the next value begins: in an object, after its key, which goes into `keys`."""
    if not isinstance(stack[-1], dict):
        return at
    if text[at : at + 1] != '"':
        raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    keys[-1], at = scanstring(text, at + 1, True)
    at = _skip(text, at)
    if text[at : at + 1] != ":":
        raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
    return _skip(text, at + 1)


def _atom(text: str, at: int) -> tuple[Any, int]:
    if text[at : at + 1] == '"':
        value, at = scanstring(text, at + 1, True)
        return value, at
    found = _ATOM.match(text, at)
    if not found:
        raise json.JSONDecodeError("Expecting value", text, at)
    return (_CONSTANTS[found[1]] if found[1] else float(found[0])), found.end()


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    assert space is not None  # it matches the empty string
    return space.end()
