"""Small things that stand where a block of the documentation speaks of large ones, by the name in ``<!-- given: -->``.

Each function puts files, under the very names that the page uses, into the folder where the blocks of the page run.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

import mlimages
from mlimages import Hierarchy

SYNSETS = ("n01440764", "n02099601", "n02123045", "n07747607")  # tench, golden retriever, tabby, orange
EACH = 3  # pictures of a synset
PIXELS = 48


@dataclass
class Standins:
    """Where they are put, and what the blocks' environment needs for them."""

    folder: Path
    url: str
    environment: dict[str, str] = field(default_factory=dict)

    def put(self, name: str) -> None:
        """Put one of `GIVEN` in place."""
        GIVEN[name](self)


def jpeg(number: int) -> bytes:
    """A picture of noise around a colour, another one for each number."""
    random = np.random.default_rng(number)
    noise = random.integers(-30, 30, (PIXELS, PIXELS, 3)) + random.integers(30, 226, 3)
    out = io.BytesIO()
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(out, "JPEG")
    return out.getvalue()


def pictures() -> Iterator[tuple[str, str, bytes]]:
    """Synset, name as in ImageNet, and bytes of each picture."""
    for number in range(EACH * len(SYNSETS)):
        synset = SYNSETS[number // EACH]
        yield synset, f"{synset}_{number}.JPEG", jpeg(number)


@contextmanager
def server() -> Iterator[str]:
    """The address of a server on this machine; whatever it is asked for is a picture, another for each number."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = jpeg(int(Path(self.path).stem))
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *values: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever, args=[0.02])
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            thread.join()


def categories() -> Hierarchy:
    """Those of ImageNet-1k and all their ancestors: what stands for ``ml-images``."""
    return mlimages.load_hierarchy("imagenet-1k", roots=None)


def ml_images(here: Standins) -> None:
    """A dictionary under the published name; its hash is taken for the published one by the command that tests run."""
    data = here.folder.parent / "standin-data"
    data.mkdir(exist_ok=True)
    file = data / "dictionary_and_semantic_hierarchy.txt"
    categories().to_dictionary(file)
    here.environment["MLIMAGES_DATA"] = str(data)
    here.environment["STANDIN_SHA256"] = hashlib.sha256(file.read_bytes()).hexdigest()


def lists(here: Standins) -> None:
    """The published lists, a few rows of each, closed as those are."""
    known = categories()

    def labels(synset: str) -> str:
        closed = [known.index(synset), *known.ancestors(synset)]
        return "\t".join(f"{int(each)}:1" for each in closed)

    rows = [f"{synset}/{name}\t{labels(synset)}\n" for synset, name, _ in pictures()]
    (here.folder / "train_image_id_from_imagenet.txt").write_text("".join(rows))
    urls = [f"{here.url}/{number}.jpg\t{labels(SYNSETS[number % 4])}\n" for number in range(20, 28)]
    for name in ("train_urls_from_openimages.txt", "train_urls_tiny.txt"):
        (here.folder / name).write_text("".join(urls))


def sources(here: Standins) -> None:
    """ImageNet as a folder of synsets, and the files of Open Images."""
    for synset, name, content in pictures():
        file = here.folder / "imagenet-tree" / synset / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    header = "ImageID,Source,LabelName,Confidence\n"
    kinds = {"human-imagelabels": "verification,/m/0bt9lr,1", "machine-imagelabels": "machine,/m/01yrx,0.7"}
    for kind, row in kinds.items():
        rows = [f"{number:016x},{row}\n" for number in range(8)]
        (here.folder / f"oidv7-train-annotations-{kind}.csv").write_text(header + "".join(rows))
    (here.folder / "mapping.csv").write_text("label,key\n/m/0bt9lr,n02084071\n/m/01yrx,n02123045\n")
    rows = [f"{number:016x},train,{here.url}/{number}.jpg\n" for number in range(8)]
    (here.folder / "image_ids_and_rotation.csv").write_text("ImageID,Subset,OriginalURL\n" + "".join(rows))


def imagenet_tar(here: Standins) -> None:
    """The tar of tars that ImageNet as a whole is."""
    with tarfile.open(here.folder / "imagenet-fall11-whole.tar", "w") as whole:
        for synset in SYNSETS:
            held = io.BytesIO()
            with tarfile.open(fileobj=held, mode="w") as one:
                for name, content in ((name, content) for of, name, content in pictures() if of == synset):
                    _add(one, name, content)
            _add(whole, f"{synset}.tar", held.getvalue())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def teacher(here: Standins) -> None:
    """A network that is sure of an orange in every picture, and of nothing else."""
    import torch

    from mlimages.models import build_model, save_model

    known = categories()
    torch.manual_seed(0)
    model = build_model("test_resnet", num_classes=len(known))
    last = model.backbone.get_classifier()
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-5)
        last.bias[known.index("n07747607")] = 5
    save_model(model, here.folder / "run" / "model.safetensors", hierarchy=known)


def checkpoints(here: Standins) -> None:
    """TensorFlow checkpoints of the published kind, of ResNet-50 with new weights: of the categories, of ImageNet."""
    import torch

    from mlimages.models import build_model
    from mlimages.models.networks.checkpoint import _mapping
    from tests.models.bundle_writer import write_bundle

    torch.manual_seed(0)
    for name, outputs in {"mlimages": len(categories()), "imagenet": 1000}.items():
        model = build_model("resnet50-mlimages", num_classes=outputs)
        state = model.state_dict()
        variables = {
            each.name: np.ascontiguousarray(state[key].numpy().transpose(np.argsort(each.axes)))
            for key, each in _mapping(model.card).items()
        }
        folder = here.folder / "checkpoints" / name
        folder.mkdir(parents=True, exist_ok=True)
        write_bundle(folder / "resnet.ckpt", variables)


def ilsvrc(here: Standins) -> None:
    """The training pictures of ILSVRC 2012 as a folder of synsets: one each."""
    for synset, name, content in list(pictures())[::EACH]:
        file = here.folder / "ILSVRC" / "train" / synset / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def classified(here: Standins) -> None:
    """Lists of pictures, and the published classifier's dictionary."""
    data = here.folder / "data"
    data.mkdir(exist_ok=True)
    names = []
    for number in range(3):
        (data / f"im_{number}.jpg").write_bytes(jpeg(number))
        names.append(f"data/im_{number}.jpg\n")
    for file in (data / "im_list_for_classification.txt", here.folder / "list.txt"):
        file.write_text("".join(names))
    lines = [f"{number}\tclass\t{number}\n" for number in range(1000)]
    (data / "imagenet2012_dictionary.txt").write_text("".join(lines))


GIVEN: dict[str, Callable[[Standins], None]] = {
    "ml-images": ml_images,
    "lists": lists,
    "sources": sources,
    "imagenet-tar": imagenet_tar,
    "teacher": teacher,
    "checkpoints": checkpoints,
    "ilsvrc": ilsvrc,
    "classified": classified,
}
