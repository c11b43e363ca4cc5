"""Learning from the annotation table: networks, losses, metrics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlimages.models.build import build_model
    from mlimages.models.card import Architecture, ModelCard, Preprocessing
    from mlimages.models.checkpoint import convert, load_model, read_card, save_model
    from mlimages.models.config import TrainConfig
    from mlimages.models.consistency import consistent
    from mlimages.models.evaluate import evaluate_multi_label, evaluate_top_k, results_table, trainable_categories
    from mlimages.models.finetune import finetuning
    from mlimages.models.loss import AsymmetricLoss, BinaryCrossEntropy, MLImagesLoss, l2_penalty
    from mlimages.models.maxconstraint import MaxConstraintLoss
    from mlimages.models.metrics import MultiLabelMetrics, TopKAccuracy
    from mlimages.models.predict import Inference, classify, write_features
    from mlimages.models.prediction import predict_images
    from mlimages.models.resnet import PublishedResNet
    from mlimages.models.teacher import Teacher
    from mlimages.models.teachersource import load_teacher
    from mlimages.models.tfcheckpoint import TensorFlowCheckpoint
    from mlimages.models.training import train

_HOME = {  # public name: the module that holds it
    "Architecture": "card",
    "AsymmetricLoss": "loss",
    "BinaryCrossEntropy": "loss",
    "Inference": "predict",
    "MLImagesLoss": "loss",
    "MaxConstraintLoss": "maxconstraint",
    "ModelCard": "card",
    "MultiLabelMetrics": "metrics",
    "Preprocessing": "card",
    "PublishedResNet": "resnet",
    "Teacher": "teacher",
    "TensorFlowCheckpoint": "tfcheckpoint",
    "TopKAccuracy": "metrics",
    "TrainConfig": "config",
    "build_model": "build",
    "classify": "predict",
    "consistent": "consistency",
    "convert": "checkpoint",
    "evaluate_multi_label": "evaluate",
    "evaluate_top_k": "evaluate",
    "finetuning": "finetune",
    "l2_penalty": "loss",
    "load_model": "checkpoint",
    "load_teacher": "teachersource",
    "predict_images": "prediction",
    "read_card": "checkpoint",
    "results_table": "evaluate",
    "save_model": "checkpoint",
    "train": "training",
    "trainable_categories": "evaluate",
    "write_features": "predict",
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

_NEEDS_TORCH = {
    *("build", "checkpoint", "evaluate", "finetune", "loss", "maxconstraint", "predict", "prediction", "resnet"),
    *("teacher", "teachersource", "training"),
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from mlimages.errors import import_extra

        if _HOME[name] in _NEEDS_TORCH:
            import_extra("torch", extra="train")  # its absence is told by the extra that brings it
        value = getattr(import_module(f"mlimages.models.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'mlimages.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
