// The image viewer: a view over the photo, a cursor and a selected token.

import { paint, shade, tokenIndex } from "./paint.js";

const $ = (id) => document.getElementById(id);
const viewer = $("viewer");
// Maximum height in percent of the window's, and maximum aspect ratio, beyond
// which the viewer would be too thin.
const MAX_HEIGHT = 76;
const MAX_ASPECT_RATIO = 6;

export class Viewer {
  // `onPoint` gets the hovered pixel `{ x, y }`, `onPick` the index of the
  // selected token; null for none.
  constructor({ onPoint, onPick }) {
    this.onPoint = onPoint;
    this.onPick = onPick;
    viewer.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse") onPoint(this.pixelAt(event));
    });
    viewer.addEventListener("pointerleave", () => onPoint(null));
    viewer.addEventListener("click", (event) => {
      const pixel = this.pixelAt(event);
      if (pixel) this.pick(pixel);
    });
    viewer.addEventListener("keydown", (event) => this.onKey(event));
    viewer.addEventListener("blur", () => this.hideCursor());
  }

  show(result) {
    const isNewSize = this.result?.stride !== result.stride ||
      this.result?.width !== result.width;
    this.result = result;
    const [width, height] = result.fullSize;
    const ratio = Math.min(
      MAX_ASPECT_RATIO, Math.max(1 / MAX_ASPECT_RATIO, width / height)
    );
    viewer.style.aspectRatio = ratio;
    viewer.style.width = `min(100%, ${(MAX_HEIGHT * ratio).toFixed(2)}vh)`;
    if ($("photo").src !== result.photo) $("photo").src = result.photo;
    if (isNewSize) {
      this.hideCursor();
      this.mark(null);
    }
  }

  showStep(name, palette, opacity) {
    $("layer").hidden = name === "photo";
    if (name !== "photo") paint($("layer"), name, this.result, palette);
    this.setOpacity(opacity);
  }

  setOpacity(opacity) {
    $("layer").style.opacity = opacity;
  }

  // Darken all pixels but those for which `isHighlighted` is true; null to
  // clear.
  highlight(isHighlighted) {
    $("shade").hidden = !isHighlighted;
    if (isHighlighted) shade($("shade"), this.result, isHighlighted);
  }

  // Outline the token with this index; null to clear.
  mark(index) {
    this.outline($("selected"), index);
  }

  hideCursor() {
    this.cursor = null;
    this.outline($("cursor"), null);
  }

  pixelAt(event) {
    const box = viewer.getBoundingClientRect();
    const { width, height } = this.result;
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return null;
    return { x, y };
  }

  pick({ x, y }) {
    this.onPoint({ x, y });
    this.onPick(tokenIndex(this.result, this.result.stride, x, y));
  }

  onKey(event) {
    const { width, height, columns, rows, stride } = this.result;
    const step = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    }[event.key];
    if (step) {
      event.preventDefault();
      const [column, row] = this.cursor ??
        [Math.floor(columns / 2), Math.floor(rows / 2)];
      const jump = event.shiftKey ? 8 : this.cursor ? 1 : 0;
      this.cursor = [
        Math.min(columns - 1, Math.max(0, column + jump * step[0])),
        Math.min(rows - 1, Math.max(0, row + jump * step[1])),
      ];
      this.outline($("cursor"), this.cursor[1] * columns + this.cursor[0]);
    } else if (event.key === "Escape") {
      this.hideCursor();
      this.onPick(null);
      return;
    } else if (event.key !== "Enter" || !this.cursor) {
      return;
    }
    const center = (index, side) =>
      Math.min(side - 1, index * stride + Math.floor(stride / 2));
    const pixel = {
      x: center(this.cursor[0], width), y: center(this.cursor[1], height),
    };
    if (event.key === "Enter") this.pick(pixel);
    else this.onPoint(pixel);
  }

  outline(element, index) {
    element.hidden = index === null;
    if (index === null) return;
    const { width, height, columns, stride } = this.result;
    const left = (index % columns) * stride;
    const top = Math.floor(index / columns) * stride;
    const percent = (value, whole) => `${(100 * value) / whole}%`;
    element.style.left = percent(left, width);
    element.style.top = percent(top, height);
    element.style.width = percent(Math.min(stride, width - left), width);
    element.style.height = percent(Math.min(stride, height - top), height);
  }
}
