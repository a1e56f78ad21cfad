import { NodeError } from '../node-runner.js';
import type { Fault, FaultKind, OomText } from './fault-kinds.js';
import type { NodeGroup } from './node-groups.js';

/** Where a fault strikes that names no class. */
export const USUAL_PLACES: Readonly<Partial<Record<FaultKind, NodeGroup>>> = {
  oom: 'gpu',
  poison: 'gpu',
  environment: 'gpu',
  host_oom: 'loaders',
  model_corrupt: 'loaders',
  model_removed: 'loaders',
  disk_full: 'saving',
};

export const EXCEPTION_KINDS: readonly FaultKind[] = [
  ...(['oom', 'poison', 'host_oom', 'environment'] as const),
  ...(['model_corrupt', 'no_face', 'disk_full', 'node_error'] as const),
];

const ASYNCHRONOUS =
  'CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.\n' +
  'For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n' +
  'Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n';

/** Texts of real servers, quoted in public threads. */
export function exceptionOf(fault: Fault, totalGib: number): NodeError {
  switch (fault.kind) {
    case 'oom':
      return outOfMemory(fault.text ?? 'torch', {
        totalGib,
        allocatedGib: totalGib * 0.95,
        requestedGib: totalGib * 0.1,
      });
    case 'poison':
      return poisoned();
    case 'host_oom':
      return new NodeError(
        'RuntimeError',
        '[enforce fail at alloc_cpu.cpp:115] data. DefaultCPUAllocator: not enough memory: you tried to allocate 3376447488 bytes.',
      );
    case 'environment':
      return new NodeError(
        'RuntimeError',
        `CUDA error: no kernel image is available for execution on the device\n${ASYNCHRONOUS}`,
      );
    case 'model_corrupt':
      return new NodeError(
        'safetensors_rust.SafetensorError',
        'Error while deserializing header: MetadataIncompleteBuffer',
      );
    case 'no_face':
      return new NodeError('Exception', 'InsightFace: No face detected.');
    case 'disk_full':
      return new NodeError('OSError', '[Errno 28] No space left on device');
    default:
      return new NodeError(fault.exceptionType ?? 'RuntimeError', fault.exceptionMessage ?? '');
  }
}

export function poisoned(): NodeError {
  return new NodeError(
    'torch.AcceleratorError',
    `CUDA error: an illegal memory access was encountered\n${searchFor('cudaErrorIllegalAddress')}${ASYNCHRONOUS}`,
  );
}

export function modelNotFound({ folder, filename }: { readonly folder: string; readonly filename: string }): NodeError {
  return new NodeError('FileNotFoundError', `Model in folder '${folder}' with filename '${filename}' not found.`);
}

export interface Allocation {
  readonly totalGib: number;
  readonly allocatedGib: number;
  readonly requestedGib: number;
}

export function outOfMemory(text: OomText, { totalGib, allocatedGib, requestedGib }: Allocation): NodeError {
  const [total, allocated, requested] = [totalGib, allocatedGib, requestedGib].map((gib) => `${gib.toFixed(2)} GiB`);
  switch (text) {
    case 'torch':
      return new NodeError(
        'torch.OutOfMemoryError',
        'Allocation on device 0 would exceed allowed memory. (out of memory)\n' +
          `Currently allocated     : ${allocated}\nRequested               : ${requested}\n` +
          `Device limit            : ${total}\nFree (according to CUDA): 19.19 MiB\n` +
          'PyTorch limit (set by user-supplied memory fraction)\n                        : 17179869184.00 GiB',
      );
    case 'cuda':
      return new NodeError(
        'torch.cuda.OutOfMemoryError',
        `CUDA out of memory. Tried to allocate ${requested}. GPU 0 has a total capacity of ${total} of which 19.19 MiB is free. ` +
          `Of the allocated memory ${allocated} is allocated by PyTorch, and 120.50 MiB is reserved by PyTorch but unallocated.`,
      );
    case 'driver':
      return new NodeError(
        'torch.AcceleratorError',
        `CUDA error: out of memory\n${searchFor('cudaErrorMemoryAllocation')}${ASYNCHRONOUS}`,
      );
  }
}

function searchFor(name: string): string {
  return `Search for \`${name}' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.\n`;
}
