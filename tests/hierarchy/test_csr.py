"""CSR: rows of different lengths in two arrays."""

from __future__ import annotations

import numpy as np
import pytest

from mlimages.errors import HierarchyError
from mlimages.hierarchy import CSR
from mlimages.hierarchy.csr import ancestor_closure


@pytest.fixture
def csr() -> CSR:
    return CSR.from_rows([[3, 1], [], [0, 2, 1], []])


def test_from_rows_compresses_lists_and_arrays():
    csr = CSR.from_rows([[3], np.array([1, 2]), (), [0]])
    assert csr.indptr.tolist() == [0, 1, 3, 3, 4]
    assert csr.indices.tolist() == [3, 1, 2, 0]
    assert (csr.indptr.dtype, csr.indices.dtype) == (np.int64, np.int32)


def test_from_rows_of_nothing_has_no_row():
    assert len(CSR.from_rows([])) == 0
    assert CSR.from_rows([]).indices.dtype == np.int32


@pytest.mark.parametrize("wrong", [1.0, "1", None, True, 2**31, 2**70, [1]])
def test_from_rows_fails_for_what_is_no_index(wrong):
    with pytest.raises(HierarchyError, match="among the rows, expected integer indices"):
        CSR.from_rows([[0], [wrong]])


def test_rows_are_read_by_number_and_in_order(csr):
    assert len(csr) == 4
    assert csr[2].tolist() == [0, 2, 1]
    assert csr[-4].tolist() == [3, 1]
    assert [row.tolist() for row in csr] == [[3, 1], [], [0, 2, 1], []]
    assert csr.lengths.tolist() == [2, 0, 3, 0]
    assert csr.row_numbers.tolist() == [0, 0, 2, 2, 2]
    with pytest.raises(IndexError, match="row 4 of 4"):
        csr[4]


def test_take_repeats_and_reorders_rows(csr):
    assert [row.tolist() for row in csr.take(np.array([2, 1, 0, 2]))] == [[0, 2, 1], [], [3, 1], [0, 2, 1]]
    assert len(csr.take(np.array([], int))) == 0


def test_transposed_lists_rows_ascending(csr):
    assert [row.tolist() for row in csr.transposed(5)] == [[2], [0, 2], [2], [0], []]


def test_from_pairs_keeps_the_order_within_a_row():
    csr = CSR.from_pairs(np.array([1, 0, 1]), np.array([5, 4, 3]), length=3)
    assert [row.tolist() for row in csr] == [[4], [5, 3], []]


def test_to_scipy_is_boolean_with_sorted_columns(csr):
    matrix = csr.to_scipy(4)
    assert matrix.dtype == bool
    assert matrix.toarray().astype(int).tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    assert csr.indices.tolist() == [3, 1, 0, 2, 1]


def test_equality_is_by_content(csr):
    assert csr == CSR.from_rows([[3, 1], [], [0, 2, 1], []])
    assert csr != CSR.from_rows([[3, 1], [0, 2, 1], [], []])
    assert csr != [[3, 1]]
    with pytest.raises(TypeError, match="unhashable"):
        hash(csr)


def test_arrays_are_read_only(csr):
    with pytest.raises(ValueError, match="read-only"):
        csr.indices[0] = 7


def test_ancestor_closure_gives_distances_beside_ancestors():
    # 0 <- 1 <- 2 <- 3, and 3 also directly below 1
    closure, distance = ancestor_closure(CSR.from_rows([[], [0], [1], [2, 1]]))
    assert [row.tolist() for row in closure] == [[], [0], [1, 0], [2, 1, 0]]
    assert distance.tolist() == [1, 1, 2, 1, 1, 2]


def test_ancestor_closure_does_not_pass_a_barrier():
    closure, _ = ancestor_closure(CSR.from_rows([[], [0], [1], [2]]), barriers=np.array([False, True, False, False]))
    assert [row.tolist() for row in closure] == [[], [0], [1], [2, 1]]
