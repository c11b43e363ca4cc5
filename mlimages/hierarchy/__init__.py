"""What categories exist and how they relate.

These imports load numpy and no more: pandas, pyarrow, scipy, networkx and nltk are imported where they are used. They
are not deferred as those of `mlimages` are, because ``audit`` is a function and the module that holds it: whoever
imported the module first would find the module under the function's name.
"""

from mlimages.hierarchy.audit import audit, compare
from mlimages.hierarchy.category import Category, CategoryLike
from mlimages.hierarchy.csr import CSR
from mlimages.hierarchy.hierarchy import Hierarchy
from mlimages.hierarchy.load import load_hierarchy
from mlimages.hierarchy.matching import match_names
from mlimages.hierarchy.wordnet.synsets import class_list

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
