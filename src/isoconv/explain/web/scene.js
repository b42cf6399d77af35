// One image in one network, as a page reads it: the description by names, arrays as they are needed.

import { count } from "./windows.js";

/** A description and its arrays; each array is fetched once. */
export class Scene {
  constructor(source, description) {
    this.source = source;
    this.told = description;
    this.kept = new Map();
    this.backward = new Map(Object.entries(description.gradients).map(([value, id]) =>
      [Number(value), id]));
    this.readers = new Map();
    for (const [id, node] of Object.entries(description.nodes)) {
      for (const input of new Set(node.inputs)) {
        this.readers.set(input, [...(this.readers.get(input) ?? []), Number(id)]);
      }
    }
  }

  get layers() {
    return this.told.layers;
  }

  node(id) {
    return this.told.nodes[id];
  }

  shape(id) {
    return this.told.nodes[id].shape;
  }

  /** The gradient by a value; null where none flows. */
  gradient(id) {
    return this.backward.get(id) ?? null;
  }

  /** Whether a node is the whole gradient by a value. */
  isGradient(id) {
    this.whole ??= new Set(this.backward.values());
    return this.whole.has(id);
  }

  /** Whether a node belongs to the gradients. */
  flows(id) {
    return id >= this.told.forward;
  }

  /** A node's numbers, flat. */
  async array(id) {
    if (!this.kept.has(id)) {
      const waiting = this.source.array(this.told.scene, id).catch((error) => {
        this.kept.delete(id);
        throw error;
      });
      this.kept.set(id, waiting);
    }
    return this.kept.get(id);
  }

  async arrays(ids) {
    return Promise.all(ids.map((id) => this.array(id)));
  }

  /** What a class is called. */
  className(number) {
    if (!this.ofPlaces) {
      return this.told.classes[number] ?? `class ${number}`;
    }
    // The numbers of a map go through its places, each with all classes.
    const [, width, classes] = this.told.nodes[this.told.logits].shape;
    const place = Math.floor(number / classes);
    const named = this.told.classes[number % classes] ?? `class ${number % classes}`;
    return `${named} at row ${Math.floor(place / width)}, column ${place % width}`;
  }

  /** Whether each place of the picture has a result of its own. */
  get ofPlaces() {
    return this.told.nodes[this.told.logits].shape.length === 3;
  }

  /** What gradients are of, in words. */
  get goal() {
    const { of } = this.told;
    return of === "loss" ? "the loss" : `the result of ${this.className(of)} before softmax`;
  }

  /** What a value is, in words. */
  describe(id) {
    const node = this.node(id);
    if (node.op === "input") {
      return { images: "the picture", labels: "the label" }[node.name] ?? node.name;
    }
    if (this.flows(id)) {
      for (const [value, gradient] of this.backward) {
        if (gradient === id) {
          return `the gradient by ${this.describe(value)}`;
        }
      }
      const layer = node.layer ? ` through layer ${node.layer}` : "";
      if (node.op === "mul" && !node.batched && this.node(node.inputs[1]).op === "inverse_std") {
        return `γ · 1 / √(variance + ε) of layer ${node.layer}`;
      }
      return `what flows back${layer} (${node.op})`;
    }
    if (id === this.told.image.source) {
      return "the picture, normalised";
    }
    const layer = this.layers.find((one) => one.result === id);
    return layer ? `the result of layer ${layer.name}`
      : `${node.op} of ${node.layer ? `layer ${node.layer}` : "the picture"}`;
  }

  /** What kind of layer has a name; null for none. */
  kindOf(name) {
    return this.layers.find((layer) => layer.name === name)?.kind ?? null;
  }

  /** The layer whose result or inner node this is; null for none. */
  layerOf(id) {
    return this.layers.find((layer) => layer.nodes.includes(id)) ?? null;
  }
}

/** The index of a flat position. */
export function unflat(position, shape) {
  const place = [];
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    place.unshift(position % shape[axis]);
    position = Math.floor(position / shape[axis]);
  }
  return place;
}

/** One channel of an array whose last axis is the channels, as rows and columns. */
export function plane(values, shape, channel) {
  const channels = shape[shape.length - 1];
  const [rows, columns] = [1, 1, ...shape.slice(0, -1)].slice(-2);
  const found = new Float32Array(rows * columns);
  // Of more than two axes the last two of the first slice.
  for (let i = 0; i < found.length; i += 1) {
    found[i] = values[i * channels + channel];
  }
  return { rows, columns, values: found };
}

/** The place with the largest number. */
export function largest(values, shape) {
  let best = 0;
  for (let i = 1; i < count(shape); i += 1) {
    if (values[i] > values[best]) {
      best = i;
    }
  }
  return unflat(best, shape);
}
