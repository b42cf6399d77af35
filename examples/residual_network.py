"""A residual network as classes of one's own, trained on the photographs that come along.

python examples/residual_network.py --epochs 3
"""

from __future__ import annotations

import argparse

import isoconv as ic
from isoconv import nn
from isoconv.nn import functional as F  # noqa: N812


class Block(nn.Module):
    """Two convolutions around which the input is added; ``stride`` makes the feature map smaller.

    Args:
        filters: output channels.
        stride: of the first convolution; where it is not 1, the way around has a convolution too.
    """

    def __init__(self, filters: int, stride: int = 1) -> None:
        self.first = nn.Conv2d(filters, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(filters, 3, padding=1, bias=False)
        self.norms = [nn.BatchNorm2d(), nn.BatchNorm2d()]
        self.around = nn.Conv2d(filters, 1, stride, bias=False) if stride != 1 else None

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """``(H, W, C)`` to ``(H / stride, W / stride, filters)``."""
        y = F.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        return F.relu(y + (x if self.around is None else self.around(x)))


class ResidualNetwork(nn.Module):
    """A convolution, blocks of growing width, global average pooling, one linear layer.

    Args:
        widths: filters of each block; every block but the first halves height and width.
        classes: number of outputs.
    """

    def __init__(self, widths: tuple[int, ...], classes: int) -> None:
        self.stem = nn.Conv2d(widths[0], 3, padding=1)
        self.blocks = [Block(width, 1 if place == 0 else 2) for place, width in enumerate(widths)]
        self.head = nn.Linear(classes)

    def forward(self, x: nn.Tensor) -> nn.Tensor:
        """``(H, W, C)`` to ``(classes,)``."""
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(F.global_avg_pool(x))


def main() -> None:
    """Train and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000, help="images to train on")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    options = parser.parse_args()

    train, validation, test = ic.data.load_splits("fashion-sample")
    train = train.subset(range(min(options.images, len(train))))
    model = ResidualNetwork(tuple(options.widths), train.classes)
    print(model.summary(train.image_shape))
    trainer = ic.Trainer(
        model,
        optimizer=ic.optim.SGD(0.1, momentum=0.9, weight_decay=1e-4),
        schedule=ic.schedule.OneCycle(),
        augmentation=ic.data.Augmentation(shift=2, flip=True),
        batch_size=128,
        seed=0,
    )
    run = trainer.fit(train, validation, test, epochs=options.epochs)
    print(f"accuracy on the test images: {run.test.top1:.2%}")
    print(f"weights sha256:{run.digest}")


if __name__ == "__main__":
    main()
