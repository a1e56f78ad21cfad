import { z } from 'zod';

/** ComfyUI's own port, then those of its desktop app and of what is often in front of it. */
const CANDIDATE_PORTS = [8188, 7821, 8189, 7860] as const;
const ANSWER_WITHIN_MS = 2_000;

const systemStatsSchema = z.object({ system: z.object({ comfyui_version: z.string() }) });
const queueSchema = z.object({ queue_running: z.array(z.unknown()), queue_pending: z.array(z.unknown()) });

/** The address of a ComfyUI on this machine, or `null`. All ports are asked at once, the first in the list wins. */
export async function findComfyUI(): Promise<string | null> {
  const answers = await Promise.all(
    CANDIDATE_PORTS.map(async (port) => {
      const url = `http://127.0.0.1:${port}`;
      return (await isComfyUI(url)) ? url : null;
    }),
  );
  return answers.find((url) => url !== null) ?? null;
}

/** Gradio programs answer on 7860, too: only ComfyUI's own words count. Old ones do not say their version. */
async function isComfyUI(url: string): Promise<boolean> {
  if (systemStatsSchema.safeParse(await jsonFrom(`${url}/system_stats`)).success) return true;
  return queueSchema.safeParse(await jsonFrom(`${url}/queue`)).success;
}

async function jsonFrom(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_WITHIN_MS) });
    return await response.json();
  } catch {
    return null; // nobody there, or something else
  }
}
