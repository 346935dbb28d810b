// Reads a dream's file: a safetensors file with the manifest, JSON, in its metadata.

const WIDTHS = { F32: 4, F16: 2, BF16: 2 };
const FORMAT = 1;

/** Named tensors as Float32Array, and the manifest. Throws an Error that says what is wrong with the file. */
export function readTensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.byteLength >= 8 ? Number(view.getBigUint64(0, true)) : Infinity;
  if (8 + length > bytes.byteLength) throw new Error("The dream's file is cut short; load it again.");
  let manifest;
  let entries;
  try {
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    ({ __metadata__: { manifest }, ...entries } = header);
    manifest = JSON.parse(manifest);
  } catch {
    throw new Error("The dream's file is damaged: it has no manifest. Load it again.");
  }
  if (manifest.format !== FORMAT) {
    throw new Error(`Expected a dream's file of format ${FORMAT}, got ${manifest.format}; build the page again.`);
  }
  const data = bytes.subarray(8 + length);
  const tensors = {};
  for (const [name, entry] of Object.entries(entries)) {
    const [from, to] = entry.data_offsets;
    if (!(entry.dtype in WIDTHS) || to > data.byteLength) throw new Error(`The dream's file is damaged at ${name}.`);
    tensors[name] = toFloats(data.slice(from, to).buffer, entry.dtype);
  }
  return { manifest, tensors };
}

function toFloats(buffer, dtype) {
  if (dtype === "F32") return new Float32Array(buffer);
  const halves = new Uint16Array(buffer);
  const bits = new Uint32Array(halves.length);
  const convert = dtype === "BF16" ? (half) => half << 16 : halfBits;
  for (let i = 0; i < halves.length; i++) bits[i] = convert(halves[i]);
  return new Float32Array(bits.buffer);
}

/** The bits of a float32 equal to a float16. */
function halfBits(half) {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // a subnormal number: its highest bit becomes the implied one
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 1023) << 13);
}
