// Exact float32 in a browser: fused multiply-add, chains, running sums, partial sums, and numbers
// as text. Every function gives the bits that the engine gives; NaN is NaN, whatever its payload.
//
// A product of two float32 is exact in a double. A sum of two doubles is made odd where it is
// inexact (its last bit says "something was lost"), so that rounding it to float32 is the one
// rounding of a fused multiply-add.

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
double[0] = 1;
const LOW = words[0] === 0 ? 0 : 1;
const HIGH = 1 - LOW;

const single = new Float32Array(1);
const word = new Uint32Array(single.buffer);

/** The sum of two doubles, its last bit set to one where the sum is inexact. */
function oddSum(product, s) {
  const total = product + s;
  const kept = total - product;
  const error = product - (total - kept) + (s - kept);
  if (error === 0 || !Number.isFinite(total) || !Number.isFinite(error)) {
    return total;
  }
  double[0] = total;
  if (words[LOW] & 1) {
    return total;
  }
  if ((error > 0) === (total > 0)) {
    words[LOW] |= 1; // one step away from zero
  } else {
    if (words[LOW] === 0) {
      words[HIGH] -= 1;
    }
    words[LOW] -= 1; // one step towards zero
  }
  return double[0];
}

/** `a * b + s` rounded once, for float32 values a, b and s. */
export function fma(a, b, s) {
  return Math.fround(oddSum(a * b, s));
}

/** `a + b` in float32. */
export function add(a, b) {
  return Math.fround(a + b);
}

/** `a / b` in float32. */
export function divide(a, b) {
  return Math.fround(a / b);
}

/**
 * A chain of fused multiply-adds from +0.0.
 *
 * @param pairs the factors of each link: an array of n pairs [a, b].
 * @returns Float32Array of n + 1: the sum before the first link and after each; the last is the
 *   value.
 */
export function chain(pairs) {
  const sums = new Float32Array(pairs.length + 1);
  let s = 0;
  for (let i = 0; i < pairs.length; i += 1) {
    s = Math.fround(oddSum(pairs[i][0] * pairs[i][1], s));
    sums[i + 1] = s;
  }
  return sums;
}

/**
 * A running sum from +0.0.
 *
 * @param terms what is added: an array of n numbers; null adds nothing.
 * @returns Float32Array of n + 1: the sum before the first term and after each; the last is the
 *   value.
 */
export function runningSum(terms) {
  const sums = new Float32Array(terms.length + 1);
  let s = 0;
  for (let i = 0; i < terms.length; i += 1) {
    s = terms[i] === null ? s : Math.fround(s + terms[i]);
    sums[i + 1] = s;
  }
  return sums;
}

/**
 * Eight interleaved partial sums from +0.0, term i to sum i mod 8, and the tree over them:
 * ((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7)).
 *
 * @param terms an array of numbers.
 * @returns {partials: Float32Array(8), pairs: Float32Array(4), halves: Float32Array(2), value}
 */
export function partialSums(terms) {
  const partials = new Float32Array(8);
  for (let i = 0; i < terms.length; i += 1) {
    partials[i % 8] += terms[i];
  }
  const pairs = new Float32Array(4);
  for (let i = 0; i < 4; i += 1) {
    pairs[i] = partials[2 * i] + partials[2 * i + 1];
  }
  const halves = new Float32Array([pairs[0] + pairs[1], pairs[2] + pairs[3]]);
  return { partials, pairs, halves, value: add(halves[0], halves[1]) };
}

/**
 * The tree over shards: 0 with 1, 2 with 3, …, until one is left; an odd one at the end goes up
 * alone.
 *
 * @param terms an array of at least one number.
 */
export function treeSum(terms) {
  let level = Array.from(terms);
  while (level.length > 1) {
    const above = [];
    for (let i = 0; i < level.length; i += 2) {
      above.push(i + 1 < level.length ? add(level[i], level[i + 1]) : level[i]);
    }
    level = above;
  }
  return level[0];
}

/** The 32 bits of a float32 as a whole number from 0 to 2^32 - 1. */
export function bits(x) {
  single[0] = x;
  return word[0];
}

/** The 32 bits of a float32 as eight hexadecimal digits. */
export function hex(x) {
  return bits(x).toString(16).padStart(8, "0");
}

/** Whether two float32 are the same in every bit; any NaN is as good as another. */
export function sameBits(a, b) {
  return bits(a) === bits(b) || (Number.isNaN(a) && Number.isNaN(b));
}

/**
 * The shortest decimal text that reads back as this float32; "inf", "-inf" and "nan" as in Python.
 */
export function shown(x) {
  if (Number.isNaN(x)) {
    return "nan";
  }
  if (!Number.isFinite(x)) {
    return x > 0 ? "inf" : "-inf";
  }
  if (x === 0) {
    return Object.is(x, -0) ? "-0" : "0";
  }
  for (let digits = 1; digits < 9; digits += 1) {
    const [mantissa, exponent] = Math.abs(x).toExponential(digits - 1).split("e");
    const last = `e${Number(exponent) - digits + 1}`;
    // At a power of two the numbers above lie twice as far away as those below, so that the next
    // decimal above may read back where the nearest one does not.
    const nearest = Number(mantissa.replace(".", ""));
    for (const whole of [nearest, nearest + 1]) {
      const rounded = Math.sign(x) * Number(whole + last);
      if (Math.fround(rounded) === x) {
        return String(rounded);
      }
    }
  }
  return String(Number(x.toPrecision(9)));
}

/**
 * A number for a small cell, shortened to `digits` significant ones (four: eight characters at
 * most) where it is long. What was cut off is not marked: whoever shows this gives the whole text
 * (`shown`) where the cell is asked.
 */
export function brief(x, digits = 4) {
  const text = shown(x);
  if (text.length <= digits + 2 || !Number.isFinite(x)) {
    return text;
  }
  const size = Math.abs(x);
  if (size >= 1e-2 && size < 1e6) {
    return String(Number(x.toPrecision(Math.max(digits, String(Math.trunc(size)).length))));
  }
  const two = x.toExponential(2).replace("e+", "e");
  return two.length <= 8 ? two : x.toExponential(1).replace("e+", "e");
}

/**
 * The float32 that a text says, or null if it says none. It reads what `shown` writes, a comma in
 * place of the point, a typographic minus and fractions such as 1/3.
 */
export function parsed(text) {
  const plain = text.trim().replace(/\u2212/g, "-").replace(",", ".").toLowerCase();
  const special = { nan: NaN, inf: Infinity, "+inf": Infinity, "-inf": -Infinity };
  if (Object.hasOwn(special, plain)) {
    return special[plain];
  }
  const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/;
  const parts = plain.split("/").map((part) => part.trim());
  if (parts.length > 2 || !parts.every((part) => number.test(part))) {
    return null;
  }
  const [top, bottom] = parts.map(Number);
  if (bottom === 0) {
    return null;
  }
  return Math.fround(parts.length === 2 ? top / bottom : top);
}
