"""From a folder of your own images to a trained model.

The folder has one subfolder for each class, of images of any size and common format:

    pets/cats/1.jpg  pets/cats/2.png  …  pets/dogs/1.jpg  …

    python examples/train_your_images.py pets --size 64 --epochs 10 --save pets.safetensors

One sixth of the images is held out to measure with, unless there are subfolders train and test.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import isoconv as ic
from isoconv import nn


def network(classes: int) -> nn.Sequential:
    """Four convolutions, each followed by pooling, for images of about 32 to 128 pixels."""
    steps: list[nn.Module] = []
    for filters in (16, 32, 64, 128):
        steps += [
            nn.Conv2d(filters, 3, padding=1, bias=False),
            nn.BatchNorm2d(),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*steps, nn.GlobalAvgPool2d(), nn.Linear(classes))


def main() -> None:
    """Load, train, save, and name the least certain of the held-out images."""
    parser = argparse.ArgumentParser(description="Train on a folder of images.")
    parser.add_argument("folder", type=Path, help="one subfolder of images for each class")
    parser.add_argument("--size", type=int, default=64, help="side to which images are scaled")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--save", type=Path, default=Path("model.safetensors"))
    options = parser.parse_args()

    train, validation, test = ic.data.load_splits(options.folder, size=options.size)
    print(
        f"{len(train)} images to train on, {len(validation)} to choose by, {len(test)} to test with"
    )
    print(f"classes: {', '.join(train.class_names)}")
    model = network(train.classes)
    trainer = ic.Trainer(
        model,
        optimizer=ic.optim.AdamW(2e-3),
        schedule=ic.schedule.OneCycle(),
        augmentation=ic.data.Augmentation(crop_padding=options.size // 16, flip=True),
        batch_size=min(32, len(train)),
    )
    run = trainer.fit(train, validation, test, epochs=options.epochs)
    model.save(options.save)

    measured = run.test
    print(f"accuracy on the test images: {measured.top1:.2%}; model saved as {options.save}")
    for name, accuracy in zip(test.class_names, measured.class_accuracy, strict=True):
        print(f"  {name}: {accuracy:.2%}")

    probabilities = model.predict(test.images)
    doubtful = int(np.argmin(probabilities.max(axis=1)))
    row = sorted(zip(probabilities[doubtful], test.class_names, strict=True), reverse=True)
    guesses = ", ".join(f"{name} {share:.0%}" for share, name in row)
    print(f"least certain: {test.paths[doubtful]}: {guesses}")


if __name__ == "__main__":
    main()
