"""What categories exist and how they relate."""

from mlimages.hierarchy.category import Category, CategoryLike
from mlimages.hierarchy.csr import CSR
from mlimages.hierarchy.graph import Hierarchy

__all__ = ["CSR", "Category", "CategoryLike", "Hierarchy"]
