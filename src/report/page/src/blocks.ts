// The blocks of data in the page: base64 of zlib of the values' bytes, least bytes first, all first
// bytes before all second bytes.

export type Values = Uint8Array | Uint16Array | Uint32Array | Float32Array | Float64Array;

const WIDTHS: Record<string, number> = { json: 1, u8: 1, u16: 2, u32: 4, f32: 4, f64: 8 };

/** The values of a block; it is taken out of the document, which frees its letters. */
export async function block(name: string): Promise<Values> {
  const element = document.getElementById(name);
  if (!element) throw new Error(`the page has no block ${name}`);
  const kind = element.dataset["kind"] ?? "u8";
  const packed = fromBase64(element.textContent ?? "");
  element.remove();
  const planes = await inflated(packed);
  const width = WIDTHS[kind] ?? 1;
  const bytes = width === 1 ? planes : interleaved(planes, width);
  switch (kind) {
    case "u16":
      return new Uint16Array(bytes.buffer, 0, bytes.length / 2);
    case "u32":
      return new Uint32Array(bytes.buffer, 0, bytes.length / 4);
    case "f32":
      return new Float32Array(bytes.buffer, 0, bytes.length / 4);
    case "f64":
      return new Float64Array(bytes.buffer, 0, bytes.length / 8);
    default:
      return bytes;
  }
}

export async function facts(): Promise<unknown> {
  return JSON.parse(new TextDecoder().decode((await block("facts")) as Uint8Array<ArrayBuffer>));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const direct = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (direct) return direct.call(Uint8Array, text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

async function inflated(packed: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  // Written by hand: a Blob would take the bytes through another process.
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  const written = writer.write(packed).then(() => writer.close());
  const [bytes] = await Promise.all([new Response(stream.readable).arrayBuffer(), written]);
  return new Uint8Array(bytes);
}

/** The values' bytes in their order; a word at a time, as every browser's machine has the least byte first. */
function interleaved(planes: Uint8Array, width: number): Uint8Array<ArrayBuffer> {
  const n = planes.length / width;
  const bytes = new Uint8Array(planes.length);
  const plane = (place: number): Uint8Array => planes.subarray(place * n, (place + 1) * n);
  if (width === 2) {
    const [a, b] = [plane(0), plane(1)];
    const words = new Uint16Array(bytes.buffer);
    for (let i = 0; i < n; i++) words[i] = a[i]! | (b[i]! << 8);
    return bytes;
  }
  const words = new Uint32Array(bytes.buffer);
  const step = width / 4;
  for (let word = 0; word < step; word++) {
    const [a, b, c, d] = [plane(4 * word), plane(4 * word + 1), plane(4 * word + 2), plane(4 * word + 3)];
    for (let i = 0, at = word; i < n; i++, at += step) words[at] = a[i]! | (b[i]! << 8) | (c[i]! << 16) | (d[i]! << 24);
  }
  return bytes;
}
