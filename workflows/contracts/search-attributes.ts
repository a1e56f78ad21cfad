import { defineSearchAttributeKey } from '@temporalio/common';

/**
 * What generations can be searched by: `temporal workflow list --query "GenerationStatus = 'FAILED'"`.
 * Checked at start, because an upsert of an unregistered one fails the Workflow Task for ever.
 */
export const searchAttributeKeys = {
  generationStatus: defineSearchAttributeKey('GenerationStatus', 'KEYWORD'),
  failureKind: defineSearchAttributeKey('FailureKind', 'KEYWORD'),
  backendId: defineSearchAttributeKey('BackendId', 'KEYWORD'),
  template: defineSearchAttributeKey('Template', 'KEYWORD'),
  accountId: defineSearchAttributeKey('AccountId', 'KEYWORD'),
  provider: defineSearchAttributeKey('Provider', 'KEYWORD'),
  batchId: defineSearchAttributeKey('BatchId', 'KEYWORD'),
  attempts: defineSearchAttributeKey('Attempts', 'INT'),
} as const;
