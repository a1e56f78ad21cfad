import { extendZodWithOpenApi } from '@asteasolutions/zod-to-openapi';
import { z } from 'zod';

// Must happen before the first schema is made: zod gives each schema its methods when it is constructed.
extendZodWithOpenApi(z);

export { z };
