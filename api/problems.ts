import { LIMIT_PROBLEMS } from './limit-problems.js';
import type { ProblemKind } from './problem-kind.js';
import { SERVICE_PROBLEMS } from './service-problems.js';

/** Every problem that this API answers with. Codes are a contract: add, never rename. Each has a page in `docs/errors/`. */
export const PROBLEMS = {
  invalid_json: {
    status: 400,
    title: 'The body is not valid JSON',
    remedy: 'Correct the body at the position in the detail.',
    retryable: false,
  },
  invalid_query: {
    status: 400,
    title: 'The query of the address is not valid',
    remedy: 'Correct the query parameters listed in errors.',
    retryable: false,
  },
  invalid_idempotency_key: {
    status: 400,
    title: 'The Idempotency-Key is not usable',
    remedy: 'Send 1 to 255 printable ASCII characters, for example a UUID.',
    retryable: false,
  },
  insufficient_credits: {
    status: 402,
    title: 'The account has too few credits',
    remedy: 'Grant the account the credits that are missing, or ask for fewer or cheaper outputs.',
    retryable: false,
  },
  cross_site_refused: {
    status: 403,
    title: 'A page of another site may not drive this service',
    remedy: 'Call the API from a program, or from a page that this service serves itself.',
    retryable: false,
  },
  generation_not_found: {
    status: 404,
    title: 'There is no such generation',
    remedy: 'Check the id; GET /v1/generations lists those that exist.',
    retryable: false,
  },
  account_not_found: {
    status: 404,
    title: 'There is no such account',
    remedy: 'Check the name, or create the account with POST /v1/accounts.',
    retryable: false,
  },
  upload_not_found: {
    status: 404,
    title: 'There is no such upload',
    remedy: 'Check the id, or upload the file again; files that nothing uses are removed after a while.',
    retryable: false,
  },
  backend_not_found: {
    status: 404,
    title: 'There is no such backend',
    remedy: 'Check the id; GET /v1/backends lists those that report.',
    retryable: false,
  },
  generation_not_failed: {
    status: 409,
    title: 'The generation has not failed',
    remedy:
      'Wait for its end, or cancel it first; one that is COMPLETED has its result, so send a new request instead.',
    retryable: false,
  },
  generation_not_retryable: {
    status: 409,
    title: 'The same request would fail again',
    remedy: 'Do what the detail says; then send force_retry: true, or a new request.',
    retryable: false,
  },
  output_not_found: {
    status: 404,
    title: 'The generation has no such output',
    remedy: 'Read outputs of the generation for the numbers that exist; there are none before it is COMPLETED.',
    retryable: false,
  },
  download_links_disabled: {
    status: 404,
    title: 'There are no links into the object store',
    remedy: 'Fetch the output itself without /link, or set S3_PUBLIC_ENDPOINT for the API and start it again.',
    retryable: false,
  },
  statistics_disabled: {
    status: 404,
    title: 'There are no statistics',
    remedy:
      'Set RECOVERY_STATISTICS_ENABLED=true for the API and start it again; nothing that was recorded is missing.',
    retryable: false,
  },
  template_not_found: {
    status: 404,
    title: 'There is no such template',
    remedy: 'GET /v1/templates lists those that exist.',
    retryable: false,
  },
  thumbnail_not_found: {
    status: 404,
    title: 'The template has no thumbnail',
    remedy: 'Run "npm run templates:thumbnails", which makes one, and start the API again.',
    retryable: false,
  },
  route_not_found: {
    status: 404,
    title: 'There is nothing at this address',
    remedy: 'GET /openapi.json lists every address.',
    retryable: false,
  },
  method_not_allowed: {
    status: 405,
    title: 'This address does not take that method',
    remedy: 'Use one of the methods in the Allow header.',
    retryable: false,
  },
  idempotency_in_flight: {
    status: 409,
    title: 'A request with this Idempotency-Key is being worked on',
    remedy: 'Send the same request again after the seconds in Retry-After.',
    retryable: true,
  },
  output_gone: {
    status: 410,
    title: 'The stored output is gone',
    remedy: 'Results are kept for a limited time; generate again with the parameters in asked.',
    retryable: false,
  },
  input_gone: {
    status: 410,
    title: 'A file that this generation needs has been removed',
    remedy: 'Upload the file again and send a new request.',
    retryable: false,
  },
  body_too_large: {
    status: 413,
    title: 'The body is too large',
    remedy: 'Send at most 1 MiB of JSON; files do not belong into the body.',
    retryable: false,
  },
  uri_too_long: {
    status: 414,
    title: 'The address is too long',
    remedy: 'Send at most 4096 characters in path and query.',
    retryable: false,
  },
  unsupported_media_type: {
    status: 415,
    title: 'The body is not sent as JSON',
    remedy: 'Send the header Content-Type: application/json, in UTF-8 and without Content-Encoding.',
    retryable: false,
  },
  range_not_satisfiable: {
    status: 416,
    title: 'The range lies outside of the file',
    remedy: 'Ask for a range within the length in the Content-Range header.',
    retryable: false,
  },
  host_not_allowed: {
    status: 421,
    title: 'This service does not answer under that name',
    remedy: 'Use the address that the service prints at start, or add the name to ALLOWED_HOSTS.',
    retryable: false,
  },
  invalid_request: {
    status: 422,
    title: 'The request is not valid',
    remedy: 'Correct the fields listed in errors.',
    retryable: false,
  },
  invalid_upload: {
    status: 422,
    title: 'The upload cannot be used',
    remedy: 'Send one picture, video or sound that opens elsewhere, too; the detail says what is wrong.',
    retryable: false,
  },
  input_unusable: {
    status: 422,
    title: 'A file of the request cannot be used',
    remedy: 'Upload the file with POST /v1/uploads and name it by its id; errors lists each place and what is wrong.',
    retryable: false,
  },
  unknown_account: {
    status: 422,
    title: 'There is no account of that name',
    remedy: 'Create the account with POST /v1/accounts, or leave the field out.',
    retryable: false,
  },
  grant_mismatch: {
    status: 422,
    title: 'This reference was used for another grant',
    remedy: 'Use a new reference for a new grant.',
    retryable: false,
  },
  unknown_template: {
    status: 422,
    title: 'There is no template of that name',
    remedy: 'Use one of the templates in the detail.',
    retryable: false,
  },
  invalid_parameters: {
    status: 422,
    title: 'Parameters of the template are not valid',
    remedy: 'Correct the parameters listed in errors; GET /v1/templates/{name} shows types, ranges and defaults.',
    retryable: false,
  },
  invalid_graph: {
    status: 422,
    title: 'The graph is not in the API format of ComfyUI',
    remedy: 'Send node ids with {class_type, inputs}, as ComfyUI exports them with "Save (API format)".',
    retryable: false,
  },
  graph_in_ui_format: {
    status: 422,
    title: 'The graph is in the format of the ComfyUI editor',
    remedy: 'Export it with "Save (API format)" and send that file.',
    retryable: false,
  },
  graph_link_dangling: {
    status: 422,
    title: 'Inputs of the graph are linked to nodes that do not exist',
    remedy: 'Connect the inputs listed in errors to nodes of the graph, or give them values.',
    retryable: false,
  },
  node_class_unknown: {
    status: 422,
    title: 'No ComfyUI has a node class of the graph',
    remedy: 'Install the custom nodes that bring the classes listed in errors, or use one of the closest names.',
    retryable: false,
  },
  graphs_disabled: {
    status: 403,
    title: 'This service takes no graphs',
    remedy: 'Use a template; GET /v1/templates lists them. Operators: GRAPH_MODE decides.',
    retryable: false,
  },
  graph_refused: {
    status: 422,
    title: 'The graph breaks rules of this service',
    remedy: 'Change the nodes and inputs listed in errors; docs/api.md has the rules.',
    retryable: false,
  },
  will_not_fit: {
    status: 422,
    title: 'No GPU has enough memory for this request',
    remedy:
      'Ask for less at once, or let operators add a backend with a larger card; GET /v1/backends shows those there are.',
    retryable: false,
  },
  unsafe_number: {
    status: 422,
    title: 'A number cannot be carried exactly',
    remedy: 'Use whole numbers up to 9007199254740991 (2^53 - 1), for seeds too.',
    retryable: false,
  },
  idempotency_mismatch: {
    status: 422,
    title: 'This Idempotency-Key was used with another body',
    remedy: 'Use a new key for a new request.',
    retryable: false,
  },
  ...LIMIT_PROBLEMS,
  ...SERVICE_PROBLEMS,
} as const satisfies Record<string, ProblemKind>;

export type ProblemCode = keyof typeof PROBLEMS;
