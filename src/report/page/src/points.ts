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

  /** None where the browser has no WebGL2. */
  static open(canvas: HTMLCanvasElement): GlPoints | null {
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

export class PixelPoints implements Points {
  readonly name = "2D canvas";
  private places: Float32Array = new Float32Array();
  private colours: Uint8Array = new Uint8Array();
  private states: Uint8Array = new Uint8Array();
  private palette: Rgb[] = [];

  constructor(private readonly canvas: HTMLCanvasElement) {}

  setPlaces(places: Float32Array): void {
    this.places = places;
  }

  setColours(palette: Rgb[], _shapes: number[], of: Uint8Array): void {
    this.palette = palette;
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
    const image =
      frame.from === 0
        ? new ImageData(width, height)
        : context.getImageData(Math.round(frame.left), Math.round(frame.top), width, height);
    const data = image.data;
    const { x: vx, y: vy, scale } = frame.view;
    for (let pass = 1; pass <= 3; pass++) {
      const radius = (frame.size * (pass === 3 ? 1.35 : 1)) / 2;
      const reach = Math.ceil(radius);
      const alpha = pass === 1 ? frame.alpha * 0.16 : frame.alpha;
      for (let i = frame.from; i < to; i++) {
        if (this.states[i] !== pass) continue;
        const cx = (this.places[2 * i]! - vx) * scale * width;
        const cy = height - (this.places[2 * i + 1]! - vy) * scale * height;
        if (!(cx > -reach && cx < width + reach && cy > -reach && cy < height + reach)) continue;
        const [r, g, b] = this.palette[this.colours[i]!] ?? [128, 128, 128];
        for (let y = Math.max(Math.floor(cy) - reach, 0); y <= Math.min(Math.floor(cy) + reach, height - 1); y++) {
          for (let x = Math.max(Math.floor(cx) - reach, 0); x <= Math.min(Math.floor(cx) + reach, width - 1); x++) {
            const d = Math.hypot(x + 0.5 - cx, y + 0.5 - cy) - radius;
            const cover = Math.min(Math.max(0.5 - d, 0), 1) * alpha;
            if (cover <= 0) continue;
            const at = 4 * (y * width + x);
            const below = (data[at + 3]! / 255) * (1 - cover);
            const all = cover + below;
            data[at] = (r * cover + data[at]! * below) / all;
            data[at + 1] = (g * cover + data[at + 1]! * below) / all;
            data[at + 2] = (b * cover + data[at + 2]! * below) / all;
            data[at + 3] = 255 * all;
          }
        }
      }
    }
    context.putImageData(image, Math.round(frame.left), Math.round(frame.top));
  }

  finish(): void {
    // Pixels are there when they are put.
  }
}
