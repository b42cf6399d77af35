"""Small networks to be explained."""

from __future__ import annotations

from isoconv import nn

__all__ = ["inverted_residuals"]


def inverted_residuals(classes: int) -> nn.Sequential:
    """All that MobileNetV2 is made of, in two blocks in place of seventeen."""

    def block(filters: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(12, 1, bias=False), nn.BatchNorm2d(), nn.ReLU(),
            nn.DepthwiseConv2d(3, stride, padding=1, bias=False), nn.BatchNorm2d(), nn.ReLU(),
            nn.Conv2d(filters, 1, bias=False), nn.BatchNorm2d(),
        )  # fmt: skip

    return nn.Sequential(
        nn.Conv2d(6, 3, padding=1, bias=False), nn.BatchNorm2d(), nn.ReLU(),
        nn.Residual(block(6, 1)), block(8, 2), nn.GlobalAvgPool2d(), nn.Dropout(0.2),
        nn.Linear(classes),
    )  # fmt: skip
