/** A template that cannot be used: names the file and the field. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}
