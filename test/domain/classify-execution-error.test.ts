import { describe, expect, test } from '@jest/globals';
import { classifyExecutionError, classifyRejection } from '../../workflows/domain/classify-execution-error.js';
import type { ExecutionError } from '../../workflows/domain/classify-execution-error.js';
import type { FailureKind } from '../../workflows/domain/failure.js';

function buildError(facts: Partial<ExecutionError>): ExecutionError {
  return { exceptionType: 'RuntimeError', exceptionMessage: '', lastTracebackLine: '', ...facts };
}

function kindOf(exceptionType: string, exceptionMessage: string): FailureKind {
  return classifyExecutionError(buildError({ exceptionType, exceptionMessage }));
}

/** Exceptions of nodes as people quoted them in public threads, word for word. */
const CORPUS: readonly (readonly [row: number, type: string, text: string, kind: FailureKind])[] = [
  [1, 'torch.OutOfMemoryError', 'Allocation on device ', 'CUDA_OOM'],
  [
    2,
    'torch.cuda.OutOfMemoryError',
    'Allocation on device 0 would exceed allowed memory. (out of memory)\nCurrently allocated     : 18.38 GiB',
    'CUDA_OOM',
  ],
  [
    3,
    'torch.AcceleratorError',
    "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in https://docs.nvidia.com/cuda/",
    'CUDA_OOM',
  ],
  [
    4,
    'RuntimeError',
    'CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call',
    'CUDA_OOM',
  ],
  [
    5,
    'torch.OutOfMemoryError',
    'HIP out of memory. Tried to allocate 26.00 MiB. GPU 0 has a total capacity of 15.92 GiB',
    'CUDA_OOM',
  ],
  [
    6,
    'RuntimeError',
    'MPS backend out of memory (MPS allocated: 16.91 GB, other allocations: 2.77 MB, max allowed: 18.13 GB). Tried to allocate 1.28 GB on private pool.',
    'CUDA_OOM',
  ],
  [
    7,
    'RuntimeError',
    '[enforce fail at alloc_cpu.cpp:115] data. DefaultCPUAllocator: not enough memory: you tried to allocate 3376447488 bytes.',
    'HOST_OOM',
  ],
  [
    7,
    'RuntimeError',
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory",
    'HOST_OOM',
  ],
  [8, 'OSError', 'The paging file is too small for this operation to complete. (os error 1455)', 'HOST_OOM'],
  [8, 'MemoryError', '\n', 'HOST_OOM'],
  [
    9,
    'torch.AcceleratorError',
    "CUDA error: an illegal memory access was encountered\nSearch for `cudaErrorIllegalAddress'",
    'DEVICE_POISONED',
  ],
  [10, 'RuntimeError', "CUDA error: device-side assert triggered\nSearch for `cudaErrorAssert'", 'DEVICE_POISONED'],
  [11, 'torch.AcceleratorError', 'HIP error: an illegal memory access was encountered', 'DEVICE_POISONED'],
  [12, 'RuntimeError', 'CUDA error: unknown error', 'DEVICE_POISONED'],
  [13, 'RuntimeError', 'unspecified launch failure', 'DEVICE_POISONED'],
  [
    14,
    'RuntimeError',
    'CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasSgemm( handle, opa, opb, m, n, k)`',
    'DEVICE_POISONED',
  ],
  [15, 'RuntimeError', 'cuDNN error: CUDNN_STATUS_EXECUTION_FAILED', 'DEVICE_POISONED'],
  [
    16,
    'RuntimeError',
    'CUDA error: no kernel image is available for execution on the device (at /src/kernels/gemm.cu:10)',
    'ENVIRONMENT',
  ],
  [
    18,
    'FileNotFoundError',
    "Model in folder 'checkpoints' with filename 'sd_xl_base_1.0.safetensors' not found.",
    'MODEL_MISSING',
  ],
  [
    19,
    'OSError',
    'Error no file named pytorch_model.bin, model.safetensors, tf_model.h5 found in directory /models/clip.',
    'MODEL_MISSING',
  ],
  [20, 'AssertionError', 'model_file /models/insightface/inswapper_128.onnx should exist', 'MODEL_MISSING'],
  [
    21,
    'safetensors_rust.SafetensorError',
    'Error while deserializing header: MetadataIncompleteBuffer',
    'MODEL_CORRUPT',
  ],
  [21, 'ValueError', 'The safetensors file is corrupt/incomplete. Check the file size', 'MODEL_CORRUPT'],
  [
    21,
    'safetensors._safetensors_rust.SafetensorError',
    'Error while deserializing header: incomplete metadata, file not fully covered',
    'MODEL_CORRUPT',
  ],
  [21, 'safetensors._safetensors_rust.SafetensorError', 'header too large', 'MODEL_CORRUPT'],
  [21, 'safetensors._safetensors_rust.SafetensorError', 'header too small', 'MODEL_CORRUPT'],
  [
    22,
    'RuntimeError',
    'ERROR: Could not detect model type of: /models/checkpoints/a.safetensors',
    'MODEL_INCOMPATIBLE',
  ],
  [23, 'RuntimeError', 'mat1 and mat2 shapes cannot be multiplied (2624x64 and 128x3072)', 'WORKFLOW_ERROR'],
  [26, 'Exception', 'InsightFace: No face detected.', 'NO_FACE'],
  [27, 'Exception', 'Reference Image: No face detected.', 'NO_FACE'],
  [28, 'Exception', 'No face detected in reference image', 'NO_FACE'],
  [28, 'Exception', 'No face detected in pose image', 'NO_FACE'],
  [28, 'Exception', 'No face detected for face embed', 'NO_FACE'],
  [29, 'Exception', 'No faces detected in any of the given images', 'NO_FACE'],
  [29, 'Exception', 'No source face(s) in the provided Index', 'NO_FACE'],
  [30, 'Exception', 'insightface model is required for FaceID models', 'WORKFLOW_ERROR'],
  [
    31,
    'requests.exceptions.SSLError',
    `(MaxRetryError("HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /api"))`,
    'NETWORK_ERROR',
  ],
  [
    32,
    'requests.exceptions.ConnectionError',
    'Failed to establish a new connection: [Errno 111] Connection refused',
    'NETWORK_ERROR',
  ],
  [32, 'Exception', 'Failed to resolve huggingface.co', 'NETWORK_ERROR'],
  [32, 'urllib.error.URLError', '<urlopen error [Errno 111] Connection refused>', 'NETWORK_ERROR'],
  [32, 'aiohttp.client_exceptions.ClientConnectorError', 'Cannot connect to host fal.run:443', 'NETWORK_ERROR'],
  [32, 'aiohttp.client_exceptions.ServerDisconnectedError', 'Server disconnected', 'NETWORK_ERROR'],
  [32, 'huggingface_hub.errors.LocalEntryNotFoundError', 'outgoing traffic has been disabled', 'NETWORK_ERROR'],
  [33, 'OSError', '[Errno 28] No space left on device', 'DISK_FULL'],
  [33, 'Exception', "OSError(28, 'No space left on device')", 'DISK_FULL'],
  [34, 'Exception', 'API timeout error: API request timed out after 120 seconds', 'TIMEOUT'],
  [34, 'TimeoutError', '\n', 'TIMEOUT'],
  [34, 'requests.exceptions.ReadTimeout', 'Read timed out.', 'TIMEOUT'],
  [36, 'PIL.UnidentifiedImageError', "cannot identify image file '/input/a.png'", 'BAD_INPUT'],
];

describe('R5.1 Exceptions of nodes', () => {
  test.each(CORPUS)('row %i of the corpus, %s "%s", is %s', (...[, type, text, kind]) => {
    expect(kindOf(type, text)).toBe(kind);
  });

  test('the table finds a text in the last traceback line when the message says nothing', () => {
    const lastTracebackLine = 'RuntimeError: CUDA error: device-side assert triggered';
    expect(classifyExecutionError(buildError({ lastTracebackLine }))).toBe('DEVICE_POISONED');
  });

  test('a message as long as a tensor does not hide the last traceback line', () => {
    const error = buildError({ exceptionMessage: 'tensor '.repeat(10_000), lastTracebackLine: 'MemoryError' });
    expect(classifyExecutionError(error)).toBe('HOST_OOM');
  });

  test('letter case does not matter', () => {
    expect(kindOf('RUNTIMEERROR', 'CUDA ERROR: OUT OF MEMORY')).toBe('CUDA_OOM');
  });

  test('a missing kernel image wins over out of memory, and out of memory over a poisoned device', () => {
    const noKernel = 'CUDA error: no kernel image is available for execution on the device';
    const oom = 'CUDA error: out of memory';
    const poisoned = 'CUDA error: an illegal memory access was encountered';
    expect(kindOf('torch.AcceleratorError', `${poisoned}\n${oom}\n${noKernel}`)).toBe('ENVIRONMENT');
    expect(kindOf('torch.AcceleratorError', `${poisoned}\n${oom}`)).toBe('CUDA_OOM');
    expect(kindOf('torch.AcceleratorError', poisoned)).toBe('DEVICE_POISONED');
  });

  test('a poisoned device wins over every text that a generic pattern would take', () => {
    expect(kindOf('TimeoutError', 'CUDA error: unspecified launch failure')).toBe('DEVICE_POISONED');
  });

  test('memory of the host is not memory of the GPU', () => {
    expect(kindOf('RuntimeError', 'DefaultCPUAllocator: not enough memory, out of memory')).toBe('HOST_OOM');
  });

  test('an exception that no row knows is the graph saying no', () => {
    expect(kindOf('KeyError', "'cond'")).toBe('WORKFLOW_ERROR');
  });

  test.each(['Face not found', 'no face was found in the photo', 'Face was not detected', 'No faces found'])(
    'R4.2 "%s" is a photo without a face',
    (text) => {
      expect(kindOf('ValueError', text)).toBe('NO_FACE');
    },
  );
});

describe('R2.4 Graphs that ComfyUI refuses', () => {
  const missing = (inputName: string | null, receivedValue: unknown) => ({
    type: 'value_not_in_list',
    inputName,
    receivedValue,
  });

  test.each([
    ['ckpt_name', 'v1-5-pruned-emaonly-fp16.safetensors'],
    ['lora_name', 'detail'],
    ['clip_name2', 't5xxl'],
    ['control_net_name', 'canny'],
    ['model_name', '4x'],
    ['pulid_file', 'ip-adapter_pulid.safetensors'],
    [null, 'sub\\model.GGUF'],
  ])('%s = "%s" that is not in the list is a missing model', (inputName, value) => {
    expect(classifyRejection([missing(inputName, value)])).toBe('MODEL_MISSING');
  });

  test.each([
    ['sampler_name', 'euler_a'],
    ['scheduler', 'karras2'],
    ['image', 'photo.png'],
    ['ckpt', 7],
  ])('%s = "%s" that is not in the list is a fault of the graph', (inputName, value) => {
    expect(classifyRejection([missing(inputName, value)])).toBe('WORKFLOW_ERROR');
  });

  test.each([
    [17, [missing('ckpt_name', 'v1-5-pruned-emaonly-fp16.safetensors')], 'MODEL_MISSING'],
    [24, [{ type: 'return_type_mismatch', inputName: 'images', receivedValue: ['4', 0] }], 'WORKFLOW_ERROR'],
    [24, [{ type: 'required_input_missing', inputName: 'image', receivedValue: undefined }], 'WORKFLOW_ERROR'],
    [25, [], 'WORKFLOW_ERROR'], // "Cannot execute because a node is missing the class_type property."
  ])('row %i of the corpus: %j is %s', (_, faults, kind) => {
    expect(classifyRejection(faults)).toBe(kind);
  });

  test('a missing model beside another fault is a fault of the graph: installing the model would not help', () => {
    const model = missing('ckpt_name', 'a.safetensors');
    expect(classifyRejection([model, missing('sampler_name', 'euler_a')])).toBe('WORKFLOW_ERROR');
    expect(classifyRejection([model, missing('lora_name', 'b.safetensors')])).toBe('MODEL_MISSING');
  });

  test('a fault of another type on a model input is no missing model', () => {
    const fault = { type: 'required_input_missing', inputName: 'ckpt_name', receivedValue: undefined };
    expect(classifyRejection([fault])).toBe('WORKFLOW_ERROR');
  });

  test('a refusal without faults of nodes is a fault of the graph', () => {
    expect(classifyRejection([])).toBe('WORKFLOW_ERROR');
  });
});
