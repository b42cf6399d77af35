// What the playground is set to: settings and numbers, what is wrong with them, examples, and the
// text in the address by which they are sent to somebody else.

import { shown, parsed } from "./float32.js";
import { extent, outputSize, positions } from "./windows.js";

/** The operations, and what a student calls them. */
export const OPERATIONS = [
  ["conv", "Convolution"],
  ["transposed", "Transposed convolution"],
  ["max", "Max pooling"],
  ["average", "Average pooling"],
  ["global", "Global average pooling"],
];

/** Which tabs an operation has. */
export function tabsOf(state) {
  return weighted(state) ? ["forward", "input", "kernel"] : ["forward", "input"];
}

/** Whether an operation has a kernel with weights. */
export function weighted({ op }) {
  return op === "conv" || op === "transposed";
}

/**
 * The settings that are numbers: name, label, lowest and highest, per axis, the short form in an
 * address, and the operations that have them (null: all).
 */
export const FIELDS = [
  { name: "size", label: "Input size", low: 1, high: 12, axes: true, key: "in", ops: null },
  { name: "channels", label: "Input channels", low: 1, high: 4, key: "c", ops: null },
  { name: "filters", label: "Output channels", low: 1, high: 4, key: "f",
    ops: ["conv", "transposed"] },
  { name: "kernel", label: "Kernel size", low: 1, high: 7, axes: true, key: "k",
    ops: ["conv", "transposed", "max", "average"] },
  { name: "stride", label: "Stride", low: 1, high: 6, axes: true, key: "s",
    ops: ["conv", "transposed", "max", "average"] },
  { name: "padding", label: "Padding", low: 0, high: 6, axes: true, pairs: true, key: "p",
    ops: ["conv", "transposed", "max", "average"] },
  { name: "dilation", label: "Dilation", low: 1, high: 4, axes: true, key: "d",
    ops: ["conv", "transposed", "max", "average"] },
  { name: "groups", label: "Groups", low: 1, high: 4, key: "g", ops: ["conv", "transposed"] },
];

/** The settings that are yes or no. */
export const SWITCHES = [
  { name: "flip", label: "Flip the kernel", key: "flip", ops: ["conv", "transposed"] },
  { name: "ceil", label: "Round the size up", key: "ceil", ops: ["max", "average"] },
  { name: "counted", label: "Count padding", key: "counted", ops: ["average"] },
];

/** Whether a setting belongs to an operation. */
export function has({ op }, field) {
  return field.ops === null || field.ops.includes(op);
}

const PLAIN = {
  op: "conv", size: [3, 3], channels: 1, filters: 1, kernel: [2, 2], stride: [1, 1],
  padding: [[0, 0], [0, 0]], dilation: [1, 1], groups: 1, flip: false, ceil: false, counted: false,
  tab: "forward", at: null,
};

const NOTES = [1, 5, 4, 9, 2, 1, 6, 3, 2];

/** The notes' examples and a few more: [name, text, settings]. */
export const EXAMPLES = [
  ["conv", "Notes: convolution, 3×3 with 2×2", { x: NOTES, w: [1, 0, -1, 2], g: [1, 2, 3, 4] }],
  ["by-input", "Notes: its gradient by the input",
    { x: NOTES, w: [1, 0, -1, 2], g: [1, 2, 3, 4], tab: "input", at: [1, 1, 0] }],
  ["by-kernel", "Notes: its gradient by the kernel",
    { x: NOTES, w: [1, 0, -1, 2], g: [1, 2, 3, 4], tab: "kernel" }],
  ["max", "Notes: max pooling", { op: "max", x: NOTES, g: [1, 2, 3, 4] }],
  ["max-back", "Notes: back through max pooling",
    { op: "max", x: NOTES, g: [1, 2, 3, 4], tab: "input", at: [1, 0, 0] }],
  ["average", "Notes: average pooling", { op: "average", x: NOTES, g: [1, 2, 3, 4] }],
  ["average-back", "Notes: back through average pooling",
    { op: "average", x: NOTES, g: [1, 2, 3, 4], tab: "input", at: [1, 1, 0] }],
  ["global", "Notes: global average pooling", { op: "global", x: NOTES, g: [1] }],
  ["padded", "Padding 1, stride 2", { size: [5, 5], kernel: [3, 3], stride: [2, 2],
    padding: [[1, 1], [1, 1]], w: [1, 0, -1, 2, 0, -2, 1, 0, -1] }],
  ["dilated", "Dilation 2", { size: [6, 6], kernel: [2, 2], dilation: [2, 2] }],
  ["rgb", "Three channels, two filters", { channels: 3, filters: 2 }],
  ["grouped", "Two groups", { channels: 4, filters: 2, groups: 2 }],
  ["transposed", "Transposed, stride 2",
    { op: "transposed", size: [2, 2], kernel: [3, 3], stride: [2, 2] }],
  ["line", "One dimension", { size: [6], kernel: [3], stride: [1], padding: [[0, 0]],
    dilation: [1], w: [1, 0, -1] }],
];

/** The shapes of x, w (null without a kernel) and y; an axis of y is 0 where no window fits. */
export function shapesOf(state) {
  const { op, size, channels, filters, kernel, stride, padding, dilation, groups } = state;
  const x = [...size, channels];
  if (op === "global") {
    return { x, w: null, y: [channels] };
  }
  if (op === "transposed") {
    const sides = size.map((side, axis) => (side - 1) * stride[axis] - padding[axis][0]
      - padding[axis][1] + extent(kernel[axis], dilation[axis]));
    return { x, w: [...kernel, filters / groups, channels], y: [...sides, filters] };
  }
  const sides = size.map((side, axis) =>
    outputSize(side, kernel[axis], stride[axis], padding[axis], dilation[axis], state.ceil));
  return op === "conv"
    ? { x, w: [...kernel, channels / groups, filters], y: [...sides, filters] }
    : { x, w: null, y: [...sides, channels] };
}

/** A setting's numbers, one behind the other. */
function flatten(value) {
  return [value].flat(2);
}

const AXES = { 1: ["length"], 2: ["height", "width"] };

/** What an axis is called where there are so many. */
export function axisNames(rank) {
  return AXES[rank];
}

/** What is wrong with settings: {field: one line}; empty if nothing is. */
export function problemsOf(state) {
  const found = {};
  for (const field of FIELDS.filter((one) => has(state, one))) {
    const { name, low, high } = field;
    if (!flatten(state[name]).every((n) => Number.isInteger(n) && n >= low && n <= high)) {
      found[name] = `${field.label} takes whole numbers from ${low} to ${high}.`;
    }
  }
  if (Object.keys(found).length) {
    return found;
  }
  const { op, size, kernel, padding, dilation, channels, filters, groups } = state;
  if (weighted(state) && (channels % groups || filters % groups)) {
    found.groups = "Groups must divide both channel counts: "
      + `${channels} and ${filters} by ${groups}.`;
  }
  if (op === "global") {
    return found;
  }
  const names = AXES[size.length];
  size.forEach((side, axis) => {
    const covers = extent(kernel[axis], dilation[axis]);
    const [before, after] = padding[axis];
    const padded = side + before + after;
    if (op === "transposed") {
      const long = shapesOf({ ...state, groups: 1 }).y[axis];
      if (long < 1) {
        found.padding ??= `The ${names[axis]} that is left is ${long}: `
          + "less padding, or a larger kernel.";
      } else if (long > 24) {
        found.stride ??= `The ${names[axis]} would be ${long}; 24 is the most that is drawn here.`;
      }
    } else if (covers > padded) {
      found.kernel ??= `The kernel covers ${covers} of the ${names[axis]}, the padded input has `
        + `${side} + ${before} + ${after} = ${padded}.`;
    } else if (!weighted(state)) {
      if (Math.max(before, after) >= covers) {
        found.padding ??= `Pooling takes less padding than the window covers, ${covers}.`;
      } else if (misses(state, axis)) {
        found.dilation ??= "A window would meet nothing but padding: less dilation or padding.";
      }
    }
  });
  return found;
}

/** Whether some window of an axis covers nothing of the input. */
function misses({ size, kernel, stride, padding, dilation, ceil }, axis) {
  const outputs = outputSize(size[axis], kernel[axis], stride[axis], padding[axis], dilation[axis],
    ceil);
  for (let o = 0; o < outputs; o += 1) {
    const start = o * stride[axis] - padding[axis][0];
    let inside = false;
    for (let m = 0; m < kernel[axis]; m += 1) {
      const i = start + m * dilation[axis];
      inside ||= i >= 0 && i < size[axis];
    }
    if (!inside) {
      return true;
    }
  }
  return false;
}

// -- numbers ---------------------------------------------------------------------------------

const PATTERN = {
  x: (i) => ((i * 7 + 3) % 11) % 10,
  w: (i) => [1, 0, -1, 2, -2, 1, 3, -1, 0, 2, -3][(i * 5) % 11],
  g: (i) => (i % 9) + 1,
};

/** An array in a new shape: what has a place in both is kept, the rest follows a pattern. */
function reshaped(name, values, from, to) {
  return Float32Array.from(positions(to), (place, i) => {
    const same = from && from.length === to.length && place.every((at, axis) => at < from[axis]);
    const old = same ? place.reduce((at, one, axis) => at * from[axis] + one, 0) : -1;
    return same && old < values.length ? values[old] : PATTERN[name](i);
  });
}

/** Settings with arrays of their shapes: kept from `before` where they can be. */
export function withNumbers(settings, before = null) {
  const shapes = shapesOf(settings);
  const old = before ? shapesOf(before) : {};
  const state = { ...settings };
  for (const [name, key] of [["x", "x"], ["w", "w"], ["g", "y"]]) {
    const values = before?.[name] ?? null;
    state[name] = shapes[key] === null ? null
      : reshaped(name, values ?? [], values ? old[key] : null, shapes[key]);
  }
  if (!tabsOf(state).includes(state.tab)) {
    state.tab = "forward";
  }
  return state;
}

/** A state from settings of an example; numbers it does not give follow a pattern. */
export function exampleState(name) {
  const [, , settings] = EXAMPLES.find(([one]) => one === name);
  const state = withNumbers({ ...PLAIN, ...settings, x: null, w: null, g: null });
  for (const part of ["x", "w", "g"]) {
    if (settings[part] && state[part]) {
      state[part] = Float32Array.from(settings[part]);
    }
  }
  return state;
}

/** Settings with another number of axes: the first is kept or taken twice. */
export function withRank(state, rank) {
  const changed = { ...state, at: null };
  for (const { name, axes } of FIELDS) {
    if (axes) {
      changed[name] = Array.from({ length: rank }, (_, axis) =>
        state[name][axis] ?? state[name][0]);
    }
  }
  return changed;
}

// -- the address -----------------------------------------------------------------------------

/** The text of a state for an address, after the #. */
export function toFragment(state) {
  const parts = [["op", state.op]];
  for (const field of FIELDS.filter((one) => has(state, one))) {
    const value = state[field.name];
    const text = (one) => (field.pairs ? one.join(".") : String(one));
    parts.push([field.key, field.axes ? value.map(text).join("x") : String(value)]);
  }
  for (const field of SWITCHES.filter((one) => has(state, one) && state[one.name])) {
    parts.push([field.key, "1"]);
  }
  parts.push(["tab", state.tab]);
  if (state.at) {
    parts.push(["at", state.at.join(".")]);
  }
  for (const name of ["x", "w", "g"]) {
    if (state[name]) {
      parts.push([name === "g" ? "dy" : name, Array.from(state[name], shown).join(",")]);
    }
  }
  return parts.map(([name, value]) => `${name}=${value}`).join("&");
}

function readField(field, text) {
  const whole = (part) => (/^\d{1,3}$/.test(part) ? Number(part) : NaN);
  if (!field.axes) {
    return whole(text);
  }
  return text.split("x").map((one) => (field.pairs ? one.split(".").map(whole) : whole(one)));
}

/**
 * The state that an address says.
 *
 * @returns {state, notices}: what cannot be read is replaced by the first example's, and said.
 */
export function fromFragment(text) {
  const notices = [];
  const said = new Map(text.replace(/^#/, "").split("&").filter(Boolean).map((part) => {
    const [name, ...rest] = part.split("=");
    try {
      return [name, decodeURIComponent(rest.join("="))];
    } catch {
      return [name, ""];
    }
  }));
  if (!said.size) {
    return { state: exampleState("conv"), notices };
  }
  const settings = { ...PLAIN };
  const bad = (what) => notices.push(`The address says no ${what} that can be used.`);
  if (OPERATIONS.some(([op]) => op === said.get("op"))) {
    settings.op = said.get("op");
  } else {
    bad("operation");
  }
  const keys = [...FIELDS, ...SWITCHES].map(({ key }) => key);
  const known = ["op", "tab", "at", "x", "w", "dy", ...keys];
  const strange = [...said.keys()].filter((name) => !known.includes(name));
  if (strange.length) {
    const some = strange.join(", ").slice(0, 60);
    notices.push(`The address has parts that mean nothing here: ${some}.`);
  }
  const rank = said.has("in") ? said.get("in").split("x").length : 2;
  Object.assign(settings, rank === 1 ? withRank(settings, 1) : {});
  for (const field of FIELDS.filter((one) => has(settings, one) && said.has(one.key))) {
    const value = readField(field, said.get(field.key));
    const fits = !field.axes || (value.length === settings.size.length
      && (!field.pairs || value.every((pair) => pair.length === 2)));
    if (!fits || flatten(value).some(Number.isNaN)) {
      bad(field.label.toLowerCase());
    } else {
      settings[field.name] = value;
    }
  }
  for (const field of SWITCHES) {
    settings[field.name] = has(settings, field) && said.get(field.key) === "1";
  }
  const problems = Object.values(problemsOf(settings));
  if (problems.length) {
    return { state: exampleState("conv"),
      notices: [...notices, ...problems, "The first example is shown instead."] };
  }
  settings.tab = tabsOf(settings).includes(said.get("tab")) ? said.get("tab") : "forward";
  const state = withNumbers({ ...settings, x: null, w: null, g: null });
  for (const [key, name] of [["x", "x"], ["w", "w"], ["dy", "g"]]) {
    if (!said.has(key) || !state[name]) {
      continue;
    }
    const values = said.get(key).split(",").map(parsed);
    if (values.length === state[name].length && values.every((value) => value !== null)) {
      state[name] = Float32Array.from(values);
    } else {
      const good = values.filter((value) => value !== null).length;
      notices.push(`The address gives ${values.length} numbers for ${key}, of which ${good} can be `
        + `read; ${state[name].length} are needed.`);
    }
  }
  state.at = said.has("at") ? said.get("at").split(".").map(Number) : null;
  return { state, notices };
}
