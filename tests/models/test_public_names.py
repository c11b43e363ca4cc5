"""The names of mlimages.models: each is found on first use, with torch or, where it can be, without."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mlimages.models

WITHOUT_TORCH = (
    "Architecture",
    "ModelCard",
    "MultiLabelMetrics",
    "Preprocessing",
    "TensorFlowCheckpoint",
    "TopKAccuracy",
    "TrainConfig",
    "consistent",
)


@pytest.mark.parametrize("name", mlimages.models.__all__)
def test_public_name_is_there(name):
    assert getattr(mlimages.models, name).__name__ == name
    assert name in dir(mlimages.models)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'mlimages\.models' has no attribute 'nonsense'"):
        mlimages.models.nonsense  # noqa: B018


def test_without_torch_what_needs_it_names_the_extra_and_the_rest_works():
    script = (
        "import sys; sys.modules['torch'] = None; import mlimages.models as models\n"
        f"[getattr(models, name) for name in {WITHOUT_TORCH}]\n"
        "for name in set(models.__all__) - set(vars(models)):\n"
        "    try: getattr(models, name)\n"
        "    except ImportError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    message = 'torch is not installed: run pip install "mlimages[train]"'
    assert result.stdout.splitlines() == [message] * (len(mlimages.models.__all__) - len(WITHOUT_TORCH))
