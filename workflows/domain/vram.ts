import type { HardwareClass } from './hardware.js';

/** One line of a template's table: up to these values of its parameters a rendering needs so much VRAM. */
export interface VramLine {
  readonly upTo: Readonly<Record<string, number>>;
  readonly gb: number;
}

/** What is known of a backend's memory. */
export interface CardMemory {
  readonly hardware?: HardwareClass | null;
  readonly vramTotalBytes: number | null;
}

const BYTES_PER_GB = 1024 ** 3;
/** Cards have a little less than the number on their box: one of 8 GB says 7.6 to 8. */
const BOX_SHARE = 0.93;

/** What a request needs; `null` when no line of the table covers it. */
export function vramNeeded(table: readonly VramLine[], asked: Readonly<Record<string, unknown>>): number | null {
  const covering = table.filter(({ upTo }) =>
    Object.entries(upTo).every(([parameter, most]) => {
      const value = asked[parameter];
      return typeof value === 'number' && value <= most;
    }),
  );
  return covering.length === 0 ? null : Math.min(...covering.map(({ gb }) => gb));
}

/** False only where a card is known to be too small, and to get no help from the machine's memory. */
export function mayFit({ hardware = null, vramTotalBytes }: CardMemory, neededGb: number): boolean {
  return hardware !== 'gpu' || vramTotalBytes === null || vramTotalBytes >= neededGb * BOX_SHARE * BYTES_PER_GB;
}

/** For people. */
export function vramInWords(vramTotalBytes: number | null): string {
  return vramTotalBytes === null ? 'unknown' : `${(vramTotalBytes / BYTES_PER_GB).toFixed(1)} GB`;
}

/** The lines that one of the cards has enough memory for, in words; empty when there is none. */
export function fittingSizes(table: readonly VramLine[], cards: readonly CardMemory[]): readonly string[] {
  return table
    .filter(({ gb }) => cards.some((card) => mayFit(card, gb)))
    .map(({ upTo, gb }) => {
      const limits = Object.entries(upTo).map(([parameter, most]) => `${parameter} up to ${most}`);
      return `${limits.join(' with ')} (${gb} GB)`;
    });
}
