import sharp from 'sharp';

/** Not a multiple of 8, and not a square, so that a mix-up of the sides and a rounding are seen. */
const WIDTH_PX = 260;
const HEIGHT_PX = 196;

type Color = readonly [red: number, green: number, blue: number];

/** From the back to the front: what is inside of an ellipse, around a middle, has its colour. */
const PORTRAIT: readonly {
  readonly middle: readonly [number, number];
  readonly radii: readonly [number, number];
  readonly color: Color;
}[] = [
  { middle: [130, 200], radii: [76, 58], color: [37, 50, 55] },
  { middle: [130, 92], radii: [48, 60], color: [224, 181, 154] },
  { middle: [112, 84], radii: [6, 4], color: [34, 34, 34] },
  { middle: [148, 84], radii: [6, 4], color: [34, 34, 34] },
  { middle: [130, 122], radii: [20, 5], color: [136, 68, 51] },
];
const BACKGROUND: Color = [157, 180, 192];

/** Something that looks like a face from afar; a detector of faces wants a real photo. */
export async function samplePortrait(): Promise<Buffer> {
  return painted((x, y) => {
    const inside = PORTRAIT.filter(
      ({ middle, radii }) => ((x - middle[0]) / radii[0]) ** 2 + ((y - middle[1]) / radii[1]) ** 2 <= 1,
    );
    return inside.at(-1)?.color ?? BACKGROUND;
  });
}

/** As large as the portrait, its right half white. */
export async function sampleMask(): Promise<Buffer> {
  return painted((x) => (x < WIDTH_PX / 2 ? [0, 0, 0] : [255, 255, 255]));
}

/** Pixel by pixel: processes that judge pictures of strangers have switched the loader of SVG off. */
async function painted(colorAt: (x: number, y: number) => Color): Promise<Buffer> {
  const pixels = Array.from({ length: WIDTH_PX * HEIGHT_PX }, (_, index) =>
    colorAt(index % WIDTH_PX, Math.floor(index / WIDTH_PX)),
  );
  const raw = { width: WIDTH_PX, height: HEIGHT_PX, channels: 3 as const };
  return sharp(Uint8Array.from(pixels.flat()), { raw }).png().toBuffer();
}
