// Converts a picture of one digit to the input of the models: a square of grey values from 0 (paper) to 1 (ink) that
// the digit fills, like the training images. These are pure functions, which the tests run without a page.

const LEAST_CONTRAST = 40; // of 255; a picture with less contrast is an empty sheet with noise
const INK = 0.3; // of full ink; pixels above it count as part of the digit
const LEAST_SHARE = 0.004; // of a row or column; a smaller share of such pixels is specks
const FULL = 0.1; // the darkest tenth of the ink is full ink

// Luminance of each pixel, 0 to 255 (ITU-R BT.601).
export function greyOf(rgba) {
  const grey = new Float32Array(rgba.length / 4);
  for (let i = 0; i < grey.length; i++) {
    grey[i] = 0.299 * rgba[4 * i] + 0.587 * rgba[4 * i + 1] + 0.114 * rgba[4 * i + 2];
  }
  return grey;
}

// The threshold that best separates two groups of grey values (Otsu, 1979).
export function thresholdOf(grey) {
  const counts = new Float64Array(256);
  for (const value of grey) counts[Math.min(255, Math.max(0, Math.round(value)))]++;
  let sum = 0;
  for (let shade = 0; shade < 256; shade++) sum += shade * counts[shade];
  let below = 0, sumBelow = 0, best = -1, threshold = 127;
  for (let shade = 0; shade < 255; shade++) {
    below += counts[shade];
    sumBelow += shade * counts[shade];
    const above = grey.length - below;
    if (!below || !above) continue;
    const apart = sumBelow / below - (sum - sumBelow) / above;
    const between = below * above * apart * apart;
    if (between > best) { best = between; threshold = shade; }
  }
  return threshold;
}

// The amount of ink in each pixel, 0 to 1, for dark on light or light on dark; null if there is no contrast.
export function inkOf(grey) {
  const threshold = thresholdOf(grey);
  const dark = [], light = [];
  for (const value of grey) (value <= threshold ? dark : light).push(value);
  if (!dark.length || !light.length) return null;
  const [ink, paper] = dark.length <= light.length ? [dark, light] : [light, dark];
  const middle = paper.reduce((sum, value) => sum + value, 0) / paper.length;
  ink.sort((a, b) => Math.abs(b - middle) - Math.abs(a - middle));
  const full = ink[Math.floor(FULL * (ink.length - 1))];
  if (Math.abs(full - middle) < LEAST_CONTRAST) return null;
  return Float32Array.from(grey, (value) => Math.min(1, Math.max(0, (value - middle) / (full - middle))));
}

// The range of rows and columns that the digit fills, without the ends; null if there is no digit.
export function boxOf(ink, width, height) {
  const rows = new Uint32Array(height), columns = new Uint32Array(width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) if (ink[y * width + x] >= INK) { rows[y]++; columns[x]++; }
  }
  const inside = (counts, most) => {
    const least = Math.max(1, LEAST_SHARE * most);
    const first = counts.findIndex((count) => count >= least);
    return first < 0 ? null : [first, counts.findLastIndex((count) => count >= least) + 1];
  };
  const y = inside(rows, width), x = inside(columns, height);
  return x && y ? { left: x[0], right: x[1], top: y[0], bottom: y[1] } : null;
}

// The digit as `side` x `side` cells, each the mean of its ink; the longer side of the bounding box fills the square.
export function cellsOf(ink, width, height, box, side) {
  const cell = Math.max(box.right - box.left, box.bottom - box.top) / side;
  const left = (box.left + box.right - cell * side) / 2, top = (box.top + box.bottom - cell * side) / 2;
  const cells = new Float32Array(side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      cells[row * side + column] = meanOf(ink, width, height, left + column * cell, top + row * cell, cell);
    }
  }
  return cells;
}

// The mean of a square of pixels, weighted by their area inside the square; there is no ink outside the picture.
function meanOf(ink, width, height, left, top, size) {
  let sum = 0;
  for (let y = Math.max(0, Math.floor(top)); y < Math.min(height, Math.ceil(top + size)); y++) {
    const high = Math.min(y + 1, top + size) - Math.max(y, top);
    for (let x = Math.max(0, Math.floor(left)); x < Math.min(width, Math.ceil(left + size)); x++) {
      sum += ink[y * width + x] * high * (Math.min(x + 1, left + size) - Math.max(x, left));
    }
  }
  return sum / (size * size);
}

// All steps: the cells of the digit on a picture of RGBA bytes; null if there is no digit.
export function digitOn(rgba, width, height, side) {
  const ink = inkOf(greyOf(rgba));
  const box = ink && boxOf(ink, width, height);
  return box && cellsOf(ink, width, height, box, side);
}
