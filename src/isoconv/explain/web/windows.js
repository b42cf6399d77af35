// Windows that slide: sizes, which elements take part in one element of a convolution, a pooling or
// one of their gradients, in the order of the arithmetic, and the value that follows, bit for bit.
//
// Operations, settings and shapes are named as in the graph: `op` is "conv", "conv_grad_input",
// "conv_grad_weight", "max_pool", "max_pool_grad", "avg_pool" or "avg_pool_grad"; `attrs` holds the
// settings of that operation as plain JSON:
//   conv, conv_grad_weight   {kernel, stride, padding: [[before, after], …], dilation, groups,
//                            flip}
//   conv_grad_input          {geometry: as conv, sides: of the forward input}
//   max_pool, max_pool_grad  {kernel, stride, padding, dilation, ceil_mode}
//   avg_pool                 {window: as max_pool, count_include_pad}
//   avg_pool_grad            {window, count_include_pad, sides}
// and global average pooling, in the graph a sum and a division: "global_avg_pool" {} and
// "global_avg_pool_grad" {sides}; its result has channels alone.
// Shapes leave the image axis out: x (spatial…, C), w (kernel…, C / groups, O). Arrays are
// flat, row-major; `place` is an index of the result. A transposed convolution is conv_grad_input.

import { chain, divide, partialSums, runningSum } from "./float32.js";

/** All kernel positions in row-major order; the one empty position at rank 0. */
export function positions(sides) {
  let all = [[]];
  for (const side of sides) {
    const longer = [];
    for (const start of all) {
      for (let i = 0; i < side; i += 1) {
        longer.push([...start, i]);
      }
    }
    all = longer;
  }
  return all;
}

/** The flat position of an index in a shape; -1 for one that lies outside. */
export function flat(index, shape) {
  let place = 0;
  for (let axis = 0; axis < shape.length; axis += 1) {
    if (index[axis] < 0 || index[axis] >= shape[axis]) {
      return -1;
    }
    place = place * shape[axis] + index[axis];
  }
  return place;
}

/** How many elements a shape has. */
export function count(shape) {
  return shape.reduce((product, side) => product * side, 1);
}

/** How much of an axis a kernel covers: dilation * (K - 1) + 1. */
export function extent(kernel, dilation = 1) {
  return dilation * (kernel - 1) + 1;
}

/**
 * Output size along one axis: floor((I + before + after - extent) / S) + 1; 0 where the kernel is
 * larger than the padded input. With ceilMode the division rounds up, but a last window that would
 * start in the padding after the input is left out.
 */
export function outputSize(size, kernel, stride = 1, padding = [0, 0], dilation = 1,
  ceilMode = false) {
  const [before, after] = padding;
  const room = size + before + after - extent(kernel, dilation);
  if (room < 0) {
    return 0;
  }
  if (!ceilMode) {
    return Math.floor(room / stride) + 1;
  }
  const sizeUp = Math.ceil(room / stride) + 1;
  return (sizeUp - 1) * stride >= size + before ? sizeUp - 1 : sizeUp;
}

/** Output size per axis. */
export function outputSides(geometry, sides) {
  return sides.map((side, axis) =>
    outputSize(side, geometry.kernel[axis], geometry.stride[axis], geometry.padding[axis],
      geometry.dilation[axis], Boolean(geometry.ceil_mode)));
}

/** How far from the window's start this kernel position meets the input, per axis. */
export function offsets(geometry, m) {
  return m.map((at, axis) =>
    (geometry.flip ? geometry.kernel[axis] - 1 - at : at) * geometry.dilation[axis]);
}

/** The input position that one output position meets at a kernel position; may lie outside. */
export function met(geometry, m, output) {
  const from = offsets(geometry, m);
  const { stride, padding } = geometry;
  return output.map((o, axis) => o * stride[axis] - padding[axis][0] + from[axis]);
}

/**
 * The output position that meets one input position at a kernel position; null where the stride
 * steps over it. It may lie outside.
 */
export function metBy(geometry, m, input) {
  const from = offsets(geometry, m);
  const output = [];
  for (let axis = 0; axis < input.length; axis += 1) {
    const far = input[axis] + geometry.padding[axis][0] - from[axis];
    const stride = geometry.stride[axis];
    if (((far % stride) + stride) % stride !== 0) {
      return null;
    }
    output.push(Math.floor(far / stride));
  }
  return output;
}

function factor(place, shape, image = null) {
  const inner = flat(place, shape);
  if (image === null || inner < 0) {
    return { place, index: inner };
  }
  return { place, index: image * count(shape) + inner, image };
}

// -- convolution -----------------------------------------------------------------------------

/** y[p, o]: over (kernel position, input channel of the group). */
function convTerms(geometry, [x, w], place) {
  const output = place.slice(0, -1);
  const o = place[place.length - 1];
  const inner = w[w.length - 2];
  const first = Math.floor(o / (w[w.length - 1] / geometry.groups)) * inner;
  const terms = [];
  for (const m of positions(geometry.kernel)) {
    const input = met(geometry, m, output);
    for (let c = 0; c < inner; c += 1) {
      terms.push({
        m, c: first + c, o,
        left: factor([...input, first + c], x),
        right: factor([...m, c, o], w),
      });
    }
  }
  return { kind: "chain", operands: ["x", "w"], terms };
}

/** dx[i, c]: over (kernel position, output channel of the group), where the stride meets. */
function gradInputTerms({ geometry }, [dy, w], place) {
  const input = place.slice(0, -1);
  const channel = place[place.length - 1];
  const inner = w[w.length - 2];
  const filters = w[w.length - 1] / geometry.groups;
  const group = Math.floor(channel / inner);
  const terms = [];
  for (const m of positions(geometry.kernel)) {
    const output = metBy(geometry, m, input);
    if (output === null) {
      continue;
    }
    for (let o = group * filters; o < (group + 1) * filters; o += 1) {
      terms.push({
        m, c: channel, o,
        left: factor([...output, o], dy),
        right: factor([...m, channel % inner, o], w),
      });
    }
  }
  return { kind: "chain", operands: ["dy", "w"], terms };
}

/** dw[m, c, o]: over (image, output position); arrays hold the images one behind the other. */
function gradWeightTerms(geometry, [x, dy], place, images) {
  const m = place.slice(0, -2);
  const [c, o] = place.slice(-2);
  const inner = x[x.length - 1] / geometry.groups;
  const channel = Math.floor(o / (dy[dy.length - 1] / geometry.groups)) * inner + c;
  const outputs = positions(dy.slice(0, -1));
  const terms = [];
  for (let image = 0; image < images; image += 1) {
    for (const output of outputs) {
      terms.push({
        m, c: channel, o, image,
        left: factor([...met(geometry, m, output), channel], x, image),
        right: factor([...output, o], dy, image),
      });
    }
  }
  return { kind: "chain", operands: ["x", "dy"], terms };
}

// -- pooling ---------------------------------------------------------------------------------

/** The elements of x that one window covers; padding is no data. */
function windowOf(window, x, place) {
  const output = place.slice(0, -1);
  const c = place[place.length - 1];
  const terms = [];
  for (const m of positions(window.kernel)) {
    const left = factor([...met(window, m, output), c], x);
    if (left.index >= 0) {
      terms.push({ m, c, left });
    }
  }
  return terms;
}

/** The windows that cover one input, kernel position by kernel position. */
function windowsOver(window, dy, place) {
  const input = place.slice(0, -1);
  const c = place[place.length - 1];
  const terms = [];
  for (const m of positions(window.kernel)) {
    const output = metBy(window, m, input);
    const left = output === null ? null : factor([...output, c], dy);
    if (left !== null && left.index >= 0) {
      terms.push({ m, c, left });
    }
  }
  return terms;
}

/** How many positions the window of one output covers, of the input or of the padded input. */
export function covered(window, sides, output, padded) {
  return sides.reduce((product, side, axis) => {
    const [before, after] = padded ? window.padding[axis] : [0, 0];
    let inside = 0;
    for (let m = 0; m < window.kernel[axis]; m += 1) {
      const i = output[axis] * window.stride[axis] - window.padding[axis][0]
        + m * window.dilation[axis];
      inside += i >= -before && i < side + after ? 1 : 0;
    }
    return product * inside;
  }, 1);
}

function maxGradTerms(window, [x, dy], place) {
  const here = flat(place, x);
  const terms = windowsOver(window, dy, place).map((term) => {
    const candidates = windowOf(window, x, term.left.place);
    return { ...term, candidates, number: candidates.findIndex((one) => one.left.index === here) };
  });
  return { kind: "routed", operands: ["x", "dy"], terms };
}

function avgTerms({ window, count_include_pad: padded }, [x], place) {
  const counted = covered(window, x.slice(0, -1), place.slice(0, -1), padded);
  return { kind: "average", operands: ["x"], terms: windowOf(window, x, place), count: counted };
}

function avgGradTerms({ window, count_include_pad: padded, sides }, [dy], place) {
  const terms = windowsOver(window, dy, place).map((term) =>
    ({ ...term, count: covered(window, sides, term.left.place.slice(0, -1), padded) }));
  return { kind: "shares", operands: ["dy"], terms };
}

function globalAvgTerms(_, [x], place) {
  const terms = positions(x.slice(0, -1)).map((m) =>
    ({ m, c: place[0], left: factor([...m, place[0]], x) }));
  return { kind: "mean", operands: ["x"], terms, count: terms.length };
}

function globalAvgGradTerms({ sides }, [dy], place) {
  const c = place[place.length - 1];
  const terms = [{ m: place.slice(0, -1), c, left: factor([c], dy) }];
  return { kind: "share", operands: ["dy"], terms, count: count(sides) };
}

// -- one element, and all of them ------------------------------------------------------------

const RULES = {
  conv: convTerms,
  conv_grad_input: gradInputTerms,
  conv_grad_weight: gradWeightTerms,
  max_pool: (window, [x], place) =>
    ({ kind: "largest", operands: ["x"], terms: windowOf(window, x, place) }),
  max_pool_grad: maxGradTerms,
  avg_pool: avgTerms,
  avg_pool_grad: avgGradTerms,
  global_avg_pool: globalAvgTerms,
  global_avg_pool_grad: globalAvgGradTerms,
};

/** Whether this file knows an operation's terms. */
export function knows(op) {
  return Object.hasOwn(RULES, op);
}

/**
 * What one element of a result is made of.
 *
 * @param shapes of the operands, without the image axis.
 * @param place index of the element, without the image.
 * @param images how many images conv_grad_weight sums over.
 * @returns {kind, operands: their names, terms, count?}. Each term has `m` (kernel position), `c`
 *   (input channel), `left` and for a chain `right`, each {place, index}: index is flat, -1 in the
 *   padding. Kinds: "chain" (left * right), "largest", "average" (sum / count), "routed" (a
 *   `left` of dy counts where candidate `number` of its window's `candidates` wins), "shares"
 *   (left / count), "mean" (eight partial sums and their tree / count), "share" (one left / count).
 */
export function termsOf(op, attrs, shapes, place, images = 1) {
  return RULES[op](attrs, shapes, place, images);
}

/** The number of the greatest: the first of equals, the first NaN before all. */
export function winner(values) {
  let best = 0;
  for (let i = 1; i < values.length; i += 1) {
    if (values[i] > values[best] || (Number.isNaN(values[i]) && !Number.isNaN(values[best]))) {
      best = i;
    }
  }
  return best;
}

/**
 * The value of one element and how it comes about.
 *
 * @param form from `termsOf`.
 * @param arrays the operands, flat Float32Arrays.
 * @returns {value, sums, parts, winner, wins}: `sums` (n + 1,) the sum before the first term and
 *   after each, for "mean" `parts` of `partialSums` in its place; `winner` the number of the term
 *   that is the maximum; `wins` for "routed" whether each term counts.
 */
export function valueOf(form, arrays) {
  const { kind, terms } = form;
  const read = (array, { index }) => (index < 0 ? 0 : array[index]);
  if (kind === "chain") {
    const sums = chain(terms.map(({ left, right }) =>
      [read(arrays[0], left), read(arrays[1], right)]));
    return { value: sums[terms.length], sums };
  }
  if (kind === "largest") {
    const values = terms.map((term) => arrays[0][term.left.index]);
    const best = winner(values);
    return { value: values[best], winner: best };
  }
  if (kind === "average") {
    const sums = runningSum(terms.map((term) => arrays[0][term.left.index]));
    return { value: divide(sums[terms.length], form.count), sums };
  }
  if (kind === "routed") {
    const wins = terms.map(({ candidates, number }) =>
      winner(candidates.map((one) => arrays[0][one.left.index])) === number);
    const sums = runningSum(terms.map((term, i) => (wins[i] ? arrays[1][term.left.index] : null)));
    return { value: sums[terms.length], sums, wins };
  }
  if (kind === "mean") {
    const parts = partialSums(terms.map((term) => arrays[0][term.left.index]));
    return { value: divide(parts.value, form.count), parts };
  }
  if (kind === "share") {
    return { value: divide(arrays[0][terms[0].left.index], form.count) };
  }
  const sums = runningSum(terms.map((term) => divide(arrays[0][term.left.index], term.count)));
  return { value: sums[terms.length], sums };
}

/** Shape of an operation's result, without the image axis. */
export function resultShape(op, attrs, shapes) {
  const [first, second] = shapes;
  const channels = first[first.length - 1];
  switch (op) {
    case "conv":
      return [...outputSides(attrs, first.slice(0, -1)), second[second.length - 1]];
    case "conv_grad_input":
      return [...attrs.sides, second[second.length - 2] * attrs.geometry.groups];
    case "conv_grad_weight":
      return [...attrs.kernel, channels / attrs.groups, second[second.length - 1]];
    case "max_pool":
      return [...outputSides(attrs, first.slice(0, -1)), channels];
    case "avg_pool":
      return [...outputSides(attrs.window, first.slice(0, -1)), channels];
    case "global_avg_pool":
      return [channels];
    case "avg_pool_grad":
    case "global_avg_pool_grad":
      return [...attrs.sides, channels];
    default:
      return first;
  }
}

/** All elements of a result, a flat Float32Array. */
export function whole(op, attrs, shapes, arrays, images = 1) {
  const shape = resultShape(op, attrs, shapes);
  return Float32Array.from(positions(shape), (place) =>
    valueOf(termsOf(op, attrs, shapes, place, images), arrays).value);
}

/**
 * The rectangle of a picture that one element of a feature map can see.
 *
 * @param steps windows from the element's layer back to the picture, each {geometry, sides}: the
 *   settings (of a convolution or a pooling) and the sides of what it slides over.
 * @param output the element's spatial position.
 * @returns per axis [first, last], both included; padding is cut off at every step. Null where
 *   nothing but padding is seen.
 */
export function receptiveField(steps, output) {
  // Positions, not edges: where strides and dilations leave gaps, an edge may be seen by nothing.
  let seen = output.map((at) => [at]);
  for (const { geometry, sides } of steps) {
    const { kernel, stride, padding, dilation } = geometry;
    seen = seen.map((outputs, axis) => {
      const inputs = new Set();
      for (const o of outputs) {
        for (let m = 0; m < kernel[axis]; m += 1) {
          const i = o * stride[axis] - padding[axis][0] + m * dilation[axis];
          if (i >= 0 && i < sides[axis]) {
            inputs.add(i);
          }
        }
      }
      return [...inputs];
    });
  }
  return seen.every((inputs) => inputs.length)
    ? seen.map((inputs) => [Math.min(...inputs), Math.max(...inputs)])
    : null;
}
