// What was done in a dream, step by step, as text for a link: with the seed it is the whole dream.

/** Values that a step is made with: who plays, keys held as bits, tilt in 64ths, temperature in hundredths. */
export const INPUTS = ["agent", "held", "tilt", "temperature"];
export const TILT_STEPS = 64;
const FINGERPRINT = /^[0-9a-f]{12}$/;

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

  /** Whether all temperatures lie in a range, in hundredths. */
  keepsTo(lowest, highest) {
    return this.changes.every(([, kind, value]) => INPUTS[kind] !== "temperature" || (lowest <= value && value <= highest));
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

  /** The inverse of toText; null where the text is no whole log. */
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
      for (let shift = 0; at < bytes.length; shift += 7) {
        value |= (bytes[at] & 127) << shift;
        if (bytes[at++] < 128) return value;
      }
      return NaN; // it was cut
    };
    const changes = [];
    let step = 0;
    while (at < bytes.length) {
      const head = read();
      const value = read();
      if (Number.isNaN(head) || Number.isNaN(value)) return null;
      step += head >>> 2;
      changes.push([step, head & 3, (value >>> 1) ^ -(value & 1)]);
    }
    return new Log(changes);
  }
}

/**
 * The part of an address after "#" as an object: seed, start, steps, of, log; each undefined where it is not there. The
 * log is null where the link was cut, or where a temperature is outside the range that is given, in hundredths.
 */
export function readLink(hash, [lowest, highest]) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const whole = (name) => (/^\d{1,15}$/.test(given.get(name) ?? "") ? Number(given.get(name)) : undefined);
  let log = given.has("do") ? Log.fromText(given.get("do")) : undefined;
  const of = given.get("of") ?? undefined;
  if (log && !(FINGERPRINT.test(of) && log.keepsTo(lowest, highest))) log = null; // "of" stands last in a link
  return { seed: whole("seed"), start: whole("start"), steps: whole("steps"), of, log };
}

export function makeLink({ seed, start, steps, of, log }) {
  return `#${new URLSearchParams({ seed, start, steps, do: log.toText(), of })}`;
}
