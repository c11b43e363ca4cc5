"""Learning from annotation tables: networks, data, losses, training, inference, evaluation."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlimages.models.evaluation.evaluate import (
        evaluate_multi_label,
        evaluate_top_k,
        results_table,
        trainable_categories,
    )
    from mlimages.models.evaluation.metrics import MultiLabelMetrics, TopKAccuracy
    from mlimages.models.inference.inference import Inference, classify, write_features
    from mlimages.models.inference.predictions import predict_images
    from mlimages.models.inference.teacher import Teacher
    from mlimages.models.inference.teachersource import load_teacher
    from mlimages.models.losses.consistency import consistent
    from mlimages.models.losses.loss import AsymmetricLoss, BinaryCrossEntropy, MLImagesLoss, l2_penalty
    from mlimages.models.losses.maxconstraint import MaxConstraintLoss
    from mlimages.models.networks.build import build_model
    from mlimages.models.networks.card import Architecture, ModelCard, Preprocessing
    from mlimages.models.networks.checkpoint import convert, load_model, read_card, save_model
    from mlimages.models.networks.resnet import PublishedResNet
    from mlimages.models.networks.tfcheckpoint import TensorFlowCheckpoint
    from mlimages.models.training.config import TrainConfig
    from mlimages.models.training.finetune import finetuning
    from mlimages.models.training.loop import train

_OF_THE_EXTRA = ("torch", "torchvision", "PIL")  # what modules of this package import at their top
_HOME = {  # public name: the module that holds it
    "Architecture": "networks.card",
    "AsymmetricLoss": "losses.loss",
    "BinaryCrossEntropy": "losses.loss",
    "Inference": "inference.inference",
    "MLImagesLoss": "losses.loss",
    "MaxConstraintLoss": "losses.maxconstraint",
    "ModelCard": "networks.card",
    "MultiLabelMetrics": "evaluation.metrics",
    "Preprocessing": "networks.card",
    "PublishedResNet": "networks.resnet",
    "Teacher": "inference.teacher",
    "TensorFlowCheckpoint": "networks.tfcheckpoint",
    "TopKAccuracy": "evaluation.metrics",
    "TrainConfig": "training.config",
    "build_model": "networks.build",
    "classify": "inference.inference",
    "consistent": "losses.consistency",
    "convert": "networks.checkpoint",
    "evaluate_multi_label": "evaluation.evaluate",
    "evaluate_top_k": "evaluation.evaluate",
    "finetuning": "training.finetune",
    "l2_penalty": "losses.loss",
    "load_model": "networks.checkpoint",
    "load_teacher": "inference.teachersource",
    "predict_images": "inference.predictions",
    "read_card": "networks.checkpoint",
    "results_table": "evaluation.evaluate",
    "save_model": "networks.checkpoint",
    "train": "training.loop",
    "trainable_categories": "evaluation.evaluate",
    "write_features": "inference.inference",
}

__all__ = [
    "Architecture",
    "AsymmetricLoss",
    "BinaryCrossEntropy",
    "Inference",
    "MLImagesLoss",
    "MaxConstraintLoss",
    "ModelCard",
    "MultiLabelMetrics",
    "Preprocessing",
    "PublishedResNet",
    "Teacher",
    "TensorFlowCheckpoint",
    "TopKAccuracy",
    "TrainConfig",
    "build_model",
    "classify",
    "consistent",
    "convert",
    "evaluate_multi_label",
    "evaluate_top_k",
    "finetuning",
    "l2_penalty",
    "load_model",
    "load_teacher",
    "predict_images",
    "read_card",
    "results_table",
    "save_model",
    "train",
    "trainable_categories",
    "write_features",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use: torch takes seconds, and not all names need it."""
    if name not in _HOME:
        raise AttributeError(f"module 'mlimages.models' has no attribute {name!r}")
    try:
        module = import_module(f"mlimages.models.{_HOME[name]}")
    except ModuleNotFoundError as error:
        from mlimages.errors import import_extra

        if error.name in _OF_THE_EXTRA:
            import_extra(error.name, extra="train")  # its error names the extra that installs it
        raise
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
