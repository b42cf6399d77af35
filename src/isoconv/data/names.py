"""The data sets that are known by name: what they are, their classes, whence they are fetched."""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE = "fashion-sample"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file, its SHA-256 and the servers that have it, in the order in which they are asked."""

    name: str
    sha256: str
    servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """A data set that is known by name.

    Attributes:
        detail: what it is, for the documents.
        class_names: what its classes are called; None where the files themselves name them.
        files: what is fetched; none of what comes with the library.
    """

    detail: str
    class_names: tuple[str, ...] | None
    files: tuple[RemoteFile, ...] = ()


_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip
_CIFAR10 = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_IDX = (
    "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)  # fmt: skip


def _files(servers: str, digests: str, names: tuple[str, ...] = _IDX) -> tuple[RemoteFile, ...]:
    """Files in the order of their names; servers and digests stand with blanks between them."""
    pairs = zip(names, digests.split(), strict=True)
    return tuple(RemoteFile(name, sha256, tuple(servers.split())) for name, sha256 in pairs)


KNOWN: dict[str, Known] = {
    SAMPLE: Known(
        "comes with the library: 10,000 + 2,000 photographs of clothes, 28 by 28, ten classes",
        _CLOTHES,
    ),
    "mnist": Known(
        "70,000 digits written by hand, 28 by 28",
        tuple("0123456789"),
        _files(
            "https://storage.googleapis.com/cvdf-datasets/mnist "
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            """
            440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609
            3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c
            8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6
            f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6
            """,
        ),
    ),
    "fashion-mnist": Known(
        "70,000 photographs of clothes, 28 by 28, ten classes",
        _CLOTHES,
        _files(
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com "
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            """
            3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84
            a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845
            346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073
            67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5
            """,
        ),
    ),
    "cifar10": Known(
        "60,000 photographs of ten classes, 32 by 32, in colour",
        _CIFAR10,
        _files(
            "https://www.cs.toronto.edu/~kriz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ("cifar-10-binary.tar.gz",),
        ),
    ),
    "cifar100": Known(
        "60,000 photographs of a hundred classes, 32 by 32, in colour",
        None,
        _files(
            "https://www.cs.toronto.edu/~kriz",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ("cifar-100-binary.tar.gz",),
        ),
    ),
}
"""All of them, by name."""


def class_names_of(name: str) -> tuple[str, ...] | None:
    """Class names of a data set that is known by this name, or None.

    Example:
        >>> class_names_of("fashion-mnist")[9]
        'Ankle boot'
    """
    known = KNOWN.get(name.lower())
    return None if known is None else known.class_names
