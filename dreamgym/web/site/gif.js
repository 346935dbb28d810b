// Writes an animated GIF: one palette for all frames by median cut, and LZW.

const COLORS = 128;
const BITS = 7;

/** Frames of RGBA bytes, all (height, width), to the bytes of a GIF that repeats; delay in hundredths of a second. */
export function encodeGif(frames, width, height, delay) {
  const palette = medianCut(frames);
  const out = [...ascii("GIF89a"), ...word(width), ...word(height), 0xf0 | (BITS - 1), 0, 0];
  for (let i = 0; i < COLORS; i++) out.push(...(palette[i] ?? [0, 0, 0]));
  out.push(0x21, 0xff, 11, ...ascii("NETSCAPE2.0"), 3, 1, 0, 0, 0);
  const parts = [Uint8Array.from(out)];
  const nearest = nearestColor(palette);
  for (const frame of frames) {
    const head = [0x21, 0xf9, 4, 0, ...word(delay), 0, 0, 0x2c, 0, 0, 0, 0, ...word(width), ...word(height), 0, BITS];
    parts.push(Uint8Array.from(head), compress(frame, nearest));
  }
  parts.push(Uint8Array.of(0x3b));
  return new Blob(parts, { type: "image/gif" });
}

const ascii = (text) => [...text].map((char) => char.charCodeAt(0));
const word = (value) => [value & 255, value >> 8];

/** Colours that stand for those of the frames: boxes of colours are halved at their longest side's median. */
function medianCut(frames) {
  const colors = [];
  const every = Math.max(1, Math.floor((frames.length * frames[0].length) / 4 / 40000)) * 4;
  for (const frame of frames) {
    for (let i = 0; i < frame.length; i += every) colors.push([frame[i], frame[i + 1], frame[i + 2]]);
  }
  let boxes = [measured(colors)];
  while (boxes.length < COLORS) {
    boxes.sort((a, b) => b.weight - a.weight);
    const [{ colors: box, axis, weight }] = boxes;
    if (weight === 0) break;
    box.sort((a, b) => a[axis] - b[axis]);
    const middle = box.length >> 1;
    boxes.splice(0, 1, measured(box.slice(0, middle)), measured(box.slice(middle)));
  }
  return boxes.map(({ colors: box }) => [0, 1, 2].map((i) => Math.round(box.reduce((sum, c) => sum + c[i], 0) / box.length)));
}

function measured(colors) {
  const spans = [0, 1, 2].map((i) => {
    let [low, high] = [255, 0];
    for (const color of colors) [low, high] = [Math.min(low, color[i]), Math.max(high, color[i])];
    return high - low;
  });
  const axis = spans.indexOf(Math.max(...spans));
  return { colors, axis, weight: colors.length < 2 ? 0 : spans[axis] * Math.sqrt(colors.length) };
}

/** From a colour to the palette's index, remembered by 5 bits a channel. */
function nearestColor(palette) {
  const known = new Int16Array(32768).fill(-1);
  return (r, g, b) => {
    const key = ((r >> 3) << 10) | ((g >> 3) << 5) | (b >> 3);
    if (known[key] < 0) {
      let least = Infinity;
      palette.forEach(([x, y, z], i) => {
        const far = (r - x) ** 2 + (g - y) ** 2 + (b - z) ** 2;
        if (far < least) [least, known[key]] = [far, i];
      });
    }
    return known[key];
  };
}

/** LZW codes of a frame's indices, in blocks of up to 255 bytes. */
function compress(frame, nearest) {
  const clear = 1 << BITS;
  const bytes = [];
  let [buffer, filled, width, next] = [0, 0, BITS + 1, clear + 2];
  let table = new Map();
  const emit = (code) => {
    buffer |= code << filled;
    for (filled += width; filled >= 8; filled -= 8, buffer >>>= 8) bytes.push(buffer & 255);
  };
  emit(clear);
  let prefix = nearest(frame[0], frame[1], frame[2]);
  for (let i = 4; i < frame.length; i += 4) {
    const index = nearest(frame[i], frame[i + 1], frame[i + 2]);
    const key = (prefix << 8) | index;
    const code = table.get(key);
    if (code !== undefined) {
      prefix = code;
      continue;
    }
    emit(prefix);
    prefix = index;
    if (next < 4096) {
      table.set(key, next);
      if (next++ === 1 << width) width++;
    } else {
      emit(clear);
      table = new Map();
      [width, next] = [BITS + 1, clear + 2];
    }
  }
  emit(prefix);
  emit(clear + 1);
  if (filled > 0) bytes.push(buffer & 255);
  const blocks = [];
  for (let i = 0; i < bytes.length; i += 255) blocks.push(Math.min(255, bytes.length - i), ...bytes.slice(i, i + 255));
  return Uint8Array.from([...blocks, 0]);
}
