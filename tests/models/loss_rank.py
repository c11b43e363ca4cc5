"""One of two processes that count the published loss together: ``python loss_rank.py RANK FOLDER``."""

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed

from mlimages.models import MLImagesLoss


def two_batches():
    """Logits and targets, each [steps, ranks, B, C]."""
    random = torch.Generator().manual_seed(7)
    return torch.randn(3, 2, 5, 4, generator=random), (torch.rand(3, 2, 5, 4, generator=random) > 0.85).float()


def main(rank, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=timedelta(seconds=120)
    )
    loss = MLImagesLoss(4)
    logits, targets = two_batches()
    value = sum(loss(logits[step, rank], targets[step, rank]) for step in range(3))
    torch.save((loss.state_dict(), value), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
