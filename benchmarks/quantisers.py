"""Ways of quantising: test errors on digits, and what is left of them in integers and in ONNX.

    python benchmarks/quantisers.py --designs 6 --bits 2 4 8

Random designs of skipnet, at the same bits in every cell and 8 in stem and head, are trained once
per way. Columns: the mean test error with fake quantisation; the largest difference to the error in
integers only, in points; the least share of test images to which onnxruntime gives the same class.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import onnxruntime
import torch

from evaluators import datasets
from evaluators.exports.onnx_qdq import qdq_model
from evaluators.quantization import Quantization, QuantizedNetwork
from evaluators.quantization.integer import IntegerNetwork
from evaluators.torch_threads import one_thread
from evaluators.training import Training
from hwnas.design import BitsPerCell, Designs, SkipNet

WAYS = {
    "statistics (default)": Quantization(),
    "max, percentile": Quantization(weights="max", activations="percentile"),
    "learned, statistics": Quantization(weights="learned"),
    "learned": Quantization(weights="learned", activations="learned"),
    "statistics, after training": Quantization(mode="ptq"),
    "max, percentile, after training": Quantization(
        weights="max", activations="percentile", mode="ptq"
    ),
}


def classes(network: QuantizedNetwork) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes of all test images: fake quantisation, integers, onnxruntime."""
    images = datasets.load("digits").test_images
    with torch.inference_mode():
        fake = network(torch.tensor(images)).argmax(1).numpy()
        integer = IntegerNetwork(network)(torch.tensor(images)).argmax(1).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        qdq_model(network).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return fake, integer, session.run(None, {"images": images})[0].argmax(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=6)
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    labels = datasets.load("digits").test_labels
    print("| steps | bits | error | integers, points | onnxruntime, same class | CPU s |")
    print("|---|---|---|---|---|---|")
    for name, quantization in WAYS.items():
        training = Training(epochs=given.epochs, quantization=quantization)
        for bits in given.bits:
            space = SkipNet().space()
            networks = space.sample(given.designs, np.random.default_rng(given.seed))
            space += BitsPerCell(weight_bits=(bits,), activation_bits=(bits,)).space()
            rest = np.zeros((given.designs, len(space) - networks.shape[1]), dtype=np.int64)
            designs = Designs(space, np.concatenate([networks, rest], axis=1), given.seed)
            start, errors, apart, same = time.process_time(), [], [], []
            for design in designs:
                with one_thread():
                    fake, integer, engine = classes(training.trained(design))
                errors.append(np.mean(fake != labels))
                apart.append(abs(np.mean(integer != labels) - errors[-1]))
                same.append(np.mean(engine == fake))
            seconds = (time.process_time() - start) / len(designs)
            print(
                f"| {name} | {bits} | {np.mean(errors):.3f} | {100 * max(apart):.2f} "
                f"| {100 * min(same):.2f} % | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
