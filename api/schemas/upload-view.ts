import { z } from './openapi-zod.js';
import { wholeNumber } from './whole-number.js';

export const uploadViewSchema = z.object({
  id: z
    .string()
    .regex(/^upl_[0-9a-f]{32}$/)
    .describe('What a parameter of kind image, mask, video or audio is given.'),
  url: z.string(),
  status: z.enum(['waiting', 'ready']).describe('waiting: announced, but the bytes have not been taken yet.'),
  bytes: z.int().min(1).describe('As stored: a picture that a camera had turned is stored upright, as PNG.'),
  sha256: z.string().nullable().describe('Of the stored bytes.'),
  kind: z.enum(['image', 'video', 'audio']).nullable(),
  mediaType: z.string().nullable(),
  width: z.int().nullable(),
  height: z.int().nullable(),
  durationSeconds: z.number().nullable(),
  createdAt: z.iso.datetime(),
});
export type UploadView = z.infer<typeof uploadViewSchema>;

export const announcedUploadViewSchema = uploadViewSchema.extend({
  form: z
    .object({ url: z.url(), fields: z.record(z.string(), z.string()), expiresAt: z.iso.datetime() })
    .describe('POST it as multipart/form-data: the fields first, then the file in the field file.'),
});
export type AnnouncedUploadView = z.infer<typeof announcedUploadViewSchema>;

/** Of a file that the caller sends to the object store itself. */
export const uploadAnnouncementSchema = z.strictObject({
  bytes: wholeNumber(1, Number.MAX_SAFE_INTEGER).describe('Its exact size.'),
});
