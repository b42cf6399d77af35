// From one number back to the operations that lead to it: element by element to the last sums, those
// first. Where this page knows an operation's terms it works them off itself, in the engine's order;
// the engine's own number stands beside, and they must agree in every bit.

import { flat, knows, termsOf, valueOf } from "./windows.js";

const MOST = 24;

/** Where an operand of an element-by-element operation is read. */
function samePlace(place, shape) {
  const end = place.slice(place.length - shape.length);
  return end.map((at, axis) => (shape[axis] === 1 ? 0 : at));
}

/** A reshape's element in its operand: the same number in row-major order. */
function reshaped(place, shape, source) {
  let at = flat(place, shape);
  const found = [];
  for (let axis = source.length - 1; axis >= 0; axis -= 1) {
    found.unshift(at % source[axis]);
    at = Math.floor(at / source[axis]);
  }
  return found;
}

/** What element by element operations read: [{id, name, place}]; null for other operations. */
function reads(scene, id, place) {
  const node = scene.node(id);
  if (node.op === "reshape") {
    const [source] = node.inputs;
    return [{ id: source, name: "x", place: reshaped(place, node.shape, scene.shape(source)) }];
  }
  if (!node.pointwise || node.op === "dropout") {
    return null;
  }
  return node.inputs.map((source, i) => ({
    id: source, name: node.operands[i], place: samePlace(place, scene.shape(source)),
  }));
}

/** One operation at one place: {id, op, place, value, own, form, …}. */
async function part(scene, id, place) {
  const node = scene.node(id);
  const value = (await scene.array(id))[node.shape.length ? flat(place, node.shape) : 0];
  const found = { id, op: node.op, place, value, summary: node.summary, layer: node.layer,
    ...purpose(scene, id) };
  if (knows(node.op)) {
    return { ...found, ...await worked(scene, node.op, node.attrs, node.inputs, place) };
  }
  if (node.op === "sum" && node.attrs.keep === 1 && node.attrs.batched) {
    // The sum over a map's positions is that of a global average, not yet divided.
    const all = await worked(scene, "global_avg_pool", {}, node.inputs, place);
    return { ...found, ...all, op: "sum", result: { ...all.result, value: all.result.parts.value } };
  }
  const read = reads(scene, id, place);
  if (read) {
    const arrays = await scene.arrays(read.map((one) => one.id));
    return { ...found, kind: "formula", read: read.map((one, i) => ({
      ...one, value: arrays[i][one.place.length ? flat(one.place, scene.shape(one.id)) : 0],
    })) };
  }
  return { ...found, kind: "other" };
}

/** An operation whose terms the page knows. */
async function worked(scene, op, attrs, inputs, place) {
  const shapes = inputs.map((one) => scene.shape(one));
  const arrays = await scene.arrays(inputs);
  const form = termsOf(op, attrs, shapes, place);
  return { kind: "terms", op, attrs, inputs, shapes, arrays, form, result: valueOf(form, arrays) };
}

/** The ordinary sum that the last of Winograd's maps stands for; null for other nodes. */
export async function ordinary(scene, id, place) {
  const { direct, layer, shape } = scene.node(id);
  if (!direct) {
    return null;
  }
  const value = (await scene.array(id))[flat(place, shape)];
  return { id, place, value, layer, summary: direct.summary, other: true,
    ...await worked(scene, direct.op, direct.attrs, direct.inputs, place) };
}

/** What an operation on the way back is for, in words: {title, summary}; null where its name says it. */
function purpose(scene, id) {
  const node = scene.node(id);
  if (!scene.flows(id)) {
    return null;
  }
  if (node.op === "add") {
    return { title: "sum of what flows back over both branches",
      summary: "Several layers read this number; the gradients that they give back are added." };
  }
  if (node.op === "mul" && node.batched && scene.kindOf(node.layer) === "BatchNorm") {
    return { title: "batch normalisation, on the way back",
      summary: "dx = (γ · 1 / √(variance + ε)) · dy: in a prediction mean and variance are fixed numbers, so "
        + "that the gradient is only scaled." };
  }
  return null;
}

/** All parts that lead to a node's element, of nodes that `own` says yes to; the first ones first. */
export async function partsOf(scene, id, place, own) {
  const found = new Map();
  const plain = [];
  async function visit(node, at) {
    const key = `${node}:${at}`;
    if (found.has(key) || found.size >= MOST || !own(node) || scene.node(node).op === "input") {
      return;
    }
    const read = knows(scene.node(node).op) ? null : reads(scene, node, at);
    // Where what flows back from several readers is added, what came over a residual branch is the
    // gradient by another layer's result: that has an explanation of its own.
    const joins = scene.flows(node) && scene.node(node).op === "add";
    for (const one of read ?? []) {
      // What has no image axis (a scale of weights alone) is told by its number.
      if (scene.node(one.id).batched && !(joins && scene.isGradient(one.id))) {
        await visit(one.id, one.place);
      }
    }
    const sum = await ordinary(scene, node, at);
    if (sum) {
      plain.push(sum);
    }
    found.set(key, await part(scene, node, at));
  }
  await visit(id, place);
  return [...plain, ...found.values()];
}

/** What is made of a layer's result element by element, and the names of the layers that read it. */
export async function followers(scene, id, place) {
  const parts = [];
  let at = id;
  for (;;) {
    const readers = (scene.readers.get(at) ?? []).filter((one) => !scene.flows(one));
    const [reader] = readers;
    const node = reader === undefined ? null : scene.node(reader);
    const same = node && node.pointwise && node.shape.join() === scene.shape(at).join();
    if (readers.length !== 1 || !same || reader === scene.told.loss) {
      const names = readers.map((one) => scene.node(one).layer).filter((name) => name);
      return { parts, readers: [...new Set(names)] };
    }
    parts.push(await part(scene, reader, place));
    at = reader;
  }
}
