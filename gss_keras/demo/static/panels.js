// The cards beside the picture: classes, palettes, sizes and times.

import { css } from "./paint.js";
import { byId, make, percent, seconds, swatch } from "./elements.js";

export const STEPS = ["prior", "decoder", "inverse"];

// Number of pixels of each class, the largest first.
export function classCounts(result, count) {
  const counts = new Array(count).fill(0);
  for (const id of result.mask) counts[id] += 1;
  return counts
    .map((pixels, id) => ({ id, share: pixels / result.mask.length }))
    .sort((one, other) => other.share - one.share);
}

export function showLegend(result, model, palette, kept, { onPoint, onKeep }) {
  const counts = classCounts(result, model.classes.length);
  const present = counts.filter(({ share }) => share > 0);
  byId("legend").replaceChildren(...present.map(({ id, share }) => {
    const bar = make("span", { className: "bar" });
    bar.style.width = `${100 * share / present[0].share}%`;
    const button = make(
      "button",
      { type: "button", "aria-pressed": kept === id },
      swatch(css(palette[id])),
      make("span", { className: "name" }, model.classes[id]),
      make("span", { className: "share" }, percent(share)),
      bar,
    );
    button.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") onPoint(id);
    });
    button.addEventListener("pointerleave", () => onPoint(null));
    button.addEventListener("click", () => onKeep(kept === id ? null : id));
    return make("li", {}, button);
  }));
  const absent = counts.length - present.length;
  const names = counts.filter(({ share }) => !share)
    .map(({ id }) => model.classes[id]);
  byId("absent").textContent = absent === 0 ? "" : absent > 12
    ? `${absent} other classes do not occur.`
    : `Not found: ${names.join(", ")}.`;
}

export function showPalettes(model, chosen, onChoose) {
  byId("palettes").replaceChildren(...model.palettes.map((palette, index) => {
    const input = make("input", {
      type: "radio", name: "palette", checked: index === chosen,
      className: "unseen",
    });
    input.addEventListener("change", () => onChoose(index));
    const strip = make("span", { className: "strip" });
    strip.append(...palette.colors.map((color) => {
      const piece = make("i");
      piece.style.background = css(color);
      return piece;
    }));
    const distance = palette.smallest_distance;
    return make(
      "label", { className: "palette" }, input,
      make("span", { className: "name" }, palette.name),
      make("span", { className: "soft small" },
        `${palette.note}; closest two ${distance} apart`),
      strip,
    );
  }));
}

// Shows how long each step took at each size that was tried, and how many
// pixels are of the same class as at the full size.
export function showTimes(results, current) {
  const tried = [...results.values()]
    .sort((one, other) => other.scale - one.scale);
  const sum = (result) =>
    STEPS.reduce((total, step) => total + result.seconds[step], 0);
  const longest = Math.max(...tried.map(sum));
  const full = results.get(1);
  const rows = tried.map((result) => {
    const bar = make("div", { className: "stack" });
    bar.append(...STEPS.map((step) => {
      const piece = make("i", {
        className: step,
        title: `${step} ${seconds(result.seconds[step])}`,
      });
      piece.style.width = `${100 * result.seconds[step] / longest}%`;
      return piece;
    }));
    const notes = [
      `${result.width} \u00d7 ${result.height}`,
      seconds(sum(result)),
    ];
    if (result !== full && full) {
      notes.push(`${percent(agreement(result, full))} as at full size`);
    }
    if (result.hasCompiled) notes.push("compiling included");
    return make(
      "li", { className: result === current ? "current" : "" },
      make("span", {}, notes.join(" \u00b7 ")), bar,
    );
  });
  const parts = STEPS.map((step) => make(
    "span", {}, make("i", { className: `dot ${step}` }),
    `${step} ${seconds(current.seconds[step])}`,
  ));
  byId("times").replaceChildren(
    make("p", { className: "steps" }, ...parts),
    make("ul", { className: "tried" }, ...rows),
  );
}

function agreement(result, full) {
  let same = 0;
  for (let y = 0; y < full.height; y++) {
    const row = Math.floor(((y + 0.5) * result.height) / full.height);
    for (let x = 0; x < full.width; x++) {
      const column = Math.floor(((x + 0.5) * result.width) / full.width);
      same += result.mask[row * result.width + column] ===
        full.mask[y * full.width + x];
    }
  }
  return same / full.mask.length;
}
