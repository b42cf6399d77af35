// The receptive field of one element: which rectangle of the picture it can see, through every path of
// a residual or branching network. Positions, not edges, go backwards: where strides and dilations
// leave gaps, an edge may be seen by nothing.

const range = (side) => Array.from({ length: side }, (_, i) => i);
const union = (a, b) => [...new Set([...a, ...b])].sort((x, y) => x - y);

/** Positions that outputs of one axis read. */
function slid(outputs, geometry, axis, side) {
  const { kernel, stride, padding, dilation } = geometry;
  const found = new Set();
  for (const o of outputs) {
    for (let m = 0; m < kernel[axis]; m += 1) {
      const i = o * stride[axis] - padding[axis][0] + m * dilation[axis];
      if (i >= 0 && i < side) {
        found.add(i);
      }
    }
  }
  return [...found];
}

/** What positions (an array for each axis but the channels) of a node read of its operands. */
function read(scene, id, seen) {
  const node = scene.node(id);
  const whole = (source) => [source, scene.shape(source).slice(0, -1).map(range)];
  if (node.op === "conv" || node.op === "max_pool" || node.op === "avg_pool") {
    const geometry = node.attrs.window ?? node.attrs;
    const [source] = node.inputs;
    const sides = scene.shape(source).slice(0, -1);
    return [[source, sides.map((side, axis) => slid(seen[axis], geometry, axis, side))]];
  }
  if (node.pointwise) {
    return node.inputs.filter((source) => scene.node(source).batched).map((source) =>
      (scene.shape(source).length === node.shape.length ? [source, seen] : whole(source)));
  }
  return node.inputs.filter((source) => scene.node(source).batched).map(whole);
}

/** [[first row, last row], [first column, last column]] of the picture, or null where none is seen. */
export function fieldOf(scene, id, place) {
  const boxes = new Map([[id, place.slice(0, -1).map((at) => [at])]]);
  const windows = new Map(scene.layers.filter((layer) => layer.window && !layer.window.own)
    .map((layer) => [layer.window.y, layer.window]));
  const { pixels } = scene.told.image;
  for (let node = id; node > pixels; node -= 1) {
    const seen = boxes.get(node);
    if (!seen || scene.node(node).op === "input") {
      continue;
    }
    // Winograd's patches reach further than the window that they stand for: its sums cancel there.
    const window = windows.get(node);
    const sources = window ? [[window.x, scene.shape(window.x).slice(0, -1).map((side, axis) =>
      slid(seen[axis], window.geometry, axis, side))]] : read(scene, node, seen);
    for (const [source, positions] of sources) {
      const known = boxes.get(source);
      boxes.set(source, known ? known.map((axis, i) => union(axis, positions[i])) : positions);
    }
  }
  const found = boxes.get(pixels);
  if (!found || found.some((axis) => !axis.length)) {
    return null;
  }
  return found.map((axis) => [Math.min(...axis), Math.max(...axis)]);
}
