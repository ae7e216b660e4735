// Render results on canvases.

// A colormap of increasing lightness, readable without color vision.
const CONFIDENCE_COLORMAP = [
  [20, 11, 52], [87, 16, 110], [158, 42, 99], [212, 72, 66], [245, 125, 21],
  [250, 193, 39], [252, 255, 164],
];

export const PAINTERS = {
  tokens: (result) => tokenPixels(result),
  maskige: (result) => opaque(result.maskige, result),
  mask: (result, palette) => maskPixels(result, palette),
  confidence: (result) => confidencePixels(result),
};

// Render a view on a canvas of the segmented size.
export function paint(canvas, name, result, palette) {
  canvas.width = result.width;
  canvas.height = result.height;
  const context = canvas.getContext("2d");
  context.putImageData(PAINTERS[name](result, palette), 0, 0);
}

// Darken each pixel `i` for which `isHighlighted(i)` is false.
export function shade(canvas, result, isHighlighted) {
  canvas.width = result.width;
  canvas.height = result.height;
  const image = blank(result);
  for (let i = 0; i < result.mask.length; i++) {
    if (!isHighlighted(i)) image.data[4 * i + 3] = 190;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Render a square RGB image on a canvas of its size.
export function paintSquare(canvas, rgb, side) {
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  context.putImageData(opaque(rgb, { width: side, height: side }), 0, 0);
}

// Token ids are categorical: the golden angle gives consecutive ids distinct
// hues.
export function tokenColor(token) {
  const hue = (token * 137.508) % 360;
  const lightness = [62, 46, 74][token % 3];
  return hslToRgb(hue, 0.62, lightness / 100);
}

// Interpolate the colormap linearly.
export function confidenceColor(confidence) {
  const colormap = CONFIDENCE_COLORMAP;
  const position = confidence * (colormap.length - 1);
  const low = Math.min(Math.floor(position), colormap.length - 2);
  return colormap[low].map((value, channel) =>
    value + (position - low) * (colormap[low + 1][channel] - value)
  );
}

export function css([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

// Return the index of the token that covers a pixel.
export function tokenIndex(result, stride, x, y) {
  return Math.floor(y / stride) * result.columns + Math.floor(x / stride);
}

function tokenPixels(result) {
  const image = blank(result);
  const stride = result.stride;
  const colors = new Map();
  for (let y = 0, i = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++, i += 4) {
      const token = result.tokens[tokenIndex(result, stride, x, y)];
      if (!colors.has(token)) colors.set(token, tokenColor(token));
      setPixel(image.data, i, colors.get(token));
    }
  }
  return image;
}

function maskPixels(result, palette) {
  const image = blank(result);
  result.mask.forEach((id, i) => {
    setPixel(image.data, 4 * i, palette[id] ?? [128, 128, 128]);
  });
  return image;
}

function confidencePixels(result) {
  const image = blank(result);
  const colors = Array.from({ length: 256 }, (_, i) =>
    confidenceColor(i / 255)
  );
  result.confidence.forEach((value, i) => {
    setPixel(image.data, 4 * i, colors[value]);
  });
  return image;
}

function opaque(rgb, size) {
  const image = blank(size);
  for (let i = 0, j = 0; j < rgb.length; i += 4, j += 3) {
    image.data[i] = rgb[j];
    image.data[i + 1] = rgb[j + 1];
    image.data[i + 2] = rgb[j + 2];
    image.data[i + 3] = 255;
  }
  return image;
}

function blank({ width, height }) {
  return new ImageData(width, height);
}

function setPixel(data, offset, color) {
  data[offset] = color[0];
  data[offset + 1] = color[1];
  data[offset + 2] = color[2];
  data[offset + 3] = 255;
}

function hslToRgb(hue, saturation, lightness) {
  const amplitude = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((offset) => {
    const k = (offset + hue / 30) % 12;
    const value =
      lightness - amplitude * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value);
  });
}
