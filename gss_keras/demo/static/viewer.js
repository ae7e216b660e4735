// The large picture: a step of the way over the photo, and what is picked.

import { paint, shade, tokenPlace } from "./paint.js";

const $ = (id) => document.getElementById(id);
const viewer = $("viewer");
// The share of the window's height that the picture may take, and its ratio
// at most, beyond which a strip would be too thin to see.
const TALLEST = 76;
const MOST_UNEVEN = 6;

export class Viewer {
  // `onPoint(place or null)` tells the pixel that is pointed at, `onPick` the
  // token that is picked.
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
      MOST_UNEVEN, Math.max(1 / MOST_UNEVEN, width / height)
    );
    viewer.style.aspectRatio = ratio;
    viewer.style.width = `min(100%, ${(TALLEST * ratio).toFixed(2)}vh)`;
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

  // Darkens all but the pixels for which `isShown` is true; null for none.
  focus(isShown) {
    $("shade").hidden = !isShown;
    if (isShown) shade($("shade"), this.result, isShown);
  }

  // Frames the token that was picked.
  mark(place) {
    this.place($("picked"), place);
  }

  hideCursor() {
    this.at = null;
    this.place($("cursor"), null);
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
    this.onPick(tokenPlace(this.result, this.result.stride, x, y));
  }

  onKey(event) {
    const { width, height, columns, rows, stride } = this.result;
    const step = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    }[event.key];
    if (step) {
      event.preventDefault();
      const [column, row] = this.at ??
        [Math.floor(columns / 2), Math.floor(rows / 2)];
      const jump = event.shiftKey ? 8 : this.at ? 1 : 0;
      this.at = [
        Math.min(columns - 1, Math.max(0, column + jump * step[0])),
        Math.min(rows - 1, Math.max(0, row + jump * step[1])),
      ];
      this.place($("cursor"), this.at[1] * columns + this.at[0]);
    } else if (event.key === "Escape") {
      this.hideCursor();
      this.onPick(null);
      return;
    } else if (event.key !== "Enter" || !this.at) {
      return;
    }
    const middle = (index, side) =>
      Math.min(side - 1, index * stride + Math.floor(stride / 2));
    const pixel = {
      x: middle(this.at[0], width), y: middle(this.at[1], height),
    };
    if (event.key === "Enter") this.pick(pixel);
    else this.onPoint(pixel);
  }

  place(element, place) {
    element.hidden = place === null;
    if (place === null) return;
    const { width, height, columns, stride } = this.result;
    const left = (place % columns) * stride;
    const top = Math.floor(place / columns) * stride;
    const percent = (value, whole) => `${(100 * value) / whole}%`;
    element.style.left = percent(left, width);
    element.style.top = percent(top, height);
    element.style.width = percent(Math.min(stride, width - left), width);
    element.style.height = percent(Math.min(stride, height - top), height);
  }
}
