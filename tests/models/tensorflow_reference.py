"""The published network once more, in TensorFlow, straight from its description; makes fixtures and comparisons.

Runs in an environment of its own that has tensorflow-cpu and nothing of ours, as ``python tensorflow_reference.py OUT
--blocks 3,4,23,3 --size 224``: writes ``OUT/model.ckpt.*``, a checkpoint with the published variable names and random
values (statistics of the batch norms too), and ``OUT/golden.npz`` with inputs, features and logits.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


class Reference:
    """Builds the graph with low-level operations; one variable a name, drawn from a seeded generator."""

    def __init__(self, blocks, widths, stem, classes, seed):
        self.blocks, self.widths, self.stem, self.classes = blocks, widths, stem, classes
        self.random = np.random.default_rng(seed)

    def variable(self, name, values):
        return v1.get_variable(name, initializer=np.asarray(values, np.float32), use_resource=False)

    def convolution(self, scope, x, kernel, outputs, stride):
        inputs = x.shape[-1]
        std = np.sqrt(1 / (kernel * kernel * inputs))
        weights = self.variable(f"{scope}/conv2d/kernel", self.random.normal(0, std, (kernel, kernel, inputs, outputs)))
        if stride == 1:
            return tf.nn.conv2d(x, weights, 1, "SAME")
        before = (kernel - 1) // 2
        after = kernel - 1 - before
        x = tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]])
        return tf.nn.conv2d(x, weights, stride, "VALID")

    def norm_relu(self, scope, x):
        channels = x.shape[-1]
        scope = f"{scope}/batch_normalization"
        gamma = self.variable(f"{scope}/gamma", self.random.uniform(0.5, 1.5, channels))
        beta = self.variable(f"{scope}/beta", self.random.normal(0, 0.3, channels))
        mean = self.variable(f"{scope}/moving_mean", self.random.normal(0, 0.3, channels))
        variance = self.variable(f"{scope}/moving_variance", self.random.uniform(0.5, 2.0, channels))
        return tf.nn.relu(tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-5))

    def block(self, scope, x, outputs, stride):
        shortcut = x
        if stride == 2:
            shortcut = self.norm_relu(f"{scope}/conv1_b1_bn", x)
            shortcut = self.convolution(f"{scope}/conv1_b1", shortcut, 1, outputs, stride)
        x = self.convolution(f"{scope}/conv1_b2", self.norm_relu(f"{scope}/conv1_b2_bn", x), 1, outputs // 4, 1)
        x = self.convolution(f"{scope}/conv2_b2", self.norm_relu(f"{scope}/conv2_b2_bn", x), 3, outputs // 4, stride)
        x = self.convolution(f"{scope}/conv3_b2", self.norm_relu(f"{scope}/conv3_b2_bn", x), 1, outputs, 1)
        return x + shortcut

    def build(self, x):
        x = self.convolution("init/init_conv", x, 7, self.stem, 2)
        for stage, (blocks, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            for block in range(blocks):
                x = self.block(f"stages_{stage}_block_{block}", x, width, 2 if block == 0 else 1)
        features = tf.reduce_mean(self.norm_relu("global_pool/bn", x), [1, 2])
        limit = np.sqrt(6 / (self.widths[-1] + self.classes))
        kernel = self.random.uniform(-limit, limit, (self.widths[-1], self.classes))
        kernel, bias = self.variable("logits/dense/kernel", kernel), self.random.normal(0, 1, self.classes)
        return features, tf.matmul(features, kernel) + self.variable("logits/dense/bias", bias)

    def bookkeeping(self):
        """What a training run saves besides: the step, momentum slots, the two counters of the loss."""
        v1.get_variable("global_step", initializer=np.int64(1234), use_resource=False)
        self.variable("logits/dense/bias/Momentum", np.ones(self.classes))
        self.variable("Variable", np.ones(self.classes))
        self.variable("Variable_1", np.ones(self.classes))


def numbers(text):
    return tuple(int(each) for each in text.split(","))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--blocks", type=numbers, default=(1, 1, 1, 1))
    parser.add_argument("--widths", type=numbers, default=(256, 512, 1024, 2048))
    parser.add_argument("--stem", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--size", type=numbers, default=(224,), help="one or several, all run on the same weights")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    golden = {}
    with tf.Graph().as_default(), v1.Session() as session:
        reference = Reference(options.blocks, options.widths, options.stem, options.classes, options.seed)
        pictures = v1.placeholder(tf.float32, [None, None, None, 3])
        features, logits = reference.build(pictures)
        reference.bookkeeping()
        session.run(v1.global_variables_initializer())
        v1.train.Saver(write_version=v1.train.SaverDef.V2).save(
            session, str(options.out / "model.ckpt"), write_meta_graph=False, write_state=False
        )
        for size in options.size:
            x = reference.random.uniform(-1, 1, (options.batch, size, size, 3)).astype(np.float32)
            golden[f"features_{size}"], golden[f"logits_{size}"] = session.run([features, logits], {pictures: x})
            golden[f"pictures_{size}"] = x
    np.savez_compressed(options.out / "golden.npz", **golden)


if __name__ == "__main__":
    main()
