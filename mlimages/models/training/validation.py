"""Evaluation of the model of a run between epochs, on all its ranks."""

from __future__ import annotations

import torch

from mlimages.models.data.dataset import MultiHot, ParquetImages
from mlimages.models.data.unlisted import BELOW, background
from mlimages.models.evaluation.evaluate import count_multi_label, single_labels
from mlimages.models.evaluation.metrics import MultiLabelMetrics, TopKAccuracy
from mlimages.models.inference.inference import Inference, feed_of, outputs, probabilities
from mlimages.models.networks.outputs import outputs_of, table_hierarchy
from mlimages.models.training.run import Run


class Validation:
    """Measures the model of a run on its `valid_table`; each rank counts a share of the images.

    Raises
    ------
    MlimagesError
        For a table without the categories of the run.
    """

    def __init__(self, run: Run) -> None:
        config = run.config
        assert config.valid_table is not None
        self._run = run
        self._how = Inference(
            batch=config.batch, workers=config.workers, device=str(run.ranks.device), bf16=config.bf16
        )
        chosen = outputs_of(run.model.card, table_hierarchy(config.valid_table))
        self._images = ParquetImages(
            config.valid_table,
            config.valid_images,
            preprocess=self._how.preprocess(run.model),
            categories=chosen,
            below=config.unknown == BELOW,
        )

    def __call__(self) -> dict[str, float]:
        """The metrics by name: top-k accuracy for a softmax, else the multi-label metrics."""
        run, ranks = self._run, self._run.ranks
        # each rank's batch norm has seen other images; those of the first rank are the ones that are saved
        ranks.take_first(run.final.buffers())
        feed = feed_of(self._images, self._how, rank=ranks.rank, world=ranks.world)
        single = TopKAccuracy()
        many = MultiLabelMetrics(run.hierarchy)
        hot = MultiHot(len(run.hierarchy), unknown=background(run.config.unknown))
        softmax = run.model.card.activation == "softmax"
        for batch, logits in outputs(run.final, feed, how=self._how):
            if softmax:
                rows, labels = single_labels(batch)
                single.update(logits.numpy()[rows], labels)
            else:
                count_multi_label(many, batch, probabilities(logits, "sigmoid"), hot)
        counted = single if softmax else many
        for counts in counted.counts():
            total = torch.from_numpy(counts.astype("int64")).to(ranks.device)
            counts[...] = ranks.sum_tensor(total).cpu().numpy()
        run.train_mode()
        return counted.compute()
