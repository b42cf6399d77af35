// Which part of the picture speaks for a class: Grad-CAM (Selvaraju et al., 2017) and gradients by the
// input (Simonyan et al., 2014), worked off here from the network's own arrays; occlusion (Zeiler and
// Fergus, 2014), which needs the network itself.

import { channels } from "./canvas.js";

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Numbers of the layers that have a map with a gradient: rows, columns and channels. */
export function camLayers(scene) {
  return scene.layers.map((_, number) => number).filter((number) => {
    const { result, shape } = scene.layers[number];
    return shape.length === 3 && shape[0] > 1 && shape[1] > 1 && scene.gradient(result) !== null;
  });
}

/** The layer that is shown unless another is chosen: the last map before it is pooled or flattened. */
export function usualCamLayer(scene) {
  const all = camLayers(scene);
  return all.filter((number) => !scene.layers[number].pooling).at(-1) ?? all.at(-1) ?? null;
}

/** What the gradients are turned to: a class's result as it is, a loss the other way round. */
function turned(scene) {
  return scene.told.of === "loss" ? -1 : 1;
}

/** Grad-CAM: max(0, sum over channels of (mean gradient of the channel) · map). */
export async function gradCam(scene, number) {
  const { result, shape: [rows, columns, channels] } = scene.layers[number];
  const [map, gradient] = await scene.arrays([result, scene.gradient(result)]);
  const spots = Array.from({ length: rows * columns }, (_, i) => i);
  const weights = Array.from({ length: channels }, (_, c) =>
    turned(scene) * mean(spots.map((i) => gradient[i * channels + c])));
  const values = Float32Array.from(spots, (i) =>
    Math.max(0, weights.reduce((sum, weight, c) => sum + weight * map[i * channels + c], 0)));
  return { rows, columns, values, smooth: true };
}

/** By each pixel: the largest size of its channels' gradients, or the sum of gradient · input. */
export async function inputGradient(scene, timesInput) {
  const { source } = scene.told.image;
  const found = scene.gradient(source);
  if (found === null) {
    return null;
  }
  const shape = scene.shape(source);
  const channels = shape[shape.length - 1];
  const [rows, columns] = [1, 1, ...shape.slice(0, -1)].slice(-2);
  const [input, gradient] = await scene.arrays([source, found]);
  const values = Float32Array.from({ length: rows * columns }, (_, i) => {
    let all = 0;
    for (let c = 0; c < channels; c += 1) {
      const at = i * channels + c;
      all = timesInput ? all + turned(scene) * gradient[at] * input[at]
        : Math.max(all, Math.abs(gradient[at]));
    }
    return all;
  });
  return { rows, columns, values, smooth: false };
}

/** How far the class falls where a patch of the picture is covered, as the network's host tells it. */
export async function occlusion(scene) {
  const told = await scene.source.ask("occlusion", {});
  const bytes = Uint8Array.from(atob(told.map), (one) => one.charCodeAt(0));
  const [rows, columns] = told.shape;
  return { rows, columns, values: new Float32Array(bytes.buffer), smooth: false, note: told.note };
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
  brush.imageSmoothingEnabled = map.smooth;
  brush.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** Where a map is strongest: [row, column] and the number there; null for a map of zeros. */
export function strongest({ columns, values }) {
  let best = 0;
  values.forEach((value, i) => {
    best = value > values[best] ? i : best;
  });
  return values[best] > 0 ? { row: Math.floor(best / columns), column: best % columns } : null;
}
