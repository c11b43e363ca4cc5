"""The hierarchy of categories: which exist, and how they relate.

These imports load only numpy: pandas, pyarrow, scipy, networkx and nltk are imported where they are used. They are not
deferred like those of `mlimages`, because ``audit`` is both a function and the module that contains it: importing the
module first would bind its name to the module.
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
