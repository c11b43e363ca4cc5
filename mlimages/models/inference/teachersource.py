"""Teachers by name: from a checkpoint of mlimages, TensorFlow or timm, or from a callable in a Python module."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mlimages.annotate.sources.mapping import read_mapping
from mlimages.errors import DataNotFoundError, FormatError, ModelError, first_line, import_extra
from mlimages.hierarchy import Hierarchy
from mlimages.models.inference.teacher import Activation, Crop, Teacher
from mlimages.models.networks.build import Network, build_model
from mlimages.models.networks.card import Preprocessing
from mlimages.models.networks.checkpoint import load_model
from mlimages.models.networks.outputs import head_classes, read_category_keys, read_keys
from mlimages.models.networks.slimresnet import SlimResNet, load_slim, slim_scope
from mlimages.models.networks.tfcheckpoint import TensorFlowCheckpoint

TIMM, PYTHON = "timm:", "python:"

_Path = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherOptions:
    """Options of :func:`load_teacher`.

    Parameters
    ----------
    class_file : path-like, optional
        The class of each output: a file of keys, one per line, or the name of a class list. By default the categories
        of a checkpoint of mlimages, else the ImageNet class list with as many classes as outputs.
    mapping : path-like, optional
        A CSV file ``label,key``: the category of each class; by default the one with the same key.
    categories : path-like, optional
        The categories to keep: a file of keys, one per line.
    weights : path-like, optional
        For timm: a file of weights, instead of the published ones.
    activation : {"sigmoid", "softmax"}, optional
        By default softmax for ``timm:NAME``; otherwise that of a checkpoint of mlimages, or sigmoid.
    size : int, optional
        Height and width of the input in pixels; by default what the network was made for.
    crop : {"classifier", "central"}
        See :func:`mlimages.models.data.preprocess.evaluation`.
    """

    class_file: _Path | None = None
    mapping: _Path | None = None
    categories: _Path | None = None
    weights: _Path | None = None
    activation: Activation | None = None
    size: int | None = None
    crop: Crop = "classifier"


def load_teacher(source: _Path, hierarchy: Hierarchy, **options: Any) -> Teacher:
    """Load a teacher.

    ==========================  ====================================================================================
    source                      what it is
    ==========================  ====================================================================================
    ``FILE.safetensors``        a network that mlimages trained or converted; its card has the categories
    ``PREFIX`` of ``.index``    a TensorFlow V2 checkpoint: the published ML-Images networks, or a slim ResNet-v1 such
                                as the 5,000-way Open Images V2 ResNet-101 of Google (class file:
                                ``classes-trainable.txt``)
    ``timm:NAME``               a timm network, with the weights that timm publishes or those of a file
    ``python:MODULE:NAME``      a :class:`Teacher`, or a callable from a numpy array, float32 [B, 3, H, W] in [-1, 1],
                                to probabilities [B, classes], such as one that runs an ONNX session
    ==========================  ====================================================================================

    Parameters
    ----------
    source : str or path-like
        One of the above.
    hierarchy : Hierarchy
        The categories that the outputs are mapped to.
    **options
        Fields of :class:`TeacherOptions`.

    Raises
    ------
    DataNotFoundError, FormatError, ModelError
        For a source or file that does not exist, is damaged or of another kind; for another number of classes than
        outputs; and where no class is a category.
    """
    known = TeacherOptions(**options)
    name = os.fspath(source)
    if name.startswith(PYTHON):
        return _from_python(name.removeprefix(PYTHON), hierarchy, known)
    if name.startswith(TIMM):
        return _from_timm(name.removeprefix(TIMM), hierarchy, known)
    if known.weights is not None:
        raise ModelError(f"weights: no option of {name}, which has its own; it is for timm:NAME")
    network = _load_network(name)
    return _from_network(network, hierarchy, known)


def _load_network(name: str) -> Network | SlimResNet:
    prefix = name.removesuffix(".index")
    if Path(f"{prefix}.index").is_file():
        return load_slim(prefix) if slim_scope(TensorFlowCheckpoint(prefix)) is not None else load_model(prefix)
    if not Path(name).is_file():
        raise DataNotFoundError(
            f"{name}: no such file; expected a .safetensors file, a TensorFlow checkpoint's path before .index, "
            "timm:NAME or python:MODULE:NAME"
        )
    return load_model(name)


def _from_network(
    network: Network | SlimResNet,
    hierarchy: Hierarchy,
    options: TeacherOptions,
    *,
    activation: Activation | None = None,
) -> Teacher:
    classes = _classes(network.card.categories, network.card.num_classes, options)
    return Teacher.from_network(
        network,
        hierarchy,
        classes=classes,
        activation=options.activation or activation,
        preprocessing=_sized(network.card.preprocessing, options.size),
        **_common(options, hierarchy),
    )


def _from_timm(name: str, hierarchy: Hierarchy, options: TeacherOptions) -> Teacher:
    timm = import_extra("timm", extra="train")
    keys = None if options.class_file is None else read_keys(options.class_file)
    if not timm.is_model(name):
        build_model(name, num_classes=1)  # raises an error that lists similar names
    config = timm.get_pretrained_cfg(name)
    if options.weights is None and config is not None and config.has_weights and config.num_classes > 0:
        classes = config.num_classes  # of the published head; a class file must have as many
    elif keys is None and (config is None or not config.num_classes):
        raise ModelError(f"timm does not say how many outputs {name} has: give a class file")
    else:
        classes = len(keys) if keys is not None else config.num_classes
    try:
        network = build_model(name, num_classes=classes, pretrained=options.weights is None)
    except (RuntimeError, OSError) as error:
        raise ModelError(
            f"timm:{name}: its published weights cannot be had ({first_line(error)}): give a file of weights"
        ) from error
    if options.weights is not None:
        _load_timm(network, options.weights)
    return _from_network(network, hierarchy, options, activation="softmax")


def _load_timm(network: Any, path: _Path) -> None:
    if not Path(path).is_file():
        raise DataNotFoundError(f"{os.fspath(path)}: no such file; expected weights of {network.card.name}")
    load = import_extra("timm.models", extra="train").load_checkpoint
    errors = (RuntimeError, KeyError, ValueError, pickle.UnpicklingError, EOFError)
    safetensors = import_extra("safetensors", extra="train")
    try:
        load(network.backbone, os.fspath(path), weights_only=True)
    except (*errors, safetensors.SafetensorError) as error:
        raise FormatError(f"no weights of {network.card.name} ({first_line(error)})", path=path) from error


def _from_python(place: str, hierarchy: Hierarchy, options: TeacherOptions) -> Teacher:
    module_name, colon, attribute = place.partition(":")
    if not colon or not module_name or not attribute:
        raise ModelError(f"found {PYTHON}{place}, expected {PYTHON}MODULE:NAME")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # one of its own imports is missing, which its message says
        raise ModelError(f"{PYTHON}{place}: no module named {error.name}; is its folder in PYTHONPATH?") from error
    found = getattr(module, attribute, None)
    if isinstance(found, Teacher):
        given = [name for name in ("class_file", "mapping", "categories", "weights", "activation", "size")
                 if getattr(options, name) is not None]  # fmt: skip
        if given:
            raise ModelError(f"{', '.join(given)}: no option of {PYTHON}{place}, which is a teacher with its own")
        if found.hierarchy.fingerprint != hierarchy.fingerprint:
            raise ModelError(f"{PYTHON}{place} is a teacher of another hierarchy")
        return found
    if not callable(found):
        raise ModelError(f"{PYTHON}{place}: found {type(found).__name__}, expected a Teacher or a callable")
    if options.activation is not None or options.weights is not None:
        raise ModelError(f"activation, weights: no option of {PYTHON}{place}, which gives probabilities")
    if options.class_file is None:
        raise ModelError(f"{PYTHON}{place}: give a class file, one key a column")
    return Teacher.from_function(
        found,
        hierarchy,
        classes=read_keys(options.class_file),
        preprocessing=_sized(Preprocessing(), options.size),
        name=f"{PYTHON}{place}",
        **_common(options, hierarchy),
    )


def _classes(carried: tuple[str, ...], outputs: int, options: TeacherOptions) -> list[str] | tuple[str, ...]:
    """The class of each output: from the class file, the card, or the number of outputs, in this order."""
    if options.class_file is not None:
        keys = read_keys(options.class_file)
        if len(keys) != outputs:
            raise FormatError(f"found {len(keys)} keys, expected {outputs}, one an output", path=options.class_file)
        return keys
    return carried or head_classes(outputs)


def _common(options: TeacherOptions, hierarchy: Hierarchy) -> dict[str, Any]:
    return {
        "mapping": None if options.mapping is None else read_mapping(options.mapping, hierarchy),
        "categories": None if options.categories is None else read_category_keys(options.categories, hierarchy),
        "crop": options.crop,
    }


def _sized(preprocessing: Preprocessing, size: int | None) -> Preprocessing:
    return preprocessing if size is None else replace(preprocessing, size=size)
