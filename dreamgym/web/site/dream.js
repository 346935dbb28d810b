// A dream: M's step, the draw at a temperature, the reward, V's picture. Its numbers are those of dreamgym's DreamCore
// with precision="float64": M amplifies rounding, so that in float32 no two engines dream alike for long.

import { readTensors } from "./tensors.js";
import { noiseKeys, normal, uniform } from "./noise.js";

const { exp, fround, tanh } = Math;
const sigmoid = (x) => 1 / (1 + exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(exp(-Math.abs(x)));

/** The loops of kernel.c, over the numbers of a heap and with addresses in bytes; the same bits, but slower. */
const plainLoops = (buffer) => ({
  layer: plainLayer(new Float32Array(buffer)),
  product: plainProduct(new Float64Array(buffer), new Float32Array(buffer)),
});

function plainProduct(doubles, floats) {
  return (input, inputs, weight, bias, outputs, output) => {
    [input, weight, bias, output] = [input >> 3, weight >> 2, bias >> 2, output >> 3];
    for (let i = 0; i < outputs; i++) doubles[output + i] = floats[bias + i];
    for (let at = 0; at < inputs; at++, weight += outputs) {
      const value = doubles[input + at];
      for (let i = 0; i < outputs; i++) doubles[output + i] += value * floats[weight + i];
    }
  };
}

function plainLayer(heap) {
  return (input, side, inputs, weight, bias, kernel, outputs, rectify, output) => {
    [input, weight, bias, output] = [input >> 2, weight >> 2, bias >> 2, output >> 2];
    const across = 2 * side - 2 + kernel;
    for (let y = 0; y < across; y++) {
      for (let x = 0; x < across; x++, output += outputs) {
        heap.copyWithin(output, bias, bias + outputs);
        for (let ky = y & 1; ky <= y && ky < kernel; ky += 2) {
          const row = (y - ky) >> 1;
          if (row >= side) continue;
          for (let kx = x & 1; kx <= x && kx < kernel; kx += 2) {
            const column = (x - kx) >> 1;
            if (column >= side) continue;
            const from = input + (row * side + column) * inputs;
            let by = weight + (ky * kernel + kx) * inputs * outputs;
            for (let channel = 0; channel < inputs; channel++, by += outputs) {
              const value = heap[from + channel];
              if (value === 0) continue;
              for (let i = 0; i < outputs; i++) {
                heap[output + i] = fround(heap[output + i] + fround(value * heap[by + i]));
              }
            }
          }
        }
        if (rectify) for (let i = output; i < output + outputs; i++) heap[i] = heap[i] > 0 ? heap[i] : 0;
      }
    }
  };
}

/** The compiled loops, or null where the browser has no WebAssembly SIMD. */
async function compiled(wasm) {
  try {
    return (await WebAssembly.instantiate(wasm)).instance.exports;
  } catch {
    return null;
  }
}

/** Memory that the loops work in: arrays one after another, and their addresses by byteOffset. */
class Heap {
  constructor(bytes, exports) {
    const base = exports ? exports.__heap_base.value : 0;
    const size = (base + bytes + 7) & ~7;
    if (exports) exports.memory.grow(Math.max(0, Math.ceil((size - exports.memory.buffer.byteLength) / 65536)));
    this.buffer = exports ? exports.memory.buffer : new ArrayBuffer(size);
    this.loops = exports ?? plainLoops(this.buffer);
    this.next = (base + 15) & ~15;
  }

  zeros(length, Type = Float32Array) {
    const made = new Type(this.buffer, this.next, length);
    this.next += (made.byteLength + 15) & ~15;
    return made;
  }

  copy(values) {
    const made = this.zeros(values.length);
    made.set(values);
    return made;
  }
}

/** Opens a dream from the bytes of its file; wasm is kernel.wasm's bytes, or null for the plain loops. */
export async function openDream(bytes, wasm) {
  const { manifest, tensors } = readTensors(bytes);
  return new Dream(manifest, tensors, wasm && (await compiled(wasm)));
}

export class Dream {
  constructor(manifest, tensors, exports) {
    const { latents, hidden, mixtures, factors, actions } = manifest.sizes;
    this.manifest = manifest;
    this.compiled = Boolean(exports);
    this.decoderLayers = manifest.decoder;
    const names = Object.keys(tensors).filter((name) => /^(memory|decoder)/.test(name));
    const pictures = this.decoderLayers.map(({ side, kernel, outputs }) => (2 * side - 2 + kernel) ** 2 * outputs);
    const activations = 2 * latents + 5 * hidden + actions + tensors["memory.heads_bias"].length;
    const lengths = [...names.map((name) => tensors[name].length), ...pictures, 2 * activations, 4 * (names.length + 16)];
    const heap = (this.heap = new Heap(4 * lengths.reduce((a, b) => a + b), exports));
    this.weights = Object.fromEntries(names.map((name) => [name, heap.copy(tensors[name])]));
    this.row = heap.zeros(latents + hidden + actions, Float64Array); // [z | h | action]
    this.gates = heap.zeros(4 * hidden, Float64Array);
    this.headOutputs = heap.zeros(tensors["memory.heads_bias"].length, Float64Array);
    this.latents = heap.zeros(latents); // z as the decoder takes it
    this.pictures = pictures.map((length) => heap.zeros(length));
    this.z = this.row.subarray(0, latents);
    this.h = this.row.subarray(latents, latents + hidden);
    this.action = this.row.subarray(latents + hidden);
    this.observation = this.row.subarray(0, latents + hidden);
    this.c = new Float64Array(hidden);
    this.starts = ["z", "h", "c", "progress"].map((name) => tensors[`starts.${name}`]);
    this.controller = tensors["controller.weights"]
      ? { weights: tensors["controller.weights"], bias: tensors["controller.bias"] }
      : null;
    this.image = new Uint8ClampedArray(4 * 64 * 64).fill(255);
    this.noiseSize = 2 * latents + factors + 1;
    this.cumulative = new Float64Array(mixtures);
    this.reset(0, 0);
  }

  /** Begins the dream of a seed at a start, the index of one of the manifest's. */
  reset(seed, start) {
    const { latents, hidden } = this.manifest.sizes;
    const [z, h, c, progress] = this.starts;
    this.keys = noiseKeys(seed);
    this.z.set(z.subarray(start * latents, (start + 1) * latents));
    this.h.set(h.subarray(start * hidden, (start + 1) * hidden));
    this.c.set(c.subarray(start * hidden, (start + 1) * hidden));
    this.progress = progress[start];
    this.elapsed = 0;
    this.score = 0;
    this.over = null;
  }

  /** Everything that the future depends on, as copies. */
  save() {
    const { keys, progress, elapsed, score, over } = this;
    return { row: this.row.slice(), c: this.c.slice(), keys, progress, elapsed, score, over };
  }

  restore({ row, c, ...rest }) {
    this.row.set(row);
    this.c.set(c);
    Object.assign(this, rest);
  }

  /** The bundle's controller: the action vector that it gives, within the range. */
  act() {
    const { weights, bias } = this.controller;
    const inputs = this.observation.length;
    return Array.from(bias, (raw, number) => {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += this.observation[i] * weights[number * inputs + i];
      const squashed = tanh(sum + raw);
      const kind = this.manifest.actions.squash[number];
      if (kind === "unit") return (squashed + 1) / 2;
      return kind === "positive" ? Math.max(squashed, 0) : squashed;
    });
  }

  /** What the world does of an action vector, float32 numbers: see ActionSet.executed in dreamgym/worlds/actions.py. */
  executed(vector) {
    const { low, high, box, discrete } = this.manifest.actions;
    const done = this.byRule(Array.from(vector, (x, i) => fround(Math.min(Math.max(x, low[i]), high[i]))));
    if (box) return done;
    const distances = discrete.map((other) => other.reduce((sum, x, i) => sum + (done[i] - fround(x)) ** 2, 0));
    return discrete[distances.indexOf(Math.min(...distances))].map(fround);
  }

  byRule(vector) {
    const { rule, threshold } = this.manifest.actions;
    if (rule === "thresholds") return vector.map((x) => Number(x > fround(threshold)) - Number(x < -fround(threshold)));
    if (rule === "argmax") return vector.map((_, i) => Number(i === vector.indexOf(Math.max(...vector))));
    return vector;
  }

  /** One step with an executed action at a temperature; gives the reward, and sets `over` where it ends the episode. */
  step(action, temperature) {
    this.action.set(action);
    this.advance();
    this.predict();
    this.draw(fround(temperature));
    return this.pay();
  }

  product(input, name, output) {
    const { [`${name}_weight`]: weight, [`${name}_bias`]: bias } = this.weights;
    const [from, by, plus, to] = [input, weight, bias, output].map((array) => array.byteOffset);
    this.heap.loops.product(from, input.length, by, plus, output.length, to);
  }

  /** The LSTM: [z, h, a] and c to the next h and c. */
  advance() {
    this.product(this.row, "memory.gates", this.gates);
    const { gates, h, c } = this;
    const size = h.length;
    for (let i = 0; i < size; i++) {
      c[i] = sigmoid(gates[size + i]) * c[i] + sigmoid(gates[i]) * tanh(gates[2 * size + i]);
      h[i] = sigmoid(gates[3 * size + i]) * tanh(c[i]);
    }
  }

  predict() {
    this.product(this.h, "memory.heads", this.headOutputs);
  }

  /** Draws z from the mixture: logits / temperature, sigma * sqrt(temperature) (World Models, section 3.3). */
  draw(temperature) {
    const { sizes, latent_limit: limit, log_sigma: [low, high] } = this.manifest;
    const { latents, mixtures, factors } = sizes;
    const { headOutputs, cumulative, keys } = this;
    const first = this.elapsed * this.noiseSize;
    const common = Array.from({ length: factors }, (_, f) => normal(uniform(keys, (first + 2 * latents + f) | 0)));
    for (let j = 0; j < latents; j++) {
      let top = -Infinity;
      for (let k = 0; k < mixtures; k++) top = Math.max(top, headOutputs[k * latents + j]);
      let sum = 0;
      for (let k = 0; k < mixtures; k++) {
        sum += exp((headOutputs[k * latents + j] - top) / temperature);
        cumulative[k] = sum;
      }
      const chosen = uniform(keys, (first + j) | 0) * sum;
      let k = 0;
      while (k < mixtures - 1 && cumulative[k] <= chosen) k++;
      let noise = normal(uniform(keys, (first + latents + j) | 0));
      for (let f = 0; f < factors; f++) noise += common[f] * headOutputs[(3 * mixtures + f) * latents + j];
      const mean = headOutputs[(mixtures + k) * latents + j];
      const sigma = exp(Math.min(Math.max(headOutputs[(2 * mixtures + k) * latents + j], low), high));
      this.z[j] = Math.min(Math.max(mean + sigma * Math.sqrt(temperature) * noise, -limit), limit);
    }
  }

  /** Progress, reward and end, by the manifest's reward rule: see RewardRule in dreamgym/worlds/rewards.py. */
  pay() {
    const { rewards, sizes, max_episode_steps: limit } = this.manifest;
    const last = (3 * sizes.mixtures + sizes.factors) * sizes.latents;
    let units = rewards.head === "count" ? softplus(this.headOutputs[last]) : this.headOutputs[last];
    if (rewards.head === "none" || (rewards.threshold !== null && units <= rewards.threshold)) units = 0;
    const before = this.progress;
    this.progress = Math.min(before + units / rewards.unit, rewards.cap ?? Infinity);
    const u = uniform(this.keys, (this.elapsed * this.noiseSize + this.noiseSize - 1) | 0);
    this.chanceOfEnd = sigmoid(this.headOutputs[last + 1]);
    const ended = this.headOutputs[last + 1] > Math.log(u / (1 - u));
    let reward = rewards.constant + rewards.scale * (this.progress - before);
    if (ended && rewards.failure !== null) reward = rewards.failure;
    this.elapsed += 1;
    this.score += reward;
    this.over = null;
    if (ended) this.over = "ended";
    else if (rewards.cap !== null && this.progress >= rewards.cap) this.over = "complete";
    else if (limit !== null && this.elapsed >= limit) this.over = "time";
    return reward;
  }

  /** V's picture of z: RGBA bytes of 64 x 64 pixels, of a buffer that the next picture overwrites. */
  picture() {
    const { image, pictures } = this;
    let input = this.latents;
    input.set(this.z);
    this.decoderLayers.forEach(({ side, inputs, kernel, outputs, rectify }, i) => {
      const { [`decoder.${i}_weight`]: weight, [`decoder.${i}_bias`]: bias } = this.weights;
      const [from, by, plus, to] = [input, weight, bias, pictures[i]].map((array) => array.byteOffset);
      this.heap.loops.layer(from, side, inputs, by, plus, kernel, outputs, Number(rectify), to);
      input = pictures[i];
    });
    for (let i = 0; i < image.length; i++) if ((i & 3) !== 3) image[i] = Math.round(255 * sigmoid(input[i]));
    return image;
  }
}
