"""ResNet-v1 as tf_slim builds it, in TensorFlow, from its description; makes fixtures and comparisons.

Runs in an environment of its own that has tensorflow-cpu and nothing of ours, as ``python
tensorflow_slim_reference.py OUT --blocks 3,4,23,3 --size 299``: writes ``OUT/model.ckpt.*``, a checkpoint with slim's
variable names and random values, and ``OUT/golden.npz`` with inputs, features and logits.
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

    def __init__(self, scope, blocks, depths, classes, seed):
        self.scope, self.blocks, self.depths, self.classes = scope, blocks, depths, classes
        self.random = np.random.default_rng(seed)

    def variable(self, name, values):
        name = f"{self.scope}/{name}"
        return v1.get_variable(name, initializer=np.asarray(values, np.float32), use_resource=False)

    def conv2d_same(self, scope, x, kernel, outputs, stride, *, relu=True):
        inputs = x.shape[-1]
        std = np.sqrt(2 / (kernel * kernel * inputs))
        weights = self.variable(f"{scope}/weights", self.random.normal(0, std, (kernel, kernel, inputs, outputs)))
        if stride == 1 or kernel == 1:
            x = tf.nn.conv2d(x, weights, stride, "SAME")
        else:
            before = (kernel - 1) // 2
            after = kernel - 1 - before
            x = tf.nn.conv2d(tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]]), weights, stride, "VALID")
        scope = f"{scope}/BatchNorm"
        gamma = self.variable(f"{scope}/gamma", self.random.uniform(0.5, 1.5, outputs))
        beta = self.variable(f"{scope}/beta", self.random.normal(0, 0.3, outputs))
        mean = self.variable(f"{scope}/moving_mean", self.random.normal(0, 0.3, outputs))
        variance = self.variable(f"{scope}/moving_variance", self.random.uniform(0.5, 2.0, outputs))
        x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-5)
        return tf.nn.relu(x) if relu else x

    def bottleneck(self, scope, x, depth, stride):
        if x.shape[-1] == 4 * depth:
            shortcut = x if stride == 1 else tf.nn.max_pool2d(x, 1, stride, "SAME")
        else:
            shortcut = self.conv2d_same(f"{scope}/shortcut", x, 1, 4 * depth, stride, relu=False)
        x = self.conv2d_same(f"{scope}/conv1", x, 1, depth, 1)
        x = self.conv2d_same(f"{scope}/conv2", x, 3, depth, stride)
        return tf.nn.relu(shortcut + self.conv2d_same(f"{scope}/conv3", x, 1, 4 * depth, 1, relu=False))

    def build(self, x):
        x = tf.nn.max_pool2d(self.conv2d_same("conv1", x, 7, self.depths[0], 2), 3, 2, "SAME")
        for block, (units, depth, stride) in enumerate(zip(self.blocks, self.depths, (2, 2, 2, 1), strict=True), 1):
            for unit in range(1, units + 1):
                scope = f"block{block}/unit_{unit}/bottleneck_v1"
                x = self.bottleneck(scope, x, depth, stride if unit == units else 1)
        features = tf.reduce_mean(x, [1, 2], keepdims=True)
        std = np.sqrt(1 / features.shape[-1])
        weights = self.random.normal(0, std, (1, 1, features.shape[-1], self.classes))
        logits = tf.nn.conv2d(features, self.variable("logits/weights", weights), 1, "SAME")
        logits += self.variable("logits/biases", self.random.normal(0, 1, self.classes))
        return features[:, 0, 0], logits[:, 0, 0]

    def bookkeeping(self):
        """What a training run saves besides."""
        v1.get_variable("global_step", initializer=np.int64(1234), use_resource=False)
        for slot in ("RMSProp", "RMSProp_1", "ExponentialMovingAverage"):
            self.variable(f"logits/biases/{slot}", np.ones(self.classes))


def numbers(text):
    return tuple(int(each) for each in text.split(","))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scope", default="resnet_v1_101")
    parser.add_argument("--blocks", type=numbers, default=(3, 4, 23, 3))
    parser.add_argument("--depths", type=numbers, default=(64, 128, 256, 512))
    parser.add_argument("--classes", type=int, default=5000)
    parser.add_argument("--size", type=numbers, default=(299,), help="one or several, all run on the same weights")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    golden = {}
    with tf.Graph().as_default(), v1.Session() as session:
        reference = Reference(options.scope, options.blocks, options.depths, options.classes, options.seed)
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
