"""Ready models: known parameter counts, output shapes, sizes they adapt to."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from isoconv import nn
from isoconv.errors import ArgumentError, ShapeError
from isoconv.nn import models
from isoconv.train import Trainer

KNOWN = [
    # 6·26 + 16·151 + 120·401 + 84·121 + 10·85
    ("lenet5", 10, (28, 28, 1), 61_706),
    ("lenet5", 10, (32, 32, 1), 61_706),
    # option A's 269,722 and two projections: 16·32 + 32·64 weights, 2·(32 + 64) to normalise
    ("resnet20", 10, (32, 32, 3), 269_722 + 2_560 + 192),
    # torchvision's tables
    ("resnet18", 1000, (224, 224, 3), 11_689_512),
    ("resnet34", 1000, (224, 224, 3), 21_797_672),
    ("resnet50", 1000, (224, 224, 3), 25_557_032),
    ("resnext50_32x4d", 1000, (224, 224, 3), 25_028_904),
    ("densenet121", 1000, (224, 224, 3), 7_978_856),
    ("squeezenet1_0", 1000, (224, 224, 3), 1_248_424),
    ("squeezenet1_1", 1000, (224, 224, 3), 1_235_496),
    ("mobilenetv2", 1000, (224, 224, 3), 3_504_872),
    ("mobilenet_v2", 1000, (224, 224, 3), 3_504_872),
    ("mobilenet_v3_large", 1000, (224, 224, 3), 5_483_032),
    ("mobilenet_v3_small", 1000, (224, 224, 3), 2_542_856),
    ("efficientnet_b0", 1000, (224, 224, 3), 5_288_548),
    ("convnext_tiny", 1000, (224, 224, 3), 28_589_128),
    ("shufflenet_v2_x1_0", 1000, (224, 224, 3), 2_278_604),
    # timm's table
    ("efficientnet_lite0", 1000, (224, 224, 3), 4_652_008),
    # the convolutions of torchvision's vgg11_bn without their 2,752 biases, and the head
    ("vgg11", 10, (32, 32, 3), 9_225_984 - 2_752 + 513 * 10),
    ("vgg11", 1000, (224, 224, 3), 9_225_984 - 2_752 + 513 * 1000),
    # the same networks with another arithmetic
    ("resnet18_winograd", 1000, (224, 224, 3), 11_689_512),
    ("resnet20_winograd", 10, (32, 32, 3), 269_722 + 2_560 + 192),
    ("vgg11_winograd", 10, (32, 32, 3), 9_225_984 - 2_752 + 513 * 10),
    # 27·32 and 64; two of 9·32² and 128; 9·(32·64 + 64²), 32·64 and 384; 9·(64·128 + 128²),
    # 64·128 and 768; the head
    ("small_resnet", 10, (64, 64, 3), 864 + 64 + 18_560 + 57_728 + 230_144 + 1_290),
    # one channel in place of three, and the first two blocks alone
    ("small_resnet", 10, (8, 8, 1), 288 + 64 + 18_560 + 57_728 + 650),
    # 320 + 9,248 + 18,496 + 36,928 + 3,137·10
    ("tinyvgg", 10, (28, 28, 1), 96_362),
]


@pytest.mark.parametrize(("name", "classes", "shape", "count"), KNOWN)
def test_parameter_counts(name: str, classes: int, shape: tuple[int, ...], count: int) -> None:
    """Known totals, and those of the arrays that are really there in the small ones."""
    model = models.create(name, classes, shape)
    assert model.summary(shape).parameters == count
    if count < 300_000:
        built = model.build(shape).parameters()
        assert sum(array.size for array in built.values()) == count


MULTIPLY_ADDS = [
    # figures of torchvision's tables, whose GFLOPS are multiply-adds
    ("resnet18", 1000, (224, 224, 3), 1.81e9, 0.005),
    ("resnet34", 1000, (224, 224, 3), 3.66e9, 0.005),
    ("resnet50", 1000, (224, 224, 3), 4.09e9, 0.005),
    ("resnext50_32x4d", 1000, (224, 224, 3), 4.23e9, 0.005),
    ("densenet121", 1000, (224, 224, 3), 2.83e9, 0.005),
    ("squeezenet1_0", 1000, (224, 224, 3), 0.82e9, 0.005),
    ("squeezenet1_1", 1000, (224, 224, 3), 0.35e9, 0.005),
    ("mobilenetv2", 1000, (224, 224, 3), 0.30e9, 0.01),
    ("mobilenet_v2", 1000, (224, 224, 3), 0.30e9, 0.01),
    ("mobilenet_v3_large", 1000, (224, 224, 3), 0.22e9, 0.03),
    ("mobilenet_v3_small", 1000, (224, 224, 3), 0.06e9, 0.06),
    ("efficientnet_b0", 1000, (224, 224, 3), 0.39e9, 0.02),
    ("convnext_tiny", 1000, (224, 224, 3), 4.46e9, 0.005),
    ("shufflenet_v2_x1_0", 1000, (224, 224, 3), 0.14e9, 0.04),
    # 407M in its authors' table
    ("efficientnet_lite0", 1000, (224, 224, 3), 0.407e9, 0.06),
    # 28²·25·6 + 10²·150·16 + 400·120 + 120·84 + 84·10
    ("lenet5", 10, (28, 28, 1), 416_520, 0),
]


@pytest.mark.parametrize(("name", "classes", "shape", "work", "tolerance"), MULTIPLY_ADDS)
def test_multiply_adds(
    name: str, classes: int, shape: tuple[int, ...], work: float, tolerance: float
) -> None:
    """Known amounts of work."""
    counted = models.create(name, classes, shape).summary(shape).multiply_adds
    assert counted == pytest.approx(work, rel=tolerance, abs=0)


@pytest.mark.parametrize("name", models.MODELS)
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 64, 3), (96, 80, 3)])
def test_every_model_takes_every_usual_size(name: str, shape: tuple[int, ...]) -> None:
    """The result is one logit per class, in training and in inference."""
    model = models.create(name, 7, shape)
    for training in (True, False):
        traced = nn.trace_model(model, shape, training=training)
        assert traced.output_tensor.shape == (7,)


def last_map(name: str, side: int) -> tuple[int, ...]:
    """Shape of what reaches the global pooling."""
    shape = (side, side, 3)
    rows = models.create(name, 10, shape).summary(shape).rows
    place = next(i for i, row in enumerate(rows) if row.kind == "GlobalAvgPool2d")
    return rows[place - 1].output


@pytest.mark.parametrize(
    ("name", "side", "shape"),
    [
        ("resnet18", 224, (7, 7, 512)),
        ("resnet18", 32, (4, 4, 512)),
        ("resnet18", 28, (4, 4, 512)),
        ("resnet20", 32, (8, 8, 64)),
        ("mobilenetv2", 224, (7, 7, 1280)),
        ("mobilenetv2", 32, (4, 4, 1280)),
        ("vgg11", 224, (7, 7, 512)),
        ("vgg11", 32, (1, 1, 512)),
        ("vgg11", 28, (1, 1, 512)),
    ],
)
def test_feature_maps_before_the_head(name: str, side: int, shape: tuple[int, ...]) -> None:
    """As in the papers at 224, and not yet vanished for small images."""
    assert last_map(name, side) == shape


def test_lenet5_has_the_papers_maps() -> None:
    """C1 6@28×28, S2 6@14×14, C3 16@10×10, S4 16@5×5, for 28×28 as for 32×32 images."""
    for side in (28, 32):
        rows = models.lenet5(10, (side, side, 1)).summary((side, side, 1)).rows
        maps = [row.output for row in rows if row.kind in ("Conv2d", "MaxPool2d")]
        assert maps == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16)]


def test_the_shape_may_be_left_out() -> None:
    """Every function works without an input shape."""
    for name, function in models.MODELS.items():
        assert function(10, None).summary((224, 224, 3)).parameters > 0, name
    assert {*models.ALL_MODELS} == {*models.MODELS, *models.MAP_MODELS}


def test_unknown_names_list_the_known_ones() -> None:
    """The message names them all."""
    with pytest.raises(
        ArgumentError,
        match=r"resnet5.*convnext_tiny, densenet121, efficientnet_b0, eff",
    ):
        models.create("resnet5")


def test_bad_sizes_are_refused() -> None:
    """Shapes that are no images and numbers of classes below 1."""
    with pytest.raises(ShapeError, match=r"\(28, 28\)"):
        models.create("lenet5", 10, (28, 28))
    with pytest.raises(ArgumentError, match=r"classes must be .* at least 1.*; got 0"):
        models.create("lenet5", 0)


def test_too_small_an_image_names_the_layer() -> None:
    """LeNet-5's second convolution does not fit into digits of 8×8."""
    with pytest.raises(ShapeError, match=r"layer '3', Conv2d.*\(4, 4, 6\)"):
        models.lenet5(10, (8, 8, 1)).build((8, 8, 1))


def test_names_are_sorted() -> None:
    """The registry lists names in order, and each is the function's own."""
    assert list(models.MODELS) == sorted(models.MODELS)
    assert all(function.__name__ == name for name, function in models.MODELS.items())


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("vgg11_winograd", 7), ("resnet18_winograd", 13), ("resnet20_winograd", 16)],
)
def test_winograd_models(name: str, wanted: int) -> None:
    """The 3×3 convolutions of stride 1 take the algorithm, all but the first."""
    layers = [
        module
        for _, module in models.create(name, 10, (64, 64, 3)).named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    assert layers[0].algorithm == "direct"
    kinds = [(layer.kernel_size, layer.stride, layer.algorithm) for layer in layers[1:]]
    assert kinds.count((3, 1, "winograd")) == wanted
    assert kinds.count((3, 1, "direct")) == 0
    assert all(algorithm == "direct" for _, stride, algorithm in kinds if stride != 1)


@pytest.mark.parametrize(
    ("side", "first", "last"),
    [
        (1, (1, 1, 32), (1, 1, 32)),
        (5, (5, 5, 32), (3, 3, 64)),
        (8, (8, 8, 32), (4, 4, 64)),
        (9, (9, 9, 32), (3, 3, 128)),
        (40, (40, 40, 32), (10, 10, 128)),
        (41, (21, 21, 32), (6, 6, 128)),
        (80, (40, 40, 32), (10, 10, 128)),
        (81, (41, 41, 32), (6, 6, 256)),
    ],
)
def test_the_small_resnet_is_sized_to_its_images(
    side: int, first: tuple[int, ...], last: tuple[int, ...]
) -> None:
    """The shorter side decides on the first convolution's stride and on the number of stages."""
    for shape in ((side, side, 3), (side, side + 30, 3)):
        rows = models.create("small_resnet", 4, shape).summary(shape).rows
        assert rows[0].output[0] == first[0]
        assert (rows[-3].output[0], rows[-3].output[-1]) == (last[0], last[-1])


@pytest.mark.slow
def test_conditions_behind_a_sum_are_no_trouble() -> None:
    """Feature maps of one position: a sum over images that reads conditions is compiled, too."""
    layers: list[Any] = []
    for channels in (64, 512, 512):
        layers += [nn.Conv2d(channels, 3, padding=1), nn.BatchNorm2d(), nn.functional.relu]
        # As at the end of vgg11 for small images.
        layers += [nn.MaxPool2d(2)] if channels == 64 else []
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2))
    images = np.arange(8 * 2 * 2, dtype=np.uint8).reshape(8, 2, 2, 1)
    trainer = Trainer(model, batch_size=8, progress=False)
    assert len(trainer.fit((images, [0, 1] * 4), epochs=1).history) == 1


def test_small_unet() -> None:
    """A result for each pixel of pictures of any size; levels as the size allows; it predicts."""
    for sides, levels in (((128, 128), 3), ((45, 71), 3), ((9, 30), 1), ((3, 2), 0)):
        model = models.create("small_unet", 5, (*sides, 3))
        summary = model.summary((*sides, 3))
        assert summary.rows[-1].output == (*sides, 5)
        assert [row.kind for row in summary.rows].count("MaxPool2d") == levels
    with pytest.raises(ArgumentError, match="classes must be"):
        models.small_unet(0)
    assert models.small_unet(2).summary((128, 128, 3)).parameters < 31_030_658 / 50


def test_unet() -> None:
    """A result for each pixel, and the parameters of the paper's figure 1."""
    widths = (1, 64, 128, 256, 512, 1024)
    down = sum(9 * a * b + b + 9 * b * b + b for a, b in pairwise(widths))
    up = sum(4 * 2 * b * b + b + 9 * 2 * b * b + b + 9 * b * b + b for b in widths[1:-1])
    summary = models.unet(2, (256, 256, 1)).summary((256, 256, 1))
    assert summary.parameters == down + up + 64 * 2 + 2 == 31_030_658
    assert summary.rows[-1].output == (256, 256, 2)
    with pytest.raises(ShapeError, match=r"sides that 16 divides; got \(24, 32, 3\)"):
        models.unet(2, (24, 32, 3))
