// The cards next to the image: classes, palettes, resolutions and times.

import { css } from "./paint.js";
import { byId, make, percent, seconds, swatch } from "./elements.js";

export const STEPS = ["prior", "decoder", "inverse"];

// Return the pixel fraction of each class, in descending order.
export function classFractions(result, count) {
  const counts = new Array(count).fill(0);
  for (const id of result.mask) counts[id] += 1;
  return counts
    .map((pixels, id) => ({ id, fraction: pixels / result.mask.length }))
    .sort((a, b) => b.fraction - a.fraction);
}

export function showLegend(
  result, model, palette, selected, { onPoint, onSelect },
) {
  const fractions = classFractions(result, model.classes.length);
  const present = fractions.filter(({ fraction }) => fraction > 0);
  byId("legend").replaceChildren(...present.map(({ id, fraction }) => {
    const bar = make("span", { className: "bar" });
    bar.style.width = `${100 * fraction / present[0].fraction}%`;
    const button = make(
      "button",
      { type: "button", "aria-pressed": selected === id },
      swatch(css(palette[id])),
      make("span", { className: "name" }, model.classes[id]),
      make("span", { className: "fraction" }, percent(fraction)),
      bar,
    );
    button.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") onPoint(id);
    });
    button.addEventListener("pointerleave", () => onPoint(null));
    button.addEventListener("click", () =>
      onSelect(selected === id ? null : id)
    );
    return make("li", {}, button);
  }));
  const absent = fractions.length - present.length;
  const names = fractions.filter(({ fraction }) => !fraction)
    .map(({ id }) => model.classes[id]);
  byId("absent").textContent = absent === 0 ? "" : absent > 12
    ? `${absent} other classes are not present.`
    : `Not present: ${names.join(", ")}.`;
}

export function showPalettes(model, chosen, onChoose) {
  byId("palettes").replaceChildren(...model.palettes.map((palette, index) => {
    const input = make("input", {
      type: "radio", name: "palette", checked: index === chosen,
      className: "visually-hidden",
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
      make("span", { className: "muted small" },
        `${palette.note}; smallest distance ${distance}`),
      strip,
    );
  }));
}

// Show the time of each step at each resolution tried so far, and the pixel
// agreement with the mask at full resolution.
export function showTimes(results, current) {
  const tried = [...results.values()]
    .sort((a, b) => b.scale - a.scale);
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
      notes.push(`${percent(agreement(result, full))} equal to full size`);
    }
    if (result.hasCompiled) notes.push("including compilation");
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
