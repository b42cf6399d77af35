"""From a folder of your own images to a trained model.

The folder has one subfolder for each class, of images of any size and common format:

    pets/cats/1.jpg  pets/cats/2.png  …  pets/dogs/1.jpg  …

    python examples/train_your_images.py pets --save pets.safetensors

A tenth of the images is held out to choose by and a tenth to test with, unless there are subfolders
train, validation and test. The size of the images, the network and all settings follow from the
data; whatever is given to `load_splits` and `Trainer` goes before.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import isoconv as ic


def main() -> None:
    """Load, train, save, and name the least certain of the held-out images."""
    parser = argparse.ArgumentParser(description="Train on a folder of images.")
    parser.add_argument("folder", type=Path, help="one subfolder of images for each class")
    parser.add_argument("--size", type=int, help="side to which images are scaled")
    parser.add_argument("--epochs", type=int, help="how often to go through the images")
    parser.add_argument("--save", type=Path, default=Path("model.safetensors"))
    options = parser.parse_args()

    splits = ic.data.load_splits(options.folder, size=options.size)
    train, validation, test = splits
    print(
        f"{len(train)} images to train on, {len(validation)} to choose by, {len(test)} to test with"
    )
    print(f"classes: {', '.join(train.class_names)}")
    run = ic.Trainer().fit(splits, epochs=options.epochs)
    run.model.save(options.save)

    measured = run.test
    print(f"accuracy on the test images: {measured.top1:.2%}; model saved as {options.save}")
    for name, accuracy in zip(test.class_names, measured.class_accuracy, strict=True):
        print(f"  {name}: {accuracy:.2%}")

    probabilities = run.model.predict(test.images)
    doubtful = int(np.argmin(probabilities.max(axis=1)))
    row = sorted(zip(probabilities[doubtful], test.class_names, strict=True), reverse=True)
    guesses = ", ".join(f"{name} {share:.0%}" for share, name in row)
    print(f"least certain: {test.paths[doubtful]}: {guesses}")


if __name__ == "__main__":
    main()
