// Which part of the picture speaks for a class: Grad-CAM (Selvaraju et al., 2017) and gradients by the
// input (Simonyan et al., 2014), worked off here from the network's own arrays; occlusion (Zeiler and
// Fergus, 2014), which needs the network itself.

import { channels } from "./canvas.js";
import { add, divide, fma, partialSums } from "./float32.js";

/** Numbers of the layers that have a map with a gradient: rows, columns and channels. */
export function camLayers(scene) {
  return scene.layers.map((_, number) => number).filter((number) => {
    const { result, shape } = scene.layers[number];
    return shape.length === 3 && (shape[0] > 1 || shape[1] > 1) && scene.gradient(result) !== null;
  });
}

/** The layer that is shown unless another is chosen: the last map before it is pooled or flattened. */
export function usualCamLayer(scene) {
  const all = camLayers(scene);
  const plain = all.filter((number) => !scene.layers[number].pooling);
  const last = (found, number) => (found === null
    || scene.layers[number].result > scene.layers[found].result ? number : found);
  return (plain.length ? plain : all).reduce(last, null);
}

/** What the gradients are turned to: a class's result as it is, a loss the other way round. */
function turned(scene) {
  return scene.told.of === "loss" ? -1 : 1;
}

/** A map along its rows brought to `side` of them, as `enlarged` in explain/heat.py does it. */
function stretched(values, rows, columns, side) {
  const found = new Float32Array(side * columns);
  // All in units of 1 / (2 · side), so that no place is rounded.
  const unit = 2 * side;
  for (let i = 0; i < side; i += 1) {
    const place = Math.min(Math.max((2 * i + 1) * rows - side, 0), unit * (rows - 1));
    const low = Math.floor(place / unit);
    const next = Math.min(low + 1, rows - 1);
    const share = divide(place - low * unit, unit);
    for (let j = 0; j < columns; j += 1) {
      const [one, then] = [values[low * columns + j], values[next * columns + j]];
      found[i * columns + j] = fma(share, add(then, -one), one);
    }
  }
  return found;
}

function across(values, rows, columns) {
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}

/** A map brought to a picture's size bilinearly: first along rows, then along columns. */
export function enlarged(values, rows, columns, height, width) {
  const high = stretched(values, rows, columns, height);
  return across(stretched(across(high, height, columns), columns, height, width), width, height);
}

/** Grad-CAM: max(0, sum over channels of (mean gradient of the channel) · map), as ic.grad_cam has it. */
export async function gradCam(scene, number) {
  const { result, shape: [rows, columns, count] } = scene.layers[number];
  const [map, gradient] = await scene.arrays([result, scene.gradient(result)]);
  const spots = Array.from({ length: rows * columns }, (_, i) => i);
  const weights = Array.from({ length: count }, (_, c) => divide(
    partialSums(spots.map((i) => turned(scene) * gradient[i * count + c])).value, rows * columns));
  const values = Float32Array.from(spots, (i) => {
    const sum = weights.reduce((all, weight, c) => fma(weight, map[i * count + c], all), 0);
    return sum <= 0 ? 0 : sum;
  });
  const [height, width] = scene.told.image.shape;
  return { rows: height, columns: width, values: enlarged(values, rows, columns, height, width) };
}

/** By each pixel: the largest size of its channels' gradients, or the sum of gradient · input. */
export async function inputGradient(scene, timesInput) {
  const { source } = scene.told.image;
  const found = scene.gradient(source);
  if (found === null) {
    return null;
  }
  const shape = scene.shape(source);
  const count = shape[shape.length - 1];
  const [rows, columns] = [1, 1, ...shape.slice(0, -1)].slice(-2);
  const [input, gradient] = await scene.arrays([source, found]);
  const values = Float32Array.from({ length: rows * columns }, (_, i) => {
    let all = 0;
    for (let c = 0; c < count; c += 1) {
      const at = i * count + c;
      all = timesInput ? fma(input[at], turned(scene) * gradient[at], all)
        : Math.max(all, Math.abs(gradient[at]));
    }
    return all;
  });
  return { rows, columns, values };
}

/** How far the class falls where a patch of the picture is covered, as the network's host tells it. */
export async function occlusion(scene) {
  const told = await scene.source.ask("occlusion", {});
  const bytes = Uint8Array.from(atob(told.map), (one) => one.charCodeAt(0));
  const [rows, columns] = told.shape;
  return { rows, columns, values: new Float32Array(bytes.buffer), note: told.note };
}

/** Lays a map over a picture: orange for, blue against, the stronger the less of the picture is seen. */
export function overlay(canvas, map, height, width) {
  const [blue, orange] = ["--blue", "--orange"].map((name) => channels(canvas, name));
  const { rows, columns, values } = map;
  const most = values.reduce((all, value) => Math.max(all, Math.abs(value)), 0);
  const pixels = new ImageData(columns, rows);
  values.forEach((value, i) => {
    pixels.data.set(value < 0 ? blue : orange, 4 * i);
    pixels.data[4 * i + 3] = most > 0 ? 225 * (Math.abs(value) / most) ** 0.75 : 0;
  });
  const small = new OffscreenCanvas(columns, rows);
  small.getContext("2d").putImageData(pixels, 0, 0);
  const times = Math.max(1, Math.round(320 / Math.max(height, width)));
  canvas.width = width * times;
  canvas.height = height * times;
  const brush = canvas.getContext("2d");
  brush.imageSmoothingEnabled = false;
  brush.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** Where a map is strongest, the first of equals: {row, column}; null where nothing is above 0. */
export function strongest({ columns, values }) {
  const best = values.reduce((found, value, i) => (value > (values[found] ?? 0) ? i : found), -1);
  return best < 0 ? null : { row: Math.floor(best / columns), column: best % columns };
}
