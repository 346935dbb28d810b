// What was done in a dream, step by step, as text for a link: with the seed it is the whole dream.

/** Values that a step is made with: who plays, keys held as bits, tilt in 64ths, temperature in hundredths. */
export const INPUTS = ["agent", "held", "tilt", "temperature"];

/** A log of changes: [step, input, value], in the order of time. */
export class Log {
  constructor(changes = []) {
    this.changes = changes;
    this.last = {};
  }

  note(step, inputs) {
    INPUTS.forEach((name, kind) => {
      if (this.last[name] !== inputs[name]) this.changes.push([step, kind, (this.last[name] = inputs[name])]);
    });
  }

  /** The inputs of a step, given those of the step before. */
  apply(step, inputs) {
    const now = { ...inputs };
    for (const [at, kind, value] of this.changes) {
      if (at === step) now[INPUTS[kind]] = value;
    }
    return now;
  }

  toText() {
    const bytes = [];
    const write = (value) => {
      for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
      bytes.push(value);
    };
    let before = 0;
    for (const [step, kind, value] of this.changes) {
      write(((step - before) << 2) | kind);
      write((value << 1) ^ (value >> 31)); // signs to the lowest bit
      before = step;
    }
    return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  }

  /** The inverse of toText; null where the text is no log. */
  static fromText(text) {
    let bytes;
    try {
      bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
    } catch {
      return null;
    }
    let at = 0;
    const read = () => {
      let value = 0;
      for (let shift = 0; ; shift += 7) {
        value |= (bytes[at] & 127) << shift;
        if (bytes[at++] < 128 || at >= bytes.length) return value;
      }
    };
    const changes = [];
    let step = 0;
    while (at < bytes.length) {
      const head = read();
      const value = read();
      step += head >>> 2;
      changes.push([step, head & 3, (value >>> 1) ^ -(value & 1)]);
    }
    return new Log(changes);
  }
}

/** The part of an address after "#" as an object: seed, start, of, length, log; empty where there is none. */
export function readLink(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const whole = (name) => (/^\d{1,15}$/.test(given.get(name) ?? "") ? Number(given.get(name)) : undefined);
  const log = given.has("do") ? Log.fromText(given.get("do")) : undefined;
  return { seed: whole("seed"), start: whole("start"), steps: whole("steps"), of: given.get("of"), log };
}

export function makeLink({ seed, start, steps, of, log }) {
  return `#${new URLSearchParams({ seed, start, steps, of, do: log.toText() })}`;
}
