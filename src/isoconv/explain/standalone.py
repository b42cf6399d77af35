"""An explorer, or the playground, as one HTML file that works without Python or a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isoconv.errors import ArgumentError
from isoconv.explain.bundle import static_page
from isoconv.explain.explorer import Explorer
from isoconv.explain.network import Network
from isoconv.explain.protocol import Scene
from isoconv.explain.windows import direct_of
from isoconv.graph.operation import operation
from isoconv.printable import printable
from isoconv.report.style import write_whole

MOST_BYTES = 12 * 2**20
"""Numbers that a page holds unasked, before they are compressed."""

SHEETS = ("style.css", "explorer.css")

ENTRIES = ("explorer.js", "source.js")
START = "isoconv_explorer.mount(root, new isoconv_source.EmbeddedSource());"
FRAMED = "isoconv_explorer.mount(root, new isoconv_source.EmbeddedSource(), { fragment: false });"


def page_of(
    explorer: Explorer, most: int = MOST_BYTES, *, framed: bool = False
) -> tuple[str, list[str]]:
    """The page, and a line for each kind of number that was left out.

    What is needed first is kept first: every layer's result and what its convolution or pooling
    reads, then the gradients by them and what those are summed from, then the gradients by the
    kernels, then all else.

    Args:
        explorer: what is shown.
        most: bytes of numbers, before they are compressed.
        framed: the page stands in a frame of another one and has no address of its own.
    """
    scene = explorer.scene
    left = most
    arrays: dict[int, bytes] = {}
    out = dict.fromkeys(("values", "gradients", "gradients by kernels", "other numbers"), 0)
    for kind, index in _wanted(scene):
        if index in arrays:
            continue
        size = scene.network.node(index).spec.size * 4
        if size > left:
            out[kind] += 1
            continue
        arrays[index] = scene.array(index)
        left -= size
    notes = [
        f"{count} {kind} were left out of the page, which holds {most:,} bytes of numbers at most"
        for kind, count in out.items()
        if count and kind != "other numbers"
    ]
    description = explorer.description()
    start = FRAMED if framed else START
    page = static_page(
        description["title"], ENTRIES, start, SHEETS, {**description, "left": notes}, arrays
    )
    return page, notes


def _wanted(scene: Scene) -> list[tuple[str, int]]:
    """Kind and number of every array that a page could show, the most needed first."""
    network = scene.network
    floats = [i for i in range(network.size) if network.node(i).spec.dtype in ("float32", "uint8")]
    flow = network.flow(scene.of).nodes
    parameters = set(network.parameters.values())
    first: list[tuple[str, int]] = [
        ("values", i) for i in (network.picture, network.source, network.finished, network.logits)
    ]
    for layer in network.layers:
        first += [("values", layer.result), *(("values", i) for i in layer.sources)]
        if layer.root is not None:
            first += [("values", layer.root)]
            first += [("values", i) for i in network.node(layer.root).inputs]
        first += [("values", i) for i in layer.parameters.values()]
    # What lies within a layer, and between layers: 1 / sqrt(var + eps), the steps of a softmax.
    first += [
        ("values", i)
        for i in floats
        if i < network.forward and not network.node(i).op.startswith("winograd")
    ]
    back = [("gradients", flow[i]) for _, i in first if i in flow and i not in parameters]
    back += [("gradients", i) for i in _behind(network, [i for _, i in back])]
    kernels = [("gradients by kernels", flow[i]) for i in parameters if i in flow]
    # Winograd's maps of patches are many numbers, and a page shows the plain sums without them.
    rest = sorted(floats, key=lambda i: network.node(i).op.startswith("winograd"))
    return [*first, *back, *kernels, *(("other numbers", i) for i in rest)]


def _behind(network: Network, gradients: Sequence[int]) -> list[int]:
    """What a page reads to take gradients apart: back to the last sums and their operands."""
    found: dict[int, None] = {}
    left = list(gradients)
    while left:
        index = left.pop()
        node = network.node(index)
        stands = direct_of(network, index)
        onward = operation(node.op).pointwise or operation(node.op).view
        reads = node.inputs if stands is None else stands.operands
        if node.op.startswith("winograd") and stands is None:
            reads = ()
        found[index] = None
        found |= dict.fromkeys(reads)
        if onward:
            left += [i for i in reads if i >= network.forward and network.node(i).spec.batched]
    return list(found)


def write_page(explorer: Explorer, path: str | Path, most: int = MOST_BYTES) -> list[str]:
    """Write the page to a file, all of it or none.

    Returns:
        A line for each kind of number that was left out.

    Raises:
        ArgumentError: the file cannot be written.
    """
    page, notes = page_of(explorer, most)
    _write(page, path)
    return notes


def playground_page() -> str:
    """The playground as one page: convolution and pooling without a model.

    Example:
        >>> page = playground_page()
        >>> page.count("<script>"), "http://" in page.replace("http://www.w3.org/2000/svg", "")
        (1, False)
    """
    start = "isoconv_playground.mountPlayground(root);"
    sheets = ("style.css", "playground.css")
    return static_page("Convolution, number by number", ("playground.js",), start, sheets)


def write_playground(path: str | Path) -> None:
    """Write the playground's page to a file, all of it or none.

    Raises:
        ArgumentError: the file cannot be written.
    """
    _write(playground_page(), path)


def _write(page: str, path: str | Path) -> None:
    file = Path(path)
    try:
        write_whole(file, page.encode())
    except OSError as error:
        raise ArgumentError(
            f"the page cannot be written to {printable(file)}: {error.strerror}"
        ) from None
