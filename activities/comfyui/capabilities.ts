import type { BackendCapabilities } from '../../workflows/contracts/backend-report.js';
import { isModelFile } from '../../workflows/domain/classify-execution-error.js';

/** What `/object_info` says that a ComfyUI can do: the files are the options of its loaders, wherever they stand. */
export function capabilitiesFrom(objectInfo: Readonly<Record<string, unknown>>): BackendCapabilities {
  const modelFiles = new Set<string>();
  collectFiles(Object.values(objectInfo), modelFiles);
  return { nodeClasses: Object.keys(objectInfo).sort(), modelFiles: [...modelFiles].sort() };
}

function collectFiles(value: unknown, files: Set<string>): void {
  if (typeof value === 'string') {
    if (isModelFile(value)) files.add(value);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const part of Object.values(value)) collectFiles(part, files);
}
