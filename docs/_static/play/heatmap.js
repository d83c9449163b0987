// Images of 28 × 28 numbers on a canvas: digits in ink, importance in the colours of its role.

const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

// The colour of a share from 0 to 1, between stops such as ["#ffffff", "#00805a", "#003222"].
function between(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [channels(stops[i]), channels(stops[i + 1])];
  return from.map((value, k) => Math.round(value + (place - i) * (to[k] - value)));
}

export const INK = ["#ffffff", "#000000"];

// Draw an image {shape, data}; `top` is the value of the last stop, by default the largest.
export function drawImage(canvas, { shape, data }, stops, top = Math.max(...data)) {
  [canvas.height, canvas.width] = shape;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(canvas.width, canvas.height);
  data.forEach((value, i) => {
    pixels.data.set([...between(stops, top > 0 ? value / top : 0), 255], 4 * i);
  });
  context.putImageData(pixels, 0, 0);
}
