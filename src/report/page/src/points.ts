// The markers of the map, with WebGL2 or in the pixels of a 2D canvas.

import type { Rgb } from "./colours";

export interface View {
  /** The left and lower edge of what is seen, in shares of the whole. */
  x: number;
  y: number;
  scale: number;
}

/** What is drawn; lengths are in pixels of the canvas. */
export interface Frame {
  /** The markers from one place in their order to another; those from 0 on are the first of a picture. */
  from: number;
  to: number;
  view: View;
  left: number;
  top: number;
  width: number;
  height: number;
  size: number;
  alpha: number;
}

/** Markers in one order; states are 0 hidden, 1 faint, 2 shown, 3 raised. */
export interface Points {
  readonly name: string;
  setPlaces(places: Float32Array): void;
  setColours(palette: Rgb[], shapes: number[], of: Uint8Array): void;
  setStates(states: Uint8Array): void;
  draw(frame: Frame): void;
  /** Waits until all is drawn. */
  finish(): void;
}

const VERTEX = `#version 300 es
in vec2 place;
in float colour;
in float state;
uniform vec3 view;
uniform float size;
uniform float pass;
uniform sampler2D palette;
out vec4 paint;
flat out int form;
void main() {
  bool drawn = pass < 0.5 ? state == 1.0 : pass < 1.5 ? state == 2.0 : state == 3.0;
  vec2 at = (place - view.xy) * view.z * 2.0 - 1.0;
  bool seen = drawn && place.x == place.x && place.y == place.y;
  gl_Position = seen ? vec4(at, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  vec4 entry = texelFetch(palette, ivec2(int(colour), 0), 0);
  paint = entry;
  form = int(entry.a * 255.0 + 0.5);
  gl_PointSize = seen ? (pass > 1.5 ? size * 1.35 : size) + 1.0 : 0.0;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec4 paint;
flat in int form;
uniform float size;
uniform float alpha;
uniform float pass;
out vec4 result;
void main() {
  float full = pass > 1.5 ? size * 1.35 : size;
  vec2 p = (gl_PointCoord - 0.5) * (full + 1.0);
  float r = full * 0.5;
  vec2 q = abs(p);
  float d;
  if (form == 1) d = (q.x + q.y) * 0.7071 - r * 0.72;
  else if (form == 2) d = max(q.x, q.y) - r * 0.8;
  else if (form == 3) d = max(q.x * 0.866 - p.y * 0.5, p.y) - r * 0.56;
  else if (form == 4) d = max(q.x * 0.866 + p.y * 0.5, -p.y) - r * 0.56;
  else if (form == 5) d = max(abs(q.x - q.y) * 0.7071 - r * 0.28, max(q.x, q.y) - r * 0.85);
  else d = length(p) - r;
  float cover = clamp(0.5 - d, 0.0, 1.0) * (pass < 0.5 ? alpha * 0.16 : alpha);
  if (cover < 0.01) discard;
  result = vec4(paint.rgb * cover, cover);
}`;

/** Whether the browser has no graphics processor to draw with. */
function isByProcessor(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl) return true;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

export class GlPoints implements Points {
  readonly name = "WebGL2";
  private readonly program: WebGLProgram;
  private readonly texture: WebGLTexture;
  private readonly buffers: Record<string, WebGLBuffer> = {};
  private n = 0;
  private counts = [0, 0, 0, 0];

  private constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly gl: WebGL2RenderingContext,
    program: WebGLProgram,
  ) {
    this.program = program;
    this.texture = gl.createTexture()!;
    gl.useProgram(program);
    for (const [name, size] of [["place", 2], ["colour", 1], ["state", 1]] as const) {
      const buffer = gl.createBuffer()!;
      this.buffers[name] = buffer;
      const at = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, name === "place" ? gl.FLOAT : gl.UNSIGNED_BYTE, false, 0, 0);
    }
  }

  /** None where the browser has no WebGL2, or only one that the processor works out, which is slower than pixels. */
  static open(canvas: HTMLCanvasElement, isForced: boolean): GlPoints | null {
    if (!isForced && isByProcessor()) return null;
    const gl = canvas.getContext("webgl2", { antialias: false, preserveDrawingBuffer: true, alpha: true });
    if (!gl) return null;
    const program = gl.createProgram()!;
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(kind)!;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      console.error(gl.getProgramInfoLog(program));
      return null;
    }
    return new GlPoints(canvas, gl, program);
  }

  private upload(name: string, values: Float32Array | Uint8Array): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[name]!);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, values as BufferSource, this.gl.STATIC_DRAW);
  }

  setPlaces(places: Float32Array): void {
    this.n = places.length / 2;
    this.upload("place", places);
  }

  setColours(palette: Rgb[], shapes: number[], of: Uint8Array): void {
    const gl = this.gl;
    const texels = new Uint8Array(256 * 4);
    palette.forEach((colour, i) => texels.set([...colour, shapes[i] ?? 0], i * 4));
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, texels);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.upload("colour", of);
  }

  setStates(states: Uint8Array): void {
    this.counts = [0, 0, 0, 0];
    for (const state of states) this.counts[state]!++;
    this.upload("state", states);
  }

  draw(frame: Frame): void {
    const gl = this.gl;
    const uniform = (name: string): WebGLUniformLocation | null => gl.getUniformLocation(this.program, name);
    if (frame.from === 0) {
      gl.disable(gl.SCISSOR_TEST);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
    }
    const to = Math.min(frame.to, this.n);
    if (to <= frame.from) return;
    const bottom = this.canvas.height - frame.top - frame.height;
    gl.viewport(frame.left, bottom, frame.width, frame.height);
    gl.scissor(frame.left, bottom, frame.width, frame.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.uniform3f(uniform("view"), frame.view.x, frame.view.y, frame.view.scale);
    gl.uniform1f(uniform("size"), frame.size);
    gl.uniform1f(uniform("alpha"), frame.alpha);
    for (let pass = 0; pass < 3; pass++) {
      if (this.counts[pass + 1] === 0) continue;
      gl.uniform1f(uniform("pass"), pass);
      gl.drawArrays(gl.POINTS, frame.from, to - frame.from);
    }
  }

  finish(): void {
    // Reading a pixel waits until all are drawn, which nothing else does in every browser.
    this.gl.readPixels(0, 0, 1, 1, this.gl.RGBA, this.gl.UNSIGNED_BYTE, new Uint8Array(4));
  }
}

/** Places within a pixel, to each side, for which a marker is worked out. */
const PARTS = 4;

/** The pixels that a marker covers, around the one that its middle is in, and how much of each. */
interface Stamp {
  dx: Int16Array;
  dy: Int16Array;
  cover: Float32Array;
}

/** How far a place is outside of a shape of this radius; less than 0 inside, as in the shader. */
function outside(shape: number, radius: number, x: number, y: number): number {
  const [ax, ay] = [Math.abs(x), Math.abs(y)];
  switch (shape) {
    case 1:
      return (ax + ay) * 0.7071 - radius * 0.72;
    case 2:
      return Math.max(ax, ay) - radius * 0.8;
    case 3:
      return Math.max(ax * 0.866 - y * 0.5, y) - radius * 0.56;
    case 4:
      return Math.max(ax * 0.866 + y * 0.5, -y) - radius * 0.56;
    case 5:
      return Math.max(Math.abs(ax - ay) * 0.7071 - radius * 0.28, Math.max(ax, ay) - radius * 0.85);
    default:
      return Math.hypot(x, y) - radius;
  }
}

function stampOf(shape: number, radius: number, fx: number, fy: number): Stamp {
  const reach = Math.ceil(radius * 1.3) + 1;
  const [dx, dy, cover]: [number[], number[], number[]] = [[], [], []];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const share = Math.min(Math.max(0.5 - outside(shape, radius, x + 0.5 - fx, y + 0.5 - fy), 0), 1);
      if (share < 0.02) continue;
      dx.push(x);
      dy.push(y);
      cover.push(share);
    }
  }
  return { dx: Int16Array.from(dx), dy: Int16Array.from(dy), cover: Float32Array.from(cover) };
}

export class PixelPoints implements Points {
  readonly name = "2D canvas";
  private places: Float32Array = new Float32Array();
  private colours: Uint8Array = new Uint8Array();
  private states: Uint8Array = new Uint8Array();
  private palette: Rgb[] = [];
  private shapes: number[] = [];
  /** Red, green, blue and cover of every pixel, multiplied by the cover. */
  private sums = new Float32Array();

  constructor(private readonly canvas: HTMLCanvasElement) {}

  setPlaces(places: Float32Array): void {
    this.places = places;
  }

  setColours(palette: Rgb[], shapes: number[], of: Uint8Array): void {
    this.palette = palette;
    this.shapes = shapes;
    this.colours = of;
  }

  setStates(states: Uint8Array): void {
    this.states = states;
  }

  draw(frame: Frame): void {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    if (frame.from === 0) context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const to = Math.min(frame.to, this.states.length);
    if (to <= frame.from) return;
    const [width, height] = [Math.round(frame.width), Math.round(frame.height)];
    if (this.sums.length !== 4 * width * height) this.sums = new Float32Array(4 * width * height);
    else if (frame.from === 0) this.sums.fill(0);
    for (let pass = 1; pass <= 3; pass++) this.add(frame, to, pass, width, height);
    const image = new ImageData(width, height);
    const [sums, data] = [this.sums, image.data];
    for (let at = 0; at < data.length; at += 4) {
      const cover = sums[at + 3]!;
      if (cover === 0) continue;
      data[at] = sums[at]! / cover;
      data[at + 1] = sums[at + 1]! / cover;
      data[at + 2] = sums[at + 2]! / cover;
      data[at + 3] = 255 * cover;
    }
    context.putImageData(image, Math.round(frame.left), Math.round(frame.top));
  }

  /** Adds the markers of a state to the sums. */
  private add(frame: Frame, to: number, pass: number, width: number, height: number): void {
    const { places, colours, states, palette, sums } = this;
    const { x: vx, y: vy, scale } = frame.view;
    const radius = (frame.size * (pass === 3 ? 1.35 : 1)) / 2;
    const alpha = pass === 1 ? frame.alpha * 0.16 : frame.alpha;
    const stamps = new Map<number, Stamp>();
    for (let i = frame.from; i < to; i++) {
      if (states[i] !== pass) continue;
      const cx = (places[2 * i]! - vx) * scale * width;
      const cy = height - (places[2 * i + 1]! - vy) * scale * height;
      if (!(cx > -radius && cx < width + radius && cy > -radius && cy < height + radius)) continue;
      const [px, py] = [Math.floor(cx), Math.floor(cy)];
      const [fx, fy] = [Math.floor((cx - px) * PARTS), Math.floor((cy - py) * PARTS)];
      const colour = colours[i]!;
      const shape = this.shapes[colour] ?? 0;
      const key = (shape * PARTS + fx) * PARTS + fy;
      let stamp = stamps.get(key);
      if (!stamp) stamps.set(key, (stamp = stampOf(shape, radius, (fx + 0.5) / PARTS, (fy + 0.5) / PARTS)));
      const [r, g, b] = palette[colour] ?? [128, 128, 128];
      const { dx, dy, cover } = stamp;
      for (let k = 0; k < cover.length; k++) {
        const [x, y] = [px + dx[k]!, py + dy[k]!];
        if (x < 0 || x >= width || y < 0 || y >= height) continue;
        const share = cover[k]! * alpha;
        const rest = 1 - share;
        const at = 4 * (y * width + x);
        sums[at] = r * share + sums[at]! * rest;
        sums[at + 1] = g * share + sums[at + 1]! * rest;
        sums[at + 2] = b * share + sums[at + 2]! * rest;
        sums[at + 3] = share + sums[at + 3]! * rest;
      }
    }
  }

  finish(): void {
    // Pixels are there when they are put.
  }
}
